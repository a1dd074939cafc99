//! Counting: every way to count gives the same number, and it is the right one.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::plugins::{BACKENDS, Run, VERSIONS, bare_guest, function, guest, plugin};
use common::{QEMU, process, scratch};
use riscv::Opcode;

/// What a plugin said: by its mark and version, the number of each thing.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// Reads the log of `count.c`: all ways to count must have given the same number.
fn counts(log: &str) -> Counts {
    let mut all = Counts::new();
    for line in log.lines() {
        let (head, ways) = line.split_once(": ").unwrap_or_else(|| panic!("{log}"));
        let (who, what) = head.split_once(' ').unwrap_or_else(|| panic!("{log}"));
        let numbers: Vec<u64> = ways
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        assert!(
            numbers.len() >= 2 && numbers.iter().all(|number| *number == numbers[0]),
            "{line}"
        );
        let of_plugin = all.entry(who.to_owned()).or_default();
        of_plugin.insert(what.to_owned(), numbers[0]);
    }
    all
}

/// The numbers of the only plugin.
fn only(log: &str) -> BTreeMap<String, u64> {
    let mut all = counts(log);
    assert_eq!(all.len(), 1, "{log}");
    all.pop_first().expect("there is one").1
}

/// Where the guest's instructions are as QEMU executes them, one by one.
fn executed_by_qemu(program: &Path) -> Vec<u64> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    // Tests run side by side.
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let log = scratch().join(format!("plugins/{}-{run}.trace", std::process::id()));
    let mut command = Command::new(QEMU);
    command
        .env_clear()
        .args(["-one-insn-per-tb", "-d", "exec,nochain", "-D"])
        .arg(&log)
        .arg(program);
    process::run(&mut command, b"", Duration::from_secs(60));
    let text = std::fs::read_to_string(&log).expect("QEMU has written it");
    let _ = std::fs::remove_file(&log);
    text.lines()
        .filter(|line| line.starts_with("Trace "))
        .filter_map(|line| u64::from_str_radix(line.split('/').nth(1)?, 16).ok())
        .collect()
}

/// The guest's instructions, loads and stores as QEMU executes them.
fn by_qemu(program: &Path) -> (u64, u64, u64) {
    let pcs = executed_by_qemu(program);
    let code = Code::of(program);
    let (mut loads, mut stores) = (0, 0);
    for (at, &pc) in pcs.iter().enumerate() {
        let Some(insn) = code.insn(pc) else { continue };
        // Whatever accesses memory goes on behind itself, unless it faults.
        if pcs.get(at + 1) == Some(&(pc + u64::from(insn.len))) {
            let (load, store) = accesses(insn.op);
            loads += u64::from(load);
            stores += u64::from(store);
        }
    }
    (pcs.len() as u64, loads, stores)
}

/// The code of a program, by address.
struct Code(Vec<(u64, Vec<u8>)>);

impl Code {
    fn of(program: &Path) -> Code {
        use object::{Object, ObjectSegment};
        let bytes = std::fs::read(program).expect("it has been built");
        let file = object::read::elf::ElfFile64::<object::LittleEndian>::parse(&*bytes)
            .expect("it is a program");
        let segments = file.segments();
        Code(
            segments
                .map(|segment| (segment.address(), segment.data().unwrap_or(&[]).to_vec()))
                .collect(),
        )
    }

    /// The instruction at an address, unless it was written at run time.
    fn insn(&self, pc: u64) -> Option<riscv::Insn> {
        let (start, bytes) = self
            .0
            .iter()
            .find(|(start, bytes)| (*start..*start + bytes.len() as u64).contains(&pc))?;
        let mut word = [0; 4];
        let rest = &bytes[(pc - start) as usize..];
        let len = rest.len().min(4);
        word[..len].copy_from_slice(&rest[..len]);
        Some(riscv::decode(u32::from_le_bytes(word)))
    }
}

/// Whether an instruction loads, and whether it stores. The guests have no sc that fails.
fn accesses(op: Opcode) -> (bool, bool) {
    let name = format!("{op:?}");
    match op {
        Opcode::Lb | Opcode::Lbu | Opcode::Lh | Opcode::Lhu => (true, false),
        Opcode::Lw | Opcode::Lwu | Opcode::Ld | Opcode::Flw | Opcode::Fld => (true, false),
        Opcode::Sb | Opcode::Sh | Opcode::Sw | Opcode::Sd => (false, true),
        Opcode::Fsw | Opcode::Fsd => (false, true),
        _ if name.starts_with("Amo") => (true, true),
        _ => (false, false),
    }
}

#[test]
fn six_versions_side_by_side_agree() {
    let program = bare_guest("memory");
    for backend in BACKENDS {
        let run = Run::new(&program).backend(backend);
        let run = VERSIONS.fold(run, |run, version| {
            run.plugin(&plugin("count", version), "")
        });
        let log = run.expect(0).log;
        let counts = counts(&log);
        assert_eq!(counts.len(), 6, "{log}");
        for of_version in counts.values() {
            // The numbers at the top of the guest.
            assert_eq!(of_version["insns"], 109, "{log}");
            assert_eq!(of_version["in-blocks"], 109, "{log}");
            assert_eq!(
                (of_version["loads"], of_version["stores"]),
                (26, 22),
                "{log}"
            );
            assert_eq!(Some(of_version), counts.values().next(), "{log}");
        }
    }
}

#[test]
fn every_back_end_counts_what_qemu_executes() {
    for name in ["memory", "work"] {
        let program = bare_guest(name);
        let status = if name == "work" { 7 } else { 0 };
        let (insns, loads, stores) = by_qemu(&program);
        for options in [
            &["--backend", "x86-64"][..],
            &["--backend", "interp"],
            &["--tb-size", "64K"],
        ] {
            let run = Run::new(&program).option(options);
            let log = run.plugin(&plugin("count", 4), "").expect(status).log;
            let counted = only(&log);
            assert_eq!(counted["insns"], insns, "{name} {options:?}\n{log}");
            if name == "work" {
                // The only failing sc is the other guest's, which is counted by hand.
                assert_eq!(
                    (counted["loads"], counted["stores"]),
                    (loads, stores),
                    "{options:?}\n{log}"
                );
            }
        }
    }
}

/// Counters may be put together and put off; whoever looks must not find that.
#[test]
fn counts_are_exact_wherever_somebody_looks() {
    let program = bare_guest("work");
    let executed = executed_by_qemu(&program);
    let code = Code::of(&program);
    // What is not the program's lies elsewhere under QEMU.
    let same = |a: u64, b: u64| a == b || code.insn(a).is_none() && code.insn(b).is_none();
    for options in [
        &["--backend", "x86-64"][..],
        &["--backend", "interp"],
        &["--tb-size", "64K"],
    ] {
        for every in [1, 7, 61] {
            let run = Run::new(&program).option(options);
            let arguments = format!("every={every}");
            let log = run.plugin(&plugin("exact", 7), &arguments).expect(7).log;
            let mut looks = [0; 4];
            for line in log.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                let [what, addr, count] = words[..] else {
                    panic!("{line}");
                };
                let addr = u64::from_str_radix(addr, 16).expect(line);
                let count: usize = count.parse().expect(line);
                // The instruction that has begun last.
                let last = count.checked_sub(1).map(|at| executed[at]);
                let (kind, right) = match what {
                    "at" => (0, same(executed[count], addr)),
                    "access" => (1, last.is_some_and(|last| same(last, addr))),
                    "call" => (2, last.and_then(|pc| code.insn(pc)).is_none_or(is_ecall)),
                    _ => (3, last.is_some_and(|last| same(last, addr))),
                };
                assert!(
                    right,
                    "{options:?}, every {every}: {line}, not at {last:x?}"
                );
                looks[kind] += usize::from(kind != 0 || code.insn(addr).is_some());
            }
            // Each instruction that is looked at is looked at each time.
            let is_wanted =
                |pc: &&u64| (*pc / 2).is_multiple_of(every) && code.insn(**pc).is_some();
            let wanted = executed.iter().filter(is_wanted).count();
            assert_eq!(looks[0], wanted, "{options:?}, every {every}");
            assert!(looks[1] > 0 || every == 1, "{looks:?}");
            // Nine system calls, five returns from handlers among them, and as many faults.
            assert!(looks[2] >= 9 && looks[3] >= looks[2] + 5, "{looks:?}");
        }
    }
}

fn is_ecall(insn: riscv::Insn) -> bool {
    insn.op == Opcode::Ecall
}

#[test]
fn threads_count_for_themselves_and_together() {
    let program = guest("threads");
    let work = function(&program, "work");
    let arguments = format!("start={:#x},end={:#x}", work.start, work.end);
    let mut single = None;
    for threads in [1, 2, 8] {
        for backend in BACKENDS {
            let run = Run::new(&program).backend(backend).arg(threads);
            let log = run.plugin(&plugin("count", 7), &arguments).expect(0).log;
            let counted = only(&log);
            let one = single.get_or_insert_with(|| counted.clone());
            for (what, number) in &counted {
                assert_eq!(
                    *number,
                    one[what] * threads,
                    "{threads} on {backend}\n{log}"
                );
            }
            assert!(counted["insns"] > 100_000, "{log}");
        }
    }
}

#[test]
fn two_plugins_in_either_order_see_everything() {
    let program = bare_guest("work");
    let (insns, loads, stores) = by_qemu(&program);
    for backend in BACKENDS {
        for (first, second) in [(3, 7), (7, 3)] {
            let log = Run::new(&program)
                .backend(backend)
                .plugin(&plugin("count", first), "mark=one-")
                .plugin(&plugin("count", second), "mark=two-")
                .expect(7)
                .log;
            let counts = counts(&log);
            assert_eq!(counts.len(), 2, "{log}");
            for counted in counts.values() {
                assert_eq!(counted["insns"], insns, "{log}");
                assert_eq!(
                    (counted["loads"], counted["stores"]),
                    (loads, stores),
                    "{log}"
                );
            }
            // The one that was loaded last comes first, also at the end.
            assert!(log.starts_with("two-"), "{log}");
        }
    }
}
