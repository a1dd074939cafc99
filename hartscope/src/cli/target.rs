//! The commands for a guest that is running already.

use std::collections::VecDeque;
use std::ffi::OsString;

use plugin_rt::Measured;

use super::{Command, OptionSpec, UsageError, describe, parse_options, value};

/// What to do with a guest.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Load this plugin, `FILE[,ARG=VALUE…]`.
    Attach(OsString),
    /// Unload the plugin of this number.
    Detach(u64),
    /// Let the plugin of this number begin anew.
    Reset(u64),
    /// List the plugins.
    Plugins,
    /// Say how it goes, and record how long things take from now on.
    Stats(Option<Measured>),
}

/// Options of these commands.
#[derive(Debug, PartialEq)]
pub struct TargetOptions {
    /// What to do.
    pub action: Action,
    /// A process id, or a socket's path.
    pub target: OsString,
    /// Print JSON.
    pub json: bool,
}

enum Id {
    Json,
    Record,
    Help,
}

const JSON: OptionSpec<Id> = OptionSpec {
    id: Id::Json,
    names: &["json"],
    value: None,
    help: "print the answer in JSON",
};

const HELP: OptionSpec<Id> = OptionSpec {
    id: Id::Help,
    names: &["help", "h"],
    value: None,
    help: "this text",
};

const RECORD: OptionSpec<Id> = OptionSpec {
    id: Id::Record,
    names: &["record"],
    value: Some("CALLBACKS"),
    help: "have the guest record how long things take from now on; of plugins' callbacks\n\
           none, sampled (one of 64 that blocks call) or all: then blocks are shown anew",
};

const OPTIONS: &[OptionSpec<Id>] = &[JSON, HELP];
const STATS_OPTIONS: &[OptionSpec<Id>] = &[RECORD, JSON, HELP];

fn options(command: &str) -> &'static [OptionSpec<Id>] {
    match command {
        "stats" => STATS_OPTIONS,
        _ => OPTIONS,
    }
}

/// What the names of the commands stand for.
const USAGES: &[(&str, &str, &str)] = &[
    (
        "attach",
        "TARGET FILE[,ARG=VALUE…]",
        "Loads a TCG plugin into a guest that is running, and prints its number.",
    ),
    (
        "detach",
        "TARGET ID",
        "Unloads a plugin; when that is said, its library is gone.",
    ),
    (
        "reset",
        "TARGET ID",
        "Lets a plugin begin anew: unloads it and loads it with the same arguments.",
    ),
    ("plugins", "TARGET", "Lists a guest's plugins."),
    (
        "stats",
        "TARGET",
        "Says what a guest's vCPUs and its cache have done so far, and how long things took.",
    ),
];

pub(super) fn parse(
    command: &'static str,
    args: impl Iterator<Item = OsString>,
) -> Result<Command, UsageError> {
    let (found, mut rest) = parse_options(command, options(command), &[], args)?;
    let mut json = found.iter().any(|(spec, _)| matches!(spec.id, Id::Json));
    // Also behind the target: nothing there belongs to a guest.
    rest.retain(|word| {
        let is_json = word == "--json";
        json |= is_json;
        !is_json
    });
    if found.iter().any(|(spec, _)| matches!(spec.id, Id::Help)) {
        return Ok(Command::Print(help(command)));
    }
    let mut words = Words { command, rest };
    let target = words.next("target")?;
    let action = match command {
        "attach" => Action::Attach(words.next("plugin")?),
        "detach" => Action::Detach(words.number()?),
        "reset" => Action::Reset(words.number()?),
        "plugins" => Action::Plugins,
        _ => {
            // Also behind the target.
            let rest = std::mem::take(&mut words.rest).into_iter();
            let (more, rest) = parse_options(command, options(command), &[], rest)?;
            words.rest = rest;
            let mut found = found.iter().chain(&more);
            let record = found.find(|(spec, _)| matches!(spec.id, Id::Record));
            let record = record.map(|(_, value)| value::measured("--record", value));
            Action::Stats(record.transpose()?)
        }
    };
    words.end()?;
    Ok(Command::Target(TargetOptions {
        action,
        target,
        json,
    }))
}

/// What is left of the line.
struct Words {
    command: &'static str,
    rest: VecDeque<OsString>,
}

impl Words {
    fn next(&mut self, what: &str) -> Result<OsString, UsageError> {
        let word = self.rest.pop_front().filter(|word| !word.is_empty());
        word.ok_or_else(|| UsageError::new(format!("no {what}: {}", usage(self.command))))
    }

    fn number(&mut self) -> Result<u64, UsageError> {
        let word = self.next("plugin's number")?;
        let number = word.to_str().and_then(value::number);
        number.ok_or_else(|| {
            UsageError::new(format!(
                "bad number: {}: 'hartscope plugins TARGET' lists the plugins",
                word.to_string_lossy()
            ))
        })
    }

    fn end(mut self) -> Result<(), UsageError> {
        match self.rest.pop_front() {
            Some(extra) => Err(UsageError::new(format!(
                "unexpected argument: {}: {}",
                extra.to_string_lossy(),
                usage(self.command)
            ))),
            None => Ok(()),
        }
    }
}

fn usage(command: &str) -> String {
    let row = USAGES.iter().find(|(name, ..)| *name == command);
    let operands = row.map_or("", |(_, operands, _)| operands);
    format!("usage: hartscope {command} [--json] {operands}")
}

fn help(command: &str) -> String {
    let row = USAGES.iter().find(|(name, ..)| *name == command);
    let what = row.map_or("", |(_, _, what)| what);
    format!(
        "{}\n\n{what}\nTARGET is the process id of a running hartscope, or the path of its control \
         socket.\n\n{}",
        usage(command),
        describe(options(command))
    )
}
