//! What one vCPU records about itself.
//!
//! The vCPU alone writes, but for `kicked`, which tells what others did.
//! All words are for statistics, hence Relaxed: none of them orders anything else, and one that is
//! read too early makes one measurement shorter.

use std::cell::Cell;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use histogram::{Buckets, now, thread_cpu_time};

use super::{Doing, Kind, VcpuLatencies};

/// No moment.
const NEVER: u64 = 0;

/// Where a vCPU records. On lines of its own: its owner writes it at each turn of the run loop.
#[repr(align(128))]
pub(crate) struct Recorder {
    buckets: [Buckets; Kind::ALL.len()],
    /// The last quiescent point; [`NEVER`] while offline.
    quiescent: AtomicU64,
    /// When it came online.
    online: AtomicU64,
    /// When the oldest request was made that has not been taken.
    kicked: AtomicU64,
    /// When the system call began that is being made; [`NEVER`] outside of one.
    called: AtomicU64,
    /// How much of it was idle.
    idle: AtomicU64,
    /// See [`Kind::Toll`].
    toll: AtomicU64,
    /// The guest's pc at the last quiescent point.
    pc: AtomicU64,
    /// A [`Doing`].
    doing: AtomicU64,
    /// The host's name for its thread.
    thread: AtomicU64,
}

impl Default for Recorder {
    fn default() -> Recorder {
        let never = || AtomicU64::new(NEVER);
        Recorder {
            buckets: std::array::from_fn(|_| Buckets::new()),
            quiescent: never(),
            online: never(),
            kicked: never(),
            called: never(),
            idle: AtomicU64::new(0),
            toll: AtomicU64::new(0),
            pc: never(),
            doing: AtomicU64::new(Doing::Stopped as u64),
            thread: never(),
        }
    }
}

/// What a vCPU was last known to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    /// For how long it has passed no quiescent point, in nanoseconds.
    pub(super) since: u64,
    pub(super) pc: u64,
    pub(super) doing: Doing,
    pub(super) thread: u32,
}

impl Recorder {
    /// The vCPU comes online.
    pub(crate) fn online(&self, pc: u64) {
        let now = now();
        self.thread.store(thread_id(), Relaxed);
        self.online.store(now, Relaxed);
        self.quiescent.store(now, Relaxed);
        self.pc.store(pc, Relaxed);
    }

    /// The vCPU, online, passes a quiescent point.
    #[inline]
    pub(crate) fn quiescent(&self, pc: u64) {
        let now = now();
        self.end(Kind::Quiescence, self.quiescent.load(Relaxed), now);
        self.quiescent.store(now, Relaxed);
        self.pc.store(pc, Relaxed);
    }

    /// The vCPU begins to run guest code.
    pub(crate) fn runs(&self) {
        self.doing.store(Doing::Running as u64, Relaxed);
        let called = self.called.load(Relaxed);
        if called != NEVER {
            self.called.store(NEVER, Relaxed);
            let busy = called + self.idle.load(Relaxed);
            self.end(Kind::Syscall, busy, now());
        }
    }

    /// The vCPU has stopped, for its owner to do something: to make a system call, perhaps.
    pub(crate) fn stops(&self, pc: u64, is_syscall: bool) {
        self.doing.store(Doing::Stopped as u64, Relaxed);
        self.pc.store(pc, Relaxed);
        if is_syscall {
            self.called.store(now(), Relaxed);
            self.idle.store(0, Relaxed);
        }
    }

    /// The vCPU goes offline. Gives when.
    pub(crate) fn offline(&self) -> u64 {
        let now = now();
        self.end(Kind::Quiescence, self.quiescent.load(Relaxed), now);
        self.quiescent.store(NEVER, Relaxed);
        now
    }

    /// The vCPU has come back from where it went at `left`.
    pub(crate) fn back(&self, left: u64) {
        let online = self.online.load(Relaxed);
        self.end(Kind::Idle, left, online);
        let idle = self.idle.load(Relaxed) + online.saturating_sub(left);
        self.idle.store(idle, Relaxed);
    }

    /// Somebody requests something of the vCPU: to be called before the request is made. On any
    /// thread, also in a signal handler.
    #[inline]
    pub(crate) fn kicked(&self) {
        // The oldest request counts. One that is taken between this and its being made has been
        // measured as taken early.
        let _ = self.kicked.compare_exchange(NEVER, now(), Relaxed, Relaxed);
    }

    /// The vCPU has taken all requests.
    pub(crate) fn taken(&self) {
        let kicked = self.kicked.swap(NEVER, Relaxed);
        if kicked != NEVER {
            self.end(Kind::Kick, self.not_before_online(kicked), now());
        }
    }

    /// A translation begins. Gives when.
    pub(crate) fn translates(&self) -> u64 {
        self.doing.store(Doing::Translating as u64, Relaxed);
        now()
    }

    /// A translation has ended.
    pub(crate) fn translated(&self, begun: u64) {
        self.end(Kind::Translation, begun, now());
        self.doing.store(Doing::Running as u64, Relaxed);
    }

    /// A translation for plugins has taken so much processor time.
    pub(crate) fn instrumented(&self, cpu_time: u64) {
        self.buckets[Kind::Instrument as usize].add(cpu_time);
        self.owe(cpu_time);
    }

    /// A quiescent point had something to do, from when the thread's processor time was `begun`.
    pub(crate) fn paused(&self, begun: u64) {
        let cpu_time = thread_cpu_time().saturating_sub(begun);
        self.buckets[Kind::Pause as usize].add(cpu_time);
        self.owe(cpu_time);
    }

    fn owe(&self, cpu_time: u64) {
        let toll = self.toll.load(Relaxed) + cpu_time;
        self.toll.store(toll, Relaxed);
    }

    /// The vCPU goes over to another instrumentation set: what comes from now on is for that.
    pub(crate) fn settles(&self) {
        let toll = self.toll.swap(0, Relaxed);
        if toll != 0 {
            self.buckets[Kind::Toll as usize].add(toll);
        }
    }

    /// What was published then has become true on this vCPU at that moment.
    pub(crate) fn since(&self, kind: Kind, published: Instant, then: Instant) {
        let now = now();
        // The clock is the same, but an instant does not tell its reading.
        let ago = |instant: Instant| {
            let age = u64::try_from(instant.elapsed().as_nanos()).unwrap_or(u64::MAX);
            now.saturating_sub(age).max(1)
        };
        self.end(kind, self.not_before_online(ago(published)), ago(then));
    }

    fn not_before_online(&self, moment: u64) -> u64 {
        moment.max(self.online.load(Relaxed))
    }

    fn end(&self, kind: Kind, begun: u64, now: u64) {
        if begun != NEVER {
            self.buckets[kind as usize].add(now.saturating_sub(begun));
        }
    }

    pub(super) fn copy(&self) -> VcpuLatencies {
        VcpuLatencies(std::array::from_fn(|kind| self.buckets[kind].copy()))
    }

    /// What the vCPU is doing, if it is online.
    pub(super) fn trace(&self) -> Option<Trace> {
        let quiescent = self.quiescent.load(Relaxed);
        (quiescent != NEVER).then(|| Trace {
            since: now().saturating_sub(quiescent),
            pc: self.pc.load(Relaxed),
            doing: Doing::of(self.doing.load(Relaxed)),
            thread: self.thread.load(Relaxed) as u32,
        })
    }
}

/// The host's name for the calling thread.
fn thread_id() -> u64 {
    thread_local! {
        static ID: Cell<u64> = const { Cell::new(0) };
    }
    if ID.get() == 0 {
        // SAFETY: a plain query.
        ID.set(unsafe { libc::gettid() } as u64);
    }
    ID.get()
}
