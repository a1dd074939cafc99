//! Which bytes of the areas belong to no board.

use std::ops::Range;

/// The free bytes, as ranges in ascending order that do not touch each other.
pub(crate) struct Ranges(Vec<Range<usize>>);

impl Ranges {
    pub(crate) fn new(all: Range<usize>) -> Ranges {
        Ranges(vec![all])
    }

    /// Takes `len` bytes, where they are first found.
    pub(crate) fn take(&mut self, len: usize) -> Option<Range<usize>> {
        let at = self.0.iter().position(|free| free.len() >= len)?;
        let free = &mut self.0[at];
        let taken = free.start..free.start + len;
        free.start = taken.end;
        if free.start == free.end {
            self.0.remove(at);
        }
        Some(taken)
    }

    /// Gives back what was taken.
    pub(crate) fn give(&mut self, range: Range<usize>) {
        let at = self.0.partition_point(|free| free.start < range.start);
        self.0.insert(at, range);
        self.join(at);
        if let Some(before) = at.checked_sub(1) {
            self.join(before);
        }
    }

    /// How many bytes are free.
    pub(crate) fn free(&self) -> usize {
        self.0.iter().map(|free| free.len()).sum()
    }

    /// How many bytes can be taken at once.
    pub(crate) fn largest(&self) -> usize {
        self.0.iter().map(|free| free.len()).max().unwrap_or(0)
    }

    /// Makes one of two ranges that touch each other: that at `at` and the next.
    fn join(&mut self, at: usize) {
        if self
            .0
            .get(at + 1)
            .is_some_and(|next| next.start == self.0[at].end)
        {
            self.0[at].end = self.0.remove(at + 1).end;
        }
    }
}

#[cfg(all(test, not(hartscope_loom)))]
mod tests {
    use super::Ranges;

    #[test]
    fn what_is_given_back_becomes_one_again() {
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            let mut ranges = Ranges::new(100..400);
            let taken = [(); 3].map(|()| ranges.take(100).unwrap());
            assert_eq!((ranges.free(), ranges.largest()), (0, 0));
            assert_eq!(ranges.take(1), None);
            for which in order {
                ranges.give(taken[which].clone());
            }
            assert_eq!((ranges.free(), ranges.largest()), (300, 300));
            assert_eq!(ranges.take(300), Some(100..400));
        }
    }

    #[test]
    fn the_first_range_that_is_large_enough_is_taken() {
        let mut ranges = Ranges::new(0..100);
        let taken = [10, 30, 60].map(|len| ranges.take(len).unwrap());
        ranges.give(taken[0].clone());
        ranges.give(taken[2].clone());
        assert_eq!((ranges.free(), ranges.largest()), (70, 60));
        assert_eq!(ranges.take(20), Some(40..60));
        assert_eq!(ranges.take(10), Some(0..10));
    }
}
