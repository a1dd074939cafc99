//! What a guest that runs notices of a profile: its speed before, meanwhile and afterwards, and its output.
//!
//! Two guests do the same rounds of work by turns, so that a slow moment of the machine hits both. One of
//! them is profiled for a while.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::build::{self, ROUNDS};
use crate::tools::Tools;
use crate::{Error, Options, machine};

/// How long the profile takes.
const SECONDS: &str = "2";

/// A guest that works on demand.
struct Guest {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    socket: PathBuf,
}

impl Guest {
    fn start(tools: &Tools, number: usize) -> Result<Guest, Error> {
        let name = format!("bench-{}-{number}.sock", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let mut child = Command::new(&tools.hartscope)
            .args(["run", "--control"])
            .arg(&socket)
            .arg(build::riscv64(tools, ROUNDS))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Error::Run(format!("{ROUNDS}: {error}")))?;
        let missing = || Error::Run(format!("{ROUNDS}: no pipe"));
        Ok(Guest {
            input: child.stdin.take().ok_or_else(missing)?,
            output: BufReader::new(child.stdout.take().ok_or_else(missing)?),
            child,
            socket,
        })
    }

    /// A round: what it computes, and milliseconds of processor time.
    fn round(&mut self) -> Result<(String, f64), Error> {
        let mut line = String::new();
        let read = self
            .input
            .write_all(b"x")
            .and_then(|()| self.output.read_line(&mut line));
        read.map_err(|error| Error::Run(format!("{ROUNDS}: {error}")))?;
        let words = line.trim().split_once(' ');
        words
            .and_then(|(sum, time)| Some((sum.to_owned(), time.parse::<f64>().ok()? / 1e6)))
            .ok_or_else(|| Error::Run(format!("{ROUNDS}: it says {line:?}")))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Rounds of both guests by turns; the fastest of each. All must compute the same.
fn rounds(guests: &mut [Guest; 2], count: u32, sum: &mut String) -> Result<[f64; 2], Error> {
    let mut fastest = [f64::INFINITY; 2];
    for _ in 0..count {
        for (guest, fastest) in guests.iter_mut().zip(&mut fastest) {
            *fastest = fastest.min(checked(guest, sum)?);
        }
    }
    Ok(fastest)
}

fn checked(guest: &mut Guest, sum: &mut String) -> Result<f64, Error> {
    let (computed, time) = guest.round()?;
    if sum.is_empty() {
        sum.clone_from(&computed);
    }
    match *sum == computed {
        true => Ok(time),
        false => Err(Error::Run(format!("{ROUNDS}: {computed} instead of {sum}"))),
    }
}

/// Measures it; gives a report.
pub fn profile(tools: &Tools, options: &Options) -> Result<String, Error> {
    let mut guests = [Guest::start(tools, 0)?, Guest::start(tools, 1)?];
    let mut sum = String::new();
    rounds(&mut guests, 3, &mut sum)?;
    let before = rounds(&mut guests, options.runs, &mut sum)?;
    let file = std::env::temp_dir().join(format!("bench-{}.folded", std::process::id()));
    let mut client = Command::new(&tools.hartscope)
        .arg("profile")
        .arg(&guests[1].socket)
        .args(["--seconds", SECONDS, "-o"])
        .arg(&file)
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| Error::Run(format!("hartscope profile: {error}")))?;
    let mut meanwhile = f64::INFINITY;
    let status = loop {
        meanwhile = meanwhile.min(checked(&mut guests[1], &mut sum)?);
        match client.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => break status,
            Err(error) => return Err(Error::Run(format!("hartscope profile: {error}"))),
        }
    };
    let folded = std::fs::read_to_string(&file).unwrap_or_default();
    let _ = std::fs::remove_file(&file);
    if !status.success() || !folded.contains("work ") {
        return Err(Error::Run(format!("hartscope profile: {status}")));
    }
    let first = checked(&mut guests[1], &mut sum)?;
    let after = rounds(&mut guests, options.runs, &mut sum)?;
    let environment = machine::environment(tools, options);
    let mut text = String::from(
        "Written by `cargo run --release -p bench -- --profile-attached`: milliseconds of processor \
         time of a round of work on two threads.\n\n\
         | | never profiled | profiled | ratio |\n|---|--:|--:|--:|\n",
    );
    let mut row = |when: &str, [never, profiled]: [f64; 2]| {
        let ratio = profiled / never;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {when} | {never:.1} | {profiled:.1} | {ratio:.3} |");
    };
    row("before", before);
    row("meanwhile (the fastest before)", [before[1], meanwhile]);
    row("the first round afterwards", [after[0], first]);
    row("afterwards", after);
    let _ = writeln!(
        text,
        "\n- {}: {}, Linux {}, load average at the start {}, commit {}\n\
         - profiled for {SECONDS} s; minimum of {} rounds of each by turns; every round computed the same",
        environment.date,
        environment.machine,
        environment.kernel,
        environment.load,
        environment.commit,
        options.runs,
    );
    Ok(text)
}
