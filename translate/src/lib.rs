//! Guest code → ops → host code.
//!
//! ```text
//! guest bytes ──frontend──▶ ops ──points──▶ ops ──fuse──▶ ops ──┬─x86──▶ host code
//!                                                              └─interp (runs the same ops)
//! ```
//!
//! This crate knows neither who caches the result nor who runs it.

pub mod clock;
pub mod escape;
pub mod frontend;
pub mod hooks;
pub mod interp;
pub mod lanes;
pub mod mem;
pub mod ops;
pub mod passes;
pub mod softfloat;
pub mod state;
pub mod tlb;
#[cfg(target_arch = "x86_64")]
pub mod x86;

pub use mem::{Access, Cause, Fault, GuestCode, GuestMemory};
pub use ops::{Block, FReg, Op, Reg};
pub use state::{CacheBlockOps, CpuState, Mode, Privilege};
