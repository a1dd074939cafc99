//! What plugins are told of a whole machine.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::plugins::{BACKENDS, address, machine_guest, plugin};
use common::process::{self, End};
use common::{HARTSCOPE, scratch};

/// What a plugin logs while the machine runs, which must end with 7.
fn watch(program: &Path, backend: &str, plugin: &Path, arguments: &str) -> String {
    let stem = plugin.file_stem().expect("a name").to_string_lossy();
    let log = scratch().join(format!("machine-{stem}-{backend}-{}", std::process::id()));
    let mut command = Command::new(HARTSCOPE);
    command
        .args(["boot", "--bios", "none", "--serial", "null", "-m", "16M"])
        .args(["--backend", backend, "--kernel"])
        .arg(program)
        .arg("--plugin")
        .arg(format!("{}{arguments}", plugin.display()))
        .args(["-d", "plugin", "-D"])
        .arg(&log);
    let outcome = process::run(&mut command, b"", Duration::from_secs(60));
    let text = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(&log);
    let stderr = outcome.stderr_text();
    assert_eq!((outcome.end, &*stderr), (End::Exited(7), ""), "{text}");
    text
}

#[test]
fn a_machine_shows_its_hardware() {
    let program = machine_guest("hart");
    let at = |name: &str| address(&program, name);
    let word = at("word");
    let alias = word - 0x4000_0000;
    for backend in BACKENDS {
        let poke = format!(",poke={word:x}");
        let log = watch(&program, backend, &plugin("hardware", 7), &poke);
        let expected = format!(
            "machine: 1, harts: 1 of 1\n\
             0 load {alias:x} is memory RAM {word:x}\n\
             physical read: 0, 34\n\
             physical write: 0\n\
             virtual read: 1, cb\n\
             of nothing: 4\n\
             0 store 10000000 is device serial 10000000\n\
             0 store 2004000 is device clint 2004000\n\
             0 store 100000 is device test 100000\n"
        );
        assert_eq!(log, expected, "{backend}");
    }
}

#[test]
fn a_hart_tells_of_traps_and_of_having_nothing_to_do() {
    let program = machine_guest("hart");
    let at = |name: &str| address(&program, name);
    for backend in BACKENDS {
        let log = watch(&program, backend, &plugin("events", 7), "");
        let (call, handler, after) = (at("call"), at("handler"), at("after"));
        let expected = format!(
            "0 discontinuity 2 from {call:x} to {handler:x} at {handler:x}\n\
             0 idle\n\
             0 resume\n\
             0 discontinuity 1 from {after:x} to {handler:x} at {handler:x}\n\
             end, with its userdata, 1 vcpus\n"
        );
        let (first, rest) = log.split_once('\n').expect("lines");
        assert!(first.starts_with("0 init at "), "{backend}: {log}");
        assert_eq!(rest, expected, "{backend}");
    }
}
