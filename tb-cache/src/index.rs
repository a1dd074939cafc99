//! The index: key → living block. A hash table whose readers take no lock and write nothing.
//!
//! Assumptions: lookups by far outnumber changes; a reader is online in the epoch domain, so that
//! what it finds stays readable; blocks come and go all the time, but slowly against lookups.
//!
//! Layout: open addressing with linear probing in a table of single words. A word is null (empty,
//! and nothing of this probe sequence lies beyond), the tombstone, or the address of a block with 16
//! bits of its hash on top, which spare the reader almost all visits to wrong blocks. A lookup that
//! hits reads two cache lines.
//!
//! 1. A word goes null → block → tombstone, never back: a reader may rely on every word it has
//!    passed.
//! 2. Changes are made under the lock of the key's stripe, so two inserters of one key see each
//!    other; keys of different stripes race for empty words by compare-and-swap.
//! 3. At most half of a table is not null, so a probe ends. Before that, a new table gets the living
//!    blocks, under all stripes' locks, and the old one is retired.
//! 4. A block that is dead is never inserted: killing marks first and removes then, and both
//!    insertion's look at the mark and the removal are under the stripe's lock.
//!
//! Rejected: chains through the blocks themselves. One word less per block, but a table that could
//! not grow while others read, as each block has one successor only.

use std::ptr::{self, NonNull};
use std::sync::Arc;

use epoch::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};
use epoch::sync::cell::Lifetime;
use epoch::sync::{Mutex, MutexGuard};
use epoch::{Domain, Participant, ordering, step};

use crate::key::Key;
use crate::tb::Tb;

/// Slots of the first table, and locks: what a small program needs, as every page of the table is
/// soon touched. Smaller still in models, which explore every step.
#[cfg(not(hartscope_loom))]
const SIZES: (usize, usize) = (1024, 16);
#[cfg(hartscope_loom)]
const SIZES: (usize, usize) = (4, 2);

/// Where the hash bits begin in a slot's word. User addresses of x86-64 and of everybody else who
/// uses 48 bits end below.
const TAG_SHIFT: u32 = 48;

/// The address of no block.
const TOMBSTONE: usize = 1;

/// What became of an insertion.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// The block is found from now on.
    New,
    /// This one has the same key and was faster.
    Existing(NonNull<Tb>),
    /// The block was killed before it could be inserted.
    Dead,
}

/// The index.
pub(crate) struct Index {
    table: AtomicPtr<Table>,
    stripes: Box<[Stripe]>,
    domain: Arc<Domain>,
}

/// A lock on a line of its own.
#[repr(align(64))]
struct Stripe(Mutex<()>);

struct Table {
    slots: Box<[AtomicPtr<Tb>]>,
    /// Slots that are not null; changes under some stripe's lock.
    used: AtomicUsize,
    life: Lifetime,
}

impl Index {
    pub(crate) fn new(domain: Arc<Domain>) -> Index {
        Index {
            table: AtomicPtr::new(Box::into_raw(Box::new(Table::new(SIZES.0)))),
            stripes: (0..SIZES.1).map(|_| Stripe(Mutex::new(()))).collect(),
            domain,
        }
    }

    /// The living block of `key`. It may die at any time, and stays readable while `online` holds
    /// still.
    #[inline]
    pub(crate) fn lookup<'a>(&self, online: &'a Participant, key: Key) -> Option<&'a Tb> {
        debug_assert!(online.is_online());
        let hash = key.hash();
        // Acquire: pairs with the Release in `grow`; the new table is complete.
        // SAFETY: tables are retired through the domain, in which the reader is online.
        let table = unsafe {
            &*self
                .table
                .load(ordering!(Acquire, "index.table" => "table_grows"))
        };
        let mut at = hash as usize;
        loop {
            // Acquire: pairs with the Release in `claim`; the block is complete.
            let word = table
                .slot(at)
                .load(ordering!(Acquire, "index.find" => "block_is_published"));
            if word.is_null() {
                return None;
            }
            if has_tag(word, hash) && untagged(word).addr() != TOMBSTONE {
                // SAFETY: blocks are retired through the domain after their removal from here.
                let tb = unsafe { &*untagged(word) };
                if tb.key() == key {
                    return Some(tb);
                }
            }
            at = at.wrapping_add(1);
        }
    }

    /// Inserts a block unless its key is there already. The caller is online.
    pub(crate) fn insert(&self, tb: NonNull<Tb>) -> Inserted {
        // SAFETY: the caller's block, which lives as long as it is online.
        let block = unsafe { tb.as_ref() };
        let (key, hash) = (block.key(), block.key().hash());
        loop {
            let guard = self.stripe(hash).lock();
            let table = self.current();
            if table.is_crowded() {
                drop(guard);
                self.grow();
                continue;
            }
            if block.is_dead() {
                return Inserted::Dead;
            }
            return match table.claim(tb, key, hash) {
                Some(existing) => Inserted::Existing(existing),
                None => Inserted::New,
            };
        }
    }

    /// Removes a block; gives whether it was there.
    pub(crate) fn remove(&self, tb: &Tb) -> bool {
        let hash = tb.key().hash();
        let _guard = self.stripe(hash).lock();
        let table = self.current();
        let mut at = hash as usize;
        loop {
            // Relaxed: what this stripe inserted was inserted under the lock held.
            let word = table.slot(at).load(Relaxed);
            if word.is_null() {
                return false;
            }
            if ptr::eq(untagged(word), tb) {
                // Relaxed: a reader finds nothing through a tombstone.
                table.slot(at).store(tombstone(), Relaxed);
                return true;
            }
            at = at.wrapping_add(1);
        }
    }

    fn stripe(&self, hash: u64) -> &Mutex<()> {
        // Bits that neither a small table's position nor the tag uses.
        &self.stripes[(hash >> 40) as usize & (self.stripes.len() - 1)].0
    }

    /// The table, for one who holds a stripe's lock.
    fn current(&self) -> &Table {
        // Relaxed: the table changes under all locks, so the one held orders this.
        // SAFETY: it is retired only after that change.
        unsafe { &*self.table.load(Relaxed) }
    }

    /// Replaces the table if it is crowded. The caller is online and holds no stripe.
    #[cold]
    fn grow(&self) {
        let locks: Vec<MutexGuard<'_, ()>> = self.stripes.iter().map(|s| s.0.lock()).collect();
        let old = self.current();
        if !old.is_crowded() {
            return;
        }
        let old_pointer = self.table.load(Relaxed);
        let living = || {
            old.slots
                .iter()
                .map(|slot| slot.load(Relaxed))
                .filter(|word| !word.is_null() && untagged(*word).addr() != TOMBSTONE)
        };
        // An eighth full: room for as many again before the next time.
        let capacity = (8 * living().count()).next_power_of_two().max(SIZES.0);
        let new = Table::new(capacity);
        for word in living() {
            // SAFETY: a block in the table has not been retired, and cannot be while we hold the
            // lock that its removal takes.
            let hash = unsafe { &*untagged(word) }.key().hash();
            new.put(word, hash);
        }
        // Release: pairs with the Acquire in `lookup`.
        self.table.store(
            Box::into_raw(Box::new(new)),
            ordering!(Release, "index.grow" => "table_grows"),
        );
        drop(locks);
        let old = Retired(old_pointer);
        self.domain.retire(Box::new(move || old.free()));
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // SAFETY: made from a box, and nobody else has the index any more.
        drop(unsafe { Box::from_raw(self.table.load(Relaxed)) });
    }
}

/// A table that waits for its last readers.
struct Retired(*mut Table);

// SAFETY: a table is atomics only.
unsafe impl Send for Retired {}

impl Retired {
    fn free(self) {
        // SAFETY: made from a box; runs after the grace period, once.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl Table {
    fn new(capacity: usize) -> Table {
        Table {
            slots: (0..capacity)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            used: AtomicUsize::new(0),
            life: Lifetime::begin(),
        }
    }

    #[inline]
    fn slot(&self, at: usize) -> &AtomicPtr<Tb> {
        self.life.touch();
        &self.slots[at & (self.slots.len() - 1)]
    }

    fn is_crowded(&self) -> bool {
        // Each stripe may be on its way past this check with one more.
        self.used.load(Relaxed) + SIZES.1 > self.slots.len() / 2
    }

    /// Takes the first empty slot for `tb`, or gives the block of that key that comes before.
    fn claim(&self, tb: NonNull<Tb>, key: Key, hash: u64) -> Option<NonNull<Tb>> {
        let mut at = hash as usize;
        loop {
            // Acquire: pairs with the Release below in other stripes, whose blocks are looked at.
            let word = self
                .slot(at)
                .load(ordering!(Acquire, "index.claim.find" => "two_stripes_claim"));
            if word.is_null() {
                // Release: pairs with the Acquire in `lookup`.
                let claimed = self.slot(at).compare_exchange(
                    ptr::null_mut(),
                    tagged(tb, hash),
                    ordering!(Release, "index.claim" => "block_is_published"),
                    Relaxed,
                );
                if claimed.is_ok() {
                    self.used.fetch_add(1, Relaxed);
                    return None;
                }
                // Somebody of another stripe took it: look again.
                continue;
            }
            if has_tag(word, hash) && untagged(word).addr() != TOMBSTONE {
                let found = untagged(word);
                // SAFETY: the caller is online.
                let is_same = unsafe { &*found }.key() == key;
                if step!("index.claim.same" => "two_translate_one_block", is_same) {
                    return NonNull::new(found);
                }
            }
            at = at.wrapping_add(1);
        }
    }

    /// Fills the first empty slot; nobody else knows the table yet.
    fn put(&self, word: *mut Tb, hash: u64) {
        let mut at = hash as usize;
        while !self.slot(at).load(Relaxed).is_null() {
            at = at.wrapping_add(1);
        }
        self.slot(at).store(word, Relaxed);
        self.used.fetch_add(1, Relaxed);
    }
}

fn tombstone() -> *mut Tb {
    ptr::without_provenance_mut(TOMBSTONE)
}

fn tagged(tb: NonNull<Tb>, hash: u64) -> *mut Tb {
    let tag = (hash >> TAG_SHIFT) as usize;
    debug_assert!(tb.addr().get() >> TAG_SHIFT == 0);
    tb.as_ptr().map_addr(|addr| addr | tag << TAG_SHIFT)
}

#[inline]
fn untagged(word: *mut Tb) -> *mut Tb {
    word.map_addr(|addr| addr & ((1 << TAG_SHIFT) - 1))
}

#[inline]
fn has_tag(word: *mut Tb, hash: u64) -> bool {
    word.addr() >> TAG_SHIFT == (hash >> TAG_SHIFT) as usize
}
