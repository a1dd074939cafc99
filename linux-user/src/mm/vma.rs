//! The map of guest mappings: which range is what. Pure bookkeeping, it maps nothing.
//!
//! Invariants:
//!
//! 1. Entries do not overlap, are never empty, and begin and end on page boundaries.
//! 2. Neighbours that could be one mapping are one (so that a program which grows a region piece
//!    by piece does not grow the map).

use super::PAGE_SIZE;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Guest protection: `PROT_READ` 1, `PROT_WRITE` 2, `PROT_EXEC` 4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prot(u8);

impl Prot {
    /// No access.
    pub const NONE: Prot = Prot(0);
    /// Read only.
    pub const R: Prot = Prot(1);
    /// Data.
    pub const RW: Prot = Prot(3);
    /// Code.
    pub const RX: Prot = Prot(5);

    /// From the bits that `mmap` takes; others are dropped.
    pub fn from_bits(bits: u64) -> Prot {
        Prot((bits & 7) as u8)
    }

    /// RISC-V has no pages that can be written but not read.
    pub fn read(self) -> bool {
        self.0 & 3 != 0
    }

    /// May be stored to.
    pub fn write(self) -> bool {
        self.0 & 2 != 0
    }

    /// May be executed.
    pub fn exec(self) -> bool {
        self.0 & 4 != 0
    }

    /// What the host maps: never executable, and readable where code must be fetched.
    pub fn host(self) -> i32 {
        let read = if self.0 != 0 { libc::PROT_READ } else { 0 };
        let write = if self.write() { libc::PROT_WRITE } else { 0 };
        read | write
    }

    /// The first three letters of a line of `/proc/self/maps`.
    pub fn letters(self) -> String {
        [(1, 'r'), (2, 'w'), (4, 'x')]
            .map(|(bit, letter)| if self.0 & bit != 0 { letter } else { '-' })
            .iter()
            .collect()
    }
}

/// A mapped file, as `/proc/self/maps` shows it.
#[derive(PartialEq, Eq, Debug)]
pub struct File {
    /// Its name when it was mapped.
    pub path: PathBuf,
    /// Device and inode.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// What is behind a mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Backing {
    /// Zero-filled memory.
    Anonymous,
    /// The program break.
    Heap,
    /// The initial stack.
    Stack,
    /// The kernel's page of code.
    Vdso,
    /// A file from this offset on.
    File(Arc<File>, u64),
    /// A System V shared memory segment: its id, and the offset.
    Shm(i32, u64),
}

impl Backing {
    /// The backing of what lies `distance` bytes further on.
    fn advanced(&self, distance: u64) -> Backing {
        match self {
            Backing::File(file, offset) => {
                Backing::File(file.clone(), offset.wrapping_add(distance))
            }
            Backing::Shm(id, offset) => Backing::Shm(*id, offset + distance),
            other => other.clone(),
        }
    }
}

/// One mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vma {
    /// What the guest may do.
    pub prot: Prot,
    /// Writes reach others.
    pub shared: bool,
    /// What it shows.
    pub backing: Backing,
}

/// A mapping or a part of one: where, and what.
pub type Piece = (Range<u64>, Vma);

#[derive(Debug)]
struct Entry {
    end: u64,
    vma: Vma,
}

/// All mappings, by address.
#[derive(Default, Debug)]
pub struct VmaMap {
    entries: BTreeMap<u64, Entry>,
}

impl VmaMap {
    /// The mapping that contains `addr`.
    pub fn find(&self, addr: u64) -> Option<(Range<u64>, &Vma)> {
        let (&start, entry) = self.entries.range(..=addr).next_back()?;
        (addr < entry.end).then_some((start..entry.end, &entry.vma))
    }

    /// All mappings, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Range<u64>, &Vma)> {
        self.entries
            .iter()
            .map(|(&start, entry)| (start..entry.end, &entry.vma))
    }

    /// The parts of mappings that lie in `range`, ascending.
    pub fn pieces(&self, range: Range<u64>) -> Vec<Piece> {
        let first = self.find(range.start).map_or(range.start, |(r, _)| r.start);
        self.entries
            .range(first..range.end.max(first))
            .map(|(&start, entry)| {
                let from = start.max(range.start);
                let vma = Vma {
                    backing: entry.vma.backing.advanced(from - start),
                    ..entry.vma.clone()
                };
                (from..entry.end.min(range.end), vma)
            })
            .collect()
    }

    /// How far `range` is mapped without a hole, from its start: its end if all of it is.
    pub fn covered_to(&self, range: Range<u64>) -> u64 {
        let mut at = range.start;
        while at < range.end {
            match self.find(at) {
                Some((found, _)) => at = found.end,
                None => return at,
            }
        }
        range.end
    }

    /// Whether nothing is mapped in `range`.
    pub fn is_free(&self, range: Range<u64>) -> bool {
        self.entries
            .range(..range.end)
            .next_back()
            .is_none_or(|(_, entry)| entry.end <= range.start)
    }

    /// Where the first mapping at or after `addr` begins.
    pub fn next_start(&self, addr: u64) -> Option<u64> {
        self.entries.range(addr..).next().map(|(&start, _)| start)
    }

    /// The highest free `len` bytes within `within`.
    pub fn highest_gap(&self, len: u64, within: Range<u64>) -> Option<u64> {
        let fits = |low: u64, high: u64| high.checked_sub(low).is_some_and(|room| room >= len);
        let mut high = within.end;
        for (&start, entry) in self.entries.range(..within.end).rev() {
            let low = entry.end.max(within.start);
            if fits(low, high) {
                return Some(high - len);
            }
            high = high.min(start);
            if high <= within.start {
                return None;
            }
        }
        fits(within.start, high).then(|| high - len)
    }

    /// Forgets what is mapped in `range`.
    pub fn remove(&mut self, range: Range<u64>) {
        self.split_at(range.start);
        self.split_at(range.end);
        while let Some(start) = self.next_start(range.start).filter(|&at| at < range.end) {
            self.entries.remove(&start);
        }
    }

    /// Notes a mapping in place of whatever was there before.
    pub fn insert(&mut self, range: Range<u64>, vma: Vma) {
        debug_assert!(
            range.start < range.end && (range.start | range.end).is_multiple_of(PAGE_SIZE)
        );
        self.remove(range.clone());
        self.entries.insert(
            range.start,
            Entry {
                end: range.end,
                vma,
            },
        );
        self.merge_at(range.end);
        self.merge_at(range.start);
    }

    /// Changes the protection of everything mapped in `range`.
    pub fn protect(&mut self, range: Range<u64>, prot: Prot) {
        for (piece, vma) in self.pieces(range) {
            self.insert(piece, Vma { prot, ..vma });
        }
    }

    /// Makes `addr` a boundary between two entries if it is inside of one.
    fn split_at(&mut self, addr: u64) {
        let Some((&start, entry)) = self.entries.range_mut(..addr).next_back() else {
            return;
        };
        if entry.end <= addr {
            return;
        }
        let upper = Entry {
            end: entry.end,
            vma: Vma {
                backing: entry.vma.backing.advanced(addr - start),
                ..entry.vma.clone()
            },
        };
        entry.end = addr;
        self.entries.insert(addr, upper);
    }

    /// Joins the entries that meet at `addr` if they could be one mapping.
    fn merge_at(&mut self, addr: u64) {
        let Some((&start, lower)) = self.entries.range(..addr).next_back() else {
            return;
        };
        let Some(upper) = self.entries.get(&addr) else {
            return;
        };
        let joined = Vma {
            backing: lower.vma.backing.advanced(addr - start),
            ..lower.vma.clone()
        };
        if lower.end != addr || joined != upper.vma {
            return;
        }
        let end = upper.end;
        self.entries.remove(&addr);
        if let Some(lower) = self.entries.get_mut(&start) {
            lower.end = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: u64 = PAGE_SIZE;

    fn anon(prot: Prot) -> Vma {
        Vma {
            prot,
            shared: false,
            backing: Backing::Anonymous,
        }
    }

    fn file(offset: u64) -> Vma {
        let file = Arc::new(File {
            path: "/f".into(),
            device: 1,
            inode: 2,
        });
        Vma {
            prot: Prot::R,
            shared: false,
            backing: Backing::File(file, offset),
        }
    }

    fn ranges(map: &VmaMap) -> Vec<(u64, u64)> {
        map.iter()
            .map(|(range, _)| (range.start, range.end))
            .collect()
    }

    #[test]
    fn neighbours_of_a_kind_merge_and_others_do_not() {
        let mut map = VmaMap::default();
        map.insert(P..2 * P, anon(Prot::RW));
        map.insert(3 * P..4 * P, anon(Prot::RW));
        map.insert(2 * P..3 * P, anon(Prot::RW));
        assert_eq!(ranges(&map), [(P, 4 * P)]);
        map.insert(4 * P..5 * P, anon(Prot::R));
        assert_eq!(ranges(&map), [(P, 4 * P), (4 * P, 5 * P)]);
        map.protect(4 * P..5 * P, Prot::RW);
        assert_eq!(ranges(&map), [(P, 5 * P)]);
    }

    #[test]
    fn a_hole_in_a_file_mapping_keeps_the_offsets_right() {
        let mut map = VmaMap::default();
        map.insert(4 * P..8 * P, file(10 * P));
        let middle = map.pieces(5 * P..6 * P);
        assert_eq!(middle.len(), 1);
        assert!(matches!(&middle[0].1.backing, Backing::File(_, offset) if *offset == 11 * P));
        map.remove(5 * P..6 * P);
        let (range, vma) = map.find(7 * P).unwrap();
        assert_eq!(range, 6 * P..8 * P);
        assert!(matches!(&vma.backing, Backing::File(_, offset) if *offset == 12 * P));
        assert_eq!(map.covered_to(4 * P..8 * P), 5 * P);
        assert!(map.find(5 * P).is_none());
        map.insert(5 * P..6 * P, file(11 * P));
        assert_eq!(ranges(&map), [(4 * P, 8 * P)]);
        assert_eq!(map.covered_to(4 * P..8 * P), 8 * P);
    }

    #[test]
    fn protecting_the_middle_splits_in_three() {
        let mut map = VmaMap::default();
        map.insert(0..9 * P, anon(Prot::RW));
        map.protect(3 * P..4 * P, Prot::RX);
        assert_eq!(ranges(&map), [(0, 3 * P), (3 * P, 4 * P), (4 * P, 9 * P)]);
        assert_eq!(map.pieces(2 * P..5 * P).len(), 3);
    }

    #[test]
    fn gaps_are_found_from_the_top() {
        let mut map = VmaMap::default();
        assert_eq!(map.highest_gap(P, P..10 * P), Some(9 * P));
        map.insert(9 * P..10 * P, anon(Prot::R));
        map.insert(6 * P..8 * P, anon(Prot::R));
        assert_eq!(map.highest_gap(P, P..10 * P), Some(8 * P));
        assert_eq!(map.highest_gap(2 * P, P..10 * P), Some(4 * P));
        assert_eq!(map.highest_gap(5 * P, P..10 * P), Some(P));
        assert_eq!(map.highest_gap(6 * P, P..10 * P), None);
        assert_eq!(map.highest_gap(P, 6 * P..8 * P), None);
        assert!(map.is_free(8 * P..9 * P));
        assert!(!map.is_free(7 * P..9 * P));
        assert!(!map.is_free(5 * P..11 * P));
    }

    /// Against the plainest model there is: one cell per page.
    #[test]
    fn random_operations_agree_with_a_table_of_pages() {
        const PAGES: usize = 40;
        let mut map = VmaMap::default();
        let mut table = [None; PAGES];
        let mut seed = 1_u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..20_000 {
            let from = next(PAGES as u64);
            let to = from + 1 + next(PAGES as u64 - from);
            let range = from * P..to * P;
            let cells = &mut table[from as usize..to as usize];
            let prot = Prot::from_bits(next(8));
            match next(3) {
                0 => {
                    map.insert(range, anon(prot));
                    cells.fill(Some(prot));
                }
                1 => {
                    map.remove(range);
                    cells.fill(None);
                }
                _ => {
                    map.protect(range, prot);
                    cells.iter_mut().flatten().for_each(|cell| *cell = prot);
                }
            }
            for (page, cell) in table.iter().enumerate() {
                let found = map.find(page as u64 * P).map(|(_, vma)| vma.prot);
                assert_eq!(found, *cell);
            }
            let all = ranges(&map);
            assert!(all.windows(2).all(|pair| pair[0].1 <= pair[1].0));
        }
    }
}
