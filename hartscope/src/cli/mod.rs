//! The command line.
//!
//! Rules:
//! 1. Every option is accepted with one dash and with two, and with its value as the next
//!    argument or after `=`, so that a `qemu-riscv64` command line moves over unchanged.
//! 2. An option that QEMU has and Hartscope does not is refused in one line that says so; it is
//!    never ignored.
//! 3. Options end at the first argument that is none, or at `--`: what follows belongs to the
//!    guest and is passed on byte for byte.
//!
//! The tables are data (see [`OptionSpec`]); `--help` prints them. There is no argument parsing
//! library below because none knows rule 1, and because start-up time counts.

mod boot;
mod demo;
mod engine;
mod merge_latency;
mod plugin_check;
mod profile;
mod run;
mod stress;
mod target;
mod value;

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

pub use boot::{BootOptions, Serial};
pub use demo::DemoOptions;
pub use engine::{Backend, EngineOptions, LogFile};
pub use merge_latency::MergeOptions;
pub use profile::ProfileOptions;
pub use run::{EnvEdit, RunOptions};
pub use stress::{Length, StressOptions};
pub use target::{Action, TargetOptions};

/// What the user asked for.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Run a Linux program.
    Run(Box<RunOptions>),
    /// Run a machine.
    Boot(Box<BootOptions>),
    /// Run the guest that is built in.
    Demo(DemoOptions),
    /// Let plugins come and go at random while a guest runs, and check that all is well.
    Stress(Box<StressOptions>),
    /// Say whether a library is a plugin, and whether it can be loaded.
    PluginCheck(OsString),
    /// Talk to a guest that is running already.
    Target(TargetOptions),
    /// Count what a guest executes that is running already.
    Profile(ProfileOptions),
    /// Add up the latencies of several runs.
    MergeLatency(MergeOptions),
    /// Print this text on standard output and succeed.
    Print(String),
}

/// Why the command line makes no sense; the message is all the user gets to see.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

impl UsageError {
    fn new(message: impl Into<String>) -> Self {
        UsageError(message.into())
    }
}

/// One option of a command.
struct OptionSpec<Id> {
    id: Id,
    /// Without dashes; the first one is the one that `--help` shows.
    names: &'static [&'static str],
    /// What the value is called, for an option that takes one.
    value: Option<&'static str>,
    help: &'static str,
}

/// An option that QEMU's command has and ours has not.
struct Refused {
    names: &'static [&'static str],
    why: &'static str,
}

/// The options of a command line with their values, in its order, and the arguments behind them.
type Parsed<'a, Id> = (Vec<(&'a OptionSpec<Id>, OsString)>, VecDeque<OsString>);

/// Reads options up to the first argument that is none.
fn parse_options<'a, Id>(
    command: &str,
    specs: &'a [OptionSpec<Id>],
    refused: &[Refused],
    args: impl Iterator<Item = OsString>,
) -> Result<Parsed<'a, Id>, UsageError> {
    let mut args: VecDeque<OsString> = args.collect();
    let mut found = Vec::new();
    while let Some(arg) = args.pop_front() {
        if arg == "--" {
            break;
        }
        let Some((name, attached)) = split_option(&arg) else {
            args.push_front(arg);
            break;
        };
        let shown = name.to_string_lossy();
        if let Some(refusal) = refused.iter().find(|r| r.names.iter().any(|n| name == *n)) {
            return Err(UsageError::new(format!("{}: -{shown}", refusal.why)));
        }
        let Some(spec) = specs.iter().find(|s| s.names.iter().any(|n| name == *n)) else {
            return Err(UsageError::new(format!(
                "unknown option: {}: 'hartscope {command} --help' lists the options",
                arg.to_string_lossy()
            )));
        };
        let value = match (spec.value, attached) {
            (None, None) => OsString::new(),
            (None, Some(_)) => {
                return Err(UsageError::new(format!("option takes no value: --{shown}")));
            }
            (Some(_), Some(value)) => value,
            (Some(what), None) => args.pop_front().ok_or_else(|| {
                UsageError::new(format!("option needs a value: --{shown}: add {what}"))
            })?,
        };
        found.push((spec, value));
    }
    Ok((found, args))
}

/// Splits `-name`, `--name`, `-name=value` and `--name=value`; a lone `-` is no option.
fn split_option(arg: &OsStr) -> Option<(OsString, Option<OsString>)> {
    let bytes = arg.as_bytes();
    let rest = bytes
        .strip_prefix(b"--")
        .or_else(|| bytes.strip_prefix(b"-"))?;
    if rest.is_empty() {
        return None;
    }
    let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    match rest.iter().position(|&byte| byte == b'=') {
        Some(at) => Some((owned(&rest[..at]), Some(owned(&rest[at + 1..])))),
        None => Some((owned(rest), None)),
    }
}

/// The option table as `--help` shows it.
fn describe<Id>(specs: &[OptionSpec<Id>]) -> String {
    let mut text = String::new();
    for spec in specs {
        let dash = if spec.names[0].len() == 1 { "-" } else { "--" };
        let left = match spec.value {
            Some(value) => format!("{dash}{} {value}", spec.names[0]),
            None => format!("{dash}{}", spec.names[0]),
        };
        let mut lines = spec.help.lines();
        let first = lines.next().unwrap_or_default();
        text.push_str(&format!("  {left:<22}{first}\n"));
        for line in lines {
            text.push_str(&format!("  {:<22}{line}\n", ""));
        }
    }
    text
}

const OVERVIEW: &str = "\
hartscope runs RISC-V guests on every host core.

usage: hartscope COMMAND [OPTIONS] …

  run PROGRAM [ARGS…]   run a riscv64 Linux program, one host thread per guest thread
  demo                  run the SMP guest that is built into this binary
  boot                  run a whole machine: a kernel, on as many harts as you like
  stress                attach, reset and detach plugins at random while a guest runs, and check
                        that nothing is lost, late or left behind
  plugin-check FILE     say which plugin interface a library was built for, what it uses of
                        it, and whether it can be loaded
  merge-latency LOG…    add up the latency logs of several runs or machines

for a guest that is running, by its process id or its control socket:

  attach TARGET FILE    load a plugin
  detach TARGET ID      unload a plugin
  reset TARGET ID       let a plugin begin anew
  plugins TARGET        list the plugins
  stats TARGET          say what its vCPUs have done so far
  profile TARGET        count its instructions for a while, by function and vCPU

'hartscope COMMAND --help' lists a command's options.
";

/// Understands a whole command line (without the name of the binary).
pub fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let Some(command) = args.next() else {
        return Err(UsageError::new(
            "no command: try 'hartscope demo', or 'hartscope --help'",
        ));
    };
    match command.as_bytes() {
        b"run" => run::parse(args),
        b"demo" => demo::parse(args),
        b"boot" => boot::parse(args),
        b"stress" => stress::parse(args),
        b"plugin-check" => plugin_check::parse(args),
        b"attach" => target::parse("attach", args),
        b"detach" => target::parse("detach", args),
        b"reset" => target::parse("reset", args),
        b"plugins" => target::parse("plugins", args),
        b"stats" => target::parse("stats", args),
        b"profile" => profile::parse(args),
        b"merge-latency" => merge_latency::parse(args),
        b"help" | b"-h" | b"-help" | b"--help" => Ok(Command::Print(OVERVIEW.into())),
        b"version" | b"-V" | b"-version" | b"--version" => Ok(Command::Print(version())),
        _ => Err(UsageError::new(format!(
            "unknown command: {}: 'hartscope --help' lists the commands",
            command.to_string_lossy()
        ))),
    }
}

fn version() -> String {
    format!("hartscope {}\n", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Wish;

    fn parse_words(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn refusal(line: &str) -> String {
        parse_words(line).expect_err(line).to_string()
    }

    fn run_options(line: &str) -> Box<RunOptions> {
        match parse_words(line) {
            Ok(Command::Run(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn one_dash_two_dashes_and_equals_mean_the_same() {
        let expected = run_options("run --tb-size 2 --strace -L /sysroot prog");
        assert_eq!(
            run_options("run -tb-size 2 -strace -L /sysroot prog"),
            expected
        );
        assert_eq!(
            run_options("run --tb-size=2 -strace --L=/sysroot prog"),
            expected
        );
        assert_eq!(expected.engine.tb_size, Some(2 << 20));
        assert!(expected.strace);
    }

    #[test]
    fn what_follows_the_program_belongs_to_the_guest() {
        let options = run_options("run prog --strace -d op -- -x");
        assert!(!options.strace);
        assert_eq!(options.args, ["--strace", "-d", "op", "--", "-x"]);
        assert_eq!(run_options("run -- -prog a").program, "-prog");
    }

    #[test]
    fn unknown_options_and_commands_are_named() {
        assert!(refusal("run --frobnicate prog").contains("unknown option: --frobnicate"));
        assert!(refusal("frobnicate").contains("unknown command: frobnicate"));
        assert!(refusal("").contains("no command"));
        assert!(refusal("run").contains("no program"));
        assert!(refusal("run --tb-size").contains("needs a value"));
        assert!(refusal("run --strace=yes prog").contains("takes no value"));
        assert!(refusal("demo extra").contains("extra"));
    }

    #[test]
    fn qemu_options_that_are_not_there_are_refused_not_ignored() {
        assert!(refusal("run -g 1234 prog").contains("not supported"));
        assert!(refusal("run -B 0x1000 prog").contains("guest base"));
        assert!(refusal("boot -netdev user,id=n").contains("not supported"));
    }

    #[test]
    fn plugins_keep_their_order_and_end_with_the_program() {
        let options =
            run_options("run -plugin a.so,x=1 --check-plugins --plugin=file=b.so -strace p");
        assert_eq!(options.engine.plugins, ["a.so,x=1", "file=b.so"]);
        assert!(options.engine.check_plugins);
        assert_eq!(options.kept_for_exec, ["--check-plugins", "--strace"]);
    }

    #[test]
    fn a_plugin_check_takes_one_file() {
        assert_eq!(
            parse_words("plugin-check a.so"),
            Ok(Command::PluginCheck("a.so".into()))
        );
        assert!(refusal("plugin-check").contains("no file"));
        assert!(refusal("plugin-check a b").contains("unexpected argument: b"));
        assert!(refusal("plugin-check -x a").contains("unknown option: -x"));
    }

    #[test]
    fn commands_for_a_running_guest_name_it_first() {
        assert_eq!(
            parse_words("attach --json 17 a.so,x=1"),
            Ok(Command::Target(TargetOptions {
                action: Action::Attach("a.so,x=1".into()),
                target: "17".into(),
                json: true,
            }))
        );
        assert!(refusal("detach 17").contains("no plugin's number"));
        assert!(refusal("reset 17 a.so").contains("bad number: a.so"));
        assert!(refusal("plugins").contains("no target"));
        assert!(refusal("stats 17 18").contains("unexpected argument: 18"));
    }

    #[test]
    fn a_program_that_is_executed_gets_the_socket_if_it_is_free() {
        let options = run_options("run --control a.sock p");
        assert_eq!(options.control, Wish::At("a.sock".into()));
        assert_eq!(options.kept_for_exec, ["--control-if-free=a.sock"]);
        let options = run_options("run --no-control p");
        assert_eq!(options.control, Wish::No);
        assert_eq!(options.kept_for_exec, ["--no-control"]);
    }

    #[test]
    fn environment_options_keep_their_order() {
        let options = run_options("run -E A=1 -U B -E C=2 prog");
        let shown: Vec<String> = options.env.iter().map(|edit| format!("{edit:?}")).collect();
        assert_eq!(
            shown,
            [r#"Set("A", "1")"#, r#"Unset("B")"#, r#"Set("C", "2")"#]
        );
        assert!(refusal("run -E A prog").contains("VAR=VALUE"));
    }

    #[test]
    fn harts_of_the_demo_are_1_to_64() {
        for line in [
            "demo --smp 0",
            "demo --smp 65",
            "demo --smp -1",
            "demo --smp many",
        ] {
            assert!(refusal(line).contains("1 to 64"), "{line}");
        }
        let Ok(Command::Demo(options)) = parse_words("demo -smp 3") else {
            panic!("demo -smp 3 is refused");
        };
        assert_eq!(options.harts, 3);
    }

    #[test]
    fn help_lists_every_option() {
        let Ok(Command::Print(text)) = parse_words("run --help") else {
            panic!("run --help prints nothing");
        };
        for name in [
            "--plugin",
            "--check-plugins",
            "--backend",
            "--tb-size",
            "--strace",
            "-d ",
            "-D ",
            "-E ",
            "-U ",
            "-L ",
        ] {
            assert!(text.contains(name), "{name} is missing in:\n{text}");
        }
    }
}
