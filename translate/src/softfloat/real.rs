//! Nonzero real numbers: an integer times a power of two.
//!
//! Operands come from [`super::Value::decode`], so their significands have at most 53 bits;
//! products have at most 106. Products are exact. Sums, quotients and roots may have more bits than
//! the significand holds; then the lowest bit is *sticky*: it is set if anything nonzero lies at or
//! below it. A sticky significand has at least 64 bits, 9 more than the widest format keeps with
//! its round bit, so rounding cannot tell it from the exact number.

use std::cmp::Ordering;

/// `± sig · 2^exp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Real {
    /// The sign.
    pub negative: bool,
    /// Scale of the significand's lowest bit.
    pub exp: i32,
    /// Never 0.
    pub sig: u128,
}

impl Real {
    /// The same number with the significand's leading one at bit `top`, at or above where it is.
    #[inline]
    fn with_top(self, top: u32) -> Real {
        let shift = top - self.sig.ilog2();
        Real {
            sig: self.sig << shift,
            exp: self.exp - shift as i32,
            ..self
        }
    }

    /// `self · other`.
    #[inline]
    pub fn product(self, other: Real) -> Real {
        Real {
            negative: self.negative != other.negative,
            exp: self.exp + other.exp,
            sig: self.sig * other.sig,
        }
    }

    /// `self / other`.
    pub fn quotient(self, other: Real) -> Real {
        // A 128-bit dividend over at most 53 bits leaves at least 75.
        let dividend = self.with_top(127);
        let quotient = dividend.sig / other.sig;
        let exact = quotient * other.sig == dividend.sig;
        Real {
            negative: self.negative != other.negative,
            exp: dividend.exp - other.exp,
            sig: quotient | u128::from(!exact),
        }
    }

    /// The square root of the magnitude.
    pub fn root(self) -> Real {
        // An even scale, which halves, and at least 127 bits, whose root has 64.
        let mut radicand = self.with_top(126);
        if radicand.exp & 1 != 0 {
            radicand.sig <<= 1;
            radicand.exp -= 1;
        }
        let root = radicand.sig.isqrt();
        let exact = root * root == radicand.sig;
        Real {
            negative: false,
            exp: radicand.exp / 2,
            sig: root | u128::from(!exact),
        }
    }

    /// `self + other`; `None` if they cancel out.
    #[inline]
    pub fn sum(self, other: Real) -> Option<Real> {
        // Leading ones at bit 126 leave room for the carry.
        let (a, b) = (self.with_top(126), other.with_top(126));
        let order = a.exp.cmp(&b.exp).then(a.sig.cmp(&b.sig));
        let (large, small) = if order == Ordering::Less {
            (b, a)
        } else {
            (a, b)
        };
        let small_sig = shift_right_sticky(small.sig, (large.exp - small.exp) as u32);
        let sig = if large.negative == small.negative {
            large.sig + small_sig
        } else {
            // With a sticky subtrahend the difference is sticky again: the low bits of the larger
            // operand are zero (it has at most 106 of 127), so the difference is odd, as the
            // floor of the exact difference would be with its lowest bit set. And bits are only
            // shifted out if the scales are more than 20 apart, where at most one leading bit
            // cancels.
            large.sig - small_sig
        };
        (sig != 0).then_some(Real { sig, ..large })
    }
}

/// `sig >> shift`, with the lowest bit set if any one was shifted out.
#[inline]
fn shift_right_sticky(sig: u128, shift: u32) -> u128 {
    if shift > 127 {
        return 1;
    }
    let shifted = sig >> shift;
    shifted | u128::from(shifted << shift != sig)
}
