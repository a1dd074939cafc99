//! Conversions between formats and to and from integers.

use super::{Env, Format, Real, Value, flags, round};
use crate::ops::IntFmt;

/// Converts between formats.
pub fn convert<From: Format, To: Format>(a: u64, env: &mut Env) -> u64 {
    Value::decode::<From>(a).encode::<To>(env)
}

/// The nearest number to a register read as an integer of format `from`.
pub fn from_int<F: Format>(from: IntFmt, a: u64, env: &mut Env) -> u64 {
    let value = match from {
        IntFmt::I32 => i128::from(a as i32),
        IntFmt::U32 => i128::from(a as u32),
        IntFmt::I64 => i128::from(a as i64),
        IntFmt::U64 => i128::from(a),
    };
    if value == 0 {
        return 0;
    }
    let real = Real {
        negative: value < 0,
        exp: 0,
        sig: value.unsigned_abs(),
    };
    Value::Finite(real).encode::<F>(env)
}

/// Rounds to an integer as it goes into a register: 32-bit ones sign-extended, unsigned ones too.
/// What is out of range is invalid (and then not inexact) and gives the nearest integer in range;
/// a NaN gives the largest.
pub fn to_int<F: Format>(to: IntFmt, a: u64, env: &mut Env) -> u64 {
    let (min, max) = match to {
        IntFmt::I32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        IntFmt::U32 => (0, i128::from(u32::MAX)),
        IntFmt::I64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        IntFmt::U64 => (0, i128::from(u64::MAX)),
    };
    let (value, inexact) = match Value::decode::<F>(a) {
        Value::Zero { .. } => (0, false),
        Value::Finite(real) => integer(real, env),
        Value::Infinite { negative: true } => (i128::MIN, false),
        Value::Infinite { negative: false } | Value::Nan { .. } => (i128::MAX, false),
    };
    if value < min || value > max {
        env.raise(flags::NV);
    } else if inexact {
        env.raise(flags::NX);
    }
    let value = value.clamp(min, max);
    match to {
        IntFmt::I32 | IntFmt::U32 => value as i32 as u64,
        IntFmt::I64 | IntFmt::U64 => value as u64,
    }
}

/// Rounds to an integer; whatever is beyond 65 bits only keeps its sign.
fn integer(real: Real, env: &mut Env) -> (i128, bool) {
    let (magnitude, inexact) = if real.exp > 64 {
        (i128::MAX as u128, false)
    } else if real.exp >= 0 {
        // At most 53 bits, moved up by at most 64.
        (real.sig << real.exp, false)
    } else {
        round::shift_right_rounded(real.sig, real.exp.unsigned_abs(), real.negative, env.rm)
    };
    let value = magnitude as i128;
    (if real.negative { -value } else { value }, inexact)
}

#[cfg(test)]
mod tests {
    use super::super::{Double, Single};
    use super::*;
    use crate::ops::Rm;

    fn to(to: IntFmt, rm: Rm, value: f64) -> (u64, u32) {
        let mut env = Env::new(rm);
        let result = to_int::<Double>(to, value.to_bits(), &mut env);
        (result, env.flags)
    }

    #[test]
    fn integers_saturate_with_invalid_alone() {
        use flags::NV;
        let inf = f64::INFINITY;
        for rm in [Rm::Rne, Rm::Rtz, Rm::Rmm] {
            assert_eq!(to(IntFmt::I32, rm, 2147483648.5), (0x7fff_ffff, NV));
            assert_eq!(to(IntFmt::I32, rm, -inf), (0xffff_ffff_8000_0000, NV));
            assert_eq!(to(IntFmt::I32, rm, f64::NAN), (0x7fff_ffff, NV));
            assert_eq!(to(IntFmt::U32, rm, f64::NAN), (u64::MAX, NV));
            assert_eq!(to(IntFmt::U32, rm, -1.0), (0, NV));
            assert_eq!(to(IntFmt::U32, rm, 1e300), (u64::MAX, NV));
            assert_eq!(to(IntFmt::I64, rm, 2f64.powi(63)), (i64::MAX as u64, NV));
            assert_eq!(to(IntFmt::I64, rm, -1e19), (1 << 63, NV));
            assert_eq!(to(IntFmt::U64, rm, f64::NAN), (u64::MAX, NV));
            assert_eq!(to(IntFmt::U64, rm, 2f64.powi(64)), (u64::MAX, NV));
            assert_eq!(to(IntFmt::U64, rm, -f64::MAX), (0, NV));
        }
    }

    #[test]
    fn the_last_integers_in_range_are_in_range() {
        use flags::{NV, NX};
        assert_eq!(
            to(IntFmt::I64, Rm::Rne, -(2f64.powi(63))),
            (i64::MIN as u64, 0)
        );
        assert_eq!(to(IntFmt::I32, Rm::Rtz, 2147483647.9), (0x7fff_ffff, NX));
        assert_eq!(to(IntFmt::I32, Rm::Rup, 2147483646.1), (0x7fff_ffff, NX));
        assert_eq!(to(IntFmt::I32, Rm::Rup, 2147483647.1), (0x7fff_ffff, NV));
        assert_eq!(to(IntFmt::U32, Rm::Rne, 4294967295.0), (u64::MAX, 0));
        assert_eq!(to(IntFmt::U32, Rm::Rtz, -0.9), (0, NX));
        assert_eq!(to(IntFmt::U32, Rm::Rdn, -0.1), (0, NV));
        assert_eq!(to(IntFmt::U64, Rm::Rne, -0.5), (0, NX));
        assert_eq!(to(IntFmt::U64, Rm::Rmm, -0.5), (0, NV));
        assert_eq!(to(IntFmt::U64, Rm::Rne, 2f64.powi(63)), (1 << 63, 0));
        assert_eq!(to(IntFmt::I32, Rm::Rne, -0.0), (0, 0));
        assert_eq!(to(IntFmt::I64, Rm::Rup, f64::from_bits(1)), (1, NX));
    }

    #[test]
    fn ties_to_integers_follow_the_mode() {
        let modes = [Rm::Rne, Rm::Rtz, Rm::Rdn, Rm::Rup, Rm::Rmm];
        let want = |value, want: [i64; 5]| {
            for (rm, want) in modes.into_iter().zip(want) {
                assert_eq!(
                    to(IntFmt::I64, rm, value),
                    (want as u64, 1),
                    "{value} {rm:?}"
                );
            }
        };
        want(0.5, [0, 0, 0, 1, 1]);
        want(1.5, [2, 1, 1, 2, 2]);
        want(2.5, [2, 2, 2, 3, 3]);
        want(-2.5, [-2, -2, -3, -2, -3]);
        want(-0.25, [0, 0, -1, 0, 0]);
    }

    #[test]
    fn integers_round_once_on_their_way_in() {
        let mut env = Env::new(Rm::Rmm);
        // 2^24 + 1 lies midway between two singles.
        assert_eq!(
            from_int::<Single>(IntFmt::I32, (1 << 24) + 1, &mut env),
            0x4b80_0001
        );
        assert_eq!(env.flags, flags::NX);
        let mut env = Env::new(Rm::Rne);
        assert_eq!(
            from_int::<Single>(IntFmt::U32, u64::MAX, &mut env),
            0x4f80_0000
        );
        assert_eq!(
            from_int::<Double>(IntFmt::I32, 0xffff_ffff, &mut env),
            (-1f64).to_bits()
        );
        assert_eq!(
            from_int::<Double>(IntFmt::U64, u64::MAX, &mut env),
            2f64.powi(64).to_bits()
        );
        assert_eq!(from_int::<Double>(IntFmt::I64, 0, &mut env), 0);
    }

    #[test]
    fn nans_lose_their_payload_and_sign_between_formats() {
        let mut env = Env::new(Rm::Rne);
        assert_eq!(
            convert::<Single, Double>(0xffc1_2345, &mut env),
            Double::NAN
        );
        assert_eq!(env.flags, 0);
        assert_eq!(
            convert::<Double, Single>(0xfff0_0000_0000_0001, &mut env),
            Single::NAN
        );
        assert_eq!(env.flags, flags::NV);
    }
}
