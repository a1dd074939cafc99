//! System calls that plugins watch.
//!
//! In this order: discontinuity, call callbacks, strace, filters, the call, strace, return callbacks.
//! A callback that sets the pc ends it there: nothing of what is left happens, and no result is
//! written.

use crate::{Args, Errno, SysResult, Thread};
use plugin_rt::{Discon, Escape};
use translate::CpuState;

/// The call that all callbacks are spared.
const FLUSH_ICACHE: u64 = 259;
const RT_SIGRETURN: u64 = 139;

/// What return callbacks get for a call that is made again: the kernel's `ERESTARTSYS`.
const RESTARTS: i64 = -512;
/// What they get for `rt_sigreturn`, which has no result.
const NO_RESULT: i64 = -513;

/// A system call that a guest makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub number: u64,
    pub args: Args,
}

impl Request {
    /// What the vCPU at an `ecall` asks for: number in a7, arguments in a0–a5.
    pub(crate) fn of(state: &CpuState) -> Request {
        let x = &state.x;
        Request {
            number: x[17],
            args: [x[10], x[11], x[12], x[13], x[14], x[15]],
        }
    }

    /// As callbacks get it: the last two are there for other architectures.
    fn words(&self) -> [u64; 8] {
        let [a, b, c, d, e, f] = self.args;
        [a, b, c, d, e, f, 0, 0]
    }
}

/// Does a call that plugins may watch: `perform` does it, filters included, and is followed by the
/// end of the call.
pub(crate) fn watch(
    thread: &mut Thread,
    request: &Request,
    perform: impl FnOnce(&mut Thread, &Request) -> SysResult,
) {
    let ecall = thread.vcpu.state().pc;
    let Some(next) = enter(thread, request, ecall) else {
        return;
    };
    let tid = thread.tid;
    thread.vcpu.state().pc = ecall;
    let result = perform(thread, request);
    let Some(ret) = shown_result(request, result, thread.tid != tid) else {
        return thread.finish_syscall(result);
    };
    let steps_over = !matches!(result, Err(Errno::EJUSTRETURN));
    if steps_over {
        thread.vcpu.state().pc = next;
    }
    let number = request.number as i64;
    if request.number != FLUSH_ICACHE
        && thread.vcpu.instruments().syscall_ret(number, ret) == Escape::Left
    {
        return;
    }
    if steps_over {
        // A pc that a callback has written counts, unless the call is made again.
        let next = std::mem::replace(&mut thread.vcpu.state().pc, ecall);
        thread.finish_syscall(result);
        if thread.restart.is_none() {
            thread.vcpu.state().pc = next;
        }
    }
}

/// Tells of the call; gives where the guest is to go on behind it, or `None` if it goes on
/// elsewhere, without the call.
fn enter(thread: &mut Thread, request: &Request, ecall: u64) -> Option<u64> {
    let next = ecall.wrapping_add(4);
    thread.vcpu.state().pc = next;
    let instruments = thread.vcpu.instruments();
    if instruments.discontinuity(Discon::HostCall, ecall, next) == Escape::Left {
        return None;
    }
    if request.number != FLUSH_ICACHE
        && instruments.syscall(request.number as i64, &request.words()) == Escape::Left
    {
        return None;
    }
    Some(thread.vcpu.state().pc)
}

/// Asks the filters for the result of a call; `None` if it is to be made.
pub(crate) fn filter(thread: &mut Thread, request: &Request) -> Option<SysResult> {
    if request.number == FLUSH_ICACHE || !thread.vcpu.instruments().wants_syscalls() {
        return None;
    }
    let ecall = thread.vcpu.state().pc;
    thread.vcpu.state().pc = ecall.wrapping_add(4);
    let number = request.number as i64;
    match thread.vcpu.instruments().filter(number, &request.words()) {
        (Escape::Left, _) => Some(Err(Errno::EDIVERTED)),
        (Escape::Returned, result) => {
            thread.vcpu.state().pc = ecall;
            result.map(filtered)
        }
    }
}

/// The result of a call that a filter has made. Of the internal codes it knows one.
fn filtered(raw: i64) -> SysResult {
    match raw {
        RESTARTS => Err(Errno::ERESTARTSYS),
        -511..=-1 => Err(Errno(-raw as i32)),
        _ => Ok(raw as u64),
    }
}

/// What return callbacks get; `None` if there is no return.
fn shown_result(request: &Request, result: SysResult, in_child: bool) -> Option<i64> {
    match result {
        Ok(value) => Some(value as i64),
        Err(Errno::EDIVERTED) => None,
        Err(Errno::EJUSTRETURN) => match request.number {
            _ if in_child => Some(0),
            RT_SIGRETURN => Some(NO_RESULT),
            // The others of this kind end the thread.
            _ => None,
        },
        Err(errno) if errno.is_restart() => Some(RESTARTS),
        Err(errno) => Some(-i64::from(errno.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_knows_one_internal_code() {
        assert_eq!(filtered(7), Ok(7));
        assert_eq!(filtered(-13), Err(Errno::EACCES));
        assert_eq!(filtered(-512), Err(Errno::ERESTARTSYS));
        for other in [-513, -600, -601, -4096, i64::MIN] {
            assert_eq!(filtered(other), Ok(other as u64));
        }
    }

    #[test]
    fn results_are_shown_as_the_guest_would_get_them() {
        let shown = |number, result, in_child| {
            let request = Request {
                number,
                args: [0; 6],
            };
            shown_result(&request, result, in_child)
        };
        assert_eq!(shown(64, Ok(5), false), Some(5));
        assert_eq!(shown(214, Ok(u64::MAX << 12), false), Some(-4096));
        assert_eq!(shown(64, Err(Errno::EBADF), false), Some(-9));
        for restart in [Errno::ERESTARTSYS, Errno::ERESTARTNOINTR] {
            assert_eq!(shown(63, Err(restart), false), Some(-512));
        }
        assert_eq!(shown(139, Err(Errno::EJUSTRETURN), false), Some(-513));
        assert_eq!(shown(220, Err(Errno::EJUSTRETURN), true), Some(0));
        for number in [93, 94] {
            assert_eq!(shown(number, Err(Errno::EJUSTRETURN), false), None);
        }
        assert_eq!(shown(64, Err(Errno::EDIVERTED), false), None);
    }
}
