//! Division. A quotient and a remainder of the same operands, one after the other, take one host
//! division.

use dynasmrt::DynasmApi;

use super::Nans;
use super::asm::{Bin, Cc, asm};
use super::emit::{Cold, ColdKind, Emission};
use super::int::displaced;
use super::regs::{Loc, RAX, RCX, RDX, loc};
use crate::ops::{AluOp, Op, Reg, SunkRange, Width};

impl Emission<'_> {
    /// Emits `op`, and `next` with it, if they are the quotient and the remainder of one division
    /// (then the result is true).
    pub(super) fn division_pair(&mut self, op: &Op, next: &Op) -> bool {
        let (
            &Op::Alu {
                op: o1,
                w,
                rd,
                a,
                b,
            },
            &Op::Alu {
                op: o2,
                w: w2,
                rd: rd2,
                a: a2,
                b: b2,
            },
        ) = (op, next)
        else {
            return false;
        };
        let pair = matches!(
            (o1, o2),
            (AluOp::Div, AluOp::Rem)
                | (AluOp::Rem, AluOp::Div)
                | (AluOp::Divu, AluOp::Remu)
                | (AluOp::Remu, AluOp::Divu)
        );
        if !pair || (w, a, b) != (w2, a2, b2) || rd == a || rd == b || rd == rd2 {
            return false;
        }
        self.divide(op, Some(next));
        true
    }

    /// `op` and `also`, quotient and remainder in either order. Divisors 0 and, signed, -1 (which may
    /// overflow) go to the interpreter.
    pub(super) fn divide(&mut self, op: &Op, also: Option<&Op>) {
        let &Op::Alu {
            op: kind, w, a, b, ..
        } = op
        else {
            return;
        };
        let signed = matches!(kind, AluOp::Div | AluOp::Rem);
        let fixup = self.divisor_test(signed, w, b);
        self.host_division(signed, w, a, b);
        let (mut quotient, mut remainder) = (None, None);
        for op in [Some(op), also].into_iter().flatten() {
            match *op {
                Op::Alu {
                    op: AluOp::Div | AluOp::Divu,
                    rd,
                    ..
                } => quotient = Some(rd),
                Op::Alu { rd, .. } => remainder = Some(rd),
                _ => {}
            }
        }
        self.take_results(w, quotient, remainder);
        let cold = Cold {
            fixup,
            back: 0,
            kind: ColdKind::Helper {
                op: *op,
                also: also.copied(),
                pc: self.pc,
                sunk: SunkRange::EMPTY,
                nans: Nans::default(),
            },
        };
        self.rejoin(cold);
    }

    /// Branches if the divisor is not one for the host.
    fn divisor_test(&mut self, signed: bool, w: Width, rb: Reg) -> super::asm::Fixup {
        if !signed {
            self.compare_zero(w, rb);
            return self.a.jcc(Cc::E);
        }
        let b = self.in_reg(rb, RAX);
        match w {
            Width::W64 => self.a.lea(RAX, displaced(b, 1)),
            Width::W32 => self.a.lea32(RAX, displaced(b, 1)),
        }
        self.a.bin_imm(Bin::Cmp, w, Loc::R(RAX), 1);
        self.a.jcc(Cc::Be)
    }

    /// Quotient in rax, remainder in rdx; the pinned rdx waits in rcx.
    fn host_division(&mut self, signed: bool, w: Width, ra: Reg, rb: Reg) {
        asm!(self.a; mov rcx, rdx);
        match w {
            Width::W64 => self.a.mov(RAX, loc(ra)),
            Width::W32 => self.a.mov32(RAX, loc(ra)),
        }
        let b = match loc(rb) {
            Loc::R(RDX) => Loc::R(RCX),
            b => b,
        };
        match (signed, w, b) {
            (true, Width::W64, Loc::R(b)) => asm!(self.a; cqo; idiv Rq(b)),
            (true, Width::W64, Loc::M(m)) => asm!(self.a; cqo; idiv QWORD [BYTE rbp + m]),
            (true, Width::W32, Loc::R(b)) => asm!(self.a; cdq; idiv Rd(b)),
            (true, Width::W32, Loc::M(m)) => asm!(self.a; cdq; idiv DWORD [BYTE rbp + m]),
            (false, Width::W64, Loc::R(b)) => asm!(self.a; xor edx, edx; div Rq(b)),
            (false, Width::W64, Loc::M(m)) => asm!(self.a; xor edx, edx; div QWORD [BYTE rbp + m]),
            (false, Width::W32, Loc::R(b)) => asm!(self.a; xor edx, edx; div Rd(b)),
            (false, Width::W32, Loc::M(m)) => asm!(self.a; xor edx, edx; div DWORD [BYTE rbp + m]),
        }
    }

    fn take_results(&mut self, w: Width, quotient: Option<Reg>, remainder: Option<Reg>) {
        if let Some(rd) = remainder {
            self.extend(w, RDX);
            self.high_to(rd);
        } else {
            asm!(self.a; mov rdx, rcx);
        }
        if let Some(rd) = quotient {
            self.extend(w, RAX);
            self.finish(rd, RAX);
        }
    }
}
