//! The guest address space: a reserved window of host memory, and the map of what is in it.
//!
//! ```text
//! guest 0                                                        2^38
//!   │ non-PIE · brk …      PIE · brk …      … mmap (downwards) │ stack │vdso
//! ──┴──────────────────────────────────────────────────────────┴──
//! host base = guest 0; the window and the guards beside it are PROT_NONE until mapped over
//! ```
//!
//! Rules:
//!
//! 1. Every host page of the window is mapped at all times: what the guest has not mapped is
//!    reserved (`PROT_NONE`). Nothing is ever unmapped, it is reserved over: a hole, however
//!    short, could be filled by an allocation of hartscope's own.
//! 2. The map of mappings changes under the one lock, together with the host mappings. Generated
//!    code never takes it; a fault, a system call and a translation do, briefly.
//! 3. Blocks of a range that has changed are invalidated under the same hold of the lock.
//! 4. No guest page is executable for the host.

mod access;
pub mod calls;
mod force;
pub(crate) mod map;
mod maps_text;
mod pages;
mod remap;
#[cfg(test)]
mod tests;
pub mod vma;
mod watch;

use crate::Errno;
use pages::PageSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tb_cache::TbCache;
use translate::Access;
use vma::VmaMap;

/// One past the last guest address: the user half of Sv39.
pub const GUEST_END: u64 = 1 << 38;
/// Guest (and host) page size.
pub const PAGE_SIZE: u64 = 4096;
/// What lies unused on both sides of the window, so that a small displacement off a wild pointer
/// does not reach hartscope's own memory.
const GUARD: u64 = 1 << 38;
/// Programs that have no own wish are not placed below this.
const LOWEST: u64 = 0x1_0000;

/// `addr` rounded up to a page; `None` past the end of the world.
pub(crate) fn page_up(addr: u64) -> Option<u64> {
    Some(addr.checked_add(PAGE_SIZE - 1)? & !(PAGE_SIZE - 1))
}

/// `addr` rounded down to a page.
pub(crate) fn page_down(addr: u64) -> u64 {
    addr & !(PAGE_SIZE - 1)
}

/// The guest address space, shared by all threads of a process (and by a `vfork` child).
pub struct AddressSpace {
    base: u64,
    /// What of the host's memory is the window's, guards included.
    reserved: Range<u64>,
    layout: Mutex<Layout>,
    /// Pages that are write-protected because code was translated from them.
    watched: PageSet,
    /// Pages that the cache knows something of.
    asked: PageSet,
}

/// What the lock protects.
struct Layout {
    vmas: VmaMap,
    /// Where mappings without a wish are looked for, downwards from its end.
    mmap_area: Range<u64>,
    /// The program break: where the heap begins and ends.
    heap: Range<u64>,
    /// `mlockall(MCL_FUTURE)`.
    lock_future: bool,
    /// Who must know when code goes away.
    cache: Option<Arc<TbCache>>,
}

/// Why an access that faulted is not allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denied {
    /// Nothing is mapped there: `SEGV_MAPERR`.
    Unmapped,
    /// Its protection forbids it: `SEGV_ACCERR`.
    Protected,
}

/// Reserves host memory at `at`, which nothing may be at; 0 leaves the place to the kernel.
fn reserve(at: u64, len: u64) -> std::io::Result<u64> {
    let fixed = if at == 0 {
        0
    } else {
        libc::MAP_FIXED_NOREPLACE
    };
    // SAFETY: a new mapping, over nothing that is there, touches no memory in use.
    let got = unsafe {
        libc::mmap(
            at as *mut libc::c_void,
            len as usize,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | fixed,
            -1,
            0,
        )
    };
    if got == libc::MAP_FAILED {
        return Err(std::io::Error::last_os_error());
    }
    Ok(got as u64)
}

impl AddressSpace {
    /// Reserves the window: at guest = host addresses if that room is free (a segment base of 0
    /// saves the host a cycle on every access), else anywhere.
    pub fn new() -> std::io::Result<AddressSpace> {
        let (base, reserved) = match reserve(LOWEST, GUEST_END + GUARD - LOWEST) {
            Ok(at) => (0, at..GUEST_END + GUARD),
            Err(_) => {
                let len = GUARD + GUEST_END + GUARD;
                let at = reserve(0, len)?;
                (at + GUARD, at..at + len)
            }
        };
        Ok(AddressSpace {
            base,
            reserved,
            layout: Mutex::new(Layout {
                vmas: VmaMap::default(),
                mmap_area: LOWEST..GUEST_END - PAGE_SIZE,
                heap: 0..0,
                lock_future: false,
                cache: None,
            }),
            watched: PageSet::new(),
            asked: PageSet::new(),
        })
    }

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

    /// Names the cache whose blocks come from this memory (again after `fork`).
    pub fn set_cache(&self, cache: Arc<TbCache>) {
        self.lock().cache = Some(cache);
    }

    /// Whether the guest may access `addr` so: what to tell it when the host faulted. `Ok` means
    /// that another thread has changed the mapping since, and the access is worth another try.
    pub fn check_access(&self, addr: u64, access: Access) -> Result<(), Denied> {
        let layout = self.lock();
        let (_, vma) = layout.vmas.find(addr).ok_or(Denied::Unmapped)?;
        let allowed = match access {
            Access::Fetch => vma.prot.exec(),
            Access::Load => vma.prot.read(),
            Access::Store => vma.prot.write(),
        };
        if allowed {
            Ok(())
        } else {
            Err(Denied::Protected)
        }
    }

    /// Holds the map still, while the process is forked.
    pub(crate) fn hold(&self) -> impl Drop + '_ {
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Layout> {
        // The map is changed only after the host mapping was: a panic leaves it usable.
        self.layout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host address of `addr`, which lies in the window.
    fn host(&self, addr: u64) -> *mut libc::c_void {
        debug_assert!(addr <= GUEST_END);
        (self.base + addr) as *mut libc::c_void
    }

    /// Puts the reservation back over `range`.
    fn reserve(&self, range: &Range<u64>) -> Result<(), Errno> {
        self.host_map(
            range,
            0,
            libc::MAP_NORESERVE | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    }

    /// Maps over `range`, which lies in the window.
    fn host_map(
        &self,
        range: &Range<u64>,
        prot: i32,
        flags: i32,
        fd: i32,
        offset: u64,
    ) -> Result<(), Errno> {
        // SAFETY: the range lies in the window, which belongs to the guest alone.
        let at = unsafe {
            libc::mmap(
                self.host(range.start),
                (range.end - range.start) as usize,
                prot,
                flags | libc::MAP_FIXED,
                fd,
                offset as i64,
            )
        };
        if at == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().into());
        }
        Ok(())
    }

    /// Sets the host protection of `range`.
    fn host_protect(&self, range: &Range<u64>, prot: i32) -> Result<(), Errno> {
        let len = (range.end - range.start) as usize;
        // SAFETY: the range lies in the window, which belongs to the guest alone.
        if unsafe { libc::mprotect(self.host(range.start), len, prot) } != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        Ok(())
    }

    /// Tells the cache that what is mapped in some ranges has changed, and unlocks. Not the other
    /// way round: another thread may be given the addresses as soon as the lock is free, and must
    /// not find the blocks of what was there before.
    fn invalidate(&self, layout: MutexGuard<'_, Layout>, changed: &[Range<u64>]) {
        for range in changed {
            let known = self.asked.remove(range);
            if known && let Some(cache) = &layout.cache {
                cache.invalidate_range(range.start, range.end - range.start);
            }
        }
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        // SAFETY: the window was mapped by `new`; with its last owner gone nobody runs in it.
        unsafe {
            libc::munmap(
                self.reserved.start as *mut libc::c_void,
                (self.reserved.end - self.reserved.start) as usize,
            );
        }
    }
}
