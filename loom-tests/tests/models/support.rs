//! Running a model, and the object that its threads share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool as UntrackedBool, AtomicUsize as UntrackedUsize};
use std::sync::{Mutex as UntrackedMutex, PoisonError};

use epoch::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use epoch::sync::cell::UnsafeCell;
use epoch::{Domain, Job};

/// Preemptions per execution that are explored if `LOOM_MAX_PREEMPTIONS` does not say.
const PREEMPTIONS: usize = 2;

/// Steps of one execution that loom allows for.
const BRANCHES: usize = 20_000;

/// What happened over all executions of a model.
#[derive(Default)]
pub struct Coverage {
    executions: UntrackedUsize,
    outcomes: UntrackedMutex<BTreeSet<&'static str>>,
}

impl Coverage {
    /// Notes that an outcome can be reached.
    pub fn reached(&self, outcome: &'static str) {
        self.outcomes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(outcome);
    }

    /// Notes one of two outcomes.
    pub fn either(&self, condition: bool, yes: &'static str, no: &'static str) {
        self.reached(if condition { yes } else { no });
    }
}

/// Explores a model within the bound; `outcomes` are those that it must reach, and the only ones.
pub fn explore(outcomes: &[&'static str], model: impl Fn(&Arc<Coverage>) + Send + Sync + 'static) {
    let coverage = Arc::new(Coverage::default());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    builder.max_branches = builder.max_branches.max(BRANCHES);
    let inner = Arc::clone(&coverage);
    let began = std::time::Instant::now();
    builder.check(move || {
        inner.executions.fetch_add(1, Relaxed);
        model(&inner);
    });
    let executions = coverage.executions.load(Relaxed);
    println!(
        "{executions} executions in {} ms",
        began.elapsed().as_millis()
    );
    assert!(executions > 1, "nothing was explored");
    let reached = coverage
        .outcomes
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    assert_eq!(*reached, outcomes.iter().copied().collect());
}

/// Two objects, one of which readers find. The first is replaced by the second and freed.
pub struct Shared {
    found: AtomicUsize,
    objects: [UnsafeCell<State>; 2],
    freed: UntrackedBool,
}

#[derive(PartialEq, Eq)]
enum State {
    Alive,
    Freed,
}

// SAFETY: the cells are what the models watch: loom reports accesses that race.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Shared {
    pub fn new() -> Arc<Shared> {
        Arc::new(Shared {
            found: AtomicUsize::new(0),
            objects: [UnsafeCell::new(State::Alive), UnsafeCell::new(State::Alive)],
            freed: UntrackedBool::new(false),
        })
    }

    /// Finds an object and reads it, as an online participant may; gives whether it was the first.
    pub fn read(&self) -> bool {
        let index = self.found.load(Relaxed);
        self.objects[index].with(|object| {
            // SAFETY: loom checks that nobody writes.
            let state = unsafe { &*object };
            assert!(*state == State::Alive, "read after free");
        });
        index == 0
    }

    /// Makes the first object unreachable and gives the job that frees it.
    pub fn replace(self: &Arc<Self>) -> Job {
        self.found.store(1, Relaxed);
        let shared = Arc::clone(self);
        Box::new(move || {
            shared.objects[0].with_mut(|object| {
                // SAFETY: loom checks that nobody else reads or writes.
                let state = unsafe { &mut *object };
                assert!(*state == State::Alive, "freed twice");
                *state = State::Freed;
            });
            shared.freed.store(true, Relaxed);
        })
    }

    /// Whether the first object has been freed.
    pub fn freed(&self) -> bool {
        self.freed.load(Relaxed)
    }

    /// What must hold when all threads have ended: nobody forgot the job.
    pub fn assert_freed(&self, domain: &Domain) {
        assert!(self.freed(), "the job was forgotten");
        assert_eq!(domain.pending(), 0);
    }
}
