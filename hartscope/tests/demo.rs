//! The demo that is built into the binary: it is what its sources say, and it runs alike
//! everywhere.

mod common;

use std::fs;
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
    let directory = common::repository().join("hartscope/demo");
    let rebuilt = common::scratch().join("demo.elf");
    let build = Command::new("sh")
        .arg(directory.join("build.sh"))
        .arg(&rebuilt)
        .output();
    let build = build.expect("there is a shell");
    assert!(
        build.status.success(),
        "{}",
        String::from_utf8_lossy(&build.stderr)
    );
    let committed = fs::read(directory.join("demo.elf")).expect("demo.elf is committed");
    let rebuilt = fs::read(&rebuilt).expect("build.sh writes it");
    assert!(
        committed == rebuilt,
        "demo.elf is not what build.sh makes: run 'cargo xtask demo-guest' with Debian's \
         riscv64-linux-gnu-gcc 12"
    );
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
