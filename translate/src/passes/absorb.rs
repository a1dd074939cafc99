//! Absorption: an op takes over the pending ops of its sources.
//!
//! Everything here only looks; what it gives is an op on physical registers, and which of the
//! pending registers that form does without.

use super::lazy::Pass;
use super::linear;
use super::operands::each_alu_source;
use crate::ops::{Addr, AluOp, Cond, Op, Reg, UnOp, Width};

impl Pass<'_> {
    /// One attempt: the op rewritten to physical registers, and which pending registers that covers.
    pub(super) fn combine(&self, op: Op) -> (Op, u32) {
        match op {
            Op::Load {
                addr,
                rd,
                size,
                signed,
            } => {
                let (addr, done) = self.address(addr);
                (
                    Op::Load {
                        addr,
                        rd,
                        size,
                        signed,
                    },
                    done,
                )
            }
            Op::NoteAddr { addr } => {
                let (addr, done) = self.address(addr);
                (Op::NoteAddr { addr }, done)
            }
            Op::FLoad { addr, fd, fmt } => {
                let (addr, done) = self.address(addr);
                (Op::FLoad { addr, fd, fmt }, done)
            }
            Op::FStore { addr, fs, fmt } => {
                let (addr, done) = self.address(addr);
                (Op::FStore { addr, fs, fmt }, done)
            }
            Op::Store { addr, rs, size } => {
                // A register that is both value and address runs for the value.
                let own = (1 << rs.index()) & !1;
                let (absorbed, mut done) = self.address(addr);
                done &= !own;
                match self.small_const(rs) {
                    Some(value) if addr.base != rs && addr.index != rs => {
                        let addr = absorbed;
                        (Op::StoreImm { value, addr, size }, done | own)
                    }
                    _ => (
                        Op::Store {
                            addr: absorbed,
                            rs,
                            size,
                        },
                        done,
                    ),
                }
            }
            Op::Alu { op, w, rd, a, b } => self.alu(op, w, rd, a, b),
            Op::AluImm { op, w, rd, a, imm } => self.alu_imm(op, w, rd, a, imm),
            Op::Un { op, w, rd, a } => self.un(op, w, rd, a),
            Op::Branch {
                cond,
                w,
                a,
                b,
                exit,
            } => self.branch(cond, w, a, b, exit),
            _ => (op, 0),
        }
    }

    fn address(&self, addr: Addr) -> (Addr, u32) {
        let none = (addr, 0);
        if !addr.index.is_zero() {
            return none;
        }
        let Some(op) = self.pending(addr.base) else {
            return none;
        };
        let displaced = Addr::reg(Reg::ZERO, addr.disp);
        let found = linear::of_op(op).and_then(|sum| linear::add(sum, displaced));
        match found {
            Some(found) => (found, 1 << addr.base.index()),
            None => none,
        }
    }

    /// What `r` is, as a sum of physical registers, if it is one.
    fn sum(&self, r: Reg) -> Option<Addr> {
        match self.pending(r) {
            Some(op) => linear::of_op(op),
            None => Some(linear::of_reg(r)),
        }
    }

    /// A pending constant that fits an immediate.
    fn small_const(&self, r: Reg) -> Option<i32> {
        match self.pending(r) {
            Some(&Op::Const { value, .. }) => i32::try_from(value).ok(),
            _ => None,
        }
    }

    fn alu(&self, op: AluOp, w: Width, rd: Reg, a: Reg, b: Reg) -> (Op, u32) {
        let both = (1 << a.index()) | (1 << b.index());
        let as_is = Op::Alu { op, w, rd, a, b };
        let (pa, pb) = (self.pending(a), self.pending(b));
        // A rotation: the two shifted parts of one register, together.
        if matches!(op, AluOp::Or | AluOp::Add | AluOp::Xor)
            && let (
                Some(&Op::AluImm {
                    op: op1,
                    w: w1,
                    a: x1,
                    imm: n1,
                    ..
                }),
                Some(&Op::AluImm {
                    op: op2,
                    w: w2,
                    a: x2,
                    imm: n2,
                    ..
                }),
            ) = (pa, pb)
            && x1 == x2
            && w1 == w2
            && (w == Width::W64 || w1 == Width::W32)
        {
            let bits = if w1 == Width::W64 { 64 } else { 32 };
            let right = match (op1, op2) {
                (AluOp::Sll, AluOp::Srl) => Some(n2),
                (AluOp::Srl, AluOp::Sll) => Some(n1),
                _ => None,
            };
            // A 32-bit right part is sign-extended only by 0, so that or and add agree.
            if let Some(n) = right
                && n1 + n2 == bits
                && n > 0
                && (op == AluOp::Or || w1 == Width::W64 || w == Width::W32)
            {
                return (
                    Op::AluImm {
                        op: AluOp::Ror,
                        w: w1,
                        rd,
                        a: x1,
                        imm: n,
                    },
                    both,
                );
            }
        }
        if op == AluOp::Add && w == Width::W64 {
            if let (Some(x), Some(y)) = (self.sum(a), self.sum(b))
                && let Some(sum) = linear::add(x, y)
            {
                return (linear::to_op(rd, sum), both);
            }
            // An index that is extended first.
            for (index, b) in [(b, a), (a, b)] {
                let found = match self.pending(index) {
                    Some(&Op::ShAdd {
                        a,
                        b: Reg::ZERO,
                        shift: n @ 0..=3,
                        uw: true,
                        ..
                    }) => Some((a, n)),
                    Some(&Op::Un {
                        op: UnOp::ZextW, a, ..
                    }) => Some((a, 0)),
                    _ => None,
                };
                if let Some((a, shift)) = found
                    && self.pending(b).is_none()
                {
                    let done = 1 << index.index();
                    return (
                        Op::ShAdd {
                            rd,
                            a,
                            b,
                            shift,
                            uw: true,
                        },
                        done,
                    );
                }
            }
        }
        // An immediate.
        if a != b
            && let Some(imm) = self.small_const(b)
        {
            let done = 1 << b.index();
            let found = match op {
                AluOp::Add | AluOp::And | AluOp::Or | AluOp::Xor | AluOp::Slt | AluOp::Sltu => {
                    Some((op, imm))
                }
                AluOp::Sub => imm.checked_neg().map(|imm| (AluOp::Add, imm)),
                AluOp::Sll | AluOp::Srl | AluOp::Sra => {
                    Some((op, imm & if w == Width::W64 { 63 } else { 31 }))
                }
                _ => None,
            };
            if let Some((op, imm)) = found {
                return (with_imm(op, w, rd, a, imm), done);
            }
        }
        if a != b
            && matches!(op, AluOp::Add | AluOp::And | AluOp::Or | AluOp::Xor)
            && let Some(imm) = self.small_const(a)
        {
            return (
                Op::AluImm {
                    op,
                    w,
                    rd,
                    a: b,
                    imm,
                },
                1 << a.index(),
            );
        }
        self.copies(as_is)
    }

    fn alu_imm(&self, op: AluOp, w: Width, rd: Reg, a: Reg, imm: i32) -> (Op, u32) {
        let done = 1 << a.index();
        let as_is = Op::AluImm { op, w, rd, a, imm };
        match (op, w, self.pending(a)) {
            // Shifts left then right: an extension, or one with a shift to the left.
            (
                AluOp::Srl,
                Width::W64,
                Some(&Op::AluImm {
                    op: AluOp::Sll,
                    w: Width::W64,
                    a: x,
                    imm: left,
                    ..
                }),
            ) => {
                let un = |op| Op::Un {
                    op,
                    w: Width::W64,
                    rd,
                    a: x,
                };
                match (left, imm) {
                    (32, 32) => (un(UnOp::ZextW), done),
                    (48, 48) => (un(UnOp::ZextH), done),
                    (56, 56) => (un(UnOp::ZextB), done),
                    (32, 1..32) => {
                        let shift = (32 - imm) as u8;
                        (
                            Op::ShAdd {
                                rd,
                                a: x,
                                b: Reg::ZERO,
                                shift,
                                uw: true,
                            },
                            done,
                        )
                    }
                    _ => (as_is, 0),
                }
            }
            (
                AluOp::Sra,
                Width::W64,
                Some(&Op::AluImm {
                    op: AluOp::Sll,
                    w: Width::W64,
                    a: x,
                    imm: left,
                    ..
                }),
            ) if left == imm => {
                let un = |op| Op::Un {
                    op,
                    w: Width::W64,
                    rd,
                    a: x,
                };
                match left {
                    32 => (un(UnOp::SextW), done),
                    48 => (un(UnOp::SextH), done),
                    56 => (un(UnOp::SextB), done),
                    _ => (as_is, 0),
                }
            }
            (AluOp::Add, Width::W64, Some(&Op::Const { value, .. })) => {
                let value = value.wrapping_add(i64::from(imm));
                (Op::Const { rd, value }, done)
            }
            (AluOp::Add, Width::W64, Some(_)) => {
                let displaced = Addr::reg(Reg::ZERO, imm);
                match self.sum(a).and_then(|sum| linear::add(sum, displaced)) {
                    Some(sum) => (linear::to_op(rd, sum), done),
                    None => (as_is, 0),
                }
            }
            (AluOp::Sll, Width::W64, Some(_)) if imm <= 3 => {
                match self
                    .sum(a)
                    .and_then(|sum| linear::shift_left(sum, imm as u8))
                {
                    Some(sum) => (linear::to_op(rd, sum), done),
                    None => (as_is, 0),
                }
            }
            _ => self.copies(as_is),
        }
    }

    fn un(&self, op: UnOp, w: Width, rd: Reg, a: Reg) -> (Op, u32) {
        let as_is = Op::Un { op, w, rd, a };
        match (op, self.pending(a)) {
            (UnOp::Mov, Some(&Op::Const { value, .. })) => {
                (Op::Const { rd, value }, 1 << a.index())
            }
            _ => self.copies(as_is),
        }
    }

    fn branch(&self, cond: Cond, w: Width, a: Reg, b: Reg, exit: u16) -> (Op, u32) {
        // A polling branch runs everything pending first: it keeps to its own registers.
        if self.exits[usize::from(exit)].poll {
            return (
                Op::Branch {
                    cond,
                    w,
                    a,
                    b,
                    exit,
                },
                0,
            );
        }
        if let Some(imm) = self.small_const(b)
            && self.pending(a).is_none()
        {
            return (
                Op::BranchImm {
                    cond,
                    w,
                    a,
                    imm,
                    exit,
                },
                1 << b.index(),
            );
        }
        if let Some(imm) = self.small_const(a)
            && self.pending(b).is_none()
            && matches!(cond, Cond::Eq | Cond::Ne)
        {
            return (
                Op::BranchImm {
                    cond,
                    w,
                    a: b,
                    imm,
                    exit,
                },
                1 << a.index(),
            );
        }
        (
            Op::Branch {
                cond,
                w,
                a,
                b,
                exit,
            },
            0,
        )
    }

    /// Reads through pending copies.
    fn copies(&self, mut op: Op) -> (Op, u32) {
        let mut done = 0;
        each_alu_source(&mut op, |r| {
            if let Some(&Op::Un {
                op: UnOp::Mov, a, ..
            }) = self.pending(*r)
            {
                done |= 1 << r.index();
                *r = a;
            }
        });
        (op, done)
    }
}

/// `a op imm`, as a copy if that changes nothing.
fn with_imm(op: AluOp, w: Width, rd: Reg, a: Reg, imm: i32) -> Op {
    match op {
        AluOp::Add | AluOp::Or | AluOp::Xor if imm == 0 && w == Width::W64 => Op::Un {
            op: UnOp::Mov,
            w,
            rd,
            a,
        },
        _ => Op::AluImm { op, w, rd, a, imm },
    }
}
