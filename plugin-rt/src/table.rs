//! Plugins by slot: what a callback's context says is looked up without a lock.
//!
//! Whoever looks up a slot has learnt of it from a callback's subscription, by way of a publication that
//! came after the slot was filled. So a slot's own loads and stores need no ordering.

use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use crate::plugin::Plugin;

/// How many plugins there may be at a time.
pub(crate) const MAX_PLUGINS: usize = 1024;

/// The plugins that are there. Slots are given out and taken back under the registry's lock.
pub(crate) struct Table {
    slots: Box<[AtomicPtr<Plugin>]>,
}

impl Table {
    pub(crate) fn new() -> Table {
        let empty = || AtomicPtr::new(ptr::null_mut());
        Table {
            slots: std::iter::repeat_with(empty).take(MAX_PLUGINS).collect(),
        }
    }

    /// Puts in the plugin that `make` makes for a free slot.
    pub(crate) fn insert(&self, make: impl FnOnce(u16) -> Arc<Plugin>) -> Option<Arc<Plugin>> {
        let mut slots = self.slots.iter();
        let free = slots.position(|slot| slot.load(Relaxed).is_null())?;
        let plugin = make(free as u16);
        self.slots[free].store(Arc::as_ptr(&plugin).cast_mut(), Relaxed);
        Some(plugin)
    }

    /// The plugin in a slot. It lives as long as one of its callbacks runs.
    #[inline]
    pub(crate) fn get(&self, slot: u16) -> Option<NonNull<Plugin>> {
        NonNull::new(self.slots.get(usize::from(slot))?.load(Relaxed))
    }

    /// Puts a plugin into its slot, in the place of the one that it was.
    pub(crate) fn replace(&self, plugin: &Arc<Plugin>) {
        self.slots[usize::from(plugin.slot())].store(Arc::as_ptr(plugin).cast_mut(), Relaxed);
    }

    /// Empties the plugin's slot.
    pub(crate) fn remove(&self, plugin: &Plugin) {
        self.slots[usize::from(plugin.slot())].store(ptr::null_mut(), Relaxed);
    }
}
