//! Watching pages that code is translated from.
//!
//! A private page that the guest may both write and execute is made read-only for the host when a
//! block is translated from it. The first store then faults: the cache is told that the page is
//! dirty, the page becomes writable again, and the store is retried. Nothing is watched in programs
//! that keep code and data apart, and those pay for none of this.
//!
//! Rules:
//!
//! 1. A page is in `watched` exactly while the host protection is tighter than the guest's because
//!    of watching.
//! 2. A page is in `asked` from when the cache asks for it until the cache is told that what is
//!    mapped there has changed ([`AddressSpace::invalidate`]). The cache asks for pages that are not
//!    executable as well, to find that they are not: it remembers the answer, so it must be told when
//!    they become so.
//! 3. The cache hears of a write *before* the page becomes writable, under the same hold of the
//!    lock: a `fence.i` on another hart that comes between would otherwise miss the write, or
//!    protect the page only to lose that protection. So the order of locks is layout, then cache;
//!    the cache calls [`AddressSpace::watch`] with none of its own held.

use super::vma::Prot;
use super::{AddressSpace, GUEST_END, PAGE_SIZE, page_down};
use crate::Errno;
use tb_cache::{CodePages, Watch};
use translate::GuestCode;

impl AddressSpace {
    /// Like [`AddressSpace::host_range`], for memory that the host kernel is about to write: makes
    /// pages writable that are write-protected only because code was translated from them.
    pub fn prepare_write(&self, addr: u64, len: u64) -> Result<u64, Errno> {
        let host = self.host_range(addr, len)?;
        let mut rest = addr..addr + len;
        while let Some(page) = self.watched.first_in(&rest) {
            self.unwatch(page);
            rest.start = rest.end.min(page + PAGE_SIZE);
        }
        Ok(host)
    }

    /// To be called for a store that faulted: whether that was for watching only. If so the page
    /// is writable now.
    pub fn store_fault(&self, addr: u64) -> bool {
        addr < GUEST_END && self.unwatch(page_down(addr))
    }

    /// Makes a page writable that was not for watching only. That fails if the host is out of memory
    /// for mappings; then the writer meets a fault.
    fn unwatch(&self, page: u64) -> bool {
        if !self.watched.contains(page) {
            return false;
        }
        let layout = self.lock();
        if !self.watched.contains(page) {
            // Another thread was faster.
            return true;
        }
        if let Some(cache) = &layout.cache {
            cache.page_written(page);
        }
        let range = page..page + PAGE_SIZE;
        let writable = self.host_protect(&range, Prot::RW.host()).is_ok();
        if writable {
            self.watched.remove(&range);
        }
        writable
    }
}

impl GuestCode for AddressSpace {
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let end = pc.saturating_add(buf.len() as u64).min(GUEST_END);
        let mut executable = pc;
        {
            let layout = self.lock();
            while executable < end {
                match layout.vmas.find(executable) {
                    Some((range, vma)) if vma.prot.exec() => executable = range.end.min(end),
                    _ => break,
                }
            }
        }
        let len = executable.saturating_sub(pc) as usize;
        match self.read(pc, &mut buf[..len]) {
            Ok(()) => len,
            Err(_) => 0,
        }
    }
}

impl CodePages for AddressSpace {
    fn watch(&self, page: u64) -> Watch {
        if page >= GUEST_END {
            // Nothing will ever be there.
            return Watch::Immutable;
        }
        let layout = self.lock();
        self.asked.insert(page);
        let Some((_, vma)) = layout.vmas.find(page) else {
            return Watch::Unwatchable;
        };
        if vma.shared {
            return Watch::Unwatchable;
        }
        if !vma.prot.write() {
            return Watch::Immutable;
        }
        if !self.watched.contains(page) {
            if self
                .host_protect(&(page..page + PAGE_SIZE), Prot::R.host())
                .is_err()
            {
                return Watch::Unwatchable;
            }
            self.watched.insert(page);
        }
        Watch::Protected
    }
}
