//! Real threads on real hardware: readers, writers, and threads that come and go.

#![cfg(not(hartscope_loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::thread;

use epoch::Domain;

const ALIVE: u64 = 0x5eed_0fa1_1b10_c5a7;
const DEAD: u64 = 0xdead_dead_dead_dead;
const WRITES: usize = 200_000;

/// A shared object that knows whether it has been freed.
struct Object {
    canary: [u64; 4],
}

impl Object {
    fn new() -> *mut Object {
        Box::into_raw(Box::new(Object { canary: [ALIVE; 4] }))
    }
}

/// A raw pointer on its way into a job.
struct Retired(*mut Object);
// SAFETY: the job is the only one to use the pointer.
unsafe impl Send for Retired {}

impl Retired {
    fn free(self) {
        // SAFETY: made by `Object::new`; unreachable, and its grace period is over.
        let mut object = unsafe { Box::from_raw(self.0) };
        assert_eq!(object.canary, [ALIVE; 4], "freed twice");
        object.canary = [DEAD; 4];
    }
}

#[test]
fn readers_never_see_a_freed_object_and_everything_is_freed() {
    let domain = Domain::new();
    let shared = Arc::new(AtomicPtr::new(Object::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let freed = Arc::new(AtomicUsize::new(0));

    let read = |shared: &AtomicPtr<Object>| {
        // SAFETY: the caller is online, so what it finds is not freed before it quiesces.
        let object = unsafe { &*shared.load(Ordering::Acquire) };
        assert_eq!(object.canary, [ALIVE; 4]);
    };

    thread::scope(|scope| {
        for id in 0..2 {
            let (domain, shared, stop) = (&domain, &shared, &stop);
            scope.spawn(move || {
                let mut reader = domain.register();
                reader.set_tag(id);
                reader.online();
                let mut round = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    read(shared);
                    round += 1;
                    if round.is_multiple_of(97) {
                        reader.offline();
                        thread::yield_now();
                        reader.online();
                    } else {
                        reader.quiesce();
                    }
                }
            });
        }
        let (domain_ref, shared_ref, stop_ref) = (&domain, &shared, &stop);
        scope.spawn(move || {
            while !stop_ref.load(Ordering::Relaxed) {
                let mut visitor = domain_ref.register();
                visitor.online();
                read(shared_ref);
                drop(visitor);
                thread::yield_now();
            }
        });
        let writer = scope.spawn(|| {
            for _ in 0..WRITES {
                let old = Retired(shared.swap(Object::new(), Ordering::AcqRel));
                let freed = Arc::clone(&freed);
                domain.retire(Box::new(move || {
                    old.free();
                    freed.fetch_add(1, Ordering::Relaxed);
                }));
            }
        });
        writer.join().expect("the writer does not panic");
        stop.store(true, Ordering::Relaxed);
    });

    assert_eq!(domain.pending(), 0, "no job was forgotten");
    assert_eq!(freed.load(Ordering::Relaxed), WRITES);
    Retired(shared.load(Ordering::Relaxed)).free();
}
