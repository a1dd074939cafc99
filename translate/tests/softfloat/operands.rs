//! Operands that are likely to hit something.

use translate::softfloat::Format;

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// A number of format `F`.
    pub fn operand<F: Format>(&mut self) -> u64 {
        let sign = if self.below(2) == 0 { F::SIGN } else { 0 };
        let one = (F::EMAX as u64) << F::FRAC_BITS;
        let magnitude = match self.below(8) {
            // Around the corners of the format.
            0 => {
                let normal = 1 << F::FRAC_BITS;
                let corners = [0, 1, normal, one, F::INF, F::NAN];
                let corner: u64 = corners[self.below(6) as usize];
                match self.below(2) {
                    0 => corner,
                    _ => corner.wrapping_add(self.below(5)).wrapping_sub(2) & (F::SIGN - 1),
                }
            }
            // Near 1, so that two operands have comparable magnitudes.
            1..=3 => {
                let exp = F::EMAX as u64 - 4 + self.below(8);
                exp << F::FRAC_BITS | self.fraction::<F>()
            }
            // Near the lower end.
            4 => self.below(3 * u64::from(F::FRAC_BITS)) << F::FRAC_BITS | self.fraction::<F>(),
            // Where squares and roots come near the ends.
            5 => {
                let quarter = F::EMAX as u64 / 2;
                let middle = [quarter, 3 * quarter, 2 * F::EMAX as u64 - 3];
                let exp = middle[self.below(3) as usize] + self.below(4);
                exp << F::FRAC_BITS | self.fraction::<F>()
            }
            _ => self.bits() & (F::SIGN - 1),
        };
        sign | magnitude
    }

    /// A second operand; sometimes in a relation to the first.
    pub fn partner<F: Format>(&mut self, first: u64) -> u64 {
        match self.below(8) {
            // The same magnitude of either sign.
            0 => first ^ [0, F::SIGN][self.below(2) as usize],
            // Close by, of either sign: cancellation.
            1 | 2 => {
                let near = first.wrapping_add(self.below(5)).wrapping_sub(2);
                (near ^ if self.below(2) == 0 { F::SIGN } else { 0 }) & (F::SIGN | (F::SIGN - 1))
            }
            // Up to a little more than the precision apart.
            3 | 4 => {
                let steps = self.below(2 * u64::from(F::FRAC_BITS) + 8) << F::FRAC_BITS;
                let magnitude = (first & (F::SIGN - 1)).wrapping_sub(steps) & (F::SIGN - 1);
                let whole = magnitude & F::INF | self.fraction::<F>();
                whole ^ (first ^ self.bits()) & F::SIGN
            }
            _ => self.operand::<F>(),
        }
    }

    /// Fractions with few changes between zeros and ones are those that make ties.
    fn fraction<F: Format>(&mut self) -> u64 {
        let run = |r: &mut Self| !0 << r.below(u64::from(F::FRAC_BITS) + 1);
        let bits = match self.below(4) {
            0 => self.bits(),
            1 => run(self),
            2 => run(self) ^ run(self),
            _ => 1 << self.below(u64::from(F::FRAC_BITS)),
        };
        bits & ((1 << F::FRAC_BITS) - 1)
    }
}
