//! Runs images as processes: `qemu-riscv64`, `hartscope run`.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::{End, Output, RunError, Runner};
use crate::elf;
use crate::program::Image;

/// The instruction sets under test and no others, in the spelling of QEMU's `-cpu`.
const QEMU_CPU: &str = "rv64i,m=true,a=true,f=true,d=true,c=true,zicsr=true,zifencei=true,\
                        zba=true,zbb=true,zbs=true,zicond=true,zicbom=true,zicboz=true,\
                        zihintpause=true";

/// Runs an emulator with a temporary ELF file as its last argument.
pub struct ProcessRunner {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    directory: PathBuf,
    timeout: Duration,
}

impl ProcessRunner {
    /// `qemu-riscv64`, from the path.
    pub fn qemu(timeout: Duration) -> ProcessRunner {
        let arguments = ["-cpu", QEMU_CPU];
        ProcessRunner::new("qemu", Path::new("qemu-riscv64"), &arguments, timeout)
    }

    /// `hartscope run` with the given options.
    pub fn hartscope(
        name: &str,
        program: &Path,
        options: &[&str],
        timeout: Duration,
    ) -> ProcessRunner {
        let arguments = [&["run"], options].concat();
        ProcessRunner::new(name, program, &arguments, timeout)
    }

    fn new(name: &str, program: &Path, arguments: &[&str], timeout: Duration) -> ProcessRunner {
        ProcessRunner {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
            directory: std::env::temp_dir(),
            timeout,
        }
    }

    fn run_file(&self, file: &Path) -> Result<Output, RunError> {
        let fail = |doing| {
            move |source| RunError {
                runner: self.name.clone(),
                doing,
                source,
            }
        };
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(fail("starting the program"))?;
        let Some(mut stdout) = child.stdout.take() else {
            unreachable!("its standard output is piped");
        };
        // The reader ends when the program does, or is killed.
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes)
        });
        let end = wait(child, self.timeout).map_err(fail("waiting for the program"))?;
        let bytes = match reader.join() {
            Ok(read) => read.map_err(fail("reading its output"))?,
            Err(_) => unreachable!("the reader does not panic"),
        };
        Ok(Output { bytes, end })
    }
}

/// Waits for `child`, kills it if that takes longer than `timeout`.
fn wait(mut child: Child, timeout: Duration) -> io::Result<End> {
    let pid = child.id() as libc::pid_t;
    let (done, watchdog) = mpsc::channel::<()>();
    let killer = thread::spawn(move || {
        let expired = watchdog.recv_timeout(timeout) == Err(mpsc::RecvTimeoutError::Timeout);
        if expired {
            // SAFETY: plain system call; the child is not reaped before this thread was joined or
            // told, so the number is still its own.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        expired
    });
    // Wait without reaping, so that the number stays the child's until the killer is through.
    // SAFETY: `info` is written by the call alone; all-zero is a valid value of it.
    let waited = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(
            libc::P_PID,
            pid as libc::id_t,
            &mut info,
            libc::WEXITED | libc::WNOWAIT,
        )
    };
    let error = io::Error::last_os_error();
    drop(done);
    let expired = killer.join().unwrap_or(false);
    if waited != 0 {
        return Err(error);
    }
    let status = child.wait()?;
    Ok(if expired {
        End::Timeout
    } else {
        end_of(status)
    })
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exit(code),
        (None, signal) => End::Signal(signal.unwrap_or(0)),
    }
}

impl Runner for ProcessRunner {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, image: &Image) -> Result<Output, RunError> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let name = format!("isa-fuzz-{}-{serial}.elf", std::process::id());
        let path = self.directory.join(name);
        write_executable(&path, &elf::write(image)).map_err(|source| RunError {
            runner: self.name.clone(),
            doing: "writing the guest program",
            source,
        })?;
        let output = self.run_file(&path);
        // A file left behind harms nobody.
        let _ = fs::remove_file(&path);
        output
    }
}

fn write_executable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o700)
        .open(path)?;
    io::Write::write_all(&mut file, bytes)
}
