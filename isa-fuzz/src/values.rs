//! Operand values that break things: limits, NaNs of every kind, denormals, halfway cases.

use crate::rng::Rng;

/// Integers at the edges of widths, and patterns for bit counting and shuffling.
#[rustfmt::skip]
pub const INTEGERS: &[u64] = &[
    0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff, 0x1_0000,
    u64::MAX, u64::MAX - 1, -128i64 as u64, -129i64 as u64, -2048i64 as u64, -32768i64 as u64,
    0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x1_0000_0000, 0x1_ffff_ffff,
    0xffff_ffff_8000_0000, 0xffff_ffff_7fff_ffff, 0xffff_ffff_0000_0000,
    0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, 0x8000_0000_0000_0001,
    0x7fff_ffff_8000_0000, 0x8000_0000_7fff_ffff,
    0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210,
    0x0080_ff7f_0100_807f, 0x0001_0000_0000_0000, 0x00ff_00ff_00ff_00ff,
    // Around what conversions to floating point must round.
    0x001f_ffff_ffff_ffff, 0x0020_0000_0000_0001, 0x0020_0000_0000_0003, 0x0100_0001, 0x0100_0003,
    0x7fff_ffff_ffff_fdff, 0x7fff_ffff_ffff_fe00, 0xffff_ffff_ffff_fbff, 0xffff_ffff_ffff_fc00,
    0x7fff_ffbf_ffff_ffff, 0x7fff_ffc0_0000_0000, 0xffff_ff7f_ffff_ffff, 0xffff_ff80_0000_0000,
];

/// Doubles, as bits.
#[rustfmt::skip]
pub const DOUBLES: &[u64] = &[
    // zeros, ones, simple
    0x0000_0000_0000_0000, 0x8000_0000_0000_0000, 0x3ff0_0000_0000_0000, 0xbff0_0000_0000_0000,
    0x3fe0_0000_0000_0000, 0xbfe0_0000_0000_0000, 0x3ff8_0000_0000_0000, 0x4004_0000_0000_0000,
    0xc004_0000_0000_0000, 0x4008_0000_0000_0000, 0x3fd5_5555_5555_5555,
    // infinities; NaNs: canonical, negative, with payload, signalling
    0x7ff0_0000_0000_0000, 0xfff0_0000_0000_0000, 0x7ff8_0000_0000_0000, 0xfff8_0000_0000_0000,
    0x7ff8_dead_beef_0001, 0xffff_ffff_ffff_ffff, 0x7ff0_0000_0000_0001, 0xfff7_ffff_ffff_ffff,
    // denormals, least and greatest
    0x0000_0000_0000_0001, 0x8000_0000_0000_0001, 0x000f_ffff_ffff_ffff, 0x800f_ffff_ffff_ffff,
    0x0008_0000_0000_0000, 0x0010_0000_0000_0000, 0x8010_0000_0000_0000, 0x0010_0000_0000_0001,
    0x001f_ffff_ffff_ffff, 0x0020_0000_0000_0000, 0x7fef_ffff_ffff_ffff, 0xffef_ffff_ffff_ffff,
    0x7fe0_0000_0000_0000,
    // one ulp around one; square roots of limits
    0x3ff0_0000_0000_0001, 0x3fef_ffff_ffff_ffff, 0x2000_0000_0000_0000, 0x5fe0_0000_0000_0000,
    0x1e60_0000_0000_0000, 0x3cb0_0000_0000_0000, 0x3ca0_0000_0000_0000, 0x3ca0_0000_0000_0001,
    // integer limits and halves: 2^31, 2^32, 2^63, 2^64, 2^52, 2^53 and neighbours
    0x41df_ffff_ffc0_0000, 0x41df_ffff_ffe0_0000, 0x41e0_0000_0000_0000, 0x41ef_ffff_ffe0_0000,
    0x41ef_ffff_fff0_0000, 0x41f0_0000_0000_0000, 0xc1e0_0000_0000_0000, 0xc1e0_0000_0010_0000,
    0xc1e0_0000_0020_0000, 0x43df_ffff_ffff_ffff, 0x43e0_0000_0000_0000, 0xc3e0_0000_0000_0000,
    0xc3e0_0000_0000_0001, 0x43ef_ffff_ffff_ffff, 0x43f0_0000_0000_0000, 0x432f_ffff_ffff_ffff,
    0x4330_0000_0000_0000, 0x433f_ffff_ffff_ffff, 0x4340_0000_0000_0000, 0xbfef_ffff_ffff_ffff,
    // where rounding to single is hard: halfway, overflow, underflow, below the least denormal
    0x3ff0_0000_1000_0000, 0x3ff0_0000_1000_0001, 0x3ff0_0000_3000_0000, 0x47ef_ffff_e000_0000,
    0x47ef_ffff_efff_ffff, 0x47ef_ffff_f000_0000, 0x47f0_0000_0000_0000, 0x3810_0000_0000_0000,
    0x380f_ffff_ffff_ffff, 0x380f_ffff_e000_0000, 0x380f_ffff_f000_0000, 0x36a0_0000_0000_0000,
    0x3690_0000_0000_0000, 0x3690_0000_0000_0001, 0xb690_0000_0000_0000, 0x3680_0000_0000_0000,
];

/// Singles, as bits of the low half.
#[rustfmt::skip]
pub const SINGLES: &[u32] = &[
    0x0000_0000, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x3f00_0000, 0xbf00_0000, 0x3fc0_0000,
    0x4020_0000, 0xc020_0000, 0x4040_0000, 0x3eaa_aaab,
    0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0000, 0x7fc0_beef, 0xffff_ffff, 0x7f80_0001,
    0xffbf_ffff,
    0x0000_0001, 0x8000_0001, 0x007f_ffff, 0x807f_ffff, 0x0040_0000, 0x0080_0000, 0x8080_0000,
    0x0080_0001, 0x00ff_ffff, 0x0100_0000, 0x7f7f_ffff, 0xff7f_ffff, 0x7f00_0000,
    0x3f80_0001, 0x3f7f_ffff, 0x2000_0000, 0x5f00_0000, 0x1f80_0000, 0x3400_0000, 0x3380_0000,
    0x3380_0001,
    0x4eff_ffff, 0x4f00_0000, 0xcf00_0000, 0xcf00_0001, 0x4f7f_ffff, 0x4f80_0000, 0x5eff_ffff,
    0xdf00_0000, 0xdf00_0001, 0x5f7f_ffff, 0x5f80_0000, 0x4b00_0000, 0x4b7f_ffff, 0x4b80_0000,
    0x4aff_ffff, 0xbf7f_ffff,
];

/// Upper halves that make a single badly boxed; it then counts as the canonical NaN.
const BAD_BOXES: &[u32] = &[0, 1, 0xffff_fffe, 0x7fff_ffff, 0x3ff0_0000, 0x7ff8_0000];

/// `value`, NaN-boxed.
pub fn boxed(value: u32) -> u64 {
    0xffff_ffff_0000_0000 | u64::from(value)
}

/// `value` in a register without its box.
pub fn badly_boxed(rng: &mut Rng, value: u32) -> u64 {
    u64::from(rng.pick(BAD_BOXES)) << 32 | u64::from(value)
}

/// An integer: special, small, random, or next to a power of two.
pub fn integer(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0..=3 => rng.pick(INTEGERS),
        4 => rng.bits(),
        5 => rng.bits() >> rng.below(64),
        6 => (rng.bits() as i64 >> rng.below(64)) as u64,
        _ => (1u64 << rng.below(64)).wrapping_add_signed(rng.range(-1, 1).into()),
    }
}

/// A double: special, or random with an exponent and a fraction that make roundings close calls.
pub fn double(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0..=4 => rng.pick(DOUBLES),
        5 => rng.bits(),
        _ => {
            let exponent = match rng.below(4) {
                0 => rng.range(0, 60),
                1 => rng.range(1023 - 150, 1023 - 120),
                2 => rng.range(1990, 2046),
                _ => rng.range(1023 - 54, 1023 + 65),
            };
            rng.bits() & 1 << 63 | (exponent as u64) << 52 | fraction(rng, 52)
        }
    }
}

/// A single, in the low half.
pub fn single(rng: &mut Rng) -> u32 {
    match rng.below(8) {
        0..=4 => rng.pick(SINGLES),
        5 => rng.bits() as u32,
        _ => {
            let exponent = match rng.below(3) {
                0 => rng.range(0, 30),
                1 => rng.range(220, 254),
                _ => rng.range(127 - 25, 127 + 65),
            };
            rng.bits() as u32 & 1 << 31 | (exponent as u32) << 23 | fraction(rng, 23) as u32
        }
    }
}

/// Contents of a floating-point register.
pub fn float_register(rng: &mut Rng) -> u64 {
    match rng.below(10) {
        0..=4 => double(rng),
        5..=8 => boxed(single(rng)),
        _ => {
            let value = single(rng);
            badly_boxed(rng, value)
        }
    }
}

/// A fraction of `bits` bits with long runs of equal bits.
fn fraction(rng: &mut Rng, bits: u32) -> u64 {
    let all = (1u64 << bits) - 1;
    let run = |rng: &mut Rng| all >> rng.below(bits + 1);
    let value = match rng.below(5) {
        0 => rng.bits(),
        1 => run(rng),
        2 => run(rng) ^ run(rng),
        3 => rng.bits() << rng.below(bits),
        _ => 1 << rng.below(bits),
    };
    value & all
}
