//! Holding the other threads still while the process is forked.
//!
//! The child gets a copy of memory as it is at that moment. A plugin's lock that another thread holds in
//! a callback would stay locked in the child for ever, and what a callback is about to add would never
//! be added. So nobody is in a callback then. (Nothing of hartscope's own needs this, and without plugins
//! nobody waits.)
//!
//! 1. A thread is *outside* while it can call nobody back: in a host call that may block, or waiting
//!    here. It says so itself, and comes back only through an open gate.
//! 2. Whoever forks closes the gate, kicks those that are inside, and waits until all others are
//!    outside. Then it forks, and opens the gate. Parent and child have gates of their own.
//! 3. Who waits for others to be outside ([`Gate::wait_until`]) is woken by each that goes there, and by
//!    each that goes away for good ([`Gate::look_again`]).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the others are waited for. One may be in a callback that never returns.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether a thread is outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outside(Arc<AtomicBool>);

impl Outside {
    pub(crate) fn is_outside(&self) -> bool {
        // SeqCst: see `Gate::go_outside`.
        self.0.load(Ordering::SeqCst)
    }

    /// Whether both are the same thread's.
    pub(crate) fn is_same(&self, other: &Outside) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The gate of a process.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    /// How many wait for others to be outside.
    watchers: AtomicU32,
    waiting: Mutex<()>,
    opened: Condvar,
    moved: Condvar,
}

impl Gate {
    /// The thread can call nobody back from now on.
    pub(crate) fn go_outside(&self, own: &Outside) {
        // SeqCst: either who waits sees this thread outside, or this thread sees that somebody waits
        // (`wait_until`): a store before a load, on both sides.
        own.0.store(true, Ordering::SeqCst);
        if self.watchers.load(Ordering::SeqCst) != 0 {
            self.look_again();
        }
    }

    /// Something has changed that somebody may wait for.
    pub(crate) fn look_again(&self) {
        // Under the lock, so that nobody goes to sleep between looking and waiting.
        drop(self.lock());
        self.moved.notify_all();
    }

    /// Waits until `done`, which is about who is outside, for `most` at the longest.
    pub(crate) fn wait_until(&self, most: Duration, done: impl Fn() -> bool) {
        let deadline = Instant::now() + most;
        // SeqCst: see `go_outside`.
        self.watchers.fetch_add(1, Ordering::SeqCst);
        let mut waiting = self.lock();
        while !done() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.moved.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(waiting);
        self.watchers.fetch_sub(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        // It guards nothing that could be half done.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what may take long, outside.
    pub(crate) fn outside<R>(&self, own: &Outside, work: impl FnOnce() -> R) -> R {
        self.go_outside(own);
        let result = work();
        self.come_back(own);
        result
    }

    /// Whether somebody wants the thread outside.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Comes in, through an open gate.
    pub(crate) fn come_back(&self, own: &Outside) {
        loop {
            // SeqCst, as all of these: either this thread sees the gate closed, or whoever closes it
            // sees this thread inside (`close`).
            own.0.store(false, Ordering::SeqCst);
            if !self.closed.load(Ordering::SeqCst) {
                return;
            }
            self.go_outside(own);
            let mut waiting = self.lock();
            while self.closed.load(Ordering::Relaxed) {
                let woken = self.opened.wait(waiting);
                waiting = woken.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Closes the gate for the thread of `own`; others that want to do the same have their turn first.
    /// `others` are waited for, after they have been made to come here.
    pub(crate) fn close(&self, own: &Outside, others: impl Fn() -> Vec<Outside>) -> Closed<'_> {
        // SeqCst: see `come_back`.
        while self.closed.swap(true, Ordering::SeqCst) {
            self.outside(own, || ());
        }
        let is_outside = |other: &Outside| {
            // Being outside is published by the store in `go_outside`.
            other.is_same(own) || other.is_outside()
        };
        self.wait_until(PATIENCE, || others().iter().all(is_outside));
        Closed(self)
    }
}

/// While this lives the gate is closed.
pub(crate) struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let waiting = self.0.lock();
        // Under the lock, so that nobody goes to sleep between. Release: who sees the gate open sees
        // what was done behind it.
        self.0.closed.store(false, Ordering::Release);
        self.0.opened.notify_all();
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn nobody_is_inside_while_the_gate_is_closed() {
        const ROUNDS: u32 = 200;
        let gate = Gate::default();
        let (words, done) = (
            [AtomicU64::new(0), AtomicU64::new(0)],
            AtomicBool::new(false),
        );
        let threads: Vec<Outside> = (0..4).map(|_| Outside::default()).collect();
        std::thread::scope(|scope| {
            let (gate, words, done, threads) = (&gate, &words, &done, &threads);
            for own in &threads[..2] {
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        // Inside, the two words differ for a while.
                        words[0].fetch_add(1, Ordering::Relaxed);
                        std::hint::spin_loop();
                        words[1].fetch_add(1, Ordering::Relaxed);
                        gate.outside(own, std::thread::yield_now);
                    }
                    // A thread that ends is outside.
                    gate.go_outside(own);
                });
            }
            let forks = threads[2..].iter().map(|own| {
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        let closed = gate.close(own, || threads.clone());
                        let [first, second] =
                            words.each_ref().map(|word| word.load(Ordering::Relaxed));
                        assert_eq!(first, second);
                        drop(closed);
                    }
                    gate.go_outside(own);
                })
            });
            let forks: Vec<_> = forks.collect();
            for fork in forks {
                fork.join().expect("no assertion failed");
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}
