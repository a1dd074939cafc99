//! A subscriber's life in the shipped runtime: it is added, called, reset and uninstalled by several
//! threads.
//!
//! The property of all of these: the subscriber is dropped once, which is where a plugin's library is
//! closed; no call of it begins after that or is still running, and each call happens before it. The
//! same goes for its new beginning after a reset, which comes before each later call.
//! What is called runs on one thread per model, as the runtime keeps what is being shown in
//! thread-local memory, which the threads of a model share.

use std::ptr;
use std::sync::atomic::{AtomicU32 as UntrackedU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock as UntrackedOnce};

use epoch::Domain;
use epoch::Participant;
use epoch::sync::cell::UnsafeCell;
use epoch::sync::thread;
use plugin_rt::{BuiltIn, Instruments, NotReset, PluginId, Refused, Runtime, Shown, current};
use scoreboard::Areas;
use translate::{Block, CpuState, Op};

use crate::support::explore;

/// What a subscriber has of its own: each call reads it, a new beginning and the end write it.
struct Data {
    cell: UnsafeCell<u32>,
    calls: UntrackedU32,
    beginnings: UntrackedU32,
    calls_anew: UntrackedU32,
    ends: UntrackedU32,
}

// SAFETY: the cell is what the models watch.
unsafe impl Sync for Data {}
// SAFETY: as above.
unsafe impl Send for Data {}

impl Data {
    fn new() -> Arc<Data> {
        Arc::new(Data {
            cell: UnsafeCell::new(1),
            calls: UntrackedU32::new(0),
            beginnings: UntrackedU32::new(0),
            calls_anew: UntrackedU32::new(0),
            ends: UntrackedU32::new(0),
        })
    }

    fn assert_ended_once(&self) {
        assert_eq!(self.ends.load(Relaxed), 1, "the end was forgotten");
    }
}

/// The subscriber, and what a call of it does besides.
struct Subscriber(Arc<Data>, Box<dyn Fn() + Send + Sync>);

impl BuiltIn for Subscriber {
    fn name(&self) -> &str {
        "model"
    }

    fn translated(&self, _block: &mut Shown<'_>) {
        assert_eq!(self.0.ends.load(Relaxed), 0, "called after the end");
        // SAFETY: loom checks that nobody writes.
        self.0.cell.with(|cell| assert_eq!(unsafe { *cell }, 1));
        self.0.calls.fetch_add(1, Relaxed);
        let beginnings = self.0.beginnings.load(Relaxed);
        self.0.calls_anew.fetch_add(beginnings.min(1), Relaxed);
        self.1();
        assert_eq!(self.0.ends.load(Relaxed), 0, "ended in the middle");
        let now = self.0.beginnings.load(Relaxed);
        assert_eq!(now, beginnings, "began anew in the middle");
    }

    fn begins_anew(&self) {
        assert_eq!(self.0.ends.load(Relaxed), 0, "began anew after the end");
        // SAFETY: loom checks that nobody else reads or writes.
        self.0.cell.with_mut(|cell| unsafe { *cell = 1 });
        self.0.beginnings.fetch_add(1, Relaxed);
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // SAFETY: loom checks that nobody else reads or writes.
        self.0.cell.with_mut(|cell| unsafe { *cell = 0 });
        self.0.ends.fetch_add(1, Relaxed);
    }
}

struct Model {
    domain: Arc<Domain>,
    runtime: Arc<Runtime>,
}

impl Model {
    fn new() -> Model {
        let domain = Domain::new();
        let runtime = Runtime::for_model(Areas::new(8), Arc::clone(&domain));
        Model { domain, runtime }
    }

    fn add(&self, data: &Arc<Data>) -> PluginId {
        let subscriber = Subscriber(Arc::clone(data), Box::new(|| ()));
        self.runtime.add(Arc::new(subscriber)).expect("room for it")
    }

    /// Whether a new vCPU calls it.
    fn calls(&self, data: &Data) -> bool {
        let before = data.calls.load(Relaxed);
        self.vcpu().run(1);
        data.calls.load(Relaxed) != before
    }

    fn vcpu(&self) -> Vcpu {
        Vcpu {
            state: CpuState::new(),
            participant: self.domain.register(),
            instruments: Instruments::new(Some(&self.runtime), 0),
        }
    }

    fn assert_over(&self) {
        assert_eq!(self.domain.pending(), 0, "a job was forgotten");
        assert!(self.runtime.plugins().is_empty());
    }
}

/// A vCPU as far as subscribers see it.
struct Vcpu {
    state: Box<CpuState>,
    participant: Participant,
    instruments: Instruments,
}

impl Vcpu {
    /// Comes online, meets so many new blocks with a quiescent point after each, and goes.
    fn run(mut self, blocks: u32) {
        // SAFETY: the state lives until the end of this function, and is this thread's only.
        unsafe { current::set(ptr::from_mut(&mut *self.state)) };
        self.participant.online();
        for _ in 0..blocks {
            self.instruments.refresh();
            let _ = self.instruments.translated(&block());
            self.participant.quiesce();
        }
        self.participant.offline();
        current::clear();
    }
}

fn block() -> Block {
    Block {
        pc: 0x1000,
        bytes: vec![0x13, 0, 0, 0],
        ops: vec![
            Op::Point {
                pc: 0x1000,
                n_insns: 1,
            },
            Op::Insn { pc: 0x1000, len: 4 },
        ],
        ..Block::default()
    }
}

fn note(coverage: &crate::support::Coverage, data: &Data) {
    coverage.either(data.calls.load(Relaxed) != 0, "called", "never called");
}

/// It is added and uninstalled while a vCPU calls.
#[test]
fn added_called_uninstalled() {
    explore(&["called", "never called"], |coverage| {
        let model = Model::new();
        let data = Data::new();
        let vcpu = model.vcpu();
        let runner = thread::spawn(move || vcpu.run(1));
        let id = model.add(&data);
        assert_eq!(model.runtime.uninstall(id), Ok(()));
        runner.join().unwrap();
        data.assert_ended_once();
        model.assert_over();
        note(coverage, &data);
    });
}

/// Two threads uninstall it: one of them is told that it has.
#[test]
fn uninstalled_twice() {
    explore(&["called", "never called", "first", "second"], |coverage| {
        let model = Model::new();
        let data = Data::new();
        let id = model.add(&data);
        let vcpu = model.vcpu();
        let runner = thread::spawn(move || vcpu.run(1));
        let other = {
            let runtime = Arc::clone(&model.runtime);
            thread::spawn(move || runtime.uninstall(id))
        };
        let mine = model.runtime.uninstall(id);
        let others = other.join().unwrap();
        assert_ne!(mine.is_ok(), others.is_ok(), "granted once");
        coverage.either(mine.is_ok(), "first", "second");
        runner.join().unwrap();
        data.assert_ended_once();
        model.assert_over();
        note(coverage, &data);
    });
}

/// It uninstalls itself from a call, and another thread uninstalls it, too.
#[test]
fn uninstalled_by_itself() {
    explore(&["by itself", "by the other"], |coverage| {
        let model = Model::new();
        let data = Data::new();
        let own_id: Arc<UntrackedOnce<PluginId>> = Arc::default();
        let grants: Arc<UntrackedU32> = Arc::default();
        let call = {
            let (runtime, own_id) = (Arc::downgrade(&model.runtime), Arc::clone(&own_id));
            let (coverage, grants) = (Arc::clone(coverage), Arc::clone(&grants));
            move || {
                let (Some(runtime), Some(&id)) = (runtime.upgrade(), own_id.get()) else {
                    return;
                };
                let granted = runtime.uninstall(id).is_ok();
                coverage.either(granted, "by itself", "by the other");
                grants.fetch_add(granted.into(), Relaxed);
            }
        };
        let subscriber = Subscriber(Arc::clone(&data), Box::new(call));
        let id = model.runtime.add(Arc::new(subscriber)).expect("room");
        own_id.set(id).unwrap();
        let vcpu = model.vcpu();
        let runner = thread::spawn(move || vcpu.run(1));
        let granted = model.runtime.uninstall(id).is_ok();
        grants.fetch_add(granted.into(), Relaxed);
        runner.join().unwrap();
        assert_eq!(grants.load(Relaxed), 1, "granted once");
        data.assert_ended_once();
        model.assert_over();
    });
}

/// A vCPU appears and goes while another one holds the grace period up.
#[test]
fn vcpu_appears_meanwhile() {
    explore(&["called", "never called"], |coverage| {
        let model = Model::new();
        let data = Data::new();
        let id = model.add(&data);
        let mut holder = model.domain.register();
        holder.online();
        let runner = {
            let (domain, runtime) = (Arc::clone(&model.domain), Arc::clone(&model.runtime));
            thread::spawn(move || Model { domain, runtime }.vcpu().run(1))
        };
        assert_eq!(model.runtime.uninstall(id), Ok(()));
        holder.offline();
        runner.join().unwrap();
        drop(holder);
        data.assert_ended_once();
        model.assert_over();
        note(coverage, &data);
    });
}

/// One is uninstalled while another is added.
#[test]
fn another_is_added() {
    explore(&["called", "never called"], |coverage| {
        let model = Model::new();
        let (data, other) = (Data::new(), Data::new());
        let id = model.add(&data);
        let vcpu = model.vcpu();
        let runner = thread::spawn(move || vcpu.run(1));
        let adder = {
            let (domain, runtime) = (Arc::clone(&model.domain), Arc::clone(&model.runtime));
            let other = Arc::clone(&other);
            thread::spawn(move || Model { domain, runtime }.add(&other))
        };
        assert_eq!(model.runtime.uninstall(id), Ok(()));
        let other_id = adder.join().unwrap();
        runner.join().unwrap();
        data.assert_ended_once();
        assert_eq!(other.ends.load(Relaxed), 0);
        assert!(model.calls(&other), "its addition was lost");
        assert_eq!(model.runtime.uninstall(other_id), Ok(()));
        other.assert_ended_once();
        model.assert_over();
        note(coverage, &data);
    });
}

/// Asks for a reset, and lets the thread that is told of it do the rest; counts how often that is.
fn reset(runtime: &Arc<Runtime>, id: PluginId, told: &Arc<UntrackedU32>) -> Result<(), Refused> {
    let (weak, told) = (Arc::downgrade(runtime), Arc::clone(told));
    runtime.reset(id, move || {
        told.fetch_add(1, Relaxed);
        let begun = weak.upgrade().map(|runtime| runtime.begin_anew(id));
        match begun {
            Some(Ok(()) | Err(NotReset::Refused(Refused::Ending))) => {}
            other => panic!("{other:?}"),
        }
    })
}

/// One is reset while another is added: both are called from then on, and the first has begun anew.
#[test]
fn reset_beside_an_attach() {
    explore(
        &["called anew", "never called", "called before"],
        |coverage| {
            let model = Model::new();
            let (data, other) = (Data::new(), Data::new());
            let told = Arc::default();
            let id = model.add(&data);
            let vcpu = model.vcpu();
            let runner = thread::spawn(move || vcpu.run(1));
            let adder = {
                let (domain, runtime) = (Arc::clone(&model.domain), Arc::clone(&model.runtime));
                let other = Arc::clone(&other);
                thread::spawn(move || Model { domain, runtime }.add(&other))
            };
            assert_eq!(reset(&model.runtime, id, &told), Ok(()));
            let other_id = adder.join().unwrap();
            runner.join().unwrap();
            assert_eq!(told.load(Relaxed), 1);
            assert_eq!(data.beginnings.load(Relaxed), 1, "the reset was forgotten");
            assert_eq!(data.ends.load(Relaxed) + other.ends.load(Relaxed), 0);
            coverage.reached(
                match (data.calls.load(Relaxed), data.calls_anew.load(Relaxed)) {
                    (0, _) => "never called",
                    (_, 0) => "called before",
                    (_, _) => "called anew",
                },
            );
            assert!(model.calls(&other), "the addition was lost");
            assert!(model.calls(&data), "the new beginning was lost");
            for id in [id, other_id] {
                assert_eq!(model.runtime.uninstall(id), Ok(()));
            }
            data.assert_ended_once();
            other.assert_ended_once();
            model.assert_over();
        },
    );
}

/// Two threads reset it: each that is granted is told, and the other one knows.
#[test]
fn reset_twice() {
    explore(&["one of them", "both"], |coverage| {
        let model = Model::new();
        let data = Data::new();
        let told = Arc::default();
        let id = model.add(&data);
        let vcpu = model.vcpu();
        let runner = thread::spawn(move || vcpu.run(1));
        let other = {
            let (runtime, told) = (Arc::clone(&model.runtime), Arc::clone(&told));
            thread::spawn(move || reset(&runtime, id, &told))
        };
        let mine = reset(&model.runtime, id, &told);
        let answers = [mine, other.join().unwrap()];
        runner.join().unwrap();
        let granted = answers.iter().filter(|answer| answer.is_ok()).count() as u32;
        coverage.either(granted == 1, "one of them", "both");
        for answer in answers {
            // The other one may be in the middle of its installation.
            let known = [Ok(()), Err(Refused::Resetting), Err(Refused::Installing)];
            assert!(known.contains(&answer));
        }
        assert_eq!(told.load(Relaxed), granted);
        assert_eq!(data.beginnings.load(Relaxed), granted);
        assert!(model.calls(&data), "the new beginning was lost");
        assert_eq!(model.runtime.uninstall(id), Ok(()));
        data.assert_ended_once();
        model.assert_over();
    });
}

/// It is reset from a call of it, and another thread uninstalls it: it ends, whoever was first.
#[test]
fn reset_by_itself() {
    explore(&["reset", "ending", "never called"], |coverage| {
        let model = Model::new();
        let data = Data::new();
        let own_id: Arc<UntrackedOnce<PluginId>> = Arc::default();
        let (told, granted): (Arc<UntrackedU32>, Arc<UntrackedU32>) = Default::default();
        let call = {
            let (runtime, own_id) = (Arc::downgrade(&model.runtime), Arc::clone(&own_id));
            let (told, granted) = (Arc::clone(&told), Arc::clone(&granted));
            let coverage = Arc::clone(coverage);
            move || {
                let (Some(runtime), Some(&id)) = (runtime.upgrade(), own_id.get()) else {
                    return;
                };
                let answer = reset(&runtime, id, &told);
                coverage.either(answer.is_ok(), "reset", "ending");
                granted.fetch_add(answer.is_ok().into(), Relaxed);
            }
        };
        let subscriber = Subscriber(Arc::clone(&data), Box::new(call));
        let id = model.runtime.add(Arc::new(subscriber)).expect("room");
        own_id.set(id).unwrap();
        let vcpu = model.vcpu();
        let runner = thread::spawn(move || vcpu.run(1));
        let uninstalled = model.runtime.uninstall(id);
        runner.join().unwrap();
        if data.calls.load(Relaxed) == 0 {
            coverage.reached("never called");
        }
        assert_eq!(told.load(Relaxed), granted.load(Relaxed));
        // It may have been asked for in the middle of the new beginning.
        if uninstalled == Err(Refused::Installing) {
            assert_eq!(model.runtime.uninstall(id), Ok(()));
        } else {
            assert_eq!(uninstalled, Ok(()));
        }
        data.assert_ended_once();
        assert!(!model.calls(&data), "it has begun anew after its end");
        model.assert_over();
    });
}
