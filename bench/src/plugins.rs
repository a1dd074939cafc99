//! What plugins cost: each program with and without them, by turns, in processor time.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::Contender;
use crate::programs::{Kind, Program};
use crate::results::{Clock, Times, geomean};
use crate::tools::{ROOT, Tools};
use crate::{Error, Options, machine, process};

/// A way to watch a program.
struct Watch {
    name: &'static str,
    /// The library, and its arguments.
    spec: (&'static str, &'static str),
    /// The aim: at most so many times the time without plugins.
    aim: Option<f64>,
}

impl Watch {
    fn is_slow(&self) -> bool {
        self.spec.0 == "called"
    }
}

const fn watch(
    name: &'static str,
    library: &'static str,
    arguments: &'static str,
    aim: Option<f64>,
) -> Watch {
    Watch {
        name,
        spec: (library, arguments),
        aim,
    }
}

/// The plugins of `plugins/`, and those of `bench/plugins/`.
const WATCHES: [Watch; 10] = [
    watch("nothing", "nothing", "", Some(1.01)),
    watch("blocks, inline", "bb", ",inline=on", Some(1.05)),
    watch("instructions, inline", "insn", ",inline=on", Some(1.08)),
    watch("accesses, inline", "mem", ",inline=on", Some(1.25)),
    watch("blocks, callback", "bb", "", Some(1.6)),
    watch("instructions, callback", "insn", "", Some(8.0)),
    watch("accesses, callback", "mem", "", None),
    watch("blocks, called", "called", ",at=tb", None),
    watch("instructions, called", "called", ",at=insn", None),
    watch("accesses, called", "called", ",at=mem", None),
];

/// Measures the integer programs; gives the table as Markdown.
pub fn costs(tools: &Tools, programs: &[Program], options: &Options) -> Result<String, Error> {
    let libraries = build(tools)?;
    let programs: Vec<&Program> = programs
        .iter()
        .filter(|program| program.kind == Kind::Integer)
        .collect();
    let mut columns = vec![Vec::new(); WATCHES.len()];
    let mut rows = String::new();
    for program in programs {
        let ratios = measure(tools, &libraries, program, options)?;
        let _ = write!(rows, "| {} |", program.label());
        for (column, ratio) in columns.iter_mut().zip(&ratios) {
            column.push(*ratio);
            let _ = write!(rows, " {ratio:.2} |");
        }
        rows.push('\n');
        eprintln!("{:12} done", program.label());
    }
    let line = |first: &str, cells: &[String]| format!("| {first} | {} |\n", cells.join(" | "));
    let names = WATCHES.map(|watch| watch.name.to_owned());
    let means: Vec<String> = columns
        .iter()
        .map(|column| geomean(column.iter().map(|&ratio| Some(ratio))))
        .map(|mean| mean.map_or_else(String::new, |mean| format!("{mean:.2}")))
        .collect();
    let aims = WATCHES.map(|watch| {
        watch
            .aim
            .map_or_else(String::new, |aim| format!("{aim:.2}"))
    });
    let mut text = String::from(
        "# What plugins cost\n\n\
         Written by `cargo run --release -p bench -- --plugins --markdown FILE`: processor time, as a \
         multiple of that without plugins.\n\n",
    );
    text += &line("program", &names);
    text += &format!("|---|{}\n", "--:|".repeat(WATCHES.len()));
    text += &rows;
    text += &line("geomean", &means);
    text += &line("aim", &aims);
    let environment = machine::environment(tools, options);
    let _ = writeln!(
        text,
        "\n- {}: {}, Linux {}, load average at the start {}, commit {}\n\
         - minimum of {} interleaved runs, of one where every event is called; work {} %",
        environment.date,
        environment.machine,
        environment.kernel,
        environment.load,
        environment.commit,
        options.runs,
        options.scale,
    );
    Ok(text)
}

/// The ratios of one program, by [`WATCHES`].
fn measure(
    tools: &Tools,
    libraries: &Path,
    program: &Program,
    options: &Options,
) -> Result<Vec<f64>, Error> {
    let args = program.args(options.scale);
    let plain = Contender::Hartscope.command(tools, program.name, &args);
    let mut commands = vec![plain.clone()];
    commands.extend(WATCHES.iter().map(|watch| {
        let (library, arguments) = watch.spec;
        let mut spec = libraries.join(format!("{library}.so")).into_os_string();
        spec.push(arguments);
        // Behind `hartscope run`.
        let mut command = plain.clone();
        command.splice(2..2, [OsString::from("--plugin"), spec]);
        command
    }));
    let mut best: Vec<Option<Times>> = vec![None; commands.len()];
    let mut expected = None;
    for round in 0..options.runs {
        for (at, (command, best)) in commands.iter().zip(&mut best).enumerate() {
            // What takes ten times as long is measured once.
            if round != 0 && at.checked_sub(1).is_some_and(|at| WATCHES[at].is_slow()) {
                continue;
            }
            let run = process::run(command)?;
            if *expected.get_or_insert_with(|| run.stdout.clone()) != run.stdout {
                let what = format!("{}: wrong output with {command:?}", program.label());
                return Err(Error::Run(what));
            }
            let times = Times::of(&run, Clock::Processor);
            *best = Some(best.map_or(times, |best| best.min(times)));
        }
    }
    let ms: Vec<f64> = best.iter().flatten().map(|times| times.ms).collect();
    Ok(ms[1..].iter().map(|with| with / ms[0]).collect())
}

/// Builds the libraries; gives where they are.
pub fn build(tools: &Tools) -> Result<PathBuf, Error> {
    let to = tools.target.join("bench-plugins");
    let root = Path::new(ROOT);
    let include = root.join("plugin-rt/include");
    let mut make = Command::new("make");
    make.arg("-s").arg("-C").arg(root.join("plugins"));
    make.arg(format!("O={}", to.display()));
    make.arg(format!("INCLUDE={}", include.display()));
    succeed(&mut make)?;
    for name in ["nothing", "called"] {
        let mut compile = Command::new(&tools.native_cc);
        compile
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"])
            .arg("-fvisibility=hidden")
            .arg("-I")
            .arg(&include)
            .arg("-o")
            .arg(to.join(format!("{name}.so")))
            .arg(root.join(format!("bench/plugins/{name}.c")));
        succeed(&mut compile)?;
    }
    Ok(to)
}

fn succeed(command: &mut Command) -> Result<(), Error> {
    let output = command
        .output()
        .map_err(|error| Error::Tool(format!("{command:?}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::Tool(format!("{command:?} failed:\n{said}")))
}
