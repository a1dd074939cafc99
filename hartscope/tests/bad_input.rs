//! Input that makes no sense ends in one clear line on standard error and in the exit status that
//! a shell would give: 127 if there is no such program, 126 if it cannot be executed, 2 for a
//! command line that says nothing. A guest that dies of a signal takes hartscope with it.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::HARTSCOPE;
use common::elf::{ElfBuilder, Segment};
use common::process::{self, End, Outcome};

const LIMIT: Duration = Duration::from_secs(10);

fn hartscope(args: &[&str]) -> Outcome {
    process::run(Command::new(HARTSCOPE).args(args), b"", LIMIT)
}

/// Writes `bytes` as an executable file of its own.
fn program(name: &str, bytes: &[u8]) -> PathBuf {
    let path = common::scratch().join(name);
    fs::write(&path, bytes).expect("the scratch directory is writable");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("the file is our own");
    path
}

/// Runs an executable file with these bytes on both back ends.
fn run_bytes(name: &str, bytes: &[u8]) -> Vec<Outcome> {
    let path = program(name, bytes);
    let path = path.to_str().expect("the path is ASCII");
    vec![
        hartscope(&["run", path]),
        hartscope(&["run", "--backend", "interp", path]),
    ]
}

/// Exactly one line that begins with our name and contains each of `words`, and this end.
#[track_caller]
fn assert_refused(outcome: &Outcome, end: End, words: &[&str]) {
    let message = outcome.stderr_text();
    assert_eq!(outcome.end, end, "{message}");
    assert!(message.starts_with("hartscope: "), "{message}");
    assert_eq!(message.matches('\n').count(), 1, "not one line:\n{message}");
    assert!(message.ends_with('\n'), "{message}");
    assert_eq!(outcome.stdout_text(), "");
    for word in words {
        assert!(message.contains(word), "'{word}' is missing in: {message}");
    }
}

#[track_caller]
fn assert_not_executable(name: &str, bytes: &[u8], words: &[&str]) {
    for outcome in run_bytes(name, bytes) {
        let words: Vec<&str> = words.iter().copied().chain([name]).collect();
        assert_refused(&outcome, End::Exited(126), &words);
    }
}

#[test]
fn the_builder_makes_programs_that_run() {
    for outcome in run_bytes("good-elf", &ElfBuilder::exit(7).build()) {
        assert_eq!(outcome.end, End::Exited(7), "{}", outcome.stderr_text());
        assert_eq!(outcome.stderr_text(), "");
    }
}

#[test]
fn no_such_program() {
    let outcome = hartscope(&["run", "/nonexistent/program"]);
    assert_refused(&outcome, End::Exited(127), &["/nonexistent/program"]);
}

#[test]
fn no_permission_to_execute() {
    let path = program("not-executable", &ElfBuilder::exit(0).build());
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("the file is our own");
    let outcome = hartscope(&["run", path.to_str().expect("the path is ASCII")]);
    assert_refused(&outcome, End::Exited(126), &["ermission", "not-executable"]);
}

#[test]
fn a_directory_is_no_program() {
    assert_refused(&hartscope(&["run", "/tmp"]), End::Exited(126), &["/tmp"]);
}

#[test]
fn not_an_elf_file() {
    assert_not_executable("empty", b"", &[]);
    assert_not_executable("short", b"\x7fEL", &[]);
    assert_not_executable(
        "text",
        b"echo this is a script without an interpreter line\n",
        &["ELF"],
    );
    assert_not_executable("noise", &[0xa5; 4096], &["ELF"]);
}

#[test]
fn another_machine() {
    let x86 = ElfBuilder {
        machine: 62,
        ..ElfBuilder::exit(0)
    };
    assert_not_executable("x86-elf", &x86.build(), &["x86"]);
    let unheard_of = ElfBuilder {
        machine: 0xfedc,
        ..ElfBuilder::exit(0)
    };
    assert_not_executable("alien-elf", &unheard_of.build(), &["machine"]);
}

#[test]
fn another_word_size_or_byte_order() {
    let narrow = ElfBuilder {
        class: 1,
        ..ElfBuilder::exit(0)
    };
    assert_not_executable("elf32", &narrow.build(), &["32-bit"]);
    let big = ElfBuilder {
        data: 2,
        ..ElfBuilder::exit(0)
    };
    assert_not_executable("big-endian", &big.build(), &["endian"]);
}

#[test]
fn not_an_executable_kind_of_elf() {
    for (name, kind) in [("relocatable", 1), ("core", 4), ("odd-kind", 99)] {
        assert_not_executable(
            name,
            &ElfBuilder {
                kind,
                ..ElfBuilder::exit(0)
            }
            .build(),
            &[],
        );
    }
}

#[test]
fn truncated_at_every_length() {
    let whole = ElfBuilder::exit(0).build();
    // Headers byte by byte; the segment's contents at a few places.
    for length in (0..=120).chain([whole.len() / 2, whole.len() - 1]) {
        let path = program("truncated", &whole[..length]);
        let outcome = hartscope(&["run", path.to_str().expect("the path is ASCII")]);
        assert_refused(&outcome, End::Exited(126), &["truncated"]);
    }
}

#[test]
fn program_headers_that_make_no_sense() {
    let with = |change: fn(&mut ElfBuilder)| {
        let mut elf = ElfBuilder::exit(0);
        change(&mut elf);
        elf.build()
    };
    assert_not_executable("no-segments", &with(|elf| elf.segments.clear()), &[]);
    assert_not_executable(
        "headers-outside",
        &with(|elf| elf.phoff = Some(1 << 40)),
        &[],
    );
    assert_not_executable(
        "headers-wrap",
        &with(|elf| elf.phoff = Some(u64::MAX - 8)),
        &[],
    );
    assert_not_executable("odd-header-size", &with(|elf| elf.phentsize = 13), &[]);
    assert_not_executable("many-headers", &with(|elf| elf.phnum = Some(0xffff)), &[]);
}

#[test]
fn segments_that_make_no_sense() {
    let with = |change: fn(&mut Segment)| {
        let mut elf = ElfBuilder::exit(0);
        change(&mut elf.segments[0]);
        elf.build()
    };
    assert_not_executable("file-size", &with(|s| s.filesz = Some(1 << 50)), &[]);
    assert_not_executable(
        "file-offset",
        &with(|s| s.offset = Some(u64::MAX - 100)),
        &[],
    );
    assert_not_executable("memory-size", &with(|s| s.memsz = Some(u64::MAX)), &[]);
    assert_not_executable("huge", &with(|s| s.memsz = Some(1 << 45)), &[]);
    assert_not_executable("smaller-in-memory", &with(|s| s.memsz = Some(1)), &[]);
    assert_not_executable("address", &with(|s| s.vaddr = 0xffff_ffff_ffff_f000), &[]);
    assert_not_executable("beyond-user-space", &with(|s| s.vaddr = 1 << 45), &[]);
    assert_not_executable("unaligned", &with(|s| s.vaddr += 1), &[]);
}

#[test]
fn overlapping_segments() {
    let mut elf = ElfBuilder::exit(0);
    let mut second = elf.segments[0].clone();
    second.vaddr += 0x10;
    elf.segments.push(second);
    assert_not_executable("overlapping", &elf.build(), &["overlap"]);
}

#[test]
fn missing_interpreter() {
    let mut elf = ElfBuilder::exit(0);
    elf.interpreter = Some("/lib/no-such-interpreter.so.1");
    for outcome in run_bytes("dynamic", &elf.build()) {
        // A shell says 127 too when the interpreter is what is missing.
        assert!(
            matches!(outcome.end, End::Exited(126 | 127)),
            "{:?}: {}",
            outcome.end,
            outcome.stderr_text()
        );
        assert_refused(&outcome, outcome.end, &["no-such-interpreter.so.1"]);
    }
}

#[test]
fn an_entry_point_outside_dies_by_a_fault() {
    for entry in [0, 0xdead_0000, 1 << 37, u64::MAX - 1] {
        let elf = ElfBuilder {
            entry: Some(entry),
            ..ElfBuilder::exit(0)
        };
        for outcome in run_bytes("wild-entry", &elf.build()) {
            assert_eq!(
                outcome.end,
                End::Signaled(libc::SIGSEGV),
                "{}",
                outcome.stderr_text()
            );
        }
    }
}

#[test]
fn death_by_a_signal_is_said_in_one_line() {
    let guest = common::guest("die");
    let guest = guest.to_str().expect("the path is ASCII");
    let deaths = [
        ("null-read", libc::SIGSEGV, "SIGSEGV"),
        ("null-write", libc::SIGSEGV, "SIGSEGV"),
        ("wild-jump", libc::SIGSEGV, "SIGSEGV"),
        ("stack-overflow", libc::SIGSEGV, "SIGSEGV"),
        ("illegal", libc::SIGILL, "SIGILL"),
        ("abort", libc::SIGABRT, "SIGABRT"),
    ];
    for (how, signal, name) in deaths {
        for backend in ["x86-64", "interp"] {
            let outcome = hartscope(&["run", "--backend", backend, guest, how]);
            let message = outcome.stderr_text();
            assert_eq!(outcome.end, End::Signaled(signal), "{how}: {message}");
            assert_eq!(
                message.matches('\n').count(),
                1,
                "{how}: not one line:\n{message}"
            );
            assert!(
                message.starts_with("hartscope: ") && message.contains(name),
                "{message}"
            );
        }
    }
}

#[test]
fn command_lines_that_say_nothing() {
    let lines: &[(&[&str], &str)] = &[
        (&[], "no command"),
        (&["frobnicate"], "frobnicate"),
        (&["run"], "no program"),
        (&["run", "--frobnicate", "program"], "--frobnicate"),
        (&["run", "--plugin"], "--plugin"),
        (&["run", "--backend", "z80", "program"], "z80"),
        (&["run", "--tb-size", "0", "program"], "--tb-size"),
        (&["run", "-d", "everything", "program"], "everything"),
        (&["demo", "--smp", "0"], "--smp 0"),
        (&["demo", "--smp", "65"], "--smp 65"),
        (&["boot", "-M", "virt", "-smp", "2"], "--kernel FILE"),
    ];
    for (line, word) in lines {
        assert_refused(&hartscope(line), End::Exited(2), &[word]);
    }
}

#[test]
fn a_log_file_that_cannot_be_written() {
    let guest = program("log-target", &ElfBuilder::exit(0).build());
    let guest = guest.to_str().expect("the path is ASCII");
    let outcome = hartscope(&["run", "-strace", "-D", "/nonexistent/log", guest]);
    assert_refused(&outcome, End::Exited(1), &["/nonexistent/log"]);
}

#[test]
fn help_and_version_are_no_errors() {
    for line in [
        &["--help"][..],
        &["--version"],
        &["run", "--help"],
        &["demo", "-help"],
    ] {
        let outcome = hartscope(line);
        assert_eq!(
            (outcome.end, outcome.stderr_text().as_str()),
            (End::Exited(0), "")
        );
        assert!(outcome.stdout_text().contains("hartscope"));
    }
}
