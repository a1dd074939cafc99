//! The command line.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use riscv::mnemonic;

use crate::campaign::{self, Plan};
use crate::generate::Options;
use crate::run::Runner;
use crate::run::inprocess::{Backend, InProcess};
use crate::run::process::ProcessRunner;

const USAGE: &str = "\
usage: isa-fuzz [OPTIONS]

Runs guest programs under qemu-riscv64, under hartscope with each of its back ends, and on both back
ends inside this process, and compares everything that they write: first every instruction on edge
cases, then random programs.

  --insns N         compare at least N instructions (default 10000000)
  --seed S          first seed (default 1)
  --jobs J          programs that run at once (default: one per host core)
  --failures F      stop after F failing programs (default 1)
  --runners LIST    comma-separated, the first is the reference (default: all)
                    qemu, hartscope-x86-64, hartscope-interp, hartscope-small (a tiny cache,
                    instructions counted), emitter, interpreter, plain
  --hartscope FILE  the binary (default: beside this one)
  --no-directed     only random programs
  --no-traps        no instructions that trap
  --chunks C        chunks of a program
  --items I         items of a chunk
";

/// How long one guest program may run; they take milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a failing program may be cut down.
const SHRINK: Duration = Duration::from_secs(60);

const ALL_RUNNERS: &str =
    "qemu,interpreter,emitter,plain,hartscope-x86-64,hartscope-interp,hartscope-small";

/// Ways to run the binary. The last one evicts blocks all the time, and counts instructions.
const HARTSCOPES: [(&str, &[&str]); 3] = [
    ("hartscope-x86-64", &["--backend", "x86-64"]),
    ("hartscope-interp", &["--backend", "interp"]),
    ("hartscope-small", &["--tb-size", "64K", "--count-insns"]),
];

/// What was asked for.
struct Request {
    plan: Plan,
    directed: bool,
    runners: String,
    hartscope: Option<PathBuf>,
}

/// Runs the command; the status says whether everything agreed.
pub fn main(arguments: &[String]) -> ExitCode {
    let request = match parse(arguments) {
        Ok(request) => request,
        Err(problem) => {
            eprint!("isa-fuzz: {problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&request) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("isa-fuzz: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(request: &Request) -> Result<bool, String> {
    let hartscope = match &request.hartscope {
        Some(path) => path.clone(),
        None => beside_this_program("hartscope")?,
    };
    let runners = request
        .runners
        .split(',')
        .map(|name| runner(name, &hartscope))
        .collect::<Result<Vec<_>, _>>()?;
    if runners.len() < 2 {
        return Err("it takes two runners to disagree".into());
    }
    let names: Vec<&str> = runners.iter().map(|runner| runner.name()).collect();
    println!("isa-fuzz: {}", names.join(", "));
    let timed = |summary: &dyn Display, start: Instant| {
        println!(
            "isa-fuzz: {summary}, {:.1} s",
            start.elapsed().as_secs_f64()
        );
    };
    let (mut passed, mut failed) = (0, 0);
    if request.directed {
        let start = Instant::now();
        let tally = campaign::directed(&request.plan, &runners).map_err(|e| e.to_string())?;
        timed(&tally, start);
        passed += tally.programs - tally.failures;
        failed += tally.failures;
    }
    let start = Instant::now();
    let tally = campaign::random(&request.plan, &runners).map_err(|e| e.to_string())?;
    timed(&tally, start);
    if let Some((encoding, count)) = tally.profile.least() {
        let (name, len) = (mnemonic(encoding.op), encoding.len);
        println!("isa-fuzz: least executed: {name} of {len} bytes, {count} times");
    }
    passed += tally.programs as usize - tally.failures;
    failed += tally.failures;
    println!("isa-fuzz: {passed} passed, {failed} failed");
    Ok(failed == 0)
}

fn runner(name: &str, hartscope: &Path) -> Result<Box<dyn Runner>, String> {
    if let Some((_, options)) = HARTSCOPES.iter().find(|(known, _)| *known == name) {
        let runner = ProcessRunner::hartscope(name, hartscope, options, TIMEOUT);
        return Ok(Box::new(runner));
    }
    Ok(match name {
        "qemu" => Box::new(ProcessRunner::qemu(TIMEOUT)),
        "emitter" => Box::new(InProcess::new(Backend::Emitter)),
        "interpreter" => Box::new(InProcess::new(Backend::Interpreter)),
        "plain" => Box::new(InProcess::new(Backend::Plain)),
        _ => return Err(format!("no runner is called '{name}'")),
    })
}

/// Where cargo puts the other binaries of the workspace.
fn beside_this_program(name: &str) -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    Ok(this.with_file_name(name))
}

fn parse(arguments: &[String]) -> Result<Request, String> {
    let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
    let mut request = Request {
        plan: Plan {
            instructions: 10_000_000,
            seed: 1,
            jobs,
            failures: 1,
            shrink: SHRINK,
            options: Options::default(),
        },
        directed: true,
        runners: ALL_RUNNERS.to_owned(),
        hartscope: None,
    };
    let plan = &mut request.plan;
    let mut arguments = arguments.iter();
    while let Some(option) = arguments.next() {
        let mut value = || {
            let value = arguments.next();
            value.ok_or_else(|| format!("{option} needs a value"))
        };
        match option.as_str() {
            "--insns" => plan.instructions = number(option, value()?)?,
            "--seed" => plan.seed = number(option, value()?)?,
            "--jobs" => plan.jobs = number(option, value()?)?,
            "--failures" => plan.failures = number(option, value()?)?,
            "--chunks" => plan.options.chunks = number(option, value()?)?,
            "--items" => plan.options.items = number(option, value()?)?,
            "--no-directed" => request.directed = false,
            "--no-traps" => plan.options.traps = false,
            "--runners" => request.runners = value()?.clone(),
            "--hartscope" => request.hartscope = Some(value()?.into()),
            _ => return Err(format!("unknown option '{option}'")),
        }
    }
    Ok(request)
}

fn number<T: FromStr>(option: &str, value: &str) -> Result<T, String> {
    let parsed = value.parse();
    parsed.map_err(|_| format!("{option}: '{value}' is not a fitting number"))
}
