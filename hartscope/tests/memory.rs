//! What a guest may do for a long time without hartscope growing, measured from outside.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::HARTSCOPE;
use common::process::{self, End, Watchdog};

/// Resident kilobytes and mappings of a process.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    resident: u64,
    mappings: usize,
}

fn footprint(pid: u32) -> Footprint {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the guest is alive");
    let resident = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    });
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the guest is alive");
    Footprint {
        resident: resident.expect("there is a VmRSS line"),
        mappings: maps.lines().count(),
    }
}

/// 64 threads are created and joined 1,000 times; memory is measured after each 100.
fn create_and_join(backend: &str) {
    let mut child = process::spawn(
        Command::new(HARTSCOPE)
            .args(["run", "--backend", backend])
            .arg(common::guest("thread_storm"))
            .arg("100")
            .stdin(Stdio::piped()),
    );
    let watchdog = Watchdog::new(&child, Duration::from_secs(120));
    let mut go = child.stdin.take().expect("it is piped");
    let mut answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut footprints = Vec::new();
    for round in 0..10 {
        writeln!(go).expect("the guest reads");
        let answer = answers
            .next()
            .expect("the guest answers")
            .expect("in UTF-8");
        // In each round, each of the 64 threads returns its number plus one.
        assert_eq!(
            answer,
            format!("sum {}", 100 * (64 * 65 / 2)),
            "round {round}"
        );
        footprints.push(footprint(child.id()));
    }
    drop((go, watchdog));
    assert_eq!(
        process::finish(&mut child, Duration::from_secs(10)),
        End::Exited(0)
    );
    // What is allocated once and kept for the next thread may grow in the first rounds. Each number
    // that a vCPU has ever had keeps its area, and how many live at a time is the scheduler's choice.
    let (settled, last) = (footprints[2], footprints[9]);
    assert!(
        last.resident < settled.resident + 2048 && last.mappings < settled.mappings + 16 + 64,
        "44,800 threads later there is more: {footprints:#?}"
    );
}

#[test]
fn threads_leave_nothing_behind_in_the_emitter() {
    create_and_join("x86-64");
}

#[test]
fn threads_leave_nothing_behind_in_the_interpreter() {
    create_and_join("interp");
}
