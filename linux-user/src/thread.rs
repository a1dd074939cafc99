//! A guest thread: its loop, the end of a system call, its end.

use crate::plugins::gate::Outside;
use crate::process::Leaving;
use crate::robust;
use crate::signal::deliver::Retries;
use crate::signal::{self, AltStack, SigSet, ThreadSignals};
use crate::syscall;
use crate::{Args, Errno, ExitStatus, Process, SysResult};
use std::io;
use std::sync::Arc;
use translate::{CpuState, Reg};
use vcpu::{Stop, UserMemory, Vcpu};

/// A guest thread, owned by the host thread that runs it.
pub struct Thread {
    /// Its vCPU.
    pub vcpu: Vcpu<UserMemory>,
    /// What it shares with the other threads.
    pub process: Arc<Process>,
    /// Thread id, the host's.
    pub tid: i32,
    pub(crate) signals: ThreadSignals,
    /// Whether it is sure to call no plugin back.
    pub(crate) outside: Outside,
    /// The system call that a signal interrupted and that has not been finished: pc is still at
    /// the `ecall`.
    pub(crate) restart: Option<Errno>,
    pub(crate) retries: Retries,
    /// Why it must run no further.
    pub(crate) end: Option<End>,
    /// Guest address of a word to clear and wake at the end; 0 for none.
    pub(crate) clear_child_tid: u64,
    /// Guest address of the list of robust futexes; 0 for none.
    pub(crate) robust_list: u64,
}

/// Why a thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It called `exit` with this.
    Thread(u8),
    /// The whole process ends.
    Process,
}

impl Thread {
    /// A thread for the calling host thread, whose signals are blocked. Its registers are zero. Fails if
    /// there is no memory for it.
    pub(crate) fn new(
        process: Arc<Process>,
        mask: SigSet,
        altstack: AltStack,
    ) -> io::Result<Thread> {
        let memory = UserMemory {
            base: process.mm.base(),
        };
        // A process in its parent's memory would be one more vCPU of the parent.
        let vcpu = match process.borrowed_memory {
            false => Vcpu::new(&process.engine, memory)?,
            true => Vcpu::unwatched(&process.engine, memory)?,
        };
        let signals = ThreadSignals::new(vcpu.kicker(), mask, altstack);
        Ok(Thread {
            vcpu,
            process,
            tid: gettid(),
            signals,
            outside: Outside::default(),
            restart: None,
            retries: Retries::default(),
            end: None,
            clear_child_tid: 0,
            robust_list: 0,
        })
    }

    /// The first thread of a program.
    pub(crate) fn leader(process: Arc<Process>, pc: u64, sp: u64) -> io::Result<Thread> {
        let mask = signal::current_mask();
        signal::block_all();
        let mut thread = Thread::new(process, mask, AltStack::NONE)?;
        let state = thread.vcpu.state();
        state.pc = pc;
        state.set(Reg(2), sp);
        thread.begin();
        signal::init_main(thread.tid);
        thread.announce();
        Ok(thread)
    }

    /// The calling host thread is this thread from now on.
    pub(crate) fn begin(&mut self) {
        signal::init_thread(&self.signals.mailbox);
        let outside = self.outside.clone();
        let vcpu = self.vcpu.state().vcpu_index;
        self.process
            .add_thread(self.tid, vcpu, self.vcpu.kicker(), outside);
    }

    /// Runs guest code until the thread ends.
    pub(crate) fn run(&mut self) {
        loop {
            if self.process.pause.is_wanted() {
                self.stand_still();
            }
            self.deliver_signals();
            if self.end.is_some() {
                return;
            }
            match self.vcpu.run() {
                Stop::Ecall => {
                    self.retries.reset();
                    syscall::dispatch(self);
                }
                Stop::Ebreak => self.breakpoint(),
                // Floating point is never off in a program.
                Stop::Illegal | Stop::Float => self.illegal(),
                Stop::Fault(fault) => self.fault(fault),
                Stop::Fetch => self.fetch_fault(),
                Stop::Request => {
                    self.must_end();
                    self.pass_gate();
                }
            }
        }
    }

    /// Whether the thread must run no further, because the process exits or for its own reasons.
    pub(crate) fn must_end(&mut self) -> bool {
        if self.end.is_none() && self.process.is_exiting() {
            self.end = Some(End::Process);
        }
        self.end.is_some()
    }

    /// Does what a kernel does for a thread that ends, and says goodbye to the process.
    pub(crate) fn finish(mut self) {
        signal::park();
        match self.process.leave(self.tid, self.end) {
            Leaving::Alone => self.run_last_callbacks(),
            Leaving::Others => self.say_goodbye(),
            Leaving::WithAll => {}
        }
        let code = match self.end {
            Some(End::Thread(code)) if self.is_leader() => Some(code),
            _ => None,
        };
        let Thread {
            vcpu,
            process,
            tid,
            clear_child_tid,
            robust_list,
            ..
        } = self;
        drop(vcpu);
        let mm = &process.mm;
        robust::release(mm, robust_list, tid);
        process.remove_thread(tid, code);
        // Last: whoever joins this thread takes its stack away and may make the next thread.
        if clear_child_tid != 0 && mm.write(clear_child_tid, &[0; 4]).is_ok() {
            crate::futex::wake(mm, clear_child_tid, 1);
        }
    }

    /// Whether this thread's id is the process's.
    pub(crate) fn is_leader(&self) -> bool {
        self.tid as u32 == std::process::id()
    }

    /// Ends a system call: puts its result into a0 and steps over the `ecall`. An interrupted call
    /// (`ERESTART…`) stays where it is until signals have been delivered; `EJUSTRETURN` and
    /// `EDIVERTED` leave all registers alone. The dispatcher calls this once, last.
    pub fn finish_syscall(&mut self, result: SysResult) {
        let value = match result {
            Ok(value) => value,
            Err(Errno::EJUSTRETURN | Errno::EDIVERTED) => return,
            Err(errno) if errno.is_restart() => {
                self.restart = Some(errno);
                return;
            }
            Err(errno) => errno.to_raw(),
        };
        let state = self.vcpu.state();
        state.set(Reg(10), value);
        state.pc = state.pc.wrapping_add(4);
    }

    /// Makes the host system call `nr`, which may block: pointers in `args` are host addresses.
    ///
    /// The vCPU is offline meanwhile. A guest signal that arrived before the host call began, or
    /// that interrupts it before it has done anything and would let it restart, gives
    /// [`Errno::ERESTARTSYS`]; calls that the kernel never restarts give `EINTR`, as on the host.
    pub fn blocking_syscall(&mut self, nr: i64, args: Args) -> SysResult {
        // SAFETY: the caller passes host addresses of guest memory or of its own buffers.
        self.aside(|signals| unsafe { signal::safe_syscall(&signals.mailbox, nr, &args) })
    }
}

/// The calling host thread's id.
pub(crate) fn gettid() -> i32 {
    // SAFETY: only returns a number.
    unsafe { libc::gettid() }
}

/// Copies the registers that a guest sees, for a thread or process that begins as a copy.
pub(crate) fn copy_registers(from: &CpuState, to: &mut CpuState) {
    to.x = from.x;
    to.f = from.f;
    to.pc = from.pc;
    to.fflags = from.fflags;
    to.set_frm(from.frm as u8);
    to.set_fp_traps(from.fp_traps());
    to.res_addr = u64::MAX;
}

/// `exit`: ends the calling thread only.
pub fn exit(thread: &mut Thread, args: &Args) -> SysResult {
    thread.end = Some(End::Thread(args[0] as u8));
    Err(Errno::EJUSTRETURN)
}

/// `exit_group`
pub fn exit_group(thread: &mut Thread, args: &Args) -> SysResult {
    let status = ExitStatus::Exited(args[0] as u8);
    thread.process.begin_exit(thread.tid, status);
    thread.end = Some(End::Process);
    Err(Errno::EJUSTRETURN)
}

/// `set_tid_address`
pub fn set_tid_address(thread: &mut Thread, args: &Args) -> SysResult {
    thread.clear_child_tid = args[0];
    Ok(thread.tid as u64)
}

/// `set_robust_list`
pub fn set_robust_list(thread: &mut Thread, args: &Args) -> SysResult {
    if args[1] != robust::HEAD_SIZE {
        return Err(Errno::EINVAL);
    }
    thread.robust_list = args[0];
    Ok(0)
}

/// `get_robust_list`: of the calling thread; those of others are not known.
pub fn get_robust_list(thread: &mut Thread, args: &Args) -> SysResult {
    let &[tid, head, len, ..] = args;
    if tid as i32 != 0 && tid as i32 != thread.tid {
        return Err(Errno::ESRCH);
    }
    let mm = &thread.process.mm;
    mm.write(len, &robust::HEAD_SIZE.to_le_bytes())?;
    mm.write(head, &thread.robust_list.to_le_bytes())?;
    Ok(0)
}
