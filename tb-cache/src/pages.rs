//! Guest pages that code was translated from: which blocks each holds, and what is known of writes.
//!
//! RISC-V promises new code only after `fence.i`, so a write to code needs no reaction at once, but
//! none may be forgotten. These rules see to that; *page* is the guest address of its first byte.
//!
//! 1. A page gets its record before it is watched, and is watched before bytes are fetched from it
//!    for a block ([`Pages::ensure_watched`]). A block is registered only on pages whose record says
//!    that they are watched, under the lock of that record.
//! 2. A write to a page with a record makes the page a *concern*, before it takes effect. A page
//!    that cannot be watched is a concern from before its first block on.
//! 3. `fence.i` verifies all blocks on all concerns. A page that was written is watched again before
//!    its blocks are read, and stops being a concern after that, unless it was written meanwhile:
//!    each write has a number. So `fence.i` on another hart need not wait for this one's: what this
//!    one has not finished, that one still finds.
//! 4. A block under translation is found by nobody. So whoever makes changes, be it `fence.i` or an
//!    unmapping, first advances `changes`, then goes through the records; a translator reads
//!    `changes` before it fetches and again after it has registered its block. Either the block was
//!    found in the records, or the translator sees that something has changed, as both take the lock
//!    of the record in between, and compares the bytes once more.
//! 5. Killing marks a block dead before it takes the block out of the records; a block that is dead
//!    is not registered. Blocks in records have therefore not been retired, as far as one who holds
//!    the chain lock can tell.
//! 6. The records' locks are innermost: nothing foreign is called with one held.

use std::collections::BTreeMap;
use std::ptr::{self, NonNull};

use epoch::sync::Mutex;
use epoch::sync::atomic::{AtomicU64, Ordering::Relaxed};
use epoch::{ordering, step};
use translate::GuestCode;

use crate::records::Records;
use crate::tb::Tb;

/// Guest page size.
pub const PAGE_SIZE: u64 = 4096;

/// How writes to a page that holds translated code are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The guest cannot write the page. Should it become writable, the range is invalidated.
    Immutable,
    /// Write-protected now. The next write calls [`page_written`](crate::TbCache::page_written)
    /// before it takes effect.
    Protected,
    /// Writes go unnoticed: the page's blocks are verified at every `fence.i`.
    Unwatchable,
}

/// Guest code whose pages can be watched.
pub trait CodePages: GuestCode + Send {
    /// Watches the page that begins at guest address `page`; called before bytes of it are fetched
    /// for a block, and again after it has been written. The cache holds no locks meanwhile.
    ///
    /// Whoever makes a protected page writable calls `page_written` first, and lets no `watch` of
    /// that page come between the two.
    fn watch(&self, page: u64) -> Watch;

    /// Generated code of a machine's hart has faulted at this host address, where the TLB said that
    /// it may write. Gives whether that was because the page is protected: then it no longer is.
    fn write_fault(&self, host: u64) -> bool {
        let _ = host;
        false
    }
}

/// The addresses of the pages that hold any of `len` bytes at `start`; they may wrap around.
pub(crate) fn pages_of(start: u64, len: u64) -> impl Iterator<Item = u64> {
    let first = start & !(PAGE_SIZE - 1);
    let count = if len == 0 {
        0
    } else {
        (start - first + len.min(u64::MAX - PAGE_SIZE)).div_ceil(PAGE_SIZE)
    };
    (0..count).map(move |n| first.wrapping_add(n * PAGE_SIZE))
}

/// What is known of all pages.
pub(crate) struct Pages {
    records: Records<Page>,
    concerns: Mutex<Concerns>,
    changes: AtomicU64,
    /// How many records were ever made: gives them distinct numbers.
    births: AtomicU64,
}

struct Page {
    /// Distinguishes this record from earlier ones of the same page.
    birth: u64,
    /// `None` until somebody has finished watching.
    watch: Option<Watch>,
    blocks: Vec<NonNull<Tb>>,
}

// SAFETY: rule 5 says when the pointers may be followed.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

#[derive(Default)]
struct Concerns {
    pages: BTreeMap<u64, Concern>,
    writes: u64,
}

/// Why `fence.i` looks at a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// By its newest write.
    Written(u64),
    /// The page cannot be watched, says the record of this birth.
    Always(u64),
}

impl Concern {
    pub(crate) fn is_write(self) -> bool {
        matches!(self, Concern::Written(_))
    }
}

/// State of the guest's code at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Pages {
    pub(crate) fn new() -> Pages {
        Pages {
            records: Records::new(),
            concerns: Mutex::new(Concerns::default()),
            changes: AtomicU64::new(0),
            births: AtomicU64::new(0),
        }
    }

    /// To be taken before bytes are fetched (rule 4).
    pub(crate) fn ticket(&self) -> Ticket {
        // Acquire: pairs with the Release in `begin_change`; a translator that has seen a change
        // fetches what is there after it.
        Ticket(
            self.changes
                .load(ordering!(Acquire, "pages.ticket" => "code_changes")),
        )
    }

    /// Whether nothing has changed since. Asked after the registration, whose locks order it.
    pub(crate) fn is_current(&self, ticket: Ticket) -> bool {
        self.changes.load(Relaxed) == ticket.0
    }

    /// Announces changes that have been made (rule 4).
    pub(crate) fn begin_change(&self) {
        // Release: pairs with the Acquire in `ticket`.
        self.changes.fetch_add(
            1,
            ordering!(Release, "pages.begin_change" => "code_changes"),
        );
    }

    /// Makes sure that writes to the page are noticed from now on (rule 1).
    pub(crate) fn ensure_watched(&self, page: u64, code: &dyn CodePages) {
        let new = || Page {
            birth: self.births.fetch_add(1, Relaxed),
            watch: None,
            blocks: Vec::new(),
        };
        let seen = |record: &mut Page| (record.watch, record.birth);
        let (watch, birth) = self.records.with_new(page, new, seen);
        if watch.is_none() {
            // Also if another thread is about to: it may not have got as far as protecting the page.
            self.watch(page, birth, code);
        }
    }

    /// Watches a page once more (rule 3), if it still has a record.
    pub(crate) fn watch_again(&self, page: u64, code: &dyn CodePages) {
        if let Some(birth) = self.records.with(page, |record| record.birth) {
            self.watch(page, birth, code);
        }
    }

    fn watch(&self, page: u64, birth: u64, code: &dyn CodePages) {
        let watch = code.watch(page);
        if watch == Watch::Unwatchable {
            let always = Concern::Always(birth);
            self.concerns.lock().pages.insert(page, always);
        }
        self.records.with(page, |record| {
            let is_another = step!(
                "pages.watch.birth" => "record_is_made_anew",
                record.birth != birth
            );
            if !is_another {
                record.watch = Some(watch);
            }
        });
    }

    /// Registers a block on its pages; gives whether all of them are watched and the block is alive.
    /// If not, the caller kills the block.
    #[must_use]
    pub(crate) fn register(&self, tb: NonNull<Tb>) -> bool {
        // SAFETY: the caller's block, which lives as long as it is online.
        let block = unsafe { tb.as_ref() };
        block.pages().all(|page| {
            let register = |record: &mut Page| {
                let possible = record.watch.is_some() && !block.is_dead();
                if possible {
                    record.blocks.push(tb);
                }
                possible
            };
            self.records.with(page, register).unwrap_or(false)
        })
    }

    /// Takes a dead block out of the records.
    pub(crate) fn forget(&self, tb: &Tb) {
        for page in tb.pages() {
            self.records.with(page, |record| {
                let mut blocks = record.blocks.iter();
                if let Some(at) = blocks.position(|&b| ptr::eq(b.as_ptr(), tb)) {
                    record.blocks.swap_remove(at);
                }
            });
        }
    }

    /// A watched page is about to be written (rule 2).
    pub(crate) fn written(&self, page: u64) {
        if !self.has_record(page) {
            return;
        }
        let mut concerns = self.concerns.lock();
        concerns.writes += 1;
        let write = Concern::Written(concerns.writes);
        let concern = concerns.pages.entry(page).or_insert(write);
        if concern.is_write() {
            *concern = write;
        }
    }

    /// What `fence.i` has to look at.
    pub(crate) fn concerns(&self) -> Vec<(u64, Concern)> {
        let concerns = self.concerns.lock();
        concerns.pages.iter().map(|(&page, &c)| (page, c)).collect()
    }

    /// The blocks of a page. See rule 5.
    pub(crate) fn blocks(&self, page: u64) -> Vec<NonNull<Tb>> {
        let blocks = self.records.with(page, |record| record.blocks.clone());
        blocks.unwrap_or_default()
    }

    /// After a page was watched again and its blocks verified (rule 3).
    pub(crate) fn settle(&self, page: u64, concern: Concern) {
        if concern.is_write() {
            self.drop_concern(page, concern);
        }
    }

    /// Drops the record of a page if it has no blocks, so that writes to what has become data cost
    /// nothing more. A translator that counts on the record notices when it registers.
    ///
    /// Gives whether the page has no record.
    pub(crate) fn abandon_if_empty(&self, page: u64, concern: Concern) -> bool {
        self.records.remove_if(page, |r| r.blocks.is_empty());
        let gone = !self.has_record(page);
        if gone {
            self.drop_concern(page, concern);
        }
        gone
    }

    fn has_record(&self, page: u64) -> bool {
        self.records.with(page, |_| ()).is_some()
    }

    /// Unless it has been replaced by a newer one.
    fn drop_concern(&self, page: u64, concern: Concern) {
        let mut concerns = self.concerns.lock();
        if concerns.pages.get(&page) == Some(&concern) {
            concerns.pages.remove(&page);
        }
    }

    /// The pages of a range that have records.
    pub(crate) fn known_in(&self, start: u64, len: u64) -> Vec<u64> {
        let pages = usize::try_from(len / PAGE_SIZE).unwrap_or(usize::MAX);
        if pages <= self.records.len() {
            pages_of(start, len)
                .filter(|&p| self.has_record(p))
                .collect()
        } else {
            let first = start & !(PAGE_SIZE - 1);
            let span = (start - first).saturating_add(len);
            let mut pages = self.records.pages();
            pages.retain(|page| page.wrapping_sub(first) < span);
            pages
        }
    }

    /// Forgets a page whose mapping is gone or has changed; gives the blocks that it had. One that
    /// is registered after this finds no record, or sees that something has changed (rule 4).
    ///
    /// A concern about the page goes at the next `fence.i`: by now it may be that of a new record.
    pub(crate) fn forget_page(&self, page: u64) -> Vec<NonNull<Tb>> {
        let removed = self.records.remove_if(page, |_| true);
        removed.map_or_else(Vec::new, |record| record.blocks)
    }
}
