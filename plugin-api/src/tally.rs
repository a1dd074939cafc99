//! A table of numbers by key for each vCPU, that its callbacks fill without a lock.
//!
//! 1. A vCPU's table is written by that vCPU alone, so by one thread at a time. Others only read.
//! 2. A slot's key is stored last when it is taken (release) and never changed; readers load it first
//!    (acquire). Key 0 means free, so keys are stored plus one.
//! 3. A full table is replaced by one of twice the size. Who reads the old one sees numbers that have
//!    stopped; all tables are freed with the tally, which callbacks borrow.

use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::board::{Scoreboard, U64};
use crate::vcpu::{Access, InCallback, Vcpu};

/// `N` numbers for each key that occurs, and for each vCPU. The key `u64::MAX` cannot occur.
pub struct Tally<const N: usize> {
    current: Scoreboard<AtomicPtr<Table<N>>>,
    /// All tables that were ever made; locked only when one is made.
    tables: Mutex<Vec<Owned<N>>>,
}

/// A table, by the pointer that the scoreboard shares.
struct Owned<const N: usize>(*mut Table<N>);

// SAFETY: a box in disguise, of a type that any thread may drop.
unsafe impl<const N: usize> Send for Owned<N> {}

impl<const N: usize> Drop for Owned<N> {
    fn drop(&mut self) {
        // SAFETY: it was boxed, and nobody borrows the tally any more.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

struct Table<const N: usize> {
    /// A power of two, a quarter of them free at least.
    slots: Box<[Slot<N>]>,
    used: U64,
}

struct Slot<const N: usize> {
    key_plus_one: AtomicU64,
    numbers: [U64; N],
}

/// One vCPU's part of a [`Tally`].
pub struct TallyOf<'cb, const N: usize> {
    tally: &'cb Tally<N>,
    current: &'cb AtomicPtr<Table<N>>,
}

const FIRST_CAPACITY: usize = 256;

impl<const N: usize> Tally<N> {
    /// An empty one.
    pub fn new() -> Tally<N> {
        Tally {
            current: Scoreboard::new(),
            tables: Mutex::new(Vec::new()),
        }
    }

    /// The vCPU's own.
    #[inline]
    pub fn of<'cb, A: Access>(&'cb self, cpu: &'cb Vcpu<'_, A>) -> TallyOf<'cb, N> {
        TallyOf {
            tally: self,
            current: self.current.of(cpu),
        }
    }

    /// Shows everything: vCPU, key, numbers. The vCPUs may be running.
    pub fn for_each(&self, token: &impl InCallback, mut f: impl FnMut(u32, u64, [u64; N])) {
        for (index, current) in self.current.all(token).enumerate() {
            // Acquire pairs with the release in `replace`.
            let table = current.load(Ordering::Acquire);
            // SAFETY: null, or a table that lives as long as the tally.
            let Some(table) = (unsafe { table.as_ref() }) else {
                continue;
            };
            for slot in &table.slots {
                // Acquire pairs with the release in `TallyOf::of`.
                let key_plus_one = slot.key_plus_one.load(Ordering::Acquire);
                if key_plus_one != 0 {
                    f(
                        index as u32,
                        key_plus_one - 1,
                        std::array::from_fn(|i| slot.numbers[i].get()),
                    );
                }
            }
        }
    }

    /// Makes a table with room, in place of the one that has none. Called by the vCPU whose it is.
    #[cold]
    fn replace(&self, current: &AtomicPtr<Table<N>>) -> *mut Table<N> {
        let old = current.load(Ordering::Relaxed);
        // SAFETY: null, or a table that lives as long as the tally.
        let new = match unsafe { old.as_ref() } {
            None => Table::with_capacity(FIRST_CAPACITY),
            Some(old) => old.twice_as_large(),
        };
        let new = Box::into_raw(Box::new(new));
        let mut tables = self
            .tables
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        tables.push(Owned(new));
        // Release pairs with the acquire in `for_each`: the table's contents come with it.
        current.store(new, Ordering::Release);
        new
    }
}

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Tally::new()
    }
}

impl<'cb, const N: usize> TallyOf<'cb, N> {
    /// The numbers of a key, 0 at first.
    #[inline]
    pub fn of(&self, key: u64) -> &'cb [U64; N] {
        debug_assert!(key != u64::MAX);
        let mut table = self.current.load(Ordering::Relaxed);
        loop {
            // SAFETY: null, or a table that lives as long as the tally, which 'cb borrows.
            if let Some(table) = unsafe { table.as_ref::<'cb>() } {
                let slot = table.probe(key);
                if slot.key_plus_one.load(Ordering::Relaxed) != 0 {
                    return &slot.numbers;
                }
                if table.has_room() {
                    table.used.add(1);
                    // Release pairs with the acquire in `for_each`.
                    slot.key_plus_one.store(key + 1, Ordering::Release);
                    return &slot.numbers;
                }
            }
            table = self.tally.replace(self.current);
        }
    }
}

impl<const N: usize> Table<N> {
    fn with_capacity(capacity: usize) -> Table<N> {
        let slot = || Slot {
            key_plus_one: AtomicU64::new(0),
            numbers: std::array::from_fn(|_| U64::default()),
        };
        Table {
            slots: std::iter::repeat_with(slot).take(capacity).collect(),
            used: U64::default(),
        }
    }

    fn twice_as_large(&self) -> Table<N> {
        let new = Table::with_capacity(2 * self.slots.len());
        new.used.set(self.used.get());
        for slot in &self.slots {
            let key_plus_one = slot.key_plus_one.load(Ordering::Relaxed);
            if key_plus_one != 0 {
                let copy = new.probe(key_plus_one - 1);
                copy.key_plus_one.store(key_plus_one, Ordering::Relaxed);
                for (to, from) in copy.numbers.iter().zip(&slot.numbers) {
                    to.set(from.get());
                }
            }
        }
        new
    }

    fn has_room(&self) -> bool {
        4 * (self.used.get() as usize + 1) <= 3 * self.slots.len()
    }

    /// The key's slot, or the free one where it belongs: there is always one.
    #[inline]
    fn probe(&self, key: u64) -> &Slot<N> {
        let mask = self.slots.len() - 1;
        // Fibonacci hashing: the product's high half depends on all bits of the key.
        let mut index = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        loop {
            let slot = &self.slots[index & mask];
            let found = slot.key_plus_one.load(Ordering::Relaxed);
            if found == 0 || found == key + 1 {
                return slot;
            }
            index += 1;
        }
    }
}
