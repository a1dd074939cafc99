//! Who is subscribed to what.
//!
//! 1. Each event has one list; a plugin is in it at most once. It is put at the front when it
//!    subscribes first, and keeps its place when it subscribes again with another callback. Events go
//!    through the list from the front, so that who came last is called first.
//! 2. A [`Callbacks`] is plain data: function addresses and userdata. Nothing of a plugin runs when one
//!    is dropped, on whatever thread that happens.
//! 3. What a function looks like depends on the version that its plugin was built for: up to 6 it is
//!    given the plugin's id first, from 7 on userdata last.

use crate::abi::context::{Kind, pack};
use crate::plugin::{Plugin, PluginId};

/// What a plugin passes to get back.
pub(crate) type Userdata = usize;

/// A callback of either shape.
#[derive(Clone, Copy)]
pub(crate) enum Callback<ById, ByUserdata> {
    /// Versions 2 to 6.
    Id(ById),
    /// Version 7.
    Userdata(ByUserdata, Userdata),
}

/// A function that a plugin has passed, of whatever shape.
pub(crate) type Function = Option<unsafe extern "C" fn()>;

/// Shapes of functions.
pub(crate) trait FromFunction: Sized {
    /// The function in its own shape.
    ///
    /// # Safety
    ///
    /// It is of that shape.
    unsafe fn from_function(function: unsafe extern "C" fn()) -> Self;
}

impl<ById: FromFunction, ByUserdata: FromFunction> Callback<ById, ByUserdata> {
    /// What a plugin of a version has passed.
    ///
    /// # Safety
    ///
    /// The function is of the shape that goes with the version.
    pub(crate) unsafe fn of(
        version: i32,
        function: unsafe extern "C" fn(),
        userdata: Userdata,
    ) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            match version {
                ..=6 => Callback::Id(ById::from_function(function)),
                7.. => Callback::Userdata(ByUserdata::from_function(function), userdata),
            }
        }
    }
}

/// Shapes that are function pointers.
macro_rules! shapes {
    ($($shape:ty),* $(,)?) => {$(
        impl FromFunction for $shape {
            unsafe fn from_function(function: unsafe extern "C" fn()) -> Self {
                // SAFETY: from one function pointer to another; the caller vouches for the shape.
                unsafe { std::mem::transmute::<unsafe extern "C" fn(), $shape>(function) }
            }
        }
    )*};
}

#[rustfmt::skip]
shapes!(
    SimpleById, SimpleByUserdata, VcpuById, VcpuByUserdata, TbTransById, TbTransByUserdata,
    DisconById, DisconByUserdata, SyscallById, SyscallByUserdata, FilterById, FilterByUserdata,
    SyscallRetById, SyscallRetByUserdata,
);

pub(crate) type SimpleById = unsafe extern "C" fn(id: u64);
pub(crate) type SimpleByUserdata = unsafe extern "C" fn(Userdata);
/// `flush`, and the end of an uninstall or a reset.
pub(crate) type Simple = Callback<SimpleById, SimpleByUserdata>;

pub(crate) type AtExitById = unsafe extern "C" fn(id: u64, Userdata);
/// `atexit`: has had userdata always.
pub(crate) type AtExit = Callback<(AtExitById, Userdata), SimpleByUserdata>;

pub(crate) type VcpuById = unsafe extern "C" fn(id: u64, vcpu: u32);
pub(crate) type VcpuByUserdata = unsafe extern "C" fn(vcpu: u32, Userdata);
/// `init`, `exit`, `idle`, `resume`, `for_each`.
pub(crate) type Vcpu = Callback<VcpuById, VcpuByUserdata>;

pub(crate) type TbTransById = unsafe extern "C" fn(id: u64, tb: usize);
pub(crate) type TbTransByUserdata = unsafe extern "C" fn(tb: usize, Userdata);
/// `tb_trans`.
pub(crate) type TbTrans = Callback<TbTransById, TbTransByUserdata>;

pub(crate) type DisconById =
    unsafe extern "C" fn(id: u64, vcpu: u32, kind: i32, from: u64, to: u64);
pub(crate) type DisconByUserdata =
    unsafe extern "C" fn(vcpu: u32, kind: i32, from: u64, to: u64, Userdata);

/// `discon`, and the kinds it is for, as bits.
#[derive(Clone, Copy)]
pub(crate) struct Discon {
    pub(crate) kinds: i32,
    pub(crate) callback: Callback<DisconById, DisconByUserdata>,
}

#[rustfmt::skip]
pub(crate) type SyscallById = unsafe extern "C" fn(
    id: u64, vcpu: u32, num: i64, u64, u64, u64, u64, u64, u64, u64, u64,
);
#[rustfmt::skip]
pub(crate) type SyscallByUserdata = unsafe extern "C" fn(
    vcpu: u32, num: i64, u64, u64, u64, u64, u64, u64, u64, u64, Userdata,
);
/// `syscall`.
pub(crate) type Syscall = Callback<SyscallById, SyscallByUserdata>;

// The result is C's `bool`: one byte, of which a foreign plugin may make more than 0 and 1.
#[rustfmt::skip]
pub(crate) type FilterById = unsafe extern "C" fn(
    id: u64, vcpu: u32, num: i64, u64, u64, u64, u64, u64, u64, u64, u64, ret: *mut u64,
) -> u8;
#[rustfmt::skip]
pub(crate) type FilterByUserdata = unsafe extern "C" fn(
    vcpu: u32, num: i64, u64, u64, u64, u64, u64, u64, u64, u64, ret: *mut i64, Userdata,
) -> u8;
/// `syscall_filter`.
pub(crate) type Filter = Callback<FilterById, FilterByUserdata>;

pub(crate) type SyscallRetById = unsafe extern "C" fn(id: u64, vcpu: u32, num: i64, ret: i64);
pub(crate) type SyscallRetByUserdata =
    unsafe extern "C" fn(vcpu: u32, num: i64, ret: i64, Userdata);
/// `syscall_ret`.
pub(crate) type SyscallRet = Callback<SyscallRetById, SyscallRetByUserdata>;

/// What callbacks need to know of their plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) id: PluginId,
    pub(crate) slot: u16,
}

impl Subscriber {
    pub(crate) fn of(plugin: &Plugin) -> Subscriber {
        Subscriber {
            id: plugin.id(),
            slot: plugin.slot(),
        }
    }

    /// The context of its callbacks of a kind that is registered without flags.
    pub(crate) fn context(self, kind: Kind) -> u32 {
        pack(self.slot, kind, kind.flags())
    }
}

/// The subscribers of one event, in the order in which they are called.
#[derive(Clone)]
pub(crate) struct List<C>(Vec<(Subscriber, C)>);

impl<C> Default for List<C> {
    fn default() -> Self {
        List(Vec::new())
    }
}

impl<C: Copy> List<C> {
    /// Subscribes, replaces, or ends a subscription.
    pub(crate) fn set(&mut self, subscriber: Subscriber, callback: Option<C>) {
        let own = self.0.iter().position(|(who, _)| *who == subscriber);
        match (own, callback) {
            (Some(at), Some(callback)) => self.0[at].1 = callback,
            (Some(at), None) => drop(self.0.remove(at)),
            (None, Some(callback)) => self.0.insert(0, (subscriber, callback)),
            (None, None) => {}
        }
    }

    /// The callback of one plugin.
    pub(crate) fn get(&self, id: PluginId) -> Option<C> {
        self.iter()
            .find(|(subscriber, _)| subscriber.id == id)
            .map(|(_, callback)| callback)
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Subscriber, C)> + '_ {
        self.0.iter().copied()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn forget(&mut self, id: PluginId) {
        self.0.retain(|(subscriber, _)| subscriber.id != id);
    }
}

/// The lists of all events.
#[derive(Clone, Default)]
pub(crate) struct Callbacks {
    pub(crate) init: List<Vcpu>,
    pub(crate) exit: List<Vcpu>,
    pub(crate) idle: List<Vcpu>,
    pub(crate) resume: List<Vcpu>,
    pub(crate) tb_trans: List<TbTrans>,
    pub(crate) discon: List<Discon>,
    pub(crate) syscall: List<Syscall>,
    pub(crate) filter: List<Filter>,
    pub(crate) syscall_ret: List<SyscallRet>,
    pub(crate) flush: List<Simple>,
    pub(crate) at_exit: List<AtExit>,
}

impl Callbacks {
    /// Ends every subscription of a plugin.
    pub(crate) fn forget(&mut self, id: PluginId) {
        self.init.forget(id);
        self.exit.forget(id);
        self.idle.forget(id);
        self.resume.forget(id);
        self.tb_trans.forget(id);
        self.discon.forget(id);
        self.syscall.forget(id);
        self.filter.forget(id);
        self.syscall_ret.forget(id);
        self.flush.forget(id);
        self.at_exit.forget(id);
    }

    /// Those that are left when the program ends.
    pub(crate) fn only_at_exit(&self) -> Callbacks {
        Callbacks {
            at_exit: self.at_exit.clone(),
            ..Callbacks::default()
        }
    }
}
