//! Which integer registers an op reads and writes.

use crate::ops::{Addr, Op, Reg};

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

/// Calls `f` on the sources of an ALU op.
pub fn each_alu_source(op: &mut Op, mut f: impl FnMut(&mut Reg)) {
    match op {
        Op::Un { a, .. } | Op::AluImm { a, .. } => f(a),
        Op::Alu { a, b, .. } => {
            f(a);
            f(b);
        }
        _ => {}
    }
}

/// The integer sources as a mask; `x0` is never among them.
pub fn sources(op: &Op) -> u32 {
    let bit = |r: Reg| 1u32 << r.index();
    let of_addr = |addr: Addr| bit(addr.base) | bit(addr.index);
    let mask = match *op {
        Op::Un { a, .. }
        | Op::AluImm { a, .. }
        | Op::IntToF { a, .. }
        | Op::FMvFromX { a, .. }
        | Op::FlagsSwap { a, .. }
        | Op::BranchImm { a, .. }
        | Op::JumpReg { a, .. }
        | Op::Lr { addr: a, .. }
        | Op::CboZero { addr: a }
        | Op::CboTouch { addr: a } => bit(a),
        Op::Alu { a, b, .. }
        | Op::ShAdd { a, b, .. }
        | Op::Branch { a, b, .. }
        | Op::Amo {
            addr: a, src: b, ..
        }
        | Op::Sc {
            addr: a, src: b, ..
        } => bit(a) | bit(b),
        Op::Lea { addr, .. }
        | Op::Load { addr, .. }
        | Op::StoreImm { addr, .. }
        | Op::FLoad { addr, .. }
        | Op::FStore { addr, .. } => of_addr(addr),
        Op::Store { rs, addr, .. } => bit(rs) | of_addr(addr),
        Op::NoteAddr { addr } => of_addr(addr),
        Op::NoteLoaded { a } | Op::NoteStored { a } => bit(a),
        // It may be any access.
        Op::Watched(_) => u32::MAX,
        _ => 0,
    };
    mask & !1
}
