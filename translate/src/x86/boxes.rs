//! Boxes of singles, tested together.
//!
//! A single is valid only if the upper half of its register is all ones; anything else reads as the
//! canonical NaN. What single-precision ops and loads give is boxed, and so is what has been tested.
//! The first op of a straight run that reads a register of which nothing is known tests all those
//! that the run will read: their bits and-ed, against the box, by one instruction. If any is badly
//! boxed, the interpreter runs that op.

use std::mem::offset_of;

use dynasmrt::DynasmApi;

use super::asm::{Cc, asm};
use super::emit::{Cold, ColdKind, Emission};
use super::regs::{FLoc, X2, disp, loc_f};
use crate::ops::{FReg, Fmt, Op};
use crate::state::{Consts, CpuState};

const BOX_S: i32 = disp(offset_of!(CpuState, consts) + offset_of!(Consts, box_s));

impl Emission<'_> {
    /// Makes sure that `f`, which the current op reads as a single, is boxed. Uses `xmm2`.
    pub(super) fn check_box(&mut self, f: FReg) {
        if self.boxed >> f.index() & 1 != 0 {
            return;
        }
        let mask = (1 << f.index()) | self.unknown_singles();
        // The payload of a NaN, computed as a double, could look like a box.
        let mut payloads = mask & self.nans.doubles;
        while payloads != 0 {
            self.settle(FReg(payloads.trailing_zeros() as u8));
            payloads &= payloads - 1;
        }
        self.test_boxes(mask);
        let fixup = self.a.jcc(Cc::Ae);
        let kind = ColdKind::Interpret {
            pc: self.pc,
            sunk: self.sunk_here,
            nans: self.nans,
        };
        self.colds.push(Cold {
            fixup,
            back: 0,
            kind,
        });
        self.boxed |= mask;
    }

    /// Registers that this op and those up to the next branch read as singles, of which nothing is
    /// known.
    fn unknown_singles(&self) -> u32 {
        let (mut read, mut written) = (0, self.boxed);
        for op in self.ahead {
            if matches!(
                op,
                Op::Branch { .. }
                    | Op::BranchImm { .. }
                    | Op::Jump { .. }
                    | Op::JumpReg { .. }
                    | Op::Trap(_)
            ) {
                break;
            }
            let (sources, dest) = singles(op);
            read |= sources & !written;
            written |= dest;
        }
        read
    }

    /// Sets the carry if all registers in the mask are boxed.
    fn test_boxes(&mut self, mut mask: u32) {
        let mut take = || {
            let f = FReg(mask.trailing_zeros() as u8);
            mask &= mask - 1;
            (loc_f(f), mask != 0)
        };
        let (first, mut more) = take();
        let mut all = match first {
            FLoc::R(r) => r,
            FLoc::M(slot) => {
                asm!(self.a; vmovsd xmm2, QWORD [rbp + slot]);
                X2
            }
        };
        while more {
            let (next, left) = take();
            match next {
                FLoc::R(r) => asm!(self.a; vandps xmm2, Rx(all), Rx(r)),
                // The upper half of what is read belongs to a neighbour, and is not tested.
                FLoc::M(slot) => asm!(self.a; vandps xmm2, Rx(all), [rbp + slot]),
            }
            all = X2;
            more = left;
        }
        asm!(self.a; vptest Rx(all), [rbp + BOX_S]);
    }
}

/// The registers that the op reads as singles, and the one that it writes.
fn singles(op: &Op) -> (u32, u32) {
    let bit = |f: FReg| 1u32 << f.index();
    let of = |fmt, mask| if fmt == Fmt::S { mask } else { 0 };
    match *op {
        Op::FAlu { fmt, fd, a, b, .. } => (of(fmt, bit(a) | bit(b)), bit(fd)),
        Op::FSqrt { fmt, fd, a, .. } => (of(fmt, bit(a)), bit(fd)),
        Op::FMa {
            fmt, fd, a, b, c, ..
        } => (of(fmt, bit(a) | bit(b) | bit(c)), bit(fd)),
        Op::FCmp { fmt, a, b, .. } => (of(fmt, bit(a) | bit(b)), 0),
        Op::FToInt { fmt, a, .. } => (of(fmt, bit(a)), 0),
        Op::FCvt {
            fmt: Fmt::D, fd, a, ..
        } => (bit(a), bit(fd)),
        Op::FCvt { fd, .. }
        | Op::IntToF { fd, .. }
        | Op::FMvFromX { fd, .. }
        | Op::FLoad { fd, .. } => (0, bit(fd)),
        _ => (0, 0),
    }
}
