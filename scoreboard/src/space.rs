//! The memory of one area.
//!
//! An area is [`RESERVE`] bytes of address space, zeroed, of which a page costs memory once it has
//! been written to. In models it is a few words that loom can follow.

use std::ops::Range;

use epoch::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of an area. Generated code has 31 bits for an offset.
pub(crate) const RESERVE: usize = if cfg!(hartscope_loom) { 64 } else { 256 << 20 };

/// Bytes that stay together in the cache: the prefetcher takes two lines.
pub(crate) const LINE: usize = if cfg!(hartscope_loom) { 16 } else { 128 };

/// Bytes of a word, counted as in generated code also where a model's words are larger.
pub(crate) const WORD: usize = 8;

#[cfg(hartscope_loom)]
pub(crate) use model::{map, unmap, zero};

#[cfg(not(hartscope_loom))]
pub(crate) use host::{map, unmap, zero};

/// The words of a range of an area, whose ends are multiples of [`WORD`].
///
/// # Safety
///
/// `start` is where an area begins that stays mapped for `'a`, and the range is within it.
pub(crate) unsafe fn words<'a>(start: *mut AtomicU64, range: Range<usize>) -> &'a [AtomicU64] {
    debug_assert!(range.end <= RESERVE && range.start.is_multiple_of(WORD));
    // SAFETY: within the area; all of its bytes are words at any time.
    unsafe { std::slice::from_raw_parts(start.add(range.start / WORD), range.len() / WORD) }
}

/// Zeroes words, without a write where there is nothing to do.
pub(crate) fn zero_words(words: &[AtomicU64]) {
    for word in words {
        if word.load(Relaxed) != 0 {
            word.store(0, Relaxed);
        }
    }
}

#[cfg(not(hartscope_loom))]
mod host {
    use std::{io, ptr};

    use super::*;

    const PAGE: usize = 4096;

    /// A new area, all zero.
    pub(crate) fn map() -> io::Result<*mut AtomicU64> {
        // A "stack" gets no huge pages: the first write would cost 2 MiB of zeroes.
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                RESERVE,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(start.cast())
    }

    /// Gives an area's memory back.
    ///
    /// # Safety
    ///
    /// `start` comes from [`map`], and nobody uses the area any more.
    pub(crate) unsafe fn unmap(start: *mut AtomicU64) {
        // SAFETY: mapped with this size, as the caller promises, and unused.
        unsafe { libc::munmap(start.cast(), RESERVE) };
    }

    /// Zeroes a range of an area, whose ends are multiples of [`WORD`], and gives the memory of the
    /// pages inside back.
    ///
    /// # Safety
    ///
    /// As for [`words`], and nobody else uses the range meanwhile.
    pub(crate) unsafe fn zero(start: *mut AtomicU64, range: Range<usize>) {
        let pages = range.start.next_multiple_of(PAGE)..range.end / PAGE * PAGE;
        // SAFETY: as the caller promises.
        let zero_part = |part| zero_words(unsafe { words(start, part) });
        if pages.is_empty() {
            return zero_part(range);
        }
        // SAFETY: in bounds. Private memory reads as zero afterwards, and nobody else uses it.
        let dropped = unsafe {
            let first = start.cast::<u8>().add(pages.start);
            libc::madvise(first.cast(), pages.len(), libc::MADV_DONTNEED) == 0
        };
        if !dropped {
            // Somebody has locked all memory.
            return zero_part(range);
        }
        zero_part(range.start..pages.start);
        zero_part(pages.end..range.end);
    }
}

#[cfg(hartscope_loom)]
mod model {
    use std::{io, ptr};

    use super::*;

    pub(crate) fn map() -> io::Result<*mut AtomicU64> {
        let words: Box<[AtomicU64]> = (0..RESERVE / WORD).map(|_| AtomicU64::new(0)).collect();
        Ok(Box::into_raw(words).cast())
    }

    pub(crate) unsafe fn unmap(start: *mut AtomicU64) {
        let words = ptr::slice_from_raw_parts_mut(start, RESERVE / WORD);
        // SAFETY: made by `map` with this length, as the caller promises, and unused.
        drop(unsafe { Box::from_raw(words) });
    }

    pub(crate) unsafe fn zero(start: *mut AtomicU64, range: Range<usize>) {
        // SAFETY: as the caller promises.
        zero_words(unsafe { words(start, range) });
    }
}
