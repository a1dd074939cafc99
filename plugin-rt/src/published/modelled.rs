//! The arm of [`Published`](super::Published) that loom explores.
//!
//! A pointer that is stored and loaded with the orderings that `arc_swap` promises. Snapshots stay
//! until the slot is dropped, and each holds a cell that publishing writes and loading reads, so
//! that loom sees whether a reader may look inside. A mutex would add orderings that hide bugs.

use std::ops::Deref;
use std::sync::{Arc, Mutex as UntrackedMutex, PoisonError};

use epoch::ordering;
use epoch::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use epoch::sync::cell::UnsafeCell;

struct Snapshot<T> {
    contents: UnsafeCell<Option<Arc<T>>>,
}

pub(super) struct Slot<T> {
    current: AtomicPtr<Snapshot<T>>,
    /// Boxes, so that snapshots stay where they are.
    #[expect(clippy::vec_box, reason = "readers hold addresses of snapshots")]
    kept: UntrackedMutex<Vec<Box<Snapshot<T>>>>,
}

// SAFETY: a snapshot's contents are written before it is published, and only read afterwards.
unsafe impl<T: Send + Sync> Send for Slot<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Slot<T> {}

impl<T> Slot<T> {
    pub(super) fn from_pointee(value: T) -> Slot<T> {
        let slot = Slot {
            current: AtomicPtr::new(std::ptr::null_mut()),
            kept: UntrackedMutex::new(Vec::new()),
        };
        slot.store(Arc::new(value));
        slot
    }

    pub(super) fn store(&self, value: Arc<T>) {
        let mut snapshot = Box::new(Snapshot {
            contents: UnsafeCell::new(None),
        });
        snapshot.contents.with_mut(|contents| {
            // SAFETY: nobody else has the snapshot yet.
            unsafe { *contents = Some(value) };
        });
        let address: *mut Snapshot<T> = &mut *snapshot;
        self.kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(snapshot);
        // Release: pairs with the Acquire in `load_full`.
        self.current.store(
            address,
            ordering!(Release, "published.store" => "set_is_replaced"),
        );
    }

    pub(super) fn load_full(&self) -> Arc<T> {
        self.load().1
    }

    /// The newest value, and what tells it from others.
    fn load(&self) -> (*const Snapshot<T>, Arc<T>) {
        // Acquire: pairs with the Release in `store`; the snapshot's contents are complete.
        let snapshot = self
            .current
            .load(ordering!(Acquire, "published.load" => "set_is_replaced"));
        // SAFETY: snapshots are kept until the slot is dropped.
        let snapshot = unsafe { &*snapshot };
        snapshot.contents.with(|contents| {
            // SAFETY: written before the snapshot was published, which loom checks.
            let contents = unsafe { &*contents };
            let contents = contents.clone();
            (
                std::ptr::from_ref(snapshot),
                contents.expect("a published snapshot has contents"),
            )
        })
    }
}

/// A reader's copy, replaced when there is a newer one.
pub(super) struct Cache<S, A> {
    source: S,
    held: A,
    /// What tells the held value from others. An address only.
    token: usize,
}

impl<T, S: Deref<Target = Slot<T>>> Cache<S, Arc<T>> {
    pub(super) fn new(source: S) -> Self {
        let (token, held) = source.load();
        Cache {
            source,
            held,
            token: token.addr(),
        }
    }

    pub(super) fn load(&mut self) -> &Arc<T> {
        // Relaxed: only whether it has changed. If so, `load` acquires.
        if self.source.current.load(Relaxed).addr() != self.token {
            let (token, held) = self.source.load();
            (self.token, self.held) = (token.addr(), held);
        }
        &self.held
    }
}
