//! One vCPU, as its owner sees it.

use std::cell::Cell;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Instant;

use epoch::Participant;
use histogram::thread_cpu_time;
use plugin_rt::{Change, InstrumentationSet, Instruments, Refreshed, Runtime as Plugins, current};
use scoreboard::Slot;
use tb_cache::{ArenaOwner, Key, SetId};
use translate::interp;
use translate::lanes::Lanes;
use translate::ops::Op;
use translate::{CpuState, Fault, GuestMemory};

use crate::engine::{Backend, Engine};
use crate::fault::{self, Context, FaultKind};
use crate::latency::{Kind, Recorder};
use crate::memory::VcpuMemory;
use crate::place::Place;
use crate::state::{Kicker, OwnState};
use crate::stats::{Count, add};
use crate::thread;
use crate::translator::{Tools, Translator};

/// Why [`Vcpu::run`] returned. `pc` of the state is that of the instruction concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// `ecall`: a system call. The caller steps over it.
    Ecall,
    /// `ebreak`.
    Ebreak,
    /// An instruction that does not exist or is not allowed.
    Illegal,
    /// An access failed; nothing of the instruction has been done. Running again retries it.
    Fault(Fault),
    /// There is no executable instruction at `pc`.
    Fetch,
    /// A floating-point instruction, on a hart whose mode is [`translate::Mode::fp_off`].
    Float,
    /// Somebody kicked.
    Request,
}

/// A vCPU with memory of type `M`. Belongs to one thread at a time.
pub struct Vcpu<M> {
    pub(crate) engine: Arc<Engine>,
    pub(crate) state: OwnState,
    pub(crate) memory: Owned<M>,
    pub(crate) participant: Participant,
    pub(crate) arenas: ArenaOwner,
    pub(crate) translator: Translator,
    instruments: Instruments,
    /// Where it records how long things take.
    latency: Option<Arc<Recorder>>,
    /// Of the instrumentation set whose blocks run: what the state points to.
    lanes: Option<Arc<Lanes>>,
    /// What [`tb_cache::TbCache::retirements`] said when the jump cache was last known to be good.
    retirements: u64,
    /// How many executed instructions the engine's statistics know of.
    reported: u64,
    /// How often a floating-point flag has trapped.
    pub(crate) float_traps: u32,
    /// The block whose access has failed, if that is known.
    pub(crate) faulted: Option<Key>,
    /// Where an instruction has been begun that is to be done now ([`Vcpu::retry`]), and by which
    /// block.
    pub(crate) begun: Option<(u64, Option<Key>)>,
}

// SAFETY: everything is owned, or shared by means that are made for it.
unsafe impl<M: Send> Send for Vcpu<M> {}

impl<M: VcpuMemory> Vcpu<M> {
    /// A vCPU of `engine`, all registers 0, offline.
    ///
    /// Fails if the host has no address space left for its state, or too many mappings.
    pub fn new(engine: &Arc<Engine>, memory: M) -> io::Result<Vcpu<M>> {
        Vcpu::watched_by(engine.plugins(), engine, memory)
    }

    /// The same, of which no plugin sees anything.
    pub fn unwatched(engine: &Arc<Engine>, memory: M) -> io::Result<Vcpu<M>> {
        Vcpu::watched_by(None, engine, memory)
    }

    fn watched_by(
        plugins: Option<&Arc<Plugins>>,
        engine: &Arc<Engine>,
        memory: M,
    ) -> io::Result<Vcpu<M>> {
        fault::ensure_handlers();
        let area = engine.areas().claim()?;
        let state = OwnState::new(area);
        let (participant, arenas) = join(engine, &state);
        let instruments = Instruments::new(plugins, state.area().index());
        let mut vcpu = Vcpu {
            engine: Arc::clone(engine),
            state,
            memory: Owned::new(memory),
            participant,
            arenas,
            translator: Translator::new(),
            instruments,
            latency: None,
            lanes: None,
            retirements: 0,
            reported: 0,
            float_traps: 0,
            faulted: None,
            begun: None,
        };
        // After it has joined: whoever wants latencies recorded later asks those who have.
        vcpu.record_if_wanted();
        vcpu.install_stubs();
        vcpu.use_lanes();
        vcpu.state.set_fp_traps(engine.backend() == Backend::X86_64);
        Ok(vcpu)
    }

    /// The registers and the rest of the state.
    pub fn state(&mut self) -> &mut CpuState {
        &mut self.state
    }

    /// The memory that the vCPU was made with.
    pub fn memory(&mut self) -> &mut M {
        &mut self.memory
    }

    /// Memory and state, for who works on both.
    pub fn parts(&mut self) -> (&mut M, &mut CpuState) {
        (&mut self.memory, &mut self.state)
    }

    /// The engine that it runs on.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Something that makes [`Vcpu::run`] return soon.
    pub fn kicker(&self) -> Kicker {
        self.state.kicker()
    }

    /// Runs guest code from `state().pc` on, until something is to be done about it.
    ///
    /// The vCPU comes online and stays so: work that may block goes into
    /// [`Vcpu::while_offline`].
    pub fn run(&mut self) -> Stop {
        let runtime = self.engine.runtime();
        if thread::prepare(self.memory.host_base())
            && let Some(core) = self.engine.core(self.state.area().index() as usize)
        {
            core_affinity::set_for_current(core);
        }
        self.come_online();
        self.become_current();
        self.note_first_event();
        if let Some(latency) = &self.latency {
            latency.runs();
        }
        let context = self.context();
        let current = fault::Current::set(&context);
        let stop = match runtime {
            Some(runtime) => self.run_host_code(&runtime, &context.kind),
            None => self.run_ops(),
        };
        drop(current);
        if let Some(latency) = &self.latency {
            latency.stops(self.state.pc, stop == Stop::Ecall);
        }
        self.report_executed();
        stop
    }

    /// The access that the last [`Stop::Fault`] was about will succeed now. The next [`Vcpu::run`]
    /// makes it without telling plugins once more that the instruction is about to be executed, unless
    /// the guest goes on elsewhere.
    pub fn retry(&mut self) {
        if self.instruments.set() != SetId::EMPTY {
            self.begun = Some((self.state.pc, self.faulted));
        }
    }

    /// Does work that may take long, and in which nothing of the cache is used: grace periods do
    /// not wait for this vCPU meanwhile.
    pub fn while_offline<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let left = self.go_offline();
        let result = f();
        self.come_online();
        if let (Some(latency), Some(left)) = (&self.latency, left) {
            latency.back(left);
        }
        result
    }

    /// What tells plugins of events, on the vCPU's own thread. Online from here on, as callbacks are.
    #[inline]
    pub fn instruments(&mut self) -> &mut Instruments {
        self.come_online();
        self.become_current();
        &mut self.instruments
    }

    /// Calls `fork`, which says 0 in the child, with all that vCPUs share held still. In the child
    /// this vCPU is the only one; it then goes on with a new engine ([`Vcpu::adopt`]).
    pub fn while_forking(&mut self, fork: impl FnOnce() -> i32) -> i32 {
        self.go_offline();
        let engine = Arc::clone(&self.engine);
        let mut held = engine.areas().hold();
        let pid = fork();
        if pid == 0 {
            held.keep_only(self.state.area());
        }
        drop(held);
        self.come_online();
        pid
    }

    /// Callbacks on this thread are about this vCPU.
    fn become_current(&mut self) {
        // SAFETY: the state is this thread's while the vCPU is; `drop` clears it. Callbacks come while
        // the run loop holds no reference to the state.
        unsafe { current::set(self.state.as_ptr()) };
    }

    /// Makes what has been written to guest code visible to all vCPUs (`fence.i` on every hart).
    pub fn fence_i(&mut self) {
        self.come_online();
        self.engine
            .cache()
            .fence_i(&self.participant, self.engine.code());
    }

    /// Goes over to another engine, with all registers. The old engine is never touched again, nor
    /// freed: this is for the child of a `fork`, in which that engine's locks may be held, for ever,
    /// by threads that do not exist.
    pub fn adopt(&mut self, engine: &Arc<Engine>) {
        let (participant, arenas) = join(engine, &self.state);
        std::mem::forget(std::mem::replace(&mut self.engine, Arc::clone(engine)));
        std::mem::forget(std::mem::replace(&mut self.participant, participant));
        std::mem::forget(std::mem::replace(&mut self.arenas, arenas));
        self.latency = None;
        self.retirements = 0;
        self.state.clear_jump_cache();
        self.install_stubs();
        self.use_lanes();
    }

    /// Blocks of the present instrumentation set run from now on.
    fn use_lanes(&mut self) {
        self.lanes = self.engine.lanes(self.set());
        self.state.lanes = self.lanes.as_deref().map_or(ptr::null(), ptr::from_ref);
    }

    fn install_stubs(&mut self) {
        self.state.guest_base = self.memory.host_base();
        if let Some(runtime) = self.engine.runtime() {
            runtime.install(&mut self.state, run_helper::<M>);
        }
    }

    /// What signal handlers and helpers work on while this vCPU runs.
    fn context(&mut self) -> Context {
        Context {
            code: match self.engine.backend() {
                Backend::X86_64 => self.engine.cache().code_range(),
                Backend::Interp => 0..0,
            },
            fault_stub: self
                .engine
                .runtime()
                .map_or(0, |runtime| runtime.fault_stub().expose_provenance() as u64),
            state: self.state.as_ptr(),
            memory: self.memory.as_ptr().cast(),
            kind: Cell::new(FaultKind::default()),
        }
    }

    fn come_online(&mut self) {
        let mut pause = None;
        if let Some(latency) = &self.latency
            && !self.participant.is_online()
        {
            latency.online(self.state.pc);
            pause = self.instruments.is_behind().then(thread_cpu_time);
        }
        self.participant.online();
        self.check_retirements();
        self.end_pause(pause);
    }

    /// Gives when, if that is recorded.
    fn go_offline(&mut self) -> Option<u64> {
        self.note_first_event();
        let pause = self.begin_pause();
        self.participant.offline();
        self.end_pause(pause);
        self.latency.as_ref().map(|latency| latency.offline())
    }

    /// Holds no reference into the cache at this moment. Gives whether host addresses of blocks are
    /// still good.
    #[inline]
    pub(crate) fn quiesce(&mut self) -> bool {
        if self.latency.is_some() {
            return self.quiesce_recorded();
        }
        self.participant.quiesce();
        self.check_retirements()
    }

    fn quiesce_recorded(&mut self) -> bool {
        if let Some(latency) = &self.latency {
            latency.quiescent(self.state.pc);
        }
        let pause = self.begin_pause();
        self.participant.quiesce();
        let good = self.check_retirements();
        self.end_pause(pause);
        good
    }

    /// The thread's processor time, if a quiescent point is about to have something to do and that is
    /// recorded.
    fn begin_pause(&mut self) -> Option<u64> {
        let has_to_do = self.latency.is_some()
            && (self.participant.needs_quiesce() || self.instruments.is_behind());
        has_to_do.then(thread_cpu_time)
    }

    fn end_pause(&self, begun: Option<u64>) {
        if let (Some(latency), Some(begun)) = (&self.latency, begun) {
            latency.paused(begun);
        }
    }

    /// Records from now on, if that is wanted. Comes after each request, among others for this.
    #[cold]
    pub(crate) fn record_if_wanted(&mut self) {
        if self.latency.is_some() {
            return;
        }
        let Some(latencies) = self.engine.latencies() else {
            return;
        };
        let recorder = latencies.recorder(self.state.area().index());
        if self.participant.is_online() {
            recorder.online(self.state.pc);
            recorder.runs();
        }
        self.state.record(Arc::clone(&recorder));
        self.latency = Some(recorder);
    }

    /// Comes after each quiescent point and each coming online, and before the jump cache is used:
    /// see "Jump caches" in the documentation of [`tb_cache`]. Also the moment at which the vCPU goes
    /// over to another instrumentation set.
    #[inline]
    fn check_retirements(&mut self) -> bool {
        let retirements = self.engine.cache().retirements();
        let refreshed = self.instruments.refresh();
        let goes_over = refreshed == Refreshed::OtherBlocks;
        let good = retirements == self.retirements && !goes_over;
        if !good {
            self.retirements = retirements;
            self.state.clear_jump_cache();
        }
        if refreshed != Refreshed::Nothing {
            self.note_refresh(goes_over);
        }
        if goes_over {
            self.use_lanes();
        }
        good
    }

    /// The vCPU goes by another publication from now on.
    #[cold]
    fn note_refresh(&mut self, goes_over: bool) {
        let (Some(latency), Some((change, at))) = (&self.latency, self.instruments.publication())
        else {
            return;
        };
        let now = Instant::now();
        if goes_over {
            latency.settles();
            latency.since(Kind::Flip, at, now);
        }
        if change == Change::Detach {
            latency.since(Kind::Detach, at, now);
        }
    }

    /// The block that has been found is about to run.
    #[inline]
    pub(crate) fn enters_block(&mut self) {
        if self.instruments.enters_block() {
            self.note_first_event();
        }
    }

    /// Adds the instructions executed since the last time to the engine's statistics.
    fn report_executed(&mut self) {
        let executed = InstrumentationSet::insns_counted(&self.state);
        let new = executed.wrapping_sub(self.reported);
        if new != 0 {
            add(self.counts(), Count::Executed, new);
            self.reported = executed;
        }
    }

    /// What the block for the present state is found by, whose code is there.
    pub(crate) fn key(&self, place: Place) -> Key {
        Key {
            pc: self.state.pc,
            page: place.key(),
            mode: self.state.mode(),
            set: self.set(),
        }
    }

    /// What blocks are instrumented for.
    fn set(&self) -> SetId {
        match self.instruments.set() {
            SetId::EMPTY => self.engine.set().id(),
            set => set,
        }
    }

    /// What the block for the present state is made with, and found by.
    #[inline]
    pub(crate) fn tools(&mut self, place: Place) -> (&mut Translator, Tools<'_, '_>, Key) {
        let key = self.key(place);
        let tools = Tools {
            engine: &self.engine,
            online: &self.participant,
            arenas: &mut self.arenas,
            instruments: &mut self.instruments,
            lanes: self.lanes.as_deref(),
            place,
            vcpu: self.state.area().index(),
            latency: self.latency.as_deref(),
        };
        (&mut self.translator, tools, key)
    }

    /// Where this vCPU counts.
    pub(crate) fn counts(&self) -> Option<Slot<'_>> {
        self.engine.counts(self.state.area().index())
    }
}

impl<M> Vcpu<M> {
    /// Records when an attached plugin has had its first event here. To be called before the vCPU goes
    /// offline again: what comes before it was online does not count.
    fn note_first_event(&mut self) {
        if let Some(latency) = &self.latency
            && let Some((published, event)) = self.instruments.take_first_event()
        {
            latency.since(Kind::Attach, published, event);
        }
    }
}

impl<M> Drop for Vcpu<M> {
    fn drop(&mut self) {
        self.note_first_event();
        if let Some(latency) = &self.latency {
            latency.settles();
            latency.offline();
        }
        self.engine.dismiss(&self.state);
        let counts = self.engine.counts(self.state.area().index());
        add(counts, Count::CpuTime, thread_cpu_time());
        if current::state().is_some_and(|state| state.as_ptr() == self.state.as_ptr()) {
            current::clear();
        }
    }
}

/// Makes a vCPU a member of an engine.
fn join(engine: &Arc<Engine>, state: &OwnState) -> (Participant, ArenaOwner) {
    let participant = engine.domain().register();
    participant.set_tag(u64::from(state.area().index()));
    engine.enlist(state.kicker());
    (participant, engine.cache().arena_owner())
}

/// Called by generated code for an op that it has no inline code for.
///
/// # Safety
///
/// The thread's context is that of a `Vcpu<M>`, whose state this is.
unsafe extern "C" fn run_helper<M: GuestMemory>(state: *mut CpuState, op: *const Op) -> u32 {
    // SAFETY: generated code runs only inside `Vcpu::run`, which keeps its context current, and
    // which uses neither state nor memory meanwhile. The op belongs to the running block.
    let (state, memory, op) = unsafe {
        let context = &*fault::current();
        (&mut *state, &mut *context.memory.cast::<M>(), &*op)
    };
    match interp::run_handed_over(state, memory, op) {
        Ok(()) => {
            state.update_mxcsr();
            0
        }
        Err(fault) => {
            state.set_fault(fault);
            1
        }
    }
}

/// A value on the heap to which there are raw pointers besides this one: it must not be a `Box`,
/// which claims to be the only one.
pub(crate) struct Owned<T>(NonNull<T>);

impl<T> Owned<T> {
    fn new(value: T) -> Owned<T> {
        Owned(NonNull::from(Box::leak(Box::new(value))))
    }

    fn as_ptr(&mut self) -> *mut T {
        self.0.as_ptr()
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: owned.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Owned<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: owned; the raw pointers are used while generated code runs, when this is not.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: leaked from a box in `new`.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
