//! Which blocks a vCPU has met before.
//!
//! Much of a program runs once: to interpret such a block takes a fraction of the time that its
//! translation would. So a vCPU interprets a block that is in no cache when it meets it first, and
//! has it translated the second time.

/// Bits of the set: a page. More blocks than this are met in large programs only, in which the
/// first meeting does not matter.
const BITS: usize = 1 << 15;

/// A set of pcs that may hold more than was put in.
pub(crate) struct Seen {
    bits: Box<[u64; BITS / 64]>,
}

impl Seen {
    pub(crate) fn new() -> Seen {
        Seen {
            bits: Box::new([0; BITS / 64]),
        }
    }

    /// Puts `pc` in; gives whether it was in, as far as is known. An error in this direction has a
    /// block translated the first time.
    pub(crate) fn insert(&mut self, pc: u64) -> bool {
        let bit = (pc >> 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS.ilog2());
        let (word, mask) = ((bit / 64) as usize, 1 << (bit % 64));
        let was_in = self.bits[word] & mask != 0;
        self.bits[word] |= mask;
        was_in
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn a_pc_is_known_from_its_second_time_on() {
        let mut seen = Seen::new();
        assert!(!seen.insert(0x1_0000));
        assert!(!seen.insert(0x1_0002));
        assert!(seen.insert(0x1_0000));
        assert!(seen.insert(0x1_0002));
    }

    #[test]
    fn neighbours_rarely_collide() {
        let mut seen = Seen::new();
        let known = (0..1000).filter(|n| seen.insert(0x1_0000 + 10 * n)).count();
        assert!(known < 50, "{known} of 1000");
    }
}
