//! What it costs that plugins come and go while a guest runs.

mod crowd;
mod guest;
mod throughput;

use std::fmt::Write;

use crate::tools::Tools;
use crate::{Error, Options, machine, plugins};

pub use guest::PROGRAM;

/// The plugin that comes and goes: it counts blocks.
const PLUGIN: &str = "bb.so";

/// What has been measured.
pub struct Report {
    /// As Markdown.
    pub text: String,
    /// Whether all aims are met.
    pub holds: bool,
}

/// Measures all of it.
pub fn costs(tools: &Tools, options: &Options) -> Result<Report, Error> {
    let library = plugins::build(tools)?.join(PLUGIN);
    let environment = machine::environment(tools, options);
    let mut report = Report {
        text: format!(
            "# What it costs that plugins come and go\n\n\
             Written by `cargo run --release -p bench -- --attach --markdown FILE`. The plugin is \
             `{PLUGIN}`, which counts blocks; it comes and goes by the control socket. The guest is \
             `bench/guests/{PROGRAM}.c`.\n"
        ),
        holds: true,
    };
    report.add(throughput::measure(tools, options, &library)?);
    report.add(crowd::measure(tools, options, &library)?);
    let _ = writeln!(
        report.text,
        "\n{}: {}, Linux {}, load average at the start {}, commit {}, {} rounds.",
        environment.date,
        environment.machine,
        environment.kernel,
        environment.load,
        environment.commit,
        options.runs,
    );
    Ok(report)
}

impl Report {
    fn add(&mut self, part: Report) {
        self.text.push('\n');
        self.text += &part.text;
        self.holds &= part.holds;
    }
}

/// The middle one of some numbers; 0 if there are none.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

/// The host's monotonic clock in nanoseconds, which is the guest's, too.
fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is there to be filled in.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
