//! Builds plugins, guests and hartscope, and runs them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// No run takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate is in the repository")
}

/// A directory of this test's own.
pub fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<tempfile::TempDir> = OnceLock::new();
    let make = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    SCRATCH.get_or_init(make).path()
}

/// Runs a command that has to succeed, once for each of its `target`s.
fn once(target: &str, command: &mut Command) {
    static DONE: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !done.get_or_insert_default().insert(target.to_owned()) {
        return;
    }
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{said}");
}

/// Where cargo puts what it builds: these tests' own profile.
fn cargo_build(what: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("a directory in target/");
    let mut command = Command::new(env!("CARGO"));
    command
        .current_dir(repository())
        .args(["build", "--quiet"])
        .args(what)
        .args(["--target-dir"])
        .arg(target);
    let profile = match cfg!(debug_assertions) {
        true => "debug",
        false => {
            command.arg("--release");
            "release"
        }
    };
    once(&what.concat(), &mut command);
    target.join(profile)
}

fn hartscope() -> PathBuf {
    match std::env::var_os("HARTSCOPE") {
        Some(path) => path.into(),
        None => cargo_build(&["-p", "hartscope"]).join("hartscope"),
    }
}

/// A plugin in C, for a version of the interface.
pub fn plugin(name: &str, version: u32) -> PathBuf {
    let directory = scratch().join(format!("v{version}"));
    let mut command = Command::new("make");
    command
        .args(["-s", "-j2", "-C"])
        .arg(repository().join("plugins"))
        .arg(format!("O={}", directory.display()))
        .arg(format!("API={version}"))
        // Quicker to build, and quick enough to run.
        .arg("CFLAGS=-O1")
        // As for anybody who calls make by hand.
        .env_remove("MAKEFLAGS");
    once(&format!("plugins of version {version}"), &mut command);
    directory.join(format!("{name}.so"))
}

/// A plugin in Rust.
pub fn rust_plugin(name: &str) -> PathBuf {
    cargo_build(&["-p", name]).join(format!("lib{name}.so"))
}

/// An example of the crate, which is a plugin.
pub fn example(name: &str) -> PathBuf {
    let what = ["-p", env!("CARGO_PKG_NAME"), "--example", name];
    cargo_build(&what).join(format!("examples/lib{name}.so"))
}

/// A program of `tests/guests`, static; `work` has no C library.
pub fn guest(name: &str) -> PathBuf {
    let program = scratch().join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/guests/{name}.c"));
    let mut command = Command::new("riscv64-linux-gnu-gcc");
    command
        .args(["-O2", "-static", "-Wall", "-o"])
        .arg(&program)
        .arg(source);
    if name == "work" {
        command.args(["-nostdlib", "-ffreestanding", "-fno-stack-protector"]);
        // Nobody sets gp.
        command.arg("-Wl,--no-relax");
    } else {
        command.arg("-lpthread");
    }
    once(name, &mut command);
    program
}

/// The addresses of a program's symbols.
pub fn symbols(program: &Path) -> BTreeMap<String, u64> {
    let output = Command::new("riscv64-linux-gnu-nm")
        .arg(program)
        .output()
        .expect("nm runs");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [address, _, name] = fields[..] else {
                return None;
            };
            Some((name.to_owned(), u64::from_str_radix(address, 16).ok()?))
        })
        .collect()
}

/// What QEMU logs of a program.
pub fn by_qemu(program: &Path, args: &[&str]) -> String {
    let mut command = Command::new("qemu-riscv64");
    command.args(args).arg(program).env_clear();
    let output = finish(&mut command);
    assert!(output.status.success(), "{command:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// How many instructions QEMU executes in a program, one at a time.
pub fn instructions_by_qemu(program: &Path) -> u64 {
    let log = by_qemu(program, &["-one-insn-per-tb", "-d", "exec,nochain"]);
    log.lines()
        .filter(|line| line.starts_with("Trace "))
        .count() as u64
}

/// A run of hartscope.
pub struct Run {
    command: Command,
    program: PathBuf,
}

impl Run {
    pub fn of(program: &Path) -> Run {
        let mut command = Command::new(hartscope());
        // Counts depend on the environment that the guest gets.
        command.arg("run").env_clear();
        Run {
            command,
            program: program.to_owned(),
        }
    }

    pub fn plugins(mut self, specs: &[String]) -> Run {
        for spec in specs {
            self.command.args(["--plugin", spec.trim_end_matches(',')]);
        }
        self
    }

    /// How it ended, and what it said.
    pub fn outcome(mut self) -> Output {
        self.command.args(["-d", "plugin"]).arg(&self.program);
        finish(&mut self.command)
    }

    /// What plugins said. The guest has to succeed.
    pub fn log(self) -> String {
        let output = self.outcome();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}:\n{said}", output.status);
        said
    }
}

/// Runs a command to its end, in bounded time. Its output goes through files: a pipe that nobody
/// reads would stop it.
fn finish(command: &mut Command) -> Output {
    let file = || tempfile::tempfile_in(scratch()).expect("a file");
    let (stdout, stderr) = (file(), file());
    let copy = |file: &std::fs::File| Stdio::from(file.try_clone().expect("a descriptor"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(copy(&stdout))
        .stderr(copy(&stderr))
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            break status;
        }
        if start.elapsed() > LIMIT {
            let _ = child.kill();
            panic!("{command:?} takes more than {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Output {
        status,
        stdout: read(stdout),
        stderr: read(stderr),
    }
}

fn read(mut file: std::fs::File) -> Vec<u8> {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .expect("it can be read");
    bytes
}
