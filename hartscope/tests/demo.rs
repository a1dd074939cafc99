//! The demo that is built into the binary: it is what its sources say, and it runs alike
//! everywhere.

mod common;

use std::process::Command;
use std::time::Duration;

use common::process::{self, End, Outcome};
use common::{HARTSCOPE, QEMU};

const LIMIT: Duration = Duration::from_secs(60);

fn demo(args: &[&str]) -> Outcome {
    process::run(Command::new(HARTSCOPE).arg("demo").args(args), b"", LIMIT)
}

/// The lines that are the same on every machine and for any number of harts.
fn results(output: &str) -> Vec<&str> {
    output
        .lines()
        .filter(|line| line.starts_with("result:"))
        .collect()
}

#[test]
fn the_committed_guest_is_what_its_sources_say() {
    common::assert_is_built("demo");
}

#[test]
fn every_hart_takes_part_and_nothing_is_lost_on_either_back_end() {
    let guest = common::repository().join("hartscope/demo/demo.elf");
    let reference = process::run(Command::new(QEMU).arg(guest).arg("2"), b"", LIMIT).stdout_text();
    assert_eq!(results(&reference).len(), 3, "{reference}");
    for backend in ["x86-64", "interp"] {
        for harts in [1, 2, 8] {
            let outcome = demo(&["--backend", backend, "--smp", &harts.to_string()]);
            let output = outcome.stdout_text();
            assert_eq!(outcome.end, End::Exited(0), "{}", outcome.stderr_text());
            assert_eq!(results(&output), results(&reference), "{output}");
            for hart in 0..harts {
                let rows = output.lines().filter(|line| {
                    line.split_whitespace().next() == Some(hart.to_string().as_str())
                });
                assert_eq!(
                    rows.count(),
                    2,
                    "hart {hart} is not in both tables:\n{output}"
                );
            }
        }
    }
}

#[test]
fn at_least_two_harts_by_default() {
    let outcome = demo(&[]);
    assert_eq!(outcome.end, End::Exited(0), "{}", outcome.stderr_text());
    assert!(
        outcome.stdout_text().contains("\n   1 "),
        "{}",
        outcome.stdout_text()
    );
}
