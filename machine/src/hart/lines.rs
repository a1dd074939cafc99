//! What other threads want of a hart: interrupts that they raise, and its attention.
//!
//! 1. A bit is changed first and the hart told afterwards: kicked out of guest code, and woken if it
//!    waits. So a hart that looks after it was told finds the bit.
//! 2. A hart that wants to wait looks at the bits under the lock, and is told under the lock: it has
//!    either found the bit, or waits already when it is told. No wake-up is lost.
//! 3. A kick that comes before the hart runs makes that run return at once ([`vcpu::Kicker`]).

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use vcpu::Kicker;

/// The supervisor's software interrupt.
pub const SSIP: u64 = 1 << 1;
/// The machine level's software interrupt.
pub const MSIP: u64 = 1 << 3;
/// The supervisor's timer interrupt.
pub const STIP: u64 = 1 << 5;
/// The machine level's timer interrupt.
pub const MTIP: u64 = 1 << 7;
/// The supervisor's external interrupt.
pub const SEIP: u64 = 1 << 9;
/// The machine level's external interrupt.
pub const MEIP: u64 = 1 << 11;

/// Not an interrupt: the hart is to look around.
const ATTENTION: u64 = 1 << 63;

/// The lines of one hart.
#[derive(Default)]
pub struct Lines {
    /// The bits of `mip` that are not the hart's own alone, and `ATTENTION`.
    bits: AtomicU64,
    kicker: OnceLock<Kicker>,
    wait: Mutex<Wait>,
    /// For the hart: it is to look.
    told: Condvar,
    /// For watchers: the hart waits.
    begun: Condvar,
}

#[derive(Default)]
struct Wait {
    /// Whether the hart waits.
    waits: bool,
    /// How many are waiting for that.
    watchers: u32,
}

impl Lines {
    /// Lines of a hart to come, all low.
    pub fn new() -> Lines {
        Lines::default()
    }

    /// Names what gets the hart out of guest code. The first one counts.
    pub fn set_kicker(&self, kicker: Kicker) {
        // A hart has one vCPU.
        let _ = self.kicker.set(kicker);
    }

    /// Raises these interrupts.
    pub fn set(&self, bits: u64) {
        // Release: what was done before is seen by the hart that finds the bit (Acquire in `pending`).
        let old = self.bits.fetch_or(bits, Release);
        if old & bits != bits {
            self.tell();
        }
    }

    /// Lowers these interrupts.
    pub fn clear(&self, bits: u64) {
        // Release: as for `set`.
        self.bits.fetch_and(!bits, Release);
    }

    /// The hart itself changes bits of its own.
    pub fn write(&self, set: u64, clear: u64) {
        self.bits.fetch_or(set, Relaxed);
        self.bits.fetch_and(!clear, Relaxed);
    }

    /// The interrupts that are pending.
    #[inline]
    pub fn pending(&self) -> u64 {
        // Acquire: pairs with the Release in `set`.
        self.bits.load(Acquire) & !ATTENTION
    }

    /// Makes the hart look around, whatever it does.
    pub fn call(&self) {
        self.set(ATTENTION);
    }

    /// Whether the hart has been called since this was asked last. For the hart alone.
    #[inline]
    pub fn take_call(&self) -> bool {
        if self.bits.load(Relaxed) & ATTENTION == 0 {
            return false;
        }
        // Acquire: pairs with the Release in `set`: who calls has said before what it wants.
        self.bits.fetch_and(!ATTENTION, Acquire);
        true
    }

    /// Waits until one of these interrupts is pending, or somebody calls. For the hart alone, while it
    /// is offline.
    pub fn wait(&self, interrupts: u64) {
        let wanted = interrupts | ATTENTION;
        let mut wait = self.lock();
        while self.bits.load(Acquire) & wanted == 0 {
            wait.waits = true;
            if wait.watchers != 0 {
                self.begun.notify_all();
            }
            let woken = self.told.wait(wait);
            wait = woken.unwrap_or_else(PoisonError::into_inner);
        }
        wait.waits = false;
    }

    /// Waits until the hart waits, but no longer than to `deadline`. It may have been woken since; one
    /// that was called before this takes the call before anything else.
    pub fn wait_until_it_waits(&self, deadline: Instant) {
        let mut wait = self.lock();
        wait.watchers += 1;
        while !wait.waits {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.begun.wait_timeout(wait, left);
            (wait, _) = woken.unwrap_or_else(PoisonError::into_inner);
        }
        wait.watchers -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, Wait> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        if let Some(kicker) = self.kicker.get() {
            kicker.kick();
        }
        // Rule 2.
        let waits = self.lock().waits;
        if waits {
            self.told.notify_one();
        }
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lines({:#x})", self.bits.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn interrupts_stay_until_they_are_lowered() {
        let lines = Lines::new();
        lines.set(SEIP);
        lines.set(MSIP);
        assert_eq!(lines.pending(), SEIP | MSIP);
        lines.clear(SEIP);
        assert_eq!(lines.pending(), MSIP);
        lines.write(SSIP, MSIP);
        assert_eq!(lines.pending(), SSIP);
    }

    #[test]
    fn a_call_is_taken_once_and_is_no_interrupt() {
        let lines = Lines::new();
        assert!(!lines.take_call());
        lines.call();
        lines.call();
        assert_eq!(lines.pending(), 0);
        assert!(lines.take_call());
        assert!(!lines.take_call());
    }

    #[test]
    fn what_is_pending_already_is_not_waited_for() {
        let lines = Lines::new();
        lines.set(MTIP);
        lines.wait(MTIP | SEIP);
        lines.call();
        lines.wait(0);
        assert!(lines.take_call());
    }

    /// Two threads hand a turn to each other, each waiting for its own: one lost wake-up, and the test
    /// hangs.
    #[test]
    fn no_wake_up_is_lost() {
        let turns = 20_000;
        let ends = [Arc::new(Lines::new()), Arc::new(Lines::new())];
        let threads: Vec<_> = (0..2)
            .map(|me| {
                let (mine, other) = (Arc::clone(&ends[me]), Arc::clone(&ends[1 - me]));
                thread::spawn(move || {
                    for _ in 0..turns {
                        mine.wait(SSIP);
                        mine.clear(SSIP);
                        other.set(SSIP);
                    }
                })
            })
            .collect();
        ends[0].set(SSIP);
        for thread in threads {
            thread.join().expect("it does not panic");
        }
        assert_eq!((ends[0].pending(), ends[1].pending()), (SSIP, 0));
    }
}
