//! `hartscope stress`: it does what it says, finds nothing wrong where nothing is, and finds what is.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use common::process::{self, End, Outcome};
use common::{HARTSCOPE, plugins, repository};

const LIMIT: Duration = Duration::from_secs(120);

fn stress(args: &[&str]) -> Outcome {
    let mut command = Command::new(HARTSCOPE);
    process::run(command.arg("stress").args(args), b"", LIMIT)
}

/// A plugin that leaves something behind when it goes.
fn leaves(what: &str) -> String {
    let library = plugins::plugin("leaves", 7);
    format!("{},leave={what}", library.display())
}

/// The summary, and the exit status.
fn summary(args: &[&str]) -> (Value, End) {
    let outcome = stress(&[&["--json"], args].concat());
    let (output, errors) = (outcome.stdout_text(), outcome.stderr_text());
    let last = output.lines().last().unwrap_or_default();
    let summary = serde_json::from_str(last)
        .unwrap_or_else(|error| panic!("{args:?}: {error}: {:?}\n{output}\n{errors}", outcome.end));
    (summary, outcome.end)
}

fn number(summary: &Value, name: &str) -> u64 {
    summary[name].as_u64().expect("it is a number")
}

#[test]
fn the_committed_guest_is_what_its_sources_say() {
    common::assert_is_built("stress");
}

#[test]
fn the_guest_does_its_work_right_without_any_of_this() {
    let guest = repository().join("hartscope/stress/stress.elf");
    let mut command = Command::new(HARTSCOPE);
    command.arg("run").arg(guest).args(["4", "9", "60"]);
    let outcome = process::run(&mut command, b"", LIMIT);
    let shown = outcome.stdout_text();
    assert_eq!((outcome.end, &*shown), (End::Exited(0), "stress: done\n"));
}

#[test]
fn nothing_is_wrong_on_either_back_end() {
    let plugin = leaves("nothing");
    for backend in plugins::BACKENDS {
        for more in [
            &["--seed", "5"][..],
            &["--no-references", "--tb-size", "64K", "--vcpus", "8"],
            &["--check-plugins", "--threads", "5", "--vcpus", "2"],
        ] {
            let same = ["--cycles", "250", "--plugin", &plugin, "--backend", backend];
            let args = [&same[..], more].concat();
            let (summary, end) = summary(&args);
            assert_eq!(end, End::Exited(0), "{args:?}: {summary:#}");
            assert_eq!(summary["violations"], 0);
            assert_eq!(summary["guest-ended"], Value::Null);
            let attached = number(&summary, "attached");
            assert!(attached >= 250 && number(&summary, "detached") <= attached);
            for done in ["detached", "reset", "callbacks", "translated", "rounds"] {
                assert!(number(&summary, done) > 0, "{args:?}: {done}: {summary:#}");
            }
            let has_references = summary["reference-blocks"].as_u64().is_some_and(|n| n > 0);
            assert_eq!(has_references, !more.contains(&"--no-references"));
        }
    }
}

#[test]
fn what_a_plugin_leaves_behind_is_found() {
    for (what, violation) in [
        (
            "memory",
            "KiB of memory are allocated when nothing is attached",
        ),
        ("file", "files are open when nothing is attached"),
        ("library", "mapped still, after it was closed"),
    ] {
        let (summary, end) = summary(&["--cycles", "800", "--plugin", &leaves(what)]);
        assert_eq!(end, End::Exited(1), "{what}: {summary:#}");
        let list = summary["violation-list"].as_array().expect("a list");
        let found = |it: &Value| it.as_str().is_some_and(|it| it.contains(violation));
        assert!(list.iter().any(found), "{what}: {list:?}");
    }
}

/// Those that keep tables: `plugins/*.c`, each attached and detached dozens of times.
#[test]
fn our_own_plugins_leave_nothing_behind() {
    let plugins = [
        "cache",
        "cflow",
        "drcov",
        "execlog",
        "hotblocks",
        "howvec",
        "insn",
        "mem",
    ];
    let arguments = |name| match name {
        // Written by children of the guest.
        "drcov" => ",filename=/dev/null",
        "howvec" => ",count=individual",
        "insn" => ",match=nothing",
        "mem" => ",print-accesses=on",
        _ => "",
    };
    let libraries = plugins.map(|name| {
        let source = repository().join(format!("plugins/{name}.c"));
        let library = plugins::library(&source, &format!("own-{name}"), &[]);
        format!("{}{}", library.display(), arguments(name))
    });
    let mut args = vec!["--cycles", "1000", "--vcpus", "2"];
    for library in &libraries {
        args.extend(["--plugin", library]);
    }
    let (summary, end) = summary(&args);
    assert_eq!(end, End::Exited(0), "{summary:#}");
}

#[test]
fn a_thread_that_outlives_its_library_is_named() {
    let outcome = stress(&["--cycles", "100000", "--plugin", &leaves("thread")]);
    assert_eq!(outcome.end, End::Signaled(libc::SIGSEGV));
    let said = outcome.stderr_text();
    assert!(
        said.contains("where there is no code: a plugin that has gone must have started it"),
        "{said}"
    );
}

#[test]
fn a_plugin_that_will_not_install_itself_is_a_violation() {
    let library = plugins::plugin("leaves", 7);
    let plugin = library.to_str().expect("its name is text");
    let (summary, end) = summary(&["--cycles", "100", "--plugin", plugin]);
    assert_eq!((end, number(&summary, "violations")), (End::Exited(1), 1));
    let said = summary["violation-list"][0].as_str().expect("a text");
    assert!(
        said.contains("cannot be attached") && said.contains("error code -1"),
        "{said}"
    );
}

#[test]
fn what_cannot_be_run_is_said_at_once() {
    for (args, why) in [
        (
            &["--plugin", "/nowhere.so"][..],
            "/nowhere.so: cannot be loaded",
        ),
        (&["/nowhere"], "/nowhere: not found"),
        (&["--threads", "0"], "1 to 64"),
        (&["--cycles", "many"], "bad number"),
    ] {
        let outcome = stress(args);
        let said = outcome.stderr_text();
        assert!(said.contains(why) && said.lines().count() == 1, "{said}");
        assert!(matches!(outcome.end, End::Exited(1 | 2 | 127)), "{said}");
    }
}

#[test]
fn a_guest_of_ones_own_may_end_before() {
    let guest = repository().join("hartscope/demo/demo.elf");
    let guest = Path::new(&guest).to_str().expect("its name is text");
    let (summary, end) = summary(&["--seconds", "100", guest, "2"]);
    assert_eq!(end, End::Exited(0), "{summary:#}");
    assert_eq!(summary["guest-ended"], "ended by itself, with status 0");
}
