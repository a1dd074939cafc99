//! A histogram that one thread adds to and any thread reads, without locks.
//!
//! 1. The buckets are those of an HdrHistogram of [`DIGITS`] digits from 1 to [`MOST`], so that a
//!    reader's copy becomes one without loss.
//! 2. One thread at a time adds: an addition is a load and a store, and never waits for a reader.
//! 3. Counts only grow. What happened in an interval is the difference of two copies; a reader that
//!    comes while a count grows finds the addition in this interval or in the next.
//! 4. A histogram takes memory from its first addition on.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use hdrhistogram::Histogram;

/// Significant decimal digits of what is recorded.
const DIGITS: u8 = 2;

/// Buckets of one length: the power of two that tells numbers of [`DIGITS`] digits apart, twice, as
/// the histogram has it.
const LEN: u64 = 256;

const HALF: usize = LEN as usize / 2;

/// The longest time, in nanoseconds (more than an hour); what is longer counts as this.
pub const MOST: u64 = (1 << 42) - 1;

const BUCKETS: usize = index(MOST) + 1;

/// The bucket of a value that is at most [`MOST`].
const fn index(value: u64) -> usize {
    let shift = (value | (LEN - 1)).ilog2() - (LEN - 1).ilog2();
    shift as usize * HALF + (value >> shift) as usize
}

/// The least value of a bucket.
const fn value(index: usize) -> u64 {
    match index.checked_sub(LEN as usize) {
        None => index as u64,
        Some(above) => ((above % HALF + HALF) as u64) << (above / HALF + 1),
    }
}

/// What is added to.
#[derive(Default)]
pub struct Buckets(OnceLock<Box<[AtomicU64]>>);

impl Buckets {
    /// An empty one.
    pub const fn new() -> Buckets {
        Buckets(OnceLock::new())
    }

    /// One more of `value`, in nanoseconds. By one thread at a time (rule 2); not in a signal handler,
    /// since the first addition allocates.
    #[inline]
    pub fn add(&self, value: u64) {
        let counts = self
            .0
            .get_or_init(|| (0..BUCKETS).map(|_| AtomicU64::new(0)).collect());
        let count = &counts[index(value.min(MOST))];
        // Relaxed, also below: each count is a word of its own (rule 3).
        count.store(count.load(Relaxed) + 1, Relaxed);
    }

    /// The counts as of now.
    pub fn copy(&self) -> Counts {
        let counts = self.0.get().into_iter().flatten();
        Counts(counts.map(|count| count.load(Relaxed)).collect())
    }
}

/// The host's monotonic clock in nanoseconds; never 0. May be called in a signal handler.
#[inline]
pub fn now() -> u64 {
    clock(libc::CLOCK_MONOTONIC).max(1)
}

/// Processor time of the calling thread so far, in nanoseconds.
pub fn thread_cpu_time() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

#[inline]
fn clock(which: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is there to be filled in. These clocks always exist.
    unsafe { libc::clock_gettime(which, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(Box<[u64]>);

impl Counts {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&count| count == 0)
    }

    /// What has been added since `earlier`, a copy of the same.
    pub fn since(&self, earlier: &Counts) -> Counts {
        let before = earlier.0.iter().copied().chain(std::iter::repeat(0));
        let counts = self.0.iter().zip(before);
        Counts(
            counts
                .map(|(now, before)| now.wrapping_sub(before))
                .collect(),
        )
    }

    /// The same as a histogram of nanoseconds.
    pub fn histogram(&self) -> Histogram<u64> {
        let Ok(mut histogram) = Histogram::new_with_bounds(1, MOST, DIGITS) else {
            unreachable!("these bounds are good");
        };
        for (index, &count) in self.0.iter().enumerate().filter(|&(_, &count)| count != 0) {
            histogram.saturating_record_n(value(index), count);
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Powers of two with their neighbours, and numbers between.
    fn values() -> impl Iterator<Item = u64> {
        (0..42).flat_map(|bit| {
            let power = 1_u64 << bit;
            [power - 1, power, power + 1, power + power / 3]
        })
    }

    #[test]
    fn buckets_are_those_of_a_histogram() {
        for recorded in values() {
            let buckets = Buckets::new();
            buckets.add(recorded);
            let mut expected = Histogram::<u64>::new_with_bounds(1, MOST, DIGITS).unwrap();
            expected.record(recorded).unwrap();
            assert_eq!(buckets.copy().histogram(), expected, "{recorded}");
            let least = value(index(recorded));
            assert_eq!(least, expected.lowest_equivalent(recorded), "{recorded}");
        }
        assert_eq!(index(value(BUCKETS - 1)), BUCKETS - 1);
    }

    #[test]
    fn what_is_too_long_counts_as_the_longest() {
        let buckets = Buckets::new();
        buckets.add(u64::MAX);
        assert_eq!(buckets.copy().histogram().len(), 1);
        assert!(buckets.copy().histogram().max() >= value(BUCKETS - 1));
    }

    #[test]
    fn an_interval_is_the_difference_of_two_copies() {
        let buckets = Buckets::new();
        buckets.add(7);
        let first = buckets.copy();
        buckets.add(7);
        buckets.add(1_000_000);
        let interval = buckets.copy().since(&first).histogram();
        assert_eq!((interval.len(), interval.min()), (2, 7));
        assert_eq!(first.since(&Counts::default()), first);
    }
}
