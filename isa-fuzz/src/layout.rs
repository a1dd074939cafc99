//! Where things are in a generated program, and what it writes.
//!
//! One register, the *base register* of the program, always holds [`BASE`]; random instructions
//! never write it. Around it lie, within reach of 12-bit offsets, the constants that refresh
//! the other registers ([`POOL`]), memory for random accesses ([`SCRATCH`]), and the room where
//! registers are dumped.
//!
//! The output is a sequence of records. Their first 8 bytes tell them apart:
//!
//! | first 8 bytes | record | bytes |
//! | --- | --- | --- |
//! | 0 | the registers at the end of a chunk: x0–x31, f0–f31, fcsr | [`STATE_BYTES`] |
//! | [`MEMORY_TAG`] | pool and scratch at the end of a round | [`MEMORY_BYTES`] |
//! | low half a signal number | a trap: signal, code, address; pc, x1–x31, f0–f31, fcsr (4 bytes) | [`TRAP_BYTES`] |

/// Address of the code.
pub const CODE: u64 = 0x1_0000;
/// Address of the data; a multiple of the page size.
pub const DATA: u64 = 0x200_0000;
/// Bytes of data: nothing is mapped behind them.
pub const DATA_BYTES: usize = 0x4000;
/// What the base register holds. It is the start of a page, so that small offsets cross pages.
pub const BASE: u64 = DATA + 0x1000;

/// Initial values of x0–x31, f0–f31 and fcsr, from the start of the data.
pub const INIT: u64 = DATA;
/// `struct sigaction` for the trap handler.
pub const SIGACTION: u64 = DATA + 0x400;
/// `stack_t` of the alternate stack.
pub const STACK_T: u64 = DATA + 0x440;

/// Offset from the base of the constants: 256 doublewords.
pub const POOL: i32 = -2048;
/// Offset from the base of what random stores may touch; it begins in the page of the pool.
pub const SCRATCH: i32 = -16;
/// End of the scratch memory.
pub const SCRATCH_END: i32 = 1024;
/// Offset of the dumped registers.
pub const DUMP: i32 = 1024;
/// Offset of the counter of rounds.
pub const ROUND: i32 = 1552;
/// Offset of where the link register is kept while rounds are counted.
pub const SAVED_LINK: i32 = 1560;
/// Offset of the first loop counter; one doubleword each.
pub const COUNTERS: i32 = 1600;
/// Number of loop counters.
pub const COUNTER_SLOTS: i32 = 32;

/// Address of the signal stack, far from what random accesses can reach, and no number that a
/// random `sp` is likely to be (that would count as being on it); and below the data: the
/// gaps between segments count as mapped under QEMU.
pub const SIGNAL_STACK: u64 = 0x135_7000;
/// Its size.
pub const SIGNAL_STACK_BYTES: u64 = 0x1_0000;

/// First doubleword of the pool, never overwritten.
pub const MEMORY_TAG: u64 = 0x5a5a_4d45_4d4f_5259;

/// Bytes of a state record.
pub const STATE_BYTES: usize = 65 * 8;
/// Bytes of a memory record.
pub const MEMORY_BYTES: usize = (SCRATCH_END - POOL) as usize;
/// Bytes of `siginfo` in a trap record.
pub const SIGINFO_BYTES: usize = 24;
/// Bytes of `mcontext` in a trap record: pc, x1–x31, f0–f31, fcsr.
pub const MCONTEXT_BYTES: usize = 64 * 8 + 4;
/// Bytes of a trap record.
pub const TRAP_BYTES: usize = SIGINFO_BYTES + MCONTEXT_BYTES;
/// Offset of `uc_mcontext` in the `ucontext` of riscv64 Linux.
pub const UC_MCONTEXT: i32 = 176;
