//! The decoder: a lookup table that is made from the rows at compile time.
//!
//! An encoding selects a *bucket*, in two steps: by its major opcode (or quadrant) and `funct3`, and
//! from there by the field that tells the instructions with those apart. A bucket lists the rows
//! that can match there, the most specific first. Most have one; where there are more, the first
//! are nearly always those of encodings that nobody uses, so that the search is easily predicted.

use crate::format::{Format, LONG, Length, SHORT};
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

/// What is no instruction: matches everything, and ends every bucket.
const NO_ROW: Entry = Entry {
    mask: 0,
    value: 0,
    op: Opcode::Illegal,
    format: Format::Bare,
};

/// A field, `bits >> shift & mask`, whose value chooses among the buckets that start at `base`.
#[derive(Clone, Copy)]
struct Selector {
    base: u16,
    mask: u16,
    shift: u8,
}

/// One selector per major opcode (bits 2–6) and `funct3`, then one per quadrant of the C extension
/// and its `funct3`.
const SELECTOR_COUNT: usize = 32 * 8 + 3 * 8;

/// Index of the selector for an encoding.
#[inline]
const fn selector_of(bits: u32) -> usize {
    match bits & 3 {
        3 => (bits >> 2 & 31) as usize * 8 + (bits >> 12 & 7) as usize,
        quadrant => (32 + quadrant as usize) * 8 + (bits >> 13 & 7) as usize,
    }
}

/// Where `funct3` is.
const fn funct3_shift(bits: u32) -> u32 {
    match bits & 3 {
        3 => 12,
        _ => 13,
    }
}

/// Shift and mask of the field that tells most about the instructions of a selector.
const fn field_of(selector: usize) -> (u8, u16) {
    const OP_IMM: usize = 0b00100;
    const OP_IMM_32: usize = 0b00110;
    const AMO: usize = 0b01011;
    const OP: usize = 0b01100;
    const OP_32: usize = 0b01110;
    const OP_FP: usize = 0b10100;
    const QUADRANT_1: usize = 33;
    const QUADRANT_2: usize = 34;
    match (selector / 8, selector % 8) {
        (OP | OP_32 | OP_FP, _) => (25, 0x7f),
        (OP_IMM | OP_IMM_32, 0b001 | 0b101) => (26, 0x3f),
        (AMO, _) => (27, 0x1f),
        // rd: c.addi16sp or c.lui.
        (QUADRANT_1, 0b011) => (7, 0x1f),
        // Bits 10–12, 5 and 6: shifts, and what works on two registers.
        (QUADRANT_1, 0b100) => (5, 0b1110_0011),
        // Bit 12 and rs2: jumps and moves.
        (QUADRANT_2, 0b100) => (2, 0b100_0001_1111),
        _ => (0, 0),
    }
}

static SELECTORS: [Selector; SELECTOR_COUNT] = selectors();

const fn selectors() -> [Selector; SELECTOR_COUNT] {
    let mut all = [Selector {
        base: 0,
        mask: 0,
        shift: 0,
    }; SELECTOR_COUNT];
    let (mut at, mut base) = (0, 0);
    while at < all.len() {
        let (shift, mask) = field_of(at);
        all[at] = Selector { base, mask, shift };
        base += mask + 1;
        at += 1;
    }
    all
}

const BUCKETS: usize = {
    let last = selectors()[SELECTOR_COUNT - 1];
    (last.base + last.mask) as usize + 1
};

const ROW_COUNT: usize = ROWS.len() + COMPRESSED.len();

const fn row_at(index: usize) -> &'static Row {
    if index < ROWS.len() {
        &ROWS[index]
    } else {
        &COMPRESSED[index - ROWS.len()]
    }
}

/// The buckets where a row can match, one after the other.
struct Matching {
    row: &'static Row,
    funct3: u32,
    field: u32,
}

impl Matching {
    const fn of(row: &'static Row) -> Matching {
        Matching {
            row,
            funct3: 0,
            field: 0,
        }
    }

    const fn next(&mut self, selectors: &[Selector; SELECTOR_COUNT]) -> Option<usize> {
        let (value, fixed) = (self.row.pattern.value, self.row.pattern.mask);
        let place = funct3_shift(value);
        while self.funct3 < 8 {
            let bits = value & !(7 << place) | self.funct3 << place;
            let selector = selectors[selector_of(bits)];
            while bits & fixed == value && self.field <= selector.mask as u32 {
                let field = self.field;
                self.field += 1;
                let fixed = fixed >> selector.shift & selector.mask as u32;
                let possible = field & !(selector.mask as u32) == 0;
                if possible && value >> selector.shift & fixed == field & fixed {
                    return Some((selector.base as u32 + field) as usize);
                }
            }
            self.funct3 += 1;
            self.field = 0;
        }
        None
    }
}

/// Where each bucket begins among the entries, and how many entries there are. Empty buckets begin
/// at entry 0.
const fn starts() -> ([u16; BUCKETS], usize) {
    let selectors = selectors();
    let mut starts = [0; BUCKETS];
    let mut index = 0;
    while index < ROW_COUNT {
        let mut buckets = Matching::of(row_at(index));
        while let Some(bucket) = buckets.next(&selectors) {
            starts[bucket] += 1;
        }
        index += 1;
    }
    let (mut bucket, mut end) = (0, 1);
    while bucket < BUCKETS {
        let rows = starts[bucket];
        if rows != 0 {
            starts[bucket] = end;
            end += rows + 1;
        }
        bucket += 1;
    }
    (starts, end as usize)
}

static STARTS: [u16; BUCKETS] = starts().0;

const ENTRY_COUNT: usize = starts().1;

/// The rows of all buckets, each bucket ended by [`NO_ROW`].
static ENTRIES: [Entry; ENTRY_COUNT] = entries();

const fn entries() -> [Entry; ENTRY_COUNT] {
    let selectors = selectors();
    let mut entries = [NO_ROW; ENTRY_COUNT];
    let mut ends = starts().0;
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
            let mut buckets = Matching::of(row);
            while let Some(bucket) = buckets.next(&selectors) {
                entries[ends[bucket] as usize] = Entry {
                    mask: row.pattern.mask,
                    value: row.pattern.value,
                    op: row.op,
                    format: row.format,
                };
                ends[bucket] += 1;
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
    match bits & 3 {
        3 => decode_as(&LONG, bits),
        _ => decode_as(&SHORT, bits & 0xffff),
    }
}

#[inline(always)]
fn decode_as(length: &'static Length, bits: u32) -> Insn {
    let selector = SELECTORS[selector_of(bits)];
    let field = bits >> selector.shift & u32::from(selector.mask);
    let bucket = usize::from(selector.base) + field as usize;
    let mut at = usize::from(STARTS[bucket]);
    let entry = loop {
        let entry = &ENTRIES[at];
        if bits & entry.mask == entry.value {
            break entry;
        }
        at += 1;
    };
    entry.format.layout().extract(length, entry.op, bits)
}
