//! A guest thread.

use crate::{Args, Errno, Process, SysResult};
use std::sync::Arc;
use translate::Reg;
use vcpu::{UserMemory, Vcpu};

/// A guest thread, owned by the host thread that runs it.
pub struct Thread {
    /// Its vCPU.
    pub vcpu: Vcpu<UserMemory>,
    /// What it shares with the other threads.
    pub process: Arc<Process>,
    /// Thread id, the host's.
    pub tid: i32,
    /// The system call that a signal interrupted and that has not been finished: pc is still at
    /// the `ecall`.
    pub(crate) restart: Option<Errno>,
}

impl Thread {
    /// Ends a system call: puts its result into a0 and steps over the `ecall`. An interrupted call
    /// (`ERESTART…`) stays where it is until signals have been delivered; `EJUSTRETURN` leaves all
    /// registers alone. The dispatcher calls this once, last.
    pub fn finish_syscall(&mut self, result: SysResult) {
        let value = match result {
            Ok(value) => value,
            Err(Errno::EJUSTRETURN) => return,
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
        self.vcpu.while_offline(|| {
            // SAFETY: the caller passes host addresses of guest memory or of its own buffers.
            let value = unsafe {
                libc::syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5])
            };
            if value == -1 {
                Err(std::io::Error::last_os_error().into())
            } else {
                Ok(value as u64)
            }
        })
    }
}
