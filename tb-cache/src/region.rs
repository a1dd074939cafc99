//! The memory that host code lives in: shared anonymous memory, mapped twice. (A file in memory would
//! do as well, but obeys the limit on file sizes, which a guest may have lowered before it forks.)
//!
//! 1. The *write view* is readable and writable, the *execute view* readable and executable; no
//!    page of either is both writable and executable.
//! 2. Nothing is touched long before it is used: a page costs its first store or
//!    [`Region::populate`], not its reservation.
//! 3. Bytes that no thread can be executing yet are copied in ([`Region::copy_in`]). Bytes that some
//!    thread may be executing change only as whole aligned 64-bit words ([`Region::word`]), which
//!    instruction fetch sees either before or after.
//!
//! These words are the hardware's business as much as the program's, so they are the standard
//! library's atomics, not those of [`epoch::sync`].

use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

/// Host page size.
pub const PAGE: usize = 4096;

/// Most bytes that a region can have: jumps inside reach ±2 GiB.
pub const MAX_SIZE: usize = 1 << 30;

/// The double mapping.
pub struct Region {
    write: NonNull<u8>,
    execute: NonNull<u8>,
    size: usize,
}

// SAFETY: plain memory; rule 3 says how threads share it.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Reserves `size` bytes (a multiple of the page size, at most [`MAX_SIZE`]).
    pub fn new(size: usize) -> io::Result<Region> {
        debug_assert!(size.is_multiple_of(PAGE) && size <= MAX_SIZE);
        // SAFETY: a new mapping at an address of the kernel's choice.
        let write = mapped(unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        })?;
        let execute = second_view(write, size).inspect_err(|_| {
            // SAFETY: the mapping was made above and nothing refers to it.
            unsafe { libc::munmap(write.as_ptr().cast(), size) };
        })?;
        Ok(Region {
            write,
            execute,
            size,
        })
    }

    /// Address of the first byte in the execute view.
    pub fn execute_base(&self) -> u64 {
        self.execute.as_ptr().expose_provenance() as u64
    }

    /// The addresses of the execute view.
    pub fn execute_range(&self) -> Range<u64> {
        let base = self.execute_base();
        base..base + self.size as u64
    }

    /// Offset of an address of the execute view.
    #[inline]
    pub fn offset_of(&self, address: u64) -> Option<usize> {
        let offset = address.wrapping_sub(self.execute.as_ptr().addr() as u64);
        (offset < self.size as u64).then_some(offset as usize)
    }

    /// Asks the host for the memory of a range whose ends are multiples of the page size. That is
    /// faster than a page fault for each page in each view: the faults in the execute view find
    /// pages that are there, and map many at once.
    pub fn populate(&self, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.size);
        // A kernel that does not know this call, or has no memory now, leaves it to page faults.
        // SAFETY: in bounds; no byte changes.
        unsafe {
            libc::madvise(
                self.write.as_ptr().add(range.start).cast(),
                range.len(),
                libc::MADV_POPULATE_WRITE,
            );
        }
    }

    /// Gives the memory of a range back, whose ends are multiples of the page size: it reads as zero, and
    /// costs a page again when it is stored to.
    ///
    /// # Safety
    ///
    /// No thread executes the bytes there or accesses them otherwise during the call.
    pub unsafe fn give_back(&self, range: Range<usize>) {
        assert!(range.start <= range.end && range.end <= self.size);
        // A host that will not take it lets us keep it: then what is there is overwritten some day.
        // SAFETY: in bounds; of no interest to anybody, as the caller promises.
        unsafe {
            libc::madvise(
                self.write.as_ptr().add(range.start).cast(),
                range.len(),
                libc::MADV_REMOVE,
            );
        }
    }

    /// Copies bytes in at `offset`.
    ///
    /// # Safety
    ///
    /// No thread executes the bytes there or accesses them otherwise during the call.
    pub unsafe fn copy_in(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.size && bytes.len() <= self.size - offset);
        // SAFETY: in bounds; not accessed by anybody else, as the caller promises.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.write.as_ptr().add(offset), bytes.len());
        }
    }

    /// The aligned word at `offset`, through the write view.
    #[inline]
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset <= self.size - 8);
        // SAFETY: in bounds, aligned, and mapped as long as `self`; words are accessed as atomics,
        // and plainly (rule 3) only before any other thread knows of them.
        unsafe { AtomicU64::from_ptr(self.write.as_ptr().add(offset).cast()) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: both mappings are ours and nobody uses them any more: users borrow the region.
        unsafe {
            libc::munmap(self.write.as_ptr().cast(), self.size);
            libc::munmap(self.execute.as_ptr().cast(), self.size);
        }
    }
}

/// The same memory, readable and executable, at another address.
fn second_view(write: NonNull<u8>, size: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: an old length of 0 maps shared memory a second time, and leaves the first mapping.
    let view =
        mapped(unsafe { libc::mremap(write.as_ptr().cast(), 0, size, libc::MREMAP_MAYMOVE) })?;
    // SAFETY: the view is new and ours.
    let done = unsafe {
        libc::mprotect(
            view.as_ptr().cast(),
            size,
            libc::PROT_READ | libc::PROT_EXEC,
        )
    };
    if done != 0 {
        let error = io::Error::last_os_error();
        // SAFETY: as above.
        unsafe { libc::munmap(view.as_ptr().cast(), size) };
        return Err(error);
    }
    Ok(view)
}

/// The result of a mapping call.
fn mapped(at: *mut libc::c_void) -> io::Result<NonNull<u8>> {
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(at.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn what_is_written_in_one_view_runs_in_the_other() {
        let region = Region::new(2 * PAGE).unwrap();
        // mov eax, 42; ret
        // SAFETY: nobody else knows the region.
        unsafe { region.copy_in(PAGE, &[0xb8, 42, 0, 0, 0, 0xc3]) };
        let entry = region.execute_base() as usize + PAGE;
        // SAFETY: the bytes are a complete function of this signature.
        let function: extern "C" fn() -> u32 = unsafe { std::mem::transmute(entry) };
        assert_eq!(function(), 42);
        assert_eq!(region.offset_of(entry as u64), Some(PAGE));
    }

    #[test]
    fn a_word_patch_changes_running_code() {
        let region = Region::new(PAGE).unwrap();
        // SAFETY: nobody else knows the region.
        unsafe { region.copy_in(0, &[0xb8, 1, 0, 0, 0, 0xc3, 0, 0]) };
        // SAFETY: the bytes are a complete function of this signature.
        let function: extern "C" fn() -> u32 =
            unsafe { std::mem::transmute(region.execute_base() as usize) };
        assert_eq!(function(), 1);
        let word = region.word(0).load(Relaxed);
        region.word(0).store(word + (6 << 8), Relaxed);
        assert_eq!(function(), 7);
    }

    #[test]
    fn populating_changes_no_byte() {
        let region = Region::new(4 * PAGE).unwrap();
        region.word(PAGE).store(7, Relaxed);
        region.populate(0..3 * PAGE);
        region.populate(PAGE..PAGE);
        assert_eq!(region.word(PAGE).load(Relaxed), 7);
        assert_eq!(region.word(2 * PAGE).load(Relaxed), 0);
    }

    #[test]
    fn what_is_given_back_is_zero_in_both_views_and_can_be_used_again() {
        let region = Region::new(3 * PAGE).unwrap();
        for page in 0..3 {
            region.word(page * PAGE).store(7, Relaxed);
        }
        // SAFETY: nobody else knows the region.
        unsafe { region.give_back(PAGE..2 * PAGE) };
        let execute = |page: usize| {
            // SAFETY: in bounds, and nobody writes.
            unsafe {
                region
                    .execute
                    .add(page * PAGE)
                    .cast::<u64>()
                    .read_volatile()
            }
        };
        assert_eq!([0, 1, 2].map(execute), [7, 0, 7]);
        region.word(PAGE).store(8, Relaxed);
        assert_eq!([0, 1, 2].map(execute), [7, 8, 7]);
    }

    #[test]
    fn addresses_outside_have_no_offset() {
        let region = Region::new(PAGE).unwrap();
        let base = region.execute_base();
        assert_eq!(region.offset_of(base + PAGE as u64), None);
        assert_eq!(region.offset_of(base - 1), None);
        assert_eq!(region.offset_of(0), None);
    }

    #[test]
    fn the_largest_region_can_be_had_and_reads_as_zero() {
        let region = Region::new(MAX_SIZE).unwrap();
        assert_eq!(region.word(MAX_SIZE - 8).load(Relaxed), 0);
    }
}
