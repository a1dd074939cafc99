//! The hartscope command: everything but the entry point.

mod boot;
mod built_in;
mod cli;
mod console;
mod control;
mod demo;
mod guest;
mod latency;
mod log;
mod plugin_check;
mod plugins;
mod profile;
mod report;
mod session;
mod stress;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};

/// The exit status for a command line that makes no sense.
const USAGE_STATUS: i32 = 2;

/// Does what the arguments ask for (without the name of the binary); returns the exit status.
pub fn main(args: impl Iterator<Item = OsString>) -> i32 {
    match cli::parse(args) {
        Ok(cli::Command::Run(options)) => guest::run(*options),
        Ok(cli::Command::Boot(options)) => boot::run(*options),
        Ok(cli::Command::Demo(options)) => demo::run(&options),
        Ok(cli::Command::Stress(options)) => stress::run(&options),
        Ok(cli::Command::PluginCheck(file)) => plugin_check::run(&file),
        Ok(cli::Command::Target(options)) => control::client::run(&options),
        Ok(cli::Command::Profile(options)) => control::profiling::run(&options),
        Ok(cli::Command::MergeLatency(options)) => latency::merge(&options),
        Ok(cli::Command::Print(text)) => print(&text),
        Err(error) => fail(&error, USAGE_STATUS),
    }
}

/// Says in one line why there is no going on; returns the exit status.
fn fail(why: &dyn Display, status: i32) -> i32 {
    // There is nobody left to tell if this cannot be written.
    let _ = writeln!(io::stderr(), "hartscope: {why}");
    status
}

fn print(text: &str) -> i32 {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => 0,
        Err(error) => fail(&format!("cannot write: standard output: {error}"), 1),
    }
}
