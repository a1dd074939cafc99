//! The append-only list of participants' slots.
//!
//! 1. A slot is pushed at the head once, fully initialised, and never moves or goes away before the
//!    list does: a walk needs no protection.
//! 2. A slot has one owner at a time. A free slot ([`FREE`]) is claimed by a compare-exchange on
//!    `seen` itself, so the changes of successive owners to that word have one order.
//! 3. Only the owner stores to `seen` and `tag`; anybody loads them.

use std::ptr;

use crate::ordering;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

/// `seen` of a participant that holds no references. Later than every generation, so that
/// comparisons need no special case.
pub(crate) const OFFLINE: u64 = u64::MAX;

/// `seen` of a slot without an owner; later than every generation too.
pub(crate) const FREE: u64 = u64::MAX - 1;

/// What the others see of one participant. Has its cache lines (the prefetcher takes two) to
/// itself: its owner writes it while others scan.
#[repr(align(128))]
pub(crate) struct Slot {
    /// The newest generation at which the owner is known to have held no reference, or
    /// [`OFFLINE`], or [`FREE`].
    pub(crate) seen: AtomicU64,
    /// The owner's label, for reports.
    pub(crate) tag: AtomicU64,
    /// Position, for reports: slots count up from 0.
    pub(crate) index: u32,
    next: *const Slot,
}

/// All slots ever made.
pub(crate) struct SlotList {
    head: AtomicPtr<Slot>,
}

// SAFETY: the list owns its slots; of a published slot only atomics change, `index` and `next` are
// constant.
unsafe impl Send for SlotList {}
// SAFETY: as above.
unsafe impl Sync for SlotList {}

impl SlotList {
    pub(crate) fn new() -> SlotList {
        SlotList {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// A slot for a new owner, in state [`OFFLINE`]: a free one if there is any.
    pub(crate) fn claim(&self) -> &Slot {
        let free = self.iter().find(|slot| {
            // The claim itself needs no ordering: what the former owner did is handed on to
            // scanners by the release sequence that its store of FREE heads, and, once the new
            // owner has stored, by Acquire here and Release there.
            slot.seen
                .compare_exchange(
                    FREE,
                    OFFLINE,
                    ordering!(Acquire, "slots.claim" => "slot_reuse"),
                    Relaxed,
                )
                .is_ok()
        });
        free.unwrap_or_else(|| self.push())
    }

    fn push(&self) -> &Slot {
        let slot = Box::into_raw(Box::new(Slot {
            seen: AtomicU64::new(OFFLINE),
            tag: AtomicU64::new(0),
            index: 0,
            next: ptr::null(),
        }));
        let mut head = self
            .head
            .load(ordering!(Acquire, "slots.push.load" => "hot_add"));
        loop {
            // SAFETY: `slot` is not shared yet.
            unsafe {
                (*slot).next = head;
                (*slot).index = head.as_ref().map_or(0, |below| below.index + 1);
            }
            // Release: pairs with the Acquire loads of `head`; they see the slot initialised.
            match self.head.compare_exchange(
                head,
                slot,
                ordering!(Release, "slots.push" => "hot_add"),
                ordering!(Acquire, "slots.push.retry" => "hot_add"),
            ) {
                // SAFETY: slots live as long as the list.
                Ok(_) => return unsafe { &*slot },
                Err(newer) => head = newer,
            }
        }
    }

    /// Every slot, newest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        // Acquire: pairs with the Release in `push`, also for the slots below the head: pushes are
        // read-modify-writes and continue each other's release sequences.
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
        let mut next: *const Slot = self.head.load(Relaxed);
        while !next.is_null() {
            // SAFETY: made by `Box::into_raw` in `push`; nobody else has the list any more.
            let slot = unsafe { Box::from_raw(next.cast_mut()) };
            next = slot.next;
        }
    }
}
