//! A snapshot that many threads read and few replace.
//!
//! 1. A published value never changes. Replacing it publishes another one; readers go on with the
//!    one they hold.
//! 2. A vCPU reads through its own [`Reader`], which it [`refresh`](Reader::refresh)es at quiescent
//!    points; in between, reading is a plain pointer dereference.
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
use modelled::Slot;

#[cfg(not(hartscope_loom))]
use arc_swap::ArcSwap as Slot;

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
        Reader {
            held: self.load(),
            published: Arc::clone(self),
        }
    }
}

/// One thread's view of a [`Published`] value: stands still until refreshed.
pub struct Reader<T> {
    published: Arc<Published<T>>,
    held: Arc<T>,
}

impl<T> Reader<T> {
    /// Moves to the newest value; gives whether that is another one.
    pub fn refresh(&mut self) -> bool {
        let newest = self.published.load();
        let changed = !Arc::ptr_eq(&newest, &self.held);
        self.held = newest;
        changed
    }
}

impl<T> Deref for Reader<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}
