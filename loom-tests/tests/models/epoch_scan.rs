//! What the drainer's scan learns from a slot.
//!
//! An older job starts the drainer in each of these models, so that nothing has looked at the slot
//! before the scan that decides: an earlier look, followed by the drainer's own fence, would carry
//! the ordering that the scan has to carry alone.

use std::sync::Arc;

use epoch::sync::thread;
use epoch::{Domain, Participant};

use crate::support::{Coverage, Shared, explore};

/// Starts a third thread, given the index of the reader's slot.
type Beside = fn(&Arc<Domain>, u32, &Arc<Coverage>) -> Option<thread::JoinHandle<()>>;

/// Runs `step` of an online reader, who may end there, against a main thread whose going idle starts
/// the drainer; `beside` may run another thread.
fn scan_against(step: fn(&mut Option<Participant>), beside: Beside) -> impl Fn(&Arc<Coverage>) {
    move |coverage| {
        let (domain, shared) = (Domain::new(), Shared::new());
        let mut starter = domain.register();
        starter.online();
        domain.retire(Box::new(|| ()));
        let mut vcpu = domain.register();
        vcpu.online();
        let other = beside(&domain, vcpu.index(), coverage);
        let mut vcpu = Some(vcpu);
        let reader = {
            let (shared, coverage) = (Arc::clone(&shared), Arc::clone(coverage));
            thread::spawn(move || {
                coverage.either(shared.read(), "old read", "new read");
                step(&mut vcpu);
                vcpu
            })
        };
        domain.retire(shared.replace());
        starter.offline();
        coverage.either(shared.freed(), "freed by the starter", "freed later");
        drop(reader.join().unwrap());
        if let Some(other) = other {
            other.join().unwrap();
        }
        shared.assert_freed(&domain);
    }
}

const OUTCOMES: [&str; 4] = [
    "old read",
    "new read",
    "freed by the starter",
    "freed later",
];

/// The reader goes idle.
#[test]
fn scan_sees_leaver() {
    let step = |vcpu: &mut Option<Participant>| vcpu.as_mut().unwrap().offline();
    explore(&OUTCOMES, scan_against(step, |_, _, _| None));
}

/// The reader passes a quiescent point and stays online while others run.
#[test]
fn scan_sees_quiescer() {
    let step = |vcpu: &mut Option<Participant>| vcpu.as_mut().unwrap().quiesce();
    explore(&OUTCOMES, scan_against(step, |_, _, _| None));
}

/// The reader exits and another thread takes over its slot.
#[test]
fn slot_reuse() {
    let step = |vcpu: &mut Option<Participant>| *vcpu = None;
    let outcomes: Vec<_> = OUTCOMES
        .into_iter()
        .chain(["slot reused", "slot new"])
        .collect();
    explore(
        &outcomes,
        scan_against(step, |domain, index, coverage| {
            let (domain, coverage) = (Arc::clone(domain), Arc::clone(coverage));
            Some(thread::spawn(move || {
                let mut joining = domain.register();
                joining.online();
                coverage.either(joining.index() == index, "slot reused", "slot new");
                joining.offline();
            }))
        }),
    );
}
