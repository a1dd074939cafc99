//! How a machine ends.

use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

/// Why the machine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was switched off, with this status (0 is success).
    Off(i32),
    /// It asks to be started again.
    Reset,
}

/// What to do when the machine has ended: get the harts out of guest code.
type Alarm = Box<dyn Fn() + Send + Sync>;

/// The power switch. The first who uses it decides.
#[derive(Default)]
pub struct Power {
    end: OnceLock<End>,
    alarm: OnceLock<Alarm>,
    told: Mutex<()>,
    changed: Condvar,
}

impl Power {
    /// Sets what is called, on the thread that ends the machine, each time somebody does. Only the
    /// first one counts.
    pub fn on_end(&self, alarm: impl Fn() + Send + Sync + 'static) {
        if self.alarm.set(Box::new(alarm)).is_ok() && self.end.get().is_some() {
            self.tell();
        }
    }

    /// Ends the machine, unless it has ended already.
    pub fn end(&self, end: End) {
        // A second one is too late.
        let _ = self.end.set(end);
        self.tell();
    }

    /// How the machine has ended.
    pub fn ended(&self) -> Option<End> {
        self.end.get().copied()
    }

    /// Waits for the end.
    pub fn wait(&self) -> End {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(end) = self.ended() {
                return end;
            }
            told = self
                .changed
                .wait(told)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn tell(&self) {
        // Whoever waits has looked before we get the lock, and hears us, or looks after.
        drop(self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        if let Some(alarm) = self.alarm.get() {
            alarm();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::thread;

    use super::*;

    #[test]
    fn the_first_end_counts_and_wakes_who_waits() {
        let power = Arc::new(Power::default());
        let rung = Arc::new(AtomicU32::new(0));
        let bell = Arc::clone(&rung);
        power.on_end(move || {
            bell.fetch_add(1, Relaxed);
        });
        assert_eq!(power.ended(), None);
        let waiter = {
            let power = Arc::clone(&power);
            thread::spawn(move || power.wait())
        };
        power.end(End::Off(3));
        power.end(End::Reset);
        assert_eq!(waiter.join().expect("it does not panic"), End::Off(3));
        assert_eq!(power.ended(), Some(End::Off(3)));
        assert_eq!(rung.load(Relaxed), 2);
    }

    #[test]
    fn an_alarm_that_comes_late_still_rings() {
        let power = Power::default();
        power.end(End::Reset);
        let rung = Arc::new(AtomicU32::new(0));
        let bell = Arc::clone(&rung);
        power.on_end(move || {
            bell.fetch_add(1, Relaxed);
        });
        assert_eq!(rung.load(Relaxed), 1);
    }
}
