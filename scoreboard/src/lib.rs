//! Memory of each vCPU: its own state, and scoreboards for plugins and statistics.
//!
//! Each vCPU index has an *area*: address space of its own, the same size for all. An area begins
//! with a *head*, which belongs to the vCPU. The rest is cut into *boards*: a [`Board`] is a range of
//! offsets, and its *element* of a vCPU is what lies there in that vCPU's area. So generated code,
//! which has the address of its vCPU's state at hand, reaches any element at a constant offset from
//! it, and the same code does for all vCPUs. Rules:
//!
//! 1. An area is mapped when its index is claimed for the first time, and stays where it is as long as
//!    [`Areas`]. Values in boards survive a vCPU and the reuse of its index; the head is zeroed at
//!    each claim. A new vCPU changes nothing for those that exist: no element moves, nobody waits.
//! 2. No two areas share a page, and no two boards share a cache line (nor two lines that the
//!    prefetcher takes together).
//! 3. Finding an area or an element and adding elements up takes no lock. Claiming an index takes
//!    one, making and freeing boards another; no area is touched under the latter.
//! 4. The bytes of an area that belong to no board are zero. A board is zeroed when it is dropped, at
//!    which time nobody uses its elements, generated code included; an area is mapped zeroed. So
//!    areas and boards may be made and freed at the same time, and each element is zero at first.
//! 5. A word is written by its vCPU's thread only, so that adding takes no read-modify-write; any
//!    thread may read it. A sum is exact for what happened before it, and may miss what goes on
//!    at the same time.
//! 6. Memory is used by the page, once written to; what areas reserve is address space.

mod areas;
mod board;
mod ranges;
mod space;
mod table;

pub use areas::{Area, Areas, Held};
pub use board::{Board, Full, Slot};
