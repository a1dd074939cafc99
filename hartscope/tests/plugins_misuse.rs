//! Plugins that break the rules: what happens is what docs/plugin-misuse.md says, and never a silent
//! corruption.

mod common;

use std::time::{Duration, Instant};

use common::plugins::{BACKENDS, Run, Watched, bare_guest, plugin};
use common::process::{self, End};
use common::{HARTSCOPE, repository};

/// What becomes of a misuse.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// The process is aborted, with a line that says why.
    Aborts,
    /// The call does nothing, or what it can; said with `--check-plugins`.
    Passes,
    /// The same, and there is nothing to say.
    Allowed,
}
use Outcome::{Aborts, Allowed, Passes};

/// What is done, what comes of it, and the function that is named.
const CASES: &[(&str, Outcome, &str)] = &[
    ("read-without-flag", Passes, "qemu_plugin_read_register"),
    ("find-beyond", Aborts, "qemu_plugin_scoreboard_find"),
    ("free-twice", Aborts, "qemu_plugin_scoreboard_free"),
    ("use-freed", Aborts, "qemu_plugin_scoreboard_find"),
    ("query-outside", Passes, "qemu_plugin_tb_n_insns"),
    ("insn-outside", Passes, "qemu_plugin_insn_size"),
    (
        "register-outside",
        Passes,
        "qemu_plugin_register_vcpu_insn_exec_cb",
    ),
    ("value-outside", Passes, "qemu_plugin_mem_get_value"),
    ("wrong-id", Aborts, "qemu_plugin_register_vcpu_tb_trans_cb"),
    (
        "foreign-register",
        Passes,
        "qemu_plugin_register_vcpu_tb_trans_cb",
    ),
    ("foreign-read", Aborts, "qemu_plugin_get_registers"),
    ("foreign-board", Allowed, ""),
    ("set-pc-without-flag", Aborts, "qemu_plugin_set_pc"),
    ("write-read-only", Aborts, "qemu_plugin_write_register"),
    (
        "bad-flags",
        Aborts,
        "qemu_plugin_register_vcpu_insn_exec_cb",
    ),
    ("bad-rw", Passes, "qemu_plugin_register_vcpu_mem_cb"),
    (
        "bad-op",
        Aborts,
        "qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu",
    ),
    (
        "bad-offset",
        Aborts,
        "qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu",
    ),
    ("read-at-end", Passes, "qemu_plugin_read_register"),
    ("registers-in-install", Aborts, "qemu_plugin_get_registers"),
    ("uninstall-in-install", Aborts, "qemu_plugin_uninstall"),
    ("find-in-install", Aborts, "qemu_plugin_scoreboard_find"),
    ("path-in-install", Aborts, "qemu_plugin_path_to_binary"),
    ("sum-in-install", Allowed, ""),
];

fn run(what: &str, options: &[&str]) -> Watched {
    let run = Run::new(&bare_guest("memory")).option(options);
    run.plugin(&plugin("misuse", 7), &format!("what={what}"))
        .run()
}

#[test]
fn each_misuse_is_named_or_harmless() {
    for &(what, outcome, function) in CASES {
        for backend in BACKENDS {
            let quiet = run(what, &["--backend", backend]);
            let checked = run(what, &["--backend", backend, "--check-plugins"]);
            let (said, said_checked) = (quiet.outcome.stderr_text(), checked.outcome.stderr_text());
            match outcome {
                Aborts => {
                    let end = (quiet.outcome.end, checked.outcome.end);
                    assert_eq!(end, (End::Signaled(6), End::Signaled(6)), "{what}: {said}");
                    assert_names(&said, what, function);
                    assert_names(&said_checked, what, function);
                }
                Passes | Allowed => {
                    assert_eq!(quiet.outcome.end, End::Exited(0), "{what}: {said}");
                    assert_eq!(said, "", "{what}");
                    assert_eq!(checked.outcome.end, End::Exited(0), "{what}");
                    for log in [&quiet.log, &checked.log] {
                        assert!(log.contains(&format!("survived {what}\n")), "{what}: {log}");
                    }
                    match outcome {
                        Passes => assert_names(&said_checked, what, function),
                        _ => assert_eq!(said_checked, "", "{what}"),
                    }
                }
            }
        }
    }
}

/// One line that names the plugin, or that it is one, and the function.
fn assert_names(text: &str, what: &str, function: &str) {
    let who = if what.starts_with("foreign-") {
        "a plugin, outside of its callbacks"
    } else {
        "plugin misuse-v7.so"
    };
    let start = format!("hartscope: {who}: {function}: ");
    assert!(
        text.starts_with(&start) && text.lines().count() == 1,
        "{what}: {text}"
    );
}

#[test]
fn rights_of_newer_versions_are_no_rights_of_older_ones() {
    let run = Run::new(&bare_guest("memory"));
    let outcome = run
        .plugin(&plugin("misuse", 5), "what=newer-flags")
        .run()
        .outcome;
    assert_eq!(outcome.end, End::Signaled(6));
    let text = outcome.stderr_text();
    assert!(
        text.contains("3 is no value of qemu_plugin_cb_flags"),
        "{text}"
    );
}

#[test]
fn a_plugin_that_dies_takes_the_process_with_it_by_the_same_signal() {
    for backend in BACKENDS {
        for (what, signal) in [("crash", 11), ("illegal", 4), ("abort", 6)] {
            let watched = run(what, &["--backend", backend]);
            assert_eq!(watched.outcome.end, End::Signaled(signal), "{what}");
            // Nobody knows who has called abort; whoever asserts says so himself.
            let named = watched.outcome.stderr_text().contains("misuse-v7.so");
            assert!(
                named || what == "abort",
                "{what}: {}",
                watched.outcome.stderr_text()
            );
        }
    }
}

#[test]
fn a_plugin_may_end_the_process() {
    for backend in BACKENDS {
        let watched = run("exit", &["--backend", backend]);
        assert_eq!(watched.outcome.end, End::Exited(42));
        assert_eq!(watched.log, "end\n");
    }
}

#[test]
fn a_plugin_that_loops_holds_its_vcpu_up_and_can_be_killed() {
    let mut command = std::process::Command::new(HARTSCOPE);
    let mut spec = plugin("misuse", 7).into_os_string();
    spec.push(",what=loop");
    command.arg("run").arg("-plugin").arg(spec);
    command.arg(bare_guest("memory"));
    let started = Instant::now();
    let outcome = process::run(&mut command, b"", Duration::from_millis(700));
    assert_eq!(outcome.end, End::TimedOut);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn the_document_lists_every_case() {
    let text = std::fs::read_to_string(repository().join("docs/plugin-misuse.md"))
        .expect("the document is there");
    for (what, outcome, _) in CASES {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| `{what}`")));
        let row = row.unwrap_or_else(|| panic!("{what} is missing"));
        let word = match outcome {
            Aborts => "aborts",
            Passes => "passes",
            Allowed => "allowed",
        };
        assert!(row.contains(&format!("| {word} |")), "{row}");
    }
}
