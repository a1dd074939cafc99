//! A child process with bounds: time, output, no core file, and its whole group dies with it.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// More output than this is not kept.
const OUTPUT_LIMIT: u64 = 16 << 20;

/// What a process left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub end: End,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Signaled(i32),
    /// It was still running at the end of its time.
    TimedOut,
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> End {
        match (status.code(), status.signal()) {
            (Some(code), _) => End::Exited(code),
            (None, signal) => End::Signaled(signal.unwrap_or_default()),
        }
    }
}

impl Outcome {
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Starts `command` as the leader of its own process group and without core files.
pub fn spawn(command: &mut Command) -> Child {
    let shown = command.get_program().to_string_lossy().into_owned();
    // SAFETY: setrlimit is async-signal-safe, which is what code between fork and exec must be.
    unsafe {
        command.pre_exec(|| {
            let none = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            libc::setrlimit(libc::RLIMIT_CORE, &none);
            Ok(())
        })
    };
    command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}: run 'cargo xtask setup'"))
}

/// Runs `command` with `input` on its standard input to its end, or for at most `limit`.
pub fn run(command: &mut Command, input: &[u8], limit: Duration) -> Outcome {
    let mut child = spawn(command.stdin(Stdio::piped()));
    if let Some(mut stdin) = child.stdin.take() {
        // A guest that does not read its input is no failure of the test.
        let _ = stdin.write_all(input);
    }
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let end = finish(&mut child, limit);
    let bytes = |reader: JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    Outcome {
        stdout: bytes(stdout),
        stderr: bytes(stderr),
        end,
    }
}

/// Ends a process group if it is still alive after a time, unless dropped before.
pub struct Watchdog {
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Watches the group of `child`, which must not be reaped before this is dropped.
    pub fn new(child: &Child, limit: Duration) -> Watchdog {
        let group = child.id() as i32;
        let (done, finished) = mpsc::channel();
        let thread = thread::spawn(move || {
            if finished.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                // SAFETY: a plain system call; the child has not been reaped, so the group is its.
                unsafe { libc::kill(-group, libc::SIGKILL) };
            }
        });
        Watchdog {
            done: Some(done),
            thread: Some(thread),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits for `child` for at most `limit`, then ends what is left of its group.
pub fn finish(child: &mut Child, limit: Duration) -> End {
    let in_time = wait_readable(&process_handle(child), limit);
    // SAFETY: a plain system call; the child has not been reaped, so the group is still its own.
    unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
    let status = child.wait().expect("a child can be waited for");
    if in_time {
        status.into()
    } else {
        End::TimedOut
    }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(OUTPUT_LIMIT).read_to_end(&mut bytes);
            // Keeps a flood going, so that the writer ends by its time limit and not by SIGPIPE.
            let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        bytes
    })
}

fn process_handle(child: &Child) -> OwnedFd {
    // SAFETY: a plain system call; its result is checked below.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) };
    assert!(fd >= 0, "pidfd_open: {}", std::io::Error::last_os_error());
    // SAFETY: the kernel has just given us this descriptor.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// True once `fd` is readable, false after `limit`.
fn wait_readable(fd: &OwnedFd, limit: Duration) -> bool {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&mut poll, 1, limit.as_millis() as i32) == 1 }
}
