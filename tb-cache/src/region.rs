//! The memory that host code lives in: one file in memory, mapped twice.
//!
//! 1. The *write view* is readable and writable, the *execute view* readable and executable; no
//!    page of either is both writable and executable.
//! 2. Nothing is touched before it is used: a page costs its first store, not its reservation.
//! 3. Bytes that no thread can be executing yet are copied in ([`Region::copy_in`]). Bytes that some
//!    thread may be executing change only as whole aligned 64-bit words ([`Region::word`]), which
//!    instruction fetch sees either before or after.
//!
//! These words are the hardware's business as much as the program's, so they are the standard
//! library's atomics, not those of [`epoch::sync`].

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
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
        let file = memory_file()?;
        // SAFETY: a plain system call on a descriptor that is open.
        if unsafe { libc::ftruncate(file.as_raw_fd(), size as libc::off_t) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let write = map(&file, size, libc::PROT_READ | libc::PROT_WRITE)?;
        let execute = map(&file, size, libc::PROT_READ | libc::PROT_EXEC).inspect_err(|_| {
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

fn memory_file() -> io::Result<OwnedFd> {
    // Kernels before 6.3 do not know MFD_EXEC, later ones may insist on being told.
    let mut fd = -1;
    for flags in [libc::MFD_CLOEXEC | libc::MFD_EXEC, libc::MFD_CLOEXEC] {
        // SAFETY: a plain system call with a terminated string.
        fd = unsafe { libc::memfd_create(c"hartscope-code".as_ptr(), flags) };
        if fd >= 0 {
            break;
        }
    }
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn map(file: &OwnedFd, size: usize, protection: libc::c_int) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let at = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            protection,
            libc::MAP_SHARED | libc::MAP_NORESERVE,
            file.as_raw_fd(),
            0,
        )
    };
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
