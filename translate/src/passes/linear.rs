//! Sums of a base, a scaled index and a displacement: what one address, or one `lea`, can hold.

use crate::ops::{Addr, AluOp, Op, Reg, UnOp, Width};

/// `r` itself.
pub fn of_reg(r: Reg) -> Addr {
    Addr::reg(r, 0)
}

/// The op's result as a sum, if it is one.
pub fn of_op(op: &Op) -> Option<Addr> {
    let scaled = |base, index, scale| Addr {
        base,
        index,
        scale,
        disp: 0,
    };
    match *op {
        Op::ShAdd {
            a,
            b,
            shift: scale @ 0..=3,
            uw: false,
            ..
        } => Some(scaled(b, a, scale)),
        Op::AluImm {
            op: AluOp::Sll,
            w: Width::W64,
            a,
            imm: scale @ 1..=3,
            ..
        } => Some(scaled(Reg::ZERO, a, scale as u8)),
        Op::Alu {
            op: AluOp::Add,
            w: Width::W64,
            a,
            b,
            ..
        } => Some(scaled(a, b, 0)),
        Op::AluImm {
            op: AluOp::Add,
            w: Width::W64,
            a,
            imm,
            ..
        } => Some(Addr::reg(a, imm)),
        Op::Lea { addr, .. } => Some(addr),
        Op::Const { value, .. } => Some(Addr::reg(Reg::ZERO, i32::try_from(value).ok()?)),
        Op::Un {
            op: UnOp::Mov, a, ..
        } => Some(of_reg(a)),
        _ => None,
    }
}

/// `x + y`, if that is still one sum.
pub fn add(x: Addr, y: Addr) -> Option<Addr> {
    let disp = x.disp.checked_add(y.disp)?;
    // All registers of both, the scaled one (if any) last.
    let mut terms = [(Reg::ZERO, 0); 4];
    let mut n = 0;
    for (r, scale) in [
        (x.base, 0),
        (y.base, 0),
        (x.index, x.scale),
        (y.index, y.scale),
    ] {
        if !r.is_zero() {
            terms[n] = (r, scale);
            n += 1;
        }
    }
    let (base, (index, scale)) = match terms[..n] {
        [] => (Reg::ZERO, (Reg::ZERO, 0)),
        [(r, 0)] => (r, (Reg::ZERO, 0)),
        [scaled] => (Reg::ZERO, scaled),
        [(r, 0), other] => (r, other),
        [other, (r, 0)] => (r, other),
        _ => return None,
    };
    Some(Addr {
        base,
        index,
        scale,
        disp,
    })
}

/// `x << n`, if that is still one sum.
pub fn shift_left(x: Addr, n: u8) -> Option<Addr> {
    let disp = x.disp.checked_mul(1 << n)?;
    let (index, scale) = match (x.base, x.index) {
        (r, Reg::ZERO) => (r, n),
        (Reg::ZERO, r) => (r, x.scale + n),
        _ => return None,
    };
    (scale <= 3).then_some(Addr {
        base: Reg::ZERO,
        index,
        scale,
        disp,
    })
}

/// The simplest op that computes the sum.
pub fn to_op(rd: Reg, addr: Addr) -> Op {
    let w = Width::W64;
    match addr {
        Addr {
            base,
            index: Reg::ZERO,
            disp,
            ..
        } => match (base, disp) {
            (Reg::ZERO, _) => Op::Const {
                rd,
                value: i64::from(disp),
            },
            (a, 0) => Op::Un {
                op: UnOp::Mov,
                w,
                rd,
                a,
            },
            (a, imm) => Op::AluImm {
                op: AluOp::Add,
                w,
                rd,
                a,
                imm,
            },
        },
        Addr {
            base,
            index,
            scale: 0,
            disp: 0,
        } => Op::Alu {
            op: AluOp::Add,
            w,
            rd,
            a: base,
            b: index,
        },
        Addr {
            base: Reg::ZERO,
            index: a,
            scale,
            disp: 0,
        } => Op::AluImm {
            op: AluOp::Sll,
            w,
            rd,
            a,
            imm: i32::from(scale),
        },
        Addr {
            base: b,
            index: a,
            scale: shift,
            disp: 0,
        } => Op::ShAdd {
            rd,
            a,
            b,
            shift,
            uw: false,
        },
        addr => Op::Lea { rd, addr },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Reg = Reg(10);
    const B: Reg = Reg(11);
    const C: Reg = Reg(12);

    fn sum(base: Reg, index: Reg, scale: u8, disp: i32) -> Addr {
        Addr {
            base,
            index,
            scale,
            disp,
        }
    }

    #[test]
    fn sums_of_at_most_two_registers_one_of_them_scaled_are_sums() {
        assert_eq!(add(of_reg(A), of_reg(B)), Some(sum(A, B, 0, 0)));
        assert_eq!(
            add(of_reg(A), sum(Reg::ZERO, B, 3, 8)),
            Some(sum(A, B, 3, 8))
        );
        assert_eq!(
            add(sum(Reg::ZERO, B, 3, 8), Addr::reg(A, -8)),
            Some(sum(A, B, 3, 0))
        );
        assert_eq!(add(sum(A, B, 1, 0), of_reg(C)), None);
        assert_eq!(add(sum(Reg::ZERO, A, 1, 0), sum(Reg::ZERO, B, 1, 0)), None);
        assert_eq!(add(Addr::reg(A, i32::MAX), Addr::reg(B, 1)), None);
    }

    #[test]
    fn shifting_scales_one_register_and_the_displacement() {
        assert_eq!(
            shift_left(Addr::reg(A, 3), 2),
            Some(sum(Reg::ZERO, A, 2, 12))
        );
        assert_eq!(
            shift_left(sum(Reg::ZERO, A, 2, 0), 1),
            Some(sum(Reg::ZERO, A, 3, 0))
        );
        assert_eq!(shift_left(sum(Reg::ZERO, A, 2, 0), 2), None);
        assert_eq!(shift_left(sum(A, B, 0, 0), 1), None);
        assert_eq!(shift_left(Addr::reg(A, i32::MAX), 1), None);
    }

    #[test]
    fn an_op_made_of_a_sum_is_that_sum() {
        for addr in [
            sum(A, Reg::ZERO, 0, 0),
            sum(A, Reg::ZERO, 0, 5),
            sum(A, B, 0, 0),
            sum(A, B, 0, 5),
            sum(A, B, 3, 0),
            sum(A, B, 3, 5),
            sum(Reg::ZERO, B, 2, 0),
            sum(Reg::ZERO, B, 2, 5),
            sum(Reg::ZERO, Reg::ZERO, 0, 5),
        ] {
            assert_eq!(of_op(&to_op(C, addr)), Some(addr));
        }
    }
}
