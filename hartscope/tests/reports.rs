//! What hartscope says beside what the guest says: counts, statistics, logs and dumps.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::HARTSCOPE;
use common::process::{self, End, Outcome};

fn run(options: &[&str], program: &PathBuf, args: &[&str]) -> Outcome {
    let mut command = Command::new(HARTSCOPE);
    command.arg("run").args(options).arg(program).args(args);
    let outcome = process::run(&mut command, b"", Duration::from_secs(60));
    assert!(
        matches!(outcome.end, End::Exited(_)),
        "{}",
        outcome.stderr_text()
    );
    outcome
}

fn demo_guest() -> PathBuf {
    common::repository().join("hartscope/demo/demo.elf")
}

#[test]
fn both_back_ends_count_the_same_instructions() {
    let count = |backend| {
        let outcome = run(
            &["--count-insns", "--backend", backend],
            &demo_guest(),
            &["1"],
        );
        let line = outcome.stderr_text();
        let number = line
            .strip_prefix("hartscope: ")
            .and_then(|l| l.strip_suffix(" instructions\n"));
        number
            .and_then(|number| number.parse::<u64>().ok())
            .expect(&line)
    };
    let counted = count("x86-64");
    assert!(counted > 50_000_000, "{counted}");
    assert_eq!(counted, count("interp"));
}

#[test]
fn statistics_have_a_row_for_each_vcpu() {
    let outcome = run(&["--stats"], &demo_guest(), &["3"]);
    let text = outcome.stderr_text();
    let rows = text
        .lines()
        .filter(|line| line.trim_start().starts_with(['0', '1', '2']));
    assert_eq!(rows.count(), 3, "{text}");
    assert!(text.contains("blocks alive"), "{text}");
}

#[test]
fn without_options_nothing_is_said() {
    assert_eq!(run(&[], &demo_guest(), &["2"]).stderr_text(), "");
}

#[test]
fn each_stage_of_a_block_can_be_dumped() {
    let text = run(&["-d", "in_asm,op,op_opt,out_asm"], &demo_guest(), &["x"]).stderr_text();
    for part in [
        "IN: 0x",
        "OP: 0x",
        "OP after passes: 0x",
        "OUT: 0x",
        "ecall",
        "Const {",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn dumps_keep_to_their_range() {
    let text = run(
        &["-d", "in_asm", "-dfilter", "0x1+0x10"],
        &demo_guest(),
        &["x"],
    )
    .stderr_text();
    assert_eq!(text, "");
}

#[test]
fn logs_go_to_the_file_and_out_of_the_guests_way() {
    let log = common::scratch().join("strace.log");
    let path = log.to_str().expect("the path is ASCII");
    fs::write(&log, "what was there before\n").expect("scratch is writable");
    assert_eq!(
        run(&["-strace", "-D", path], &demo_guest(), &["x"]).stderr_text(),
        ""
    );
    let first = fs::read_to_string(&log).expect("it is written");
    assert!(
        first.contains("write(1, \"usage: demo") && !first.contains("before"),
        "{first}"
    );
    run(&["-strace", "-append-log", path], &demo_guest(), &["x"]);
    let both = fs::read_to_string(&log).expect("it is written");
    assert!(
        both.starts_with(&first) && both.len() > first.len(),
        "{both}"
    );
}

#[test]
fn environment_options_reach_the_guest() {
    let guest = common::guest("environment");
    let show = |options: &[&str]| run(options, &guest, &["HARTSCOPE_A", "PATH"]).stdout_text();
    assert_eq!(
        show(&["-E", "HARTSCOPE_A=x=y", "-U", "PATH"]),
        "HARTSCOPE_A=x=y\nno PATH\n"
    );
    assert_eq!(
        show(&["-E", "PATH=/p", "-E", "PATH=/q"]),
        "no HARTSCOPE_A\nPATH=/q\n"
    );
}

#[test]
fn the_name_of_the_program_can_be_another() {
    let guest = common::guest("environment");
    assert!(
        run(&["-0", "alias"], &guest, &["-0"])
            .stdout_text()
            .starts_with("argv[0]=alias\n")
    );
}
