//! The software floats against two independent judges: the host's floating-point unit ([`host`])
//! and exact arithmetic on wide integers ([`exact`]), which also knows the fifth rounding mode.
//!
//! `HARTSCOPE_CASES` sets how many operand triples each test draws (default 10,000); every triple
//! goes through every operation, format and rounding mode.

#![cfg(target_arch = "x86_64")]

mod exact;
mod host;
mod operands;
mod wide;

use translate::ops::{FmaOp, Rm};
use translate::softfloat::{Env, Format, arith};

/// The arithmetic operations that have a rounding mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    Sqrt,
    Fma(FmaOp),
}

const OPERATIONS: [Arith; 9] = [
    Arith::Add,
    Arith::Sub,
    Arith::Mul,
    Arith::Div,
    Arith::Sqrt,
    Arith::Fma(FmaOp::Madd),
    Arith::Fma(FmaOp::Msub),
    Arith::Fma(FmaOp::Nmsub),
    Arith::Fma(FmaOp::Nmadd),
];

/// Result and exceptions of an operation in software.
fn soft<F: Format>(op: Arith, [a, b, c]: [u64; 3], rm: Rm) -> (u64, u32) {
    let mut env = Env::new(rm);
    let result = match op {
        Arith::Add => arith::add::<F>(a, b, &mut env),
        Arith::Sub => arith::sub::<F>(a, b, &mut env),
        Arith::Mul => arith::mul::<F>(a, b, &mut env),
        Arith::Div => arith::div::<F>(a, b, &mut env),
        Arith::Sqrt => arith::sqrt::<F>(a, &mut env),
        Arith::Fma(op) => arith::fma::<F>(op, a, b, c, &mut env),
    };
    (result, env.flags)
}

fn cases() -> u32 {
    std::env::var("HARTSCOPE_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(10_000)
}
