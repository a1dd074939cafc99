//! A guest process: what its threads share, how it starts and how it ends.
//!
//! Ending: a thread that calls `exit_group`, or is killed by a signal, records the status, sets
//! `exiting` and kicks all others. Each of them sees the flag at its next stop and ends. The leader
//! (the thread whose id is the process's) waits for them, for a while, and gives the status to
//! whoever called [`run`]; threads that hang in an uninterruptible host call are left to the host.
//!
//! Plugins: the thread that began the end, or the last one to end, runs their last callbacks when the
//! others have stopped. The leader waits for that as long as it takes.

use crate::exec::file::{self, FileError};
use crate::exec::load::{self, LoadError, Start};
use crate::mm::AddressSpace;
use crate::plugins::gate::{Closed, Gate, Outside};
use crate::plugins::guest::Observed;
use crate::remote::{GuestThread, Pause, Remote};
use crate::signal::{self, Actions};
use crate::syscall;
use crate::thread::{End, Thread};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use vcpu::{Engine, Kicker};

/// How long the leader waits for the other threads once the process exits.
const PATIENCE: Duration = Duration::from_secs(1);

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
    /// Where logs go: a descriptor of our own (see [`own_descriptor`]), or standard error.
    pub log_fd: Option<RawFd>,
    /// How `execve` starts this emulator again for a riscv64 program: `hartscope run OPTIONS…`, to
    /// which it appends `-0 ARGV0 PROGRAM ARGS…`. Without `-E`/`-U`: the guest gives the
    /// environment.
    pub reexec: Vec<OsString>,
    /// By which others reach the process.
    pub remote: Remote,
}

/// Moves a file out of the guest's way: among the descriptors that are ours and stay open for ever.
pub fn own_descriptor(file: File) -> io::Result<RawFd> {
    syscall::own_fds::duplicate(file.as_raw_fd())
        .map_err(|errno| io::Error::from_raw_os_error(errno.0))
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
            ExitStatus::Signaled(signal) => signal::die_by(signal),
        }
    }

    /// The same for a `vfork` child, which must leave its parent's memory alone.
    pub(crate) fn terminate_at_once(self) -> ! {
        match self {
            // SAFETY: ends the process.
            ExitStatus::Exited(code) => unsafe { libc::_exit(i32::from(code)) },
            ExitStatus::Signaled(signal) => signal::die_by(signal),
        }
    }
}

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program.
    #[error("{}: {cause}", program.display())]
    Program {
        /// Its name.
        program: PathBuf,
        /// What is wrong with it.
        cause: LoadError,
    },
    /// The address space.
    #[error("cannot reserve the guest's address space: {0}")]
    AddressSpace(std::io::Error),
    /// What runs guest code.
    #[error(transparent)]
    Engine(#[from] vcpu::Error),
    /// The first thread.
    #[error("no memory for a vCPU: {0}")]
    Vcpu(io::Error),
}

impl Error {
    /// The exit status that a shell gives: 127 if there is no such program, 126 if it cannot be
    /// executed.
    pub fn shell_status(&self) -> u8 {
        match self {
            Error::Program {
                cause:
                    LoadError::File(
                        FileError::NotFound
                        | FileError::NotDirectory
                        | FileError::Interpreter { .. },
                    ),
                ..
            } => 127,
            _ => 126,
        }
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
    /// What to do about signals.
    pub(crate) actions: Actions,
    /// Where signal handlers return to.
    pub(crate) sigreturn: u64,
    /// A `vfork` child: it lives in its parent's memory until `execve` or exit.
    pub(crate) borrowed_memory: bool,
    /// Closed while a thread forks.
    pub(crate) gate: Gate,
    /// Whether threads are to stand still.
    pub(crate) pause: Pause,
    exiting: AtomicBool,
    life: Mutex<Life>,
    changed: Condvar,
}

/// Who is alive, and how it ended.
#[derive(Default)]
struct Life {
    threads: BTreeMap<i32, Member>,
    /// Threads that are no guest's and call plugins at the moment.
    helpers: Vec<Outside>,
    /// Once it is known.
    status: Option<ExitStatus>,
    /// What the leader called `exit` with.
    leader_code: u8,
    /// Threads that may still run guest code.
    running: usize,
    /// Who began the end.
    ended_by: Option<i32>,
    /// Plugins have nothing left to do.
    last_callbacks_done: bool,
}

/// A thread, as others see it.
struct Member {
    vcpu: u32,
    kicker: Kicker,
    outside: Outside,
}

/// How a thread's end looks to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// The process ends with it, or by it.
    Alone,
    /// Others go on.
    Others,
    /// All threads end, and another one is the first of them.
    WithAll,
}

impl Process {
    /// A child that starts with what `self` has; with its own engine unless it shares the memory.
    pub(crate) fn child(&self, engine: Arc<Engine>, borrowed_memory: bool) -> Process {
        Process {
            mm: self.mm.clone(),
            engine,
            options: self.options.clone(),
            exe: self.exe.clone(),
            syscalls: self.syscalls.clone(),
            actions: self.actions.copy(),
            sigreturn: self.sigreturn,
            borrowed_memory,
            gate: Gate::default(),
            pause: Pause::default(),
            exiting: AtomicBool::new(false),
            life: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// A thread begins.
    pub(crate) fn add_thread(&self, tid: i32, vcpu: u32, kicker: Kicker, outside: Outside) {
        let mut life = self.life();
        let member = Member {
            vcpu,
            kicker,
            outside,
        };
        life.threads.insert(tid, member);
        life.running += 1;
    }

    /// A thread has run its last instruction of the guest.
    pub(crate) fn leave(&self, tid: i32, end: Option<End>) -> Leaving {
        let mut life = self.life();
        life.running -= 1;
        self.changed.notify_all();
        match end {
            _ if life.ended_by == Some(tid) => Leaving::Alone,
            Some(End::Thread(_)) if life.status.is_none() => match life.running {
                0 => Leaving::Alone,
                _ => Leaving::Others,
            },
            _ => Leaving::WithAll,
        }
    }

    /// For the thread by which the process ends: waits until the others have stopped, for a while.
    pub(crate) fn wait_for_others(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut life = self.life();
        while life.running != 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            life = self.wait_for_change(life, left);
        }
    }

    /// Plugins have nothing left to do in this process.
    pub(crate) fn last_callbacks_done(&self) {
        self.life().last_callbacks_done = true;
        self.changed.notify_all();
    }

    /// A thread has ended. The leader says with what.
    pub(crate) fn remove_thread(&self, tid: i32, code: Option<u8>) {
        let mut life = self.life();
        life.threads.remove(&tid);
        if let Some(code) = code {
            life.leader_code = code;
        }
        self.changed.notify_all();
        drop(life);
        self.gate.look_again();
    }

    /// Whether all threads must end.
    pub(crate) fn is_exiting(&self) -> bool {
        // Acquire: pairs with the Release in `begin_exit`.
        self.exiting.load(Ordering::Acquire)
    }

    /// Ends all threads. The first status counts.
    pub(crate) fn begin_exit(&self, caller: i32, status: ExitStatus) {
        self.exit(self.life(), caller, |tid| tid != caller, status);
    }

    /// The same for somebody who is none of the threads.
    pub(crate) fn exit_by_order(&self, status: ExitStatus) {
        let life = self.life();
        // One of them has to do what comes last.
        let Some(&last) = life.threads.keys().next() else {
            return;
        };
        self.exit(life, last, |_| true, status);
    }

    fn exit(
        &self,
        mut life: MutexGuard<'_, Life>,
        ended_by: i32,
        is_to_be_told: impl Fn(i32) -> bool,
        status: ExitStatus,
    ) {
        if life.status.is_some() {
            return;
        }
        life.status = Some(status);
        life.ended_by = Some(ended_by);
        // Release: whoever is kicked sees the flag (`is_exiting`).
        self.exiting.store(true, Ordering::Release);
        for (&tid, member) in &life.threads {
            if is_to_be_told(tid) {
                member.kicker.kick();
                signal::kick(tid);
            }
        }
        self.changed.notify_all();
        self.pause.look_again();
    }

    /// Makes all threads look around soon. Host calls are not interrupted.
    pub(crate) fn kick_all(&self) {
        for member in self.life().threads.values() {
            member.kicker.kick();
        }
    }

    /// Waits until each thread stands still or is in a host call, for `most` at the longest.
    pub(crate) fn wait_until_all_are_outside(&self, most: Duration) {
        self.gate.wait_until(most, || {
            let life = self.life();
            let mut members = life.threads.values();
            members.all(|member| member.outside.is_outside())
        });
    }

    /// The threads, by vCPU.
    pub(crate) fn list_threads(&self) -> Vec<GuestThread> {
        let life = self.life();
        let threads = life.threads.iter().map(|(&tid, member)| GuestThread {
            vcpu: member.vcpu,
            tid,
        });
        let mut threads: Vec<GuestThread> = threads.collect();
        threads.sort_unstable_by_key(|thread| thread.vcpu);
        threads
    }

    /// Whether there is such a thread of the guest.
    pub(crate) fn has_thread(&self, tid: i32) -> bool {
        self.life().threads.contains_key(&tid)
    }

    /// For threads that are no guest's: whoever forks waits for what they do.
    pub(crate) fn inside<R>(&self, work: impl FnOnce() -> R) -> R {
        let own = Outside::default();
        self.gate.go_outside(&own);
        self.life().helpers.push(own.clone());
        self.gate.come_back(&own);
        let result = work();
        self.gate.go_outside(&own);
        self.life().helpers.retain(|helper| !helper.is_same(&own));
        result
    }

    /// For the leader, which has ended: waits for the end of the process.
    pub(crate) fn wait_for_end(&self) -> ExitStatus {
        let mut life = self.life();
        let mut deadline = None;
        loop {
            if life.threads.is_empty() {
                return life.status.unwrap_or(ExitStatus::Exited(life.leader_code));
            }
            let wait = match life.status {
                None => Duration::MAX,
                Some(_) if self.engine.plugins().is_some() && !life.last_callbacks_done => {
                    Duration::MAX
                }
                Some(status) => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return status;
                    }
                    left
                }
            };
            life = self.wait_for_change(life, wait);
        }
    }

    fn wait_for_change<'a>(
        &self,
        life: MutexGuard<'a, Life>,
        most: Duration,
    ) -> MutexGuard<'a, Life> {
        let woken = self.changed.wait_timeout(life, most);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    /// How a `vfork` child ended, whose only thread ended so.
    pub(crate) fn vfork_status(&self, end: Option<End>) -> ExitStatus {
        match (end, self.life().status) {
            (Some(End::Thread(code)), None) => ExitStatus::Exited(code),
            (_, status) => status.unwrap_or(ExitStatus::Exited(0)),
        }
    }

    /// For a thread that forks: no other one calls a plugin back while the result lives.
    pub(crate) fn quiet(&self, own: &Outside) -> Option<Closed<'_>> {
        self.engine.plugins()?;
        Some(self.gate.close(own, || {
            let life = self.life();
            let threads = life.threads.values().map(|member| {
                member.kicker.kick();
                member.outside.clone()
            });
            threads.chain(life.helpers.iter().cloned()).collect()
        }))
    }

    /// Holds the list of threads still, while the process is forked.
    pub(crate) fn hold(&self) -> impl Drop + '_ {
        self.life()
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        // No step of any change can panic.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A program that has run to its end.
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// What ran it, for what there is to say about that.
    pub engine: Arc<Engine>,
}

/// Runs a program to its end. To be called once, on the process's main thread. The caller ends
/// with [`ExitStatus::terminate`].
pub fn run(options: Options) -> Result<Ended, Error> {
    let mut leader = start(options)?;
    syscall::trace_start(&mut leader);
    leader.run();
    let process = leader.process.clone();
    leader.finish();
    let status = process.wait_for_end();
    process.syscalls.trace_end(status);
    Ok(Ended {
        status,
        engine: process.engine.clone(),
    })
}

/// Loads the program and makes its first thread.
fn start(options: Options) -> Result<Thread, Error> {
    let wrong = |cause| Error::Program {
        program: options.program.clone(),
        cause,
    };
    let sysroot = options.sysroot.as_deref();
    let command = file::resolve(&options.program, &options.args, sysroot)
        .map_err(|error| wrong(error.into()))?;
    let mm = Arc::new(AddressSpace::new().map_err(Error::AddressSpace)?);
    let program = Start {
        program: &command.program,
        sysroot,
        args: &command.args,
        env: &options.env,
        file_name: &options.program,
        stack_size: options.stack_size,
    };
    let loaded = load::load(&mm, &program).map_err(wrong)?;
    let engine = Engine::new(&options.engine, mm.clone())?;
    mm.set_cache(engine.cache().clone());
    let exe = absolute(&command.program.path);
    let (pc, sp, sigreturn) = (loaded.pc, loaded.sp, loaded.sigreturn);
    if let Some(plugins) = engine.plugins() {
        let observed = Observed::new(&mm, command.program, loaded, &exe);
        plugins.set_guest(Arc::new(observed));
    }
    let process = Arc::new(Process {
        mm,
        engine,
        exe,
        syscalls: Arc::new(syscall::State::new(&options)),
        options: Arc::new(options),
        actions: Actions::inherited(),
        sigreturn,
        borrowed_memory: false,
        gate: Gate::default(),
        pause: Pause::default(),
        exiting: AtomicBool::new(false),
        life: Mutex::default(),
        changed: Condvar::new(),
    });
    process.options.remote.attach(&process);
    name_thread(&process.options.program);
    Thread::leader(process, pc, sp).map_err(Error::Vcpu)
}

/// Names the calling thread after the program, as `execve` does.
fn name_thread(program: &Path) {
    let mut name = [0; 16];
    let file = program.file_name().unwrap_or_default().as_bytes();
    for (to, from) in name[..15].iter_mut().zip(file) {
        *to = *from;
    }
    // SAFETY: the kernel reads a string of at most 16 bytes, which ends with a NUL.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
