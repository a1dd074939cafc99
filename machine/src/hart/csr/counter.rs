//! A counter that software may set and stop.

use crate::hart::timer::Clock;

/// `mcycle` or `minstret`: a billion a second, while it is not stopped.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counter {
    /// It counts; this is its value less the clock's.
    Running(u64),
    /// It stands at this value.
    Stopped(u64),
}

impl Default for Counter {
    fn default() -> Counter {
        Counter::Running(0)
    }
}

impl Counter {
    pub(super) fn value(self, clock: Clock) -> u64 {
        match self {
            Counter::Running(ahead) => clock.nanoseconds().wrapping_add(ahead),
            Counter::Stopped(value) => value,
        }
    }

    pub(super) fn set(&mut self, clock: Clock, value: u64) {
        *self = match self {
            Counter::Running(_) => Counter::Running(value.wrapping_sub(clock.nanoseconds())),
            Counter::Stopped(_) => Counter::Stopped(value),
        };
    }

    pub(super) fn stop(&mut self, clock: Clock, stopped: bool) {
        let value = self.value(clock);
        *self = Counter::Stopped(value);
        if !stopped {
            *self = Counter::Running(value.wrapping_sub(clock.nanoseconds()));
        }
    }
}
