//! The areas, and who has which.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use epoch::sync::atomic::AtomicU32;
use epoch::sync::{Mutex, MutexGuard};
use epoch::{ordering, step};

use crate::board::{Board, Full};
use crate::ranges::Ranges;
use crate::space::{self, LINE, RESERVE};
use crate::table::{self, Table, Written};

/// The areas of all vCPUs, and the boards in them. See the crate's rules.
pub struct Areas {
    /// Bytes of a head.
    head: usize,
    table: Table,
    /// The highest index ever claimed, plus 1.
    count: AtomicU32,
    indexes: Mutex<Indexes>,
    /// What is left for boards. Locked for as long as it takes to look, never while the other lock
    /// is wanted.
    ranges: Mutex<Ranges>,
}

/// Which indexes are free.
#[derive(Default)]
struct Indexes {
    /// The free ones among those below `end`.
    free: BTreeSet<u32>,
    /// All from here on are free.
    end: u32,
    /// Those that have an area. (Readers ask the table.)
    mapped: BTreeSet<u32>,
    table: Written,
}

impl Areas {
    /// No areas yet. Each will begin with `head` bytes that belong to its vCPU.
    ///
    /// # Panics
    ///
    /// If that is so much that next to nothing is left for boards.
    pub fn new(head: usize) -> Arc<Areas> {
        assert!(head <= RESERVE / 2, "a head of {head} bytes");
        let head = head.next_multiple_of(LINE);
        Arc::new(Areas {
            head,
            table: Table::new(),
            count: AtomicU32::new(0),
            indexes: Mutex::default(),
            ranges: Mutex::new(Ranges::new(head..RESERVE)),
        })
    }

    /// Takes the lowest free index, and its area. The area's head is all zero; in the boards'
    /// elements is what former owners of the index left there.
    ///
    /// Fails if the host has no address space left, or too many mappings.
    pub fn claim(self: &Arc<Self>) -> io::Result<Area> {
        let indexes = self.indexes.lock();
        let index = indexes.free.first().copied().unwrap_or(indexes.end);
        self.take(indexes, index)
    }

    /// Takes a certain index. Fails as [`Areas::claim`] does, and if somebody has the index.
    pub fn claim_index(self: &Arc<Self>, index: u32) -> io::Result<Area> {
        let indexes = self.indexes.lock();
        if index < indexes.end && !indexes.free.contains(&index) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("there is a vCPU {index} already"),
            ));
        }
        self.take(indexes, index)
    }

    /// The highest index ever claimed, plus 1.
    #[inline]
    pub fn count(&self) -> u32 {
        // Acquire: pairs with the Release in `take`; who counts an index finds its area.
        self.count
            .load(ordering!(Acquire, "areas.count" => "area_found"))
    }

    /// Where the area of an index begins, if the index has ever been claimed. It stays there as long
    /// as `self`.
    #[inline]
    pub fn base(&self, index: u32) -> Option<*mut u8> {
        (index < self.count())
            .then(|| self.table.get(index))?
            .map(|start| start.cast())
    }

    /// A board with `element_size` bytes for each vCPU, of those that exist and of those to come,
    /// rounded up to whole words; all zero.
    pub fn new_board(self: &Arc<Self>, element_size: usize) -> Result<Board, Full> {
        Board::new(self, element_size)
    }

    /// Holds claims and boards still, while the process is forked.
    pub fn hold(&self) -> Held<'_> {
        Held {
            indexes: self.indexes.lock(),
            _ranges: self.ranges.lock(),
        }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn ranges(&self) -> MutexGuard<'_, Ranges> {
        self.ranges.lock()
    }

    /// Takes an index that is free.
    fn take(
        self: &Arc<Self>,
        mut indexes: MutexGuard<'_, Indexes>,
        index: u32,
    ) -> io::Result<Area> {
        if index >= table::MAX {
            return Err(io::Error::other(format!(
                "there cannot be more than {} vCPUs",
                table::MAX
            )));
        }
        let used = indexes.mapped.contains(&index);
        if !used {
            let start = space::map()?;
            self.table.put(&mut indexes.table, index, start);
            indexes.mapped.insert(index);
        }
        if index >= indexes.end {
            let skipped = indexes.end..index;
            indexes.free.extend(skipped);
            step!("areas.claim.end" => "two_claim", indexes.end = index + 1);
            // Release: pairs with the Acquire in `count`.
            self.count.store(
                indexes.end,
                ordering!(Release, "areas.claim" => "area_found"),
            );
        } else {
            indexes.free.remove(&index);
        }
        // Zeroing need not keep others waiting.
        drop(indexes);
        let area = Area {
            areas: Arc::clone(self),
            index,
        };
        if used {
            step!("areas.claim.zero" => "index_reused", area.zero_head());
        }
        Ok(area)
    }
}

impl Drop for Areas {
    fn drop(&mut self) {
        for start in self.table.all() {
            // SAFETY: mapped by `take`; whoever uses areas or boards keeps `self` alive.
            unsafe { space::unmap(start) };
        }
    }
}

/// One vCPU's area. The index is free again when this is dropped.
pub struct Area {
    areas: Arc<Areas>,
    index: u32,
}

impl Area {
    /// The vCPU's number.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Where the area begins: bytes for the vCPU's own use, aligned to a page.
    #[inline]
    pub fn head(&self) -> *mut u8 {
        self.areas.base(self.index).expect("a claimed area exists")
    }

    /// The areas that this is one of.
    pub fn areas(&self) -> &Arc<Areas> {
        &self.areas
    }

    /// Not with [`space::zero`], for all threads of the process feel a change of mappings.
    fn zero_head(&self) {
        let start = self.areas.table.get(self.index);
        let start = start.expect("a claimed area exists");
        // SAFETY: the head of an area, which lives as long as `self.areas`.
        let words = unsafe { space::words(start, 0..self.areas.head) };
        space::zero_words(words);
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        self.areas.indexes.lock().free.insert(self.index);
    }
}

/// Claims and boards held still: see [`Areas::hold`].
pub struct Held<'a> {
    indexes: MutexGuard<'a, Indexes>,
    _ranges: MutexGuard<'a, Ranges>,
}

impl Held<'_> {
    /// For the child of a fork: frees the indexes of all vCPUs but one, whose threads do not exist
    /// here. Their areas' [`Area`]s must never be dropped.
    pub fn keep_only(&mut self, survivor: &Area) {
        let Indexes { free, end, .. } = &mut *self.indexes;
        free.extend(0..*end);
        free.remove(&survivor.index);
    }
}
