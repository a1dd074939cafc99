//! What a domain promises, on one thread.

#![cfg(not(hartscope_loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use epoch::{Domain, Job, Participant};

/// A counter and jobs that add to it.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    fn job(&self) -> Job {
        let count = self.clone();
        Box::new(move || {
            count.0.fetch_add(1, Relaxed);
        })
    }

    fn get(&self) -> usize {
        self.0.load(Relaxed)
    }
}

fn online(domain: &Arc<Domain>) -> Participant {
    let mut participant = domain.register();
    participant.online();
    participant
}

#[test]
fn without_online_participants_a_job_runs_at_once() {
    let domain = Domain::new();
    let _offline = domain.register();
    let ran = Count::default();
    domain.retire(ran.job());
    assert_eq!(ran.get(), 1);
    assert_eq!(domain.pending(), 0);
}

#[test]
fn a_job_waits_for_every_online_participant() {
    let domain = Domain::new();
    let (mut a, mut b, c) = (online(&domain), online(&domain), online(&domain));
    let ran = Count::default();
    domain.retire(ran.job());
    assert!(a.needs_quiesce());
    a.quiesce();
    assert!(!a.needs_quiesce());
    a.quiesce();
    b.offline();
    domain.poll();
    assert_eq!((ran.get(), domain.pending()), (0, 1));
    drop(c);
    assert_eq!((ran.get(), domain.pending()), (1, 0));
}

#[test]
fn quiescing_while_offline_does_not_bring_anyone_online() {
    let domain = Domain::new();
    let mut idle = domain.register();
    domain.retire(Box::new(|| ()));
    idle.quiesce();
    assert!(!idle.is_online());
    let ran = Count::default();
    domain.retire(ran.job());
    assert_eq!(ran.get(), 1);
}

#[test]
fn who_comes_online_later_is_not_waited_for() {
    let domain = Domain::new();
    let mut early = online(&domain);
    let ran = Count::default();
    domain.retire(ran.job());
    let _late = online(&domain);
    early.quiesce();
    assert_eq!(ran.get(), 1);
}

#[test]
fn an_online_participants_own_thread_never_runs_jobs_inside_retire() {
    let domain = Domain::new();
    let mut vcpu = online(&domain);
    let ran = Count::default();
    for _ in 0..3 {
        domain.retire(ran.job());
        assert_eq!(ran.get(), 0);
    }
    vcpu.quiesce();
    assert_eq!(ran.get(), 3);
}

#[test]
fn jobs_run_in_order_and_never_nested() {
    let domain = Domain::new();
    let log = Arc::new(Mutex::new(Vec::new()));
    let outer = {
        let (domain, log) = (Arc::clone(&domain), Arc::clone(&log));
        move || {
            let inner = Arc::clone(&log);
            domain.retire(Box::new(move || {
                inner.lock().unwrap().push("retired by a job")
            }));
            log.lock().unwrap().push("first");
        }
    };
    let mut vcpu = online(&domain);
    domain.retire(Box::new(outer));
    let second = Arc::clone(&log);
    domain.retire(Box::new(move || second.lock().unwrap().push("second")));
    vcpu.offline();
    assert_eq!(
        *log.lock().unwrap(),
        ["first", "second", "retired by a job"]
    );
}

#[test]
fn a_scan_with_everybody_offline_says_nothing_about_later_jobs() {
    let domain = Domain::new();
    let ran = Count::default();
    let reader = Arc::new(Mutex::new(domain.register()));
    let job = {
        let (domain, ran, reader) = (Arc::clone(&domain), ran.clone(), Arc::clone(&reader));
        move || {
            reader.lock().unwrap().online();
            domain.retire(ran.job());
        }
    };
    domain.retire(Box::new(job));
    assert_eq!(ran.get(), 0, "the reader has been online since before");
    reader.lock().unwrap().quiesce();
    assert_eq!(ran.get(), 1);
}

#[test]
fn slots_are_used_again() {
    let domain = Domain::new();
    let keeper = domain.register();
    for _ in 0..100_000 {
        let mut guest_thread = online(&domain);
        assert_eq!(guest_thread.index(), 1);
        guest_thread.quiesce();
    }
    assert_eq!(keeper.index(), 0);
}

#[test]
fn a_stall_report_names_the_holders() {
    let domain = Domain::new();
    assert_eq!(domain.oldest(), None);
    let (mut a, b) = (online(&domain), online(&domain));
    a.set_tag(70);
    b.set_tag(71);
    domain.retire(Box::new(|| ()));
    domain.retire(Box::new(|| ()));
    a.quiesce();
    let stall = domain.oldest().expect("b has not quiesced");
    assert_eq!(stall.pending, 2);
    let holders: Vec<_> = stall.holders.iter().map(|h| (h.index, h.tag)).collect();
    assert_eq!(holders, [(1, 71)]);
    drop(b);
    assert_eq!(domain.oldest(), None);
    let next_owner = online(&domain);
    domain.retire(Box::new(|| ()));
    let stall = domain.oldest().expect("somebody is online");
    assert!(
        stall.holders.iter().all(|holder| holder.tag != 71),
        "a label does not outlive its owner"
    );
    drop(next_owner);
}

#[test]
fn a_job_that_panics_does_not_keep_the_others() {
    let domain = Domain::new();
    let mut vcpu = online(&domain);
    let ran = Count::default();
    domain.retire(Box::new(|| panic!("on purpose")));
    domain.retire(ran.job());
    let result = catch_unwind(AssertUnwindSafe(|| vcpu.quiesce()));
    assert!(result.is_err());
    assert_eq!((ran.get(), domain.pending()), (0, 1));
    domain.poll();
    assert_eq!((ran.get(), domain.pending()), (1, 0));
}

#[test]
fn dropping_the_domain_runs_what_is_left() {
    let domain = Domain::new();
    let ran = Count::default();
    let leaves_a_job_behind = {
        let (domain, ran) = (Arc::clone(&domain), ran.clone());
        move || {
            domain.retire(ran.job());
            panic!("on purpose");
        }
    };
    let result = catch_unwind(AssertUnwindSafe(|| {
        domain.retire(Box::new(leaves_a_job_behind));
    }));
    assert!(result.is_err());
    assert_eq!(ran.get(), 0);
    drop(domain);
    assert_eq!(ran.get(), 1);
}
