//! Addition, multiplication, division, square root and fused multiply-add.
//!
//! The private functions work on [`Value`]s and only decide the special cases; a NaN operand turns
//! into the quiet NaN here, with the invalid flag if it signalled.

use super::{Env, Format, Value, flags};
use crate::ops::{FmaOp, Rm};

/// `a + b`.
pub fn add<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    sum(Value::decode::<F>(a), Value::decode::<F>(b), env).encode::<F>(env)
}

/// `a − b`.
pub fn sub<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    add::<F>(a, b ^ F::SIGN, env)
}

/// `a · b`.
pub fn mul<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    product(Value::decode::<F>(a), Value::decode::<F>(b), env).encode::<F>(env)
}

/// `a / b`.
pub fn div<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    quotient(Value::decode::<F>(a), Value::decode::<F>(b), env).encode::<F>(env)
}

/// `√a`.
pub fn sqrt<F: Format>(a: u64, env: &mut Env) -> u64 {
    root(Value::decode::<F>(a), env).encode::<F>(env)
}

/// `± a·b ± c`, rounded once.
pub fn fma<F: Format>(op: FmaOp, a: u64, b: u64, c: u64, env: &mut Env) -> u64 {
    let (negate_product, negate_addend) = match op {
        FmaOp::Madd => (0, 0),
        FmaOp::Msub => (0, F::SIGN),
        FmaOp::Nmsub => (F::SIGN, 0),
        FmaOp::Nmadd => (F::SIGN, F::SIGN),
    };
    let a = Value::decode::<F>(a ^ negate_product);
    // ∞·0 is invalid even if the addend is a quiet NaN: the product goes first.
    let product = product(a, Value::decode::<F>(b), env);
    sum(product, Value::decode::<F>(c ^ negate_addend), env).encode::<F>(env)
}

/// The result of an operation with a NaN among its operands.
#[cold]
fn propagate(operands: &[Value], env: &mut Env) -> Value {
    if operands.iter().any(|v| v.is_signalling()) {
        env.raise(flags::NV);
    }
    Value::NAN
}

/// The result of an operation without a meaning.
#[cold]
fn invalid(env: &mut Env) -> Value {
    env.raise(flags::NV);
    Value::NAN
}

#[inline]
fn sum(a: Value, b: Value, env: &mut Env) -> Value {
    use Value::{Finite, Infinite, Nan, Zero};
    match (a, b) {
        (Finite(x), Finite(y)) => match x.sum(y) {
            Some(sum) => Finite(sum),
            None => Zero {
                negative: env.rm == Rm::Rdn,
            },
        },
        (Nan { .. }, _) | (_, Nan { .. }) => propagate(&[a, b], env),
        (Infinite { negative: x }, Infinite { negative: y }) if x != y => invalid(env),
        (Infinite { .. }, _) => a,
        (_, Infinite { .. }) => b,
        (Zero { negative: x }, Zero { negative: y }) if x != y => Zero {
            negative: env.rm == Rm::Rdn,
        },
        (_, Zero { .. }) => a,
        (Zero { .. }, _) => b,
    }
}

#[inline]
fn product(a: Value, b: Value, env: &mut Env) -> Value {
    use Value::{Finite, Infinite, Nan, Zero};
    match (a, b) {
        (Finite(x), Finite(y)) => Finite(x.product(y)),
        (Nan { .. }, _) | (_, Nan { .. }) => propagate(&[a, b], env),
        (Infinite { .. }, Zero { .. }) | (Zero { .. }, Infinite { .. }) => invalid(env),
        (Infinite { .. }, _) | (_, Infinite { .. }) => Infinite {
            negative: signs_differ(a, b),
        },
        (Zero { .. }, _) | (_, Zero { .. }) => Zero {
            negative: signs_differ(a, b),
        },
    }
}

#[inline]
fn quotient(a: Value, b: Value, env: &mut Env) -> Value {
    use Value::{Finite, Infinite, Nan, Zero};
    match (a, b) {
        (Finite(x), Finite(y)) => Finite(x.quotient(y)),
        (Nan { .. }, _) | (_, Nan { .. }) => propagate(&[a, b], env),
        (Infinite { .. }, Infinite { .. }) | (Zero { .. }, Zero { .. }) => invalid(env),
        (Infinite { .. }, _) => Infinite {
            negative: signs_differ(a, b),
        },
        (Finite(_), Zero { .. }) => {
            env.raise(flags::DZ);
            Infinite {
                negative: signs_differ(a, b),
            }
        }
        (Zero { .. }, _) | (_, Infinite { .. }) => Zero {
            negative: signs_differ(a, b),
        },
    }
}

#[inline]
fn root(a: Value, env: &mut Env) -> Value {
    match a {
        Value::Nan { .. } => propagate(&[a], env),
        // The root of −0 is −0.
        Value::Zero { .. } | Value::Infinite { negative: false } => a,
        Value::Finite(x) if !x.negative => Value::Finite(x.root()),
        Value::Finite(_) | Value::Infinite { .. } => invalid(env),
    }
}

#[inline]
fn signs_differ(a: Value, b: Value) -> bool {
    let negative = |v| match v {
        Value::Nan { .. } => false,
        Value::Infinite { negative } | Value::Zero { negative } => negative,
        Value::Finite(x) => x.negative,
    };
    negative(a) != negative(b)
}
