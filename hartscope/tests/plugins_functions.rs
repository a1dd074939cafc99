//! Each function of the interface, by what it does: see docs/plugin-functions.md.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::plugins::{BACKENDS, Run, VERSIONS, address, bare_guest, function, guest, plugin};
use common::process;
use common::{QEMU, repository};

/// The disassembly of QEMU, by address.
fn in_asm(program: &Path) -> BTreeMap<u64, String> {
    let mut command = Command::new(QEMU);
    command.env_clear().args(["-d", "in_asm"]).arg(program);
    let text = process::run(&mut command, b"", Duration::from_secs(60)).stderr_text();
    let line = |line: &str| {
        let (addr, rest) = line.strip_prefix("0x")?.split_once(':')?;
        let rest = rest.trim_start();
        let text = rest.split_once(' ')?.1.trim_start();
        Some((u64::from_str_radix(addr, 16).ok()?, text.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn instructions_are_described() {
    let program = bare_guest("memory");
    let code = std::fs::read(&program).expect("it has been built");
    let start = function(&program, "_start");
    // The file begins where its segment does.
    let base = start.start & !0xfff;
    let expected = in_asm(&program);
    for version in VERSIONS {
        let log = Run::new(&program)
            .plugin(&plugin("insns", version), "")
            .expect(0)
            .log;
        let mut seen = 0;
        for line in log.lines() {
            let (left, text) = line.split_once('|').unwrap_or_else(|| panic!("{line}"));
            let words: Vec<&str> = left.split(' ').collect();
            let ["insn", addr, size, bytes, "same", "_start"] = words[..] else {
                panic!("{line}");
            };
            let addr = u64::from_str_radix(addr, 16).expect(line);
            let size: usize = size.parse().expect(line);
            let at = (addr - base) as usize;
            let shown: String = code[at..at + size]
                .iter()
                .rev()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(bytes, shown, "{line}");
            assert_eq!(text.trim_end(), expected[&addr].trim_end(), "{line}");
            seen += 1;
        }
        assert!(seen > 40, "{log}");
    }
}

#[test]
fn functions_have_names_of_their_own() {
    let program = guest("ends");
    let main = function(&program, "main");
    let arguments = format!("start={:#x},end={:#x}", main.start, main.end);
    let log = Run::new(&program)
        .plugin(&plugin("insns", 7), &arguments)
        .expect(6)
        .log;
    assert!(
        !log.is_empty() && log.lines().all(|line| line.contains(" same main|")),
        "{log}"
    );
}

#[test]
fn accesses_are_described() {
    let program = bare_guest("memory");
    let bytes = address(&program, "bytes");
    let at = |offset: u64| format!("{:x}", bytes + offset);
    // Where, what and which value; the code says why.
    let expected = [
        (0, "store 8 =64:fffffffffffffffe"),
        (0, "load 1 signed =8:fe"),
        (1, "load 1 =8:ff"),
        (2, "load 2 signed =16:ffff"),
        (4, "load 2 =16:ffff"),
        (0, "load 4 signed =32:fffffffe"),
        (4, "load 4 =32:ffffffff"),
        (0, "load 8 =64:fffffffffffffffe"),
        (8, "store 1 =8:fe"),
        (10, "store 2 =16:fffe"),
        (12, "store 4 =32:fffffffe"),
        (16, "store 8 =64:c000000000000000"),
        (16, "load 8 =64:c000000000000000"),
        (24, "store 4 =32:c0000000"),
        (24, "load 4 =32:c0000000"),
        (32, "load 8 =64:0"),
        (32, "load 8 =64:0"),
        (32, "store 8 =64:5"),
        (32, "load 8 =64:5"),
        (32, "store 8 =64:a"),
        (32, "load 4 =32:a"),
        (32, "store 4 =32:5"),
        (32, "load 8 =64:5"),
        (32, "store 8 =64:5"),
        (4092, "store 8 =64:5"),
        (4092, "load 8 =64:5"),
        (4094, "store 4 =32:5"),
        (4094, "load 4 =32:5"),
        (40, "load 8 =64:0"),
        (40, "store 8 =64:3"),
    ];
    for backend in BACKENDS {
        for version in VERSIONS {
            let run = Run::new(&program).backend(backend);
            let log = run.plugin(&plugin("accesses", version), "").expect(0).log;
            for (line, (offset, what)) in log.lines().zip(expected) {
                let what = match version {
                    2 | 3 => what.split(" =").next().unwrap_or_default(),
                    _ => what,
                };
                // Where sign and zero extension are the same thing, either will do.
                let plain = |text: &str| match text.contains(" 8 ") || text.contains(" 4 ") {
                    true => text.replace(" signed", ""),
                    false => text.to_owned(),
                };
                let (_pc, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{line}"));
                let wanted = format!("{} {what} none 0 0 Invalid", at(offset));
                let signed = what.contains("4 signed");
                let (rest, wanted) = match signed {
                    true => (rest.to_owned(), wanted),
                    false => (plain(rest), plain(&wanted)),
                };
                assert_eq!(rest, wanted, "v{version} {backend}\n{log}");
            }
            assert_eq!(log.lines().count(), 26 + 22, "{log}");
        }
        let only = |rw: u32| {
            let arguments = format!("rw={rw}");
            let run = Run::new(&program).backend(backend);
            let log = run.plugin(&plugin("accesses", 7), &arguments).expect(0).log;
            (
                log.matches(" load ").count(),
                log.matches(" store ").count(),
            )
        };
        assert_eq!((only(1), only(2)), ((26, 0), (0, 22)));
    }
}

/// The log of `registers.c` before `point` of its guest, and the status that the guest exits with.
fn at_point(version: u32, backend: &str, arguments: &str, status: i32) -> (String, String) {
    let program = bare_guest("registers");
    let arguments = format!("at={:#x},{arguments}", address(&program, "point"));
    let run = Run::new(&program).backend(backend);
    let watched = run
        .plugin(&plugin("registers", version), &arguments)
        .expect(status);
    (watched.log, watched.outcome.stdout_text())
}

#[test]
fn registers_are_read() {
    let names = "read=a0,read=a1,read=fp,read=fa0,read=fcsr,read=frm,read=zero,read=pc,read=priv";
    let program = bare_guest("registers");
    let pc = address(&program, "point");
    for backend in BACKENDS {
        for version in VERSIONS {
            let (log, _) = at_point(version, backend, names, 11);
            let done = if version < 6 { 8 } else { 1 };
            let expected = [
                ("a0", 11),
                ("a1", 0x1234_5678_9abc_def0),
                ("fp", u64::MAX),
                ("fa0", 3.0_f64.to_bits()),
                ("fcsr", 0x41),
                ("frm", 2),
                ("zero", 0),
                ("pc", pc),
                ("priv", 0),
            ]
            .map(|(name, value)| format!("read {name}: {done} = {value:#018x}\n"))
            .concat();
            assert_eq!(log, expected, "v{version} {backend}");
        }
    }
}

#[test]
fn registers_are_written() {
    for backend in BACKENDS {
        for version in 5..=7 {
            let arguments = "write=a0:40,write=zero:9,read=a0,read=zero";
            let (log, _) = at_point(version, backend, arguments, 40);
            let (done, empty) = if version < 6 { (8, -1) } else { (1, 0) };
            assert_eq!(
                log,
                format!(
                    "write a0: {done}, of nothing: {empty}\n\
                     write zero: {done}, of nothing: {empty}\n\
                     read a0: {done} = 0x0000000000000028\n\
                     read zero: {done} = 0x0000000000000000\n"
                ),
                "v{version} {backend}"
            );
        }
    }
}

#[test]
fn rights_are_those_of_the_registration() {
    for backend in BACKENDS {
        let with = |version, flags| {
            let arguments = format!("flags={flags},read=a0,write=a0:40");
            let status = if flags < 2 { 11 } else { 40 };
            at_point(version, backend, &arguments, status).0
        };
        let (full, value) = ("write a0: 8, of nothing: -1\n", "0x000000000000000b");
        assert_eq!(with(5, 0), "read a0: -1\nwrite a0: -1, of nothing: -1\n");
        assert_eq!(
            with(5, 1),
            format!("read a0: 8 = {value}\nwrite a0: -1, of nothing: -1\n")
        );
        assert_eq!(with(5, 2), format!("read a0: 8 = {value}\n{full}"));
        assert_eq!(with(7, 0), "read a0: 0\nwrite a0: 0, of nothing: 0\n");
        assert_eq!(
            with(7, 1),
            format!("read a0: 1 = {value}\nwrite a0: 0, of nothing: 0\n")
        );
        for flags in [2, 3] {
            assert_eq!(
                with(7, flags),
                format!("read a0: 1 = {value}\nwrite a0: 1, of nothing: 0\n")
            );
        }
        // What plugins could do before rights were looked at, they still can.
        let (log, _) = at_point(4, backend, "flags=0,read=a0", 11);
        assert_eq!(log, format!("read a0: 8 = {value}\n"));
    }
}

/// What a callback writes counts for the very instruction that it is called before.
#[test]
fn a_rounding_mode_is_obeyed_at_once() {
    let program = bare_guest("rounding");
    for backend in BACKENDS {
        for version in 5..=7 {
            for (write, status) in [("frm:0x3", 47), ("fcsr:0x60", 47), ("frm:0x0", 34)] {
                let point = address(&program, "point");
                let arguments = format!("at={point:#x},flags=2,write={write}");
                let run = Run::new(&program).backend(backend);
                run.plugin(&plugin("registers", version), &arguments)
                    .expect(status);
            }
        }
    }
}

#[test]
fn registers_are_listed() {
    for version in VERSIONS {
        let (log, _) = at_point(version, "x86-64", "list=on", 11);
        let rows: Vec<Vec<&str>> = log.lines().map(|line| line.split(' ').collect()).collect();
        let of = |group: &str| {
            let feature = format!("org.gnu.gdb.riscv.{group}");
            let rows = rows.iter().filter(|row| row[0] == feature);
            rows.map(|row| row[1]).collect::<Vec<_>>()
        };
        assert_eq!((of("cpu").len(), of("fpu").len()), (33, 32), "{log}");
        assert_eq!((of("cpu")[8], of("cpu")[32]), ("fp", "pc"), "{log}");
        assert_eq!(of("virtual"), ["priv"], "{log}");
        for name in ["fflags", "frm", "fcsr", "cycle", "time", "instret"] {
            assert!(of("csr").contains(&name), "{log}");
        }
        let done = if version < 6 { "8" } else { "1" };
        assert!(rows.iter().all(|row| row[2..4] == [done, "8"]), "{log}");
        let read_only: Vec<&str> = rows
            .iter()
            .filter(|row| row.last() == Some(&"read-only"))
            .map(|row| row[1])
            .collect();
        let expected: &[&str] = if version < 6 { &[] } else { &["pc"] };
        assert_eq!(read_only, expected, "{log}");
    }
}

#[test]
fn memory_is_read_whatever_its_protection() {
    let program = bare_guest("registers");
    let text = address(&program, "text");
    for version in 4..=7 {
        let arguments = format!(
            "peek={text:#x}:6,peek={text:#x}:0,peek=0:1,peek={:#x}:64",
            u64::MAX
        );
        let (log, _) = at_point(version, "x86-64", &arguments, 11);
        assert_eq!(
            log,
            format!(
                "peek {text:x}: 1 68 65 6c 6c 6f 0a\npeek {text:x}: 0\npeek 0: 0\n\
                 peek ffffffffffffffff: 0\n"
            )
        );
    }
}

#[test]
fn memory_is_written_and_changed_code_is_translated_again() {
    let program = bare_guest("registers");
    let (text, code) = (address(&program, "text"), address(&program, "changed"));
    for backend in BACKENDS {
        for version in 5..=7 {
            // li a2, 5
            let arguments = format!("poke={text:#x}:0x48,code={code:#x}:0x00500613,poke=0:1");
            let (log, printed) = at_point(version, backend, &arguments, 16);
            assert_eq!(printed, "Hello\n");
            assert_eq!(
                log,
                format!("poke {text:x}: 1\npoke {code:x}: 1\npoke 0: 0\n")
            );
        }
    }
}

#[test]
fn a_program_has_no_physical_memory() {
    for version in 5..=7 {
        let (log, _) = at_point(version, "x86-64", "physical=on", 11);
        assert_eq!(log, "physical: read 1, write 1, translate 0\n");
    }
}

#[test]
fn the_program_and_the_emulator_are_described() {
    let program = bare_guest("registers");
    let start = function(&program, "_start");
    let path = program.canonicalize().expect("it has been built");
    for version in VERSIONS {
        let log = Run::new(&program)
            .plugin(&plugin("program", version), "a=1,b")
            .run()
            .log;
        let time = if version < 3 {
            ""
        } else {
            "time control none\n"
        };
        let base = start.start & !0xfff;
        let found: BTreeMap<&str, &str> = log
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect();
        let number = |name: &str| u64::from_str_radix(found[name], 16).expect(&log);
        assert!(
            log.starts_with(
                "riscv64, versions 2 to 7, user, 0 and 0 processors\n\
                 id there, 2 arguments\nargument a=1\nargument b=on\nvcpus 0\n"
            ),
            "{log}"
        );
        assert!(
            log.contains(
                "on: true\nyes: true\ntrue: true\ny: true\noff: false\nno: false\n\
                 false: false\nn: false\n1: no\nOn: no\n: no\nNULL: no\n"
            ),
            "{log}"
        );
        assert_eq!(Path::new(found["path"]), path, "{log}");
        assert_eq!(
            (number("start"), number("entry")),
            (base, start.start),
            "{log}"
        );
        assert!(
            (start.end..start.end + 64).contains(&number("end")),
            "{log}"
        );
        assert!(log.ends_with(&format!("vcpus 1\n{time}")), "{log}");
    }
}

#[test]
fn scoreboard_entries_are_read_and_written() {
    let program = guest("threads");
    for version in VERSIONS {
        for threads in [1, 40] {
            let run = Run::new(&program).arg(threads);
            let log = run.plugin(&plugin("boards", version), "").expect(0).log;
            let rest = log
                .strip_suffix('\n')
                .and_then(|log| log.split_once(" vcpus: "));
            let Some((vcpus, rest)) = rest else {
                panic!("{log}");
            };
            let vcpus: u64 = vcpus.parse().unwrap_or_else(|_| panic!("{log}"));
            assert!((1..=threads).contains(&vcpus), "{log}");
            assert_eq!(rest, format!("sum is right, {}", 2 * vcpus), "{log}");
        }
    }
}

#[test]
fn every_function_is_in_the_table_with_a_test_that_exists() {
    let table = std::fs::read_to_string(repository().join("docs/plugin-functions.md"))
        .expect("the table is there");
    let tests: String = std::fs::read_dir(repository().join("hartscope/tests"))
        .expect("the tests are there")
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
        .collect();
    let mut rows = BTreeMap::new();
    for line in table.lines().filter(|line| line.starts_with("| `q")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        for test in cells[3].split(", ") {
            let test = test.trim_matches('`');
            assert!(
                tests.contains(&format!("fn {test}(")),
                "no test {test} for {name}"
            );
        }
        assert!(rows.insert(name, cells[2]).is_none(), "{name} twice");
    }
    let exported: Vec<&str> = plugin_rt::abi::exports()
        .map(|export| export.name)
        .collect();
    let listed: Vec<&str> = rows.keys().copied().collect();
    let mut sorted = exported.clone();
    sorted.sort_unstable();
    assert_eq!(listed, sorted);
}
