//! Watching pages that code is translated from.
//!
//! A private page that the guest may both write and execute is made read-only for the host when a
//! block is translated from it. The first store then faults: the cache is told that the page is
//! dirty, the page becomes writable again, and the store is retried. Nothing is watched in programs
//! that keep code and data apart, and those pay for none of this.
//!
//! Rules:
//!
//! 1. A page's bit is set exactly while the host protection is tighter than the guest's because of
//!    watching. Bits change under the layout lock only.
//! 2. The cache hears of a write *before* the page becomes writable, under the same hold of the
//!    lock: a `fence.i` on another hart that comes between would otherwise miss the write, or
//!    protect the page only to lose that protection. So the order of locks is layout, then cache;
//!    the cache calls [`AddressSpace::watch`] with none of its own held.

use super::vma::Prot;
use super::{AddressSpace, GUEST_END, PAGE_SIZE, page_down};
use crate::Errno;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tb_cache::{CodePages, Watch};
use translate::GuestCode;

/// One bit per guest page, readable without the lock.
pub(super) struct WatchBits {
    words: Box<[AtomicU64]>,
    count: AtomicUsize,
}

impl WatchBits {
    /// No page is watched. The bits take no memory until a page around them is watched.
    pub(super) fn new() -> WatchBits {
        let words = Box::new_zeroed_slice((GUEST_END / PAGE_SIZE / 64) as usize);
        WatchBits {
            // SAFETY: zero is a valid value of an atomic integer.
            words: unsafe { words.assume_init() },
            count: AtomicUsize::new(0),
        }
    }

    fn slot(&self, page: u64) -> (&AtomicU64, u64) {
        let index = page / PAGE_SIZE;
        (&self.words[(index / 64) as usize], 1 << (index % 64))
    }

    fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }

    fn get(&self, page: u64) -> bool {
        let (word, bit) = self.slot(page);
        word.load(Ordering::Relaxed) & bit != 0
    }

    fn set(&self, page: u64) {
        let (word, bit) = self.slot(page);
        if word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets the pages of a range whose host protection is being set anew.
    pub(super) fn clear(&self, range: &Range<u64>) {
        if !self.any() {
            return;
        }
        for page in range.clone().step_by(PAGE_SIZE as usize) {
            let (word, bit) = self.slot(page);
            if word.fetch_and(!bit, Ordering::Relaxed) & bit != 0 {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl AddressSpace {
    /// Like [`AddressSpace::host_range`], for memory that the host kernel is about to write: makes
    /// pages writable that are write-protected only because code was translated from them.
    pub fn prepare_write(&self, addr: u64, len: u64) -> Result<u64, Errno> {
        let host = self.host_range(addr, len)?;
        if self.watched.any() && len != 0 {
            let pages = page_down(addr)..addr + len;
            for page in pages.step_by(PAGE_SIZE as usize) {
                self.unwatch(page);
            }
        }
        Ok(host)
    }

    /// To be called for a store that faulted: whether that was for watching only. If so the page
    /// is writable now.
    pub fn store_fault(&self, addr: u64) -> bool {
        addr < GUEST_END && self.unwatch(page_down(addr))
    }

    fn unwatch(&self, page: u64) -> bool {
        if !self.watched.get(page) {
            return false;
        }
        let layout = self.lock();
        if !self.watched.get(page) {
            // Another thread was faster.
            return true;
        }
        if let Some(cache) = &layout.cache {
            cache.page_written(page);
        }
        let range = page..page + PAGE_SIZE;
        self.watched.clear(&range);
        // A failure (the host is out of memory for mappings) shows as a fault of the retry.
        self.host_protect(&range, Prot::RW.host()).is_ok()
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
        let layout = self.lock();
        let Some((_, vma)) = layout.vmas.find(page) else {
            return Watch::Unwatchable;
        };
        if vma.shared {
            return Watch::Unwatchable;
        }
        if !vma.prot.write() {
            return Watch::Immutable;
        }
        if !self.watched.get(page) {
            if self
                .host_protect(&(page..page + PAGE_SIZE), Prot::R.host())
                .is_err()
            {
                return Watch::Unwatchable;
            }
            self.watched.set(page);
        }
        Watch::Protected
    }
}
