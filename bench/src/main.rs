//! `cargo run --release -p bench`: builds the guest programs, measures them natively, under QEMU
//! and under both back ends of hartscope in one interleaved run, and reports the ratios. With
//! `--plugins`, what plugins cost; with `--attach`, what it costs that they come and go; with
//! `--profile-attached`, what a guest that runs notices of a profile.
//!
//! Rules:
//! 1. Whatever is missing is installed or is an error: nothing is skipped silently.
//! 2. Every run's output is compared with the native program's; a difference is a failure.
//! 3. The contenders take turns, so that a slow moment of the machine hits them all; the minimum
//!    of all runs counts.

mod attach;
mod attached;
mod boot;
mod build;
mod check;
mod machine;
mod measure;
mod plugins;
mod process;
mod programs;
mod report;
mod results;
mod start_up;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::programs::Program;
use crate::results::Clock;
use crate::tools::Tools;

/// Measures guest programs: native, qemu-riscv64, hartscope, hartscope --backend interp.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Options {
    /// Runs of each program and contender; the fastest counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Amount of work in percent.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10000))]
    scale: u32,
    /// Amount of work for the interpreter, which is slow, and for the native run that it is
    /// compared with.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10000))]
    interp_scale: u32,
    /// Only programs whose name contains one of these (may be repeated or separated by commas).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave the interpreter out.
    #[arg(long)]
    no_interp: bool,
    /// Leave QEMU out.
    #[arg(long)]
    no_qemu: bool,
    /// Compare processor time instead of wall time: for a machine that is busy with other things.
    #[arg(long)]
    cpu_time: bool,
    /// Compare outputs only, on a small scale, with 1, 2 and 8 threads.
    #[arg(long)]
    check: bool,
    /// Measure what plugins cost, on the integer programs.
    #[arg(long)]
    plugins: bool,
    /// Measure what a guest that runs notices of a profile.
    #[arg(long)]
    profile_attached: bool,
    /// Measure what it costs to attach and detach plugins while a guest runs.
    #[arg(long)]
    attach: bool,
    /// Measure how long machines take from start to power-off, against qemu-system-riscv64.
    #[arg(long)]
    boot: bool,
    /// Where the results go as JSON [default: bench.json in the target directory].
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table as Markdown too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Measure this hartscope, not the one of this source tree.
    #[arg(long, value_name = "FILE")]
    hartscope: Option<PathBuf>,
}

impl Options {
    fn clock(&self) -> Clock {
        if self.cpu_time {
            Clock::Processor
        } else {
            Clock::Wall
        }
    }
}

/// What stops the benchmark.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tool is missing or failed.
    #[error("{0}")]
    Tool(String),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A measured program went wrong.
    #[error("{0}")]
    Run(String),
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every output was right.
fn run(options: &Options) -> Result<bool, Error> {
    let programs: Vec<Program> = programs::all()
        .into_iter()
        .filter(|p| {
            options.only.is_empty() || options.only.iter().any(|o| p.label().contains(o.as_str()))
        })
        .collect();
    if programs.is_empty() {
        let names = options.only.join(", ");
        return Err(Error::Tool(format!("no program is called {names}")));
    }
    let tools = Tools::find(options.hartscope.clone())?;
    if options.boot {
        return finish(options, &boot::times(&tools, options)?);
    }
    build::guests(&tools, &programs)?;
    if options.attach {
        let report = attach::costs(&tools, options)?;
        print!("{}", report.text);
        if let Some(file) = &options.markdown {
            write(file, &report.text)?;
        }
        return Ok(report.holds);
    }
    if options.check {
        return check::outputs(&tools, &programs, options);
    }
    if options.plugins {
        return finish(options, &plugins::costs(&tools, &programs, options)?);
    }
    if options.profile_attached {
        return finish(options, &attached::profile(&tools, options)?);
    }
    let results = measure::all(&tools, &programs, options)?;
    print!("{}", report::text(&results));
    let json = options
        .json
        .clone()
        .unwrap_or_else(|| tools.target.join("bench.json"));
    write(&json, &results::to_json(&results))?;
    println!("results: {}", json.display());
    if let Some(file) = &options.markdown {
        write(file, &report::markdown(&results))?;
    }
    Ok(results.wrong_outputs.is_empty())
}

/// Shows a table that is the whole result.
fn finish(options: &Options, table: &str) -> Result<bool, Error> {
    print!("{table}");
    if let Some(file) = &options.markdown {
        write(file, table)?;
    }
    Ok(true)
}

fn write(path: &std::path::Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::File {
        path: path.to_path_buf(),
        source,
    })
}
