//! A subscriber's life in the shipped runtime: it is added, called and uninstalled by several threads.
//!
//! The property of all of these: the subscriber is dropped once, which is where a plugin's library is
//! closed; no call of it begins after that or is still running, and each call happens before it.
//! What is called runs on one thread per model, as the runtime keeps what is being shown in
//! thread-local memory, which the threads of a model share.

use std::ptr;
use std::sync::atomic::{AtomicU32 as UntrackedU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock as UntrackedOnce};

use epoch::Domain;
use epoch::Participant;
use epoch::sync::cell::UnsafeCell;
use epoch::sync::thread;
use plugin_rt::{BuiltIn, Instruments, PluginId, Runtime, Shown, current};
use scoreboard::Areas;
use translate::ops::Point;
use translate::{Block, CpuState, Op};

use crate::support::explore;

/// What a subscriber has of its own: each call reads it, and the end writes it.
struct Data {
    cell: UnsafeCell<u32>,
    calls: UntrackedU32,
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
        self.1();
        assert_eq!(self.0.ends.load(Relaxed), 0, "ended in the middle");
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
            Op::Point(Point::BlockEntry {
                pc: 0x1000,
                n_insns: 1,
            }),
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
        assert!(model.runtime.uninstall(id));
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
        assert_ne!(mine, others, "granted once");
        coverage.either(mine, "first", "second");
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
        let call = {
            let (runtime, own_id) = (Arc::downgrade(&model.runtime), Arc::clone(&own_id));
            let coverage = Arc::clone(coverage);
            move || {
                let (Some(runtime), Some(&id)) = (runtime.upgrade(), own_id.get()) else {
                    return;
                };
                let granted = runtime.uninstall(id);
                coverage.either(granted, "by itself", "by the other");
            }
        };
        let subscriber = Subscriber(Arc::clone(&data), Box::new(call));
        let id = model.runtime.add(Arc::new(subscriber)).expect("room");
        own_id.set(id).unwrap();
        let vcpu = model.vcpu();
        let runner = thread::spawn(move || vcpu.run(1));
        model.runtime.uninstall(id);
        runner.join().unwrap();
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
        assert!(model.runtime.uninstall(id));
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
        assert!(model.runtime.uninstall(id));
        let other_id = adder.join().unwrap();
        runner.join().unwrap();
        data.assert_ended_once();
        assert_eq!(other.ends.load(Relaxed), 0);
        assert!(model.runtime.uninstall(other_id));
        other.assert_ended_once();
        model.assert_over();
        note(coverage, &data);
    });
}
