//! Building test plugins and the guests that they watch, and running them together.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::process::{self, End, Outcome};
use super::{HARTSCOPE, repository, scratch};

/// The versions of the plugin interface.
pub const VERSIONS: std::ops::RangeInclusive<u32> = 2..=7;

/// The back ends.
pub const BACKENDS: [&str; 2] = ["x86-64", "interp"];

/// `tests/plugins/NAME.c`, built for a version of the interface.
pub fn plugin(name: &str, version: u32) -> PathBuf {
    let source = sources().join(format!("{name}.c"));
    let define = format!("-DQEMU_PLUGIN_API_VERSION={version}");
    library(&source, &format!("{name}-v{version}"), &[&define])
}

/// A library from a C file, under a name of its own.
pub fn library(source: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let include = repository().join("plugin-rt/include");
    let mut command = Command::new("gcc");
    command
        .args(["-shared", "-fPIC", "-O1", "-g", "-std=gnu11", "-Wall"])
        .arg("-I")
        .arg(include)
        .args(flags)
        .arg(source)
        // glib by its file, as no header of it need be there; only who uses it needs it.
        .args(["-Wl,--as-needed", "-l:libglib-2.0.so.0"]);
    build(command, &format!("{name}.so"))
}

/// `tests/plugins/guests/NAME.S`: what a machine runs from the beginning of its memory.
pub fn machine_guest(name: &str) -> PathBuf {
    let source = sources().join(format!("guests/{name}.S"));
    let mut command = Command::new("riscv64-linux-gnu-gcc");
    command
        .args(["-nostdlib", "-static", "-mcmodel=medany", "-no-pie"])
        .args([
            "-Wl,-n,-Ttext=0x80000000,--no-warn-rwx-segments",
            "-Wl,--no-relax",
            "-Wl,--build-id=none",
        ])
        .arg(&source);
    build(command, name)
}

/// `tests/plugins/guests/NAME.S` or `.c`: a riscv64 program without a library.
pub fn bare_guest(name: &str) -> PathBuf {
    let mut source = sources().join(format!("guests/{name}.S"));
    if !source.exists() {
        source.set_extension("c");
    }
    let mut command = Command::new("riscv64-linux-gnu-gcc");
    command
        .args(["-O2", "-nostdlib", "-static", "-ffreestanding", "-Wall"])
        .args(["-fno-stack-protector", "-fno-tree-loop-distribute-patterns"])
        // Nobody sets gp.
        .args(["-Wl,--no-relax", "-Wl,--build-id=none"])
        .arg(&source);
    build(command, name)
}

/// `tests/plugins/guests/NAME.c`: a riscv64 program with the C library, static.
pub fn guest(name: &str) -> PathBuf {
    let source = sources().join(format!("guests/{name}.c"));
    let mut command = Command::new("riscv64-linux-gnu-gcc");
    command
        .args(["-O2", "-static", "-pthread", "-std=gnu11", "-Wall"])
        .arg(&source);
    build(command, name)
}

fn sources() -> PathBuf {
    repository().join("tests/plugins")
}

/// Runs a compiler, once for each output of this process.
fn build(mut command: Command, output: &str) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(path) = built.get(output) {
        return path.clone();
    }
    let directory = scratch().join("plugins");
    std::fs::create_dir_all(&directory).expect("scratch is writable");
    // By another name first: a test of another process may have the file open.
    let fresh = directory.join(format!("{output}.{}", std::process::id()));
    command.arg("-o").arg(&fresh);
    // Libraries come behind what needs them.
    let shown = format!("{command:?}");
    let result = command
        .output()
        .unwrap_or_else(|error| panic!("{shown}: {error}: run 'cargo xtask setup'"));
    let text = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{shown}:\n{text}");
    assert_eq!(text, "", "{shown}");
    let path = directory.join(output);
    std::fs::rename(&fresh, &path).expect("scratch is writable");
    built.insert(output.to_owned(), path.clone());
    path
}

/// A run of a guest under plugins, to be.
pub struct Run {
    options: Vec<OsString>,
    plugins: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    program: PathBuf,
    args: Vec<String>,
}

/// What came of it.
pub struct Watched {
    pub outcome: Outcome,
    /// What plugins said.
    pub log: String,
}

impl Run {
    /// Of a guest program; nobody watches yet.
    pub fn new(program: &Path) -> Run {
        Run {
            options: Vec::new(),
            plugins: Vec::new(),
            environment: Vec::new(),
            program: program.to_owned(),
            args: Vec::new(),
        }
    }

    pub fn option(mut self, words: &[&str]) -> Run {
        self.options.extend(words.iter().map(OsString::from));
        self
    }

    pub fn backend(self, name: &str) -> Run {
        self.option(&["--backend", name])
    }

    /// With a plugin and its arguments: `NAME=VALUE,…`, or nothing.
    pub fn plugin(mut self, library: &Path, arguments: &str) -> Run {
        let mut spec = library.as_os_str().to_owned();
        if !arguments.is_empty() {
            spec.push(",");
            spec.push(arguments);
        }
        self.plugins.push(spec);
        self
    }

    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Run {
        self.environment.push((name, value.into()));
        self
    }

    pub fn arg(mut self, arg: impl ToString) -> Run {
        self.args.push(arg.to_string());
        self
    }

    /// Runs it to its end, however it ends.
    pub fn run(self) -> Watched {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let name = format!("plugins/log-{}-{number}", std::process::id());
        let log = scratch().join(name);
        let mut command = Command::new(HARTSCOPE);
        command.env_clear().envs(self.environment);
        command.arg("run").args(self.options);
        for spec in self.plugins {
            command.arg("-plugin").arg(spec);
        }
        command.args(["-d", "plugin", "-D"]).arg(&log);
        command.arg(self.program).args(self.args);
        let outcome = process::run(&mut command, b"", Duration::from_secs(60));
        let text = std::fs::read(&log).unwrap_or_default();
        let _ = std::fs::remove_file(&log);
        Watched {
            outcome,
            log: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    /// Runs it; it must exit with `status` and say nothing on standard error.
    pub fn expect(self, status: i32) -> Watched {
        let watched = self.run();
        let stderr = watched.outcome.stderr_text();
        assert_eq!(
            (watched.outcome.end, stderr.as_str()),
            (End::Exited(status), ""),
            "{}",
            watched.log
        );
        watched
    }
}

/// The address of a symbol of a program.
pub fn address(program: &Path, name: &str) -> u64 {
    function(program, name).start
}

/// The address range of a function of a program, by its symbol.
pub fn function(program: &Path, name: &str) -> std::ops::Range<u64> {
    use object::{Object, ObjectSymbol};
    let bytes = std::fs::read(program).expect("it has been built");
    let file = object::read::elf::ElfFile64::<object::LittleEndian>::parse(&*bytes)
        .expect("it is a program");
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
    let symbol = symbol.unwrap_or_else(|| panic!("no {name} in {}", program.display()));
    symbol.address()..symbol.address() + symbol.size()
}
