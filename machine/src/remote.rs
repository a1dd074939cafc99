//! A machine as other threads of hartscope see it: those that no hart runs on.
//!
//! 1. A remote is about a machine, and about those that follow when that one is reset. An end that is
//!    wanted while there is none is the next one's. A stopped machine that is reset stays stopped.
//! 2. *Stopped* harts stand still where they leave generated code, or where they wait. They are offline
//!    meanwhile: no grace period waits for them. They still serve what other harts ask of them, so that
//!    one that waits for a flush can stand still as well.
//! 3. Whoever reaches a machine does so under the lock, and keeps nothing of it ([`Remote::wait_for_board`]
//!    is the exception): so it is taken down by who ran it, never by a thread that has a table of
//!    descriptors of its own.
//! 4. The machine's clock goes on, interrupts gather, and disks finish what they have begun.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vcpu::Engine;

use crate::board::Board;
use crate::hart::lines::Lines;
use crate::power::End;

/// How long [`Remote::stop`] waits until nobody runs.
const PATIENCE: Duration = Duration::from_millis(100);

/// Reaches machines from outside. Clones are about the same ones.
#[derive(Clone, Default)]
pub struct Remote(Arc<Place>);

#[derive(Default)]
struct Place {
    state: Mutex<State>,
    /// There is a machine.
    connected: Condvar,
    pause: Pause,
}

#[derive(Default)]
struct State {
    machine: Option<Machine>,
    /// It is to end as soon as it is there.
    end: Option<End>,
    has_begun: bool,
    /// The last one was switched off.
    is_off: bool,
}

/// A machine that runs.
struct Machine {
    board: Arc<Board>,
    engine: Arc<Engine>,
    threads: Vec<HartThread>,
}

/// A hart's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HartThread {
    /// The hart's number, which is its vCPU's.
    pub hart: usize,
    /// The host's thread id.
    pub tid: i32,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}

impl Remote {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is a machine while the result lives.
    pub(crate) fn connect(&self, board: &Arc<Board>, engine: &Arc<Engine>) -> Connection<'_> {
        let mut state = self.lock();
        state.machine = Some(Machine {
            board: Arc::clone(board),
            engine: Arc::clone(engine),
            threads: Vec::new(),
        });
        state.has_begun = true;
        if let Some(end) = state.end.take() {
            board.power.end(end);
        }
        self.0.connected.notify_all();
        Connection(self)
    }

    /// The calling thread is that of a hart of the machine.
    pub(crate) fn hart_begins(&self, hart: usize) {
        // SAFETY: only returns a number.
        let tid = unsafe { libc::gettid() };
        if let Some(machine) = &mut self.lock().machine {
            machine.threads.push(HartThread { hart, tid });
        }
    }

    /// For the harts.
    pub(crate) fn pause(&self) -> &Pause {
        &self.0.pause
    }

    /// Whether there has been a machine.
    pub fn has_begun(&self) -> bool {
        self.lock().has_begun
    }

    /// Looks at what runs the harts, if there is a machine.
    pub fn with_engine<R>(&self, look: impl FnOnce(Option<&Engine>) -> R) -> R {
        let state = self.lock();
        look(state.machine.as_ref().map(|machine| &*machine.engine))
    }

    /// The machine, once there is one. For threads that may close its files.
    pub fn wait_for_board(&self) -> Arc<Board> {
        let mut state = self.lock();
        loop {
            if let Some(machine) = &state.machine {
                return Arc::clone(&machine.board);
            }
            let waited = self.0.connected.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many harts the machine has; none between two machines.
    pub fn harts(&self) -> usize {
        self.lock().lines().count()
    }

    /// The threads of the harts that have begun, by hart.
    pub fn threads(&self) -> Vec<HartThread> {
        let machine = &self.lock().machine;
        let mut threads = machine
            .as_ref()
            .map_or_else(Vec::new, |machine| machine.threads.clone());
        threads.sort_unstable();
        threads
    }

    /// Whether the machine is stopped; `None` if there has been none, or it was switched off.
    pub fn is_stopped(&self) -> Option<bool> {
        self.is_stopped_in(&self.lock())
    }

    fn is_stopped_in(&self, state: &State) -> Option<bool> {
        (state.has_begun && !state.is_off).then(|| self.0.pause.is_wanted())
    }

    /// Stops all harts. Gives whether they ran. Waits until they stand still, for a moment.
    pub fn stop(&self) -> bool {
        let state = self.lock();
        if self.is_stopped_in(&state) != Some(false) || !self.0.pause.want() {
            return false;
        }
        let deadline = Instant::now() + PATIENCE;
        state.call();
        for lines in state.lines() {
            lines.wait_until_it_waits(deadline);
        }
        true
    }

    /// Lets stopped harts go on. Gives whether they were stopped.
    pub fn resume(&self) -> bool {
        let state = self.lock();
        let was_wanted = self.0.pause.end();
        if was_wanted {
            state.call();
        }
        was_wanted
    }

    /// Ends the machine, this one or else the next.
    pub fn end(&self, end: End) {
        let mut state = self.lock();
        match &state.machine {
            Some(machine) => machine.board.power.end(end),
            None => state.end = Some(end),
        }
    }
}

impl State {
    /// The lines of all harts.
    fn lines(&self) -> impl Iterator<Item = &Arc<Lines>> {
        let machine = self.machine.iter();
        machine.flat_map(|machine| &machine.board.lines)
    }

    /// Makes all harts look around.
    fn call(&self) {
        for lines in self.lines() {
            lines.call();
        }
    }
}

/// See [`Remote::connect`].
pub(crate) struct Connection<'a>(&'a Remote);

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if let Some(Machine { board, .. }) = state.machine.take() {
            state.is_off = !matches!(board.power.ended(), Some(End::Reset));
            board.uart.unplug();
        }
    }
}

/// Whether harts are to stand still; at first they are not.
#[derive(Default)]
pub struct Pause(AtomicBool);

impl Pause {
    /// For every turn of a hart's loop.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        // Whoever changes it calls the harts afterwards, and what they find then is new.
        self.0.load(Relaxed)
    }

    fn want(&self) -> bool {
        // Release: as for `end`.
        !self.0.swap(true, Release)
    }

    fn end(&self) -> bool {
        // Release: pairs with the Acquire of the hart that takes the call that follows
        // (`Lines::take_call`).
        self.0.swap(false, Release)
    }
}
