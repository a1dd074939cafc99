//! One vCPU's view of the plugins.
//!
//! 1. A vCPU holds a snapshot of who is subscribed to what. It moves to the newest one at its
//!    quiescent points, and where an event begins; between these nothing changes under its feet, and
//!    dispatching takes no lock and no atomic read-modify-write.
//! 2. Events are fired on the vCPU's own thread, online, with its state [current](crate::current).
//! 3. A callback may leave by setting the guest's pc. Then those that would have come after it are
//!    not called, and whoever fired the event goes on at the new pc ([`Escape::Left`]).

use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

use histogram::now;
use tb_cache::SetId;
use translate::escape::{self, Escape};
use translate::hooks::{self, Wishes};
use translate::{Block, CpuState};

use crate::abi::context::Kind;
use crate::callbacks::{Callback, List, Subscriber, Vcpu};
use crate::current;
use crate::plugin::PluginId;
use crate::published::Reader;
use crate::registry::Snapshot;
use crate::runtime::Runtime;
use crate::skew::{Change, Flip};
use crate::timing::Times;
use crate::translation::Translation;

/// Kinds of discontinuities: why the next instruction is not the one that the code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Discon {
    /// An interrupt.
    Interrupt = 1,
    /// An exception.
    Exception = 2,
    /// A call of the emulator.
    HostCall = 4,
}

/// What [`Instruments::refresh`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// There is nothing newer.
    Nothing,
    /// Blocks are instrumented as before.
    SameBlocks,
    /// Blocks of another instrumentation set are to be run from now on.
    OtherBlocks,
}

/// One vCPU's view. See the module's rules.
pub struct Instruments {
    view: Option<Box<View>>,
}

struct View {
    runtime: Arc<Runtime>,
    index: u32,
    /// Whom events are for.
    snapshot: Reader<Snapshot>,
    /// Whom blocks are for: moves only when the run loop is told.
    blocks: Reader<Snapshot>,
    translation: Translation,
    /// The newest publication that either goes by.
    latest: Option<Arc<Flip>>,
    /// An attachment whose plugin has had no event here so far.
    awaited: Option<Arc<Flip>>,
    /// When that was published, and when the event came, until somebody asks.
    first_event: Option<(Instant, Instant)>,
}

impl Instruments {
    /// The view of the vCPU with this number. Without a runtime there is nothing to see.
    pub fn new(runtime: Option<&Arc<Runtime>>, index: u32) -> Instruments {
        let view = runtime.map(|runtime| {
            Box::new(View {
                runtime: Arc::clone(runtime),
                index,
                snapshot: runtime.snapshots(),
                blocks: runtime.snapshots(),
                translation: Translation::default(),
                latest: None,
                awaited: None,
                first_event: None,
            })
        });
        Instruments { view }
    }

    /// Whether [`Instruments::refresh`] would find a newer snapshot.
    #[inline]
    pub fn is_behind(&mut self) -> bool {
        let view = self.view.as_mut();
        view.is_some_and(|view| view.blocks.is_behind())
    }

    /// Moves to the newest snapshot, at a quiescent point.
    #[inline]
    pub fn refresh(&mut self) -> Refreshed {
        let Some(view) = &mut self.view else {
            return Refreshed::Nothing;
        };
        let before = view.blocks.set;
        if !view.blocks.refresh() {
            return Refreshed::Nothing;
        }
        view.blocks.flip.taken();
        view.await_event();
        match view.blocks.set == before {
            true => Refreshed::SameBlocks,
            false => Refreshed::OtherBlocks,
        }
    }

    /// What the snapshot was published for that blocks go by, and when.
    pub fn publication(&self) -> Option<(Change, Instant)> {
        let flip = &self.view.as_ref()?.blocks.flip;
        Some((flip.change(), flip.at()))
    }

    /// A block is about to run that has been found since the last [`Instruments::refresh`]. Gives
    /// whether that is the first event of a plugin that has been attached.
    #[inline]
    pub fn enters_block(&mut self) -> bool {
        match &mut self.view {
            Some(view) if view.awaited.is_some() => view.runs_instrumented_block(),
            _ => false,
        }
    }

    /// When the last plugin was attached, and when it had its first event on this vCPU; given once.
    pub fn take_first_event(&mut self) -> Option<(Instant, Instant)> {
        self.view.as_mut()?.first_event.take()
    }

    /// What blocks are instrumented for.
    #[inline]
    pub fn set(&self) -> SetId {
        match &self.view {
            Some(view) => view.blocks.set,
            None => SetId::EMPTY,
        }
    }

    /// Shows a block that has not been filled to every plugin that wants to see it, one plain block
    /// after the other; gives what they ask for.
    pub fn translated(&mut self, block: &Block) -> Wishes {
        let mut wishes = Wishes::new();
        if let Some(view) = &mut self.view {
            view.blocks.flip.shows_block();
            hooks::plain_blocks(block, |pc, insns| {
                view.translation.begin(pc, insns);
                view.show();
                wishes.push(std::mem::take(&mut view.translation.wishes));
            });
        }
        wishes
    }

    /// The vCPU begins.
    pub fn init(&mut self) {
        if let Some(view) = &mut self.view {
            view.runtime.vcpu_begins(view.index);
            let _ = view.fire_vcpu(Kind::Init, |snapshot| &snapshot.callbacks.init);
        }
    }

    /// The vCPU ends, and others go on.
    pub fn exit(&mut self) {
        if let Some(view) = &mut self.view {
            let _ = view.fire_vcpu(Kind::Exit, |snapshot| &snapshot.callbacks.exit);
            view.runtime.vcpu_ends(view.index);
        }
    }

    /// The vCPU has nothing to do.
    pub fn idle(&mut self) -> Escape {
        match &mut self.view {
            Some(view) => view.fire_vcpu(Kind::Idle, |snapshot| &snapshot.callbacks.idle),
            None => Escape::Returned,
        }
    }

    /// The vCPU has something to do again.
    pub fn resume(&mut self) -> Escape {
        match &mut self.view {
            Some(view) => view.fire_vcpu(Kind::Resume, |snapshot| &snapshot.callbacks.resume),
            None => Escape::Returned,
        }
    }

    /// Whether [`Instruments::syscall`], [`Instruments::filter`] or [`Instruments::syscall_ret`] would
    /// call anybody.
    #[inline]
    pub fn wants_syscalls(&mut self) -> bool {
        self.wants(|Snapshot { callbacks, .. }| {
            !(callbacks.syscall.is_empty()
                && callbacks.filter.is_empty()
                && callbacks.syscall_ret.is_empty())
        })
    }

    /// Whether [`Instruments::discontinuity`] would call anybody.
    #[inline]
    pub fn wants_discontinuities(&mut self) -> bool {
        self.wants(|snapshot| !snapshot.callbacks.discon.is_empty())
    }

    #[inline]
    fn wants(&mut self, wants: impl FnOnce(&Snapshot) -> bool) -> bool {
        self.view.as_mut().is_some_and(|view| {
            view.refresh_events();
            wants(&view.snapshot)
        })
    }

    /// A system call is about to be made.
    pub fn syscall(&mut self, num: i64, args: &[u64; 8]) -> Escape {
        let Some(view) = &mut self.view else {
            return Escape::Returned;
        };
        let [a, b, c, d, e, f, g, h] = *args;
        view.fire(
            Kind::Syscall,
            |snapshot| &snapshot.callbacks.syscall,
            // SAFETY: registered for this, by a plugin that is still there.
            |Subscriber { id, .. }, vcpu, callback| unsafe {
                match callback {
                    Callback::Id(f1) => f1(id.0, vcpu, num, a, b, c, d, e, f, g, h),
                    Callback::Userdata(f1, data) => f1(vcpu, num, a, b, c, d, e, f, g, h, data),
                }
                Then::GoOn
            },
        )
    }

    /// Who wants to make the system call in the kernel's stead? Gives the first one's result.
    pub fn filter(&mut self, num: i64, args: &[u64; 8]) -> (Escape, Option<i64>) {
        let Some(view) = &mut self.view else {
            return (Escape::Returned, None);
        };
        let [a, b, c, d, e, f, g, h] = *args;
        let mut ret = 0_i64;
        let mut filtered = false;
        let escape = view.fire(
            Kind::SyscallFilter,
            |snapshot| &snapshot.callbacks.filter,
            // SAFETY: registered for this, by a plugin that is still there.
            |Subscriber { id, .. }, vcpu, callback| unsafe {
                let ret = &raw mut ret;
                let answer = match callback {
                    Callback::Id(f1) => {
                        f1(id.0, vcpu, num, a, b, c, d, e, f, g, h, ret.cast::<u64>())
                    }
                    Callback::Userdata(f1, data) => {
                        f1(vcpu, num, a, b, c, d, e, f, g, h, ret, data)
                    }
                };
                filtered = answer != 0;
                match filtered {
                    true => Then::Stop,
                    false => Then::GoOn,
                }
            },
        );
        (escape, filtered.then_some(ret))
    }

    /// A system call has been made, by whomever.
    pub fn syscall_ret(&mut self, num: i64, ret: i64) -> Escape {
        let Some(view) = &mut self.view else {
            return Escape::Returned;
        };
        view.fire(
            Kind::SyscallRet,
            |snapshot| &snapshot.callbacks.syscall_ret,
            // SAFETY: registered for this, by a plugin that is still there.
            |Subscriber { id, .. }, vcpu, callback| unsafe {
                match callback {
                    Callback::Id(function) => function(id.0, vcpu, num, ret),
                    Callback::Userdata(function, data) => function(vcpu, num, ret, data),
                }
                Then::GoOn
            },
        )
    }

    /// Control has gone `from` one place `to` another by no instruction.
    pub fn discontinuity(&mut self, kind: Discon, from: u64, to: u64) -> Escape {
        let Some(view) = &mut self.view else {
            return Escape::Returned;
        };
        let kind = kind as i32;
        view.fire(
            Kind::Discon,
            |snapshot| &snapshot.callbacks.discon,
            // SAFETY: registered for this, by a plugin that is still there.
            |Subscriber { id, .. }, vcpu, discon| unsafe {
                if discon.kinds & kind != 0 {
                    match discon.callback {
                        Callback::Id(function) => function(id.0, vcpu, kind, from, to),
                        Callback::Userdata(function, data) => function(vcpu, kind, from, to, data),
                    }
                }
                Then::GoOn
            },
        )
    }
}

impl Drop for Instruments {
    fn drop(&mut self) {
        if let Some(view) = &self.view {
            view.runtime.vcpu_ends(view.index);
        }
    }
}

/// What comes after a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Stop,
}

/// A plugin has an event.
#[inline]
fn note_event(
    awaited: &mut Option<Arc<Flip>>,
    first_event: &mut Option<(Instant, Instant)>,
    plugin: PluginId,
) {
    if let Some(flip) = awaited.take_if(|flip| flip.attached() == Some(plugin)) {
        flip.first_event();
        *first_event = Some((flip.at(), Instant::now()));
    }
}

impl View {
    /// Events are for whom the newest snapshot says.
    #[inline]
    fn refresh_events(&mut self) {
        if self.snapshot.refresh() {
            self.await_event();
        }
    }

    /// One of the snapshots has moved: whether a plugin that is there by the newer one has events to
    /// come is to be noted. The other one follows, and is to change nothing about that.
    #[cold]
    fn await_event(&mut self) {
        let newest = match self.blocks.flip.at() < self.snapshot.flip.at() {
            true => &self.snapshot.flip,
            false => &self.blocks.flip,
        };
        if !self
            .latest
            .as_ref()
            .is_some_and(|latest| Arc::ptr_eq(latest, newest))
        {
            self.awaited = newest.attached().map(|_| Arc::clone(newest));
            self.latest = Some(Arc::clone(newest));
        }
    }

    #[cold]
    fn runs_instrumented_block(&mut self) -> bool {
        let plugin = self.blocks.flip.attached();
        let instruments = |plugin: &PluginId| self.blocks.callbacks.tb_trans.get(*plugin).is_some();
        let Some(plugin) = plugin.filter(instruments) else {
            return false;
        };
        note_event(&mut self.awaited, &mut self.first_event, plugin);
        true
    }

    /// Calls the subscribers of an event, one after the other, until one leaves or says so.
    fn fire<C: Copy>(
        &mut self,
        kind: Kind,
        event: impl FnOnce(&Snapshot) -> &List<C>,
        mut call: impl FnMut(Subscriber, u32, C) -> Then,
    ) -> Escape {
        self.refresh_events();
        let list = event(&self.snapshot);
        if list.is_empty() {
            return Escape::Returned;
        }
        let state = state();
        for (subscriber, callback) in list.iter() {
            note_event(&mut self.awaited, &mut self.first_event, subscriber.id);
            let mut then = Then::GoOn;
            let timer = Timer::start(&self.runtime, subscriber);
            let escape = run(state, subscriber.context(kind), || {
                then = call(subscriber, self.index, callback);
            });
            Timer::stop(timer, self.index, false);
            if escape == Escape::Left || then == Then::Stop {
                return escape;
            }
        }
        Escape::Returned
    }

    fn fire_vcpu(&mut self, kind: Kind, event: impl FnOnce(&Snapshot) -> &List<Vcpu>) -> Escape {
        self.fire(kind, event, |subscriber, index, callback| {
            callback.call(subscriber, index);
            Then::GoOn
        })
    }

    /// Shows the translation's block to every plugin that wants to see it.
    fn show(&mut self) {
        let View {
            runtime,
            index,
            translation,
            blocks,
            ..
        } = self;
        let list = &blocks.callbacks.tb_trans;
        let (tb, pc) = (translation.tb(), translation.pc);
        let state = state().as_ptr();
        // SAFETY: `current::set` promised that the state lives and is this thread's only.
        let before = unsafe { std::mem::replace(&mut (*state).pc, pc) };
        translation.show(|| {
            for (subscriber, callback) in list.iter() {
                // SAFETY: as above.
                unsafe { (*state).context = subscriber.context(Kind::TbTrans) };
                let timer = Timer::start(runtime, subscriber);
                // SAFETY: registered for this, by a plugin that is still there.
                unsafe {
                    match callback {
                        Callback::Id(function) => function(subscriber.id.0, tb as usize),
                        Callback::Userdata(function, data) => function(tb as usize, data),
                    }
                }
                Timer::stop(timer, *index, true);
            }
        });
        // SAFETY: as above.
        unsafe {
            (*state).context = 0;
            (*state).pc = before;
        }
    }
}

/// Measures one callback, if that is wanted.
struct Timer {
    times: Arc<Times>,
    begun: u64,
}

impl Timer {
    #[inline]
    fn start(runtime: &Runtime, subscriber: Subscriber) -> Option<Timer> {
        match runtime.timing().is_on() {
            true => Timer::start_now(runtime, subscriber),
            false => None,
        }
    }

    #[cold]
    fn start_now(runtime: &Runtime, subscriber: Subscriber) -> Option<Timer> {
        let plugin = runtime.plugin_at(subscriber.slot)?;
        // SAFETY: it is in a snapshot that this vCPU, which is online, goes by.
        let times = Arc::clone(unsafe { plugin.as_ref() }.times());
        Some(Timer {
            times,
            begun: now(),
        })
    }

    #[inline]
    fn stop(timer: Option<Timer>, vcpu: u32, is_translation: bool) {
        if let Some(Timer { times, begun }) = timer {
            times.ends(vcpu, begun, is_translation);
        }
    }
}

/// The calling thread's vCPU.
fn state() -> NonNull<CpuState> {
    match current::state() {
        Some(state) => state,
        None => unreachable!("an event on a thread that has no vCPU"),
    }
}

/// Runs a callback, which may leave.
fn run(state: NonNull<CpuState>, context: u32, call: impl FnMut()) -> Escape {
    let state = state.as_ptr();
    // SAFETY: `current::set` promised that the state lives and is this thread's only.
    unsafe { (*state).context = context };
    // SAFETY: as above.
    let escape = unsafe { escape::catch(state, call) };
    // SAFETY: as above.
    unsafe { (*state).context = 0 };
    escape
}

impl Vcpu {
    /// Calls it for a vCPU.
    pub(crate) fn call(self, subscriber: Subscriber, index: u32) {
        // SAFETY: registered for this, by a plugin that is still there.
        unsafe {
            match self {
                Callback::Id(function) => function(subscriber.id.0, index),
                Callback::Userdata(function, userdata) => function(index, userdata),
            }
        }
    }
}
