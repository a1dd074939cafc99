//! The instruction table as data for tools: what encodings each instruction has.

use crate::Opcode;
use crate::rows::{COMPRESSED, ROWS, Row};

/// One encoding of an instruction: the words with `word & mask == value`.
///
/// Some of those words may be reserved or belong to a more specific encoding; [`crate::decode`]
/// has the last word.
#[derive(Clone, Copy, Debug)]
pub struct Encoding {
    /// The instruction.
    pub op: Opcode,
    /// Bits that are fixed.
    pub mask: u32,
    /// Their values.
    pub value: u32,
    /// Length in bytes: 2 or 4.
    pub len: u8,
}

/// Every encoding that the decoder knows, 32-bit ones first.
pub fn encodings() -> impl Iterator<Item = Encoding> {
    let encoding = |row: &Row, len| Encoding {
        op: row.op,
        mask: row.pattern.mask,
        value: row.pattern.value,
        len,
    };
    let long = ROWS.iter().map(move |row| encoding(row, 4));
    let short = COMPRESSED
        .iter()
        .filter(|row| row.op != Opcode::Illegal)
        .map(move |row| encoding(row, 2));
    long.chain(short)
}

/// The plain mnemonic of an instruction, e.g. `amoadd.w`; `illegal` for [`Opcode::Illegal`].
pub fn mnemonic(op: Opcode) -> &'static str {
    match op {
        Opcode::Illegal => "illegal",
        _ => ROWS[op as usize - 1].mnemonic,
    }
}
