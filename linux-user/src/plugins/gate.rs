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

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long the others are waited for. One may be in a callback that never returns.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it takes a thread to get outside, about.
const SOON: Duration = Duration::from_micros(50);

/// Whether a thread is outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outside(Arc<AtomicBool>);

impl Outside {
    pub(crate) fn is_outside(&self) -> bool {
        // Acquire: pairs with the Release of who goes outside.
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn go_outside(&self) {
        // Release: what callbacks have done is seen by whoever forks.
        self.0.store(true, Ordering::Release);
    }
}

/// The gate of a process.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicBool,
    waiting: Mutex<()>,
    opened: Condvar,
}

impl Gate {
    /// Does what may take long, outside.
    pub(crate) fn outside<R>(&self, own: &Outside, work: impl FnOnce() -> R) -> R {
        own.go_outside();
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
            own.0.store(true, Ordering::Release);
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
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
        let deadline = Instant::now() + PATIENCE;
        let is_inside = |other: &Outside| {
            // SeqCst: see `come_back`. (Acquire: pairs with the Release of those that go outside.)
            !Arc::ptr_eq(&other.0, &own.0) && !other.0.load(Ordering::SeqCst)
        };
        while others().iter().any(is_inside) && Instant::now() < deadline {
            std::thread::sleep(SOON);
        }
        Closed(self)
    }
}

/// While this lives the gate is closed.
pub(crate) struct Closed<'a>(&'a Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        let waiting = self.0.waiting.lock();
        // Under the lock, so that nobody goes to sleep between.
        self.0.closed.store(false, Ordering::SeqCst);
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
                    own.0.store(true, Ordering::Release);
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
                    own.0.store(true, Ordering::Release);
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
