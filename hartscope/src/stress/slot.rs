//! Slots: each is for one kind of subscriber, which is attached there or is not.

use std::ffi::OsStr;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use plugin_rt::{PluginId, Spec};

use super::witness::Kind;

/// What a slot is for.
pub enum What {
    /// A built-in counter.
    Witness(Kind),
    /// A plugin. It is not attached again before its library has been closed.
    Plugin(Spec),
}

/// See the module. Any thread may ask for anything at any time; one of them gets it.
pub struct Slot {
    what: What,
    /// The subscriber's id, [`EMPTY`] or [`TAKEN`]. Says only whom to ask about: hence `Relaxed`.
    id: AtomicU64,
}

/// Nothing is attached. (No subscriber's id.)
const EMPTY: u64 = 0;
/// Somebody attaches.
const TAKEN: u64 = u64::MAX;

impl Slot {
    pub fn new(what: What) -> Slot {
        Slot {
            what,
            id: AtomicU64::new(EMPTY),
        }
    }

    pub fn what(&self) -> &What {
        &self.what
    }

    /// Makes the caller the one who attaches. If it says so, [`Slot::fill`] is due.
    pub fn take(&self) -> bool {
        self.id
            .compare_exchange(EMPTY, TAKEN, Relaxed, Relaxed)
            .is_ok()
    }

    /// Who has taken the slot has attached this one, or has failed.
    pub fn fill(&self, id: Option<PluginId>) {
        self.id.store(id.map_or(EMPTY, |id| id.0), Relaxed);
    }

    /// Who is attached.
    pub fn id(&self) -> Option<PluginId> {
        match self.id.load(Relaxed) {
            EMPTY | TAKEN => None,
            id => Some(PluginId(id)),
        }
    }

    /// This one is attached no more.
    pub fn clear(&self, id: PluginId) {
        // Somebody else may have cleared it, and another one may be there.
        let _ = self.id.compare_exchange(id.0, EMPTY, Relaxed, Relaxed);
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Witness(kind) => kind.name().fmt(f),
            What::Plugin(spec) => OsStr::new(&spec.path).display().fmt(f),
        }
    }
}
