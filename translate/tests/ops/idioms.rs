//! Sequences that compilers emit and the passes look for, with constants that sometimes fit and
//! sometimes do not, and registers that collide.

use translate::ops::{Addr, AluOp, FCmpOp, Fmt, Size, UnOp, Width};
use translate::{Op, Reg};

use crate::random_ops::Builder;

impl Builder<'_> {
    pub(super) fn idiom(&mut self) {
        match self.random.below(6) {
            0 => self.rotation(),
            1 => self.extension(),
            2 => self.indexed_access(),
            3 => self.constant_operand(),
            4 => self.quiet_comparison(),
            _ => self.copy_and_overwrite(),
        }
    }

    fn shift(&mut self, op: AluOp, w: Width, rd: Reg, a: Reg, imm: i32) {
        self.push(Op::AluImm { op, w, rd, a, imm });
    }

    /// `t = a << n; u = a >> (bits - n); rd = t | u`
    fn rotation(&mut self) {
        let (w, bits) = self.of(&[(Width::W64, 64), (Width::W32, 32)]);
        let (t, u, a, rd) = (self.x(), self.x(), self.x(), self.x());
        let left = self.random.below(bits as u64) as i32;
        let right = match self.random.below(4) {
            0 => self.random.below(bits as u64) as i32,
            _ => (bits - left) & (bits - 1),
        };
        let halves = [(AluOp::Sll, left), (AluOp::Srl, right)];
        let [first, second] = match self.coin() {
            true => halves,
            false => [halves[1], halves[0]],
        };
        self.shift(first.0, w, t, a, first.1);
        self.shift(second.0, w, u, a, second.1);
        let op = self.of(&[AluOp::Or, AluOp::Add, AluOp::Xor]);
        let w = self.of(&[w, Width::W64]);
        self.push(Op::Alu {
            op,
            w,
            rd,
            a: t,
            b: u,
        });
    }

    /// `t = a << m; rd = t >> n`
    fn extension(&mut self) {
        let (t, a, rd) = (self.x(), self.x(), self.x());
        let left = self.of(&[32, 48, 56, 33]);
        let right = match self.coin() {
            true => left,
            false => self.random.below(64) as i32,
        };
        self.shift(AluOp::Sll, Width::W64, t, a, left);
        let op = self.of(&[AluOp::Srl, AluOp::Sra]);
        self.shift(op, Width::W64, rd, t, right);
    }

    /// An access to an array element, whose address is computed in several ways.
    fn indexed_access(&mut self) {
        let (t, base, index) = (self.pointer(), self.pointer(), self.pointer());
        let rd = self.x();
        let place = self.place() as i64;
        let value = self.random.below(64) as i64;
        let shift = self.random.below(4) as u8;
        self.push(Op::Const {
            rd: base,
            value: place,
        });
        self.push(Op::Const { rd: index, value });
        match self.random.below(4) {
            0 => {
                let uw = self.coin();
                self.push(Op::ShAdd {
                    rd: t,
                    a: index,
                    b: base,
                    shift,
                    uw,
                });
            }
            1 => {
                self.shift(AluOp::Sll, Width::W64, t, index, shift.into());
                self.push(Op::Alu {
                    op: AluOp::Add,
                    w: Width::W64,
                    rd: t,
                    a: base,
                    b: t,
                });
            }
            2 => self.push(Op::Alu {
                op: AluOp::Add,
                w: Width::W64,
                rd: t,
                a: base,
                b: index,
            }),
            _ => self.shift(AluOp::Add, Width::W64, t, base, value as i32),
        }
        // Where the registers were distinct this is in memory; otherwise only a wild block may
        // have it.
        let distinct = base != index && t != Reg::ZERO && base != Reg::ZERO;
        let disp = -(value << shift) as i32;
        if self.flavor.wild {
            let addr = Addr::reg(t, if distinct { disp } else { 0 });
            let signed = self.coin();
            self.push(Op::Load {
                rd,
                addr,
                size: Size::B4,
                signed,
            });
        } else {
            self.shift(AluOp::Add, Width::W64, rd, t, disp);
        }
    }

    /// A constant, and ops that take it as an operand.
    fn constant_operand(&mut self) {
        let (t, a, rd) = (self.x(), self.x(), self.x());
        let value = match self.random.below(4) {
            0 => self.random.bits() as i64,
            _ => self.imm().into(),
        };
        self.push(Op::Const { rd: t, value });
        #[rustfmt::skip]
        let op = self.of(&[
            AluOp::Add, AluOp::Sub, AluOp::And, AluOp::Or, AluOp::Xor, AluOp::Slt, AluOp::Sltu,
            AluOp::Mul, AluOp::Div,
        ]);
        let (a, b) = match self.coin() {
            true => (t, a),
            false => (a, t),
        };
        self.push(Op::Alu {
            op,
            w: Width::W64,
            rd,
            a,
            b,
        });
        let (op, imm) = (
            self.of(&[AluOp::Sll, AluOp::Srl, AluOp::Sra]),
            self.imm() & 31,
        );
        let w = self.of(&[Width::W32, Width::W64]);
        self.shift(op, w, t, rd, imm);
    }

    /// `t = fflags; rd = a < b; fflags = t`
    fn quiet_comparison(&mut self) {
        let (saved, rd, restored) = (self.x(), self.x(), self.x());
        let (a, b, fmt) = (self.f(), self.f(), self.of(&[Fmt::S, Fmt::D]));
        self.push(Op::FlagsRead { rd: saved });
        let op = self.of(&[FCmpOp::Eq, FCmpOp::Lt, FCmpOp::Le]);
        self.push(Op::FCmp {
            op,
            fmt,
            quiet: false,
            rd,
            a,
            b,
        });
        let restored = match self.random.below(4) {
            0 => restored,
            _ => saved,
        };
        self.push(Op::FlagsSwap {
            rd: Reg::ZERO,
            a: restored,
        });
    }

    /// `t = a; rd = f(t); t = something else`
    fn copy_and_overwrite(&mut self) {
        let (t, a, b, rd) = (self.x(), self.x(), self.x(), self.x());
        self.push(Op::Un {
            op: UnOp::Mov,
            w: Width::W64,
            rd: t,
            a,
        });
        let op = self.of(&[AluOp::Add, AluOp::Sub, AluOp::Min, AluOp::Sltu]);
        self.push(Op::Alu {
            op,
            w: Width::W64,
            rd,
            a: t,
            b,
        });
        let op = self.of(&[UnOp::Mov, UnOp::ZextW, UnOp::SextB, UnOp::Clz]);
        self.push(Op::Un {
            op,
            w: Width::W64,
            rd: t,
            a: b,
        });
    }
}
