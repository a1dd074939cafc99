//! `hartscope plugin-check`.

use std::ffi::OsString;

use super::{Command, OptionSpec, UsageError, parse_options};

const OPTIONS: &[OptionSpec<()>] = &[OptionSpec {
    id: (),
    names: &["help", "h"],
    value: None,
    help: "this text",
}];

const HELP: &str = "\
usage: hartscope plugin-check FILE

Says which version of the plugin interface a library was built for, which functions of it
the library uses, and whether it can be loaded, or why not. The exit status is 0 if it can.
The library is opened (its constructors run), but not installed.
";

pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let (found, mut rest) = parse_options("plugin-check", OPTIONS, &[], args)?;
    if !found.is_empty() {
        return Ok(Command::Print(HELP.into()));
    }
    let file = rest
        .pop_front()
        .filter(|file| !file.is_empty())
        .ok_or_else(|| UsageError::new("no file: usage: hartscope plugin-check FILE"))?;
    match rest.front() {
        Some(extra) => Err(UsageError::new(format!(
            "unexpected argument: {}: one file at a time",
            extra.to_string_lossy()
        ))),
        None => Ok(Command::PluginCheck(file)),
    }
}
