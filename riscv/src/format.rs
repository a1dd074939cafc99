//! Where the operands are in an encoding: one layout per instruction format, as data.
//!
//! Extraction has no branch per format: a register is a masked bit field plus a constant, an
//! immediate a sum of rotated and masked copies of the encoding. A part that a format lacks has an
//! empty mask, which gives 0.

use crate::Insn;

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

/// A small field: `(raw >> shift & mask) + base`.
#[derive(Clone, Copy)]
struct Field {
    shift: u8,
    mask: u8,
    base: u8,
}

impl Field {
    #[inline]
    fn get(self, raw: u32) -> u8 {
        (raw >> self.shift) as u8 & self.mask | self.base
    }
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

/// `funct3` as rounding mode.
const RM: Field = Field {
    shift: 12,
    mask: 7,
    base: 0,
};

/// `aq` and `rl`.
const AQ_RL: Field = Field {
    shift: 25,
    mask: 3,
    base: 0,
};

const RD: Field = reg(7);
const RS1: Field = reg(15);
const RS2: Field = reg(20);
const RS3: Field = reg(27);
/// `rs2` of formats CR and CSS.
const C_RS2: Field = reg(2);
const SP: Field = always(2);

/// A part of an immediate: `raw` rotated right and masked.
#[derive(Clone, Copy)]
struct Piece {
    mask: u32,
    rotate: u32,
}

/// Pieces of the immediates that are not very scattered.
const FEW: usize = 4;
/// Pieces of the most scattered immediate, that of `c.j`.
const MANY: usize = 8;

/// The layout of one format.
pub(crate) struct Layout {
    rd: Field,
    rs1: Field,
    rs2: Field,
    rs3: Field,
    rm: Field,
    /// Whether `rm` is a rounding mode, of which some are reserved.
    rounds: bool,
    /// Whether there are more than [`FEW`] pieces.
    scattered: bool,
    /// Shift left and arithmetically right by so much to sign-extend.
    sign: u8,
    pieces: [Piece; MANY],
}

const EMPTY: Layout = Layout {
    rd: NONE,
    rs1: NONE,
    rs2: NONE,
    rs3: NONE,
    rm: NONE,
    rounds: false,
    scattered: false,
    sign: 0,
    pieces: [Piece { mask: 0, rotate: 0 }; MANY],
};

impl Layout {
    const fn regs(rd: Field, rs1: Field, rs2: Field) -> Layout {
        Layout {
            rd,
            rs1,
            rs2,
            ..EMPTY
        }
    }

    const fn rs3(self, rs3: Field) -> Layout {
        Layout { rs3, ..self }
    }

    const fn rounding(self) -> Layout {
        Layout {
            rm: RM,
            rounds: true,
            ..self
        }
    }

    const fn ordering(self) -> Layout {
        Layout { rm: AQ_RL, ..self }
    }

    /// An unsigned immediate: bits `high` down to `low` of the encoding go to bit `to`, and so on.
    const fn unsigned(mut self, parts: &[(u32, u32, u32)]) -> Layout {
        let mut at = 0;
        while at < parts.len() {
            let (high, low, to) = parts[at];
            let width = high - low + 1;
            self.pieces[at] = Piece {
                mask: ((1 << width) - 1) << to,
                rotate: (low + 32 - to) % 32,
            };
            at += 1;
        }
        self.scattered = parts.len() > FEW;
        self
    }

    /// The same, sign-extended from `bits` bits.
    const fn signed(self, bits: u8, parts: &[(u32, u32, u32)]) -> Layout {
        Layout {
            sign: 32 - bits,
            ..self.unsigned(parts)
        }
    }

    /// Fills the operands of `insn`; `None` if the rounding mode is reserved.
    #[inline]
    pub(crate) fn extract(&self, mut insn: Insn) -> Option<Insn> {
        let raw = insn.raw;
        insn.rd = self.rd.get(raw);
        insn.rs1 = self.rs1.get(raw);
        insn.rs2 = self.rs2.get(raw);
        insn.rs3 = self.rs3.get(raw);
        insn.rm = self.rm.get(raw);
        let sum = |pieces: &[Piece]| {
            pieces.iter().fold(0, |sum, piece| {
                sum | raw.rotate_right(piece.rotate) & piece.mask
            })
        };
        let mut imm = sum(&self.pieces[..FEW]);
        if self.scattered {
            imm |= sum(&self.pieces[FEW..]);
        }
        insn.imm = (imm << self.sign) as i32 >> self.sign;
        (!self.rounds || !matches!(insn.rm, 5 | 6)).then_some(insn)
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
    (Format::R4Rm, Layout::regs(RD, RS1, RS2).rs3(RS3).rounding()),
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

    (Format::CAddi4spn, Layout::regs(creg(2), SP, NONE)
        .unsigned(&[(12, 11, 4), (10, 7, 6), (6, 6, 2), (5, 5, 3)])),
    (Format::CLw, Layout::regs(creg(2), creg(7), NONE).unsigned(C_WORD)),
    (Format::CLd, Layout::regs(creg(2), creg(7), NONE).unsigned(C_DOUBLE)),
    (Format::CSw, Layout::regs(NONE, creg(7), creg(2)).unsigned(C_WORD)),
    (Format::CSd, Layout::regs(NONE, creg(7), creg(2)).unsigned(C_DOUBLE)),
    (Format::CI, Layout::regs(RD, RD, NONE).signed(6, C_IMM6)),
    (Format::CLi, Layout::regs(RD, NONE, NONE).signed(6, C_IMM6)),
    (Format::CLui, Layout::regs(RD, NONE, NONE).signed(18, &[(12, 12, 17), (6, 2, 12)])),
    (Format::CAddi16sp, Layout::regs(SP, SP, NONE)
        .signed(10, &[(12, 12, 9), (6, 6, 4), (5, 5, 6), (4, 3, 7), (2, 2, 5)])),
    (Format::CSlli, Layout::regs(RD, RD, NONE).unsigned(C_IMM6)),
    (Format::CShift, Layout::regs(creg(7), creg(7), NONE).unsigned(C_IMM6)),
    (Format::CAndi, Layout::regs(creg(7), creg(7), NONE).signed(6, C_IMM6)),
    (Format::CA, Layout::regs(creg(7), creg(7), creg(2))),
    (Format::CJ, EMPTY.signed(12, &[
        (12, 12, 11), (11, 11, 4), (10, 9, 8), (8, 8, 10), (7, 7, 6), (6, 6, 7), (5, 3, 1), (2, 2, 5),
    ])),
    (Format::CB, Layout::regs(NONE, creg(7), NONE)
        .signed(9, &[(12, 12, 8), (11, 10, 3), (6, 5, 6), (4, 3, 1), (2, 2, 5)])),
    (Format::CLwsp, Layout::regs(RD, SP, NONE).unsigned(&[(12, 12, 5), (6, 4, 2), (3, 2, 6)])),
    (Format::CLdsp, Layout::regs(RD, SP, NONE).unsigned(&[(12, 12, 5), (6, 5, 3), (4, 2, 6)])),
    (Format::CSwsp, Layout::regs(NONE, SP, C_RS2).unsigned(&[(12, 9, 2), (8, 7, 6)])),
    (Format::CSdsp, Layout::regs(NONE, SP, C_RS2).unsigned(&[(12, 10, 3), (9, 7, 6)])),
    (Format::CJr, Layout::regs(NONE, RD, NONE)),
    (Format::CJalr, Layout::regs(always(1), RD, NONE)),
    (Format::CMv, Layout::regs(RD, NONE, C_RS2)),
    (Format::CAdd, Layout::regs(RD, RD, C_RS2)),
];

impl Format {
    /// Where the operands of this format are.
    #[inline]
    pub(crate) fn layout(self) -> &'static Layout {
        &LAYOUTS[self as usize]
    }
}
