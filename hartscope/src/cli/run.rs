//! `hartscope run`.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use plugin_rt::Measured;

use crate::control::Wish;
use crate::profile;

use super::{Command, OptionSpec, Refused, UsageError, describe, parse_options, value};

/// What runs the blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Backend {
    /// Host code.
    #[default]
    X86_64,
    /// The op interpreter.
    Interp,
}

/// One `-E` or `-U`; they apply in the order of the command line.
#[derive(Clone, Debug, PartialEq)]
pub enum EnvEdit {
    /// `-E VAR=VALUE`
    Set(OsString, OsString),
    /// `-U VAR`
    Unset(OsString),
}

/// What `-d` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogItems {
    /// System calls that are not there.
    pub unimp: bool,
    /// Guest instructions of each block.
    pub in_asm: bool,
    /// Ops of each block.
    pub op: bool,
    /// The same with what plugins asked for.
    pub op_plugin: bool,
    /// The same after the passes.
    pub op_opt: bool,
    /// Host code of each block.
    pub out_asm: bool,
    /// What plugins say.
    pub plugin: bool,
    /// Who holds grace periods up.
    pub stall: bool,
}

/// Where `-D` sends the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFile {
    /// The file.
    pub path: PathBuf,
    /// Keep what is in it.
    pub append: bool,
}

/// Guest addresses whose blocks are dumped.
pub type DumpRange = Range<u64>;

/// Options of `hartscope run`.
#[derive(Debug, Default, PartialEq)]
pub struct RunOptions {
    /// What runs the blocks.
    pub backend: Backend,
    /// Limit of the translation cache in bytes.
    pub tb_size: Option<usize>,
    /// Pin each vCPU thread to a core.
    pub pin: bool,
    /// Print system calls.
    pub strace: bool,
    /// Print other things.
    pub log: LogItems,
    /// Dump only blocks in these ranges; empty: all.
    pub dump_ranges: Vec<DumpRange>,
    /// Plugins to load, with their arguments.
    pub plugins: Vec<OsString>,
    /// Name what plugins do wrong.
    pub check_plugins: bool,
    /// The control socket.
    pub control: Wish,
    /// Where logs go instead of standard error.
    pub log_file: Option<LogFile>,
    /// Changes to the environment.
    pub env: Vec<EnvEdit>,
    /// Where absolute paths of the guest are looked for first.
    pub prefix: Option<PathBuf>,
    /// Bytes of the main thread's stack.
    pub stack_size: Option<usize>,
    /// The guest's `argv[0]`, if it is not the program's path.
    pub argv0: Option<OsString>,
    /// Count instructions and say how many at the end.
    pub count_insns: bool,
    /// Print what each vCPU did at the end.
    pub stats: bool,
    /// Where a profile is written.
    pub profile: Option<profile::Output>,
    /// Record how long things take, and that of these callbacks.
    pub latency: Option<Measured>,
    /// Where to write how long things took.
    pub latency_log: Option<PathBuf>,
    /// The words of the options that go on for a program that the guest executes.
    pub kept_for_exec: Vec<OsString>,
    /// The guest program.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
}

enum Id {
    Plugin,
    CheckPlugins,
    Control,
    ControlIfFree,
    NoControl,
    Backend,
    TbSize,
    Pin,
    Strace,
    Log,
    LogFile,
    AppendLog,
    DumpFilter,
    SetEnv,
    UnsetEnv,
    Prefix,
    StackSize,
    Argv0,
    Cpu,
    CountInsns,
    Stats,
    Profile,
    Latency,
    LatencyLog,
    Help,
    Version,
}

const OPTIONS: &[OptionSpec<Id>] = &[
    OptionSpec {
        id: Id::Plugin,
        names: &["plugin"],
        value: Some("FILE[,ARG=VALUE…]"),
        help: "load a TCG plugin, of API version 2 to 7, with its arguments; may be repeated\n\
               (QEMU_PLUGIN in the environment names one more, which is loaded first)",
    },
    OptionSpec {
        id: Id::CheckPlugins,
        names: &["check-plugins"],
        value: None,
        help: "name each misuse of the plugin interface, also what does no harm at once",
    },
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
        id: Id::Backend,
        names: &["backend"],
        value: Some("NAME"),
        help: "x86-64: translate to host code (default); interp: interpret ops",
    },
    OptionSpec {
        id: Id::TbSize,
        names: &["tb-size"],
        value: Some("SIZE"),
        help: "limit of the translation cache: 64K, 8M; a plain number means MiB",
    },
    OptionSpec {
        id: Id::Pin,
        names: &["pin"],
        value: None,
        help: "pin each vCPU to a host core",
    },
    OptionSpec {
        id: Id::Strace,
        names: &["strace"],
        value: None,
        help: "print the guest's system calls",
    },
    OptionSpec {
        id: Id::Log,
        names: &["d"],
        value: Some("ITEM,…"),
        help: "log: unimp (calls that are not there), strace, plugin (what plugins say),\n\
               stall (vCPUs that hold up what waits for all of them),\n\
               in_asm (guest code), op (ops), op_plugin (ops with what plugins ask for),\n\
               op_opt (ops after the passes), out_asm (host code)",
    },
    OptionSpec {
        id: Id::DumpFilter,
        names: &["dfilter"],
        value: Some("RANGE,…"),
        help: "dump only blocks in START..END, START+LENGTH or START-LENGTH",
    },
    OptionSpec {
        id: Id::LogFile,
        names: &["D"],
        value: Some("FILE"),
        help: "write logs to FILE instead of standard error; %d in it is the process id",
    },
    OptionSpec {
        id: Id::AppendLog,
        names: &["append-log"],
        value: Some("FILE"),
        help: "as -D, but keep what is in FILE",
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
        id: Id::CountInsns,
        names: &["count-insns"],
        value: None,
        help: "count instructions and print the sum at exit",
    },
    OptionSpec {
        id: Id::Stats,
        names: &["stats"],
        value: None,
        help: "print what each vCPU did at exit, and how long things took",
    },
    OptionSpec {
        id: Id::Latency,
        names: &["latency"],
        value: Some("CALLBACKS"),
        help: "record how long things take from the start, for 'hartscope stats', --stats or\n\
               --latency-log; of plugins' callbacks none, sampled (one of 64 that blocks call)\n\
               or all",
    },
    OptionSpec {
        id: Id::LatencyLog,
        names: &["latency-log"],
        value: Some("FILE"),
        help: "write how long things take for each vCPU, each second, as an HdrHistogram\n\
               interval log (programs that the guest starts are not in it)",
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
            Id::Plugin => return,
            // There is one file for one program.
            Id::Profile if !profile::Output::is_for_each_process(value) => return,
            // It would be overwritten.
            Id::LatencyLog => return,
            // The log goes on where it is.
            Id::LogFile => "append-log",
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
    let (found, mut rest) = parse_options("run", OPTIONS, REFUSED, args)?;
    let mut options = RunOptions::default();
    for (spec, value) in found {
        options.keep_for_exec(spec, &value);
        match spec.id {
            Id::Plugin => options.plugins.push(value),
            Id::CheckPlugins => options.check_plugins = true,
            Id::Control => options.control = Wish::At(value.into()),
            Id::ControlIfFree => options.control = Wish::IfFree(value.into()),
            Id::NoControl => options.control = Wish::No,
            Id::Backend => options.backend = parse_backend(&value)?,
            Id::TbSize => options.tb_size = Some(value::size("--tb-size", &value, 1 << 20)?),
            Id::Pin => options.pin = true,
            Id::Strace => options.strace = true,
            Id::Log => parse_log_items(&mut options, value::text("-d", &value)?)?,
            Id::LogFile => {
                options.log_file = Some(LogFile {
                    path: value.into(),
                    append: false,
                })
            }
            Id::AppendLog => {
                options.log_file = Some(LogFile {
                    path: value.into(),
                    append: true,
                })
            }
            Id::DumpFilter => {
                options.dump_ranges = parse_ranges(value::text("--dfilter", &value)?)?;
            }
            Id::SetEnv => options.env.push(parse_assignment(&value)?),
            Id::UnsetEnv => options.env.push(EnvEdit::Unset(value)),
            Id::Prefix => options.prefix = Some(value.into()),
            Id::StackSize => options.stack_size = Some(value::size("-s", &value, 1)?),
            Id::Argv0 => options.argv0 = Some(value),
            Id::Cpu => check_cpu(&value)?,
            Id::CountInsns => options.count_insns = true,
            Id::Stats => options.stats = true,
            Id::Profile => options.profile = Some(parse_profile(&value)?),
            Id::Latency => options.latency = Some(value::measured("--latency", &value)?),
            Id::LatencyLog => options.latency_log = Some(value.into()),
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
    Ok(Command::Run(Box::new(options)))
}

pub(super) fn parse_backend(value: &OsStr) -> Result<Backend, UsageError> {
    match value.as_bytes() {
        b"x86-64" | b"x86_64" => Ok(Backend::X86_64),
        b"interp" => Ok(Backend::Interp),
        _ => Err(UsageError::new(format!(
            "unknown back end: {}: there are x86-64 and interp",
            value.to_string_lossy()
        ))),
    }
}

fn parse_profile(value: &OsStr) -> Result<profile::Output, UsageError> {
    profile::Output::new(value).map_err(|error| UsageError::new(error.to_string()))
}

fn parse_log_items(options: &mut RunOptions, list: &str) -> Result<(), UsageError> {
    for item in list.split(',') {
        match item {
            "unimp" => options.log.unimp = true,
            "in_asm" => options.log.in_asm = true,
            "op" => options.log.op = true,
            "op_plugin" => options.log.op_plugin = true,
            "op_opt" => options.log.op_opt = true,
            "out_asm" => options.log.out_asm = true,
            "plugin" => options.log.plugin = true,
            "stall" => options.log.stall = true,
            "strace" => options.strace = true,
            _ => {
                return Err(UsageError::new(format!(
                    "unknown log item: -d {item}: there are unimp, strace, plugin, stall, in_asm, \
                     op, op_plugin, op_opt, out_asm"
                )));
            }
        }
    }
    Ok(())
}

/// QEMU's ranges: `START..END` (the end belongs to it), `START+LENGTH`, `START-LENGTH`.
fn parse_ranges(list: &str) -> Result<Vec<DumpRange>, UsageError> {
    list.split(',')
        .map(|item| {
            parse_range(item).ok_or_else(|| {
                UsageError::new(format!(
                    "bad address range: --dfilter {item}: START..END, START+LENGTH or START-LENGTH"
                ))
            })
        })
        .collect()
}

fn parse_range(item: &str) -> Option<DumpRange> {
    let (start, end) = if let Some((start, last)) = item.split_once("..") {
        (value::number(start)?, value::number(last)?.checked_add(1)?)
    } else if let Some((start, length)) = item.split_once('+') {
        let start = value::number(start)?;
        (start, start.checked_add(value::number(length)?)?)
    } else {
        let (end, length) = item.split_once('-')?;
        let end = value::number(end)?;
        (end.checked_sub(value::number(length)?)?, end)
    };
    (start < end).then_some(start..end)
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

fn check_cpu(value: &OsStr) -> Result<(), UsageError> {
    match value.as_bytes() {
        b"rv64" | b"max" => Ok(()),
        _ => Err(UsageError::new(format!(
            "unknown CPU: -cpu {}: there are rv64 and max",
            value.to_string_lossy()
        ))),
    }
}

fn help() -> String {
    format!(
        "usage: hartscope run [OPTIONS] PROGRAM [ARGS…]\n\n\
         Runs a riscv64 Linux program; the exit status is the program's. Each option may be\n\
         written with one dash or two.\n\n{}",
        describe(OPTIONS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dump_ranges_are_written_as_in_qemu() {
        assert_eq!(parse_range("0x1000..0x1fff"), Some(0x1000..0x2000));
        assert_eq!(parse_range("0x1000+0x10"), Some(0x1000..0x1010));
        assert_eq!(parse_range("0x1000-16"), Some(0xff0..0x1000));
        for wrong in [
            "",
            "5",
            "5..4",
            "1+0",
            "0-1",
            "0..0xffffffffffffffff",
            "x+1",
        ] {
            assert_eq!(parse_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn log_items_add_up() {
        let mut options = RunOptions::default();
        parse_log_items(&mut options, "unimp,op").expect("both are there");
        parse_log_items(&mut options, "strace").expect("it is there");
        assert!(options.log.unimp && options.log.op && options.strace && !options.log.in_asm);
        assert!(parse_log_items(&mut options, "unimp,").is_err());
        assert!(!options.log.plugin && !options.log.op_plugin);
        parse_log_items(&mut options, "plugin,op_plugin").expect("both are there");
        assert!(options.log.plugin && options.log.op_plugin);
    }
}
