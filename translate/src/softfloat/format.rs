//! The two formats, NaN boxing, and the way between bit patterns and exact numbers.

use super::{Env, Real, flags, round};

/// A binary interchange format of at most 64 bits. Everything follows from two widths.
pub trait Format {
    /// Bits of the fraction field.
    const FRAC_BITS: u32;
    /// Bits of the exponent field.
    const EXP_BITS: u32;

    /// The sign bit.
    const SIGN: u64 = 1 << (Self::FRAC_BITS + Self::EXP_BITS);
    /// Positive infinity: all of the exponent field.
    const INF: u64 = ((1 << Self::EXP_BITS) - 1) << Self::FRAC_BITS;
    /// The largest finite number.
    const MAX: u64 = Self::INF - 1;
    /// The fraction bit that tells a quiet NaN from a signalling one.
    const QUIET: u64 = 1 << (Self::FRAC_BITS - 1);
    /// The canonical NaN.
    const NAN: u64 = Self::INF | Self::QUIET;
    /// Exponent of the largest finite numbers; also the bias.
    const EMAX: i32 = (1 << (Self::EXP_BITS - 1)) - 1;
    /// Exponent of the smallest normal number.
    const EMIN: i32 = 1 - Self::EMAX;
    /// Register bits above the format: all ones around a properly boxed value.
    const BOX: u64 = !(Self::SIGN | (Self::SIGN - 1));

    /// The value in a register; the canonical NaN if it is not properly boxed.
    #[inline]
    fn unbox(reg: u64) -> u64 {
        if reg & Self::BOX == Self::BOX {
            reg & !Self::BOX
        } else {
            Self::NAN
        }
    }

    /// The register that holds a value.
    #[inline]
    fn boxed(bits: u64) -> u64 {
        bits | Self::BOX
    }
}

/// Binary32.
#[derive(Clone, Copy, Debug)]
pub struct Single;

impl Format for Single {
    const FRAC_BITS: u32 = 23;
    const EXP_BITS: u32 = 8;
}

/// Binary64.
#[derive(Clone, Copy, Debug)]
pub struct Double;

impl Format for Double {
    const FRAC_BITS: u32 = 52;
    const EXP_BITS: u32 = 11;
}

/// What a bit pattern stands for, free of any format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Not a number.
    Nan {
        /// Whether it raises the invalid flag as an operand.
        signalling: bool,
    },
    /// An infinity.
    Infinite {
        /// Its sign.
        negative: bool,
    },
    /// A zero.
    Zero {
        /// Its sign.
        negative: bool,
    },
    /// Any other number.
    Finite(Real),
}

impl Value {
    /// The quiet NaN.
    pub const NAN: Value = Value::Nan { signalling: false };

    /// Reads a bit pattern of format `F`.
    #[inline]
    pub fn decode<F: Format>(bits: u64) -> Value {
        let negative = bits & F::SIGN != 0;
        let magnitude = bits & !F::SIGN;
        if magnitude == 0 {
            return Value::Zero { negative };
        }
        if magnitude >= F::INF {
            return if magnitude == F::INF {
                Value::Infinite { negative }
            } else {
                Value::Nan {
                    signalling: bits & F::QUIET == 0,
                }
            };
        }
        let field = (magnitude >> F::FRAC_BITS) as i32;
        let frac = magnitude & ((1 << F::FRAC_BITS) - 1);
        let hidden = u64::from(field != 0) << F::FRAC_BITS;
        // Subnormals have the scale of the smallest normal numbers, without the hidden bit.
        let exp = F::EMIN + field.max(1) - 1 - F::FRAC_BITS as i32;
        Value::Finite(Real {
            negative,
            exp,
            sig: u128::from(hidden | frac),
        })
    }

    /// Rounds to format `F`.
    #[inline]
    pub fn encode<F: Format>(self, env: &mut Env) -> u64 {
        let sign = |negative| if negative { F::SIGN } else { 0 };
        match self {
            Value::Nan { signalling } => {
                if signalling {
                    env.raise(flags::NV);
                }
                F::NAN
            }
            Value::Infinite { negative } => sign(negative) | F::INF,
            Value::Zero { negative } => sign(negative),
            Value::Finite(real) => round::pack::<F>(real, env),
        }
    }

    /// Whether this is a NaN of either kind.
    #[inline]
    pub fn is_nan(self) -> bool {
        matches!(self, Value::Nan { .. })
    }

    /// Whether this is a signalling NaN.
    #[inline]
    pub fn is_signalling(self) -> bool {
        matches!(self, Value::Nan { signalling: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Rm;

    #[test]
    fn the_constants_are_those_of_the_standard() {
        assert_eq!(Single::SIGN, 0x8000_0000);
        assert_eq!(Single::INF, 0x7f80_0000);
        assert_eq!(Single::NAN, 0x7fc0_0000);
        assert_eq!(Single::BOX, 0xffff_ffff_0000_0000);
        assert_eq!((Single::EMIN, Single::EMAX), (-126, 127));
        assert_eq!(Double::SIGN, 1 << 63);
        assert_eq!(Double::INF, 0x7ff << 52);
        assert_eq!(Double::NAN, 0x7ff8 << 48);
        assert_eq!(Double::BOX, 0);
        assert_eq!((Double::EMIN, Double::EMAX), (-1022, 1023));
    }

    #[test]
    fn a_badly_boxed_single_reads_as_the_canonical_nan() {
        assert_eq!(Single::unbox(0xffff_ffff_3f80_0000), 0x3f80_0000);
        assert_eq!(Single::unbox(0x3f80_0000), Single::NAN);
        assert_eq!(Single::unbox(0xffff_fffe_3f80_0000), Single::NAN);
        assert_eq!(Double::unbox(0x3f80_0000), 0x3f80_0000);
    }

    #[test]
    fn every_exact_value_survives_decode_and_encode() {
        fn check<F: Format>(bits: u64) {
            for rm in [Rm::Rne, Rm::Rtz, Rm::Rdn, Rm::Rup, Rm::Rmm] {
                let mut env = Env::new(rm);
                let back = Value::decode::<F>(bits).encode::<F>(&mut env);
                assert_eq!((back, env.flags), (bits, 0), "{bits:#x}");
            }
        }
        for exp in 0..255 {
            for frac in [0, 1, 0x2a_aaaa, 0x7f_ffff] {
                check::<Single>(exp << 23 | frac);
                check::<Single>(1 << 31 | exp << 23 | frac);
            }
        }
        for exp in 0..2047 {
            for frac in [0, 1, 0xa_aaaa_aaaa_aaaa, (1 << 52) - 1] {
                check::<Double>(exp << 52 | frac);
                check::<Double>(1 << 63 | exp << 52 | frac);
            }
        }
        check::<Single>(Single::INF);
        check::<Double>(Double::SIGN | Double::INF);
    }
}
