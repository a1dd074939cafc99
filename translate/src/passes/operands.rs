//! Which integer registers an op reads and writes.

use crate::ops::{Op, Reg};

/// The integer register that the op writes (never `x0`).
pub fn dest(op: &Op) -> Option<Reg> {
    let rd = match *op {
        Op::Const { rd, .. }
        | Op::Un { rd, .. }
        | Op::Alu { rd, .. }
        | Op::AluImm { rd, .. }
        | Op::ShAdd { rd, .. }
        | Op::Lea { rd, .. }
        | Op::Load { rd, .. }
        | Op::Amo { rd, .. }
        | Op::Lr { rd, .. }
        | Op::Sc { rd, .. }
        | Op::FCmp { rd, .. }
        | Op::FClass { rd, .. }
        | Op::FToInt { rd, .. }
        | Op::FMvToX { rd, .. }
        | Op::FlagsRead { rd }
        | Op::FlagsSwap { rd, .. }
        | Op::JumpReg { rd, .. } => rd,
        _ => return None,
    };
    (!rd.is_zero()).then_some(rd)
}

/// Calls `f` on every integer source of the op.
pub fn each_source(op: &mut Op, mut f: impl FnMut(&mut Reg)) {
    match op {
        Op::Un { a, .. }
        | Op::AluImm { a, .. }
        | Op::IntToF { a, .. }
        | Op::FMvFromX { a, .. }
        | Op::FlagsSwap { a, .. }
        | Op::BranchImm { a, .. }
        | Op::JumpReg { a, .. }
        | Op::Lr { addr: a, .. }
        | Op::CboZero { addr: a }
        | Op::CboTouch { addr: a } => f(a),
        Op::Alu { a, b, .. } | Op::ShAdd { a, b, .. } | Op::Branch { a, b, .. } => {
            f(a);
            f(b);
        }
        Op::Amo { addr, src, .. } | Op::Sc { addr, src, .. } => {
            f(addr);
            f(src);
        }
        Op::Lea { addr, .. }
        | Op::Load { addr, .. }
        | Op::FLoad { addr, .. }
        | Op::FStore { addr, .. } => {
            f(&mut addr.base);
            f(&mut addr.index);
        }
        Op::Store { rs, addr, .. } => {
            f(rs);
            f(&mut addr.base);
            f(&mut addr.index);
        }
        _ => {}
    }
}

/// The integer sources as a mask; `x0` is never among them.
pub fn sources(op: &Op) -> u32 {
    let mut copy = *op;
    let mut mask = 0;
    each_source(&mut copy, |r| mask |= 1 << r.index());
    mask & !1
}
