//! Floating-point ops: between the register file and [`crate::softfloat`].

use crate::CpuState;
use crate::ops::{FAluOp, FReg, Fmt, Op, Rm, Size};
use crate::softfloat::{Double, Env, Format, Single, arith, compare, convert};

/// Bytes that loads and stores of a format move.
#[inline(always)]
pub(super) fn size(fmt: Fmt) -> Size {
    match fmt {
        Fmt::S => Size::B4,
        Fmt::D => Size::B8,
    }
}

/// A register that holds `bits`.
#[inline(always)]
pub(super) fn boxed(fmt: Fmt, bits: u64) -> u64 {
    match fmt {
        Fmt::S => Single::boxed(bits),
        Fmt::D => Double::boxed(bits),
    }
}

/// Calls a function that is generic over the format.
macro_rules! with_format {
    ($fmt:expr, $function:ident($($argument:expr),*)) => {
        match $fmt {
            Fmt::S => $function::<Single>($($argument),*),
            Fmt::D => $function::<Double>($($argument),*),
        }
    };
}

/// Runs a floating-point op that does not touch memory; anything else is ignored.
pub(super) fn run(state: &mut CpuState, op: &Op) {
    match *op {
        Op::FAlu { fmt, .. }
        | Op::FSqrt { fmt, .. }
        | Op::FMa { fmt, .. }
        | Op::FCmp { fmt, .. }
        | Op::FClass { fmt, .. }
        | Op::FToInt { fmt, .. }
        | Op::IntToF { fmt, .. }
        | Op::FMvToX { fmt, .. }
        | Op::FMvFromX { fmt, .. } => with_format!(fmt, run_in(state, op)),
        Op::FCvt {
            fmt: Fmt::S,
            rm,
            fd,
            a,
        } => run_convert::<Double, Single>(state, rm, fd, a),
        Op::FCvt {
            fmt: Fmt::D,
            rm,
            fd,
            a,
        } => run_convert::<Single, Double>(state, rm, fd, a),
        _ => {}
    }
}

fn run_convert<From: Format, To: Format>(state: &mut CpuState, rm: Rm, fd: FReg, a: FReg) {
    let mut env = Env::new(rm);
    let result = convert::convert::<From, To>(read::<From>(state, a), &mut env);
    write::<To>(state, fd, result);
    state.fflags |= env.flags;
}

/// The ops that know one format only.
fn run_in<F: Format>(state: &mut CpuState, op: &Op) {
    // Overwritten where there is a mode; elsewhere nothing is rounded.
    let mut env = Env::new(Rm::Rne);
    match *op {
        Op::FAlu {
            op, rm, fd, a, b, ..
        } => {
            env.rm = rm;
            let (a, b) = (read::<F>(state, a), read::<F>(state, b));
            write::<F>(state, fd, alu::<F>(op, a, b, &mut env));
        }
        Op::FSqrt { rm, fd, a, .. } => {
            env.rm = rm;
            let result = arith::sqrt::<F>(read::<F>(state, a), &mut env);
            write::<F>(state, fd, result);
        }
        Op::FMa {
            op,
            rm,
            fd,
            a,
            b,
            c,
            ..
        } => {
            env.rm = rm;
            let (a, b, c) = (
                read::<F>(state, a),
                read::<F>(state, b),
                read::<F>(state, c),
            );
            write::<F>(state, fd, arith::fma::<F>(op, a, b, c, &mut env));
        }
        Op::FCmp {
            op,
            quiet,
            rd,
            a,
            b,
            ..
        } => {
            let (a, b) = (read::<F>(state, a), read::<F>(state, b));
            state.set(rd, compare::compare::<F>(op, a, b, &mut env));
            if quiet {
                return;
            }
        }
        Op::FClass { rd, a, .. } => state.set(rd, compare::classify::<F>(read::<F>(state, a))),
        Op::FToInt { to, rm, rd, a, .. } => {
            env.rm = rm;
            let result = convert::to_int::<F>(to, read::<F>(state, a), &mut env);
            state.set(rd, result);
        }
        Op::IntToF {
            from, rm, fd, a, ..
        } => {
            env.rm = rm;
            let result = convert::from_int::<F>(from, state.get(a), &mut env);
            write::<F>(state, fd, result);
        }
        // Moves take the bits as they are, boxed or not.
        Op::FMvToX { fmt, rd, a } => {
            state.set(rd, size(fmt).sign_extend(state.f[a.index()]));
        }
        Op::FMvFromX { fd, a, .. } => write::<F>(state, fd, state.get(a) & !F::BOX),
        _ => {}
    }
    state.fflags |= env.flags;
}

fn alu<F: Format>(op: FAluOp, a: u64, b: u64, env: &mut Env) -> u64 {
    match op {
        FAluOp::Add => arith::add::<F>(a, b, env),
        FAluOp::Sub => arith::sub::<F>(a, b, env),
        FAluOp::Mul => arith::mul::<F>(a, b, env),
        FAluOp::Div => arith::div::<F>(a, b, env),
        FAluOp::Min => compare::min::<F>(a, b, env),
        FAluOp::Max => compare::max::<F>(a, b, env),
        FAluOp::Sgnj => compare::copy_sign::<F>(a, b),
        FAluOp::Sgnjn => compare::copy_sign::<F>(a, !b),
        FAluOp::Sgnjx => a ^ b & F::SIGN,
    }
}

#[inline(always)]
fn read<F: Format>(state: &CpuState, a: FReg) -> u64 {
    F::unbox(state.f[a.index()])
}

#[inline(always)]
fn write<F: Format>(state: &mut CpuState, fd: FReg, bits: u64) {
    state.f[fd.index()] = F::boxed(bits);
}
