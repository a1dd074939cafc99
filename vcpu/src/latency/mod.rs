//! How long vCPUs take: histograms that each vCPU keeps of itself, and reports on one that holds up
//! everybody's grace periods.
//!
//! 1. Until somebody wants it ([`Config::latencies`](crate::Config), or
//!    [`Engine::record_latencies`](crate::Engine::record_latencies) while the guest runs) nothing is
//!    recorded and no clock is read: what is left is a look at an `Option` where the run loop turns.
//! 2. A vCPU records on its own thread, into memory of its own ([`histogram`]). Readers take copies and
//!    are never waited for.
//! 3. A number's histograms outlive its vCPU, and go on with the next one of that number.
//! 4. In the child of a fork nothing is recorded any more: a reader there might have held locks.

mod recorder;
mod stall;

use std::sync::{Arc, OnceLock, Weak};

use epoch::Domain;
use epoch::sync::Mutex;

pub use histogram::Counts;
pub use stall::{Doing, Stalled};

pub(crate) use recorder::Recorder;

/// What is measured. In the host's time, if nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From one quiescent point to the next, or to going offline. (A vCPU that computes passes none
    /// until somebody asks for one, which is a request like any other: see [`Kind::Kick`].)
    Quiescence,
    /// From a request (a kick, or that somebody waits for a grace period) to its being taken; while
    /// the vCPU is offline the clock stands.
    Kick,
    /// The translation of a block.
    Translation,
    /// A system call, from leaving guest code to returning to it, less [`Kind::Idle`].
    Syscall,
    /// In the host's kernel for a call that may wait, and in all other places where nobody waits for
    /// the vCPU.
    Idle,
    /// From the publication of an instrumentation set to this vCPU's going over to it; while the vCPU
    /// is offline the clock stands.
    Flip,
    /// From the publication of an attachment to the plugin's first callback on this vCPU, or to the
    /// first block that it has instrumented; while the vCPU is offline the clock stands.
    Attach,
    /// From the publication of a detachment to when the plugin's last callback on this vCPU has
    /// returned and no other can come; while the vCPU is offline the clock stands.
    Detach,
    /// Processor time in a quiescent point that has something to do: to go over to another set, or
    /// what waited for a grace period.
    Pause,
    /// Processor time in the translation of a block for plugins, with what they do about it.
    Instrument,
    /// The sum of [`Kind::Pause`] and [`Kind::Instrument`] from one going over to the next: what an
    /// attachment or detachment has cost this vCPU.
    Toll,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 11] = [
        Kind::Quiescence,
        Kind::Kick,
        Kind::Translation,
        Kind::Syscall,
        Kind::Idle,
        Kind::Flip,
        Kind::Attach,
        Kind::Detach,
        Kind::Pause,
        Kind::Instrument,
        Kind::Toll,
    ];

    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Quiescence => "quiescence",
            Kind::Kick => "kick",
            Kind::Translation => "translation",
            Kind::Syscall => "syscall",
            Kind::Idle => "idle",
            Kind::Flip => "flip",
            Kind::Attach => "attach",
            Kind::Detach => "detach",
            Kind::Pause => "pause",
            Kind::Instrument => "instrument",
            Kind::Toll => "toll",
        }
    }
}

/// The histograms of one vCPU as of some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VcpuLatencies([Counts; Kind::ALL.len()]);

impl VcpuLatencies {
    /// One of them.
    pub fn of(&self, kind: Kind) -> &Counts {
        &self.0[kind as usize]
    }
}

/// The histograms of all vCPUs. See the module's rules.
#[derive(Default)]
pub struct Latencies {
    /// By number.
    recorders: Mutex<Vec<Arc<Recorder>>>,
    /// Whose grace periods [`Latencies::stalled`] looks at.
    domain: OnceLock<Weak<Domain>>,
}

impl Latencies {
    /// For an engine to come.
    pub fn new() -> Arc<Latencies> {
        Arc::default()
    }

    /// The histograms as of now, by vCPU.
    pub fn vcpus(&self) -> Vec<VcpuLatencies> {
        let recorders = self.recorders.lock().clone();
        recorders.iter().map(|recorder| recorder.copy()).collect()
    }

    /// Where the vCPU of this number records.
    pub(crate) fn recorder(&self, vcpu: u32) -> Arc<Recorder> {
        let mut recorders = self.recorders.lock();
        while recorders.len() <= vcpu as usize {
            recorders.push(Arc::default());
        }
        Arc::clone(&recorders[vcpu as usize])
    }

    /// The engine's domain. The first one stays.
    pub(crate) fn watch(&self, domain: &Arc<Domain>) {
        let _ = self.domain.set(Arc::downgrade(domain));
    }
}
