//! The stage, on which control threads act.
//!
//! 1. Whatever calls the runtime is done inside the gate that a forking guest closes.
//! 2. A detach is followed by a job of the domain: jobs run in order, so that it finds the plugin gone,
//!    its library closed. The job takes no lock but the registry's, as it may run in a forked child.
//! 3. An action that comes to nothing, as somebody was faster, is counted as such: which one of two
//!    threads gets what they both want is not part of the plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use epoch::Domain;
use linux_user::Remote;
use plugin_rt::{NotReset, PluginId, Refused, Runtime};

use super::plan::Action;
use super::slot::{Slot, What};
use super::violations::Violations;
use super::watch::LIMIT;
use super::witness::{Witness, Witnesses};

/// What there is to act on, and what has been done.
pub struct Stage {
    pub runtime: Arc<Runtime>,
    pub domain: Arc<Domain>,
    pub remote: Remote,
    pub witnesses: &'static Witnesses,
    pub violations: &'static Violations,
    pub slots: Vec<Arc<Slot>>,
    pub done: Done,
    /// Nothing is to be done any more, because the guest has ended.
    pub over: AtomicBool,
}

/// What has been done, by kind. Each is a number of its own, hence `Relaxed`.
#[derive(Default)]
pub struct Done {
    pub attached: AtomicU64,
    pub reset: AtomicU64,
    pub detached: AtomicU64,
    /// Actions that came to nothing.
    pub in_vain: AtomicU64,
    /// The longest time from a detach to its end, in nanoseconds.
    pub longest_detach: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Stage {
    /// Whether the guest has ended.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Ends what is in a slot. Gives who it was, if nobody was faster.
    fn end(&self, slot: &Slot) -> Option<PluginId> {
        let id = slot.id()?;
        let granted = self.runtime.uninstall(id).is_ok();
        if granted && self.runtime.uninstall(id).is_ok() {
            self.violations
                .note(format_args!("{slot}: two requests to end it were granted"));
        }
        granted.then_some(id)
    }

    /// What is in the slot has ended.
    fn gone(&self, slot: &Slot, id: PluginId, since: Instant) {
        let took = since.elapsed().as_nanos() as u64;
        self.done.longest_detach.fetch_max(took, Ordering::Relaxed);
        if self.runtime.plugins().iter().any(|there| there.id() == id) {
            self.violations
                .note(format_args!("{slot}: still there after its end"));
        }
        slot.clear(id);
    }
}

/// A thread that acts.
pub struct Actor {
    stage: Arc<Stage>,
    /// What it has detached and not waited for.
    ends: Vec<Arc<End>>,
}

/// The end of something that takes a grace period, for the thread that made this.
struct End {
    come: AtomicBool,
    waiter: Thread,
}

impl Actor {
    pub fn new(stage: Arc<Stage>) -> Actor {
        Actor {
            stage,
            ends: Vec::new(),
        }
    }

    /// Does what a plan says.
    pub fn act(&mut self, action: Action) {
        match action {
            Action::Attach(slot) => self.attach(slot),
            Action::Reset(slot) => self.reset(slot),
            Action::Detach(slot) => {
                self.detach(slot);
            }
            Action::Await => self.wait(),
            // Not for anything: the guest is to run for a while as it is.
            Action::Pause(time) => thread::sleep(time),
        }
    }

    fn attach(&self, slot: usize) {
        let slot = &self.stage.slots[slot];
        if !slot.take() {
            return count(&self.stage.done.in_vain);
        }
        let attached = self.stage.remote.inside(|| self.load(slot));
        match attached {
            Ok(true) => count(&self.stage.done.attached),
            Ok(false) => count(&self.stage.done.in_vain),
            // The slot stays taken: once is enough.
            Err(error) => self
                .stage
                .violations
                .note(format_args!("cannot be attached: {error}")),
        }
    }

    /// Fills the slot, which has been taken; gives whether anybody is there now.
    fn load(&self, slot: &Arc<Slot>) -> Result<bool, Box<dyn std::error::Error>> {
        let Stage {
            runtime, witnesses, ..
        } = &*self.stage;
        match slot.what() {
            What::Plugin(spec) => slot.fill(Some(runtime.load(spec)?)),
            What::Witness(kind) => {
                let witness = Witness::new(witnesses, *kind, Arc::clone(slot), runtime.areas())?;
                let Some(witness) = witness else {
                    slot.fill(None);
                    return Ok(false);
                };
                let identity = witness.identity();
                let id = runtime.add(Arc::new(witness))?;
                slot.fill(Some(id));
                identity.tell(id);
            }
        }
        Ok(true)
    }

    fn reset(&mut self, slot: usize) {
        let slot = &self.stage.slots[slot];
        let Done { reset, in_vain, .. } = &self.stage.done;
        let is_done = slot.id().is_some_and(|id| self.reset_one(slot, id));
        count(if is_done { reset } else { in_vain });
    }

    /// Gives whether it has begun anew.
    fn reset_one(&self, slot: &Slot, id: PluginId) -> bool {
        let Stage {
            remote, runtime, ..
        } = &*self.stage;
        let over = End::new();
        let told = over.clone();
        let granted = remote.inside(|| runtime.reset(id, move || told.come()));
        match granted {
            Ok(()) => over.wait_for("a reset", self.stage.violations),
            // It may have reset itself; then this thread does the rest, unless it is too early.
            Err(Refused::Resetting) => {}
            Err(_) => return false,
        }
        match remote.inside(|| runtime.begin_anew(id)) {
            Ok(()) => true,
            Err(NotReset::Refused(_)) => false,
            Err(NotReset::Load(error)) => {
                let violations = self.stage.violations;
                violations.note(format_args!("{slot}: does not begin anew: {error}"));
                false
            }
        }
    }

    /// Gives whether nobody was faster.
    fn detach(&mut self, slot: usize) -> bool {
        let slot = &self.stage.slots[slot];
        let end = End::new();
        let is_mine = self.stage.remote.inside(|| {
            let began = Instant::now();
            let Some(id) = self.stage.end(slot) else {
                return false;
            };
            if let What::Witness(_) = slot.what() {
                // The next one may come while this one goes.
                slot.clear(id);
            }
            let (stage, slot, end) = (self.stage.clone(), slot.clone(), end.clone());
            self.stage.domain.retire(Box::new(move || {
                stage.gone(&slot, id, began);
                end.come();
            }));
            true
        });
        let Done {
            detached, in_vain, ..
        } = &self.stage.done;
        count(if is_mine { detached } else { in_vain });
        if is_mine {
            self.ends.push(end);
        }
        is_mine
    }

    /// Waits for the ends of what this thread has detached.
    pub fn wait(&mut self) {
        for end in self.ends.drain(..) {
            end.wait_for("a detach", self.stage.violations);
        }
    }

    /// Detaches all that is in the slots, and waits until nobody is there but `others`.
    pub fn clear(&mut self, others: usize) {
        let began = Instant::now();
        loop {
            for slot in 0..self.stage.slots.len() {
                if self.stage.slots[slot].id().is_some() {
                    self.detach(slot);
                }
            }
            // Also those that have ended themselves.
            let end = End::new();
            let told = end.clone();
            self.stage.remote.inside(|| {
                self.stage.domain.retire(Box::new(move || told.come()));
            });
            let is_over = end.wait();
            self.wait();
            if is_over && self.stage.runtime.plugins().len() == others {
                return;
            }
            if began.elapsed() > LIMIT {
                let plugins = self.stage.runtime.plugins();
                let names: Vec<String> = plugins.iter().map(|it| it.name().to_string()).collect();
                return self.stage.violations.note(format_args!(
                    "still there {LIMIT:?} after all have been detached: {names:?}"
                ));
            }
        }
    }
}

impl End {
    fn new() -> Arc<End> {
        Arc::new(End {
            come: AtomicBool::new(false),
            waiter: thread::current(),
        })
    }

    fn come(&self) {
        // Release: pairs with the Acquire in `wait`.
        self.come.store(true, Ordering::Release);
        self.waiter.unpark();
    }

    /// Waits, and notes it if it does not come in time.
    fn wait_for(&self, what: &str, violations: &Violations) {
        if !self.wait() {
            violations.note(format_args!("{what} has not ended within {LIMIT:?}"));
        }
    }

    /// Gives whether it has come in time.
    fn wait(&self) -> bool {
        let began = Instant::now();
        // Acquire: pairs with the Release in `come`.
        while !self.come.load(Ordering::Acquire) {
            let left = LIMIT.saturating_sub(began.elapsed());
            if left == Duration::ZERO {
                return false;
            }
            thread::park_timeout(left);
        }
        true
    }
}
