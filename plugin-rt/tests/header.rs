//! The header says what the interface is, for each version, as C and as C++.
//!
//! What it must say is in `c/header.c`; the compiler does the comparing.

#![cfg(not(hartscope_loom))]

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

const VERSIONS: std::ops::RangeInclusive<i32> = 2..=7;
const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
const CHECKS: &str = include_str!("c/header.c");

const C: &[&str] = &["gcc", "-std=c11", "-x", "c"];
const STRICT_C: &[&str] = &[
    "gcc",
    "-std=c11",
    "-x",
    "c",
    "-Wpedantic",
    "-Wstrict-prototypes",
];
const CPP: &[&str] = &["g++", "-std=c++17", "-x", "c++"];

/// Compiles `source` and throws the result away; what the compiler complains about is the error.
fn compile(compiler: &[&str], version: Option<i32>, source: &str) -> Result<(), String> {
    let mut command = Command::new(compiler[0]);
    command
        .args(&compiler[1..])
        .args(["-Wall", "-Wextra", "-Werror", "-I", INCLUDE])
        .args(["-c", "-o", "/dev/null"]);
    if let Some(version) = version {
        command.arg(format!("-DQEMU_PLUGIN_API_VERSION={version}"));
    }
    let mut compiler = command
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("run {command:?}: {error}"));
    let mut input = compiler.stdin.take().expect("it is piped");
    input
        .write_all(source.as_bytes())
        .expect("hand the source over");
    drop(input);
    let output = compiler.wait_with_output().expect("wait for the compiler");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn compile_every_version(compiler: &[&str], source: &str) {
    for version in VERSIONS {
        compile(compiler, Some(version), source)
            .unwrap_or_else(|errors| panic!("version {version}:\n{errors}"));
    }
}

#[test]
fn every_version_is_as_described_in_c() {
    compile_every_version(C, CHECKS);
}

#[test]
fn every_version_is_as_described_in_cpp() {
    compile_every_version(CPP, CHECKS);
}

/// What the checks are worth: with one wrong number they fail.
#[test]
fn the_checks_find_a_difference() {
    for (right, wrong) in [
        ("QEMU_PLUGIN_COND_GE == 7", "QEMU_PLUGIN_COND_GE == 6"),
        ("(V < 6 ? 24 : 32)", "(V < 7 ? 24 : 32)"),
        (
            "qemu_plugin_tb_get_insn, const tb *, size_t",
            "qemu_plugin_tb_get_insn, const tb *, int",
        ),
        (
            "NOT_DECLARED(qemu_plugin_n_vcpus)",
            "NOT_DECLARED(qemu_plugin_num_vcpus)",
        ),
    ] {
        let checks = CHECKS.replace(right, wrong);
        assert_ne!(checks, CHECKS);
        compile(C, Some(6), &checks).expect_err(wrong);
        compile(CPP, Some(6), &checks).expect_err(wrong);
    }
}

#[test]
fn the_newest_version_is_the_default() {
    compile(C, None, CHECKS).expect("version 7");
    let source =
        "#include <qemu-plugin.h>\n_Static_assert(QEMU_PLUGIN_VERSION == 7, \"newest\");\n";
    compile(C, None, source).expect("version 7 without asking");
}

#[test]
fn versions_outside_the_window_are_refused() {
    for version in [0, 1, 8] {
        let errors = compile(C, Some(version), CHECKS).expect_err("no such version");
        assert!(errors.contains("declares versions 2 to 7"), "{errors}");
    }
}

#[test]
fn the_header_is_strict_c_and_may_be_included_twice() {
    let source = "#include <qemu-plugin.h>\n#include <qemu-plugin.h>\nint unit;\n";
    compile_every_version(STRICT_C, source);
}

/// The functions that a header declares, by the beginning of their names.
fn declared(header: &str, prefix: &str, version: i32) -> BTreeSet<String> {
    let output = Command::new("gcc")
        .args(["-E", "-P", &format!("-DQEMU_PLUGIN_API_VERSION={version}")])
        .arg(format!("{INCLUDE}/{header}"))
        .output()
        .expect("run gcc");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("a header is text");
    let before_parentheses = text.split('(').filter_map(|text| {
        let name = text
            .rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .next()?;
        name.starts_with(prefix).then(|| name.to_owned())
    });
    before_parentheses.collect()
}

/// The functions that the runtime exports to plugins of a version.
fn exported(prefix: &str, version: i32) -> BTreeSet<String> {
    plugin_rt::abi::exports()
        .filter(|export| export.name.starts_with(prefix) && export.since <= version)
        .map(|export| export.name.to_owned())
        .collect()
}

#[test]
fn the_header_declares_what_the_runtime_exports() {
    assert_eq!(exported("qemu_plugin_", 7).len(), 65);
    for version in VERSIONS {
        let mut declared = declared("qemu-plugin.h", "qemu_plugin_", version);
        // The plugin's own.
        assert!(declared.remove("qemu_plugin_install"));
        assert_eq!(declared, exported("qemu_plugin_", version), "{version}");
    }
}

#[test]
fn so_does_the_header_of_the_older_interface() {
    let names = exported("qemulib_", 7);
    assert_eq!(names.len(), 4);
    assert_eq!(declared("qemulib.h", "qemulib_", 7), names);
    let source = "#include <qemulib.h>\n#include <qemulib.h>\nextern int unit;\n";
    for compiler in [STRICT_C, CPP] {
        compile(compiler, None, source).expect("it is both C and C++");
    }
}
