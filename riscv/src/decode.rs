//! The decoder: a lookup table that is made from the rows at compile time.
//!
//! An encoding selects a *bucket* by its major opcode and the field that tells most about the
//! instructions of that major opcode (`funct3`, `funct7` or `funct5`); a bucket lists the rows
//! that can match there, the most specific first. The longest bucket has a dozen rows, most have
//! one or two.

use crate::rows::{COMPRESSED, Format, ROWS, Row};
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
const BUCKETS: usize = QUADRANTS as usize + 3 * 8;

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
                base: QUADRANTS + (at as u16 - 32) * 8,
                shift: 13,
                mask: 7,
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
    match bucket.iter().find(|e| bits & e.mask == e.value) {
        Some(entry) => operands(entry.op, entry.format, bits, len),
        None => illegal(bits, len),
    }
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

/// Bits `high` down to `low` of `raw`, moved to start at bit `to`.
#[inline]
fn field(raw: u32, high: u32, low: u32, to: u32) -> i32 {
    ((raw >> low & ((1 << (high - low + 1)) - 1)) << to) as i32
}

/// Sign-extends from bit `bits - 1`.
#[inline]
fn sext(value: i32, bits: u32) -> i32 {
    value << (32 - bits) >> (32 - bits)
}

/// Takes the operands out of an encoding.
#[inline]
fn operands(op: Opcode, format: Format, raw: u32, len: u8) -> Insn {
    let mut insn = Insn {
        op,
        ..illegal(raw, len)
    };
    let reg = |low: u32| (raw >> low & 31) as u8;
    // The three-bit register fields of compressed instructions name x8–x15.
    let creg = |low: u32| (raw >> low & 7) as u8 + 8;
    let (rd, rs1, rs2) = (reg(7), reg(15), reg(20));
    let imm6 = || sext(field(raw, 12, 12, 5) | field(raw, 6, 2, 0), 6);
    let shamt6 = || field(raw, 12, 12, 5) | field(raw, 6, 2, 0);
    let scaled_w = || field(raw, 12, 10, 3) | field(raw, 6, 6, 2) | field(raw, 5, 5, 6);
    let scaled_d = || field(raw, 12, 10, 3) | field(raw, 6, 5, 6);
    match format {
        Format::Bare => {}
        Format::R => (insn.rd, insn.rs1, insn.rs2) = (rd, rs1, rs2),
        Format::R1 => (insn.rd, insn.rs1) = (rd, rs1),
        Format::R1Rm => {
            (insn.rd, insn.rs1) = (rd, rs1);
            return with_rounding(insn);
        }
        Format::RRm => {
            (insn.rd, insn.rs1, insn.rs2) = (rd, rs1, rs2);
            return with_rounding(insn);
        }
        Format::R4Rm => {
            (insn.rd, insn.rs1, insn.rs2, insn.rs3) = (rd, rs1, rs2, reg(27));
            return with_rounding(insn);
        }
        Format::Amo => {
            (insn.rd, insn.rs1, insn.rs2) = (rd, rs1, rs2);
            insn.rm = (raw >> 25 & 3) as u8;
        }
        Format::Lr => {
            (insn.rd, insn.rs1) = (rd, rs1);
            insn.rm = (raw >> 25 & 3) as u8;
        }
        Format::I => {
            (insn.rd, insn.rs1) = (rd, rs1);
            insn.imm = raw as i32 >> 20;
        }
        Format::Shamt6 => {
            (insn.rd, insn.rs1) = (rd, rs1);
            insn.imm = field(raw, 25, 20, 0);
        }
        Format::Shamt5 => {
            (insn.rd, insn.rs1) = (rd, rs1);
            insn.imm = field(raw, 24, 20, 0);
        }
        Format::Csr => {
            (insn.rd, insn.rs1) = (rd, rs1);
            insn.imm = field(raw, 31, 20, 0);
        }
        Format::Sets => insn.imm = field(raw, 27, 20, 0),
        Format::Rs1 => insn.rs1 = rs1,
        Format::S => {
            (insn.rs1, insn.rs2) = (rs1, rs2);
            insn.imm = raw as i32 >> 25 << 5 | field(raw, 11, 7, 0);
        }
        Format::B => {
            (insn.rs1, insn.rs2) = (rs1, rs2);
            insn.imm = raw as i32 >> 31 << 12
                | field(raw, 7, 7, 11)
                | field(raw, 30, 25, 5)
                | field(raw, 11, 8, 1);
        }
        Format::U => {
            insn.rd = rd;
            insn.imm = (raw & !0xfff) as i32;
        }
        Format::J => {
            insn.rd = rd;
            insn.imm = raw as i32 >> 31 << 20
                | field(raw, 19, 12, 12)
                | field(raw, 20, 20, 11)
                | field(raw, 30, 21, 1);
        }

        Format::CAddi4spn => {
            (insn.rd, insn.rs1) = (creg(2), 2);
            insn.imm = field(raw, 12, 11, 4)
                | field(raw, 10, 7, 6)
                | field(raw, 6, 6, 2)
                | field(raw, 5, 5, 3);
        }
        Format::CLw => {
            (insn.rd, insn.rs1) = (creg(2), creg(7));
            insn.imm = scaled_w();
        }
        Format::CLd => {
            (insn.rd, insn.rs1) = (creg(2), creg(7));
            insn.imm = scaled_d();
        }
        Format::CSw => {
            (insn.rs2, insn.rs1) = (creg(2), creg(7));
            insn.imm = scaled_w();
        }
        Format::CSd => {
            (insn.rs2, insn.rs1) = (creg(2), creg(7));
            insn.imm = scaled_d();
        }
        Format::CI => {
            (insn.rd, insn.rs1) = (rd, rd);
            insn.imm = imm6();
        }
        Format::CLi => {
            insn.rd = rd;
            insn.imm = imm6();
        }
        Format::CLui => {
            insn.rd = rd;
            insn.imm = imm6() << 12;
        }
        Format::CAddi16sp => {
            (insn.rd, insn.rs1) = (2, 2);
            insn.imm = sext(
                field(raw, 12, 12, 9)
                    | field(raw, 6, 6, 4)
                    | field(raw, 5, 5, 6)
                    | field(raw, 4, 3, 7)
                    | field(raw, 2, 2, 5),
                10,
            );
        }
        Format::CSlli => {
            (insn.rd, insn.rs1) = (rd, rd);
            insn.imm = shamt6();
        }
        Format::CShift => {
            (insn.rd, insn.rs1) = (creg(7), creg(7));
            insn.imm = shamt6();
        }
        Format::CAndi => {
            (insn.rd, insn.rs1) = (creg(7), creg(7));
            insn.imm = imm6();
        }
        Format::CA => (insn.rd, insn.rs1, insn.rs2) = (creg(7), creg(7), creg(2)),
        Format::CJ => {
            insn.imm = sext(
                field(raw, 12, 12, 11)
                    | field(raw, 11, 11, 4)
                    | field(raw, 10, 9, 8)
                    | field(raw, 8, 8, 10)
                    | field(raw, 7, 7, 6)
                    | field(raw, 6, 6, 7)
                    | field(raw, 5, 3, 1)
                    | field(raw, 2, 2, 5),
                12,
            );
        }
        Format::CB => {
            insn.rs1 = creg(7);
            insn.imm = sext(
                field(raw, 12, 12, 8)
                    | field(raw, 11, 10, 3)
                    | field(raw, 6, 5, 6)
                    | field(raw, 4, 3, 1)
                    | field(raw, 2, 2, 5),
                9,
            );
        }
        Format::CLwsp => {
            (insn.rd, insn.rs1) = (rd, 2);
            insn.imm = field(raw, 12, 12, 5) | field(raw, 6, 4, 2) | field(raw, 3, 2, 6);
        }
        Format::CLdsp => {
            (insn.rd, insn.rs1) = (rd, 2);
            insn.imm = field(raw, 12, 12, 5) | field(raw, 6, 5, 3) | field(raw, 4, 2, 6);
        }
        Format::CSwsp => {
            (insn.rs1, insn.rs2) = (2, reg(2));
            insn.imm = field(raw, 12, 9, 2) | field(raw, 8, 7, 6);
        }
        Format::CSdsp => {
            (insn.rs1, insn.rs2) = (2, reg(2));
            insn.imm = field(raw, 12, 10, 3) | field(raw, 9, 7, 6);
        }
        Format::CJr => insn.rs1 = rd,
        Format::CJalr => (insn.rd, insn.rs1) = (1, rd),
        Format::CMv => (insn.rd, insn.rs2) = (rd, reg(2)),
        Format::CAdd => (insn.rd, insn.rs1, insn.rs2) = (rd, rd, reg(2)),
    }
    insn
}

/// Adds the rounding mode; 5 and 6 are reserved.
#[inline]
fn with_rounding(mut insn: Insn) -> Insn {
    insn.rm = (insn.raw >> 12 & 7) as u8;
    if matches!(insn.rm, 5 | 6) {
        return illegal(insn.raw, insn.len);
    }
    insn
}
