//! Every C program in `tests/guests/` does the same thing everywhere: natively, under QEMU, and
//! under Hartscope with either back end, with the usual and with a tiny translation cache.
//! Compared are standard output and the way it ended, byte for byte.
//!
//! The comment at the top of a guest says how to run it, in lines that begin with `@`:
//!
//! | directive | meaning |
//! | --- | --- |
//! | `@threads` | takes the number of threads: run with 1, 2 and 8 |
//! | `@args WORDS…` | run with these arguments; each such line is one run |
//! | `@only riscv64` | makes no sense on another machine: QEMU gives the reference |
//! | `@no-qemu REASON` | QEMU does it wrong and is not asked |
//! | `@expect TEXT` | a line that must be printed, where there is no other reference |
//! | `@no-tiny REASON` | not with a tiny translation cache |
//! | `@options WORDS…` | further options of `hartscope run` |
//! | `@cflags WORDS…` | further compiler flags |
//! | `@stdin TEXT` | a line of input |
//! | `@timeout SECONDS` | the limit of a run, if 60 s are not right |

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::process::{self, End, Outcome};
use common::{HARTSCOPE, Machine, QEMU};
use libtest_mimic::{Arguments, Failed, Trial};

/// A guest program and how to run it.
#[derive(Default)]
struct Guest {
    name: String,
    source: PathBuf,
    /// Arguments of each run.
    runs: Vec<Vec<String>>,
    riscv_only: bool,
    no_qemu: bool,
    no_tiny: bool,
    options: Vec<String>,
    cflags: Vec<String>,
    stdin: String,
    expect: String,
    limit: Duration,
    built: OnceLock<Result<PathBuf, String>>,
    reference: OnceLock<Result<Vec<Outcome>, String>>,
}

/// The ways to run a riscv64 program that are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Runner {
    Qemu,
    X86_64,
    Interp,
    /// The emitter with so little room that blocks are evicted all the time.
    TinyCache,
}

impl Runner {
    const ALL: [Runner; 4] = [
        Runner::Qemu,
        Runner::X86_64,
        Runner::Interp,
        Runner::TinyCache,
    ];

    fn name(self) -> &'static str {
        match self {
            Runner::Qemu => "qemu",
            Runner::X86_64 => "x86-64",
            Runner::Interp => "interp",
            Runner::TinyCache => "tiny-cache",
        }
    }

    fn command(self, guest: &Guest, program: &Path) -> Command {
        let words: &[&str] = match self {
            Runner::Qemu => &[QEMU],
            Runner::X86_64 => &[HARTSCOPE, "run"],
            Runner::Interp => &[HARTSCOPE, "run", "--backend", "interp"],
            Runner::TinyCache => &[HARTSCOPE, "run", "--tb-size", "64K"],
        };
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        if self != Runner::Qemu {
            command.args(&guest.options);
        }
        command.arg(program);
        command
    }
}

impl Guest {
    fn read(source: &Path) -> Result<Guest, String> {
        let text = std::fs::read_to_string(source).map_err(|error| error.to_string())?;
        let mut guest = Guest {
            name: source
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            source: source.to_path_buf(),
            limit: Duration::from_secs(60),
            ..Guest::default()
        };
        let comment = text.split("*/").next().unwrap_or_default();
        for line in comment.lines() {
            let line = line.trim_start_matches([' ', '*', '/']);
            if let Some(directive) = line.strip_prefix('@') {
                guest.direct(directive.trim_end())?;
            }
        }
        if guest.runs.is_empty() {
            guest.runs.push(Vec::new());
        }
        Ok(guest)
    }

    fn direct(&mut self, directive: &str) -> Result<(), String> {
        let (name, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        let words = || rest.split_whitespace().map(String::from);
        match name {
            "threads" => {
                let counts = ["1", "2", "8"];
                self.runs
                    .extend(counts.map(|count| vec![String::from(count)]));
            }
            "args" => self.runs.push(words().collect()),
            "only" if rest == "riscv64" => self.riscv_only = true,
            "no-qemu" if !rest.is_empty() => self.no_qemu = true,
            "no-tiny" if !rest.is_empty() => self.no_tiny = true,
            "options" => self.options.extend(words()),
            "cflags" => self.cflags.extend(words()),
            "stdin" => self.stdin.push_str(&format!("{rest}\n")),
            "expect" => self.expect.push_str(&format!("{rest}\n")),
            "timeout" => {
                let seconds = rest.parse().map_err(|_| format!("bad @timeout: {rest}"))?;
                self.limit = Duration::from_secs(seconds);
            }
            _ => return Err(format!("{}: unknown directive: @{directive}", self.name)),
        }
        Ok(())
    }

    fn program(&self) -> Result<&Path, String> {
        let built = self
            .built
            .get_or_init(|| common::compile(&self.source, Machine::Riscv64, &self.cflags));
        built.as_deref().map_err(Clone::clone)
    }

    /// What each run must give: what it gives natively, or else under QEMU.
    fn reference(&self) -> Result<&[Outcome], String> {
        let compute = || {
            if !self.expect.is_empty() {
                let stdout = self.expect.clone().into_bytes();
                let end = End::Exited(0);
                return Ok(vec![
                    Outcome {
                        stdout,
                        end,
                        stderr: Vec::new()
                    };
                    self.runs.len()
                ]);
            }
            if self.riscv_only {
                let program = self.program()?;
                return self.run_all(|| Runner::Qemu.command(self, program));
            }
            let program = common::compile(&self.source, Machine::Native, &self.cflags)?;
            self.run_all(|| Command::new(&program))
        };
        self.reference
            .get_or_init(compute)
            .as_deref()
            .map_err(Clone::clone)
    }

    fn run_all(&self, command: impl Fn() -> Command) -> Result<Vec<Outcome>, String> {
        let run = |args: &Vec<String>| {
            // Every run gets a fresh working directory, in which the guest may do as it likes.
            let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
            let mut command = command();
            command.args(args).current_dir(&directory);
            Ok(process::run(
                &mut command,
                self.stdin.as_bytes(),
                self.limit,
            ))
        };
        self.runs.iter().map(run).collect()
    }

    /// The runners whose output is compared with the reference.
    fn runners(&self) -> impl Iterator<Item = Runner> {
        Runner::ALL.into_iter().filter(|runner| match runner {
            Runner::Qemu => !self.riscv_only && !self.no_qemu,
            Runner::TinyCache => !self.no_tiny,
            Runner::X86_64 | Runner::Interp => true,
        })
    }

    fn check(&self, runner: Runner) -> Result<(), Failed> {
        let expected = self.reference()?;
        let program = self.program()?;
        let got = self.run_all(|| runner.command(self, program))?;
        for ((args, expected), got) in self.runs.iter().zip(expected).zip(&got) {
            if expected.end == End::TimedOut {
                return Err(format!("the reference runs for too long: {args:?}").into());
            }
            if (&expected.stdout, expected.end) != (&got.stdout, got.end) {
                return Err(difference(args, expected, got).into());
            }
        }
        Ok(())
    }
}

fn difference(args: &[String], expected: &Outcome, got: &Outcome) -> String {
    let (expected_text, got_text) = (expected.stdout_text(), got.stdout_text());
    let mut lines = expected_text.lines().zip(got_text.lines()).enumerate();
    let first = match lines.find(|(_, (expected, got))| expected != got) {
        Some((number, (expected, got))) => {
            format!(
                "line {}:\n  expected: {expected}\n  got:      {got}",
                number + 1
            )
        }
        None => format!(
            "{} lines expected, {} lines got",
            expected_text.lines().count(),
            got_text.lines().count()
        ),
    };
    format!(
        "arguments {args:?}\n{first}\nend: expected {:?}, got {:?}\nstandard error:\n{}",
        expected.end,
        got.end,
        got.stderr_text()
    )
}

fn guests() -> Result<Vec<Guest>, String> {
    let directory = common::repository().join("tests/guests");
    let entries = std::fs::read_dir(&directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut sources: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
        .collect();
    sources.sort();
    sources.iter().map(|source| Guest::read(source)).collect()
}

fn main() -> ExitCode {
    let guests = match guests() {
        Ok(guests) => guests,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = Vec::new();
    for guest in guests.into_iter().map(Arc::new) {
        for runner in guest.runners() {
            let guest = Arc::clone(&guest);
            let name = format!("{}::{}", guest.name, runner.name());
            trials.push(Trial::test(name, move || guest.check(runner)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
