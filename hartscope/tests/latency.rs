//! How long things take: the log, the tables, and who holds others up.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::HARTSCOPE;
use common::process::{self, End, Outcome};

/// Where the code of the demo's guest is.
const DEMO_TEXT: std::ops::Range<u64> = 0x1_1000..0x1_2000;

fn hartscope(args: &[&str]) -> Outcome {
    process::run(
        Command::new(HARTSCOPE).args(args),
        b"",
        Duration::from_secs(120),
    )
}

fn demo_guest() -> String {
    let path = common::repository().join("hartscope/demo/demo.elf");
    path.to_str().expect("the path is ASCII").into()
}

fn scratch(name: &str) -> String {
    let path = common::scratch().join(name);
    path.to_str().expect("the path is ASCII").into()
}

/// The numbers of a table's row.
fn row(text: &str, kind: &str, vcpu: &str) -> Option<Vec<f64>> {
    let mut rows = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let words = rows.find(|words| words.starts_with(&[kind, vcpu]))?;
    words[2..].iter().map(|word| word.parse().ok()).collect()
}

#[track_caller]
fn assert_row(text: &str, kind: &str, vcpu: &str) -> Vec<f64> {
    let numbers = row(text, kind, vcpu).unwrap_or_else(|| panic!("no {kind} {vcpu} in:\n{text}"));
    let percentiles = &numbers[1..];
    assert!(numbers[0] >= 1.0 && percentiles.is_sorted(), "{numbers:?}");
    numbers
}

#[test]
fn statistics_say_how_long_things_took_for_each_vcpu() {
    let outcome = hartscope(&["run", "--stats", &demo_guest(), "2"]);
    let text = outcome.stderr_text();
    for vcpu in ["0", "1"] {
        for kind in ["quiescence", "translation"] {
            assert_row(&text, kind, vcpu);
        }
    }
    // The first thread waits for the other one.
    assert_row(&text, "idle", "0");
    assert_row(&text, "syscall", "1");
    assert_eq!(row(&text, "quiescence", "2"), None);
}

#[test]
fn the_log_is_an_interval_log_that_can_be_merged_with_others() {
    let logs = [scratch("first.hlog"), scratch("second.hlog")];
    for log in &logs {
        let outcome = hartscope(&["run", "--latency-log", log, &demo_guest(), "2"]);
        assert_eq!(outcome.stderr_text(), "");
        assert_eq!(outcome.end, End::Exited(0));
    }
    let text = fs::read_to_string(&logs[0]).expect("it is written");
    assert!(
        text.starts_with("#[Histogram log format version 1.3]\n"),
        "{text}"
    );
    for part in [
        "#[BaseTime: ",
        "\"StartTimestamp\",",
        "\nTag=vcpu1.quiescence,0.000,",
        ",HISTFAAAA",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let count = |text: &str| assert_row(text, "translation", "1")[0];
    let single: f64 = logs
        .iter()
        .map(|log| count(&hartscope(&["merge-latency", log]).stdout_text()))
        .sum();
    let merged = scratch("merged.hlog");
    let outcome = hartscope(&["merge-latency", "-o", &merged, &logs[0], &logs[1]]);
    let table = outcome.stdout_text();
    assert_eq!(count(&table), single);
    let all = assert_row(&table, "translation", "all")[0];
    assert_eq!(all, single + assert_row(&table, "translation", "0")[0]);
    let again = hartscope(&["merge-latency", &merged]);
    assert_eq!(again.stdout_text(), table);
}

#[test]
fn logs_that_are_none_are_refused_in_one_line() {
    let bad = scratch("bad.hlog");
    fs::write(&bad, "#[StartTime: 1.0 (s)]\nwhat is this\n").expect("scratch is writable");
    for (args, words, status) in [
        (vec!["merge-latency", &bad], "line 2", 1),
        (
            vec!["merge-latency", "/nonexistent"],
            "/nonexistent: No such file",
            1,
        ),
        (vec!["merge-latency"], "no log", 2),
        (
            vec!["run", "--latency-log", "/nonexistent/x", "/bin/true"],
            "cannot write the latency log: /nonexistent/x",
            1,
        ),
    ] {
        let outcome = hartscope(&args);
        let text = outcome.stderr_text();
        assert_eq!(outcome.end, End::Exited(status), "{text}");
        assert!(
            text.starts_with("hartscope: ") && text.contains(words),
            "{text}"
        );
        assert_eq!(text.matches('\n').count(), 1, "{text}");
    }
}

/// A plugin that wants to be uninstalled by its first callback, which takes `seconds`.
fn leaving_plugin(name: &str, seconds: &str) -> PathBuf {
    let source = common::scratch().join(format!("{name}.c"));
    fs::write(&source, LEAVING).expect("scratch is writable");
    let pause = format!("-DPAUSE={seconds}");
    let flags = ["-DQEMU_PLUGIN_API_VERSION=4", &pause];
    common::plugins::library(&source, name, &flags)
}

const LEAVING: &str = r#"
#include <qemu-plugin.h>
#include <stdio.h>
#include <unistd.h>
QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;
static void gone(qemu_plugin_id_t id) { }
static void tb_trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) { }
static void syscall_cb(qemu_plugin_id_t id, unsigned int vcpu, int64_t num, uint64_t a,
                       uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f,
                       uint64_t g, uint64_t h)
{
    static int begun;
    if (!begun) {
        begun = 1;
        qemu_plugin_uninstall(id, gone);
        usleep(PAUSE * 1000000);
    }
}
QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info,
                                           int argc, char **argv)
{
    qemu_plugin_register_vcpu_syscall_cb(id, syscall_cb);
    qemu_plugin_register_vcpu_tb_trans_cb(id, tb_trans);
    return 0;
}
"#;

fn stalls(plugin: &Path, option: &[&str]) -> Vec<String> {
    let plugin = plugin.to_str().expect("the path is ASCII");
    let guest = demo_guest();
    let mut args = vec!["run", "--plugin", plugin];
    args.extend(option);
    args.extend([guest.as_str(), "1"]);
    let text = hartscope(&args).stderr_text();
    let lines = text.lines().filter(|line| line.contains("grace period"));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_vcpu_that_holds_others_up_is_named() {
    let plugin = leaving_plugin("slow", "2.5");
    assert_eq!(stalls(&plugin, &[]), [""; 0]);
    let lines = stalls(&plugin, &["-d", "stall"]);
    let [line] = lines.as_slice() else {
        panic!("one report is to be made: {lines:?}");
    };
    for part in [
        "hartscope: a grace period has been open for 1.",
        "vCPU 0 ",
        "is asleep",
    ] {
        assert!(line.contains(part), "{part} is missing in: {line}");
    }
    let pc = line
        .split_once("guest pc 0x")
        .and_then(|(_, rest)| rest.split_once(' '))
        .and_then(|(pc, _)| u64::from_str_radix(pc, 16).ok());
    assert!(pc.is_some_and(|pc| DEMO_TEXT.contains(&pc)), "{line}");
}

#[test]
fn going_over_to_another_set_is_measured() {
    let plugin = leaving_plugin("quick", "0");
    let plugin = plugin.to_str().expect("the path is ASCII");
    let outcome = hartscope(&["run", "--plugin", plugin, "--stats", &demo_guest(), "1"]);
    for kind in ["flip", "detach"] {
        let numbers = assert_row(&outcome.stderr_text(), kind, "0");
        assert_eq!(numbers[0], 1.0, "{kind}: {numbers:?}");
    }
}
