//! Guest signals.
//!
//! The host kernel keeps the books: a guest signal *is* a host signal, and a guest thread's signal
//! mask is its host thread's mask. So the kernel chooses the thread for a process-directed signal,
//! queues real-time signals, runs `sigtimedwait`, `signalfd` and `ppoll` with a mask, stops and
//! continues. What is left to do here is to run the guest's handlers, and to end the process in good
//! order where that is the default.
//!
//! 1. The host handler ([`host`]) puts the signal into the one slot of its thread's mailbox, makes
//!    the vCPU stop soon, and returns with *all* signals blocked. So one slot is enough: what else
//!    is pending stays in the kernel, in the kernel's order.
//! 2. At its next stop the thread takes the slot ([`deliver`]), writes a frame onto the guest's
//!    stack ([`frame`]) and sets the host mask to the guest's new mask, upon which the kernel
//!    delivers the next one.
//! 3. SIGSEGV, SIGBUS and SIGFPE are never blocked on the host, they report faults and
//!    floating-point exceptions in generated code. One that somebody sends while the guest blocks
//!    it is held in the mailbox.
//! 4. The highest signal, 64, is ours: it gets threads out of system calls when the guest exits.
//!    A guest that uses it will not see it.

pub mod calls;
pub(crate) mod deliver;
pub mod frame;
mod host;

pub use host::{Mailbox, init_thread, safe_syscall};
pub(crate) use host::{block_all, current_mask, die_by, init_main, kick, park};

use crate::Errno;
use crate::mm::AddressSpace;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Signals are numbered 1–64.
pub const SIGNALS: i32 = 64;
/// The signal that belongs to hartscope.
pub const KICK: i32 = 64;

/// `SIG_DFL`
pub const DEFAULT: u64 = 0;
/// `SIG_IGN`
pub const IGNORE: u64 = 1;

/// A set of signals as the kernel writes it: bit `n - 1` for signal `n`.
pub type SigSet = u64;

/// The set of one signal.
pub const fn bit(signal: i32) -> SigSet {
    1 << (signal - 1)
}

const UNBLOCKABLE: SigSet = bit(libc::SIGKILL) | bit(libc::SIGSTOP);
/// What [`vcpu::fault`] handles.
const FAULTS: SigSet = bit(libc::SIGSEGV) | bit(libc::SIGBUS) | bit(libc::SIGFPE);
/// Never blocked on the host.
const RESERVED: SigSet = FAULTS | bit(KICK);
/// Signals that dump core unless told otherwise: hartscope says what killed the guest.
const CORE: SigSet = FAULTS
    | bit(libc::SIGQUIT)
    | bit(libc::SIGILL)
    | bit(libc::SIGTRAP)
    | bit(libc::SIGABRT)
    | bit(libc::SIGSYS);
/// Ignored unless told otherwise.
const IGNORED_BY_DEFAULT: SigSet =
    bit(libc::SIGCHLD) | bit(libc::SIGCONT) | bit(libc::SIGURG) | bit(libc::SIGWINCH);

/// Stop the process unless told otherwise.
const STOPS: SigSet = bit(libc::SIGTSTP) | bit(libc::SIGTTIN) | bit(libc::SIGTTOU);

/// The mask to give to the host where the guest means `mask`.
pub fn host_mask(mask: SigSet) -> SigSet {
    mask & !(RESERVED | UNBLOCKABLE)
}

/// What the guest wants done about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// [`DEFAULT`], [`IGNORE`] or a guest address.
    pub handler: u64,
    /// `SA_…`
    pub flags: u64,
    /// Blocked while the handler runs.
    pub mask: SigSet,
}

impl Action {
    const DEFAULT: Action = Action {
        handler: DEFAULT,
        flags: 0,
        mask: 0,
    };

    fn has(&self, flag: i32) -> bool {
        self.flags & flag as u32 as u64 != 0
    }
}

/// What a process wants done about each signal.
pub struct Actions {
    table: Mutex<[Action; SIGNALS as usize]>,
}

impl Actions {
    /// What the host process has inherited: ignored signals stay so, all others are default.
    pub fn inherited() -> Actions {
        let mut table = [Action::DEFAULT; SIGNALS as usize];
        for signal in 1..=SIGNALS {
            if host::inherited_ignore(signal) {
                table[signal as usize - 1].handler = IGNORE;
            }
        }
        let actions = Actions {
            table: Mutex::new(table),
        };
        for signal in 1..=SIGNALS {
            actions.install(signal, &actions.get(signal));
        }
        actions
    }

    /// A copy, for a child process.
    pub fn copy(&self) -> Actions {
        Actions {
            table: Mutex::new(*self.lock()),
        }
    }

    /// Holds the table still, while the process is forked.
    pub(crate) fn hold(&self) -> impl Drop + '_ {
        self.lock()
    }

    /// The action for a signal, 1–64.
    pub fn get(&self, signal: i32) -> Action {
        self.lock()[signal as usize - 1]
    }

    /// Changes the action for a signal, 1–64; gives the old one.
    pub fn set(&self, signal: i32, action: Action) -> Action {
        let mut table = self.lock();
        let old = std::mem::replace(&mut table[signal as usize - 1], action);
        // Under the lock, so that the host agrees with the last one to come.
        self.install(signal, &action);
        old
    }

    /// Sets all handlers to default (`CLONE_CLEAR_SIGHAND`).
    pub(crate) fn clear_handlers(&self) {
        for signal in 1..=SIGNALS {
            if self.get(signal).handler != IGNORE {
                self.set(signal, Action::DEFAULT);
            }
        }
    }

    fn install(&self, signal: i32, action: &Action) {
        let bit = bit(signal);
        if bit & (UNBLOCKABLE | FAULTS) != 0 {
            return;
        }
        let disposition = match action.handler {
            _ if signal == KICK => host::Disposition::Caught,
            IGNORE => host::Disposition::Ignored,
            DEFAULT if bit & (IGNORED_BY_DEFAULT | STOPS) != 0 => host::Disposition::Default,
            // Also what kills by default: the guest is to end in good order, its robust locks
            // marked, and whoever watches it told.
            _ => host::Disposition::Caught,
        };
        let child_flags = (libc::SA_NOCLDSTOP | libc::SA_NOCLDWAIT) as u64;
        host::install(signal, disposition, action.flags & child_flags);
    }

    fn lock(&self) -> MutexGuard<'_, [Action; SIGNALS as usize]> {
        // Every entry is valid at any time.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `siginfo_t`: the same on riscv64 and x86-64.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct SigInfo {
    bytes: [u8; SigInfo::SIZE],
}

impl SigInfo {
    /// Bytes.
    pub const SIZE: usize = 128;
    const ZERO: SigInfo = SigInfo {
        bytes: [0; SigInfo::SIZE],
    };

    /// What a fault at `addr` says.
    fn fault(signal: i32, code: i32, addr: u64) -> SigInfo {
        let mut info = SigInfo::ZERO;
        info.bytes[0..4].copy_from_slice(&signal.to_le_bytes());
        info.bytes[8..12].copy_from_slice(&code.to_le_bytes());
        info.bytes[16..24].copy_from_slice(&addr.to_le_bytes());
        info
    }

    fn word(&self, at: usize) -> i32 {
        let mut word = [0; 4];
        word.copy_from_slice(&self.bytes[at..at + 4]);
        i32::from_le_bytes(word)
    }

    /// `si_signo`
    pub fn signal(&self) -> i32 {
        self.word(0)
    }

    /// `si_code`
    pub fn code(&self) -> i32 {
        self.word(8)
    }

    /// `si_addr`
    pub fn addr(&self) -> u64 {
        u64::from(self.word(16) as u32) | u64::from(self.word(20) as u32) << 32
    }
}

/// `stack_t`: where handlers run that ask for another stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AltStack {
    sp: u64,
    size: u64,
    /// `SS_AUTODISARM` or 0.
    flags: u32,
}

const SS_ONSTACK: u32 = 1;
const SS_DISABLE: u32 = 2;
const SS_AUTODISARM: u32 = 1 << 31;
const MINSIGSTKSZ: u64 = 2048;

impl AltStack {
    /// None.
    pub const NONE: AltStack = AltStack {
        sp: 0,
        size: 0,
        flags: 0,
    };
    /// Bytes of a `stack_t`.
    const SIZE: usize = 24;

    /// Whether a stack pointer is on it. One that disarms itself is never in use twice.
    fn contains(&self, sp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && sp > self.sp && sp - self.sp <= self.size
    }

    /// As `sigaltstack` shows it to a thread with this stack pointer.
    fn encode(&self, sp: u64) -> [u8; AltStack::SIZE] {
        let state = match self.size {
            0 => SS_DISABLE,
            _ if self.contains(sp) => SS_ONSTACK,
            _ => 0,
        };
        let mut bytes = [0; AltStack::SIZE];
        bytes[0..8].copy_from_slice(&self.sp.to_le_bytes());
        bytes[8..12].copy_from_slice(&(state | self.flags).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.size.to_le_bytes());
        bytes
    }

    /// What a guest asks for in place of `self`, at this stack pointer.
    fn change(&self, bytes: &[u8; AltStack::SIZE], sp: u64) -> Result<AltStack, Errno> {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let flags = word(8) as u32;
        if self.contains(sp) {
            return Err(Errno::EPERM);
        }
        match flags & !SS_AUTODISARM {
            SS_DISABLE => Ok(AltStack::NONE),
            0 | SS_ONSTACK if word(16) < MINSIGSTKSZ => Err(Errno::ENOMEM),
            0 | SS_ONSTACK => Ok(AltStack {
                sp: word(0),
                size: word(16),
                flags: flags & SS_AUTODISARM,
            }),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Reads a set of signals.
pub fn read_set(mm: &AddressSpace, addr: u64) -> Result<SigSet, Errno> {
    mm.read_u64(addr)
}

/// The signal part of a thread.
pub struct ThreadSignals {
    /// Where the host handler leaves signals.
    pub(crate) mailbox: Box<Mailbox>,
    /// The guest's mask.
    pub(crate) mask: SigSet,
    /// Its alternate stack.
    pub(crate) altstack: AltStack,
    /// The host's mask does not follow from `mask` just now: everything is blocked.
    stale: bool,
}

impl ThreadSignals {
    /// Of a thread that is about to run, on its host thread, with all signals blocked.
    pub fn new(kicker: vcpu::Kicker, mask: SigSet, altstack: AltStack) -> ThreadSignals {
        ThreadSignals {
            mailbox: Box::new(Mailbox::new(kicker)),
            mask,
            altstack,
            stale: true,
        }
    }

    /// All signals have been blocked on the host: the next delivery sets the mask again.
    pub(crate) fn mark_stale(&mut self) {
        self.stale = true;
    }
}

/// The name of a signal.
pub fn name(signal: i32) -> String {
    #[rustfmt::skip]
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    match usize::try_from(signal - 1)
        .ok()
        .and_then(|index| NAMES.get(index))
    {
        Some(name) => format!("SIG{name}"),
        None => format!("signal {signal}"),
    }
}
