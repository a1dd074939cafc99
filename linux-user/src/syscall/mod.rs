//! System calls.

use crate::{Errno, Thread};

/// What the system calls of one process share. Survives `fork` and `vfork` as it is, so it holds
/// atomics only, or locks that are never held while another thread could fork.
#[derive(Default)]
pub struct State {}

/// Runs the system call that the vCPU stopped at: number in a7, arguments in a0–a5.
pub fn dispatch(thread: &mut Thread) {
    thread.finish_syscall(Err(Errno::ENOSYS));
}
