//! The hartscope command.
//!
//! There is no Rust `main`: the standard library's start-up ignores SIGPIPE, installs a handler
//! for stack overflows and opens missing standard descriptors, all of which a guest program would
//! inherit although nobody asked for it.

#![no_main]

mod cli;
mod demo;
mod guest;

use std::fmt::Display;
use std::io::Write;
use std::{env, io};

/// The exit status for a command line that makes no sense.
const USAGE_STATUS: i32 = 2;

/// Where the C runtime begins.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    match cli::parse(env::args_os().skip(1)) {
        Ok(cli::Command::Run(options)) => guest::run(options),
        Ok(cli::Command::Demo(options)) => demo::run(&options),
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
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => 0,
        Err(error) => fail(&format!("cannot write: standard output: {error}"), 1),
    }
}
