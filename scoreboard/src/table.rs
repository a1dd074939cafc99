//! Where the areas are: a table that grows while others read it.
//!
//! 1. The table is made of segments that double in size, so that none ever moves. A segment is made
//!    empty, and then published once.
//! 2. An entry is written once: where the area of its index begins.
//! 3. Writers hold the lock of [`Areas`](crate::Areas) on indexes; readers hold nothing.

use std::ptr;

use epoch::ordering;
use epoch::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

/// Entries of the first segment. Few in models, so that they see growth.
const FIRST: usize = if cfg!(hartscope_loom) { 1 } else { 8 };

/// Segments of a table.
const SEGMENTS: usize = if cfg!(hartscope_loom) { 2 } else { 14 };

/// The number of areas that there can be: 131,064.
pub(crate) const MAX: u32 = (FIRST * ((1 << SEGMENTS) - 1)) as u32;

/// Null, or where an area begins.
type Entry = AtomicPtr<AtomicU64>;

/// See the module's rules.
pub(crate) struct Table {
    /// Null, or the first of the `FIRST << i` entries of segment `i`.
    segments: [AtomicPtr<Entry>; SEGMENTS],
}

/// What writers know of the table, so that they need not read it.
#[derive(Default)]
pub(crate) struct Written {
    /// Bit `i` is set if segment `i` has been made.
    segments: u32,
}

impl Table {
    pub(crate) fn new() -> Table {
        Table {
            segments: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        }
    }

    /// Publishes the area of an index below [`MAX`] that has none yet.
    pub(crate) fn put(&self, written: &mut Written, index: u32, start: *mut AtomicU64) {
        let (segment, at) = place(index);
        if written.segments & 1 << segment == 0 {
            let entries: Box<[Entry]> = (0..FIRST << segment)
                .map(|_| Entry::new(ptr::null_mut()))
                .collect();
            // Release: pairs with the Acquire in `segment`; who finds a segment finds it empty.
            self.segments[segment].store(
                Box::into_raw(entries).cast(),
                ordering!(Release, "table.segment.publish" => "board_freed_while_table_grows"),
            );
            written.segments |= 1 << segment;
        }
        if let Some(entries) = self.segment(segment) {
            // Release: pairs with the Acquire in `read`; who finds an area finds it zeroed.
            entries[at].store(
                start,
                ordering!(Release, "table.entry.publish" => "board_freed_while_claimed"),
            );
        }
    }

    /// Where an area begins, if it has been published.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<*mut AtomicU64> {
        if index >= MAX {
            return None;
        }
        let (segment, at) = place(index);
        read(&self.segment(segment)?[at])
    }

    /// Where areas begin: all that had been published before the call, maybe more.
    pub(crate) fn all(&self) -> impl Iterator<Item = *mut AtomicU64> {
        (0..SEGMENTS)
            .filter_map(|segment| self.segment(segment))
            .flatten()
            .filter_map(read)
    }

    #[inline]
    fn segment(&self, segment: usize) -> Option<&[Entry]> {
        // Acquire: pairs with the Release in `put`.
        let entries = self.segments[segment]
            .load(ordering!(Acquire, "table.segment.find" => "board_freed_while_table_grows"));
        if entries.is_null() {
            return None;
        }
        // SAFETY: published by `put` with this length, and freed only with the table.
        Some(unsafe { std::slice::from_raw_parts(entries, FIRST << segment) })
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for (segment, entries) in self.segments.iter().enumerate() {
            let entries = entries.load(Relaxed);
            if !entries.is_null() {
                let entries = ptr::slice_from_raw_parts_mut(entries, FIRST << segment);
                // SAFETY: made by `Box::into_raw` in `put`; nobody else has the table any more.
                drop(unsafe { Box::from_raw(entries) });
            }
        }
    }
}

#[inline]
fn read(entry: &Entry) -> Option<*mut AtomicU64> {
    // Acquire: pairs with the Release in `put`.
    let start = entry.load(ordering!(Acquire, "table.entry.find" => "board_freed_while_claimed"));
    (!start.is_null()).then_some(start)
}

/// The segment of an index, and its place there.
#[inline]
fn place(index: u32) -> (usize, usize) {
    let index = index as usize;
    let segment = (index / FIRST + 1).ilog2() as usize;
    (segment, index - FIRST * ((1 << segment) - 1))
}
