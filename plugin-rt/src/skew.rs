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

/// What is noted about one publication. Each field is a measurement of its own: nothing is read by way
/// of another, so that `Relaxed` will do.
pub(crate) struct Flip {
    at: Instant,
    taken: AtomicU32,
    /// Nanoseconds since `at`, as are the others.
    first: AtomicU64,
    last: AtomicU64,
    first_block: AtomicU64,
    settled: AtomicU64,
}

impl Default for Flip {
    fn default() -> Flip {
        Flip {
            at: Instant::now(),
            taken: AtomicU32::new(0),
            first: AtomicU64::new(NEVER),
            last: AtomicU64::new(0),
            first_block: AtomicU64::new(NEVER),
            settled: AtomicU64::new(NEVER),
        }
    }
}

impl Flip {
    fn now(&self) -> u64 {
        // Half a millennium of nanoseconds fits.
        self.at.elapsed().as_nanos() as u64
    }

    /// When it was published.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// A vCPU goes by it from now on.
    pub(crate) fn taken(&self) {
        let now = self.now();
        self.first.fetch_min(now, Relaxed);
        self.last.fetch_max(now, Relaxed);
        self.taken.fetch_add(1, Relaxed);
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
    /// How many have gone over to it. One that sleeps does so when it wakes, and one that looks only
    /// after the next publication goes over to that one.
    pub taken: u32,
    /// When the first of them did.
    pub first: Option<Duration>,
    /// When the last of them so far did.
    pub last: Option<Duration>,
    /// When the first block was shown to plugins.
    pub first_block: Option<Duration>,
    /// When no vCPU was running code of before any more: they had gone over, or slept.
    pub settled: Option<Duration>,
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
        let time = |word: &AtomicU64| match word.load(Relaxed) {
            NEVER => None,
            nanoseconds => Some(Duration::from_nanos(nanoseconds)),
        };
        let first = time(&flip.first);
        Attach {
            plugin: self.plugin,
            vcpus: self.vcpus,
            taken: flip.taken.load(Relaxed),
            first,
            last: first.and_then(|_| time(&flip.last)),
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
        assert_eq!((untouched.taken, untouched.first), (0, None));
        assert_eq!((untouched.last, untouched.settled), (None, None));
        record.flip.taken();
        record.flip.taken();
        record.flip.settled();
        let attach = record.read();
        assert_eq!(attach.taken, 2);
        assert!(attach.first <= attach.last && attach.last <= attach.settled);
        assert_eq!(attach.first_block, None);
    }
}
