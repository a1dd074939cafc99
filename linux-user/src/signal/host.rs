//! The host's side of signals: the handler, a thread's mailbox, and system calls that no signal
//! slips past.
//!
//! A mailbox is written by the handler and read by the thread that the handler interrupts, never by
//! two threads. The compiler must keep the order of their accesses, the processor keeps it anyway.

use super::{FAULTS, IGNORE, KICK, RESERVED, SIGNALS, SigInfo, SigSet, UNBLOCKABLE, bit};
use crate::{Args, Errno, SysResult};
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, c_void};
use std::ptr::null;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use vcpu::Kicker;

/// A signal waits in the slot.
const SIGNAL: u32 = 1;
/// Somebody wants the thread to look around (the process exits).
const KICKED: u32 = 2;

/// Where the host handler leaves what the thread must do.
pub struct Mailbox {
    /// [`SIGNAL`], [`KICKED`]. While it is not 0 no host system call is begun.
    pending: AtomicU32,
    /// Valid while [`SIGNAL`] is set.
    slot: UnsafeCell<SigInfo>,
    /// Which of [`FAULTS`] somebody sent while the guest blocked them.
    held: AtomicU64,
    held_slots: [UnsafeCell<SigInfo>; vcpu::fault::SIGNALS.len()],
    /// Which of [`FAULTS`] the guest blocks.
    blocked_faults: AtomicU64,
    kicker: Kicker,
}

impl Mailbox {
    /// Empty.
    pub fn new(kicker: Kicker) -> Mailbox {
        Mailbox {
            pending: AtomicU32::new(0),
            slot: UnsafeCell::new(SigInfo::ZERO),
            held: AtomicU64::new(0),
            held_slots: [const { UnsafeCell::new(SigInfo::ZERO) }; _],
            blocked_faults: AtomicU64::new(0),
            kicker,
        }
    }

    /// Whether there is nothing to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.pending.load(Ordering::Relaxed) == 0 && self.deliverable_held() == 0
    }

    /// Takes note of the guest's mask.
    pub(super) fn set_mask(&self, mask: SigSet) {
        self.blocked_faults.store(mask & FAULTS, Ordering::Relaxed);
    }

    /// Held signals, which the guest sees as pending.
    pub(super) fn held(&self) -> SigSet {
        self.held.load(Ordering::Relaxed)
    }

    /// The thread is about to look around.
    pub(super) fn clear_kick(&self) {
        self.pending.fetch_and(!KICKED, Ordering::Relaxed);
    }

    fn deliverable_held(&self) -> SigSet {
        self.held() & !self.blocked_faults.load(Ordering::Relaxed)
    }

    /// Takes the next signal to deliver. All others stay blocked on the host until the thread has
    /// set its mask.
    pub(super) fn take(&self) -> Option<SigInfo> {
        // Acquire: the handler's Release store, so that the slot is read after the bit.
        if self.pending.load(Ordering::Acquire) & SIGNAL != 0 {
            // SAFETY: with the bit set, the handler runs for nothing that it would store here.
            let info = unsafe { *self.slot.get() };
            // Release: the handler may use the slot only after it was read.
            self.pending.fetch_and(!SIGNAL, Ordering::Release);
            return Some(info);
        }
        let held = self.deliverable_held();
        if held == 0 {
            return None;
        }
        let signal = held.trailing_zeros() as i32 + 1;
        // SAFETY: as above, for the bit in `held`.
        let info = unsafe { *self.held_slots[held_index(signal)].get() };
        self.held.fetch_and(!bit(signal), Ordering::Release);
        Some(info)
    }

    /// What the handler does with a signal for the guest; whether it took the slot.
    fn post(&self, info: &SigInfo) -> bool {
        let signal = info.signal();
        let fault = bit(signal) & FAULTS;
        let full = self.pending.load(Ordering::Relaxed) & SIGNAL != 0;
        if fault != 0 && (full || self.blocked_faults.load(Ordering::Relaxed) & fault != 0) {
            if self.held() & fault == 0 {
                // SAFETY: this thread only reads the slot while the bit is set, and it is not.
                unsafe { *self.held_slots[held_index(signal)].get() = *info };
                // Release: pairs with `take` on the same thread.
                self.held.fetch_or(fault, Ordering::Release);
            }
            return false;
        }
        // SAFETY: the bit is not set, so the interrupted thread is not reading. (Were it set, all
        // signals but FAULTS would be blocked.)
        unsafe { *self.slot.get() = *info };
        // Release: pairs with `take` on the same thread.
        self.pending.fetch_or(SIGNAL, Ordering::Release);
        true
    }
}

/// Which of [`FAULTS`] a signal is.
fn held_index(signal: i32) -> usize {
    (FAULTS & (bit(signal) - 1)).count_ones() as usize
}

thread_local! {
    /// The mailbox of the guest thread that this host thread runs.
    static CURRENT: Cell<*const Mailbox> = const { Cell::new(null()) };
}

/// Where signals go that the kernel gives to a host thread which runs no guest thread.
static MAIN_TID: AtomicI32 = AtomicI32::new(0);

/// Makes `mailbox` the one of this host thread; it must live until another is made so. Signals
/// must be blocked.
pub fn init_thread(mailbox: &Mailbox) {
    CURRENT.set(mailbox);
}

/// Makes the calling thread the one that signals for the process are passed on to.
pub(crate) fn init_main(tid: i32) {
    MAIN_TID.store(tid, Ordering::Relaxed);
    vcpu::fault::on_sent_signal(on_sent);
}

/// The thread runs no guest any more: it is not to be chosen for signals.
pub(crate) fn park() {
    block_all();
    CURRENT.set(null());
}

/// Blocks whatever can be blocked.
pub(crate) fn block_all() {
    let all: SigSet = !RESERVED;
    // SAFETY: reads one word.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &all,
            null::<SigSet>(),
            size_of::<SigSet>(),
        );
    }
}

/// The calling host thread's mask.
pub(crate) fn current_mask() -> SigSet {
    let mut mask: SigSet = 0;
    // SAFETY: writes one word.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            null::<SigSet>(),
            &mut mask,
            size_of::<SigSet>(),
        );
    }
    mask
}

/// Makes the thread `tid` of this process look around, also if it is in a system call.
pub(crate) fn kick(tid: i32) {
    // SAFETY: sends a signal that all threads handle; one that is gone does not get it.
    unsafe {
        libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, KICK);
    }
}

/// What the host does with a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disposition {
    Default,
    Ignored,
    Caught,
}

/// The kernel's `struct sigaction`: libc's refuses the signals that it keeps for itself.
#[repr(C)]
struct KernelAction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: SigSet,
}

const SA_RESTORER: u64 = 0x0400_0000;

/// Sets the host's disposition; `extra` are flags that matter for any.
pub(super) fn install(signal: i32, disposition: Disposition, extra: u64) {
    let flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    let action = KernelAction {
        handler: match disposition {
            Disposition::Default => libc::SIG_DFL,
            Disposition::Ignored => libc::SIG_IGN,
            Disposition::Caught => on_signal as *const () as usize,
        },
        flags: flags as u64 | SA_RESTORER | extra,
        restorer: hartscope_sigreturn as *const () as usize,
        mask: !UNBLOCKABLE,
    };
    // SAFETY: `on_signal` is async-signal-safe. It cannot fail for the signals that come here.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            &action,
            null::<KernelAction>(),
            size_of::<SigSet>(),
        );
    }
}

fn query(signal: i32) -> usize {
    let mut action = KernelAction {
        handler: libc::SIG_DFL,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
    // SAFETY: writes `action`.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            null::<KernelAction>(),
            &mut action,
            size_of::<SigSet>(),
        );
    }
    action.handler
}

/// Whether SIGPIPE was ignored when hartscope was started: Rust's run time ignores it always.
static SIGPIPE_IGNORED: AtomicU32 = AtomicU32::new(0);

/// Runs before Rust's run time does.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn note_sigpipe() {
        if query(libc::SIGPIPE) == libc::SIG_IGN {
            SIGPIPE_IGNORED.store(1, Ordering::Relaxed);
        }
    }
    note_sigpipe
};

/// Whether whoever started hartscope made it ignore a signal.
pub(super) fn inherited_ignore(signal: i32) -> bool {
    match signal {
        libc::SIGPIPE => SIGPIPE_IGNORED.load(Ordering::Relaxed) != 0,
        _ => query(signal) as u64 == IGNORE,
    }
}

/// The handler of every signal that the guest or hartscope wants to see.
extern "C" fn on_signal(signal: i32, info: *const SigInfo, context: *mut c_void) {
    // SAFETY: the kernel's own.
    let (info, context) = unsafe { (&*info, &mut *context.cast::<libc::ucontext_t>()) };
    handle(signal, info, context);
}

/// The vCPU's handlers of [`vcpu::fault::SIGNALS`] pass on what is no fault.
fn on_sent(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: the kernel's own; both types are the kernel's `siginfo_t`.
    let (info, context) = unsafe { (&*info.cast::<SigInfo>(), &mut *context) };
    handle(signal, info, context);
}

/// Takes in a signal that was sent (not a fault of this process).
fn handle(signal: i32, info: &SigInfo, context: &mut libc::ucontext_t) {
    if is_own_end(signal, info, context) {
        if signal != libc::SIGABRT {
            name_culprit(signal, context);
        }
        die_by(signal);
    }
    let mailbox = CURRENT.get();
    if mailbox.is_null() {
        if signal != KICK {
            pass_on(signal, info);
        }
        return;
    }
    // SAFETY: it lives while it is current, and this is its thread.
    let mailbox = unsafe { &*mailbox };
    if signal == KICK {
        mailbox.pending.fetch_or(KICKED, Ordering::Relaxed);
    } else if mailbox.post(info) {
        // Until this one is delivered the others wait in the kernel.
        let mask = (&raw mut context.uc_sigmask).cast::<SigSet>();
        // SAFETY: the kernel's signal set is the first word of libc's.
        unsafe { *mask = !RESERVED };
    }
    mailbox.kicker.kick();
    abort_safe_syscall(context);
}

/// Whether a signal is not the guest's: host code, a plugin's as a rule, has come to an instruction
/// that is none, or has called `abort`. The guest's own `abort` comes by way of [`safe_syscall`].
fn is_own_end(signal: i32, info: &SigInfo, context: &libc::ucontext_t) -> bool {
    let register = |number: i32| context.uc_mcontext.gregs[number as usize];
    match signal {
        libc::SIGILL | libc::SIGTRAP | libc::SIGSYS => info.code() > 0,
        libc::SIGABRT => {
            // SAFETY: these calls only return a number.
            let (pid, tid) = unsafe { (libc::getpid(), libc::gettid()) };
            let behind_call = (&raw const hartscope_safe_syscall_instruction) as i64 + 2;
            // The registers of a `tgkill` to this very thread that has just been made.
            info.code() == libc::SI_TKILL
                && register(libc::REG_RAX) == 0
                && register(libc::REG_RDI) == i64::from(pid)
                && register(libc::REG_RSI) == i64::from(tid)
                && register(libc::REG_RDX) == i64::from(signal)
                && register(libc::REG_RIP) != behind_call
        }
        _ => false,
    }
}

/// Says whose code it is that cannot go on.
fn name_culprit(signal: i32, context: &libc::ucontext_t) {
    let rip = context.uc_mcontext.gregs[libc::REG_RIP as usize];
    // SAFETY: zero is a valid value, which the call overwrites if it finds something.
    let library = unsafe {
        let mut found: libc::Dl_info = std::mem::zeroed();
        match libc::dladdr(rip as *const c_void, &mut found) {
            0 => None,
            _ => Some(CStr::from_ptr(found.dli_fname).to_string_lossy()),
        }
    };
    let library = library.as_deref().unwrap_or("code of no library");
    crate::message(&format!("{library} died by {}", super::name(signal)));
}

/// This thread runs no guest thread: the signal is for the one that does.
fn pass_on(signal: i32, info: &SigInfo) {
    let main = MAIN_TID.load(Ordering::Relaxed);
    if main == 0 {
        return;
    }
    // SAFETY: errno is put back, and the call reads `info` only.
    unsafe {
        let errno = *libc::__errno_location();
        let pid = libc::getpid();
        libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, main, signal, info);
        *libc::__errno_location() = errno;
    }
}

/// If the signal came before the system call of [`safe_syscall`] began, or if the kernel would
/// begin it anew after the handler, it is not made.
fn abort_safe_syscall(context: &mut libc::ucontext_t) {
    let rip = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    let start = hartscope_safe_syscall as *const () as i64;
    let instruction = (&raw const hartscope_safe_syscall_instruction) as i64;
    if (start..=instruction).contains(rip) {
        *rip = (&raw const hartscope_safe_syscall_abort) as i64;
    }
}

unsafe extern "C" {
    /// Returns from handlers that were installed by [`install`].
    fn hartscope_sigreturn();
    /// Makes a system call unless `*pending` is set.
    fn hartscope_safe_syscall(nr: i64, args: *const u64, pending: *const u32) -> i64;
    static hartscope_safe_syscall_instruction: u8;
    static hartscope_safe_syscall_abort: u8;
}

std::arch::global_asm!(
    ".text",
    ".balign 16",
    ".globl hartscope_sigreturn",
    "hartscope_sigreturn:",
    "mov eax, 15",
    "syscall",
    ".balign 16",
    ".globl hartscope_safe_syscall",
    "hartscope_safe_syscall:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "mov rdi, [rsi]",
    "mov rdx, [rsi + 16]",
    "mov r10, [rsi + 24]",
    "mov r8, [rsi + 32]",
    "mov r9, [rsi + 40]",
    "mov rsi, [rsi + 8]",
    // A signal from here on finds the instruction pointer between the labels.
    "cmp dword ptr [rcx], 0",
    "jne hartscope_safe_syscall_abort",
    ".globl hartscope_safe_syscall_instruction",
    "hartscope_safe_syscall_instruction:",
    "syscall",
    "ret",
    ".globl hartscope_safe_syscall_abort",
    "hartscope_safe_syscall_abort:",
    "mov rax, -{restart}",
    "ret",
    restart = const Errno::ERESTARTSYS.0,
);

/// Makes a host system call on a guest thread, unless a signal is pending for it or comes before
/// the call has begun or has done anything: that gives [`Errno::ERESTARTSYS`].
///
/// # Safety
///
/// As for the system call itself.
pub unsafe fn safe_syscall(mailbox: &Mailbox, nr: i64, args: &Args) -> SysResult {
    // SAFETY: both pointers are valid; the caller answers for the rest.
    let raw = unsafe { hartscope_safe_syscall(nr, args.as_ptr(), mailbox.pending.as_ptr()) };
    if raw == -i64::from(Errno::ERESTARTSYS.0) {
        return Err(Errno::ERESTARTSYS);
    }
    Errno::check(raw)
}

/// Ends the process by a signal's default action, whatever has been set up for it.
pub(crate) fn die_by(signal: i32) -> ! {
    install(signal, Disposition::Default, 0);
    let all: SigSet = !bit(signal);
    // SAFETY: raw system calls, also right in a `vfork` child, that end the process.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &all,
            null::<SigSet>(),
            size_of::<SigSet>(),
        );
        let (pid, tid) = (libc::getpid(), libc::gettid());
        libc::syscall(libc::SYS_tgkill, pid, tid, signal);
        // Not reached unless the signal's default is not to kill.
        libc::_exit(128 + signal.clamp(0, SIGNALS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::AddressSpace;
    use crate::thread::gettid;
    use std::sync::Arc;
    use std::sync::mpsc;
    use vcpu::{Engine, UserMemory, Vcpu};

    /// Runs `test` on a thread of its own, which takes SIGUSR1 as a guest thread does.
    fn on_guest_thread<R: Send + 'static>(test: fn(&Mailbox) -> R) -> R {
        let run = move || {
            block_all();
            let mm = Arc::new(AddressSpace::new().unwrap());
            let memory = UserMemory { base: mm.base() };
            let engine = Engine::new(&vcpu::Config::default(), mm).unwrap();
            let mailbox = Mailbox::new(Vcpu::new(&engine, memory).unwrap().kicker());
            init_thread(&mailbox);
            install(libc::SIGUSR1, Disposition::Caught, 0);
            unblock();
            let result = test(&mailbox);
            park();
            result
        };
        std::thread::spawn(run).join().unwrap()
    }

    fn unblock() {
        let none: SigSet = 0;
        let size = size_of::<SigSet>();
        // SAFETY: reads one word.
        unsafe {
            libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &none, 0, size);
        }
    }

    fn send(tid: i32, signal: i32) {
        // SAFETY: the test threads handle it.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, signal) };
    }

    fn call(mailbox: &Mailbox, nr: i64, args: &[u64]) -> SysResult {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        // SAFETY: as the tests call it.
        unsafe { safe_syscall(mailbox, nr, &all) }
    }

    #[test]
    fn no_call_is_begun_while_a_signal_waits() {
        on_guest_thread(|mailbox| {
            let pid = std::process::id().into();
            assert_eq!(call(mailbox, libc::SYS_getpid, &[]), Ok(pid));
            assert_eq!(
                call(mailbox, libc::SYS_close, &[u64::MAX]),
                Err(Errno::EBADF)
            );
            send(gettid(), libc::SIGUSR1);
            assert!(!mailbox.is_empty());
            assert_eq!(
                call(mailbox, libc::SYS_getpid, &[]),
                Err(Errno::ERESTARTSYS)
            );
            assert_eq!(
                mailbox.take().map(|info| info.signal()),
                Some(libc::SIGUSR1)
            );
            assert!(mailbox.is_empty() && mailbox.take().is_none());
            assert_eq!(call(mailbox, libc::SYS_getpid, &[]), Ok(pid));
        });
    }

    #[test]
    fn the_slot_holds_one_signal_and_the_kernel_the_rest() {
        on_guest_thread(|mailbox| {
            install(libc::SIGUSR2, Disposition::Caught, 0);
            send(gettid(), libc::SIGUSR1);
            send(gettid(), libc::SIGUSR2);
            assert_eq!(current_mask() & bit(libc::SIGUSR2), bit(libc::SIGUSR2));
            let first = mailbox.take().map(|info| info.signal());
            assert_eq!(
                (first, mailbox.take().is_none()),
                (Some(libc::SIGUSR1), true)
            );
            unblock();
            let second = mailbox.take().map(|info| info.signal());
            assert_eq!(second, Some(libc::SIGUSR2));
        });
    }

    #[test]
    fn a_kick_ends_a_call_that_blocks_and_blocks_no_signals() {
        on_guest_thread(|mailbox| {
            install(KICK, Disposition::Caught, 0);
            let mut ends = [0; 2];
            // SAFETY: takes two descriptors.
            assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
            let (enough, stop) = mpsc::channel::<()>();
            let tid = gettid();
            // As long as it takes the other thread to get there.
            let kicker = std::thread::spawn(move || {
                while stop
                    .recv_timeout(std::time::Duration::from_millis(1))
                    .is_err()
                {
                    send(tid, KICK);
                }
            });
            let mut byte = 0_u8;
            let read = [ends[0] as u64, &raw mut byte as u64, 1];
            assert_eq!(
                call(mailbox, libc::SYS_read, &read),
                Err(Errno::ERESTARTSYS)
            );
            mailbox.clear_kick();
            // Calls that the kernel does not restart say so.
            let second = [100_i64, 0];
            let sleep = [&raw const second as u64, 0];
            let interrupted = call(mailbox, libc::SYS_nanosleep, &sleep);
            assert!(matches!(
                interrupted,
                Err(Errno::EINTR | Errno::ERESTARTSYS)
            ));
            assert_eq!(current_mask() & !RESERVED, 0);
            enough.send(()).unwrap();
            kicker.join().unwrap();
        });
    }

    #[test]
    fn a_fault_signal_that_is_sent_while_blocked_is_held() {
        on_guest_thread(|mailbox| {
            vcpu::fault::on_sent_signal(on_sent);
            mailbox.set_mask(bit(libc::SIGSEGV));
            send(gettid(), libc::SIGSEGV);
            send(gettid(), libc::SIGSEGV);
            assert!(mailbox.is_empty());
            assert_eq!(mailbox.held(), bit(libc::SIGSEGV));
            mailbox.set_mask(0);
            assert!(!mailbox.is_empty());
            assert_eq!(
                mailbox.take().map(|info| info.signal()),
                Some(libc::SIGSEGV)
            );
            assert!(mailbox.take().is_none());
            send(gettid(), libc::SIGBUS);
            assert_eq!(mailbox.take().map(|info| info.signal()), Some(libc::SIGBUS));
        });
    }
}
