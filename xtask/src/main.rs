//! Project tasks: `cargo xtask COMMAND`.
//!
//! `test` is the one command that passes every test: it installs what it needs, runs every step
//! even if an earlier one failed, and closes with one line that sums up. A missing tool is a
//! failure. The other commands run for longer, for those who change the room in question.

mod step;
mod suite;

use std::env;
use std::process::ExitCode;

use step::{Step, Tally};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test          install what is needed, then run every test (what CI runs)
  setup         install what is needed
  fuzz [ARGS]   random instructions: interpreter, emitter and QEMU against each other
  loader-fuzz   mangled ELF files, for HARTSCOPE_FUZZ_SECONDS seconds
  bench [ARGS]  measure native, QEMU and both back ends; print the table, write JSON
  loom          every concurrency model, and the check that weaker orderings fail
  demo-guest    build the guests again that are built in (hartscope/demo, hartscope/stress)
";

fn main() -> ExitCode {
    // Steps name files by their path in the repository.
    if let Err(error) = env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")) {
        eprintln!("xtask: no repository: {error}");
        return ExitCode::FAILURE;
    }
    let mut args = env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let steps = match command.as_str() {
        "test" => suite::everything(),
        "setup" => vec![suite::tools(), suite::guest()],
        "fuzz" => suite::fuzz(&rest),
        "loader-fuzz" => vec![suite::loader_fuzz()],
        "bench" => vec![suite::bench(&rest)],
        "loom" => vec![suite::loom()],
        "demo-guest" => suite::built_in_guests().into(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    run(&command, &steps)
}

fn run(command: &str, steps: &[Step]) -> ExitCode {
    let tally = steps
        .iter()
        .fold(Tally::default(), |tally, step| tally + step.run());
    if steps.len() > 1 {
        println!();
        for step in &tally.failed_steps {
            println!("xtask {command}: FAILED: {step}");
        }
        println!(
            "xtask {command}: {} passed, {} failed",
            tally.passed, tally.failed
        );
    }
    if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
