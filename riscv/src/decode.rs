//! The decoder: a lookup table that is made from the rows at compile time.
//!
//! An encoding selects a *bucket* by its major opcode and the field that tells most about the
//! instructions of that major opcode (`funct3`, `funct7` or `funct5`); a bucket lists the rows
//! that can match there, the most specific first. The longest bucket has a dozen rows, most have
//! one or two.

use crate::format::Format;
use crate::rows::{COMPRESSED, ROWS, Row};
use crate::{Insn, Opcode};

/// What the search loop needs of a row.
#[derive(Clone, Copy)]
struct Entry {
    mask: u32,
    value: u32,
    op: Opcode,
    format: Format,
}

/// A field whose value chooses among the buckets that start at `base`.
#[derive(Clone, Copy)]
struct Selector {
    base: u16,
    shift: u8,
    mask: u8,
}

const FUNCT3: u16 = 0;
const FUNCT7: u16 = FUNCT3 + 32 * 8;
const FUNCT5: u16 = FUNCT7 + 128;
const QUADRANTS: u16 = FUNCT5 + 32;
const BUCKETS: usize = QUADRANTS as usize + 3 * 64;

/// Major opcodes (bits 2–6) with many instructions in few `funct3`.
const OP_FP: usize = 0b10100;
const AMO: usize = 0b01011;

/// One selector per major opcode, then one per quadrant of the C extension.
static SELECTORS: [Selector; 35] = selectors();

const fn selectors() -> [Selector; 35] {
    let mut all = [Selector {
        base: 0,
        shift: 0,
        mask: 0,
    }; 35];
    let mut at = 0;
    while at < all.len() {
        all[at] = match at {
            OP_FP => Selector {
                base: FUNCT7,
                shift: 25,
                mask: 127,
            },
            AMO => Selector {
                base: FUNCT5,
                shift: 27,
                mask: 31,
            },
            32.. => Selector {
                base: QUADRANTS + (at as u16 - 32) * 64,
                shift: 10,
                mask: 63,
            },
            _ => Selector {
                base: FUNCT3 + at as u16 * 8,
                shift: 12,
                mask: 7,
            },
        };
        at += 1;
    }
    all
}

/// Index of the selector for an encoding.
#[inline]
const fn selector_of(bits: u32) -> usize {
    match bits & 3 {
        3 => (bits >> 2 & 31) as usize,
        quadrant => 32 + quadrant as usize,
    }
}

/// The first bucket at or after `from` where `row` can match; `BUCKETS` if there is none.
const fn next_bucket(row: &Row, from: usize) -> usize {
    let selector = selectors()[selector_of(row.pattern.value)];
    let first = selector.base as usize;
    let last = first + selector.mask as usize;
    let mut bucket = if from < first { first } else { from };
    while bucket <= last {
        let field = ((bucket - first) as u32) << selector.shift;
        let fixed = row.pattern.mask & ((selector.mask as u32) << selector.shift);
        if row.pattern.value & fixed == field & fixed {
            return bucket;
        }
        bucket += 1;
    }
    BUCKETS
}

const ROW_COUNT: usize = ROWS.len() + COMPRESSED.len();

const fn row_at(index: usize) -> &'static Row {
    if index < ROWS.len() {
        &ROWS[index]
    } else {
        &COMPRESSED[index - ROWS.len()]
    }
}

/// Where each bucket begins in `ENTRIES`; one more for the end of the last.
static STARTS: [u16; BUCKETS + 1] = starts();

const fn starts() -> [u16; BUCKETS + 1] {
    let mut starts = [0; BUCKETS + 1];
    let mut index = 0;
    while index < ROW_COUNT {
        let mut bucket = next_bucket(row_at(index), 0);
        while bucket < BUCKETS {
            starts[bucket + 1] += 1;
            bucket = next_bucket(row_at(index), bucket + 1);
        }
        index += 1;
    }
    let mut bucket = 0;
    while bucket < BUCKETS {
        starts[bucket + 1] += starts[bucket];
        bucket += 1;
    }
    starts
}

const ENTRY_COUNT: usize = starts()[BUCKETS] as usize;

/// The rows of all buckets.
static ENTRIES: [Entry; ENTRY_COUNT] = entries();

const fn entries() -> [Entry; ENTRY_COUNT] {
    let mut entries = [Entry {
        mask: 0,
        value: 0,
        op: Opcode::Illegal,
        format: Format::Bare,
    }; ENTRY_COUNT];
    let mut ends = starts();
    // The most fixed bits first, so that the search may stop at the first match.
    let mut fixed_bits = 33;
    while fixed_bits > 0 {
        fixed_bits -= 1;
        let mut index = 0;
        while index < ROW_COUNT {
            let row = row_at(index);
            index += 1;
            if row.pattern.mask.count_ones() != fixed_bits {
                continue;
            }
            let mut bucket = next_bucket(row, 0);
            while bucket < BUCKETS {
                entries[ends[bucket] as usize] = Entry {
                    mask: row.pattern.mask,
                    value: row.pattern.value,
                    op: row.op,
                    format: row.format,
                };
                ends[bucket] += 1;
                bucket = next_bucket(row, bucket + 1);
            }
        }
    }
    entries
}

/// Length in bytes of the instruction whose first 16 bits are `low_half`: 2 or 4.
///
/// The longer encodings that the manual sets room aside for are illegal here; they count as 4.
#[inline]
pub fn insn_len(low_half: u16) -> usize {
    if low_half & 3 == 3 { 4 } else { 2 }
}

/// Decodes the instruction in `bits`: four bytes from its pc, little endian. The upper half is
/// ignored if the lower one is a compressed instruction. Total: what is no instruction gives
/// [`Opcode::Illegal`].
pub fn decode(bits: u32) -> Insn {
    let (bits, len) = if bits & 3 == 3 {
        (bits, 4)
    } else {
        (bits & 0xffff, 2)
    };
    let selector = SELECTORS[selector_of(bits)];
    let select = bits >> selector.shift & u32::from(selector.mask);
    let bucket = usize::from(selector.base) + select as usize;
    let bucket = &ENTRIES[usize::from(STARTS[bucket])..usize::from(STARTS[bucket + 1])];
    let entry = bucket.iter().find(|e| bits & e.mask == e.value);
    let insn = entry.and_then(|entry| {
        let bare = Insn {
            op: entry.op,
            ..illegal(bits, len)
        };
        entry.format.layout().extract(bare)
    });
    insn.unwrap_or(illegal(bits, len))
}

fn illegal(raw: u32, len: u8) -> Insn {
    Insn {
        op: Opcode::Illegal,
        len,
        rd: 0,
        rs1: 0,
        rs2: 0,
        rs3: 0,
        rm: 0,
        imm: 0,
        raw,
    }
}
