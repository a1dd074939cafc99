//! `hartscope stress`.

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::engine::{Backend, parse_backend};
use super::{Command, OptionSpec, UsageError, describe, parse_options, value};

/// The built-in guest has room for this many harts.
const VCPUS: RangeInclusive<u64> = 1..=64;
/// Threads that attach and detach.
const THREADS: RangeInclusive<u64> = 1..=64;

/// So small that the cache is full soon: memory is to settle, and blocks are to be evicted.
const TB_SIZE: usize = 1 << 20;

/// How long to go on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// So long.
    Time(Duration),
    /// Until there have been so many attachments.
    Attachments(u64),
}

/// Options of `hartscope stress`.
#[derive(Debug, PartialEq)]
pub struct StressOptions {
    /// Plugins that come and go, with their arguments.
    pub plugins: Vec<OsString>,
    /// How long to go on.
    pub length: Length,
    /// Control threads.
    pub threads: usize,
    /// Harts of the built-in guest.
    pub vcpus: usize,
    /// What the control threads' actions, and the built-in guest's, are a function of.
    pub seed: u64,
    /// What runs the blocks.
    pub backend: Backend,
    /// Limit of the translation cache in bytes.
    pub tb_size: usize,
    /// Name what plugins do wrong.
    pub check_plugins: bool,
    /// Whether two counters stay attached from start to end.
    pub references: bool,
    /// Print the summary as JSON.
    pub json: bool,
    /// The guest program; `None` for the one that is built in.
    pub program: Option<OsString>,
    /// Its arguments.
    pub args: Vec<OsString>,
}

impl Default for StressOptions {
    fn default() -> StressOptions {
        StressOptions {
            plugins: Vec::new(),
            length: Length::Time(Duration::from_secs(10)),
            threads: 3,
            vcpus: 4,
            seed: 1,
            backend: Backend::default(),
            tb_size: TB_SIZE,
            check_plugins: false,
            references: true,
            json: false,
            program: None,
            args: Vec::new(),
        }
    }
}

enum Id {
    Plugin,
    Seconds,
    Cycles,
    Threads,
    Vcpus,
    Seed,
    Backend,
    TbSize,
    CheckPlugins,
    NoReferences,
    Json,
    Help,
}

const OPTIONS: &[OptionSpec<Id>] = &[
    OptionSpec {
        id: Id::Plugin,
        names: &["plugin"],
        value: Some("FILE[,ARG=VALUE…]"),
        help: "a plugin that comes and goes, beside the built-in counters; may be repeated",
    },
    OptionSpec {
        id: Id::Seconds,
        names: &["seconds"],
        value: Some("N"),
        help: "go on for N seconds (default: 10)",
    },
    OptionSpec {
        id: Id::Cycles,
        names: &["cycles"],
        value: Some("N"),
        help: "go on until there have been N attachments",
    },
    OptionSpec {
        id: Id::Threads,
        names: &["threads"],
        value: Some("N"),
        help: "control threads, which attach, reset and detach: 1 to 64 (default: 3)",
    },
    OptionSpec {
        id: Id::Vcpus,
        names: &["vcpus", "smp"],
        value: Some("N"),
        help: "harts of the built-in guest: 1 to 64 (default: 4)",
    },
    OptionSpec {
        id: Id::Seed,
        names: &["seed"],
        value: Some("N"),
        help: "what each thread does follows from this number (default: 1)",
    },
    OptionSpec {
        id: Id::Backend,
        names: &["backend"],
        value: Some("NAME"),
        help: "x86-64 (default) or interp",
    },
    OptionSpec {
        id: Id::TbSize,
        names: &["tb-size"],
        value: Some("SIZE"),
        help: "limit of the translation cache: 64K, 8M; a plain number means MiB (default: 1M)",
    },
    OptionSpec {
        id: Id::CheckPlugins,
        names: &["check-plugins"],
        value: None,
        help: "name each misuse of the plugin interface",
    },
    OptionSpec {
        id: Id::NoReferences,
        names: &["no-references"],
        value: None,
        help: "no counters that stay from start to end: now and then nothing is instrumented",
    },
    OptionSpec {
        id: Id::Json,
        names: &["json"],
        value: None,
        help: "print the summary as JSON, in the last line",
    },
    OptionSpec {
        id: Id::Help,
        names: &["help", "h"],
        value: None,
        help: "this text",
    },
];

pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let (found, mut rest) = parse_options("stress", OPTIONS, &[], args)?;
    let mut options = StressOptions::default();
    for (spec, value) in found {
        let number = |range| number(spec.names[0], &value, range);
        match spec.id {
            Id::Plugin => options.plugins.push(value),
            Id::Seconds => {
                let seconds = number(1..=u64::from(u32::MAX))?;
                options.length = Length::Time(Duration::from_secs(seconds));
            }
            Id::Cycles => options.length = Length::Attachments(number(1..=u64::MAX)?),
            Id::Threads => options.threads = number(THREADS)? as usize,
            Id::Vcpus => options.vcpus = number(VCPUS)? as usize,
            Id::Seed => options.seed = number(0..=u64::MAX)?,
            Id::Backend => options.backend = parse_backend(&value)?,
            Id::TbSize => options.tb_size = value::size("--tb-size", &value, 1 << 20)?,
            Id::CheckPlugins => options.check_plugins = true,
            Id::NoReferences => options.references = false,
            Id::Json => options.json = true,
            Id::Help => return Ok(Command::Print(help())),
        }
    }
    options.program = rest.pop_front();
    options.args = rest.into();
    Ok(Command::Stress(Box::new(options)))
}

fn number(name: &str, text: &OsStr, range: RangeInclusive<u64>) -> Result<u64, UsageError> {
    let number = text.to_str().and_then(value::number);
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            UsageError::new(format!(
                "bad number: --{name} {}: {} to {}",
                text.to_string_lossy(),
                range.start(),
                range.end()
            ))
        })
}

fn help() -> String {
    format!(
        "usage: hartscope stress [OPTIONS] [PROGRAM [ARGS…]]\n\n\
         Attaches, resets and detaches plugins at random from several threads while a guest runs\n\
         (a built-in one, whose harts compute, fault, take signals, fork, end and begin), checks\n\
         that nothing is lost, late or left behind, and says what has been done. The exit status\n\
         is 0 if all was well.\n\n{}",
        describe(OPTIONS)
    )
}
