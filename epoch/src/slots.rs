//! The append-only list of participants' slots.
//!
//! 1. A slot is pushed at the head once, fully initialised, and never moves or goes away before the
//!    list does: a walk needs neither lock nor protection.
//! 2. A slot has one owner at a time. Owners come and go under the registry's lock, which orders
//!    everything that successive owners do; an ownerless slot is [`OFFLINE`].
//! 3. Only the owner stores to `seen` and `tag`; anybody loads them.

use std::ptr::{self, NonNull};

use crate::ordering;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicPtr, AtomicU64};

/// `seen` of a participant that holds no references. Later than every generation, so that
/// comparisons need no special case.
pub(crate) const OFFLINE: u64 = u64::MAX;

/// What the others see of one participant. Has its cache lines (the prefetcher takes two) to
/// itself: its owner writes it while others scan.
#[repr(align(128))]
pub(crate) struct Slot {
    /// The newest generation at which the owner is known to have held no reference, or
    /// [`OFFLINE`].
    pub(crate) seen: AtomicU64,
    /// The owner's label, for reports.
    pub(crate) tag: AtomicU64,
    /// Position, for reports: slots count up from 0.
    pub(crate) index: u32,
    next: *const Slot,
}

/// All slots ever made.
pub(crate) struct SlotList {
    /// The newest slot. Only walks load it.
    head: AtomicPtr<Slot>,
    registry: Mutex<Registry>,
}

struct Registry {
    newest: *const Slot,
    made: u32,
    free: Vec<NonNull<Slot>>,
}

// SAFETY: the list owns its slots; of a published slot only atomics change, `index` and `next` are
// constant.
unsafe impl Send for SlotList {}
// SAFETY: as above; the registry's pointers are used under its lock.
unsafe impl Sync for SlotList {}

impl SlotList {
    pub(crate) fn new() -> SlotList {
        SlotList {
            head: AtomicPtr::new(ptr::null_mut()),
            registry: Mutex::new(Registry {
                newest: ptr::null(),
                made: 0,
                free: Vec::new(),
            }),
        }
    }

    /// An offline slot for a new owner. It lives as long as the list.
    pub(crate) fn claim(&self) -> NonNull<Slot> {
        let mut registry = self.registry.lock();
        if let Some(slot) = registry.free.pop() {
            return slot;
        }
        let slot = NonNull::from(Box::leak(Box::new(Slot {
            seen: AtomicU64::new(OFFLINE),
            tag: AtomicU64::new(0),
            index: registry.made,
            next: registry.newest,
        })));
        registry.made += 1;
        registry.newest = slot.as_ptr();
        // Release: pairs with the Acquire in `iter`; who finds the slot finds it initialised.
        self.head
            .store(slot.as_ptr(), ordering!(Release, "slots.push" => "hot_add"));
        slot
    }

    /// Ends the ownership of a slot, which is offline.
    pub(crate) fn release(&self, slot: NonNull<Slot>) {
        self.registry.lock().free.push(slot);
    }

    /// Every slot, newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        // Acquire: pairs with the Release in `claim`, also for the slots below: the lock orders the
        // pushes.
        let mut next: *const Slot = self
            .head
            .load(ordering!(Acquire, "slots.iter" => "hot_add"));
        std::iter::from_fn(move || {
            // SAFETY: null, or a slot that was initialised before it became reachable and lives as
            // long as the list.
            let slot = unsafe { next.as_ref() }?;
            next = slot.next;
            Some(slot)
        })
    }
}

impl Drop for SlotList {
    fn drop(&mut self) {
        let mut next = self.registry.get_mut().newest;
        while !next.is_null() {
            // SAFETY: leaked by `claim`; nobody else has the list any more.
            let slot = unsafe { Box::from_raw(next.cast_mut()) };
            next = slot.next;
        }
    }
}
