//! The guest's memory.
//!
//! It is one shared memory object, mapped twice. The *vCPU view* is what generated code loads from and
//! stores to; its pages that hold translated code are write-protected. The *device view* is always
//! writable: devices, the loader and page-table walks use it, through `vm-memory`.
//!
//! Rules, beside those of `tb_cache::CodePages`:
//!
//! 1. A page is in `watched` exactly while the vCPU view of it is write-protected. Both change
//!    under the page's lock only (one of a few).
//! 2. The cache hears of a store through the vCPU view *before* the page becomes writable, under the
//!    same hold of the page's lock: a `fence.i` that comes between would otherwise miss the store, or
//!    protect the page only to lose that protection. So the page's lock comes before the cache's; the
//!    cache calls [`CodePages::watch`] with none of its own held.
//! 3. The cache hears of a write through the device view *after* it, always: whether the page has
//!    code is the cache's to know, under the lock of the page's record. If the record is made after
//!    that, the translator finds what was written; if before, the page is verified at the next
//!    `fence.i`, and the guest runs that after whatever tells it that the device is done.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tb_cache::{CodePages, PAGE_SIZE, TbCache, Watch};
use translate::GuestCode;
use vm_memory::bitmap::{Bitmap, RefSlice, WithBitmapSlice};
use vm_memory::mmap::{MmapRegionBuilder, MmapRegionError};
use vm_memory::{
    Bytes, FileOffset, GuestAddress, GuestMemoryMmap, GuestRegionCollectionError, GuestRegionMmap,
};

/// Guest memory as devices see it.
pub type DeviceView = GuestMemoryMmap<CodeWrites>;

/// Why there is no memory for the guest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a multiple of a page, or nothing, or beyond the address space.
    #[error("memory of {size:#x} bytes at {base:#x} is not possible: a multiple of 4096 is needed")]
    Size {
        /// The first address.
        base: u64,
        /// How many bytes.
        size: u64,
    },
    /// The host has none.
    #[error("the host gives no {size:#x} bytes of guest memory: {source}")]
    Host {
        /// How many bytes.
        size: u64,
        /// What it says.
        source: io::Error,
    },
    /// The device view.
    #[error("cannot map guest memory for devices: {0}")]
    Map(#[from] MmapRegionError),
    /// The same.
    #[error("cannot map guest memory for devices: {0}")]
    Regions(#[from] GuestRegionCollectionError),
}

/// The cache that is told of writes, once there is one.
type Cache = Arc<OnceLock<Weak<TbCache>>>;

/// Locks of pages: neighbours have different ones.
const LOCKS: u64 = 64;

/// The guest's memory.
pub struct Ram {
    base: u64,
    size: u64,
    vcpu_view: *mut u8,
    device_view: DeviceView,
    cache: Cache,
    /// A bit for each page.
    watched: Box<[AtomicU64]>,
    locks: [Mutex<()>; LOCKS as usize],
}

// SAFETY: the pointer is to memory that the guest's harts share anyway; the mapping lives as long as
// this does.
unsafe impl Send for Ram {}
// SAFETY: as above.
unsafe impl Sync for Ram {}

impl Ram {
    /// Memory of `size` bytes, all zero, at guest address `base`; both are multiples of 4096.
    pub fn new(base: u64, size: u64) -> Result<Arc<Ram>, Error> {
        let fits = base.checked_add(size).is_some() && usize::try_from(size).is_ok();
        if size == 0 || !size.is_multiple_of(PAGE_SIZE) || !base.is_multiple_of(PAGE_SIZE) || !fits
        {
            return Err(Error::Size { base, size });
        }
        let host_error = |source| Error::Host { size, source };
        let file = memory_file(size).map_err(host_error)?;
        let vcpu_view = map(&file, size as usize).map_err(host_error)?;
        let cache = Cache::default();
        let writes = CodeWrites {
            cache: Arc::clone(&cache),
            base,
        };
        let region = MmapRegionBuilder::new_with_bitmap(size as usize, writes)
            .with_file_offset(FileOffset::new(file, 0))
            .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
            .with_mmap_flags(libc::MAP_SHARED | libc::MAP_NORESERVE)
            .build()?;
        let region = GuestRegionMmap::new(region, GuestAddress(base));
        let region = region.ok_or(Error::Size { base, size })?;
        Ok(Arc::new(Ram {
            base,
            size,
            vcpu_view,
            device_view: DeviceView::from_regions(vec![region])?,
            cache,
            watched: (0..(size / PAGE_SIZE).div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            locks: [const { Mutex::new(()) }; LOCKS as usize],
        }))
    }

    /// Names the cache that is told of writes to code. The first one counts.
    pub fn set_cache(&self, cache: Weak<TbCache>) {
        // There is one cache in a machine.
        let _ = self.cache.set(cache);
    }

    /// The guest addresses that are memory.
    pub fn range(&self) -> Range<u64> {
        self.base..self.base + self.size
    }

    /// Where the vCPU view has a guest address; `None` if that is no memory.
    pub fn host(&self, paddr: u64) -> Option<*mut u8> {
        let offset = paddr.checked_sub(self.base)?;
        // In the mapping, as `offset` is less than its size.
        (offset < self.size).then(|| self.vcpu_view.wrapping_add(offset as usize))
    }

    /// Memory as devices see it.
    pub fn device_view(&self) -> &DeviceView {
        &self.device_view
    }

    fn lock(&self, page: u64) -> std::sync::MutexGuard<'_, ()> {
        let lock = &self.locks[(page % LOCKS) as usize];
        lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn word(&self, page: u64) -> &AtomicU64 {
        &self.watched[(page / 64) as usize]
    }

    /// The page's lock is held.
    fn is_watched(&self, page: u64) -> bool {
        self.word(page).load(Relaxed) & bit(page) != 0
    }

    fn tell_cache(&self, paddr: u64) {
        if let Some(cache) = self.cache.get().and_then(Weak::upgrade) {
            cache.page_written(paddr);
        }
    }

    fn protect(&self, page: u64, protection: i32) -> io::Result<()> {
        let start = self.vcpu_view.wrapping_add((page * PAGE_SIZE) as usize);
        // SAFETY: a page of our own mapping; who stores there meanwhile is prepared for a fault.
        match unsafe { libc::mprotect(start.cast(), PAGE_SIZE as usize, protection) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody has a reference to us that could use it.
        unsafe { libc::munmap(self.vcpu_view.cast(), self.size as usize) };
    }
}

fn bit(page: u64) -> u64 {
    1 << (page % 64)
}

/// A memory object without a name.
fn memory_file(size: u64) -> io::Result<File> {
    // SAFETY: a call with a literal name.
    let fd = unsafe { libc::memfd_create(c"guest memory".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, so nobody else has it.
    let file = unsafe { File::from_raw_fd(fd) };
    file.set_len(size)?;
    Ok(file)
}

fn map(file: &File, size: usize) -> io::Result<*mut u8> {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let mapping: *mut c_void = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_NORESERVE,
            file.as_raw_fd(),
            0,
        )
    };
    if mapping == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(mapping.cast())
}

impl GuestCode for Ram {
    fn fetch(&self, paddr: u64, buf: &mut [u8]) -> usize {
        let end = self.base + self.size;
        let len = if self.range().contains(&paddr) {
            buf.len().min((end - paddr) as usize)
        } else {
            0
        };
        match self
            .device_view
            .read_slice(&mut buf[..len], GuestAddress(paddr))
        {
            Ok(()) => len,
            Err(_) => 0,
        }
    }
}

impl CodePages for Ram {
    fn watch(&self, paddr: u64) -> Watch {
        let Some(offset) = paddr
            .checked_sub(self.base)
            .filter(|&offset| offset < self.size)
        else {
            // Nothing will ever be there.
            return Watch::Immutable;
        };
        let page = offset / PAGE_SIZE;
        let _lock = self.lock(page);
        if !self.is_watched(page) {
            if self.protect(page, libc::PROT_READ).is_err() {
                return Watch::Unwatchable;
            }
            self.word(page).fetch_or(bit(page), Relaxed);
        }
        Watch::Protected
    }

    fn write_fault(&self, host: u64) -> bool {
        let offset = host.wrapping_sub(self.vcpu_view.expose_provenance() as u64);
        if offset >= self.size {
            return false;
        }
        let page = offset / PAGE_SIZE;
        let _lock = self.lock(page);
        if !self.is_watched(page) {
            // Another hart was faster.
            return true;
        }
        self.tell_cache(self.base + page * PAGE_SIZE);
        // If the host has no room for one more mapping, the store cannot be done.
        let writable = self
            .protect(page, libc::PROT_READ | libc::PROT_WRITE)
            .is_ok();
        if writable {
            self.word(page).fetch_and(!bit(page), Relaxed);
        }
        writable
    }
}

/// Tells the cache of writes by devices, in the guise of a bitmap of what is dirty.
#[derive(Debug)]
pub struct CodeWrites {
    cache: Cache,
    base: u64,
}

impl<'a> WithBitmapSlice<'a> for CodeWrites {
    type S = RefSlice<'a, CodeWrites>;
}

impl Bitmap for CodeWrites {
    fn mark_dirty(&self, offset: usize, len: usize) {
        let Some(cache) = self.cache.get().and_then(Weak::upgrade) else {
            return;
        };
        let start = self.base + offset as u64;
        let mut page = start & !(PAGE_SIZE - 1);
        while page < start + len as u64 {
            cache.page_written(page);
            page += PAGE_SIZE;
        }
    }

    fn dirty_at(&self, _offset: usize) -> bool {
        false
    }

    fn slice_at(&self, offset: usize) -> RefSlice<'_, CodeWrites> {
        RefSlice::new(self, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x8000_0000;

    fn ram() -> Arc<Ram> {
        Ram::new(BASE, 16 * PAGE_SIZE).expect("the host has that much")
    }

    /// Whether the vCPU view of a page may be written, by the kernel's word.
    fn is_writable(ram: &Ram, paddr: u64) -> bool {
        let host = ram.host(paddr).expect("it is memory").expose_provenance() as u64;
        let maps = std::fs::read_to_string("/proc/self/maps").expect("there is one");
        let line = maps.lines().find(|line| {
            let (range, _) = line.split_once(' ').unwrap_or_default();
            let (start, end) = range.split_once('-').unwrap_or_default();
            let number = |text| u64::from_str_radix(text, 16).unwrap_or(0);
            (number(start)..number(end)).contains(&host)
        });
        line.is_some_and(|line| line.contains(" rw"))
    }

    #[test]
    fn both_views_show_the_same_memory() {
        let ram = ram();
        let written = ram
            .device_view()
            .write_obj(0x1234_5678_u32, GuestAddress(BASE + 8));
        written.expect("it is memory");
        let host = ram.host(BASE + 8).expect("it is memory");
        // SAFETY: four bytes of the mapping, to which nobody else writes.
        assert_eq!(unsafe { host.cast::<u32>().read() }, 0x1234_5678);
        assert!(ram.host(BASE - 1).is_none() && ram.host(BASE + 16 * PAGE_SIZE).is_none());
    }

    #[test]
    fn watched_pages_are_write_protected_until_a_store_faults() {
        let ram = ram();
        let page = BASE + 3 * PAGE_SIZE;
        assert_eq!(ram.watch(page), Watch::Protected);
        assert_eq!(ram.watch(page), Watch::Protected);
        assert!(!is_writable(&ram, page) && is_writable(&ram, page + PAGE_SIZE));
        // Devices write it all the same.
        let written = ram.device_view().write_obj(5_u8, GuestAddress(page));
        written.expect("it is memory");
        assert!(!is_writable(&ram, page));
        let host = ram
            .host(page + 17)
            .expect("it is memory")
            .expose_provenance() as u64;
        assert!(ram.write_fault(host));
        assert!(is_writable(&ram, page));
        assert!(ram.write_fault(host), "another hart was faster");
        assert!(
            !ram.write_fault(host + 16 * PAGE_SIZE),
            "that is something else"
        );
        assert_eq!(ram.watch(0x1000), Watch::Immutable);
    }

    #[test]
    fn code_is_fetched_up_to_the_end_of_memory() {
        let ram = ram();
        let mut buffer = [1; 8];
        assert_eq!(ram.fetch(BASE + 16 * PAGE_SIZE - 4, &mut buffer), 4);
        assert_eq!(buffer, [0, 0, 0, 0, 1, 1, 1, 1]);
        assert_eq!(ram.fetch(BASE - 4, &mut buffer), 0);
        assert_eq!(ram.fetch(u64::MAX, &mut buffer), 0);
    }

    #[test]
    fn impossible_sizes_are_errors() {
        for (base, size) in [(0, 0), (0, 5), (5, 4096), (!4095, 8192)] {
            assert!(
                matches!(Ram::new(base, size), Err(Error::Size { .. })),
                "{base:#x} {size}"
            );
        }
        assert!(matches!(Ram::new(BASE, 1 << 62), Err(Error::Host { .. })));
    }
}
