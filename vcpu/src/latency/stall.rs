//! Which vCPU holds up a grace period, where it is, and what it does.

use std::fmt;
use std::fs;
use std::time::Duration;

use super::Latencies;

/// A grace period that takes too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// How long it has been open.
    pub age: Duration,
    /// How many jobs wait for it, or for one after it.
    pub pending: usize,
    /// The vCPU that holds it up, or the one of several that has done so longest.
    pub vcpu: u32,
    /// How long ago that passed its last quiescent point.
    pub since: Duration,
    /// The guest's pc then, or at the stop since.
    pub pc: u64,
    /// What it does.
    pub doing: Doing,
    /// Its host thread.
    pub thread: u32,
    /// What the host says of that thread: running, or asleep in a system call.
    pub host: String,
}

/// What a vCPU does that passes no quiescent point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Doing {
    /// It has stopped, and its owner does something for it, a system call perhaps.
    Stopped,
    /// It runs guest code, or a callback of a plugin.
    Running,
    /// It translates.
    Translating,
}

impl Doing {
    pub(super) fn of(word: u64) -> Doing {
        let all = [Doing::Stopped, Doing::Running, Doing::Translating];
        all[(word as usize).min(all.len() - 1)]
    }
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.doing {
            Doing::Stopped => "in a system call, a signal, or a callback about them",
            Doing::Running => "in guest code or in a plugin's callback",
            Doing::Translating => "translating, or in the plugin that is shown the block",
        };
        write!(
            f,
            "a grace period has been open for {:.1} s ({} waiting): vCPU {} has been {doing} for \
             {:.1} s, from guest pc {:#x} on; its thread {} is {}",
            self.age.as_secs_f64(),
            self.pending,
            self.vcpu,
            self.since.as_secs_f64(),
            self.pc,
            self.thread,
            self.host,
        )
    }
}

impl Latencies {
    /// The oldest grace period, if it has been open for at least `limit` because of a vCPU.
    pub fn stalled(&self, limit: Duration) -> Option<Stalled> {
        let domain = self.domain.get()?.upgrade()?;
        let stall = domain.oldest().filter(|stall| stall.age >= limit)?;
        let recorders = self.recorders.lock().clone();
        let traces = stall.holders.iter().filter_map(|holder| {
            let vcpu = u32::try_from(holder.tag).ok()?;
            Some((vcpu, recorders.get(vcpu as usize)?.trace()?))
        });
        let (vcpu, trace) = traces.max_by_key(|(_, trace)| trace.since)?;
        Some(Stalled {
            age: stall.age,
            pending: stall.pending,
            vcpu,
            since: Duration::from_nanos(trace.since),
            pc: trace.pc,
            doing: trace.doing,
            thread: trace.thread,
            host: host_state(trace.thread),
        })
    }
}

/// What the host says of a thread of this process.
fn host_state(thread: u32) -> String {
    let read = |file| fs::read_to_string(format!("/proc/self/task/{thread}/{file}")).ok();
    // The name before the state is in parentheses and may hold anything.
    let stat = read("stat");
    let state = stat
        .as_deref()
        .and_then(|stat| stat.rsplit_once(") ")?.1.chars().next());
    let call = read("syscall");
    let number = call.as_deref().and_then(|call| call.split(' ').next());
    let word = match state {
        Some('R') => "running",
        Some('S') => "asleep",
        Some('D') => "waiting for a device",
        Some('T' | 't') => "stopped",
        Some(_) => "ending",
        None => "gone",
    };
    match number.and_then(|number| number.trim().parse::<u32>().ok()) {
        Some(number) => format!("{word} in system call {number}"),
        None => word.to_owned(),
    }
}
