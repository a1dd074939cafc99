//! The RISC-V guest ISA as data and pure functions: decode, disassemble, register and CSR names.
//!
//! The instruction set is one table (`rows`, private): a bit pattern, the opcode it means, where
//! its operands are, how they are printed. Decoder and disassembler are driven by it, so an
//! extension is added by adding rows (and its opcodes to [`Opcode`]).

mod columns;
mod decode;
mod disassemble;
mod encoding;
mod format;
pub mod insn;
pub mod names;
mod rows;

pub use columns::disassemble_columns;
pub use decode::{decode, insn_len};
pub use disassemble::disassemble;
pub use encoding::{Encoding, encodings, mnemonic};
pub use insn::{Insn, Opcode};
