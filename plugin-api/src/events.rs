//! What a plugin can be told about apart from the execution of code.

use std::ffi::{c_uint, c_void};
use std::marker::PhantomData;

use crate::Plugin;
use crate::instance;
use crate::sys;
use crate::vcpu::{InCallback, Vcpu, WriteRegs, text};
use crate::view::Block;

/// A system call, before it is done.
#[derive(Clone, Copy, Debug)]
pub struct Syscall {
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub args: [u64; 8],
}

/// The program counter went where no instruction sent it.
#[cfg(api_5)]
#[derive(Clone, Copy, Debug)]
pub struct Discontinuity {
    /// Why.
    pub kind: DiscontinuityKind,
    /// Where it was.
    pub from: u64,
    /// Where it is.
    pub to: u64,
}

/// Why the program counter went where no instruction sent it.
#[cfg(api_5)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscontinuityKind {
    /// A device or another hart.
    Interrupt,
    /// An instruction could not be executed.
    Exception,
    /// The emulator did the work of a call itself.
    HostCall,
}

/// The process is about to end.
pub struct Exit<'cb>(PhantomData<*mut &'cb ()>);

/// The Linux program that runs.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file.
    pub path: String,
    /// Lowest and highest address of its code.
    pub code: std::ops::Range<u64>,
    /// Where it begins.
    pub entry: u64,
}

/// The program that runs; `None` if it is a whole machine.
pub fn program(_: &impl InCallback) -> Option<Program> {
    // SAFETY: there is a vCPU, as the callback shows; the path is ours to free.
    unsafe {
        let path = sys::qemu_plugin_path_to_binary();
        let program = Program {
            path: text(path)?.into_owned(),
            code: sys::qemu_plugin_start_code()..sys::qemu_plugin_end_code(),
            entry: sys::qemu_plugin_entry_code(),
        };
        libc::free(path.cast_mut().cast());
        Some(program)
    }
}

type OnVcpu<P> = Box<dyn Fn(&P, &Vcpu<'_, WriteRegs>) + Send + Sync>;
type OnTranslate<P> = Box<dyn Fn(&P, &Block<'_, P>) + Send + Sync>;
type OnSyscall<P> = Box<dyn Fn(&P, &Vcpu<'_, WriteRegs>, &Syscall) + Send + Sync>;
type OnSyscallReturn<P> = Box<dyn Fn(&P, &Vcpu<'_, WriteRegs>, i64, i64) + Send + Sync>;
#[cfg(api_6)]
type OnSyscallFilter<P> =
    Box<dyn Fn(&P, &Vcpu<'_, WriteRegs>, &Syscall) -> Option<i64> + Send + Sync>;
#[cfg(api_5)]
type OnDiscontinuity<P> = Box<dyn Fn(&P, &Vcpu<'_, WriteRegs>, &Discontinuity) + Send + Sync>;
type OnFlush<P> = Box<dyn Fn(&P) + Send + Sync>;
type OnExit<P> = Box<dyn Fn(&P, &Exit<'_>) + Send + Sync>;

/// What a plugin wants to be told about, and by which closure.
pub(crate) struct Events<P> {
    pub(crate) vcpu_init: Option<OnVcpu<P>>,
    pub(crate) vcpu_exit: Option<OnVcpu<P>>,
    pub(crate) vcpu_idle: Option<OnVcpu<P>>,
    pub(crate) vcpu_resume: Option<OnVcpu<P>>,
    pub(crate) translate: Option<OnTranslate<P>>,
    pub(crate) syscall: Option<OnSyscall<P>>,
    pub(crate) syscall_return: Option<OnSyscallReturn<P>>,
    #[cfg(api_6)]
    pub(crate) syscall_filter: Option<OnSyscallFilter<P>>,
    #[cfg(api_5)]
    pub(crate) discontinuity: Option<OnDiscontinuity<P>>,
    pub(crate) flush: Option<OnFlush<P>>,
    pub(crate) exit: Option<OnExit<P>>,
}

impl<P> Default for Events<P> {
    fn default() -> Self {
        Events {
            vcpu_init: None,
            vcpu_exit: None,
            vcpu_idle: None,
            vcpu_resume: None,
            translate: None,
            syscall: None,
            syscall_return: None,
            #[cfg(api_6)]
            syscall_filter: None,
            #[cfg(api_5)]
            discontinuity: None,
            flush: None,
            exit: None,
        }
    }
}

/// Calls a registration function: since version 7 it takes userdata, which nobody here needs.
macro_rules! subscribe {
    ($register:ident($id:expr, $($arg:expr),*)) => {{
        #[cfg(api_7)]
        // SAFETY: the plugin's own id, and a callback of the type that the function wants.
        unsafe { $register($id, $($arg,)* std::ptr::null_mut()) }
        #[cfg(not(api_7))]
        // SAFETY: as above.
        unsafe { $register($id, $($arg),*) }
    }};
}

impl<P> Events<P> {
    /// Registers what is wanted.
    pub(crate) fn register<Q: Plugin>(&self, id: u64) {
        if self.vcpu_init.is_some() {
            subscribe!(qemu_plugin_register_vcpu_init_cb(id, vcpu_init::<Q>));
        }
        if self.vcpu_exit.is_some() {
            subscribe!(qemu_plugin_register_vcpu_exit_cb(id, vcpu_exit::<Q>));
        }
        if self.vcpu_idle.is_some() {
            subscribe!(qemu_plugin_register_vcpu_idle_cb(id, vcpu_idle::<Q>));
        }
        if self.vcpu_resume.is_some() {
            subscribe!(qemu_plugin_register_vcpu_resume_cb(id, vcpu_resume::<Q>));
        }
        if self.translate.is_some() {
            subscribe!(qemu_plugin_register_vcpu_tb_trans_cb(id, translate::<Q>));
        }
        if self.syscall.is_some() {
            subscribe!(qemu_plugin_register_vcpu_syscall_cb(id, syscall::<Q>));
        }
        if self.syscall_return.is_some() {
            subscribe!(qemu_plugin_register_vcpu_syscall_ret_cb(
                id,
                syscall_return::<Q>
            ));
        }
        #[cfg(api_6)]
        if self.syscall_filter.is_some() {
            subscribe!(qemu_plugin_register_vcpu_syscall_filter_cb(
                id,
                syscall_filter::<Q>
            ));
        }
        #[cfg(api_5)]
        if self.discontinuity.is_some() {
            subscribe!(qemu_plugin_register_vcpu_discon_cb(
                id,
                ALL_DISCONTINUITIES,
                discontinuity::<Q>
            ));
        }
        if self.flush.is_some() {
            subscribe!(qemu_plugin_register_flush_cb(id, flush::<Q>));
        }
        // Whatever the plugin wants: see `instance::process_ends`. Its registration has always had
        // userdata.
        // SAFETY: as for the others.
        unsafe { qemu_plugin_register_atexit_cb(id, exit::<Q>, std::ptr::null_mut()) };
    }
}

#[cfg(api_5)]
const ALL_DISCONTINUITIES: i32 = -1;

/// Defines a callback: the plugin's id comes first up to version 6, userdata last since version 7. In
/// the body `$live` is the plugin.
macro_rules! callback {
    (fn $name:ident($live:ident $(, $arg:ident: $type:ty)*) $(-> $result:ty)? $body:block) => {
        #[cfg(api_7)]
        unsafe extern "C" fn $name<P: Plugin>($($arg: $type,)* _: *mut c_void) $(-> $result)? {
            // SAFETY: for the time of this callback.
            let $live = unsafe { P::instance().live() };
            $body
        }
        #[cfg(not(api_7))]
        unsafe extern "C" fn $name<P: Plugin>(_: u64, $($arg: $type),*) $(-> $result)? {
            // SAFETY: as above.
            let $live = unsafe { P::instance().live() };
            $body
        }
    };
}

/// The vCPU of an event: all of them give full access to registers.
macro_rules! vcpu {
    ($index:expr) => {
        // SAFETY: for the time of the callback that gave the number.
        &unsafe { Vcpu::new($index) }
    };
}

callback!(fn vcpu_init(live, index: c_uint) {
    if let Some(f) = &live.events.vcpu_init {
        f(&live.plugin, vcpu!(index));
    }
});

callback!(fn vcpu_exit(live, index: c_uint) {
    if let Some(f) = &live.events.vcpu_exit {
        f(&live.plugin, vcpu!(index));
    }
});

callback!(fn vcpu_idle(live, index: c_uint) {
    if let Some(f) = &live.events.vcpu_idle {
        f(&live.plugin, vcpu!(index));
    }
});

callback!(fn vcpu_resume(live, index: c_uint) {
    if let Some(f) = &live.events.vcpu_resume {
        f(&live.plugin, vcpu!(index));
    }
});

callback!(fn translate(live, tb: *mut sys::Tb) {
    if let Some(f) = &live.events.translate {
        // SAFETY: a block, for the time of this callback.
        f(&live.plugin, &unsafe { Block::new(tb, live) });
    }
});

callback!(fn syscall(
    live, index: c_uint, number: i64,
    a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64, a7: u64, a8: u64
) {
    if let Some(f) = &live.events.syscall {
        let args = [a1, a2, a3, a4, a5, a6, a7, a8];
        f(&live.plugin, vcpu!(index), &Syscall { number, args });
    }
});

callback!(fn syscall_return(live, index: c_uint, number: i64, result: i64) {
    if let Some(f) = &live.events.syscall_return {
        f(&live.plugin, vcpu!(index), number, result);
    }
});

#[cfg(api_6)]
callback!(fn syscall_filter(
    live, index: c_uint, number: i64,
    a1: u64, a2: u64, a3: u64, a4: u64, a5: u64, a6: u64, a7: u64, a8: u64,
    result: *mut i64
) -> bool {
    let args = [a1, a2, a3, a4, a5, a6, a7, a8];
    let answer = live
        .events
        .syscall_filter
        .as_ref()
        .and_then(|f| f(&live.plugin, vcpu!(index), &Syscall { number, args }));
    if let Some(answer) = answer {
        // SAFETY: a place for the result.
        unsafe { result.write(answer) };
    }
    answer.is_some()
});

#[cfg(api_5)]
callback!(fn discontinuity(live, index: c_uint, kind: i32, from: u64, to: u64) {
    let kind = match kind {
        1 => DiscontinuityKind::Interrupt,
        2 => DiscontinuityKind::Exception,
        4 => DiscontinuityKind::HostCall,
        _ => return,
    };
    if let Some(f) = &live.events.discontinuity {
        f(&live.plugin, vcpu!(index), &Discontinuity { kind, from, to });
    }
});

callback!(fn flush(live) {
    if let Some(f) = &live.events.flush {
        f(&live.plugin);
    }
});

/// Both kinds of this callback have userdata.
#[cfg(api_7)]
unsafe extern "C" fn exit<P: Plugin>(_: *mut c_void) {
    run_exit::<P>();
}

#[cfg(not(api_7))]
unsafe extern "C" fn exit<P: Plugin>(_: u64, _: *mut c_void) {
    run_exit::<P>();
}

fn run_exit<P: Plugin>() {
    instance::process_ends();
    // SAFETY: for the time of this callback.
    let live = unsafe { P::instance().live() };
    if let Some(f) = &live.events.exit {
        f(&live.plugin, &Exit(PhantomData));
    }
}

/// Declares registration functions, with the userdata that came with version 7.
macro_rules! registrations {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $type:ty),*);)*) => {
        unsafe extern "C" {$(
            $(#[$meta])*
            #[cfg(api_7)]
            fn $name(id: u64, $($arg: $type,)* data: *mut c_void);
            $(#[$meta])*
            #[cfg(not(api_7))]
            fn $name(id: u64, $($arg: $type),*);
        )*}
    };
}

#[cfg(api_7)]
mod types {
    use super::{c_uint, c_void, sys};
    pub type VcpuCb = unsafe extern "C" fn(c_uint, *mut c_void);
    pub type TransCb = unsafe extern "C" fn(*mut sys::Tb, *mut c_void);
    pub type FlushCb = unsafe extern "C" fn(*mut c_void);
    pub type ExitCb = unsafe extern "C" fn(*mut c_void);
    #[rustfmt::skip]
    pub type SyscallCb = unsafe extern "C" fn(
        c_uint, i64, u64, u64, u64, u64, u64, u64, u64, u64, *mut c_void,
    );
    #[rustfmt::skip]
    pub type FilterCb = unsafe extern "C" fn(
        c_uint, i64, u64, u64, u64, u64, u64, u64, u64, u64, *mut i64, *mut c_void,
    ) -> bool;
    pub type ReturnCb = unsafe extern "C" fn(c_uint, i64, i64, *mut c_void);
    pub type DisconCb = unsafe extern "C" fn(c_uint, i32, u64, u64, *mut c_void);
}

#[cfg(not(api_7))]
mod types {
    use super::{c_uint, c_void, sys};
    pub type VcpuCb = unsafe extern "C" fn(u64, c_uint);
    pub type TransCb = unsafe extern "C" fn(u64, *mut sys::Tb);
    pub type FlushCb = unsafe extern "C" fn(u64);
    pub type ExitCb = unsafe extern "C" fn(u64, *mut c_void);
    pub type SyscallCb =
        unsafe extern "C" fn(u64, c_uint, i64, u64, u64, u64, u64, u64, u64, u64, u64);
    #[cfg(api_6)]
    #[rustfmt::skip]
    pub type FilterCb = unsafe extern "C" fn(
        u64, c_uint, i64, u64, u64, u64, u64, u64, u64, u64, u64, *mut i64,
    ) -> bool;
    pub type ReturnCb = unsafe extern "C" fn(u64, c_uint, i64, i64);
    #[cfg(api_5)]
    pub type DisconCb = unsafe extern "C" fn(u64, c_uint, i32, u64, u64);
}

registrations! {
    fn qemu_plugin_register_vcpu_init_cb(cb: types::VcpuCb);
    fn qemu_plugin_register_vcpu_exit_cb(cb: types::VcpuCb);
    fn qemu_plugin_register_vcpu_idle_cb(cb: types::VcpuCb);
    fn qemu_plugin_register_vcpu_resume_cb(cb: types::VcpuCb);
    fn qemu_plugin_register_vcpu_tb_trans_cb(cb: types::TransCb);
    fn qemu_plugin_register_vcpu_syscall_cb(cb: types::SyscallCb);
    fn qemu_plugin_register_vcpu_syscall_ret_cb(cb: types::ReturnCb);
    #[cfg(api_6)]
    fn qemu_plugin_register_vcpu_syscall_filter_cb(cb: types::FilterCb);
    #[cfg(api_5)]
    fn qemu_plugin_register_vcpu_discon_cb(kinds: i32, cb: types::DisconCb);
    fn qemu_plugin_register_flush_cb(cb: types::FlushCb);
}

unsafe extern "C" {
    fn qemu_plugin_register_atexit_cb(id: u64, cb: types::ExitCb, data: *mut c_void);
}
