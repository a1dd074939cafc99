//! How long after a publication each vCPU goes by it.
//!
//! A publication is one store, and from then on it is true; what takes time is that vCPUs look. Each
//! of them notes when it has, without a lock: it is its first quiescent point since.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::plugin::PluginId;

/// Nobody yet.
const NEVER: u64 = u64::MAX;

/// What a publication was made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// A plugin counts from now on.
    Attach,
    /// One is not called any more.
    Detach,
    /// Something else.
    #[default]
    Other,
}

/// What is noted about one publication. Each field is a measurement of its own: nothing is read by way
/// of another, so that `Relaxed` will do.
pub(crate) struct Flip {
    at: Instant,
    change: Change,
    /// Whose first events are awaited.
    attached: Option<PluginId>,
    /// The first quiescent points since.
    taken: Moments,
    /// The first events of the plugin that has been attached.
    events: Moments,
    /// Nanoseconds since `at`, as are the others.
    first_block: AtomicU64,
    settled: AtomicU64,
}

/// When each vCPU has done something.
struct Moments {
    number: AtomicU32,
    /// Nanoseconds since the publication.
    first: AtomicU64,
    last: AtomicU64,
}

impl Moments {
    const fn none() -> Moments {
        Moments {
            number: AtomicU32::new(0),
            first: AtomicU64::new(NEVER),
            last: AtomicU64::new(0),
        }
    }

    fn note(&self, now: u64) {
        self.first.fetch_min(now, Relaxed);
        self.last.fetch_max(now, Relaxed);
        self.number.fetch_add(1, Relaxed);
    }

    fn read(&self) -> Spread {
        let first = time(&self.first);
        Spread {
            vcpus: self.number.load(Relaxed),
            first,
            last: first.and_then(|_| time(&self.last)),
        }
    }
}

fn time(word: &AtomicU64) -> Option<Duration> {
    match word.load(Relaxed) {
        NEVER => None,
        nanoseconds => Some(Duration::from_nanos(nanoseconds)),
    }
}

impl Default for Flip {
    fn default() -> Flip {
        Flip::new(Change::Other, None)
    }
}

impl Flip {
    /// Now.
    pub(crate) fn new(change: Change, attached: Option<PluginId>) -> Flip {
        Flip {
            at: Instant::now(),
            change,
            attached,
            taken: Moments::none(),
            events: Moments::none(),
            first_block: AtomicU64::new(NEVER),
            settled: AtomicU64::new(NEVER),
        }
    }

    fn now(&self) -> u64 {
        // Half a millennium of nanoseconds fits.
        self.at.elapsed().as_nanos() as u64
    }

    /// When it was published.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// What it was for.
    pub(crate) fn change(&self) -> Change {
        self.change
    }

    /// The plugin that is attached by it.
    pub(crate) fn attached(&self) -> Option<PluginId> {
        self.attached
    }

    /// A vCPU goes by it from now on.
    pub(crate) fn taken(&self) {
        self.taken.note(self.now());
    }

    /// The attached plugin has its first event on a vCPU.
    pub(crate) fn first_event(&self) {
        self.events.note(self.now());
    }

    /// A block is shown to plugins.
    #[inline]
    pub(crate) fn shows_block(&self) {
        if self.first_block.load(Relaxed) == NEVER {
            self.first_block.fetch_min(self.now(), Relaxed);
        }
    }

    /// Nobody goes by an earlier one any more.
    pub(crate) fn settled(&self) {
        self.settled.fetch_min(self.now(), Relaxed);
    }
}

/// How an attachment has come about so far. All times are from its publication on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attach {
    /// Whose.
    pub plugin: PluginId,
    /// How many vCPUs there were then.
    pub vcpus: u32,
    /// Those that have gone over to it. One that sleeps does so when it wakes, and one that looks only
    /// after the next publication goes over to that one.
    pub taken: Spread,
    /// Those on which it has been called, or has had a block run that it has instrumented.
    pub events: Spread,
    /// When the first block was shown to plugins.
    pub first_block: Option<Duration>,
    /// When no vCPU was running code of before any more: they had gone over, or slept.
    pub settled: Option<Duration>,
}

/// What vCPUs have done so far, each at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// How many.
    pub vcpus: u32,
    /// When the first of them did.
    pub first: Option<Duration>,
    /// When the last of them so far did.
    pub last: Option<Duration>,
}

impl Spread {
    /// From the first to the last.
    pub fn skew(&self) -> Option<Duration> {
        Some(self.last?.saturating_sub(self.first?))
    }
}

/// What is kept of the last attachment.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) plugin: PluginId,
    pub(crate) vcpus: u32,
    pub(crate) flip: Arc<Flip>,
}

impl Record {
    /// What has been noted so far.
    pub(crate) fn read(&self) -> Attach {
        let flip = &self.flip;
        Attach {
            plugin: self.plugin,
            vcpus: self.vcpus,
            taken: flip.taken.read(),
            events: flip.events.read(),
            first_block: time(&flip.first_block),
            settled: time(&flip.settled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_not_happened_has_no_time() {
        let record = Record {
            plugin: PluginId(1),
            vcpus: 2,
            flip: Arc::default(),
        };
        let untouched = record.read();
        assert_eq!((untouched.taken.vcpus, untouched.taken.first), (0, None));
        assert_eq!((untouched.taken.last, untouched.settled), (None, None));
        assert_eq!(untouched.taken.skew(), None);
        record.flip.taken();
        record.flip.taken();
        record.flip.settled();
        let attach = record.read();
        let Spread { vcpus, first, last } = attach.taken;
        assert_eq!(vcpus, 2);
        assert!(first <= last && last <= attach.settled);
        assert_eq!(attach.events, untouched.events);
        assert_eq!(attach.first_block, None);
    }
}
