//! Exact sums of dyadic numbers, on integers wide enough for any product of two doubles.

use std::cmp::Ordering;

use translate::softfloat::Format;

/// `sig · 2^exp`.
#[derive(Clone, Copy, Debug)]
pub struct Dyadic {
    pub sig: u128,
    pub exp: i32,
}

impl Dyadic {
    /// The magnitude of a finite number; the pattern of infinity counts as the power of two that
    /// would follow the largest number.
    pub fn magnitude<F: Format>(bits: u64) -> Dyadic {
        let magnitude = bits & !F::SIGN;
        assert!(magnitude <= F::INF);
        let field = magnitude >> F::FRAC_BITS;
        let fraction = magnitude - (field << F::FRAC_BITS);
        let (hidden, field) = if field == 0 { (0, 1) } else { (1, field) };
        Dyadic {
            sig: u128::from(hidden << F::FRAC_BITS | fraction),
            exp: field as i32 - F::EMAX - F::FRAC_BITS as i32,
        }
    }

    pub fn power(exp: i32) -> Dyadic {
        Dyadic { sig: 1, exp }
    }

    pub fn times(self, other: Dyadic) -> Dyadic {
        Dyadic {
            sig: self.sig.checked_mul(other.sig).expect("fits 128 bits"),
            exp: self.exp + other.exp,
        }
    }

    /// The midpoint of two neighbours.
    pub fn midpoint(self, other: Dyadic) -> Dyadic {
        let exp = self.exp.min(other.exp);
        let aligned = |d: Dyadic| d.sig << (d.exp - exp);
        Dyadic {
            sig: aligned(self) + aligned(other),
            exp: exp - 1,
        }
    }
}

const LIMBS: usize = 72;
/// Scale of the lowest bit: below the square of the smallest double and the half of that.
const LOWEST: i32 = -2240;

/// The sign of a sum of signed terms (`true`: negative), as an order relative to zero.
pub fn sign_of_sum(terms: &[(bool, Dyadic)]) -> Ordering {
    // Two's complement, little endian.
    let mut sum = [0u64; LIMBS];
    for &(negative, term) in terms {
        let at = usize::try_from(term.exp - LOWEST).expect("in range");
        let (limb, shift) = (at / 64, at % 64);
        let low = u128::from(term.sig as u64) << shift;
        let high = (term.sig >> 64) << shift;
        let parts = [
            low as u64,
            (low >> 64) as u64 | high as u64,
            (high >> 64) as u64,
        ];
        let mut carry = false;
        for (i, digit) in sum[limb..].iter_mut().enumerate() {
            let part = parts.get(i).copied().unwrap_or(0);
            let (a, b);
            if negative {
                (*digit, a) = digit.overflowing_sub(part);
                (*digit, b) = digit.overflowing_sub(u64::from(carry));
            } else {
                (*digit, a) = digit.overflowing_add(part);
                (*digit, b) = digit.overflowing_add(u64::from(carry));
            }
            carry = a || b;
            if i >= parts.len() && !carry {
                break;
            }
        }
    }
    if sum[LIMBS - 1] >> 63 != 0 {
        Ordering::Less
    } else if sum.iter().any(|&digit| digit != 0) {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}
