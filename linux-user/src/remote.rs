//! A guest process as other threads of hartscope see it: those that no guest code runs on.
//!
//! 1. *Stopped* guest threads stand still where they leave generated code or a system call. They are
//!    offline and outside of the gate meanwhile: no grace period waits for them, nor does who forks.
//! 2. Who is in a host call that blocks goes on with that, and stands still when it is back.
//! 3. A remote is about the process that it was made for. A forked child has none, and is not stopped.

use crate::process::{ExitStatus, Process};
use crate::signal;
use crate::thread::Thread;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;
use vcpu::Engine;

/// How long [`Remote::stop`] waits until nobody runs.
const PATIENCE: Duration = Duration::from_millis(100);

/// Reaches a guest process from outside. Clones are about the same one.
#[derive(Clone, Default)]
pub struct Remote(Arc<OnceLock<Weak<Process>>>);

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remote")
    }
}

/// One guest thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestThread {
    /// Its vCPU's number.
    pub vcpu: u32,
    /// The host's thread id, which is the guest's.
    pub tid: i32,
}

impl Remote {
    /// There is a process.
    pub(crate) fn attach(&self, process: &Arc<Process>) {
        let _ = self.0.set(Arc::downgrade(process));
    }

    fn process(&self) -> Option<Arc<Process>> {
        self.0.get()?.upgrade()
    }

    /// Whether the guest has begun. It may have ended since.
    pub fn has_begun(&self) -> bool {
        self.0.get().is_some()
    }

    /// What runs the guest, while there is one.
    pub fn engine(&self) -> Option<Arc<Engine>> {
        Some(self.process()?.engine.clone())
    }

    /// The guest's threads, by vCPU.
    pub fn threads(&self) -> Vec<GuestThread> {
        self.process()
            .map(|process| process.list_threads())
            .unwrap_or_default()
    }

    /// Whether the guest is stopped; `None` if there is no guest (any more).
    pub fn is_stopped(&self) -> Option<bool> {
        let process = self.process()?;
        (!process.is_exiting()).then(|| process.pause.is_wanted())
    }

    /// Stops all guest threads. Gives whether they ran. Waits until they stand still, for a moment.
    pub fn stop(&self) -> bool {
        let Some(process) = self.process() else {
            return false;
        };
        if !process.pause.want() {
            return false;
        }
        process.kick_all();
        process.wait_until_all_are_outside(PATIENCE);
        true
    }

    /// Lets stopped guest threads go on. Gives whether they were stopped.
    pub fn resume(&self) -> bool {
        self.process().is_some_and(|process| process.pause.end())
    }

    /// Ends the guest in good order, as `exit_group` does.
    pub fn quit(&self, status: u8) {
        if let Some(process) = self.process() {
            process.exit_by_order(ExitStatus::Exited(status));
        }
    }

    /// Does what loads plugins or may end them: nobody forks meanwhile. Several threads may, at once.
    pub fn inside<R>(&self, work: impl FnOnce() -> R) -> R {
        match self.process() {
            Some(process) => process.inside(work),
            None => work(),
        }
    }

    /// Gets the thread `tid`, one of hartscope's own, out of a host call. Does nothing before the
    /// guest has begun.
    pub fn wake(&self, tid: i32) {
        if self.has_begun() {
            signal::kick(tid);
        }
    }
}

/// Whether a process is stopped.
#[derive(Default)]
pub(crate) struct Pause {
    wanted: AtomicBool,
    waiting: Mutex<()>,
    over: Condvar,
}

impl Pause {
    /// For every turn of a thread's loop.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        // Whoever wants it kicks afterwards.
        self.wanted.load(Ordering::Relaxed)
    }

    fn want(&self) -> bool {
        // Release: pairs with the Acquire of who takes the kick that follows.
        !self.wanted.swap(true, Ordering::Release)
    }

    fn end(&self) -> bool {
        let waiting = self.waiting.lock();
        let was_wanted = self.wanted.swap(false, Ordering::Relaxed);
        drop(waiting);
        self.over.notify_all();
        was_wanted
    }

    /// The process exits: nobody stands still.
    pub(crate) fn look_again(&self) {
        drop(self.waiting.lock());
        self.over.notify_all();
    }

    fn wait(&self, is_exiting: impl Fn() -> bool) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while self.is_wanted() && !is_exiting() {
            let woken = self.over.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Thread {
    /// Waits while the process is stopped.
    #[cold]
    pub(crate) fn stand_still(&mut self) {
        let process = self.process.clone();
        self.aside(|_| process.pause.wait(|| process.is_exiting()));
    }
}
