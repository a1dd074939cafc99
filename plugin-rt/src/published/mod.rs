//! A snapshot that many threads read and few replace.
//!
//! 1. A published value never changes. Replacing it publishes another one; readers go on with the
//!    one they hold.
//! 2. A vCPU reads through its own [`Reader`], which it [`refresh`](Reader::refresh)es at quiescent
//!    points; in between, reading is a plain pointer dereference. Refreshing writes to no shared memory
//!    unless there is a newer value.
//! 3. Replaced values are dropped on any thread, at any time after the last reader let go. So they
//!    hold no code to run on drop that belongs to somebody else (a plugin): what must happen last
//!    and once is a job of the epoch domain, retired *after* the publication.
//!
//! The standard arm is `arc_swap`; models have an arm of their own, since loom cannot see into it.
//! They check how `Published` is used, not `arc_swap`.

use std::ops::Deref;
use std::sync::Arc;

#[cfg(hartscope_loom)]
mod modelled;
#[cfg(hartscope_loom)]
use modelled::{Cache, Slot};

#[cfg(not(hartscope_loom))]
use arc_swap::{ArcSwap as Slot, Cache};

/// The place where a value is published.
pub struct Published<T> {
    slot: Slot<T>,
}

impl<T> Published<T> {
    /// Publishes the first value.
    pub fn new(value: T) -> Published<T> {
        Published {
            slot: Slot::from_pointee(value),
        }
    }

    /// Replaces the value for those who refresh from now on.
    pub fn publish(&self, value: T) {
        self.slot.store(Arc::new(value));
    }

    /// The newest value.
    pub fn load(&self) -> Arc<T> {
        self.slot.load_full()
    }

    /// A reader's handle, fresh.
    pub fn reader(self: &Arc<Self>) -> Reader<T> {
        let mut cache = Cache::new(Source(Arc::clone(self)));
        Reader {
            held: Arc::clone(cache.load()),
            cache,
        }
    }
}

/// Where a cache looks for newer values.
struct Source<T>(Arc<Published<T>>);

impl<T> Deref for Source<T> {
    type Target = Slot<T>;

    fn deref(&self) -> &Slot<T> {
        &self.0.slot
    }
}

/// One thread's view of a [`Published`] value: stands still until refreshed.
pub struct Reader<T> {
    cache: Cache<Source<T>, Arc<T>>,
    held: Arc<T>,
}

impl<T> Reader<T> {
    /// Whether there is a newer value.
    #[inline]
    pub fn is_behind(&mut self) -> bool {
        !Arc::ptr_eq(self.cache.load(), &self.held)
    }

    /// Moves to the newest value; gives whether that is another one.
    #[inline]
    pub fn refresh(&mut self) -> bool {
        let newest = self.cache.load();
        let changed = !Arc::ptr_eq(newest, &self.held);
        if changed {
            self.held = Arc::clone(newest);
        }
        changed
    }
}

impl<T> Deref for Reader<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.held
    }
}
