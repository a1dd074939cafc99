//! Waiting for child processes: they are the host's.

use crate::{Args, SysResult, Thread};

const RUSAGE_SIZE: u64 = 144;
const SIGINFO_SIZE: u64 = 128;

/// `wait4`
pub fn wait4(thread: &mut Thread, args: &Args) -> SysResult {
    let &[pid, status, options, usage, ..] = args;
    let mm = &thread.process.mm;
    let (status, usage) = (mm.output(status, 4), mm.output(usage, RUSAGE_SIZE));
    thread.blocking_syscall(libc::SYS_wait4, [pid, status, options, usage, 0, 0])
}

/// `waitid`
pub fn waitid(thread: &mut Thread, args: &Args) -> SysResult {
    let &[kind, id, info, options, usage, _] = args;
    let mm = &thread.process.mm;
    let (info, usage) = (mm.output(info, SIGINFO_SIZE), mm.output(usage, RUSAGE_SIZE));
    thread.blocking_syscall(libc::SYS_waitid, [kind, id, info, options, usage, 0])
}
