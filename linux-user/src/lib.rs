//! Linux riscv64 user mode: ELF loading, address space, system calls, signals, threads.
//!
//! The rules of the house:
//!
//! 1. One host thread per guest thread, and what the host kernel can do natively it does: guest
//!    file descriptors, thread ids, process ids, futexes, signal masks, pending queues and
//!    terminal job control *are* the host's.
//! 2. A [`Thread`] belongs to the host thread that runs it. Others reach it only through its
//!    signal mailbox. A [`Process`] is shared and holds no lock while guest code runs.
//! 3. A system call is `fn(&mut Thread, &Args) -> SysResult`. Guest memory is touched only through
//!    fault-guarded copies or by the host kernel; a bad pointer is `EFAULT`, never a crash.
//! 4. Whatever may block goes through [`Thread::blocking_syscall`]: the vCPU is offline meanwhile,
//!    and a guest signal that comes in before the host call blocks is not missed.

pub mod clone;
pub mod copy;
pub mod errno;
pub mod exec;
pub mod futex;
pub mod mm;
mod own_file;
mod plugins;
pub mod process;
pub mod remote;
mod robust;
pub mod signal;
pub mod strace;
pub mod syscall;
pub mod thread;
pub mod wait;

pub use errno::{Errno, SysResult};
pub use own_file::{OwnFile, Reader};
pub use process::{Ended, Error, ExitStatus, Options, Process, own_descriptor, run};
pub use remote::Remote;
pub use thread::Thread;

/// Arguments of a system call: a0–a5.
pub type Args = [u64; 6];

/// Tells the user something on standard error, in one piece and without a lock.
pub(crate) fn message(text: &str) {
    let line = format!("hartscope: {text}\n");
    // SAFETY: writes the line. Nothing can be done about a dead standard error.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
}
