//! Flushes that harts ask of each other, and wait for.
//!
//! 1. Each hart counts how often it was asked, and up to which count it has flushed. A hart that was
//!    asked is called besides ([`Lines::call`](crate::hart::lines::Lines::call)), so it serves soon,
//!    whatever it does.
//! 2. A hart that waits for others serves meanwhile: two that wait for each other both go on.
//! 3. Everything changes under one lock, and whoever changes anything tells all who wait.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Copy, Default)]
struct Count {
    asked: u64,
    served: u64,
}

#[derive(Default)]
struct State {
    harts: Vec<Count>,
    over: bool,
}

/// The flushes of all harts.
pub(super) struct Fences {
    state: Mutex<State>,
    changed: Condvar,
}

/// How a wait has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// All have flushed, or the machine has ended.
    Done,
    /// The one who waits is to flush, and then to wait again.
    Serve(u64),
}

/// What a hart was asked: up to this count it is to flush.
type Ticket = (usize, u64);

impl Fences {
    pub(super) fn new(harts: usize) -> Fences {
        Fences {
            state: Mutex::new(State {
                harts: vec![Count::default(); harts],
                over: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks harts to flush. The caller calls them then.
    pub(super) fn ask(&self, harts: impl Iterator<Item = usize>) -> Vec<Ticket> {
        let mut state = self.lock();
        let ask = |hart: usize| {
            let count = &mut state.harts[hart];
            count.asked += 1;
            (hart, count.asked)
        };
        let tickets = harts.map(ask).collect();
        self.changed.notify_all();
        tickets
    }

    /// Whether a hart is to flush, and up to which count it has then served.
    pub(super) fn asked(&self, hart: usize) -> Option<u64> {
        let count = self.lock().harts[hart];
        (count.asked != count.served).then_some(count.asked)
    }

    /// A hart has flushed.
    pub(super) fn served(&self, hart: usize, up_to: u64) {
        self.lock().harts[hart].served = up_to;
        self.changed.notify_all();
    }

    /// Nobody serves any more, and nobody is waited for.
    pub(super) fn end(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }

    /// Waits, as hart `me`, which is offline, until the others have served.
    pub(super) fn wait(&self, me: usize, tickets: &[Ticket]) -> Waited {
        let mut state = self.lock();
        loop {
            let is_served = |&(hart, count): &Ticket| state.harts[hart].served >= count;
            if state.over || tickets.iter().all(is_served) {
                return Waited::Done;
            }
            let mine = state.harts[me];
            if mine.asked != mine.served {
                return Waited::Serve(mine.asked);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::thread;

    use super::*;

    /// Each hart asks all others again and again, and serves only while it waits itself, or at last: if
    /// one who waits did not serve, this would hang.
    #[test]
    fn harts_that_wait_for_each_other_all_go_on() {
        const HARTS: usize = 4;
        const ROUNDS: u64 = 500;
        let fences = Arc::new(Fences::new(HARTS));
        let finished = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..HARTS)
            .map(|me| {
                let (fences, finished) = (Arc::clone(&fences), Arc::clone(&finished));
                thread::spawn(move || {
                    let mut flushes = 0_u64;
                    for _ in 0..ROUNDS {
                        let tickets = fences.ask((0..HARTS).filter(|&hart| hart != me));
                        while let Waited::Serve(up_to) = fences.wait(me, &tickets) {
                            flushes += 1;
                            fences.served(me, up_to);
                        }
                    }
                    finished.fetch_add(1, Relaxed);
                    while finished.load(Relaxed) < HARTS as u64 {
                        if let Some(up_to) = fences.asked(me) {
                            flushes += 1;
                            fences.served(me, up_to);
                        }
                        thread::yield_now();
                    }
                    flushes
                })
            })
            .collect();
        for thread in threads {
            assert!(thread.join().expect("it does not panic") > 0);
        }
    }

    #[test]
    fn the_end_of_the_machine_ends_waits() {
        let fences = Arc::new(Fences::new(2));
        let tickets = fences.ask([1].into_iter());
        let waiter = {
            let fences = Arc::clone(&fences);
            thread::spawn(move || fences.wait(0, &tickets))
        };
        fences.end();
        assert_eq!(waiter.join().expect("it does not panic"), Waited::Done);
        assert_eq!(fences.asked(1), Some(1));
    }
}
