//! What was measured, as data.

use std::time::Duration;

use serde::Serialize;

use crate::process::Run;

/// Everything that one run of the benchmark found out.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Where and when it ran, and what.
    pub environment: Environment,
    /// One row a program.
    pub rows: Vec<Row>,
    /// Start-up of a static hello world.
    pub start_up: Option<StartUp>,
    /// Runs whose output differed from the native program's.
    pub wrong_outputs: Vec<String>,
}

/// Where and when the benchmark ran, and what.
#[derive(Debug, Serialize)]
pub struct Environment {
    /// Date (UTC), as in 2026-01-31.
    pub date: String,
    /// The processor and the number of its cores that we have.
    pub machine: String,
    /// The kernel.
    pub kernel: String,
    /// How many processes wanted a core when the run began (the load average of a minute): above
    /// 0, wall times are those of a busy machine.
    pub load: String,
    /// First line of the version of QEMU.
    pub qemu: String,
    /// First line of the version of each compiler.
    pub compilers: [String; 2],
    /// Flags of both.
    pub flags: String,
    /// The commit of this tree, and whether it was changed since.
    pub commit: String,
    /// Which time counts.
    pub clock: Clock,
    /// Runs of each program and contender.
    pub runs: u32,
    /// Amount of work in percent.
    pub scale: u32,
    /// The same for the interpreter.
    pub interp_scale: u32,
}

/// The times of one program.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Name, and number of threads.
    pub program: String,
    /// Whether it counts as a floating-point program.
    pub float: bool,
    /// Guest instructions, if hartscope could count them.
    pub instructions: Option<u64>,
    /// On this machine.
    pub native: Times,
    /// Under QEMU.
    pub qemu: Option<Times>,
    /// Under hartscope.
    pub hartscope: Times,
    /// Under hartscope's interpreter, with less work.
    pub interp: Option<Times>,
    /// On this machine, with as much work as the interpreter had.
    pub native_for_interp: Option<Times>,
}

/// Which time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Wall time of the whole process.
    Wall,
    /// Its processor time, in user mode and in the kernel: for a machine that is busy with other
    /// things. Says nothing of waiting.
    Processor,
}

/// The fastest of some runs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// The time that counts, in milliseconds.
    pub ms: f64,
    /// Wall time of the whole process, in milliseconds.
    pub wall_ms: f64,
    /// User time of that run.
    pub user_ms: f64,
    /// Kernel time of that run.
    pub system_ms: f64,
}

/// Wall times of a static hello world, in milliseconds.
#[derive(Debug, Serialize)]
pub struct StartUp {
    /// On this machine.
    pub native_ms: f64,
    /// Under QEMU.
    pub qemu_ms: Option<f64>,
    /// Under hartscope.
    pub hartscope_ms: f64,
}

impl Times {
    /// The times of one run.
    pub fn of(run: &Run, clock: Clock) -> Times {
        Times {
            ms: match clock {
                Clock::Wall => millis(run.wall),
                Clock::Processor => millis(run.user + run.system),
            },
            wall_ms: millis(run.wall),
            user_ms: millis(run.user),
            system_ms: millis(run.system),
        }
    }

    /// The faster one.
    pub fn min(self, other: Times) -> Times {
        if other.ms < self.ms { other } else { self }
    }
}

impl Row {
    /// QEMU's time over the native one.
    pub fn qemu_over_native(&self) -> Option<f64> {
        Some(self.qemu?.ms / self.native.ms)
    }

    /// Hartscope's time over the native one.
    pub fn hartscope_over_native(&self) -> f64 {
        self.hartscope.ms / self.native.ms
    }

    /// How many times faster than QEMU hartscope is.
    pub fn qemu_over_hartscope(&self) -> Option<f64> {
        Some(self.qemu?.ms / self.hartscope.ms)
    }

    /// The interpreter's time over the native one.
    pub fn interp_over_native(&self) -> Option<f64> {
        Some(self.interp?.ms / self.native_for_interp?.ms)
    }
}

/// Geometric mean, if there is any value.
pub fn geomean(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let (mut logs, mut count) = (0.0, 0u32);
    for value in values.into_iter().flatten() {
        logs += value.ln();
        count += 1;
    }
    (count > 0).then(|| (logs / f64::from(count)).exp())
}

/// The results as JSON.
pub fn to_json(results: &Results) -> String {
    // Numbers, strings and arrays of them: nothing that could fail.
    serde_json::to_string_pretty(results).unwrap_or_default() + "\n"
}

fn millis(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geometric_mean_leaves_out_what_was_not_measured() {
        let mean = geomean([Some(2.0), None, Some(8.0)]).expect("two values");
        assert!((mean - 4.0).abs() < 1e-12);
        assert_eq!(geomean([None]), None);
    }
}
