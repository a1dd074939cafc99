//! Where the operands are in an encoding: one layout per instruction format, as data.
//!
//! Extraction has no branch per format. The registers, one per byte, are a sum of rotated and masked
//! copies of the encoding, and so is the immediate; an operand that a format lacks has empty masks,
//! which gives 0. The rotations are the same for all formats of a [`Length`].

use crate::{Insn, Opcode};

/// The instruction formats: 32-bit ones first, then those of the C extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Format {
    /// No operands.
    Bare,
    /// `rd`, `rs1`, `rs2`.
    R,
    /// `rd`, `rs1`.
    R1,
    /// `rd`, `rs1`, rounding mode.
    R1Rm,
    /// `rd`, `rs1`, `rs2`, rounding mode.
    RRm,
    /// `rd`, `rs1`, `rs2`, `rs3`, rounding mode.
    R4Rm,
    /// `rd`, `rs1`, `rs2`, `aq` and `rl`.
    Amo,
    /// `rd`, `rs1`, `aq` and `rl`.
    Lr,
    /// `rd`, `rs1`, 12-bit signed immediate.
    I,
    /// `rd`, `rs1`, 6-bit shift amount.
    Shamt6,
    /// `rd`, `rs1`, 5-bit shift amount.
    Shamt5,
    /// `rd`, `rs1` (register or 5-bit immediate), CSR number.
    Csr,
    /// Predecessor and successor sets.
    Sets,
    /// `rs1` alone.
    Rs1,
    /// `rs1`, `rs2`; no `rd`.
    Rs1Rs2,
    S,
    B,
    U,
    J,

    CAddi4spn,
    CLw,
    CLd,
    CSw,
    CSd,
    /// `rd` = `rs1`, 6-bit signed immediate.
    CI,
    /// `rd`, 6-bit signed immediate; `rs1` = `x0`.
    CLi,
    CLui,
    CAddi16sp,
    /// `rd` = `rs1`, shift amount.
    CSlli,
    /// Three-bit `rd` = `rs1`, shift amount.
    CShift,
    /// Three-bit `rd` = `rs1`, 6-bit signed immediate.
    CAndi,
    /// Three-bit `rd` = `rs1` and `rs2`.
    CA,
    /// Jump; `rd` = `x0`.
    CJ,
    /// Branch against `x0`.
    CB,
    CLwsp,
    CLdsp,
    CSwsp,
    CSdsp,
    /// `rs1`; `rd` = `x0`.
    CJr,
    /// `rs1`; `rd` = `x1`.
    CJalr,
    /// `rd`, `rs2`; `rs1` = `x0`.
    CMv,
    /// `rd` = `rs1`, `rs2`.
    CAdd,
}

/// A register operand: `(raw >> shift & mask) + base`.
#[derive(Clone, Copy)]
struct Field {
    shift: u8,
    mask: u8,
    base: u8,
}

/// `x0`, or no such operand.
const NONE: Field = always(0);

const fn always(register: u8) -> Field {
    Field {
        shift: 0,
        mask: 0,
        base: register,
    }
}

/// A five-bit register number at bit `shift`.
const fn reg(shift: u8) -> Field {
    Field {
        shift,
        mask: 31,
        base: 0,
    }
}

/// A three-bit register number at bit `shift`: x8–x15.
const fn creg(shift: u8) -> Field {
    Field {
        shift,
        mask: 7,
        base: 8,
    }
}

const RD: Field = reg(7);
const RS1: Field = reg(15);
const RS2: Field = reg(20);
const RS3: Field = reg(27);
/// `rs2` of formats CR and CSS.
const C_RS2: Field = reg(2);
const SP: Field = always(2);

/// What the formats of a length have in common. Rotations are to the right.
pub(crate) struct Length {
    bytes: u8,
    /// Rotations that bring register numbers to their byte.
    registers: &'static [u32],
    /// Rotations that bring parts of immediates to their place.
    immediate: &'static [u32],
    /// Number of the bit that is the sign of every signed immediate.
    sign: u32,
    /// Whether there are rounding modes and orderings.
    has_rm: bool,
}

/// 32-bit encodings.
pub(crate) const LONG: Length = Length {
    bytes: 4,
    // rd and rs1; rs2; rs3.
    registers: &[7, 4, 3],
    immediate: &[20, 7, 28, 0, 9],
    sign: 31,
    has_rm: true,
};

/// 16-bit encodings.
pub(crate) const SHORT: Length = Length {
    bytes: 2,
    // rd; the same bits as rs1; rs2; the same bits as rd.
    registers: &[7, 31, 18, 2],
    immediate: &[7, 2, 1, 31, 28, 29, 4, 22, 30],
    sign: 12,
    has_rm: false,
};

/// The layout of one format.
pub(crate) struct Layout {
    /// What is added to the registers.
    base: u32,
    /// By rotation of [`Length::registers`].
    registers: [u32; SHORT.registers.len()],
    /// By rotation of [`Length::immediate`].
    immediate: [u32; SHORT.immediate.len()],
    /// The bits of the immediate that are copies of the sign.
    sign: u32,
    /// Mask of `funct3` as rounding mode.
    rounding: u8,
    /// Mask of `aq` and `rl`.
    ordering: u8,
    /// The reserved values of what these two give, as a mask.
    reserved: u8,
}

/// The index of a rotation among those of a length. Fails to compile if there is none.
const fn index(rotations: &[u32], rotation: u32) -> usize {
    let mut at = 0;
    while rotations[at] != rotation % 32 {
        at += 1;
    }
    at
}

const EMPTY: Layout = Layout::of(&LONG, [NONE; 4]);

impl Layout {
    const fn of(length: &Length, fields: [Field; 4]) -> Layout {
        let mut base = 0;
        let mut registers = [0; SHORT.registers.len()];
        let mut at = 0;
        while at < fields.len() {
            let field = fields[at];
            let byte = 8 * at as u32;
            base |= (field.base as u32) << byte;
            if field.mask != 0 {
                let rotation = 32 + field.shift as u32 - byte;
                registers[index(length.registers, rotation)] |= (field.mask as u32) << byte;
            }
            at += 1;
        }
        Layout {
            base,
            registers,
            immediate: [0; SHORT.immediate.len()],
            sign: 0,
            rounding: 0,
            ordering: 0,
            reserved: 0,
        }
    }

    const fn regs(rd: Field, rs1: Field, rs2: Field) -> Layout {
        Layout::of(&LONG, [rd, rs1, rs2, NONE])
    }

    const fn c(rd: Field, rs1: Field, rs2: Field) -> Layout {
        Layout::of(&SHORT, [rd, rs1, rs2, NONE])
    }

    const fn rounding(self) -> Layout {
        Layout {
            rounding: 7,
            reserved: 1 << 5 | 1 << 6,
            ..self
        }
    }

    const fn ordering(self) -> Layout {
        Layout {
            ordering: 3,
            ..self
        }
    }

    /// An immediate: bits `high` down to `low` of the encoding go to bit `to`, and so on. Bits that
    /// are copies of the sign are left out.
    const fn parts(mut self, length: &Length, parts: &[(u32, u32, u32)]) -> Layout {
        let mut at = 0;
        while at < parts.len() {
            let (high, low, to) = parts[at];
            let mask = ((1 << (high - low + 1)) - 1) << to & !self.sign;
            if mask != 0 {
                self.immediate[index(length.immediate, 32 + low - to)] |= mask;
            }
            at += 1;
        }
        self
    }

    /// An unsigned immediate.
    const fn unsigned(self, parts: &[(u32, u32, u32)]) -> Layout {
        self.parts(&LONG, parts)
    }

    /// An immediate that is sign-extended from `bits` bits.
    const fn signed(self, bits: u8, parts: &[(u32, u32, u32)]) -> Layout {
        let sign = u32::MAX << (bits - 1);
        Layout { sign, ..self }.parts(&LONG, parts)
    }

    /// The same of 16-bit encodings.
    const fn c_unsigned(self, parts: &[(u32, u32, u32)]) -> Layout {
        self.parts(&SHORT, parts)
    }

    const fn c_signed(self, bits: u8, parts: &[(u32, u32, u32)]) -> Layout {
        let sign = u32::MAX << (bits - 1);
        Layout { sign, ..self }.parts(&SHORT, parts)
    }

    /// The instruction `op` with its operands; illegal if its rounding mode is reserved.
    #[inline(always)]
    pub(crate) fn extract(&self, length: &'static Length, op: Opcode, raw: u32) -> Insn {
        let sum = |rotations: &[u32], masks: &[u32]| {
            let parts = rotations.iter().zip(masks);
            parts.fold(0, |sum, (n, mask)| sum | raw.rotate_right(*n) & mask)
        };
        let registers = self.base | sum(length.registers, &self.registers);
        let [rd, rs1, rs2, rs3] = registers.to_le_bytes();
        let rm = match length.has_rm {
            true => (raw >> 12) as u8 & self.rounding | (raw >> 25) as u8 & self.ordering,
            false => 0,
        };
        let negative = ((raw << (31 - length.sign)) as i32 >> 31) as u32;
        let imm = sum(length.immediate, &self.immediate) | negative & self.sign;
        let insn = Insn {
            op,
            len: length.bytes,
            rd,
            rs1,
            rs2,
            rs3,
            rm,
            imm: imm as i32,
            raw,
        };
        match length.has_rm && self.reserved >> rm & 1 != 0 {
            true => illegal(raw, length.bytes),
            false => insn,
        }
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

/// 6-bit immediate of format CI.
const C_IMM6: &[(u32, u32, u32)] = &[(12, 12, 5), (6, 2, 0)];
/// Offset of compressed loads and stores of words.
const C_WORD: &[(u32, u32, u32)] = &[(12, 10, 3), (6, 6, 2), (5, 5, 6)];
/// And of doublewords.
const C_DOUBLE: &[(u32, u32, u32)] = &[(12, 10, 3), (6, 5, 6)];

/// Layouts by format.
static LAYOUTS: [Layout; Format::CAdd as usize + 1] = layouts();

const fn layouts() -> [Layout; Format::CAdd as usize + 1] {
    let mut all = [const { EMPTY }; Format::CAdd as usize + 1];
    let mut at = 0;
    while at < FORMATS.len() {
        let (format, layout) = &FORMATS[at];
        assert!(*format as usize == at, "formats out of order");
        all[at] = Layout { ..*layout };
        at += 1;
    }
    all
}

/// The layout of each format, in the order of the enum.
#[rustfmt::skip]
const FORMATS: [(Format, Layout); Format::CAdd as usize + 1] = [
    (Format::Bare, EMPTY),
    (Format::R, Layout::regs(RD, RS1, RS2)),
    (Format::R1, Layout::regs(RD, RS1, NONE)),
    (Format::R1Rm, Layout::regs(RD, RS1, NONE).rounding()),
    (Format::RRm, Layout::regs(RD, RS1, RS2).rounding()),
    (Format::R4Rm, Layout::of(&LONG, [RD, RS1, RS2, RS3]).rounding()),
    (Format::Amo, Layout::regs(RD, RS1, RS2).ordering()),
    (Format::Lr, Layout::regs(RD, RS1, NONE).ordering()),
    (Format::I, Layout::regs(RD, RS1, NONE).signed(12, &[(31, 20, 0)])),
    (Format::Shamt6, Layout::regs(RD, RS1, NONE).unsigned(&[(25, 20, 0)])),
    (Format::Shamt5, Layout::regs(RD, RS1, NONE).unsigned(&[(24, 20, 0)])),
    (Format::Csr, Layout::regs(RD, RS1, NONE).unsigned(&[(31, 20, 0)])),
    (Format::Sets, EMPTY.unsigned(&[(27, 20, 0)])),
    (Format::Rs1, Layout::regs(NONE, RS1, NONE)),
    (Format::Rs1Rs2, Layout::regs(NONE, RS1, RS2)),
    (Format::S, Layout::regs(NONE, RS1, RS2).signed(12, &[(31, 25, 5), (11, 7, 0)])),
    (Format::B, Layout::regs(NONE, RS1, RS2)
        .signed(13, &[(31, 31, 12), (7, 7, 11), (30, 25, 5), (11, 8, 1)])),
    (Format::U, Layout::regs(RD, NONE, NONE).unsigned(&[(31, 12, 12)])),
    (Format::J, Layout::regs(RD, NONE, NONE)
        .signed(21, &[(31, 31, 20), (19, 12, 12), (20, 20, 11), (30, 21, 1)])),

    (Format::CAddi4spn, Layout::c(creg(2), SP, NONE)
        .c_unsigned(&[(12, 11, 4), (10, 7, 6), (6, 6, 2), (5, 5, 3)])),
    (Format::CLw, Layout::c(creg(2), creg(7), NONE).c_unsigned(C_WORD)),
    (Format::CLd, Layout::c(creg(2), creg(7), NONE).c_unsigned(C_DOUBLE)),
    (Format::CSw, Layout::c(NONE, creg(7), creg(2)).c_unsigned(C_WORD)),
    (Format::CSd, Layout::c(NONE, creg(7), creg(2)).c_unsigned(C_DOUBLE)),
    (Format::CI, Layout::c(RD, RD, NONE).c_signed(6, C_IMM6)),
    (Format::CLi, Layout::c(RD, NONE, NONE).c_signed(6, C_IMM6)),
    (Format::CLui, Layout::c(RD, NONE, NONE).c_signed(18, &[(12, 12, 17), (6, 2, 12)])),
    (Format::CAddi16sp, Layout::c(SP, SP, NONE)
        .c_signed(10, &[(12, 12, 9), (6, 6, 4), (5, 5, 6), (4, 3, 7), (2, 2, 5)])),
    (Format::CSlli, Layout::c(RD, RD, NONE).c_unsigned(C_IMM6)),
    (Format::CShift, Layout::c(creg(7), creg(7), NONE).c_unsigned(C_IMM6)),
    (Format::CAndi, Layout::c(creg(7), creg(7), NONE).c_signed(6, C_IMM6)),
    (Format::CA, Layout::c(creg(7), creg(7), creg(2))),
    (Format::CJ, Layout::c(NONE, NONE, NONE).c_signed(12, &[
        (12, 12, 11), (11, 11, 4), (10, 9, 8), (8, 8, 10), (7, 7, 6), (6, 6, 7), (5, 3, 1), (2, 2, 5),
    ])),
    (Format::CB, Layout::c(NONE, creg(7), NONE)
        .c_signed(9, &[(12, 12, 8), (11, 10, 3), (6, 5, 6), (4, 3, 1), (2, 2, 5)])),
    (Format::CLwsp, Layout::c(RD, SP, NONE).c_unsigned(&[(12, 12, 5), (6, 4, 2), (3, 2, 6)])),
    (Format::CLdsp, Layout::c(RD, SP, NONE).c_unsigned(&[(12, 12, 5), (6, 5, 3), (4, 2, 6)])),
    (Format::CSwsp, Layout::c(NONE, SP, C_RS2).c_unsigned(&[(12, 9, 2), (8, 7, 6)])),
    (Format::CSdsp, Layout::c(NONE, SP, C_RS2).c_unsigned(&[(12, 10, 3), (9, 7, 6)])),
    (Format::CJr, Layout::c(NONE, RD, NONE)),
    (Format::CJalr, Layout::c(always(1), RD, NONE)),
    (Format::CMv, Layout::c(RD, NONE, C_RS2)),
    (Format::CAdd, Layout::c(RD, RD, C_RS2)),
];

impl Format {
    /// Where the operands of this format are.
    #[inline]
    pub(crate) fn layout(self) -> &'static Layout {
        &LAYOUTS[self as usize]
    }
}
