//! The software TLB of a machine's hart: virtual page → host page, as generated code probes it.
//!
//! 1. An entry is found at the index that the low bits of its page number give, and nowhere else. Its
//!    tags are the page's address where the access is allowed.
//! 2. A tag that allows nothing never matches an address that is looked for there: it belongs to
//!    another index. So a probe is one comparison, and a table of zeros is (nearly) an empty one.
//! 3. Only pages of ordinary memory have entries, and only accesses within one page hit: devices and
//!    straddling accesses take the slow way.
//!
//! A table belongs to one vCPU and one way of translating (privilege, `SUM`, `MXR`): which one is in force is
//! the [`TlbView`] in the state, which the owner changes with the privilege.

use crate::ops::Size;

/// Bytes of a guest page.
pub const PAGE_SIZE: u64 = 4096;

/// Entries of a table: powers of two.
const LEAST: usize = 128;
const MOST: usize = 8192;

/// One page, 32 bytes: generated code scales by shifting.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub struct TlbEntry {
    /// Page address for loads.
    pub(crate) load: u64,
    /// Page address for stores.
    pub(crate) store: u64,
    /// Host address of the page.
    pub(crate) host: u64,
    unused: u64,
}

/// How far an address is shifted right to give an entry's offset (before masking).
pub(crate) const INDEX_SHIFT: u8 = 12 - 5;

/// What generated code needs to know of the table in force.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct TlbView {
    /// Selects an entry's offset in bytes.
    pub(crate) mask: u64,
    pub(crate) table: *const TlbEntry,
}

impl TlbView {
    /// No table: user mode, where there is none to probe.
    pub const NONE: TlbView = TlbView {
        mask: 0,
        table: std::ptr::null(),
    };
}

/// What one page of memory may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlbPage {
    /// Where the page is on the host.
    pub host: *mut u8,
    /// Whether loads may go there.
    pub load: bool,
    /// Whether stores may go there.
    pub store: bool,
}

/// A table. It grows and shrinks with the working set, when it is flushed.
#[derive(Debug)]
pub struct Tlb {
    entries: Box<[TlbEntry]>,
    /// Entries made since the last flush.
    made: usize,
    /// Flushes in a row that found the table nearly empty.
    idle_flushes: u32,
}

// SAFETY: host addresses of guest memory, which every vCPU may use.
unsafe impl Send for Tlb {}

impl Default for Tlb {
    fn default() -> Tlb {
        Tlb::new()
    }
}

impl Tlb {
    /// An empty table.
    pub fn new() -> Tlb {
        Tlb {
            entries: empty(LEAST),
            made: 0,
            idle_flushes: 0,
        }
    }

    /// What generated code probes. Good until the next [`Tlb::flush`].
    pub fn view(&self) -> TlbView {
        TlbView {
            mask: (self.entries.len() as u64 - 1) << size_of::<TlbEntry>().trailing_zeros(),
            table: self.entries.as_ptr(),
        }
    }

    /// Makes an entry for the page of `addr`; a present one is replaced.
    pub fn insert(&mut self, addr: u64, page: TlbPage) {
        let index = self.index(addr);
        let tag = |allowed: bool| match allowed {
            true => addr & !(PAGE_SIZE - 1),
            false => unmatched(index),
        };
        self.entries[index] = TlbEntry {
            load: tag(page.load),
            store: tag(page.store),
            host: page.host.expose_provenance() as u64,
            unused: 0,
        };
        self.made += 1;
    }

    /// Where a load of `size` at `addr` finds its bytes, if that is known.
    #[inline]
    pub fn find_load(&self, addr: u64, size: Size) -> Option<*mut u8> {
        let entry = &self.entries[self.index(addr)];
        hit(entry.load, entry.host, addr, size)
    }

    /// Where a store of `size` at `addr` puts its bytes, if that is known.
    #[inline]
    pub fn find_store(&self, addr: u64, size: Size) -> Option<*mut u8> {
        let entry = &self.entries[self.index(addr)];
        hit(entry.store, entry.host, addr, size)
    }

    /// Forgets everything, and chooses the size anew: the view changes.
    pub fn flush(&mut self) {
        let size = self.entries.len();
        self.idle_flushes = match self.made <= size / 8 {
            true => self.idle_flushes + 1,
            false => 0,
        };
        let wanted = if self.made > size / 2 {
            (size * 2).min(MOST)
        } else if self.idle_flushes >= 16 {
            self.idle_flushes = 0;
            (size / 2).max(LEAST)
        } else {
            size
        };
        if wanted != size {
            self.entries = empty(wanted);
        } else if self.made != 0 {
            self.entries.fill(TlbEntry::default());
            self.entries[0] = nothing(0);
        }
        self.made = 0;
    }

    /// Forgets the page of `addr`.
    pub fn flush_page(&mut self, addr: u64) {
        let index = self.index(addr);
        self.entries[index] = nothing(index);
    }

    fn index(&self, addr: u64) -> usize {
        (addr / PAGE_SIZE) as usize & (self.entries.len() - 1)
    }
}

fn hit(tag: u64, host: u64, addr: u64, size: Size) -> Option<*mut u8> {
    let offset = tag ^ addr;
    (offset <= PAGE_SIZE - size.bytes())
        .then(|| std::ptr::with_exposed_provenance_mut((host + offset) as usize))
}

/// A tag that nothing looked for at `index` has (rule 2).
fn unmatched(index: usize) -> u64 {
    match index {
        0 => PAGE_SIZE,
        _ => 0,
    }
}

fn nothing(index: usize) -> TlbEntry {
    TlbEntry {
        load: unmatched(index),
        store: unmatched(index),
        ..TlbEntry::default()
    }
}

fn empty(size: usize) -> Box<[TlbEntry]> {
    let mut entries = vec![TlbEntry::default(); size].into_boxed_slice();
    entries[0] = nothing(0);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: fn(*mut u8) -> TlbPage = |host| TlbPage {
        host,
        load: true,
        store: true,
    };

    fn host(addr: usize) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(addr)
    }

    #[test]
    fn an_empty_table_matches_nothing() {
        let tlb = Tlb::new();
        for addr in [
            0,
            1,
            0x1000,
            0x7_f000,
            0x8000_0000,
            1 << 63,
            u64::MAX,
            !0xfff,
        ] {
            assert_eq!(tlb.find_load(addr, Size::B1), None, "{addr:#x}");
            assert_eq!(tlb.find_store(addr, Size::B1), None, "{addr:#x}");
        }
    }

    #[test]
    fn a_page_is_found_by_its_own_addresses_and_only_within_it() {
        let mut tlb = Tlb::new();
        for page in [0, 0xffff_ffff_ffff_f000, 0x8000_1000] {
            tlb.insert(page, ALL(host(0x5000)));
            assert_eq!(tlb.find_load(page + 0x123, Size::B4), Some(host(0x5123)));
            assert_eq!(tlb.find_store(page + 0xff8, Size::B8), Some(host(0x5ff8)));
            assert_eq!(tlb.find_load(page + 0xff9, Size::B8), None);
            assert_eq!(tlb.find_load(page ^ 1 << 40, Size::B1), None);
            tlb.flush_page(page + 8);
            assert_eq!(tlb.find_load(page, Size::B1), None);
        }
    }

    #[test]
    fn what_is_not_allowed_is_not_found() {
        for page in [0, 0x3000] {
            let mut tlb = Tlb::new();
            tlb.insert(
                page,
                TlbPage {
                    store: false,
                    ..ALL(host(0x5000))
                },
            );
            assert!(tlb.find_load(page, Size::B1).is_some());
            assert_eq!(tlb.find_store(page, Size::B1), None);
        }
    }

    #[test]
    fn the_table_follows_the_working_set() {
        let mut tlb = Tlb::new();
        for _ in 0..8 {
            for page in 0..MOST as u64 {
                tlb.insert(page * PAGE_SIZE, ALL(host(0x5000)));
            }
            tlb.flush();
            assert_eq!(tlb.find_load(0x9000, Size::B1), None);
        }
        assert_eq!(tlb.entries.len(), MOST);
        for _ in 0..16 * 8 {
            tlb.flush();
        }
        assert_eq!(tlb.entries.len(), LEAST);
    }
}
