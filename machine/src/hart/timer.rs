//! The machine's clock, and the thread that raises timer interrupts when their time has come.
//!
//! 1. A deadline and the line that it raises change together, under the one lock: a line is high
//!    exactly if its deadline has passed, as soon as [`Timer::set`] has returned, and later as soon as
//!    the thread has had its turn.
//! 2. The thread sleeps until the earliest deadline; whoever sets an earlier one wakes it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::lines::{self, Lines};
use crate::clint;

/// Nanoseconds of a tick: `time` runs at 10 MHz.
const TICK: u64 = 100;

/// The host's clock, since the machine began.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Clock {
        Clock {
            start: Instant::now(),
        }
    }

    /// `time`.
    pub fn ticks(self) -> u64 {
        self.nanoseconds() / TICK
    }

    /// Nanoseconds since the start: enough for 584 years.
    pub fn nanoseconds(self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// How long it is until `ticks`.
    fn until(self, ticks: u64) -> Duration {
        let at = Duration::from_nanos(ticks.saturating_mul(TICK));
        at.saturating_sub(self.start.elapsed())
    }
}

/// Which timer of a hart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `mtimecmp` of the CLINT, which raises `MTIP`.
    Machine,
    /// `stimecmp`, which raises `STIP`.
    Supervisor,
}

impl Level {
    fn line(self) -> u64 {
        match self {
            Level::Machine => lines::MTIP,
            Level::Supervisor => lines::STIP,
        }
    }
}

/// Deadlines of one hart, in ticks. One that has passed, or that never was, is at the end of time.
#[derive(Clone, Copy)]
struct Deadlines([u64; 2]);

struct Waiting {
    deadlines: Vec<Deadlines>,
    /// When the thread will look by itself.
    next: u64,
    ends: bool,
}

/// All timers of a machine.
pub struct Timer {
    clock: Clock,
    lines: Vec<Arc<Lines>>,
    waiting: Mutex<Waiting>,
    earlier: Condvar,
}

/// The timers' thread; it ends when this is dropped.
pub struct TimerThread {
    timer: Arc<Timer>,
    thread: Option<JoinHandle<()>>,
}

const NEVER: u64 = u64::MAX;

impl Timer {
    /// Timers for the harts of these lines, none of which is set.
    pub fn new(clock: Clock, lines: Vec<Arc<Lines>>) -> Arc<Timer> {
        let waiting = Waiting {
            deadlines: vec![Deadlines([NEVER; 2]); lines.len()],
            next: NEVER,
            ends: false,
        };
        Arc::new(Timer {
            clock,
            lines,
            waiting: Mutex::new(waiting),
            earlier: Condvar::new(),
        })
    }

    /// Starts the thread.
    pub fn start(self: &Arc<Timer>) -> std::io::Result<TimerThread> {
        let timer = Arc::clone(self);
        let thread = std::thread::Builder::new()
            .name("timer".into())
            .spawn(move || timer.run())?;
        Ok(TimerThread {
            timer: Arc::clone(self),
            thread: Some(thread),
        })
    }

    /// The clock that the timers go by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Sets a hart's deadline: its line is low until then, and high from then on.
    ///
    /// # Panics
    ///
    /// If there is no such hart.
    pub fn set(&self, hart: usize, level: Level, ticks: u64) {
        let lines = &self.lines[hart];
        let mut waiting = self.lock();
        let passed = ticks <= self.clock.ticks();
        let deadline = if passed { NEVER } else { ticks };
        waiting.deadlines[hart].0[level as usize] = deadline;
        match passed {
            true => lines.set(level.line()),
            false => lines.clear(level.line()),
        }
        if deadline < waiting.next {
            waiting.next = deadline;
            self.earlier.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        be_punctual();
        let mut waiting = self.lock();
        while !waiting.ends {
            waiting.next = self.raise(&mut waiting.deadlines);
            waiting = match waiting.next {
                NEVER => self
                    .earlier
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner),
                next => {
                    let pause = self.clock.until(next);
                    let woken = self.earlier.wait_timeout(waiting, pause);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Raises what is due; gives when the next is.
    fn raise(&self, deadlines: &mut [Deadlines]) -> u64 {
        let now = self.clock.ticks();
        let mut next = NEVER;
        for (lines, of_hart) in self.lines.iter().zip(deadlines) {
            for level in [Level::Machine, Level::Supervisor] {
                let deadline = &mut of_hart.0[level as usize];
                if *deadline <= now {
                    *deadline = NEVER;
                    lines.set(level.line());
                }
                next = next.min(*deadline);
            }
        }
        next
    }
}

impl clint::Timer for Timer {
    fn now(&self) -> u64 {
        self.clock.ticks()
    }

    fn set_machine_deadline(&self, hart: usize, ticks: u64) {
        self.set(hart, Level::Machine, ticks);
    }
}

impl Drop for TimerThread {
    fn drop(&mut self) {
        self.timer.lock().ends = true;
        self.timer.earlier.notify_one();
        if let Some(thread) = self.thread.take() {
            // It does not panic; and if it did, there is nothing to be done about it here.
            let _ = thread.join();
        }
    }
}

/// The kernel is not to put off this thread's wake-ups to save power.
fn be_punctual() {
    // SAFETY: changes a property of the calling thread.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer() -> (Arc<Timer>, Arc<Lines>) {
        let lines = Arc::new(Lines::new());
        let all = vec![Arc::new(Lines::new()), Arc::clone(&lines)];
        (Timer::new(Clock::start(), all), lines)
    }

    #[test]
    fn a_deadline_that_has_passed_raises_the_line_at_once() {
        let (timer, lines) = timer();
        timer.set(1, Level::Supervisor, 0);
        assert_eq!(lines.pending(), lines::STIP);
        timer.set(1, Level::Machine, 0);
        assert_eq!(lines.pending(), lines::STIP | lines::MTIP);
        timer.set(1, Level::Supervisor, NEVER);
        assert_eq!(lines.pending(), lines::MTIP);
    }

    #[test]
    fn the_thread_raises_the_line_when_its_time_has_come_and_not_before() {
        let (timer, lines) = timer();
        let thread = timer.start().expect("a thread");
        for _ in 0..50 {
            let deadline = timer.clock().ticks() + 20_000;
            timer.set(1, Level::Supervisor, deadline);
            // An earlier one of the other hart does not count for this one.
            timer.set(0, Level::Supervisor, deadline - 15_000);
            lines.wait(lines::STIP);
            assert!(timer.clock().ticks() >= deadline);
        }
        drop(thread);
    }

    #[test]
    fn an_earlier_deadline_wakes_the_thread() {
        let (timer, lines) = timer();
        let _thread = timer.start().expect("a thread");
        timer.set(1, Level::Machine, NEVER - 1);
        let deadline = timer.clock().ticks() + 10_000;
        timer.set(1, Level::Supervisor, deadline);
        lines.wait(lines::STIP);
        assert_eq!(lines.pending(), lines::STIP);
    }

    #[test]
    fn a_deadline_that_was_taken_back_raises_nothing() {
        let (timer, lines) = timer();
        let thread = timer.start().expect("a thread");
        timer.set(1, Level::Machine, timer.clock().ticks() + 1000);
        timer.set(1, Level::Machine, NEVER);
        timer.set(1, Level::Supervisor, timer.clock().ticks() + 20_000);
        lines.wait(lines::STIP);
        drop(thread);
        assert_eq!(lines.pending() & lines::MTIP, 0);
    }
}
