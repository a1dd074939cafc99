//! Comparisons, minimum and maximum, classification and sign injection: all exact.

use super::{Env, Format, Value, flags};
use crate::ops::FCmpOp;

/// `a op b` as 0 or 1. `Eq` signals on signalling NaNs only, `Lt` and `Le` on every NaN.
pub fn compare<F: Format>(op: FCmpOp, a: u64, b: u64, env: &mut Env) -> u64 {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        if op != FCmpOp::Eq || is_signalling::<F>(a) || is_signalling::<F>(b) {
            env.raise(flags::NV);
        }
        return 0;
    }
    // +0 and −0 are next to each other in the total order, and equal here.
    let zeros = (a | b) & !F::SIGN == 0;
    let (a, b) = (order::<F>(a), order::<F>(b));
    u64::from(match op {
        FCmpOp::Eq => a == b || zeros,
        FCmpOp::Lt => a < b && !zeros,
        FCmpOp::Le => a <= b || zeros,
    })
}

/// The smaller operand, −0 being smaller than +0; the other one if one is a NaN.
pub fn min<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    select::<F>(a, b, order::<F>(a) < order::<F>(b), env)
}

/// The larger operand, −0 being smaller than +0; the other one if one is a NaN.
pub fn max<F: Format>(a: u64, b: u64, env: &mut Env) -> u64 {
    select::<F>(a, b, order::<F>(a) > order::<F>(b), env)
}

fn select<F: Format>(a: u64, b: u64, first: bool, env: &mut Env) -> u64 {
    if is_signalling::<F>(a) || is_signalling::<F>(b) {
        env.raise(flags::NV);
    }
    match (is_nan::<F>(a), is_nan::<F>(b)) {
        (false, false) if first => a,
        (false, false) | (true, false) => b,
        (false, true) => a,
        (true, true) => F::NAN,
    }
}

/// The one-hot class mask of `fclass`.
pub fn classify<F: Format>(a: u64) -> u64 {
    let mirror = |negative, class: u32| if negative { class } else { 7 - class };
    let class = match Value::decode::<F>(a) {
        Value::Nan { signalling: true } => 8,
        Value::Nan { signalling: false } => 9,
        Value::Infinite { negative } => mirror(negative, 0),
        Value::Zero { negative } => mirror(negative, 3),
        Value::Finite(x) => {
            let normal = a & F::INF != 0;
            mirror(x.negative, if normal { 1 } else { 2 })
        }
    };
    1 << class
}

/// The magnitude of `a` with the sign of `b`.
#[inline]
pub fn copy_sign<F: Format>(a: u64, b: u64) -> u64 {
    a & !F::SIGN | b & F::SIGN
}

/// Numbers in their total order, −0 just below +0, as integers in theirs.
#[inline]
fn order<F: Format>(bits: u64) -> i64 {
    let magnitude = (bits & !F::SIGN) as i64;
    if bits & F::SIGN != 0 {
        !magnitude
    } else {
        magnitude
    }
}

#[inline]
fn is_nan<F: Format>(bits: u64) -> bool {
    bits & !F::SIGN > F::INF
}

#[inline]
fn is_signalling<F: Format>(bits: u64) -> bool {
    is_nan::<F>(bits) && bits & F::QUIET == 0
}

#[cfg(test)]
mod tests {
    use super::super::{Double, Single};
    use super::*;
    use crate::ops::Rm;

    const ONE: u64 = 0x3f80_0000;
    const MINUS: u64 = Single::SIGN;
    const SNAN: u64 = 0x7f80_0001;
    const QNAN: u64 = 0xffc1_2345;

    fn flagged<T>(f: impl FnOnce(&mut Env) -> T) -> (T, u32) {
        let mut env = Env::new(Rm::Rne);
        let result = f(&mut env);
        (result, env.flags)
    }

    #[test]
    fn the_smaller_zero_is_the_negative_one() {
        for (a, b) in [(0, MINUS), (MINUS, 0)] {
            assert_eq!(flagged(|e| min::<Single>(a, b, e)), (MINUS, 0));
            assert_eq!(flagged(|e| max::<Single>(a, b, e)), (0, 0));
        }
    }

    #[test]
    fn min_and_max_prefer_numbers_and_flag_signalling_nans() {
        for f in [min::<Single>, max::<Single>] {
            assert_eq!(flagged(|e| f(ONE, QNAN, e)), (ONE, 0));
            assert_eq!(flagged(|e| f(QNAN, ONE, e)), (ONE, 0));
            assert_eq!(flagged(|e| f(ONE, SNAN, e)), (ONE, flags::NV));
            assert_eq!(flagged(|e| f(QNAN, QNAN, e)), (Single::NAN, 0));
            assert_eq!(flagged(|e| f(SNAN, QNAN, e)), (Single::NAN, flags::NV));
        }
    }

    #[test]
    fn equality_is_quiet_and_order_signals() {
        let cmp = |op, a, b| flagged(|e| compare::<Single>(op, a, b, e));
        assert_eq!(cmp(FCmpOp::Eq, QNAN, ONE), (0, 0));
        assert_eq!(cmp(FCmpOp::Eq, ONE, SNAN), (0, flags::NV));
        for op in [FCmpOp::Lt, FCmpOp::Le] {
            assert_eq!(cmp(op, QNAN, ONE), (0, flags::NV));
            assert_eq!(cmp(op, ONE, SNAN), (0, flags::NV));
        }
        assert_eq!(cmp(FCmpOp::Eq, 0, MINUS), (1, 0));
        assert_eq!(cmp(FCmpOp::Lt, MINUS, 0), (0, 0));
        assert_eq!(cmp(FCmpOp::Le, 0, MINUS), (1, 0));
        assert_eq!(cmp(FCmpOp::Lt, MINUS | ONE, MINUS), (1, 0));
        assert_eq!(cmp(FCmpOp::Lt, MINUS | ONE, MINUS | (ONE + 1)), (0, 0));
        assert_eq!(cmp(FCmpOp::Le, ONE, Single::INF), (1, 0));
    }

    #[test]
    fn every_class_has_its_bit() {
        let doubles = [
            (0xfff0_0000_0000_0000, 0),
            (0xffef_ffff_ffff_ffff, 1),
            (0x8010_0000_0000_0000, 1),
            (0x800f_ffff_ffff_ffff, 2),
            (0x8000_0000_0000_0000, 3),
            (0, 4),
            (1, 5),
            (0x0010_0000_0000_0000, 6),
            (0x7ff0_0000_0000_0000, 7),
            (0x7ff0_0000_0000_0001, 8),
            (0xfff7_ffff_ffff_ffff, 8),
            (0x7ff8_0000_0000_0000, 9),
            (0xffff_ffff_ffff_ffff, 9),
        ];
        for (bits, class) in doubles {
            assert_eq!(classify::<Double>(bits), 1 << class, "{bits:#x}");
        }
        assert_eq!(classify::<Single>(0x8000_0001), 1 << 2);
        assert_eq!(classify::<Single>(0x7fa0_0000), 1 << 8);
    }
}
