//! The RISC-V guest ISA as data and pure functions: decode, disassemble, register and CSR names.

pub mod insn;

pub use insn::{Insn, Opcode};
