//! Floating point on host SSE/AVX/FMA, bit-exact.
//!
//! * MXCSR holds the dynamic rounding mode. Another static mode goes to the interpreter.
//! * The flags are those of the host: x86 detects tininess after rounding, as RISC-V does. Reading
//!   them from MXCSR would empty the pipeline, so they are collected by traps: only exceptions whose
//!   flag has accrued are masked, and `fflags` in the state is always complete. An instruction that
//!   raises another one (or gives an exact denormal, while underflow is not masked) takes SIGFPE
//!   before it has changed anything; it has a fault point, and is run by the interpreter, which
//!   says which flags accrue. The next `ldmxcsr` masks them.
//! * A guest that clears flags again and again would trap again and again: for it blocks of another
//!   mode are made, in which MXCSR collects the flags, all exceptions masked.
//! * x86 keeps NaN payloads, RISC-V does not: see `nans`.
//! * A scalar single operation copies the upper bits of its first source, so that boxed sources
//!   give a boxed result. How sources are known to be boxed: see `boxes`.

use std::mem::offset_of;

use dynasmrt::DynasmApi;

use super::asm::{Bin, Cc, Fixup, asm};
use super::emit::{Cold, ColdKind, Emission};
use super::regs::{FLoc, Loc, RAX, RCX, X0, X1, X2, disp, loc, loc_f};
use super::runtime::{FFLAGS, FLAG_TABLE, MXCSR_NOW};
use crate::ops::{FAluOp, FCmpOp, FReg, FmaOp, Fmt, IntFmt, Op, Reg, Rm, Width};
use crate::state::{Consts, CpuState};

const fn constant(offset: usize) -> i32 {
    disp(offset_of!(CpuState, consts) + offset)
}

const BOX_S: i32 = constant(offset_of!(Consts, box_s));
const NAN_D: i32 = constant(offset_of!(Consts, nan_d));
const NAN_S: i32 = constant(offset_of!(Consts, nan_s));
const INF2_D: i32 = constant(offset_of!(Consts, inf2_d));
const INF2_S: i32 = constant(offset_of!(Consts, inf2_s));
const MXCSR: i32 = disp(offset_of!(CpuState, mxcsr));

impl Emission<'_> {
    /// The register to compute `fd` in: its own if it is pinned, else `xmm0`.
    pub(super) fn f_dest(&self, fd: FReg) -> u8 {
        match loc_f(fd) {
            FLoc::R(r) => r,
            FLoc::M(_) => X0,
        }
    }

    /// Completes a computation of `fd` in `d`; a single is boxed by now.
    pub(super) fn f_finish(&mut self, fd: FReg, d: u8, fmt: Fmt) {
        match loc_f(fd) {
            FLoc::R(r) if r == d => {}
            FLoc::R(r) => asm!(self.a; vmovaps Rx(r), Rx(d)),
            FLoc::M(slot) => asm!(self.a; vmovsd QWORD [rbp + slot], Rx(d)),
        }
        self.nans.remove(fd);
        match fmt {
            Fmt::S => self.boxed |= 1 << fd.index(),
            Fmt::D => self.boxed &= !(1 << fd.index()),
        }
    }

    /// `f` in some vector register, `scratch` if it is not pinned; a single is known to be boxed.
    fn f_in(&mut self, f: FReg, scratch: u8, fmt: Fmt) -> u8 {
        let other = match fmt {
            Fmt::S => Fmt::D,
            Fmt::D => Fmt::S,
        };
        if self.nans.has(f, other) {
            self.settle(f);
        }
        if fmt == Fmt::S {
            self.check_box(f);
        }
        match loc_f(f) {
            FLoc::R(r) => r,
            FLoc::M(slot) => {
                asm!(self.a; vmovsd Rx(scratch), QWORD [rbp + slot]);
                scratch
            }
        }
    }

    /// Completes arithmetic that left its result, which may be any NaN, in `d`.
    fn f_result(&mut self, fd: FReg, d: u8, fmt: Fmt) {
        match loc_f(fd) {
            FLoc::R(_) => {
                self.f_finish(fd, d, fmt);
                self.nans.add(fd, fmt);
            }
            FLoc::M(_) => {
                match fmt {
                    Fmt::D => asm!(self.a; vucomisd Rx(d), Rx(d)),
                    Fmt::S => asm!(self.a; vucomiss Rx(d), Rx(d)),
                }
                let fixup = self.a.jcc(Cc::P);
                self.colds.push(Cold {
                    fixup,
                    back: self.a.label(),
                    kind: ColdKind::Nan { a: d, b: d, fmt },
                });
                self.f_finish(fd, d, fmt);
            }
        }
    }

    /// The canonical NaN into `d`.
    pub(super) fn load_nan(&mut self, d: u8, fmt: Fmt) {
        let m = match fmt {
            Fmt::D => NAN_D,
            Fmt::S => NAN_S,
        };
        asm!(self.a; vmovsd Rx(d), QWORD [rbp + m]);
    }

    /// Whether the host's current mode does for `rm`.
    fn is_current(&self, rm: Rm) -> bool {
        rm as u8 == self.block.mode.frm() && rm != Rm::Rmm
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one op")]
    pub(super) fn f_alu(&mut self, op: FAluOp, fmt: Fmt, rm: Rm, fd: FReg, fa: FReg, fb: FReg) {
        match op {
            FAluOp::Add | FAluOp::Sub | FAluOp::Mul | FAluOp::Div => {
                if !self.is_current(rm) {
                    return self.helper_f(
                        Op::FAlu {
                            op,
                            fmt,
                            rm,
                            fd,
                            a: fa,
                            b: fb,
                        },
                        Some((fd, fmt)),
                    );
                }
                let (a, b) = (self.f_in(fa, X0, fmt), self.f_in(fb, X1, fmt));
                let d = self.f_dest(fd);
                match (op, fmt) {
                    (FAluOp::Add, Fmt::D) => asm!(self.a; vaddsd Rx(d), Rx(a), Rx(b)),
                    (FAluOp::Sub, Fmt::D) => asm!(self.a; vsubsd Rx(d), Rx(a), Rx(b)),
                    (FAluOp::Mul, Fmt::D) => asm!(self.a; vmulsd Rx(d), Rx(a), Rx(b)),
                    (_, Fmt::D) => asm!(self.a; vdivsd Rx(d), Rx(a), Rx(b)),
                    (FAluOp::Add, Fmt::S) => asm!(self.a; vaddss Rx(d), Rx(a), Rx(b)),
                    (FAluOp::Sub, Fmt::S) => asm!(self.a; vsubss Rx(d), Rx(a), Rx(b)),
                    (FAluOp::Mul, Fmt::S) => asm!(self.a; vmulss Rx(d), Rx(a), Rx(b)),
                    (_, Fmt::S) => asm!(self.a; vdivss Rx(d), Rx(a), Rx(b)),
                }
                self.f_result(fd, d, fmt);
            }
            FAluOp::Min | FAluOp::Max => self.f_min_max(op, fmt, fd, fa, fb),
            FAluOp::Sgnj | FAluOp::Sgnjn | FAluOp::Sgnjx => self.f_sign(op, fmt, fd, fa, fb),
        }
    }

    fn f_min_max(&mut self, op: FAluOp, fmt: Fmt, fd: FReg, fa: FReg, fb: FReg) {
        let (a, b) = (self.f_in(fa, X0, fmt), self.f_in(fb, X1, fmt));
        match fmt {
            Fmt::D => asm!(self.a; vucomisd Rx(a), Rx(b)),
            Fmt::S => asm!(self.a; vucomiss Rx(a), Rx(b)),
        }
        let rm = Rm::Rne;
        let nan = self.a.jcc(Cc::P);
        let cold = self.cold(
            nan,
            Op::FAlu {
                op,
                fmt,
                rm,
                fd,
                a: fa,
                b: fb,
            },
        );
        // minsd gives its second source for equal ones: both ways, then the signs of zeros meet.
        match (op, fmt) {
            (FAluOp::Min, Fmt::D) => asm!(self.a
                ; vminsd xmm2, Rx(a), Rx(b) ; vminsd xmm0, Rx(b), Rx(a) ; vorpd xmm0, xmm0, xmm2),
            (FAluOp::Min, Fmt::S) => asm!(self.a
                ; vminss xmm2, Rx(a), Rx(b) ; vminss xmm0, Rx(b), Rx(a) ; vorpd xmm0, xmm0, xmm2),
            (_, Fmt::D) => asm!(self.a
                ; vmaxsd xmm2, Rx(a), Rx(b) ; vmaxsd xmm0, Rx(b), Rx(a) ; vandpd xmm0, xmm0, xmm2),
            (_, Fmt::S) => asm!(self.a
                ; vmaxss xmm2, Rx(a), Rx(b) ; vmaxss xmm0, Rx(b), Rx(a) ; vandpd xmm0, xmm0, xmm2),
        }
        self.f_finish(fd, X0, fmt);
        self.rejoin(cold);
    }

    fn f_sign(&mut self, op: FAluOp, fmt: Fmt, fd: FReg, fa: FReg, fb: FReg) {
        let (abs, sign) = match fmt {
            Fmt::D => (
                constant(offset_of!(Consts, abs_d)),
                constant(offset_of!(Consts, sign_d)),
            ),
            Fmt::S => (
                constant(offset_of!(Consts, abs_s)),
                constant(offset_of!(Consts, sign_s)),
            ),
        };
        if fa == fb && op == FAluOp::Sgnj && fa == fd {
            // Nothing moves; but a badly boxed single becomes the canonical NaN.
            self.f_in(fa, X0, fmt);
            return;
        }
        self.settle(fa);
        self.settle(fb);
        let a = self.f_in(fa, X0, fmt);
        let d = self.f_dest(fd);
        if fa == fb {
            match op {
                FAluOp::Sgnj if d == a => {}
                FAluOp::Sgnj => asm!(self.a; vmovaps Rx(d), Rx(a)),
                FAluOp::Sgnjn => asm!(self.a; vxorpd Rx(d), Rx(a), [rbp + sign]),
                _ => asm!(self.a; vandpd Rx(d), Rx(a), [rbp + abs]),
            }
            return self.f_finish(fd, d, fmt);
        }
        let b = self.f_in(fb, X1, fmt);
        if op == FAluOp::Sgnjx {
            asm!(self.a; vandpd xmm2, Rx(b), [rbp + sign]; vxorpd Rx(d), Rx(a), xmm2);
        } else {
            if op == FAluOp::Sgnj {
                asm!(self.a; vandpd xmm2, Rx(b), [rbp + sign]);
            } else {
                asm!(self.a; vandnpd xmm2, Rx(b), [rbp + sign]);
            }
            asm!(self.a; vandpd xmm0, Rx(a), [rbp + abs]; vorpd Rx(d), xmm0, xmm2);
        }
        self.f_finish(fd, d, fmt);
    }

    pub(super) fn f_sqrt(&mut self, fmt: Fmt, rm: Rm, fd: FReg, fa: FReg) {
        if !self.is_current(rm) {
            return self.helper_f(Op::FSqrt { fmt, rm, fd, a: fa }, Some((fd, fmt)));
        }
        let a = self.f_in(fa, X0, fmt);
        let d = self.f_dest(fd);
        match fmt {
            Fmt::D => asm!(self.a; vsqrtsd Rx(d), Rx(a), Rx(a)),
            Fmt::S => asm!(self.a; vsqrtss Rx(d), Rx(a), Rx(a)),
        }
        self.f_result(fd, d, fmt);
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one op")]
    pub(super) fn f_ma(
        &mut self,
        op: FmaOp,
        fmt: Fmt,
        rm: Rm,
        fd: FReg,
        fa: FReg,
        fb: FReg,
        fc: FReg,
    ) {
        let whole = Op::FMa {
            op,
            fmt,
            rm,
            fd,
            a: fa,
            b: fb,
            c: fc,
        };
        if !self.is_current(rm) {
            return self.helper_f(whole, Some((fd, fmt)));
        }
        let a = self.f_in(fa, X0, fmt);
        let b = self.f_in(fb, X1, fmt);
        let c = self.f_in(fc, X2, fmt);
        // In scratch, so that the operands are there for the interpreter if the result is a NaN:
        // RISC-V signals ∞ × 0 even with a quiet addend, x86 does not.
        if a != X0 {
            asm!(self.a; vmovaps xmm0, Rx(a));
        }
        match (op, fmt) {
            (FmaOp::Madd, Fmt::D) => asm!(self.a; vfmadd213sd xmm0, Rx(b), Rx(c)),
            (FmaOp::Msub, Fmt::D) => asm!(self.a; vfmsub213sd xmm0, Rx(b), Rx(c)),
            (FmaOp::Nmsub, Fmt::D) => asm!(self.a; vfnmadd213sd xmm0, Rx(b), Rx(c)),
            (FmaOp::Nmadd, Fmt::D) => asm!(self.a; vfnmsub213sd xmm0, Rx(b), Rx(c)),
            (FmaOp::Madd, Fmt::S) => asm!(self.a; vfmadd213ss xmm0, Rx(b), Rx(c)),
            (FmaOp::Msub, Fmt::S) => asm!(self.a; vfmsub213ss xmm0, Rx(b), Rx(c)),
            (FmaOp::Nmsub, Fmt::S) => asm!(self.a; vfnmadd213ss xmm0, Rx(b), Rx(c)),
            (FmaOp::Nmadd, Fmt::S) => asm!(self.a; vfnmsub213ss xmm0, Rx(b), Rx(c)),
        }
        match fmt {
            Fmt::D => asm!(self.a; vucomisd xmm0, xmm0),
            Fmt::S => asm!(self.a; vucomiss xmm0, xmm0),
        }
        let nan = self.a.jcc(Cc::P);
        let cold = self.cold(nan, whole);
        self.f_finish(fd, X0, fmt);
        self.rejoin(cold);
    }

    /// Compares into `rd`; the flags then hold the returned condition.
    pub(super) fn f_cmp(
        &mut self,
        op: FCmpOp,
        fmt: Fmt,
        quiet: bool,
        rd: Reg,
        fa: FReg,
        fb: FReg,
    ) -> Cc {
        let (a, b) = (self.f_in(fa, X0, fmt), self.f_in(fb, X1, fmt));
        let nans = quiet.then(|| [self.is_nan(a, fmt), self.is_nan(b, fmt)]);
        let cc = self.compare(op, fmt, rd, a, b);
        // With a NaN the answer is no, and nothing is raised.
        for fixup in nans.into_iter().flatten() {
            let back = self.a.label();
            let kind = ColdKind::Unordered { rd };
            self.colds.push(Cold { fixup, back, kind });
        }
        cc
    }

    fn compare(&mut self, op: FCmpOp, fmt: Fmt, rd: Reg, a: u8, b: u8) -> Cc {
        if op == FCmpOp::Eq {
            match fmt {
                Fmt::D => asm!(self.a; vcmpsd xmm0, Rx(a), Rx(b), BYTE 0),
                Fmt::S => asm!(self.a; vcmpss xmm0, Rx(a), Rx(b), BYTE 0),
            }
            asm!(self.a; vmovd eax, xmm0; and eax, BYTE 1);
            self.finish(rd, RAX);
            return Cc::Ne;
        }
        // a < b is b > a: an unordered result then looks like "below".
        match fmt {
            Fmt::D => asm!(self.a; vcomisd Rx(b), Rx(a)),
            Fmt::S => asm!(self.a; vcomiss Rx(b), Rx(a)),
        }
        let cc = if op == FCmpOp::Lt { Cc::A } else { Cc::Ae };
        if !rd.is_zero() {
            self.set_to(rd, cc);
        }
        cc
    }

    /// Branches if `r` is a NaN, without touching the host's floating-point flags.
    fn is_nan(&mut self, r: u8, fmt: Fmt) -> Fixup {
        match fmt {
            Fmt::D => asm!(self.a; vmovq rax, Rx(r); add rax, rax; cmp rax, [rbp + INF2_D]),
            Fmt::S => asm!(self.a; vmovd eax, Rx(r); add eax, eax; cmp eax, [rbp + INF2_S]),
        }
        self.a.jcc(Cc::A)
    }

    /// The result of comparing a NaN: 0, with flags that make `Ne`, `A` and `Ae` false.
    pub(super) fn cold_unordered(&mut self, rd: Reg) {
        self.a.mov_imm(loc(rd), 0);
        asm!(self.a; xor eax, eax; stc);
    }

    pub(super) fn f_to_int(&mut self, fmt: Fmt, to: IntFmt, rm: Rm, rd: Reg, fa: FReg) {
        let whole = Op::FToInt {
            fmt,
            to,
            rm,
            rd,
            a: fa,
        };
        let truncate = rm == Rm::Rtz;
        let by_current_mode = self.is_current(rm) && matches!(to, IntFmt::I32 | IntFmt::I64);
        if !truncate && !by_current_mode {
            return self.helper_f(whole, None);
        }
        let a = self.f_in(fa, X0, fmt);
        let cold = match to {
            IntFmt::I32 | IntFmt::I64 => {
                match (to, fmt, truncate) {
                    (IntFmt::I32, Fmt::D, true) => asm!(self.a; vcvttsd2si eax, Rx(a)),
                    (IntFmt::I32, Fmt::D, false) => asm!(self.a; vcvtsd2si eax, Rx(a)),
                    (IntFmt::I32, Fmt::S, true) => asm!(self.a; vcvttss2si eax, Rx(a)),
                    (IntFmt::I32, Fmt::S, false) => asm!(self.a; vcvtss2si eax, Rx(a)),
                    (_, Fmt::D, true) => asm!(self.a; vcvttsd2si rax, Rx(a)),
                    (_, Fmt::D, false) => asm!(self.a; vcvtsd2si rax, Rx(a)),
                    (_, Fmt::S, true) => asm!(self.a; vcvttss2si rax, Rx(a)),
                    (_, Fmt::S, false) => asm!(self.a; vcvtss2si rax, Rx(a)),
                }
                // The "indefinite" result is the one value from which 1 cannot be taken.
                let w = if to == IntFmt::I32 {
                    Width::W32
                } else {
                    Width::W64
                };
                self.a.bin_imm(Bin::Cmp, w, Loc::R(RAX), 1);
                let overflow = self.a.jcc(Cc::O);
                self.cold(overflow, whole)
            }
            // Where the signed 64-bit conversion gives the answer: above -1 and below 2^32 or 2^63.
            IntFmt::U32 | IntFmt::U64 => return self.f_to_unsigned(fmt, to, rd, a, whole),
        };
        if !rd.is_zero() {
            if to == IntFmt::I32 {
                self.a.sext32(RAX, Loc::R(RAX));
            }
            self.finish(rd, RAX);
        }
        self.rejoin(cold);
    }

    fn f_to_unsigned(&mut self, fmt: Fmt, to: IntFmt, rd: Reg, a: u8, whole: Op) {
        let (limit_d, limit_s) = match to {
            IntFmt::U32 => (offset_of!(Consts, two32_d), offset_of!(Consts, two32_s)),
            _ => (offset_of!(Consts, two63_d), offset_of!(Consts, two63_s)),
        };
        let minus1 = match fmt {
            Fmt::D => constant(offset_of!(Consts, minus1_d)),
            Fmt::S => constant(offset_of!(Consts, minus1_s)),
        };
        let limit = constant(if fmt == Fmt::D { limit_d } else { limit_s });
        match fmt {
            Fmt::D => asm!(self.a; vucomisd Rx(a), QWORD [rbp + limit]),
            Fmt::S => asm!(self.a; vucomiss Rx(a), DWORD [rbp + limit]),
        }
        let high = self.a.jcc(Cc::Ae);
        let high = self.cold(high, whole);
        match fmt {
            Fmt::D => asm!(self.a; vucomisd Rx(a), QWORD [rbp + minus1]),
            Fmt::S => asm!(self.a; vucomiss Rx(a), DWORD [rbp + minus1]),
        }
        let low = self.a.jcc(Cc::Be);
        let low = self.cold(low, whole);
        match fmt {
            Fmt::D => asm!(self.a; vcvttsd2si rax, Rx(a)),
            Fmt::S => asm!(self.a; vcvttss2si rax, Rx(a)),
        }
        if !rd.is_zero() {
            if to == IntFmt::U32 {
                self.a.sext32(RAX, Loc::R(RAX));
            }
            self.finish(rd, RAX);
        }
        self.rejoin(high);
        self.rejoin(low);
    }

    pub(super) fn int_to_f(&mut self, fmt: Fmt, from: IntFmt, rm: Rm, fd: FReg, ra: Reg) {
        let whole = Op::IntToF {
            fmt,
            from,
            rm,
            fd,
            a: ra,
        };
        let exact = fmt == Fmt::D && matches!(from, IntFmt::I32 | IntFmt::U32);
        if !exact && !self.is_current(rm) {
            return self.helper_f(whole, Some((fd, fmt)));
        }
        let s = match from {
            IntFmt::U32 => {
                self.a.mov32(RAX, loc(ra));
                RAX
            }
            _ => self.in_reg(ra, RAX),
        };
        let cold = (from == IntFmt::U64).then(|| {
            self.a.test(Width::W64, s);
            let big = self.a.jcc(Cc::S);
            self.cold(big, whole)
        });
        // The upper bits come from xmm1: the box of a single.
        match (fmt, from) {
            (Fmt::D, IntFmt::I32) => {
                asm!(self.a; vxorps xmm1, xmm1, xmm1; vcvtsi2sd xmm0, xmm1, Rd(s))
            }
            (Fmt::D, _) => asm!(self.a; vxorps xmm1, xmm1, xmm1; vcvtsi2sd xmm0, xmm1, Rq(s)),
            (Fmt::S, IntFmt::I32) => {
                asm!(self.a; vpcmpeqd xmm1, xmm1, xmm1; vcvtsi2ss xmm0, xmm1, Rd(s))
            }
            (Fmt::S, _) => asm!(self.a; vpcmpeqd xmm1, xmm1, xmm1; vcvtsi2ss xmm0, xmm1, Rq(s)),
        }
        self.f_finish(fd, X0, fmt);
        if let Some(cold) = cold {
            self.rejoin(cold);
        }
    }

    pub(super) fn f_cvt(&mut self, fmt: Fmt, rm: Rm, fd: FReg, fa: FReg) {
        if fmt == Fmt::S && !self.is_current(rm) {
            return self.helper_f(Op::FCvt { fmt, rm, fd, a: fa }, Some((fd, fmt)));
        }
        let d = self.f_dest(fd);
        match fmt {
            Fmt::D => {
                let a = self.f_in(fa, X0, Fmt::S);
                asm!(self.a; vcvtss2sd Rx(d), Rx(a), Rx(a));
            }
            Fmt::S => {
                let a = self.f_in(fa, X0, Fmt::D);
                asm!(self.a; vpcmpeqd xmm1, xmm1, xmm1; vcvtsd2ss Rx(d), xmm1, Rx(a));
            }
        }
        self.f_result(fd, d, fmt);
    }

    pub(super) fn f_to_x(&mut self, fmt: Fmt, rd: Reg, fa: FReg) {
        self.settle(fa);
        let d = self.dest(rd);
        match (loc_f(fa), fmt) {
            (FLoc::R(a), Fmt::D) => asm!(self.a; vmovq Rq(d), Rx(a)),
            (FLoc::R(a), Fmt::S) => {
                asm!(self.a; vmovd Rd(d), Rx(a));
                self.a.sext32(d, Loc::R(d));
            }
            (FLoc::M(m), Fmt::D) => asm!(self.a; mov Rq(d), [rbp + m]),
            (FLoc::M(m), Fmt::S) => asm!(self.a; movsxd Rq(d), DWORD [rbp + m]),
        }
        self.finish(rd, d);
    }

    pub(super) fn f_from_x(&mut self, fmt: Fmt, fd: FReg, ra: Reg) {
        let d = self.f_dest(fd);
        match fmt {
            Fmt::D if ra.is_zero() => asm!(self.a; vxorps Rx(d), Rx(d), Rx(d)),
            Fmt::D => match loc(ra) {
                Loc::R(a) => asm!(self.a; vmovq Rx(d), Rq(a)),
                Loc::M(m) => asm!(self.a; vmovq Rx(d), [BYTE rbp + m]),
            },
            Fmt::S => {
                self.a.mov32(RAX, loc(ra));
                asm!(self.a; or rax, [rbp + BOX_S]; vmovq Rx(d), rax);
            }
        }
        self.f_finish(fd, d, fmt);
    }

    /// The accrued flags into `eax`; the host's own six bits stay in `ecx`.
    fn read_flags(&mut self) {
        asm!(self.a
            ; stmxcsr [rbp + MXCSR_NOW]
            ; mov ecx, [rbp + MXCSR_NOW]
            ; and ecx, BYTE 0x3f
            ; movzx eax, BYTE [rbp + rcx + FLAG_TABLE]
            ; or eax, [rbp + FFLAGS]
        );
    }

    pub(super) fn flags_read(&mut self, rd: Reg) {
        if rd.is_zero() {
            return;
        }
        if self.block.mode.fp_traps() {
            asm!(self.a; mov eax, [rbp + FFLAGS]);
        } else {
            self.read_flags();
        }
        self.finish(rd, RAX);
    }

    pub(super) fn flags_swap(&mut self, rd: Reg, ra: Reg) {
        if self.block.mode.fp_traps() {
            return self.flags_swap_trapping(rd, ra);
        }
        self.read_flags();
        if loc(ra) == loc(rd) && !rd.is_zero() {
            self.a.mov(RCX, loc(ra));
            self.finish(rd, RAX);
        } else {
            if !rd.is_zero() {
                self.finish(rd, RAX);
            }
            self.a.mov(RCX, loc(ra));
        }
        asm!(self.a
            ; and ecx, BYTE 31
            ; mov [rbp + FFLAGS], ecx
            ; ldmxcsr [rbp + MXCSR]
        );
    }

    /// Mostly the flags are restored to what they are; a change is also one of MXCSR's masks.
    fn flags_swap_trapping(&mut self, rd: Reg, ra: Reg) {
        self.a.mov(RCX, loc(ra));
        asm!(self.a
            ; mov eax, [rbp + FFLAGS]
            ; and ecx, BYTE 31
            ; cmp ecx, eax
        );
        let changed = self.a.jcc(Cc::Ne);
        let cold = self.cold(changed, Op::FlagsSwap { rd, a: ra });
        if !rd.is_zero() {
            self.finish(rd, RAX);
        }
        self.rejoin(cold);
    }
}
