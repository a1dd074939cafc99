//! How long callbacks take.
//!
//! 1. Until that is wanted nothing is measured, and calls in blocks are as plugins asked for them. From
//!    then on a call that is put into a block goes through a [`Stub`], which measures some calls, taken
//!    at random, or all. So blocks are shown anew when the wish changes.
//! 2. A callback that is evaluated instead of called ([`crate::called`]) takes no time that could be
//!    measured.
//! 3. Callbacks that the run loop makes are all measured, those about translations on their own.
//! 4. Times are kept by vCPU and by the name of the plugin's file: they outlive the plugin, and go on
//!    when it comes back. A vCPU adds to its own, on its own thread.
//! 5. A callback that leaves by setting the pc has no end, and is not measured when it is called by a
//!    block.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem::transmute;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use epoch::sync::{Mutex, MutexGuard};
use histogram::{Buckets, Counts, now};
use translate::hooks::{Call, Clobbers, Hook};
use translate::x86::callback::Role;

use crate::called;
use crate::plugin::Plugin;

/// Which callbacks are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measured {
    /// None.
    #[default]
    None,
    /// One of [`SAMPLE`] that blocks call, and all others.
    Sampled,
    /// All.
    All,
}

/// Of so many calls one is measured, on average.
pub const SAMPLE: u32 = 64;

impl Measured {
    fn every(self) -> u32 {
        match self {
            Measured::None => 0,
            Measured::Sampled => SAMPLE,
            Measured::All => 1,
        }
    }
}

/// The callback times of all plugins of a runtime.
#[derive(Default)]
pub(crate) struct Timing {
    /// One of so many calls is measured; 0: none. Relaxed everywhere: blocks that go by the newest wish
    /// are those of a set that was published after it.
    every: Arc<AtomicU32>,
    /// By file name.
    plugins: Mutex<BTreeMap<String, Arc<Times>>>,
}

/// The times of the plugins of one name.
pub(crate) struct Times {
    every: Arc<AtomicU32>,
    /// By vCPU.
    vcpus: Mutex<Vec<Arc<Own>>>,
}

/// One vCPU's.
#[derive(Default)]
struct Own {
    callbacks: Buckets,
    translations: Buckets,
}

/// How long the callbacks of one plugin have taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackTimes {
    /// The name of its file.
    pub plugin: String,
    /// When it is shown blocks, by vCPU.
    pub translations: Vec<Counts>,
    /// All others, by vCPU.
    pub callbacks: Vec<Counts>,
}

impl Timing {
    /// Gives whether this is a change.
    pub(crate) fn measure(&self, wish: Measured) -> bool {
        self.every.swap(wish.every(), Relaxed) != wish.every()
    }

    /// Whether anything is measured.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.every.load(Relaxed) != 0
    }

    /// Where the times of plugins of a name are kept.
    pub(crate) fn of(&self, name: String) -> Arc<Times> {
        let mut plugins = self.plugins.lock();
        let times = plugins.entry(name).or_insert_with(|| {
            Arc::new(Times {
                every: Arc::clone(&self.every),
                vcpus: Mutex::default(),
            })
        });
        Arc::clone(times)
    }

    /// What has been measured so far, by name.
    pub(crate) fn read(&self) -> Vec<CallbackTimes> {
        let plugins = self.plugins.lock().clone();
        let read = plugins.into_iter().map(|(plugin, times)| {
            let vcpus = times.vcpus.lock().clone();
            CallbackTimes {
                plugin,
                translations: vcpus.iter().map(|own| own.translations.copy()).collect(),
                callbacks: vcpus.iter().map(|own| own.callbacks.copy()).collect(),
            }
        });
        read.collect()
    }

    /// Holds the lock that the child of a fork will need.
    pub(crate) fn hold(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Times>>> {
        self.plugins.lock()
    }
}

/// Where a thread's vCPU adds: its number, whose times, its part of them.
type Known = (u32, Arc<Times>, Arc<Own>);

thread_local! {
    static OWN: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
    /// How many calls are not measured before the next one is.
    static LEFT: Cell<u32> = const { Cell::new(0) };
    static RANDOM: Cell<u32> = const { Cell::new(0x9e37_79b9) };
}

impl Times {
    /// A callback that the run loop has made on the thread of this vCPU has taken since `begun`.
    pub(crate) fn ends(self: &Arc<Self>, vcpu: u32, begun: u64, is_translation: bool) {
        let taken = now().saturating_sub(begun);
        OWN.with_borrow_mut(|known| {
            let own = |(index, times, _): &&Known| *index == vcpu && Arc::ptr_eq(times, self);
            let own = match known.iter().find(own) {
                Some((_, _, own)) => own,
                None => {
                    // Another vCPU's on a thread that has gone over to this one.
                    known.retain(|(index, ..)| *index == vcpu);
                    known.push((vcpu, Arc::clone(self), self.own(vcpu)));
                    &known[known.len() - 1].2
                }
            };
            match is_translation {
                true => own.translations.add(taken),
                false => own.callbacks.add(taken),
            }
        });
    }

    fn own(&self, vcpu: u32) -> Arc<Own> {
        let mut vcpus = self.vcpus.lock();
        while vcpus.len() <= vcpu as usize {
            vcpus.push(Arc::default());
        }
        Arc::clone(&vcpus[vcpu as usize])
    }
}

/// Stands between a block and a callback. Lives as long as the plugin, in whose blocks its address is.
pub(crate) struct Stub {
    function: usize,
    userdata: u64,
    every: u32,
    times: Arc<Times>,
}

impl Stub {
    /// When the call begins, if it is measured.
    #[inline]
    fn begins(&self) -> Option<u64> {
        if self.every > 1 {
            let left = LEFT.get();
            if left != 0 {
                LEFT.set(left - 1);
                return None;
            }
            LEFT.set(gap(self.every));
        }
        Some(now())
    }
}

/// How many calls to leave out: at random, so that a loop does not show the same callback each time.
#[cold]
fn gap(every: u32) -> u32 {
    // Marsaglia's xorshift.
    let mut random = RANDOM.get();
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    RANDOM.set(random);
    // Uniform, and `every - 1` on average.
    random % (2 * every - 1)
}

/// What a block calls instead of a callback before an instruction or a block.
///
/// # Safety
///
/// `stub` is one, made for a function of the shape that [`Call`] gives for such.
unsafe extern "C" fn execution(vcpu: u32, stub: *const Stub) {
    // SAFETY: as the caller promises.
    let stub = unsafe { &*stub };
    let begun = stub.begins();
    // SAFETY: as above.
    unsafe {
        let function: unsafe extern "C" fn(u32, u64) = transmute(stub.function);
        function(vcpu, stub.userdata);
    }
    if let Some(begun) = begun {
        stub.times.ends(vcpu, begun, false);
    }
}

/// The same after a memory access.
///
/// # Safety
///
/// As for [`execution`].
unsafe extern "C" fn access(vcpu: u32, info: u32, vaddr: u64, stub: *const Stub) {
    // SAFETY: as the caller promises.
    let stub = unsafe { &*stub };
    let begun = stub.begins();
    // SAFETY: as above.
    unsafe {
        let function: unsafe extern "C" fn(u32, u32, u64, u64) = transmute(stub.function);
        function(vcpu, info, vaddr, stub.userdata);
    }
    if let Some(begun) = begun {
        stub.times.ends(vcpu, begun, false);
    }
}

/// Whether a function is what blocks call instead of a callback: it may change whatever that does.
pub(crate) fn is_stub(function: usize) -> bool {
    function == execution as *const () as usize || function == access as *const () as usize
}

/// The hook that a plugin has asked for, in a form that is measured if that is wanted.
pub(crate) fn measured(plugin: &Plugin, hook: Hook, role: Role) -> Hook {
    let every = plugin.times().every.load(Relaxed);
    let through = |call: Call| Call {
        function: match role {
            Role::Execution => execution as *const () as usize,
            Role::Access => access as *const () as usize,
        },
        userdata: called::stub(plugin.id(), (call.function, call.userdata, every), || {
            plugin.keep(Stub {
                function: call.function,
                userdata: call.userdata,
                every,
                times: Arc::clone(plugin.times()),
            })
        }) as u64,
        clobbers: Clobbers::ALL,
        ..call
    };
    match hook {
        Hook::Call(call) if every != 0 => Hook::Call(through(call)),
        Hook::CallIf(condition, call) if every != 0 => Hook::CallIf(condition, through(call)),
        hook => hook,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_right_on_average() {
        let calls: u32 = (0..10_000).map(|_| gap(SAMPLE) + 1).sum();
        let every = calls / 10_000;
        assert!((SAMPLE - 3..=SAMPLE + 3).contains(&every), "{every}");
    }

    #[test]
    fn times_are_those_of_a_name_and_a_vcpu() {
        let timing = Timing::default();
        assert!(!timing.is_on() && timing.measure(Measured::All) && !timing.measure(Measured::All));
        let times = timing.of("a.so".into());
        times.ends(2, now(), false);
        timing.of("a.so".into()).ends(2, now(), false);
        timing.of("b.so".into()).ends(0, now(), true);
        let read = timing.read();
        let lens = |counts: &[Counts]| -> Vec<u64> {
            counts
                .iter()
                .map(|counts| counts.histogram().len())
                .collect()
        };
        assert_eq!(read[0].plugin, "a.so");
        assert_eq!(lens(&read[0].callbacks), [0, 0, 2]);
        assert_eq!(lens(&read[0].translations), [0, 0, 0]);
        assert_eq!(lens(&read[1].translations), [1]);
    }
}
