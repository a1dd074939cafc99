//! Boards.

use std::ops::Range;
use std::sync::Arc;

use epoch::step;
use epoch::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::areas::Areas;
use crate::space::{self, LINE, RESERVE, WORD};

/// There is no room for a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no room for {asked} bytes per vCPU: of {RESERVE}, {left} are left, at most {largest} in one piece"
)]
pub struct Full {
    /// The element size that was asked for.
    pub asked: usize,
    /// Bytes that belong to no board.
    pub left: usize,
    /// The largest element that there is room for.
    pub largest: usize,
}

/// One element per vCPU, at the same offset of each area. Dropping it frees the room.
pub struct Board {
    areas: Arc<Areas>,
    range: Range<usize>,
    element_size: usize,
}

impl Board {
    pub(crate) fn new(areas: &Arc<Areas>, asked: usize) -> Result<Board, Full> {
        let element_size = asked.max(1).checked_next_multiple_of(WORD);
        let len = element_size.and_then(|size| size.checked_next_multiple_of(LINE));
        let mut ranges = areas.ranges();
        let Some(((element_size, len), range)) = element_size
            .zip(len)
            .and_then(|sizes| Some((sizes, ranges.take(sizes.1)?)))
        else {
            return Err(Full {
                asked,
                left: ranges.free(),
                largest: ranges.largest(),
            });
        };
        debug_assert!(range.len() == len && range.start.is_multiple_of(LINE));
        Ok(Board {
            areas: Arc::clone(areas),
            range,
            element_size,
        })
    }

    /// Where the elements are, from the beginning of each area.
    #[inline]
    pub fn offset(&self) -> u32 {
        self.range.start as u32
    }

    /// Bytes of an element.
    #[inline]
    pub fn element_size(&self) -> usize {
        self.element_size
    }

    /// How many vCPUs have elements: [`Areas::count`].
    #[inline]
    pub fn count(&self) -> u32 {
        self.areas.count()
    }

    /// The element of a vCPU, if the index has ever been claimed. It stays there as long as the
    /// board.
    #[inline]
    pub fn element(&self, index: u32) -> Option<*mut u8> {
        Some(self.slot(index)?.as_ptr())
    }

    /// The element of a vCPU as words, if the index has ever been claimed.
    #[inline]
    pub fn slot(&self, index: u32) -> Option<Slot<'_>> {
        if index >= self.count() {
            return None;
        }
        self.areas.table().get(index).map(|start| self.at(start))
    }

    /// The sum over all indexes ever claimed, wrapping, of the 64-bit value `byte_offset` bytes into
    /// each element. A value that is not aligned may be read torn while it changes.
    ///
    /// # Panics
    ///
    /// If the value is not within the element.
    pub fn sum(&self, byte_offset: usize) -> u64 {
        assert!(
            byte_offset <= self.element_size - WORD,
            "no value at {byte_offset} in an element of {} bytes",
            self.element_size
        );
        (0..self.count())
            .filter_map(|index| self.areas.table().get(index))
            .fold(0, |sum, start| {
                sum.wrapping_add(self.at(start).value(byte_offset))
            })
    }

    fn at(&self, start: *mut AtomicU64) -> Slot<'_> {
        let element = self.range.start..self.range.start + self.element_size;
        // SAFETY: areas live as long as `self.areas`, and the range is within them.
        Slot(unsafe { space::words(start, element) })
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // Each area that anybody can have written to is found: it was published before that, and
        // such writes happen before this, as those of a thread that has borrowed `self` do. What
        // is published from now on is zero here.
        for start in self.areas.table().all() {
            step!(
                "board.drop.zero" => "room_reused, board_retired",
                // SAFETY: the range is this board's, which nobody else has any more.
                unsafe { space::zero(start, self.range.clone()) }
            );
        }
        // After that, so that the lock orders the zeroes before the range's next use.
        step!("board.drop.give" => "last_room", self.areas.ranges().give(self.range.clone()));
    }
}

/// The element of one vCPU.
#[derive(Clone, Copy)]
pub struct Slot<'a>(&'a [AtomicU64]);

impl<'a> Slot<'a> {
    /// One word of the element.
    ///
    /// # Panics
    ///
    /// If the element has no such word.
    #[inline]
    pub fn word(self, word: usize) -> &'a AtomicU64 {
        match self.0.get(word) {
            Some(word) => word,
            None => panic!("no word {word} in this element"),
        }
    }

    /// Reads a word. Panics as [`Slot::word`] does.
    #[inline]
    pub fn get(self, word: usize) -> u64 {
        self.word(word).load(Relaxed)
    }

    /// Adds to a word, wrapping; for the vCPU's own thread. Panics as [`Slot::word`] does.
    #[inline]
    pub fn add(self, word: usize, value: u64) {
        let word = self.word(word);
        word.store(word.load(Relaxed).wrapping_add(value), Relaxed);
    }

    /// The element's bytes, valid as long as the board.
    #[inline]
    pub fn as_ptr(self) -> *mut u8 {
        self.0.as_ptr().cast::<u8>().cast_mut()
    }

    /// The 64-bit value at any byte offset.
    fn value(self, byte_offset: usize) -> u64 {
        let (word, shift) = (byte_offset / WORD, byte_offset % WORD * 8);
        let low = self.get(word);
        match shift {
            0 => low,
            _ => low >> shift | self.get(word + 1) << (64 - shift),
        }
    }
}
