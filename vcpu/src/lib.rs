//! vCPU state, the run loop, exits, kicks, idle, pinning.
//!
//! ```text
//!   Engine ─ shared: TbCache, epoch Domain, guest code, statistics
//!     └── Vcpu ─ one per guest thread
//!           ├─ run          the loop: Find → Enter → Leave
//!           ├─ translator   misses become blocks (dump: shown on demand)
//!           ├─ place        where a pc's code is
//!           ├─ csr          the system registers of programs
//!           ├─ latency      how long things take, if anybody asks
//!           └─ state        registers; requests from outside
//!   host side: fault (SIGSEGV, SIGBUS), guarded (accesses that may fault), thread (gs, signal stack)
//! ```
//!
//! Knows neither Linux nor boards: an `ecall`, a fault or an illegal instruction is a [`Stop`], and
//! the owner's business.

mod csr;
mod dump;
mod engine;
pub mod fault;
pub mod guarded;
pub mod latency;
mod memory;
mod place;
mod run;
mod seen;
mod state;
mod stats;
mod thread;
mod translator;
mod vcpu;

pub use dump::{Dump, Stages};
pub use engine::{Backend, Config, DEFAULT_TB_SIZE, Engine, Error, start_plugins};
pub use memory::{System, UserMemory, VcpuMemory};
pub use place::Place;
pub use state::Kicker;
pub use stats::{Leaves, Stats, VcpuStats};
pub use vcpu::{Stop, Vcpu};
