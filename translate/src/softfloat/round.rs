//! The one place where anything is rounded.

use super::{Env, Format, Real, flags};
use crate::ops::Rm;

/// `sig >> drop` for a nonzero `sig`, rounded to an integer, and whether that lost anything.
#[inline]
pub(super) fn shift_right_rounded(sig: u128, drop: u32, negative: bool, rm: Rm) -> (u128, bool) {
    const HALF: u128 = 1 << 127;
    let kept = sig.checked_shr(drop).unwrap_or(0);
    // What is dropped, as a fraction of 2^128. Of numbers so small that they do not fit, only
    // that they are between zero and a half matters.
    let dropped = match drop {
        0 => 0,
        1..=128 => sig << (128 - drop),
        _ => 1,
    };
    let up = match rm {
        Rm::Rne => dropped > HALF || dropped == HALF && kept & 1 != 0,
        Rm::Rtz => false,
        Rm::Rdn => dropped != 0 && negative,
        Rm::Rup => dropped != 0 && !negative,
        Rm::Rmm => dropped >= HALF,
    };
    (kept + u128::from(up), dropped != 0)
}

/// Rounds to the format `F`.
pub(super) fn pack<F: Format>(real: Real, env: &mut Env) -> u64 {
    let sign = if real.negative { F::SIGN } else { 0 };
    let zeros = real.sig.leading_zeros();
    let sig = real.sig << zeros;
    // Exponent of the leading one.
    let exp = real.exp + 127 - zeros as i32;
    if exp > F::EMAX {
        return sign | overflow::<F>(real.negative, env);
    }

    let full_drop = 127 - F::FRAC_BITS;
    // Below the normal range every step down costs one more bit of precision.
    let lost = (F::EMIN - exp).max(0) as u32;
    let (kept, inexact) = shift_right_rounded(sig, full_drop + lost, real.negative, env.rm);
    // `kept` has the hidden bit, if it is there at all, at the place of the exponent field's 1;
    // a carry out of the fraction steps the exponent in the same way.
    let base = ((exp.max(F::EMIN) - F::EMIN) as u64) << F::FRAC_BITS;
    let magnitude = base + kept as u64;
    if magnitude >= F::INF {
        return sign | overflow::<F>(real.negative, env);
    }
    if inexact {
        env.raise(flags::NX);
        // Tiny: with full precision and unbounded exponents, the rounded result would still lie
        // below the normal range. From half the smallest normal up it may round out of it.
        let tiny = lost > 1
            || lost == 1 && {
                let (full, _) = shift_right_rounded(sig, full_drop, real.negative, env.rm);
                full >> (F::FRAC_BITS + 1) == 0
            };
        if tiny {
            env.raise(flags::UF);
        }
    }
    sign | magnitude
}

/// The magnitude that stands for a result beyond the format.
#[cold]
fn overflow<F: Format>(negative: bool, env: &mut Env) -> u64 {
    env.raise(flags::OF | flags::NX);
    let to_infinity = match env.rm {
        Rm::Rne | Rm::Rmm => true,
        Rm::Rtz => false,
        Rm::Rdn => negative,
        Rm::Rup => !negative,
    };
    if to_infinity { F::INF } else { F::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_and_neighbours_of_ties_round_by_mode() {
        // (quarters, negative) → results for RNE, RTZ, RDN, RUP, RMM
        let rows = [
            (4, false, [1, 1, 1, 1, 1]),
            (5, false, [1, 1, 1, 2, 1]),
            (6, false, [2, 1, 1, 2, 2]),
            (7, false, [2, 1, 1, 2, 2]),
            (10, false, [2, 2, 2, 3, 3]),
            (10, true, [2, 2, 3, 2, 3]),
            (9, true, [2, 2, 3, 2, 2]),
        ];
        for (quarters, negative, want) in rows {
            for (bits, want) in want.into_iter().enumerate() {
                let rm = Rm::from_bits(bits as u8).unwrap();
                let got = shift_right_rounded(quarters, 2, negative, rm);
                assert_eq!(got, (want, quarters & 3 != 0), "{quarters}/4 {rm:?}");
            }
        }
    }

    #[test]
    fn whatever_is_shifted_out_altogether_is_less_than_half() {
        for drop in [128, 129, 130, 4000] {
            let sig = 1 << 126;
            for rm in [Rm::Rne, Rm::Rtz, Rm::Rdn, Rm::Rmm] {
                assert_eq!(shift_right_rounded(sig, drop, false, rm), (0, true));
            }
            assert_eq!(shift_right_rounded(sig, drop, false, Rm::Rup), (1, true));
        }
        // Just half, and more than half, of one unit.
        assert_eq!(
            shift_right_rounded(1 << 127, 128, false, Rm::Rmm),
            (1, true)
        );
        assert_eq!(
            shift_right_rounded(1 << 127, 128, false, Rm::Rne),
            (0, true)
        );
        assert_eq!(
            shift_right_rounded(1 << 127 | 1, 128, false, Rm::Rne),
            (1, true)
        );
    }
}
