//! `retire` against participants that come online, quiesce and leave.

use std::sync::Arc;
use std::sync::Mutex as UntrackedMutex;

use epoch::sync::thread;
use epoch::{Domain, Participant};

use crate::support::{Shared, explore};

fn online(domain: &Arc<Domain>) -> Participant {
    let mut participant = domain.register();
    participant.online();
    participant
}

/// One vCPU comes online, reads and goes idle while another thread retires.
#[test]
fn reader() {
    explore(
        &["old read", "new read", "freed by retire", "freed later"],
        |coverage| {
            let (domain, shared) = (Domain::new(), Shared::new());
            let mut vcpu = domain.register();
            let reader = {
                let (shared, coverage) = (Arc::clone(&shared), Arc::clone(coverage));
                thread::spawn(move || {
                    vcpu.online();
                    coverage.either(shared.read(), "old read", "new read");
                    vcpu.offline();
                })
            };
            domain.retire(shared.replace());
            coverage.either(shared.freed(), "freed by retire", "freed later");
            reader.join().unwrap();
            shared.assert_freed(&domain);
        },
    );
}

/// A vCPU that is online from the start passes quiescent points and never goes idle in between.
#[test]
fn reader_quiesces() {
    explore(
        &[
            "old, then old",
            "old, then new",
            "new, then new",
            "freed at a quiescent point",
        ],
        |coverage| {
            let (domain, shared) = (Domain::new(), Shared::new());
            let mut vcpu = online(&domain);
            let reader = {
                let (shared, coverage) = (Arc::clone(&shared), Arc::clone(coverage));
                thread::spawn(move || {
                    let first = shared.read();
                    vcpu.quiesce();
                    let second = shared.read();
                    coverage.reached(match (first, second) {
                        (true, true) => "old, then old",
                        (true, false) => "old, then new",
                        (false, false) => "new, then new",
                        (false, true) => "new, then old",
                    });
                    vcpu.quiesce();
                    if shared.freed() {
                        coverage.reached("freed at a quiescent point");
                    }
                })
            };
            domain.retire(shared.replace());
            reader.join().unwrap();
            shared.assert_freed(&domain);
        },
    );
}

/// Idle and back again: the second online period must not hide what the first one read.
#[test]
fn idle_and_back() {
    explore(
        &["old, then old", "old, then new", "new, then new"],
        |coverage| {
            let (domain, shared) = (Domain::new(), Shared::new());
            let mut vcpu = online(&domain);
            let reader = {
                let (shared, coverage) = (Arc::clone(&shared), Arc::clone(coverage));
                thread::spawn(move || {
                    let first = shared.read();
                    vcpu.offline();
                    vcpu.online();
                    let second = shared.read();
                    coverage.reached(match (first, second) {
                        (true, true) => "old, then old",
                        (true, false) => "old, then new",
                        (false, false) => "new, then new",
                        (false, true) => "new, then old",
                    });
                })
            };
            domain.retire(shared.replace());
            reader.join().unwrap();
            shared.assert_freed(&domain);
        },
    );
}

/// Two vCPUs hold a job up; whichever quiesces last must notice.
#[test]
fn last_to_quiesce() {
    explore(&["seen by one", "seen by both"], |coverage| {
        let (domain, shared) = (Domain::new(), Shared::new());
        let vcpus = [online(&domain), online(&domain)];
        domain.retire(shared.replace());
        let threads = vcpus.map(|mut vcpu| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                vcpu.quiesce();
                let freed = shared.freed();
                // The end of a participant looks at the queue too, and would find what its quiesce
                // has forgotten: it must come after the verdict.
                (freed, vcpu)
            })
        });
        let [first, second] = threads.map(|thread| thread.join().unwrap());
        shared.assert_freed(&domain);
        coverage.either(first.0 && second.0, "seen by both", "seen by one");
    });
}

/// Two vCPUs and a retirer. One of the vCPUs may run the job, which the retirer has put into the
/// queue since that vCPU's fence.
#[test]
fn two_vcpus() {
    explore(&["old read", "new read"], |coverage| {
        let (domain, shared) = (Domain::new(), Shared::new());
        let mut idling = online(&domain);
        let mut reading = domain.register();
        let threads = [
            thread::spawn(move || idling.offline()),
            {
                let (shared, coverage) = (Arc::clone(&shared), Arc::clone(coverage));
                thread::spawn(move || {
                    reading.online();
                    coverage.either(shared.read(), "old read", "new read");
                    reading.offline();
                })
            },
            {
                let (domain, shared) = (Arc::clone(&domain), Arc::clone(&shared));
                thread::spawn(move || domain.retire(shared.replace()))
            },
        ];
        for thread in threads {
            thread.join().unwrap();
        }
        shared.assert_freed(&domain);
    });
}

/// A vCPU retires from inside a callback: never run there, and not forgotten.
#[test]
fn retire_while_online() {
    explore(
        &["left to the other", "ran at the own quiescent point"],
        |coverage| {
            let (domain, shared) = (Domain::new(), Shared::new());
            let mut other = online(&domain);
            let mut own = online(&domain);
            let thread = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    shared.read();
                    other.offline();
                })
            };
            domain.retire(shared.replace());
            assert!(!shared.freed(), "ran inside a callback");
            own.quiesce();
            coverage.either(
                shared.freed(),
                "ran at the own quiescent point",
                "left to the other",
            );
            thread.join().unwrap();
            shared.assert_freed(&domain);
        },
    );
}

/// Two retirers, one vCPU, and a job that retires: every job once, in order, never nested.
#[test]
fn jobs_in_order() {
    explore(
        &["main first", "other first", "one drainer", "two drainers"],
        |coverage| {
            let domain = Domain::new();
            let log = Arc::new(UntrackedMutex::new(Vec::new()));
            let job = |name: &'static str| {
                let log = Arc::clone(&log);
                move || log.lock().unwrap().push((name, thread::current().id()))
            };
            let nesting = {
                let (weak, begin, end, last) = (
                    Arc::downgrade(&domain),
                    job("outer begins"),
                    job("outer ends"),
                    job("inner"),
                );
                move || {
                    begin();
                    let domain = weak.upgrade().expect("the model still holds it");
                    domain.retire(Box::new(last));
                    end();
                }
            };
            let mut vcpu = online(&domain);
            let idler = thread::spawn(move || vcpu.offline());
            let retirer = {
                let (domain, other) = (Arc::clone(&domain), job("other"));
                thread::spawn(move || domain.retire(Box::new(other)))
            };
            domain.retire(Box::new(nesting));
            idler.join().unwrap();
            retirer.join().unwrap();
            assert_eq!(domain.pending(), 0, "a job was forgotten");
            let log = log.lock().unwrap();
            let names: Vec<_> = log.iter().map(|entry| entry.0).collect();
            match names[..] {
                ["outer begins", "outer ends", "other", "inner"]
                | ["outer begins", "outer ends", "inner", "other"] => {
                    coverage.reached("main first")
                }
                ["other", "outer begins", "outer ends", "inner"] => coverage.reached("other first"),
                _ => panic!("order: {names:?}"),
            }
            coverage.either(
                log.iter().all(|entry| entry.1 == log[0].1),
                "one drainer",
                "two drainers",
            );
        },
    );
}
