//! One step of a task: a child process that is watched, counted and bounded in time.
//!
//! Rules:
//! 1. A step's output goes to the terminal as it comes; nothing is held back.
//! 2. The tests that a step reports are counted (lines of `cargo test`, and our own tools' line
//!    `N passed, N failed`); a step that reports none counts as one test itself.
//! 3. A step that fails without a failed test in its report counts as one failure.
//! 4. A step that takes longer than its limit is killed with all its children, and has failed.

use std::io::{BufRead, BufReader, Read};
use std::ops::Add;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A named command with a time limit.
pub struct Step {
    name: &'static str,
    limit: Duration,
    words: Vec<String>,
}

/// What the steps have shown so far.
#[derive(Debug, Default, PartialEq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub failed_steps: Vec<String>,
}

impl Add for Tally {
    type Output = Tally;

    fn add(mut self, other: Tally) -> Tally {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failed_steps.extend(other.failed_steps);
        self
    }
}

impl Step {
    /// A step that runs `line`, whose words contain no blanks, for at most `minutes`.
    pub fn new(name: &'static str, minutes: u64, line: &str) -> Step {
        Step {
            name,
            limit: Duration::from_secs(minutes * 60),
            words: line.split_whitespace().map(String::from).collect(),
        }
    }

    /// Adds words that may contain blanks.
    pub fn args(mut self, args: &[String]) -> Step {
        self.words.extend_from_slice(args);
        self
    }

    /// Runs the step and says how it went.
    pub fn run(&self) -> Tally {
        println!("\n=== {}: {}", self.name, self.words.join(" "));
        let started = Instant::now();
        let (counted, outcome) = match self.start() {
            Ok(child) => self.watch(child),
            Err(error) => (Tally::default(), Err(format!("{}: {error}", self.words[0]))),
        };
        let seconds = started.elapsed().as_secs();
        println!(
            "=== {}: {} ({seconds} s)",
            self.name,
            outcome.as_ref().err().map_or("ok", |e| e)
        );
        self.judge(counted, outcome)
    }

    fn start(&self) -> std::io::Result<Child> {
        Command::new(&self.words[0])
            .args(&self.words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
    }

    fn watch(&self, mut child: Child) -> (Tally, Result<(), String>) {
        let group = child.id();
        let output = child.stdout.take();
        let (done, finished) = mpsc::channel::<()>();
        let limit = self.limit;
        let watchdog = thread::spawn(move || {
            let late = finished.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            if late {
                kill_group(group);
            }
            late
        });
        let counted = output.map_or_else(Tally::default, copy_and_count);
        let status = child.wait();
        drop(done);
        let late = watchdog.join().unwrap_or(false);
        let outcome = match status {
            _ if late => Err(format!("killed after {} s", limit.as_secs())),
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(status.to_string()),
            Err(error) => Err(error.to_string()),
        };
        (counted, outcome)
    }

    fn judge(&self, mut tally: Tally, outcome: Result<(), String>) -> Tally {
        match outcome {
            Ok(()) if tally.passed + tally.failed == 0 => tally.passed = 1,
            Ok(()) => {}
            Err(_) => tally.failed = tally.failed.max(1),
        }
        if tally.failed > 0 {
            tally.failed_steps.push(self.name.into());
        }
        tally
    }
}

fn kill_group(group: u32) {
    // The step was started as the leader of its own group, so this ends its children too.
    let target = format!("-{group}");
    if let Err(error) = Command::new("kill").args(["-KILL", "--", &target]).status() {
        eprintln!("xtask: cannot kill the step: {error}");
    }
}

fn copy_and_count(output: impl Read) -> Tally {
    let mut tally = Tally::default();
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if let Some((passed, failed)) = counts(&line) {
            tally.passed += passed;
            tally.failed += failed;
        }
    }
    tally
}

/// The numbers in `test result: ok. 11 passed; 0 failed; …` or in `… 11 passed, 0 failed`.
fn counts(line: &str) -> Option<(u64, u64)> {
    let (before, rest) = line.split_once(" passed")?;
    let passed = before.rsplit(' ').next()?.parse().ok()?;
    let rest = rest.strip_prefix([';', ','])?.trim_start();
    let (failed, _) = rest.split_once(" failed")?;
    Some((passed, failed.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_lines_of_cargo_and_of_our_tools() {
        let cargo = "test result: FAILED. 11 passed; 2 failed; 0 ignored; 0 measured";
        assert_eq!(counts(cargo), Some((11, 2)));
        assert_eq!(counts("bench: 56 passed, 0 failed"), Some((56, 0)));
        assert_eq!(counts("3 passed, 1 failed in 2 s"), Some((3, 1)));
        for other in [
            "it passed",
            "x passed, 1 failed",
            "3 passed",
            "test a ... ok",
        ] {
            assert_eq!(counts(other), None, "{other}");
        }
    }

    #[test]
    fn a_step_without_a_report_is_one_test() {
        assert_eq!(Step::new("good", 1, "true").run().passed, 1);
        let bad = Step::new("bad", 1, "false").run();
        assert_eq!((bad.passed, bad.failed), (0, 1));
        assert_eq!(bad.failed_steps, ["bad"]);
    }

    #[test]
    fn a_missing_tool_is_a_failure() {
        assert_eq!(Step::new("none", 1, "/nonexistent/tool").run().failed, 1);
    }

    #[test]
    fn a_step_is_bounded_in_time() {
        let mut endless = Step::new("endless", 1, "sh -c").args(&["sleep 60; echo late".into()]);
        endless.limit = Duration::from_millis(50);
        let started = Instant::now();
        assert_eq!(endless.run().failed, 1);
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn failed_tests_are_summed_over_steps() {
        let lines = "echo '2 passed, 1 failed'; echo 'x: 3 passed, 0 failed'";
        let report = Step::new("report", 1, "sh -c").args(&[lines.into()]);
        let tally = report.run() + Step::new("good", 1, "true").run();
        assert_eq!((tally.passed, tally.failed), (6, 1));
    }
}
