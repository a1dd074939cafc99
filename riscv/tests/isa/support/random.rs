//! A small deterministic random number generator (splitmix64).

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A word whose operand fields are often 0, 1, 2, all ones or equal to each other: what
    /// pseudoinstructions and special cases depend on.
    pub fn operand_bits(&mut self) -> u32 {
        let mut word = self.next() as u32;
        for (low, width) in [(7, 5), (15, 5), (20, 5), (20, 12), (25, 7), (2, 5)] {
            let special = match self.next() % 16 {
                0 | 1 => 0,
                2 => 1,
                3 => 2,
                4 => u32::MAX,
                5 => word >> 15,
                _ => continue,
            };
            let mask = ((1u32 << width) - 1) << low;
            word = word & !mask | special << low & mask;
        }
        word
    }
}
