//! Host SIGSEGV, SIGBUS and SIGFPE: faults of the guest, and its first use of a floating-point
//! flag, arrive as these.
//!
//! 1. A fault of a guarded access ([`crate::guarded`]) becomes its result.
//! 2. A fault or floating-point exception in generated code is noted in the vCPU's state and sent to
//!    the fault stub, which spills the pinned registers and returns to the run loop. Nothing is
//!    looked up in the handler.
//! 3. A signal that somebody *sent* goes to the hook of whoever runs the guest's signals.
//! 4. Everything else is hartscope's own crash, or a plugin's, which is named: the handler that was
//!    there before gets it.
//!
//! The handler runs on the thread's alternate stack ([`crate::thread`]), with all signals blocked.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Acquire, Ordering::Release};
use std::sync::{Once, OnceLock};

use translate::CpuState;

use crate::guarded;

/// What a thread's generated code works on.
pub(crate) struct Context {
    /// Where generated code is.
    pub code: Range<u64>,
    /// Where its faults go.
    pub fault_stub: u64,
    /// The vCPU's.
    pub state: *mut CpuState,
    /// The vCPU's memory, of the type that its helper knows.
    pub memory: *mut c_void,
    /// What is known of the last fault besides what the state says.
    pub kind: Cell<FaultKind>,
}

/// More about a fault in generated code.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FaultKind {
    /// `CpuState::fault_addr` is the host address of the fault; otherwise nobody knows it.
    pub is_addressed: bool,
    /// The memory behind the mapping is gone.
    pub is_bus: bool,
    /// No access at all: a floating-point exception that is not masked.
    pub is_float: bool,
}

thread_local! {
    /// Of the vCPU that runs on this thread, while it does.
    static CURRENT: Cell<*const Context> = const { Cell::new(ptr::null()) };
}

/// While this lives, a context is the calling thread's.
pub(crate) struct Current<'a> {
    before: *const Context,
    _context: PhantomData<&'a Context>,
}

impl Current<'_> {
    pub(crate) fn set(context: &Context) -> Current<'_> {
        Current {
            before: CURRENT.replace(context),
            _context: PhantomData,
        }
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// The calling thread's.
pub(crate) fn current() -> *const Context {
    CURRENT.get()
}

/// Takes signals that are not faults: [`SIGNALS`] sent with `kill` and the like. Runs inside the
/// signal handler, with its arguments.
pub type SentHook = fn(c_int, *mut libc::siginfo_t, *mut libc::ucontext_t);

static SENT_HOOK: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Installs the hook for sent signals; one per process.
pub fn on_sent_signal(hook: SentHook) {
    // Release: pairs with the Acquire in the handler.
    SENT_HOOK.store(hook as *mut c_void, Release);
}

static INSTALLED: Once = Once::new();

/// The actions that were there before, of [`SIGNALS`].
static BEFORE: OnceLock<[libc::sigaction; SIGNALS.len()]> = OnceLock::new();

/// The signals that are handled here. A thread that runs vCPUs must not block them.
pub const SIGNALS: [c_int; 3] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE];

/// Installs the handlers, once per process.
#[inline]
pub(crate) fn ensure_handlers() {
    if !INSTALLED.is_completed() {
        INSTALLED.call_once(install);
    }
}

#[cold]
fn install() {
    // SAFETY: zero is a valid `sigaction`; the calls read and write these structures only. They
    // cannot fail for these signals.
    unsafe {
        let mut before = [MaybeUninit::<libc::sigaction>::zeroed().assume_init(); SIGNALS.len()];
        for (signal, before) in SIGNALS.into_iter().zip(&mut before) {
            libc::sigaction(signal, ptr::null(), before);
        }
        // The handlers need it from their first moment on.
        let _ = BEFORE.set(before);
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigfillset(&mut action.sa_mask);
        for signal in SIGNALS {
            libc::sigaction(signal, &action, ptr::null_mut());
        }
    }
}

extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel's arguments.
    let (code, addr, registers) = unsafe {
        let addr = (*info).si_addr() as u64;
        ((*info).si_code, addr, &mut (*context).uc_mcontext.gregs)
    };
    if code <= 0 {
        return on_sent(signal, info, context);
    }
    // A general-protection fault: an address that is none.
    const SI_KERNEL: c_int = 0x80;
    let is_addressed = code != SI_KERNEL;
    let is_bus = signal == libc::SIGBUS;
    let rip = registers[libc::REG_RIP as usize] as u64;
    if guarded::text().contains(&rip) {
        let (rip, rax, rdx) = guarded::fix_up(is_addressed.then_some(addr), is_bus);
        registers[libc::REG_RIP as usize] = rip as i64;
        registers[libc::REG_RAX as usize] = rax as i64;
        registers[libc::REG_RDX as usize] = rdx as i64;
        return;
    }
    let current = CURRENT.get();
    // SAFETY: null, or the context of this thread's vCPU, which lives while it is current.
    if let Some(current) = unsafe { current.as_ref() }
        && current.code.contains(&rip)
    {
        current.kind.set(FaultKind {
            is_addressed,
            is_bus,
            is_float: signal == libc::SIGFPE,
        });
        // SAFETY: generated code was running on this thread, so nobody else uses these fields.
        unsafe {
            (*current.state).exit_block = rip;
            (*current.state).fault_addr = addr;
        }
        registers[libc::REG_RIP as usize] = current.fault_stub as i64;
        return;
    }
    let name = match signal {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        _ => "SIGFPE",
    };
    plugin_rt::crash::report(name, rip, addr);
    // The instruction runs again after this, and faults again.
    restore(signal);
}

fn on_sent(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // Acquire: pairs with the Release in `on_sent_signal`.
    let hook = SENT_HOOK.load(Acquire);
    if hook.is_null() {
        restore(signal);
        // SAFETY: plain system calls; the signal is blocked until the handler returns.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal) };
    } else {
        // SAFETY: stored by `on_sent_signal`, from this type.
        let hook = unsafe { std::mem::transmute::<*mut c_void, SentHook>(hook) };
        hook(signal, info, context);
    }
}

/// Puts the action back that was there before.
fn restore(signal: c_int) {
    let index = SIGNALS.iter().position(|&handled| handled == signal);
    if let (Some(before), Some(index)) = (BEFORE.get(), index) {
        // SAFETY: an action that was in force once.
        unsafe { libc::sigaction(signal, &before[index], ptr::null_mut()) };
    }
}
