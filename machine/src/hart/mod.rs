//! A hart: the privileged architecture on a vCPU.
//!
//! ```text
//!   csr    the registers; trap: what traps and returns do to them
//!   mmu    the walk through page tables; pmp: physical memory protection
//!   lines  interrupts from other threads; timer: those whose time has come
//! ```

pub mod csr;
pub mod lines;
pub mod mmu;
pub mod pmp;
pub mod timer;
pub mod trap;
