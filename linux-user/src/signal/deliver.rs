//! Delivering signals: handlers, default actions, interrupted system calls.

use super::{
    Action, AltStack, CORE, DEFAULT, FAULTS, IGNORE, IGNORED_BY_DEFAULT, STOPS, SigInfo, SigSet,
    UNBLOCKABLE, bit, frame, host_mask, name, safe_syscall,
};
use crate::ExitStatus;
use crate::mm::Denied;
use crate::thread::{End, Thread};
use crate::{Errno, SysResult};
use translate::{Access, Cause, Fault, Reg};

const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const ILL_ILLOPC: i32 = 1;
const TRAP_BRKPT: i32 = 1;
const SI_KERNEL: i32 = 0x80;

/// The same fault so many times without anything in between is no race with another thread's
/// `mprotect`: host and map disagree, and the guest is told.
const MAX_RETRIES: u32 = 1000;

impl Thread {
    /// Delivers what is pending, resolves an interrupted system call, and brings the host's mask
    /// in line. To be called before guest code goes on.
    #[inline]
    pub(crate) fn deliver_signals(&mut self) {
        let signals = &self.signals;
        if signals.mailbox.is_empty() && !signals.stale && self.restart.is_none() {
            return;
        }
        self.deliver_slowly();
    }

    #[cold]
    fn deliver_slowly(&mut self) {
        loop {
            // In this order: whoever makes the process exit says so before it kicks.
            self.signals.mailbox.clear_kick();
            if self.must_end() {
                return;
            }
            if let Some(info) = self.signals.mailbox.take() {
                self.signals.stale = true;
                self.act_on(&info);
            } else if self.signals.stale {
                // A signal that comes now is delivered first.
                if self.set_host_mask(self.signals.mask).is_ok() {
                    self.signals.stale = false;
                }
            } else {
                break;
            }
        }
        // No handler ran: the system call is simply made again.
        self.restart = None;
    }

    /// Changes the guest's mask, or gives `ERESTARTNOINTR` if a signal must be delivered first.
    pub(crate) fn set_mask(&mut self, mask: SigSet) -> Result<(), Errno> {
        let mask = mask & !UNBLOCKABLE;
        if mask == self.signals.mask {
            return Ok(());
        }
        if self.signals.stale {
            return Err(Errno::ERESTARTNOINTR);
        }
        self.set_host_mask(mask)
            .map_err(|_| Errno::ERESTARTNOINTR)?;
        self.signals.mask = mask;
        Ok(())
    }

    fn set_host_mask(&mut self, mask: SigSet) -> SysResult {
        let host = host_mask(mask);
        let args = [
            libc::SIG_SETMASK as u64,
            &raw const host as u64,
            0,
            size_of::<SigSet>() as u64,
            0,
            0,
        ];
        let mailbox = &self.signals.mailbox;
        // SAFETY: reads `host`. If a signal takes the slot before the call, the call is not made.
        let result = unsafe { safe_syscall(mailbox, libc::SYS_rt_sigprocmask, &args) };
        if result.is_ok() {
            mailbox.set_mask(mask);
        }
        result
    }

    /// Does what the guest wants done about a signal that was sent.
    fn act_on(&mut self, info: &SigInfo) {
        let signal = info.signal();
        self.process.syscalls.trace_signal(self.tid, &info.bytes);
        let action = self.process.actions.get(signal);
        match action.handler {
            IGNORE => (),
            DEFAULT if bit(signal) & IGNORED_BY_DEFAULT != 0 => (),
            DEFAULT if bit(signal) & STOPS != 0 => stop(),
            DEFAULT => self.die(info),
            _ => self.call_handler(&action, info),
        }
    }

    /// A fault of the guest's own: its handler runs, or the guest dies; ignoring does not help.
    fn force(&mut self, signal: i32, code: i32, addr: u64) {
        let info = SigInfo::fault(signal, code, addr);
        self.process.syscalls.trace_signal(self.tid, &info.bytes);
        let action = self.process.actions.get(signal);
        if action.handler <= IGNORE || self.signals.mask & bit(signal) != 0 {
            self.die(&info);
        } else {
            let from = self.vcpu.state().pc;
            self.call_handler(&action, &info);
            if self.end.is_none() {
                self.note_exception(from);
            }
        }
    }

    fn call_handler(&mut self, action: &Action, info: &SigInfo) {
        self.resolve_restart(action);
        let signal = info.signal();
        if action.has(libc::SA_RESETHAND) {
            let reset = Action {
                handler: DEFAULT,
                ..*action
            };
            self.process.actions.set(signal, reset);
        }
        if self.push_frame(action, info).is_err() {
            // No room for the frame.
            if signal == libc::SIGSEGV {
                self.die(info);
            } else {
                self.force(libc::SIGSEGV, SI_KERNEL, 0);
            }
            return;
        }
        let own = if action.has(libc::SA_NODEFER) {
            0
        } else {
            bit(signal)
        };
        self.signals.mask = (self.signals.mask | action.mask | own) & !UNBLOCKABLE;
        self.signals.mailbox.set_mask(self.signals.mask);
        self.signals.stale = true;
    }

    /// A handler is about to run in the middle of a system call: it gives `EINTR`, or is made
    /// again when the handler returns.
    fn resolve_restart(&mut self, action: &Action) {
        let again = match self.restart.take() {
            None | Some(Errno::ERESTARTNOINTR) => return,
            Some(Errno::ERESTARTSYS) => action.has(libc::SA_RESTART),
            Some(_) => false,
        };
        if !again {
            let state = self.vcpu.state();
            state.set(Reg(10), Errno::EINTR.to_raw());
            state.pc = state.pc.wrapping_add(4);
        }
    }

    fn push_frame(&mut self, action: &Action, info: &SigInfo) -> Result<(), Errno> {
        let altstack = self.signals.altstack;
        let sp = self.vcpu.state().x[2];
        let on_it = altstack.contains(sp);
        let top = if action.has(libc::SA_ONSTACK) && !on_it && altstack.size != 0 {
            altstack.sp.wrapping_add(altstack.size)
        } else {
            sp
        };
        let at = top.wrapping_sub(frame::SIZE) & !15;
        if on_it && !altstack.contains(at) {
            return Err(Errno::EFAULT);
        }
        let mask = self.signals.mask;
        let bytes = frame::encode(self.vcpu.state(), info, mask, &altstack);
        self.process.mm.write(at, &bytes)?;
        if altstack.flags & super::SS_AUTODISARM != 0 {
            self.signals.altstack = AltStack::NONE;
        }
        let sigreturn = self.process.sigreturn;
        let state = self.vcpu.state();
        state.set(Reg::RA, sigreturn);
        state.set(Reg(2), at);
        state.set(Reg(10), info.signal() as u64);
        state.set(Reg(11), at);
        state.set(Reg(12), at + frame::UCONTEXT);
        state.pc = action.handler & !1;
        state.res_addr = u64::MAX;
        Ok(())
    }

    /// `rt_sigreturn`: back to what the frame at the stack pointer says.
    pub(super) fn return_from_handler(&mut self) -> SysResult {
        let sp = self.vcpu.state().x[2];
        let mut bytes: frame::Bytes = [0; frame::SIZE as usize];
        if self.process.mm.read(sp, &mut bytes).is_err() {
            self.force(libc::SIGSEGV, SI_KERNEL, 0);
            return Err(Errno::EJUSTRETURN);
        }
        let state = self.vcpu.state();
        let restored = frame::decode(&bytes, state);
        state.res_addr = u64::MAX;
        let sp = state.x[2];
        if let Ok(altstack) = self.signals.altstack.change(&restored.altstack, sp) {
            self.signals.altstack = altstack;
        }
        self.signals.mask = restored.mask & !UNBLOCKABLE;
        self.signals.mailbox.set_mask(self.signals.mask);
        self.signals.stale = true;
        Err(Errno::EJUSTRETURN)
    }

    /// The default action of a signal that kills.
    fn die(&mut self, info: &SigInfo) {
        let signal = info.signal();
        if bit(signal) & CORE != 0 {
            let pc = self.vcpu.state().pc;
            let addr = if bit(signal) & FAULTS != 0 && info.code() > 0 {
                format!(", address {:#x}", info.addr())
            } else {
                String::new()
            };
            crate::message(&format!(
                "guest died by {} at pc {pc:#x}{addr}",
                name(signal)
            ));
        }
        self.process
            .begin_exit(self.tid, ExitStatus::Signaled(signal));
        self.end = Some(End::Process);
    }

    /// An access at the current pc faulted.
    pub(crate) fn fault(&mut self, fault: Fault) {
        let Fault {
            addr,
            access,
            cause,
        } = fault;
        match cause {
            Cause::Misaligned => return self.force(libc::SIGBUS, BUS_ADRALN, addr),
            Cause::Bus => return self.force(libc::SIGBUS, BUS_ADRERR, addr),
            Cause::Page => (),
        }
        if access == Access::Store && self.process.mm.store_fault(addr) {
            self.retries.reset();
            return self.vcpu.retry();
        }
        match self.process.mm.check_access(addr, access) {
            Err(denied) => self.force(libc::SIGSEGV, denied.code(), addr),
            Ok(()) => {
                self.vcpu.retry();
                self.retry_or_give_up(addr);
            }
        }
    }

    /// There is nothing executable at pc, or at the second half of the instruction there.
    pub(crate) fn fetch_fault(&mut self) {
        let pc = self.vcpu.state().pc;
        let mm = self.process.mm.clone();
        for half in [pc, pc.wrapping_add(2)] {
            if let Err(denied) = mm.check_access(half, Access::Fetch) {
                return self.force(libc::SIGSEGV, denied.code(), half);
            }
            if mm.read(half, &mut [0; 2]).is_err() {
                return self.force(libc::SIGBUS, BUS_ADRERR, half);
            }
        }
        self.retry_or_give_up(pc);
    }

    /// What faulted is allowed: another thread has made it so meanwhile.
    fn retry_or_give_up(&mut self, addr: u64) {
        let pc = self.vcpu.state().pc;
        if !self.retries.again((pc, addr), MAX_RETRIES) {
            self.force(libc::SIGSEGV, SEGV_ACCERR, addr);
        }
    }

    /// The instruction at pc does not exist.
    pub(crate) fn illegal(&mut self) {
        let pc = self.vcpu.state().pc;
        self.force(libc::SIGILL, ILL_ILLOPC, pc);
    }

    /// The instruction at pc is `ebreak`.
    pub(crate) fn breakpoint(&mut self) {
        let pc = self.vcpu.state().pc;
        self.force(libc::SIGTRAP, TRAP_BRKPT, pc);
    }
}

impl Denied {
    /// `si_code`
    fn code(self) -> i32 {
        match self {
            Denied::Unmapped => SEGV_MAPERR,
            Denied::Protected => SEGV_ACCERR,
        }
    }
}

/// Stops the process, as the host would have, had the guest's handler not been there when the
/// signal came.
fn stop() {
    // SAFETY: sends a signal to this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

/// Counts how often the same access faulted without a reason.
#[derive(Default)]
pub(crate) struct Retries {
    last: (u64, u64),
    count: u32,
}

impl Retries {
    /// Notes a fault at (pc, address); whether it is worth another try.
    fn again(&mut self, here: (u64, u64), limit: u32) -> bool {
        if self.last != here {
            self.last = here;
            self.count = 0;
        }
        self.count += 1;
        self.count <= limit
    }

    /// Something else happened.
    pub(crate) fn reset(&mut self) {
        self.count = 0;
    }
}
