//! `hartscope profile`.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::{Command, OptionSpec, UsageError, describe, parse_options};
use crate::profile::Output;

/// Options of `hartscope profile`.
#[derive(Debug, PartialEq)]
pub struct ProfileOptions {
    /// A process id, or a socket's path.
    pub target: OsString,
    /// How long to count; `None`: until somebody interrupts.
    pub duration: Option<Duration>,
    /// Where to write it.
    pub output: Output,
}

enum Id {
    Seconds,
    Output,
    Help,
}

const OPTIONS: &[OptionSpec<Id>] = &[
    OptionSpec {
        id: Id::Seconds,
        names: &["seconds"],
        value: Some("N"),
        help: "count for so long, 0.5 or 10 (default: until Ctrl-C, which always ends it)",
    },
    OptionSpec {
        id: Id::Output,
        names: &["o", "output"],
        value: Some("FILE"),
        help: "write a table (.txt), folded stacks (.folded) or a flame graph (.svg);\n\
               %d in it is the guest's process id",
    },
    OptionSpec {
        id: Id::Help,
        names: &["help", "h"],
        value: None,
        help: "this text",
    },
];

const USAGE: &str = "usage: hartscope profile TARGET [--seconds N] -o FILE";

pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let (mut found, mut rest) = parse_options("profile", OPTIONS, &[], args)?;
    let target = rest.pop_front();
    // Also behind the target: nothing there belongs to a guest.
    let (behind, rest) = parse_options("profile", OPTIONS, &[], rest.into_iter())?;
    found.extend(behind);
    let (mut duration, mut output) = (None, None);
    for (spec, value) in found {
        match spec.id {
            Id::Seconds => duration = Some(seconds(&value)?),
            Id::Output => {
                let named = Output::new(&value);
                output = Some(named.map_err(|error| UsageError::new(error.to_string()))?);
            }
            Id::Help => return Ok(Command::Print(help())),
        }
    }
    if let Some(extra) = rest.front() {
        let extra = extra.to_string_lossy();
        return Err(UsageError::new(format!(
            "unexpected argument: {extra}: {USAGE}"
        )));
    }
    let missing = |what: &str| UsageError::new(format!("no {what}: {USAGE}"));
    Ok(Command::Profile(ProfileOptions {
        target: target
            .filter(|target| !target.is_empty())
            .ok_or_else(|| missing("target"))?,
        duration,
        output: output.ok_or_else(|| missing("file"))?,
    }))
}

fn seconds(value: &OsStr) -> Result<Duration, UsageError> {
    let number = value.to_str().and_then(|text| text.parse().ok());
    number
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| {
            let shown = value.to_string_lossy();
            UsageError::new(format!("bad number of seconds: --seconds {shown}"))
        })
}

fn help() -> String {
    format!(
        "{USAGE}\n\n\
         Counts the instructions of a guest that is running, by function and vCPU, and writes them.\n\
         TARGET is the process id of a running hartscope, or the path of its control socket.\n\n{}",
        describe(OPTIONS)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_stand_before_and_behind_the_target() {
        let expected = ProfileOptions {
            target: "12".into(),
            duration: Some(Duration::from_millis(2500)),
            output: Output::new(OsStr::new("a.svg")).expect("it is a picture"),
        };
        for line in ["-o a.svg 12 --seconds 2.5", "12 -seconds=2.5 -output a.svg"] {
            match options(line) {
                Ok(Command::Profile(options)) => assert_eq!(options, expected),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, why) in [
            ("", "no target"),
            ("12", "no file"),
            ("12 -o a.png", "a.png"),
            ("12 13 -o a.svg", "unexpected argument: 13"),
            ("12 -o a.svg --seconds -1", "bad number of seconds"),
            ("12 -o a.svg --seconds nan", "bad number of seconds"),
            ("12 -o a.svg --seconds 1e99", "bad number of seconds"),
        ] {
            let refusal = options(line).expect_err(line).to_string();
            assert!(refusal.contains(why), "{line}: {refusal}");
        }
    }
}
