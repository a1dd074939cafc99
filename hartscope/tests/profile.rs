//! Profiles: to the instruction, by function and vCPU.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::plugins::{BACKENDS, Run, bare_guest, function, guest, plugin};
use common::process::{self, End, Outcome};
use common::table::rows;
use common::{HARTSCOPE, scratch};

/// A file that is gone in the end.
struct File(PathBuf);

impl File {
    fn new(ending: &str) -> File {
        static FILES: AtomicU32 = AtomicU32::new(0);
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("profile-{}-{number}.{ending}", std::process::id());
        File(scratch().join(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("it is text")
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.0).expect("it has been written")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn run(options: &[&str], program: &Path, args: &[&str]) -> Outcome {
    let mut command = Command::new(HARTSCOPE);
    command.arg("run").args(options).arg(program).args(args);
    process::run(&mut command, b"", Duration::from_secs(60))
}

#[test]
fn a_program_that_was_counted_by_hand() {
    let program = bare_guest("profiled");
    for options in [
        &["--backend", "x86-64"][..],
        &["--backend", "interp"],
        &["--tb-size", "64K"],
    ] {
        // What is let go by whom differs from run to run.
        for _ in 0..5 {
            let file = File::new("txt");
            let profile = ["--profile", file.path()];
            let options = [options, &profile].concat();
            let outcome = run(&options, &program, &[]);
            assert_eq!(
                (outcome.end, outcome.stderr_text().as_str()),
                (End::Exited(0), "")
            );
            let table = file.text();
            let rows = rows(&table);
            let mut expected = BTreeMap::from([
                ("_start", vec![24, 24, 0, 0]),
                ("start", vec![28, 26, 1, 1]),
                ("worker", vec![904, 0, 302, 602]),
                ("tail", vec![20, 0, 10, 10]),
                ("join", vec![10, 10, 0, 0]),
                ("[profiled]", vec![3, 3, 0, 0]),
            ]);
            expected.insert("(all)", vec![989, 63, 313, 613]);
            assert_eq!(rows, expected, "{options:?}\n{table}");
        }
    }
}

#[test]
fn the_sum_is_what_others_count() {
    let program = guest("threads");
    let work = function(&program, "work");
    let arguments = format!("start={:#x},end={:#x}", work.start, work.end);
    for (backend, threads) in BACKENDS.iter().zip([8, 3]) {
        let (alone, watched) = (File::new("txt"), File::new("txt"));
        // By the count that is built in.
        let threads = threads.to_string();
        let options = [
            "--backend",
            backend,
            "--count-insns",
            "--profile",
            alone.path(),
        ];
        let outcome = run(&options, &program, &[&threads]);
        let (said, table) = (outcome.stderr_text(), alone.text());
        let sum = rows(&table)["(all)"][0];
        assert_eq!(said, format!("hartscope: {sum} instructions\n"), "{table}");
        // By a plugin, in one of the functions.
        let run = Run::new(&program).backend(backend).arg(&threads);
        let run = run.option(&["--profile", watched.path()]);
        let log = run.plugin(&plugin("count", 7), &arguments).expect(0).log;
        let table = watched.text();
        let insns = rows(&table)["work"][0];
        assert!(
            log.contains(&format!("v7 insns: inline {insns} callback ")),
            "{log}\n{table}"
        );
    }
}

/// Faults, signals and code that the guest writes itself.
#[test]
fn the_sum_is_a_plugins_also_where_instructions_do_not_complete() {
    let program = bare_guest("work");
    for backend in BACKENDS {
        let file = File::new("txt");
        let run = Run::new(&program).backend(backend);
        let run = run.option(&["--profile", file.path()]);
        let log = run.plugin(&plugin("count", 7), "").expect(7).log;
        let table = file.text();
        let insns = rows(&table)["(all)"][0];
        assert!(
            log.contains(&format!("v7 insns: inline {insns} callback ")),
            "{log}\n{table}"
        );
    }
}

#[test]
fn stacks_and_flame_graphs() {
    let program = bare_guest("profiled");
    let file = File::new("folded");
    run(&["--profile", file.path()], &program, &[]);
    assert_eq!(
        file.text(),
        "[profiled] 3\n_start 24\njoin 10\nstart 28\ntail 20\nworker 904\n"
    );
    let file = File::new("svg");
    run(&["--profile", file.path()], &program, &[]);
    let picture = file.text();
    assert!(picture.contains("<svg"), "{picture}");
    assert!(
        picture.contains("worker (904 instructions, 91.41%)"),
        "{picture}"
    );
}

#[test]
fn names_that_make_no_sense_are_refused() {
    let program = bare_guest("profiled");
    let outcome = run(&["--profile", "profile.png"], &program, &[]);
    let said = outcome.stderr_text();
    assert_eq!(outcome.end, End::Exited(2), "{said}");
    assert!(
        said.contains("profile.png") && said.contains(".svg"),
        "{said}"
    );
    let outcome = run(&["--profile", "/nowhere/a.txt"], &program, &[]);
    let said = outcome.stderr_text();
    assert_eq!(outcome.end, End::Exited(1), "{said}");
    assert!(
        said.contains("/nowhere/a.txt") && said.lines().count() == 1,
        "{said}"
    );
}
