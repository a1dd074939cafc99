//! `hartscope run`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::control::Wish;
use crate::profile;

use super::engine::{self, EngineOptions};
use super::{Command, OptionSpec, Refused, UsageError, describe, parse_options, value};

/// One `-E` or `-U`; they apply in the order of the command line.
#[derive(Clone, Debug, PartialEq)]
pub enum EnvEdit {
    /// `-E VAR=VALUE`
    Set(OsString, OsString),
    /// `-U VAR`
    Unset(OsString),
}

/// Options of `hartscope run`.
#[derive(Debug, Default, PartialEq)]
pub struct RunOptions {
    /// What runs the program.
    pub engine: EngineOptions,
    /// Print system calls.
    pub strace: bool,
    /// The control socket.
    pub control: Wish,
    /// Changes to the environment.
    pub env: Vec<EnvEdit>,
    /// Where absolute paths of the guest are looked for first.
    pub prefix: Option<PathBuf>,
    /// Bytes of the main thread's stack.
    pub stack_size: Option<usize>,
    /// The guest's `argv[0]`, if it is not the program's path.
    pub argv0: Option<OsString>,
    /// Where a profile is written.
    pub profile: Option<profile::Output>,
    /// The words of the options that go on for a program that the guest executes.
    pub kept_for_exec: Vec<OsString>,
    /// The guest program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
}

enum Id {
    Engine(engine::Id),
    Control,
    ControlIfFree,
    NoControl,
    Strace,
    SetEnv,
    UnsetEnv,
    Prefix,
    StackSize,
    Argv0,
    Cpu,
    Profile,
    Help,
    Version,
}

/// All options, those that every guest has first.
fn specs() -> Vec<OptionSpec<Id>> {
    engine::options(Id::Engine).chain(OWN).collect()
}

const OWN: [OptionSpec<Id>; 13] = [
    OptionSpec {
        id: Id::Control,
        names: &["control"],
        value: Some("PATH"),
        help: "listen for QMP clients at PATH\n\
               (default: $XDG_RUNTIME_DIR/hartscope/PID.sock, if the variable is set)",
    },
    OptionSpec {
        id: Id::ControlIfFree,
        names: &["control-if-free"],
        value: Some("PATH"),
        help: "the same, unless another guest listens there",
    },
    OptionSpec {
        id: Id::NoControl,
        names: &["no-control"],
        value: None,
        help: "do not listen for clients",
    },
    OptionSpec {
        id: Id::Strace,
        names: &["strace"],
        value: None,
        help: "print the guest's system calls",
    },
    OptionSpec {
        id: Id::SetEnv,
        names: &["E"],
        value: Some("VAR=VALUE"),
        help: "set an environment variable for the guest",
    },
    OptionSpec {
        id: Id::UnsetEnv,
        names: &["U"],
        value: Some("VAR"),
        help: "remove an environment variable for the guest",
    },
    OptionSpec {
        id: Id::Prefix,
        names: &["L"],
        value: Some("DIR"),
        help: "look for the guest's absolute paths below DIR first",
    },
    OptionSpec {
        id: Id::StackSize,
        names: &["s"],
        value: Some("SIZE"),
        help: "stack of the main thread (a plain number means bytes)",
    },
    OptionSpec {
        id: Id::Argv0,
        names: &["0"],
        value: Some("NAME"),
        help: "argv[0] of the guest (default: PROGRAM)",
    },
    OptionSpec {
        id: Id::Cpu,
        names: &["cpu"],
        value: Some("MODEL"),
        help: "rv64 or max: the one CPU that there is",
    },
    OptionSpec {
        id: Id::Profile,
        names: &["profile"],
        value: Some("FILE"),
        help: "count the instructions of each function and vCPU, and write them to FILE at exit:\n\
               a table (.txt), folded stacks (.folded) or a flame graph (.svg); %d in it is the\n\
               process id, and gives programs that the guest executes files of their own",
    },
    OptionSpec {
        id: Id::Help,
        names: &["help", "h"],
        value: None,
        help: "this text",
    },
    OptionSpec {
        id: Id::Version,
        names: &["version"],
        value: None,
        help: "the version",
    },
];

const REFUSED: &[Refused] = &[
    Refused {
        names: &["g"],
        why: "the debugger stub is not supported yet",
    },
    Refused {
        names: &["B", "R"],
        why: "hartscope chooses the guest base itself",
    },
    Refused {
        names: &["r"],
        why: "another kernel release is not supported",
    },
    Refused {
        names: &["p", "pagesize"],
        why: "pages have 4096 bytes, another size is not supported",
    },
    Refused {
        names: &["one-insn-per-tb", "singlestep"],
        why: "single stepping is not supported",
    },
    Refused {
        names: &["jitdump", "perfmap"],
        why: "perf maps are not supported yet",
    },
    Refused {
        names: &["trace", "seed", "t"],
        why: "not supported",
    },
];

impl RunOptions {
    /// Remembers an option for the programs that the guest executes, unless it is about the first
    /// program only.
    fn keep_for_exec(&mut self, spec: &OptionSpec<Id>, value: &OsStr) {
        let name = match spec.id {
            Id::SetEnv | Id::UnsetEnv | Id::Argv0 => return,
            // As in QEMU: the next program is watched if the environment says so.
            Id::Engine(engine::Id::Plugin) => return,
            // There is one file for one program.
            Id::Profile if !profile::Output::is_for_each_process(value) => return,
            // It would be overwritten.
            Id::Engine(engine::Id::LatencyLog) => return,
            // The log goes on where it is.
            Id::Engine(engine::Id::LogFile) => "append-log",
            // A child's would be its parent's.
            Id::Control => "control-if-free",
            _ => spec.names[0],
        };
        let mut word = OsString::from(format!("--{name}"));
        if spec.value.is_some() {
            word.push("=");
            word.push(value);
        }
        self.kept_for_exec.push(word);
    }
}

pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let specs = specs();
    let (found, mut rest) = parse_options("run", &specs, REFUSED, args)?;
    let mut options = RunOptions::default();
    for (spec, value) in found {
        options.keep_for_exec(spec, &value);
        match spec.id {
            Id::Engine(id) => options.engine.take(id, value)?,
            Id::Control => options.control = Wish::At(value.into()),
            Id::ControlIfFree => options.control = Wish::IfFree(value.into()),
            Id::NoControl => options.control = Wish::No,
            Id::Strace => options.strace = true,
            Id::SetEnv => options.env.push(parse_assignment(&value)?),
            Id::UnsetEnv => options.env.push(EnvEdit::Unset(value)),
            Id::Prefix => options.prefix = Some(value.into()),
            Id::StackSize => options.stack_size = Some(value::size("-s", &value, 1)?),
            Id::Argv0 => options.argv0 = Some(value),
            Id::Cpu => value::cpu(&value)?,
            Id::Profile => options.profile = Some(parse_profile(&value)?),
            Id::Help => return Ok(Command::Print(help())),
            Id::Version => return Ok(Command::Print(super::version())),
        }
    }
    options.program = rest
        .pop_front()
        .filter(|program| !program.is_empty())
        .ok_or_else(|| {
            UsageError::new("no program: usage: hartscope run [OPTIONS] PROGRAM [ARGS…]")
        })?;
    options.args = rest.into();
    options.strace |= options.engine.log.strace;
    Ok(Command::Run(Box::new(options)))
}

pub(super) fn parse_profile(value: &OsStr) -> Result<profile::Output, UsageError> {
    profile::Output::new(value).map_err(|error| UsageError::new(error.to_string()))
}

fn parse_assignment(value: &OsStr) -> Result<EnvEdit, UsageError> {
    let bytes = value.as_bytes();
    match bytes.iter().position(|&byte| byte == b'=') {
        Some(at) if at > 0 => Ok(EnvEdit::Set(
            OsString::from_vec(bytes[..at].to_vec()),
            OsString::from_vec(bytes[at + 1..].to_vec()),
        )),
        _ => Err(UsageError::new(format!(
            "bad assignment: -E {}: write VAR=VALUE",
            value.to_string_lossy()
        ))),
    }
}

fn help() -> String {
    format!(
        "usage: hartscope run [OPTIONS] PROGRAM [ARGS…]\n\n\
         Runs a riscv64 Linux program; the exit status is the program's. Each option may be\n\
         written with one dash or two.\n\n{}",
        describe(&specs())
    )
}
