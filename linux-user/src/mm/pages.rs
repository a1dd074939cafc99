//! Sets of guest pages that can be asked without a lock.

use super::{GUEST_END, PAGE_SIZE};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// One bit per page of the window. Takes no memory for regions of which no page was ever a member.
///
/// Members come and go under the layout lock, which orders everything that depends on them; without
/// it a page is asked for only to find out that there is nothing to do.
pub(super) struct PageSet {
    words: Box<[AtomicU64]>,
    count: AtomicUsize,
}

impl PageSet {
    /// Empty.
    pub(super) fn new() -> PageSet {
        let words = Box::new_zeroed_slice((GUEST_END / PAGE_SIZE / 64) as usize);
        PageSet {
            // SAFETY: zero is a valid value of an atomic integer.
            words: unsafe { words.assume_init() },
            count: AtomicUsize::new(0),
        }
    }

    /// Whether it has no members at all.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Whether the page that begins at `page` is a member.
    pub(super) fn contains(&self, page: u64) -> bool {
        let index = page / PAGE_SIZE;
        let word = self.words[(index / 64) as usize].load(Ordering::Relaxed);
        word >> (index % 64) & 1 != 0
    }

    /// Makes the page that begins at `page` a member.
    pub(super) fn insert(&self, page: u64) {
        let index = page / PAGE_SIZE;
        let bit = 1 << (index % 64);
        let before = self.words[(index / 64) as usize].fetch_or(bit, Ordering::Relaxed);
        if before & bit == 0 {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Removes the pages of a range; gives whether there were any.
    pub(super) fn remove(&self, range: &Range<u64>) -> bool {
        let mut removed = 0;
        for (index, mask) in self.words_of(range) {
            let before = self.words[index].fetch_and(!mask, Ordering::Relaxed);
            removed += (before & mask).count_ones() as usize;
        }
        self.count.fetch_sub(removed, Ordering::Relaxed);
        removed != 0
    }

    /// The first member among the pages that a range touches.
    pub(super) fn first_in(&self, range: &Range<u64>) -> Option<u64> {
        let (index, mask) = self.words_of(range).next()?;
        let bits = self.words[index].load(Ordering::Relaxed) & mask;
        (bits != 0).then(|| (index as u64 * 64 + u64::from(bits.trailing_zeros())) * PAGE_SIZE)
    }

    /// The words that hold members among the pages that a range touches, with the bits of the range.
    fn words_of(&self, range: &Range<u64>) -> impl Iterator<Item = (usize, u64)> {
        let pages = if self.is_empty() || range.is_empty() {
            0..0
        } else {
            range.start / PAGE_SIZE..(range.end - 1) / PAGE_SIZE + 1
        };
        (pages.start / 64..pages.end.div_ceil(64)).filter_map(move |index| {
            let low = pages.start.saturating_sub(index * 64);
            let high = (pages.end - index * 64).min(64);
            let mask = u64::MAX << low & u64::MAX >> (64 - high);
            let members = self.words[index as usize].load(Ordering::Relaxed) & mask;
            (members != 0).then_some((index as usize, mask))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_removed_to_the_page() {
        let set = PageSet::new();
        assert!(set.is_empty() && !set.remove(&(0..GUEST_END)));
        for page in [0, 63, 64, 65, 127, 128, 200, GUEST_END / PAGE_SIZE - 1] {
            set.insert(page * PAGE_SIZE);
            set.insert(page * PAGE_SIZE);
        }
        assert!(!set.remove(&(PAGE_SIZE..63 * PAGE_SIZE)));
        assert_eq!(set.first_in(&(PAGE_SIZE..GUEST_END)), Some(63 * PAGE_SIZE));
        assert_eq!(set.first_in(&(129 * PAGE_SIZE + 1..200 * PAGE_SIZE)), None);
        let last_byte = 201 * PAGE_SIZE - 1;
        assert_eq!(
            set.first_in(&(last_byte..last_byte + 1)),
            Some(200 * PAGE_SIZE)
        );
        assert!(set.remove(&(63 * PAGE_SIZE..65 * PAGE_SIZE)));
        let left: Vec<u64> = (0..256)
            .filter(|page| set.contains(page * PAGE_SIZE))
            .collect();
        assert_eq!(left, [0, 65, 127, 128, 200]);
        assert!(set.remove(&(65 * PAGE_SIZE..201 * PAGE_SIZE)));
        assert!(set.contains(0) && !set.contains(200 * PAGE_SIZE));
        assert!(set.remove(&(0..GUEST_END)));
        assert!(set.is_empty());
    }
}
