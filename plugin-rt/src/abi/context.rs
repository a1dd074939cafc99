//! Whose callback is running on the calling thread.
//!
//! A callback's *context* is one word: the plugin's slot + 1, the kind of callback, the flags that it
//! was registered with. On a vCPU's thread it is [`translate::CpuState::context`]: generated code
//! stores it there before each call, and does not clear it. On other threads, and for callbacks that
//! have nothing to do with the thread's vCPU (install, flush, exit, the end of an uninstall), it is a
//! word of the thread's own, which comes first.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::current;
use crate::plugin::Plugin;
use crate::runtime::Runtime;

/// Kinds of callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "named as the events are")]
pub enum Kind {
    Install,
    TbTrans,
    /// Before a block or an instruction.
    Exec,
    Memory,
    Init,
    Exit,
    Idle,
    Resume,
    Discon,
    Syscall,
    SyscallFilter,
    SyscallRet,
    Flush,
    AtExit,
    /// The end of an uninstall or a reset.
    Completion,
    ForEach,
}

impl Kind {
    const ALL: [Kind; 16] = {
        use Kind::*;
        [
            Install,
            TbTrans,
            Exec,
            Memory,
            Init,
            Exit,
            Idle,
            Resume,
            Discon,
            Syscall,
            SyscallFilter,
            SyscallRet,
            Flush,
            AtExit,
            Completion,
            ForEach,
        ]
    };

    /// What a callback of this kind may do with registers, unless it was registered with flags.
    pub(crate) fn flags(self) -> u8 {
        match self {
            Kind::Install | Kind::Flush | Kind::AtExit | Kind::Completion => NO_REGS,
            Kind::TbTrans | Kind::Init | Kind::Exit | Kind::ForEach => RW_REGS,
            Kind::Exec | Kind::Memory => NO_REGS,
            Kind::Idle | Kind::Resume | Kind::Discon => RW_REGS_PC,
            Kind::Syscall | Kind::SyscallFilter | Kind::SyscallRet => RW_REGS_PC,
        }
    }
}

/// `QEMU_PLUGIN_CB_NO_REGS`
pub const NO_REGS: u8 = 0;
/// `QEMU_PLUGIN_CB_R_REGS`
pub const R_REGS: u8 = 1;
/// `QEMU_PLUGIN_CB_RW_REGS`
pub const RW_REGS: u8 = 2;
/// `QEMU_PLUGIN_CB_RW_REGS_PC`
pub const RW_REGS_PC: u8 = 3;

/// A callback that is running.
#[derive(Clone, Copy)]
pub struct Context {
    /// Whose it is.
    pub plugin: Running,
    /// What it was called for.
    pub kind: Kind,
    /// What it may do with registers: [`NO_REGS`] to [`RW_REGS_PC`].
    pub flags: u8,
}

/// A plugin one of whose callbacks is running on this thread, which keeps it loaded.
#[derive(Clone, Copy)]
pub struct Running {
    plugin: NonNull<Plugin>,
    /// Good on this thread only.
    _here: PhantomData<*const ()>,
}

impl Deref for Running {
    type Target = Plugin;

    fn deref(&self) -> &Plugin {
        // SAFETY: a plugin goes away after its last callback has returned.
        unsafe { self.plugin.as_ref() }
    }
}

/// The word for a callback.
pub(crate) fn pack(slot: u16, kind: Kind, flags: u8) -> u32 {
    (u32::from(slot) + 1) << 8 | u32::from(kind as u8) << 4 | u32::from(flags)
}

/// The word for another callback of the plugin that is being called on this thread.
pub(crate) fn of_same_plugin(kind: Kind, flags: u8) -> u32 {
    word() & !0xff | u32::from(kind as u8) << 4 | u32::from(flags)
}

thread_local! {
    /// 0: look at the vCPU.
    static OWN: Cell<u32> = const { Cell::new(0) };
}

/// The word of the callback that is running on this thread; 0 if there is none.
pub(crate) fn word() -> u32 {
    match OWN.get() {
        0 => current::state().map_or(0, |state| {
            // SAFETY: `current::set` promised that the state lives and is used by this thread only.
            unsafe { (*state.as_ptr()).context }
        }),
        own => own,
    }
}

/// The callback that is running on this thread. On a vCPU's thread outside of any callback this may
/// be the last one: nobody asks then but a plugin that another thread's rules would stop.
pub fn current() -> Option<Context> {
    let word = word();
    let slot = (word >> 8).checked_sub(1)?;
    let plugin = Runtime::global()?.plugin_at(slot as u16)?;
    Some(Context {
        plugin: Running {
            plugin,
            _here: PhantomData,
        },
        kind: Kind::ALL[(word >> 4 & 0xf) as usize],
        flags: (word & 0xf) as u8,
    })
}

/// Whether a callback is running on this thread that no vCPU's state speaks of.
pub(crate) fn is_in_own() -> bool {
    OWN.get() != 0
}

/// Runs `f` as a callback that has nothing to do with the thread's vCPU.
pub(crate) fn run_own<R>(slot: u16, kind: Kind, f: impl FnOnce() -> R) -> R {
    struct Restore(u32);
    impl Drop for Restore {
        fn drop(&mut self) {
            OWN.set(self.0);
        }
    }
    let _restore = Restore(OWN.replace(pack(slot, kind, kind.flags())));
    f()
}
