//! A board of its own growing segments.

use std::ptr;

use epoch::ordering;
use epoch::sync::Mutex;
use epoch::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

use crate::board::Slot;

/// vCPUs of the first segment. Few in models, so that they see growth.
const FIRST: usize = if cfg!(hartscope_loom) { 1 } else { 8 };

/// Segments of a board: room for 131,064 vCPUs.
const SEGMENTS: usize = if cfg!(hartscope_loom) { 2 } else { 14 };

/// Words that stay together in the cache.
const LINE_WORDS: usize = if cfg!(hartscope_loom) { 2 } else { 16 };

/// The number of vCPUs that a board has room for.
pub const MAX_VCPUS: usize = FIRST * ((1 << SEGMENTS) - 1);

#[repr(align(128))]
struct Line([AtomicU64; LINE_WORDS]);

impl Line {
    fn zeroed() -> Line {
        Line(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

/// One element per vCPU. See the crate's rules.
pub struct Scoreboard {
    element_size: usize,
    lines_per_element: usize,
    /// Null, or the first line of segment `i`, which has `FIRST << i` elements.
    segments: [AtomicPtr<Line>; SEGMENTS],
    /// How many segments have been made.
    made: Mutex<usize>,
}

impl Scoreboard {
    /// A board without room, whose elements have `element_size` bytes, rounded up to whole words.
    pub fn new(element_size: usize) -> Scoreboard {
        let words = element_size.div_ceil(8).max(1);
        Scoreboard {
            element_size: words * 8,
            lines_per_element: words.div_ceil(LINE_WORDS),
            segments: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
            made: Mutex::new(0),
        }
    }

    /// Makes room for the vCPUs `0..vcpus`, or for [`MAX_VCPUS`] if that is less. Others may add and
    /// read meanwhile.
    pub fn grow(&self, vcpus: usize) {
        let mut made = self.made.lock();
        while *made < SEGMENTS && FIRST * ((1 << *made) - 1) < vcpus {
            let lines: Box<[Line]> = (0..self.lines_in(*made)).map(|_| Line::zeroed()).collect();
            // Release: pairs with the Acquire in `segment`; who finds a segment finds it zeroed.
            self.segments[*made].store(
                Box::into_raw(lines).cast(),
                ordering!(Release, "scoreboard.publish" => "board_grows"),
            );
            *made += 1;
        }
    }

    /// Bytes of an element.
    pub fn element_size(&self) -> usize {
        self.element_size
    }

    /// The element of a vCPU, if there is room for it.
    pub fn slot(&self, vcpu: usize) -> Option<Slot<'_>> {
        if vcpu >= MAX_VCPUS {
            return None;
        }
        let segment = (vcpu / FIRST + 1).ilog2() as usize;
        let first_vcpu = FIRST * ((1 << segment) - 1);
        let start = (vcpu - first_vcpu) * self.lines_per_element;
        let lines = self.segment(segment)?;
        Some(self.element(&lines[start..start + self.lines_per_element]))
    }

    /// The sum of one word over all vCPUs, wrapping; `None` if elements have no such word.
    pub fn sum(&self, word: usize) -> Option<u64> {
        if word >= self.element_size / 8 {
            return None;
        }
        let sum = (0..SEGMENTS)
            .filter_map(|segment| self.segment(segment))
            .flat_map(|lines| lines.chunks_exact(self.lines_per_element))
            .fold(0_u64, |sum, lines| {
                sum.wrapping_add(self.element(lines).get(word))
            });
        Some(sum)
    }

    fn element<'a>(&self, lines: &'a [Line]) -> Slot<'a> {
        let words = lines[0].0.as_ptr();
        // SAFETY: lines lie one after the other.
        Slot(unsafe { std::slice::from_raw_parts(words, self.element_size / 8) })
    }

    fn lines_in(&self, segment: usize) -> usize {
        (FIRST << segment) * self.lines_per_element
    }

    fn segment(&self, segment: usize) -> Option<&[Line]> {
        // Acquire: pairs with the Release in `grow`.
        let lines =
            self.segments[segment].load(ordering!(Acquire, "scoreboard.find" => "board_grows"));
        if lines.is_null() {
            return None;
        }
        // SAFETY: published by `grow` with this length, and freed only with the board.
        Some(unsafe { std::slice::from_raw_parts(lines, self.lines_in(segment)) })
    }
}

impl Drop for Scoreboard {
    fn drop(&mut self) {
        for segment in 0..SEGMENTS {
            let lines = self.segments[segment].load(Relaxed);
            if !lines.is_null() {
                let lines = ptr::slice_from_raw_parts_mut(lines, self.lines_in(segment));
                // SAFETY: made by `Box::into_raw` in `grow`; nobody else has the board any more.
                drop(unsafe { Box::from_raw(lines) });
            }
        }
    }
}
