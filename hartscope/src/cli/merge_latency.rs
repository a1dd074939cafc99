//! `hartscope merge-latency`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Command, OptionSpec, UsageError, parse_options};

/// Options of `hartscope merge-latency`.
#[derive(Debug, Default, PartialEq)]
pub struct MergeOptions {
    /// The logs.
    pub files: Vec<PathBuf>,
    /// Where to write one log of all.
    pub output: Option<PathBuf>,
}

enum Id {
    Output,
    Help,
}

const OPTIONS: &[OptionSpec<Id>] = &[
    OptionSpec {
        id: Id::Output,
        names: &["o", "output"],
        value: Some("FILE"),
        help: "write one log of all, too",
    },
    OptionSpec {
        id: Id::Help,
        names: &["help", "h"],
        value: None,
        help: "this text",
    },
];

pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let (found, rest) = parse_options("merge-latency", OPTIONS, &[], args)?;
    let mut options = MergeOptions::default();
    for (spec, value) in found {
        match spec.id {
            Id::Output => options.output = Some(value.into()),
            Id::Help => return Ok(Command::Print(help())),
        }
    }
    options.files = rest.into_iter().map(PathBuf::from).collect();
    if options.files.is_empty() {
        return Err(UsageError::new(
            "no log: usage: hartscope merge-latency [-o FILE] LOG…",
        ));
    }
    Ok(Command::MergeLatency(options))
}

fn help() -> String {
    format!(
        "usage: hartscope merge-latency [OPTIONS] LOG…\n\n\
         Adds up the latencies in the interval logs of several runs or machines (--latency-log\n\
         writes one) and prints the percentiles, a row for each vCPU.\n\n{}",
        super::describe(OPTIONS)
    )
}
