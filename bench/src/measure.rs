//! Takes the times: all contenders by turns, several rounds, the minimum counts.

use std::ffi::OsString;

use crate::programs::{Kind, Program};
use crate::results::{Results, Row, Times};
use crate::tools::Tools;
use crate::{Error, Options, build, machine, process, start_up};

/// What runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// This machine.
    Native,
    /// The reference.
    Qemu,
    /// Translated host code.
    Hartscope,
    /// The op interpreter.
    Interp,
}

impl Contender {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Contender::Native => "native",
            Contender::Qemu => "qemu-riscv64",
            Contender::Hartscope => "hartscope",
            Contender::Interp => "hartscope --backend interp",
        }
    }

    /// The command line for `program`.
    pub fn command(self, tools: &Tools, program: &str, args: &[String]) -> Vec<OsString> {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let hartscope = |options: &[&str]| {
            let mut runner = vec![tools.hartscope.clone().into_os_string()];
            runner.extend(words(&["run"]));
            runner.extend(words(options));
            runner
        };
        let (runner, binary) = match self {
            Contender::Native => (Vec::new(), build::native(tools, program)),
            Contender::Qemu => (
                vec![tools.qemu.clone().into_os_string()],
                build::riscv64(tools, program),
            ),
            Contender::Hartscope => (hartscope(&[]), build::riscv64(tools, program)),
            Contender::Interp => (
                hartscope(&["--backend", "interp"]),
                build::riscv64(tools, program),
            ),
        };
        process::command_line(&runner, &binary, args)
    }
}

/// One contender with one amount of work, and its best times so far.
struct Entry {
    contender: Contender,
    scale: u32,
    /// It takes part in this many rounds.
    rounds: u32,
    best: Option<Times>,
}

impl Entry {
    fn new(contender: Contender, scale: u32, rounds: u32) -> Entry {
        Entry {
            contender,
            scale,
            rounds,
            best: None,
        }
    }
}

/// Measures all programs, with a line of progress for each.
pub fn all(tools: &Tools, programs: &[Program], options: &Options) -> Result<Results, Error> {
    let environment = machine::environment(tools, options);
    let mut wrong_outputs = Vec::new();
    let mut rows = Vec::new();
    for program in programs {
        let row = measure(tools, program, options, &mut wrong_outputs)?;
        eprintln!(
            "{:12} {:8.1} ms native, {:5.2} × native",
            row.program,
            row.native.ms,
            row.hartscope_over_native()
        );
        rows.push(row);
    }
    Ok(Results {
        environment,
        rows,
        start_up: Some(start_up::measure(tools, options)?),
        wrong_outputs,
    })
}

fn measure(
    tools: &Tools,
    program: &Program,
    options: &Options,
    wrong_outputs: &mut Vec<String>,
) -> Result<Row, Error> {
    let (runs, scale, reduced) = (options.runs, options.scale, options.interp_scale);
    let mut entries = vec![Entry::new(Contender::Native, scale, runs)];
    if !options.no_qemu {
        entries.push(Entry::new(Contender::Qemu, scale, runs));
    }
    entries.push(Entry::new(Contender::Hartscope, scale, runs));
    if !options.no_interp {
        // The interpreter is some tens of times slower, and so is its noise in proportion.
        entries.push(Entry::new(Contender::Native, reduced, runs));
        entries.push(Entry::new(Contender::Interp, reduced, runs.min(2)));
    }
    let mut expected: Vec<(u32, Vec<u8>)> = Vec::new();
    for round in 0..runs {
        for entry in entries.iter_mut().filter(|e| round < e.rounds) {
            let args = program.args(entry.scale);
            let run = process::run(&entry.contender.command(tools, program.name, &args))?;
            match expected.iter().find(|(scale, _)| *scale == entry.scale) {
                None => expected.push((entry.scale, run.stdout.clone())),
                Some((_, output)) if *output == run.stdout => {}
                Some(_) => {
                    let what = format!("{}: {}", program.label(), entry.contender.name());
                    eprintln!("WRONG OUTPUT: {what}");
                    if !wrong_outputs.contains(&what) {
                        wrong_outputs.push(what);
                    }
                }
            }
            let times = Times::of(&run, options.clock());
            entry.best = Some(entry.best.map_or(times, |best| best.min(times)));
        }
    }
    let best = |contender, scale| {
        entries
            .iter()
            .find(|e| e.contender == contender && e.scale == scale)
            .and_then(|e| e.best)
    };
    let needed = |contender| {
        best(contender, scale).ok_or_else(|| Error::Run("nothing was measured".to_owned()))
    };
    Ok(Row {
        program: program.label(),
        float: program.kind == Kind::Float,
        instructions: count_instructions(tools, program, scale)?,
        native: needed(Contender::Native)?,
        qemu: best(Contender::Qemu, scale),
        hartscope: needed(Contender::Hartscope)?,
        interp: best(Contender::Interp, reduced),
        native_for_interp: best(Contender::Native, reduced),
    })
}

/// Guest instructions, by hartscope's own count.
fn count_instructions(tools: &Tools, program: &Program, scale: u32) -> Result<Option<u64>, Error> {
    let mut command = Contender::Hartscope.command(tools, program.name, &program.args(scale));
    command.insert(2, "--count-insns".into());
    let run = process::run(&command)?;
    let stderr = String::from_utf8_lossy(&run.stderr);
    Ok(stderr.lines().find_map(parse_count))
}

/// Parses `hartscope: N instructions`.
fn parse_count(line: &str) -> Option<u64> {
    line.strip_prefix("hartscope: ")?
        .strip_suffix(" instructions")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_instruction_count_among_other_lines() {
        assert_eq!(parse_count("hartscope: 123456 instructions"), Some(123_456));
        assert_eq!(parse_count("hartscope: many instructions"), None);
        assert_eq!(parse_count("something else"), None);
    }
}
