//! `hartscope demo`.

use std::ffi::{OsStr, OsString};
use std::thread;

use super::engine::{Backend, parse_backend};
use super::{Command, OptionSpec, UsageError, describe, parse_options};

/// The demo guest has room for this many harts.
pub const MAX_HARTS: usize = 64;

/// Options of `hartscope demo`.
#[derive(Debug, PartialEq)]
pub struct DemoOptions {
    /// Harts to start: 1 to [`MAX_HARTS`].
    pub harts: usize,
    /// What runs the blocks.
    pub backend: Backend,
    /// Pin each vCPU thread to a core.
    pub pin: bool,
}

enum Id {
    Smp,
    Backend,
    Pin,
    Help,
}

const OPTIONS: &[OptionSpec<Id>] = &[
    OptionSpec {
        id: Id::Smp,
        names: &["smp"],
        value: Some("N"),
        help: "harts, 1 to 64 (default: as many as the host has cores, at least 2)",
    },
    OptionSpec {
        id: Id::Backend,
        names: &["backend"],
        value: Some("NAME"),
        help: "x86-64 (default) or interp",
    },
    OptionSpec {
        id: Id::Pin,
        names: &["pin"],
        value: None,
        help: "pin each vCPU to a host core",
    },
    OptionSpec {
        id: Id::Help,
        names: &["help", "h"],
        value: None,
        help: "this text",
    },
];

pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let (found, rest) = parse_options("demo", OPTIONS, &[], args)?;
    let mut options = DemoOptions {
        harts: default_harts(),
        backend: Backend::default(),
        pin: false,
    };
    for (spec, value) in found {
        match spec.id {
            Id::Smp => options.harts = parse_harts(&value)?,
            Id::Backend => options.backend = parse_backend(&value)?,
            Id::Pin => options.pin = true,
            Id::Help => return Ok(Command::Print(help())),
        }
    }
    match rest.front() {
        Some(extra) => Err(UsageError::new(format!(
            "unexpected argument: {}: the demo takes options only",
            extra.to_string_lossy()
        ))),
        None => Ok(Command::Demo(options)),
    }
}

fn parse_harts(value: &OsStr) -> Result<usize, UsageError> {
    value
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|harts| (1..=MAX_HARTS).contains(harts))
        .ok_or_else(|| {
            UsageError::new(format!(
                "bad number of harts: --smp {}: 1 to {MAX_HARTS}",
                value.to_string_lossy()
            ))
        })
}

fn default_harts() -> usize {
    let cores = thread::available_parallelism().map_or(2, |cores| cores.get());
    cores.clamp(2, MAX_HARTS)
}

fn help() -> String {
    format!(
        "usage: hartscope demo [OPTIONS]\n\n\
         Runs a small SMP guest that is built in: its harts draw a picture, look for primes\n\
         and fight for a lock; then it says what each of them did.\n\n{}",
        describe(OPTIONS)
    )
}
