//! The plugins of `plugins/`, built from source and run by hartscope: they agree with each other, with
//! QEMU where it can count, and with what is known of the guests.
//!
//! `HARTSCOPE=PATH` takes that program instead of building one.

mod run;

use std::collections::BTreeMap;

use run::{Run, example, guest, instructions_by_qemu, plugin, rust_plugin, scratch};

/// The number behind a text in the log.
fn number(log: &str, before: &str) -> u64 {
    let at = log
        .find(before)
        .unwrap_or_else(|| panic!("no {before:?} in:\n{log}"));
    let digits = &log[at + before.len()..];
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end]
        .parse()
        .unwrap_or_else(|_| panic!("no number behind {before:?} in:\n{log}"))
}

/// The sum of what a function finds in lines.
fn sum(log: &str, f: impl Fn(&str) -> Option<u64>) -> u64 {
    log.lines().filter_map(f).sum()
}

fn run_with(guest_name: &str, plugins: &[String]) -> String {
    Run::of(&guest(guest_name)).plugins(plugins).log()
}

fn spec(name: &str, args: &str) -> String {
    let separator = if args.is_empty() { "" } else { "," };
    format!("{}{separator}{args}", plugin(name, 7).display())
}

/// Lines of `howvec`: `… (N hits)…`.
fn hits(line: &str) -> Option<u64> {
    let (before, _) = line.split_once(" hits)")?;
    before.rsplit_once('(')?.1.parse().ok()
}

/// Lines of `hotblocks`: instructions times executions.
fn weighted(line: &str) -> Option<u64> {
    let fields: Vec<u64> = line
        .strip_prefix("0x")?
        .split(", ")
        .skip(1)
        .map_while(|field| field.parse().ok())
        .collect();
    (fields.len() == 3).then(|| fields[1] * fields[2])
}

#[test]
fn instructions_are_counted_alike_and_as_by_qemu() {
    let expected = instructions_by_qemu(&guest("work"));
    for args in ["", "inline=on", "sizes=on", "sizes=on,inline=on"] {
        let log = run_with("work", &[spec("insn", args)]);
        assert_eq!(number(&log, "total insns: "), expected, "insn,{args}");
        if args.contains("sizes") {
            let by_size = number(&log, "len 2 bytes: ") + number(&log, "len 4 bytes: ");
            assert_eq!(by_size, expected);
        }
    }
    for args in ["", "inline=on"] {
        let log = run_with("work", &[spec("bb", args)]);
        assert_eq!(number(&log, "insns: "), expected, "bb,{args}");
        let log = run_with(
            "work",
            &[spec("hotblocks", &format!("limit=100000,{args}"))],
        );
        assert_eq!(sum(&log, weighted), expected, "hotblocks,{args}");
        let log = run_with("work", &[spec("howvec", args)]);
        assert_eq!(sum(&log, hits), expected, "howvec,{args}:\n{log}");
        let log = run_with(
            "work",
            &[spec(
                "howvec",
                &format!("count=individual,verbose=on,{args}"),
            )],
        );
        assert_eq!(sum(&log, hits), expected, "howvec,count=individual,{args}");
    }
    for by in ["mnemonic", "function"] {
        let log = run_with(
            "work",
            &[format!(
                "{},by={by},limit=10000",
                rust_plugin("mix").display()
            )],
        );
        assert_eq!(number(&log, "total insns: "), expected, "mix,by={by}");
    }
    let log = run_with("work", &[spec("execlog", "")]);
    assert_eq!(log.lines().count() as u64, expected);
    let log = run_with("work", &[spec("insn", "trace=on")]);
    assert_eq!(
        log.lines().filter(|line| line.starts_with("0, 0x")).count() as u64,
        expected
    );
}

#[test]
fn all_versions_count_alike_in_one_process() {
    let expected = instructions_by_qemu(&guest("work"));
    let plugins: Vec<_> = (2..=7)
        .flat_map(|version| {
            let path = |name| plugin(name, version).display().to_string();
            [path("insn"), path("bb"), path("howvec")]
        })
        .collect();
    let log = run_with("work", &plugins);
    let totals: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with("total insns: "))
        .collect();
    assert_eq!(totals, vec![format!("total insns: {expected}"); 6], "{log}");
    let totals: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with("Total: bb's"))
        .collect();
    assert_eq!(totals.len(), 6);
    assert!(
        totals
            .iter()
            .all(|total| number(total, "insns: ") == expected),
        "{log}"
    );
    assert_eq!(sum(&log, hits), 6 * expected);
}

#[test]
fn threads_are_counted_alike() {
    // One run: what threads execute differs between runs.
    let log = run_with(
        "threads",
        &[
            spec("insn", ""),
            format!("{},inline=on", plugin("insn", 6).display()),
            spec("bb", "inline=on"),
            format!("{}", plugin("bb", 5).display()),
            spec("howvec", "inline=on"),
            spec("mem", "inline=on"),
            format!("{},callback=on", plugin("mem", 6).display()),
            format!("{},limit=1000000", rust_plugin("hotpages").display()),
            format!("{}", rust_plugin("mix").display()),
            spec("cache", ""),
        ],
    );
    let totals: Vec<u64> = log
        .lines()
        .filter_map(|line| line.strip_prefix("total insns: ")?.parse().ok())
        .chain(
            log.lines()
                .filter(|line| line.starts_with("Total: bb's"))
                .map(|line| number(line, "insns: ")),
        )
        .collect();
    assert_eq!(totals.len(), 5, "{log}");
    assert!(totals.iter().all(|total| *total == totals[0]), "{totals:?}");
    assert_eq!(sum(&log, hits), totals[0]);

    let accesses: Vec<u64> = log
        .lines()
        .filter_map(|line| line.strip_prefix("mem accesses: ")?.parse().ok())
        .collect();
    assert_eq!(accesses.len(), 2);
    assert_eq!(accesses[0], accesses[1]);
    assert_eq!(sum(&log, page_accesses), accesses[0]);
    // The cache model has seen each of them.
    let total = log
        .lines()
        .find(|line| line.starts_with("sum"))
        .expect("several cores");
    let columns: Vec<&str> = total.split_whitespace().collect();
    assert_eq!(columns[1].parse(), Ok(accesses[0]), "{total}");
    assert_eq!(columns[4].parse(), Ok(totals[0]), "{total}");
    // Several vCPUs at a time, whose numbers are used again.
    assert!(
        log.contains("cpu 6 insns: ") && !log.contains("cpu 18 insns: "),
        "{log}"
    );
}

/// Lines of `hotpages`: reads and writes.
fn page_accesses(line: &str) -> Option<u64> {
    let fields: Vec<&str> = line.strip_prefix("0x")?.split(", ").collect();
    match fields[..] {
        [_, _, reads, _, writes] => Some(reads.parse::<u64>().ok()? + writes.parse::<u64>().ok()?),
        _ => None,
    }
}

#[test]
fn memory_accesses_are_counted_alike() {
    let count = |args| number(&run_with("work", &[spec("mem", args)]), "mem accesses: ");
    let all = count("inline=on");
    assert_eq!(count("callback=on"), all);
    assert_eq!(count("haddr=on"), all);
    assert_eq!(count(""), all);
    let (reads, writes) = (count("callback=on,track=r"), count("inline=on,track=w"));
    assert_eq!(reads + writes, all);
    // `strided` loads 8 times 1024 numbers.
    assert!(reads > 8 * 1024);

    let printed = run_with("work", &[spec("mem", "print-accesses=on")]);
    let printed = |what: &str| printed.lines().filter(|line| line.contains(what)).count() as u64;
    assert_eq!((printed(",load,0x"), printed(",store,0x")), (reads, writes));

    let log = run_with("work", &[spec("execlog", "")]);
    assert_eq!(log.matches(", load, 0x").count() as u64, reads);
    assert_eq!(log.matches(", store, 0x").count() as u64, writes);

    let log = run_with(
        "work",
        &[format!(
            "{},limit=1000000",
            rust_plugin("hotpages").display()
        )],
    );
    assert_eq!(sum(&log, page_accesses), all, "{log}");
}

#[test]
fn execlog_shows_what_registers_become() {
    let log = run_with(
        "work",
        &[spec("execlog", "afilter=0,ifilter=bnez,reg=t0,rdisas=on")],
    );
    assert!(log.lines().all(|line| line.contains("\"bnez")), "{log}");
    // The loop counts t0 down; what changes between two branches is seen at the second.
    let log = run_with("work", &[spec("execlog", "reg=t0")]);
    for left in [999, 998, 2, 1, 0] {
        assert!(
            log.contains(&format!("t0,t0,-1\", t0 -> 0x{left:016x}\n")),
            "{left}"
        );
    }
    let log = run_with("work", &[spec("execlog", "reg=fa*,rdisas=on")]);
    let changes: Vec<&str> = log.lines().filter(|line| line.contains(" -> 0x")).collect();
    assert!(changes.len() > 100, "{log}");
    assert!(changes.iter().all(|line| line.contains(", fa")));
}

/// General and floating-point registers, by name.
type Registers = BTreeMap<String, u64>;

/// Line by line: the registers before each instruction of a range, as QEMU has them.
fn registers_by_qemu(
    program: &std::path::Path,
    range: &std::ops::Range<u64>,
) -> Vec<(u64, Registers)> {
    let filter = format!("{:#x}..{:#x}", range.start, range.end - 1);
    let args = [
        "-one-insn-per-tb",
        "-d",
        "cpu,fpu,exec,nochain",
        "-dfilter",
        &filter,
    ];
    let mut all: Vec<(u64, Registers)> = Vec::new();
    for line in run::by_qemu(program, &args).lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let value = |text: &str| u64::from_str_radix(text, 16).expect("a register's value");
        match words[..] {
            ["pc", pc] => all.push((value(pc), Registers::new())),
            // Pairs of "x10/a0" and a value.
            [first, ..] if first.contains('/') && line.starts_with(' ') => {
                let (_, registers) = all.last_mut().expect("pc comes first");
                for pair in words.chunks(2) {
                    let (_, name) = pair[0].split_once('/').expect("a name");
                    registers.insert(name.to_owned(), value(pair[1]));
                }
            }
            _ => (),
        }
    }
    all
}

#[test]
fn registers_are_those_of_qemu_at_each_instruction() {
    let program = guest("work");
    let main = run::symbols(&program)["main"];
    // The loops that call, and the one that divides.
    let range = main..main + 0x50;
    let expected = registers_by_qemu(&program, &range);
    assert!(expected.len() > 500);

    let log = run_with("work", &[spec("execlog", "reg=*")]);
    let mut now: Registers = expected[0].1.keys().map(|name| (name.clone(), 0)).collect();
    let mut expected = expected.iter();
    for line in log.lines().filter(|line| line.starts_with("0, 0x")) {
        let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("hex");
        let pc = hex(line.split(", ").nth(1).expect("an address"));
        if range.contains(&pc) {
            let (expected_pc, registers) = expected.next().expect("as many instructions");
            assert_eq!(pc, *expected_pc);
            for (name, &value) in registers {
                // Stacks are elsewhere.
                let is_stack = value >> 40 == 0x7f || name == "sp";
                assert!(
                    is_stack || now[name] == value,
                    "{name} is not {value:#x}: {line}"
                );
            }
        }
        for change in line.split(", ").filter_map(|part| part.split_once(" -> ")) {
            let name = if change.0 == "fp" { "s0" } else { change.0 };
            if let Some(value) = now.get_mut(name) {
                *value = hex(change.1);
            }
        }
    }
    assert!(expected.next().is_none(), "as many instructions");
}

#[test]
fn control_flow_is_told_as_it_is() {
    let log = run_with("work", &[spec("cflow", "sort=hottest,limit=1000000")]);
    let place = log
        .split("addr: ")
        .find(|place| place.contains(" looped: ") && place.contains("(branch)"))
        .unwrap_or_else(|| panic!("{log}"));
    assert_eq!(number(place, "executed: "), 1000, "{place}");
    assert_eq!(number(place, "branches: "), 999, "{place}");
    assert!(
        place.contains("(999)") && !place.contains("early"),
        "{place}"
    );

    let log = run_with("faults", &[spec("cflow", "sort=early,limit=1000000")]);
    let place = log
        .split("addr: ")
        .find(|place| place.contains(" faulting: "));
    let place = place.unwrap_or_else(|| panic!("{log}"));
    assert_eq!(number(place, "early exits: "), 10, "{place}");
    assert_eq!(number(place, "executed: "), 0, "{place}");
}

#[test]
fn the_cache_model_misses_what_must_miss() {
    // A set for each line of `table`, twice: its second reading hits.
    let large = run_with(
        "work",
        &[spec("cache", "dcachesize=262144,dassoc=2,limit=1000000")],
    );
    // Fewer lines than `strided` reads in a row: all of them miss, under LRU.
    let small = run_with(
        "work",
        &[spec("cache", "dcachesize=16384,limit=1000000,l2=on")],
    );
    let misses = |log: &str| -> u64 {
        let data = log.split("fetch misses").next().unwrap_or_default();
        sum(data, |line| {
            let (_, behind) = line.split_once(" (strided), ")?;
            behind.split_once(',')?.0.parse().ok()
        })
    };
    assert_eq!(misses(&large), 1024, "{large}");
    assert_eq!(misses(&small), 8 * 1024, "{small}");
    assert!(small.contains("address, L2 misses, instruction"));
    // Shared cores are the same model, behind a lock.
    let shared = run_with(
        "work",
        &[spec(
            "cache",
            "dcachesize=16384,limit=1000000,l2=on,cores=1",
        )],
    );
    assert_eq!(shared, small);
    for evict in ["fifo", "rand"] {
        let log = run_with(
            "work",
            &[spec("cache", &format!("limit=1000000,evict={evict}"))],
        );
        assert!(misses(&log) > 4 * 1024, "{evict}");
    }
}

#[test]
fn basic_block_vectors_add_up() {
    let expected = instructions_by_qemu(&guest("work"));
    let name = scratch().join("vectors");
    let log = run_with(
        "work",
        &[spec(
            "bbv",
            &format!("interval=5000,outfile={}", name.display()),
        )],
    );
    let text = std::fs::read_to_string(format!("{}.0.bb", name.display())).expect("it was written");
    let intervals = text.lines().count() as u64;
    assert!(intervals > 10);
    let mut total = 0;
    for line in text.lines() {
        let counts = line.strip_prefix('T').expect("a vector").split_whitespace();
        let insns: u64 = counts
            .map(|pair| {
                let parts: Vec<&str> = pair.split(':').collect();
                let ["", _, count] = parts[..] else {
                    panic!("{line}")
                };
                count.parse::<u64>().expect("a number")
            })
            .sum();
        // A block that crosses the border belongs to the interval that it completes.
        assert!((4400..5600).contains(&insns), "{insns}");
        total += insns;
    }
    assert_eq!(number(&log, "cpu 0: "), intervals);
    assert_eq!(number(&log, "instructions, "), expected - intervals * 5000);
    assert!(total >= intervals * 5000 && total <= expected);
}

#[test]
fn coverage_is_what_was_executed() {
    let file = scratch().join("coverage");
    let program = guest("work");
    run_with(
        "work",
        &[spec("drcov", &format!("filename={}", file.display()))],
    );
    let bytes = std::fs::read(&file).expect("it was written");
    let marker = bytes
        .windows(10)
        .position(|window| window == b"BB Table: ")
        .expect("a table");
    let head = std::str::from_utf8(&bytes[..marker]).expect("text");
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("DRCOV VERSION: 2"));
    let module = lines.last().expect("a module");
    let columns: Vec<&str> = module.split(", ").collect();
    let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("hex");
    let (base, end) = (hex(columns[1]), hex(columns[2]));
    assert_eq!(
        columns[4],
        std::fs::canonicalize(&program)
            .expect("a file")
            .display()
            .to_string()
    );

    let line_end = marker
        + bytes[marker..]
            .iter()
            .position(|&b| b == b'\n')
            .expect("a line")
        + 1;
    let records = &bytes[line_end..];
    assert_eq!(records.len() % 8, 0);
    let count = number(
        std::str::from_utf8(&bytes[marker..line_end]).expect("text"),
        "BB Table: ",
    );
    assert_eq!(records.len() as u64 / 8, count);
    let covered = |address: u64| {
        records.chunks(8).any(|record| {
            let start = u64::from(u32::from_le_bytes([
                record[0], record[1], record[2], record[3],
            ]));
            let size = u64::from(u16::from_le_bytes([record[4], record[5]]));
            (base + start..base + start + size).contains(&address)
        })
    };
    let symbols = run::symbols(&program);
    assert!((base..end).contains(&symbols["main"]));
    assert!(covered(symbols["main"]) && covered(symbols["the_branch"]));
    assert!(!covered(symbols["never_called"]));
}

#[test]
fn system_calls_and_traps_are_counted() {
    let log = run_with("work", &[spec("syscall", ""), spec("traps", "")]);
    let calls: BTreeMap<u64, (u64, u64)> = log
        .lines()
        .filter_map(|line| {
            let fields: Vec<u64> = line
                .split_whitespace()
                .map_while(|f| f.parse().ok())
                .collect();
            match fields[..] {
                [number, calls, errors] => Some((number, (calls, errors))),
                _ => None,
            }
        })
        .collect();
    assert_eq!(calls[&64], (5, 0), "write: {log}");
    assert_eq!(calls[&57], (5, 5), "close: {log}");
    assert_eq!(calls[&94], (1, 0), "exit_group: {log}");
    let total: u64 = calls.values().map(|(calls, _)| calls).sum();
    let hostcalls = format!("   0,          0,          0, {total:10}\n");
    assert!(log.contains(&hostcalls), "{log}");

    let log = run_with("faults", &[spec("traps", "")]);
    assert!(log.contains("   0,          0,         10, "), "{log}");

    let log = run_with("work", &[spec("syscall", "print=on")]);
    assert_eq!(log.matches("syscall #64 returned -> 5\n").count(), 5);
    assert_eq!(log.matches("syscall #94\n").count(), 1);
    let log = run_with("work", &[spec("syscall", "log_writes=on")]);
    assert_eq!(log.matches("|tick.|").count(), 5, "{log}");
}

#[test]
fn arguments_that_are_not_understood_are_refused() {
    let names = [
        "insn",
        "bb",
        "mem",
        "hotblocks",
        "howvec",
        "execlog",
        "cflow",
        "cache",
        "bbv",
        "drcov",
        "syscall",
        "traps",
    ];
    let mut plugins: Vec<_> = names.map(|name| spec(name, "nonsense=7")).into();
    for name in ["hotpages", "mix"] {
        plugins.push(format!("{},nonsense=7", rust_plugin(name).display()));
    }
    plugins.push(spec("mem", "inline=perhaps"));
    plugins.push(spec("cache", "icachesize=1000"));
    plugins.push(spec("bbv", "interval=0"));
    for plugin in plugins {
        let outcome = Run::of(&guest("work"))
            .plugins(std::slice::from_ref(&plugin))
            .outcome();
        assert_eq!(outcome.status.code(), Some(1), "{plugin}");
        let said = String::from_utf8_lossy(&outcome.stderr);
        assert!(said.contains("Could not load plugin"), "{plugin}: {said}");
        assert!(outcome.stdout.is_empty(), "{plugin}: the guest ran");
    }
}

#[test]
fn matches_are_reported_as_they_happen() {
    let log = run_with("work", &[spec("insn", "match=bnez,inline=on")]);
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("match hits"))
        .collect();
    assert!(lines.len() >= 1000, "{}", lines.len());
    let last = lines.last().expect("some");
    assert_eq!(number(last, "cpu 0, "), lines.len() as u64, "{last}");
    // In the loop there are three instructions from one to the next.
    assert!(log.contains(", 1000 hits, cpu 0, ") && log.contains(", +3 since last match, "));
}

#[test]
fn a_plugin_takes_itself_out() {
    for (name, reached) in [("work", true), ("threads", true), ("work", false)] {
        let limit = if reached { 20_000 } else { 1u64 << 40 };
        let spec = format!("{},insns={limit}", example("first").display());
        let log = run_with(name, &[spec]);
        let lines: Vec<_> = log.lines().collect();
        match reached {
            // It is dropped, and not told about the end of the process.
            true => {
                assert_eq!(lines.len(), 2, "{log}");
                assert!(
                    (20_000..20_600).contains(&number(&log, "has begun ")),
                    "{log}"
                );
                assert_eq!(lines[1], "no callback is left");
            }
            // It is told about the end of the process, and not dropped.
            false => {
                assert_eq!(lines.len(), 1, "{log}");
                assert!(lines[0].starts_with("the program ended after "), "{log}");
            }
        }
    }
}

#[test]
fn calls_are_shown_and_refused() {
    let log = run_with("work", &[example("calls").display().to_string()]);
    assert_eq!(log.matches("main: 64 with [1, ").count(), 5, "{log}");
    assert_eq!(
        log.matches("  writes \"tick\\n\"\n  64 = 5\n").count(),
        5,
        "{log}"
    );
    assert_eq!(
        log.matches("  57 = -9\n").count(),
        5,
        "close says EBADF: {log}"
    );
    assert!(log.ends_with("0 faults\n"), "{log}");
    let log = run_with(
        "work",
        &[format!("{},refuse=57", example("calls").display())],
    );
    assert_eq!(log.matches("  57 = -1\n").count(), 5, "EPERM: {log}");
    let log = run_with("faults", &[example("calls").display().to_string()]);
    assert!(log.ends_with("10 faults\n"), "{log}");
}

#[test]
fn a_function_is_skipped() {
    let insns = |plugins: &[String]| {
        let mut all = vec![spec("insn", "inline=on")];
        all.extend_from_slice(plugins);
        let log = run_with("work", &all);
        (number(&log, "total insns: "), log)
    };
    let (all, _) = insns(&[]);
    let (fewer, log) = insns(&[format!("{},function=strided", example("skip").display())]);
    assert!(log.contains("8 calls of strided skipped"), "{log}");
    assert!(fewer + 8 * 1024 * 3 < all, "{fewer} of {all}");
}
