//! Where translated blocks live: lookup, chaining, pages, arenas, eviction.
//!
//! ```text
//!            ┌─ index    key → block            readers take no lock
//!  TbCache ──┼─ chain    jumps between blocks   one lock, never on the lookup path
//!            ├─ pages    guest page → blocks    who was made from what, and is it still there
//!            └─ arena    code memory            one per vCPU at a time; oldest evicted first
//! ```
//!
//! One cache is shared by all vCPUs of a guest. Each vCPU is a participant of the cache's epoch
//! domain; a `&Tb` borrows from the participant, so it cannot survive a quiescent point.
//!
//! # A block's life
//!
//! 1. **Translated.** The translator takes a ticket, and fetches through [`TbCache::watched`].
//! 2. **Placed** in the vCPU's arena, where nobody else looks.
//! 3. **Registered** on its guest pages, so that changes find it.
//! 4. **Inserted** into the index, if it is still the first of its key and alive: published.
//! 5. **Linked**: exits that were taken once jump directly from then on.
//! 6. **Killed**, when its guest bytes change or its arena is evicted: marked dead, out of the index,
//!    off the pages, all links undone, its entry turned into a jump to its stale stub. None of this
//!    waits for anybody who runs the block.
//! 7. **Freed** with its arena, a grace period after the arena's eviction.
//!
//! # Jump caches
//!
//! A vCPU's jump cache, read by generated code, holds entries of blocks. Claim: no vCPU ever jumps
//! to an entry whose memory has been reused, though nobody tells it that a block has died.
//!
//! * *Until the memory is reused* the entry of a dead block is a jump to its stale stub, which leads
//!   back to the run loop. So it does no harm that dead blocks are still in jump caches.
//! * *Memory is reused* by a job that runs after the grace period of the eviction *E*. *E* first
//!   kills, then advances `retirements`, then calls `retire`, which advances the domain's generation.
//!   The vCPU, after each quiescent point and each coming online, and before it uses its jump cache
//!   again, compares [`TbCache::retirements`] with the value it saw last, and clears the jump cache
//!   if it has moved. It is therefore enough that the first such comparison after the vCPU let *E*'s
//!   job go ahead sees *E*'s advance:
//!   - if it let the job go ahead by a quiescent point, that one loaded the generation of *E* or a
//!     later one and put a fence after it, which the Release in `retire` pairs with, and the load of
//!     `retirements` comes after;
//!   - if it was offline, then by the fences in `online` and before the domain's scan, either the
//!     scan saw it online and the job waited for the case above, or the load of `retirements`, which
//!     comes after `online`, sees what came before the scan.
//! * Afterwards the jump cache is filled only with blocks found in the index while online, among
//!   which *E*'s are not: the vCPU has seen the advance by an Acquire load, which pairs with the
//!   Release of the advance, and the removal from the index comes before that. (It may see the
//!   advance long before it passes *E*'s grace period. Without this pair it could then still find a
//!   block of *E*, and keep its entry over the end of the period.)
//!
//! The same comparison covers any other host address of a block that a vCPU keeps across a quiescent
//! point.
//!
//! # Order of locks
//!
//! chain lock → index stripes; chain lock → page records; an arena slot → the pool's stock. Guest
//! memory ([`CodePages`]) is called with none of them held, so its locks may be held around calls to
//! [`TbCache::page_written`] and [`TbCache::invalidate_range`].

mod arena;
mod bump;
mod cache;
mod chain;
mod index;
mod key;
mod pages;
mod records;
mod region;
mod tb;

pub use arena::{ArenaCounts, ArenaOwner};
pub use cache::{Config, Error, Insert, Stats, TbCache, Translation, Watched};
pub use key::{Key, SetId};
pub use pages::{CodePages, PAGE_SIZE, Ticket, Watch};
pub use tb::Tb;
