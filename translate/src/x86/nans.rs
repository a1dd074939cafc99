//! Canonical NaNs, late.
//!
//! The host's arithmetic keeps NaN payloads, RISC-V's gives the canonical NaN. Testing every result
//! costs as much as computing it, and most results are overwritten or only go into further
//! arithmetic, where one quiet NaN is as good as another. So a result in a pinned register may stay
//! as the host left it: the register is *unsettled* until somebody could see its bits. Then all
//! unsettled registers are tested, two by one comparison.
//!
//! Rules:
//! 1. An unsettled register holds what arithmetic of the noted format gave: never a signalling NaN.
//! 2. Whatever may see bits (stores, moves, reads in the other format, every way out of the block)
//!    settles first, or declares the unsettled registers in its fault point.

use dynasmrt::DynasmApi;

use super::asm::{Cc, asm};
use super::emit::{Cold, ColdKind, Emission};
use super::regs::{FLoc, loc_f};
use crate::ops::{FReg, Fmt};
use crate::state::{Consts, CpuState};

/// The unsettled registers, as masks by the format of what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nans {
    /// Singles.
    pub singles: u32,
    /// Doubles.
    pub doubles: u32,
}

impl Nans {
    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.singles | self.doubles == 0
    }

    /// Settles the registers in the state.
    pub fn canonicalize(self, state: &mut CpuState) {
        for (i, f) in state.f.iter_mut().enumerate() {
            if self.singles >> i & 1 != 0 && f32::from_bits(*f as u32).is_nan() {
                *f = Consts::VALUES.nan_s;
            }
            if self.doubles >> i & 1 != 0 && f64::from_bits(*f).is_nan() {
                *f = Consts::VALUES.nan_d;
            }
        }
    }

    pub(super) fn add(&mut self, f: FReg, fmt: Fmt) {
        match fmt {
            Fmt::S => self.singles |= 1 << f.index(),
            Fmt::D => self.doubles |= 1 << f.index(),
        }
    }

    pub(super) fn remove(&mut self, f: FReg) {
        self.singles &= !(1 << f.index());
        self.doubles &= !(1 << f.index());
    }

    /// Whether `f` holds an unsettled result of that format.
    pub(super) fn has(self, f: FReg, fmt: Fmt) -> bool {
        let mask = match fmt {
            Fmt::S => self.singles,
            Fmt::D => self.doubles,
        };
        mask >> f.index() & 1 != 0
    }
}

impl Emission<'_> {
    /// Settles every register: afterwards everybody may look.
    pub(super) fn settle_all(&mut self) {
        if self.nans.is_empty() {
            return;
        }
        let Nans { singles, doubles } = std::mem::take(&mut self.nans);
        self.settle_pairs(singles, Fmt::S);
        self.settle_pairs(doubles, Fmt::D);
    }

    /// Settles `f`.
    pub(super) fn settle(&mut self, f: FReg) {
        for fmt in [Fmt::S, Fmt::D] {
            if self.nans.has(f, fmt) {
                self.settle_pairs(1 << f.index(), fmt);
            }
        }
        self.nans.remove(f);
    }

    fn settle_pairs(&mut self, mut mask: u32, fmt: Fmt) {
        while mask != 0 {
            let a = pinned(&mut mask);
            let b = if mask == 0 { a } else { pinned(&mut mask) };
            compare(self, a, b, fmt);
            let fixup = self.a.jcc(Cc::P);
            self.colds.push(Cold {
                fixup,
                back: self.a.label(),
                kind: ColdKind::Nan { a, b, fmt },
            });
        }
    }

    /// Out of line: at least one of `a` and `b` is a NaN.
    pub(super) fn cold_nan(&mut self, a: u8, b: u8, fmt: Fmt) {
        self.replace_nan(a, fmt);
        if a != b {
            self.replace_nan(b, fmt);
        }
    }

    /// Settles the registers one by one, in cold code.
    pub(super) fn cold_settle(&mut self, nans: Nans) {
        for (mut mask, fmt) in [(nans.singles, Fmt::S), (nans.doubles, Fmt::D)] {
            while mask != 0 {
                let r = pinned(&mut mask);
                self.replace_nan(r, fmt);
            }
        }
    }

    fn replace_nan(&mut self, r: u8, fmt: Fmt) {
        compare(self, r, r, fmt);
        let number = self.a.jcc(Cc::Np);
        self.load_nan(r, fmt);
        self.a.bind(number);
    }
}

/// Takes the lowest register out of the mask: its host register. Only pinned ones are unsettled.
fn pinned(mask: &mut u32) -> u8 {
    let f = FReg(mask.trailing_zeros() as u8);
    *mask &= *mask - 1;
    match loc_f(f) {
        FLoc::R(r) => r,
        FLoc::M(_) => unreachable!("{f:?} is not pinned, but unsettled"),
    }
}

/// Sets the parity flag if either is a NaN.
fn compare(e: &mut Emission<'_>, a: u8, b: u8, fmt: Fmt) {
    match fmt {
        Fmt::D => asm!(e.a; vucomisd Rx(a), Rx(b)),
        Fmt::S => asm!(e.a; vucomiss Rx(a), Rx(b)),
    }
}
