//! Runs one program to its end and takes its times.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;

/// A program that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// How one run went.
#[derive(Clone, Debug)]
pub struct Run {
    /// Wall time of the whole process.
    pub wall: Duration,
    /// Processor time in user mode.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it said on standard error.
    pub stderr: Vec<u8>,
}

/// Runs `command`, which must succeed. Output goes to unnamed files, so that nobody has to read
/// while the clock runs.
pub fn run(command: &[OsString]) -> Result<Run, Error> {
    let describe = || {
        let words: Vec<_> = command.iter().map(|w| w.to_string_lossy()).collect();
        words.join(" ")
    };
    let failed = |error: io::Error| Error::Run(format!("{}: {error}", describe()));
    let mut stdout = unnamed_file().map_err(failed)?;
    let mut stderr = unnamed_file().map_err(failed)?;
    let mut to_run = Command::new(&command[0]);
    to_run
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().map_err(failed)?)
        .stderr(stderr.try_clone().map_err(failed)?);

    let start = Instant::now();
    let mut child = to_run.spawn().map_err(failed)?;
    if !ends_within(&child, LIMIT).map_err(failed)? {
        child.kill().and_then(|()| child.wait()).map_err(failed)?;
        return Err(Error::Run(format!(
            "{}: still running after {} s",
            describe(),
            LIMIT.as_secs()
        )));
    }
    let wall = start.elapsed();
    let (status, usage) = reap(&child).map_err(failed)?;

    let mut run = Run {
        wall,
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        stdout: Vec::new(),
        stderr: Vec::new(),
    };
    for (file, bytes) in [
        (&mut stdout, &mut run.stdout),
        (&mut stderr, &mut run.stderr),
    ] {
        file.rewind().map_err(failed)?;
        file.read_to_end(bytes).map_err(failed)?;
    }
    if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
        return Ok(run);
    }
    let how = if libc::WIFSIGNALED(status) {
        format!("died of signal {}", libc::WTERMSIG(status))
    } else {
        format!("exit status {}", libc::WEXITSTATUS(status))
    };
    let stderr = String::from_utf8_lossy(&run.stderr);
    let said = stderr.lines().next().unwrap_or("nothing on standard error");
    Err(Error::Run(format!("{}: {how} ({said})", describe())))
}

/// The command line that runs `program` through `runner`, an emulator with its options.
pub fn command_line(runner: &[OsString], program: &Path, args: &[String]) -> Vec<OsString> {
    let mut command = runner.to_vec();
    command.push(program.into());
    command.extend(args.iter().map(OsString::from));
    command
}

fn unnamed_file() -> io::Result<File> {
    // SAFETY: the name is a valid C string; the result is checked before it is owned.
    let fd = unsafe { libc::memfd_create(c"bench-output".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and nothing else owns it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn ends_within(child: &Child, limit: Duration) -> io::Result<bool> {
    let pid = libc::c_long::from(child.id());
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and nothing else owns it; descriptors fit in an `i32`.
    let pidfd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let mut poll = libc::pollfd {
        fd: pidfd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let timeout = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `poll` is one valid pollfd for the time of the call.
    match unsafe { libc::poll(&mut poll, 1, timeout) } {
        -1 => Err(io::Error::last_os_error()),
        ready => Ok(ready > 0),
    }
}

/// Collects an ended child. Its `Child` is not waited for elsewhere.
fn reap(child: &Child) -> io::Result<(i32, libc::rusage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are valid for writes for the time of the call.
    let pid = unsafe {
        libc::wait4(
            child.id() as libc::pid_t,
            &mut status,
            0,
            usage.as_mut_ptr(),
        )
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroes are a valid rusage, and wait4 has filled it in.
    Ok((status, unsafe { usage.assume_init() }))
}

fn duration(time: libc::timeval) -> Duration {
    let micros = time.tv_sec * 1_000_000 + time.tv_usec;
    Duration::from_micros(micros.unsigned_abs())
}
