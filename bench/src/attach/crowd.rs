//! What attaching and detaching costs the others when there are many: 64 vCPUs, one of which waits in
//! a system call that nobody ends, and one of which never leaves a loop of one instruction.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::Report;
use super::guest::Guest;
use crate::tools::Tools;
use crate::{Error, Options};

/// With the guest's first one, which waits for the others, one more.
const THREADS: usize = 63;

/// How long all have time to run with a plugin, and without.
const PAUSE: Duration = Duration::from_millis(200);

/// Attachments for each of `--runs`.
const CYCLES: u32 = 10;

/// In microseconds.
const AIM: f64 = 100.0;

/// Percentiles of all vCPUs, in microseconds.
struct Row {
    kind: String,
    count: u64,
    /// p50, p90, p99, p99.9, and the maximum.
    times: Vec<f64>,
}

/// Measures it.
pub fn measure(tools: &Tools, options: &Options, library: &Path) -> Result<Report, Error> {
    let log = tools
        .target
        .join(format!("bench-crowd-{}.hlog", std::process::id()));
    let name = log.to_string_lossy();
    let latencies = ["--latency", "none", "--latency-log", &*name];
    let mut guest = Guest::start(tools, &latencies, THREADS, Some("crowd"))?;
    sleep(10 * PAUSE);
    let mut skews = Vec::new();
    let cycles = CYCLES * options.runs;
    for cycle in 1..=cycles {
        let id = guest.attach(library)?;
        let reached = guest.event("PLUGIN_REACHED")?;
        skews.extend(skew(&reached));
        sleep(PAUSE);
        guest.detach(&id)?;
        guest.event("PLUGIN_DETACHED")?;
        sleep(PAUSE);
        eprintln!("crowd: {cycle} of {cycles}");
    }
    guest.quit()?;
    let rows = merged(tools, &log);
    let _ = std::fs::remove_file(&log);
    Ok(report(&rows?, skews, cycles))
}

/// Between the first and the last vCPU to go by an attachment, in microseconds.
fn skew(reached: &Value) -> Option<f64> {
    Some(reached["taken"]["skew-ns"].as_u64()? as f64 / 1e3)
}

/// What all vCPUs have recorded together.
fn merged(tools: &Tools, log: &Path) -> Result<Vec<Row>, Error> {
    let mut command = Command::new(&tools.hartscope);
    let output = command.arg("merge-latency").arg(log).output();
    let output = output.map_err(|error| Error::Run(format!("merge-latency: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(parse).collect())
}

/// Parses the line of all vCPUs.
fn parse(line: &str) -> Option<Row> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [kind, "all", count, times @ ..] = words.as_slice() else {
        return None;
    };
    let times: Option<Vec<f64>> = times.iter().map(|time| time.parse().ok()).collect();
    Some(Row {
        kind: (*kind).to_owned(),
        count: count.parse().ok()?,
        times: times.filter(|times| times.len() == 5)?,
    })
}

fn report(rows: &[Row], mut skews: Vec<f64>, cycles: u32) -> Report {
    const SHOWN: [(&str, &str); 6] = [
        ("pause", "in a quiescent point that has something to do"),
        (
            "instrument",
            "in the translation of one block for the plugin",
        ),
        ("toll", "all of these from one change to the next"),
        ("kick", "from a request to its being taken (wall time)"),
        ("flip", "from a publication to going over to it (wall time)"),
        (
            "detach",
            "from a detachment until the plugin is not called any more (wall time)",
        ),
    ];
    let mut text = format!(
        "## Nobody waits\n\n64 vCPUs: one waits in a system call, one spins in a loop of one instruction, \
         the first one waits for the others, which work. {cycles} attachments and detachments; all vCPUs' \
         histograms together, in microseconds, the first three of processor time.\n\n\
         | kind | | count | p50 | p90 | p99 | p99.9 | most |\n|---|---|--:|--:|--:|--:|--:|--:|\n"
    );
    for (kind, what) in SHOWN {
        let Some(row) = rows.iter().find(|row| row.kind == kind) else {
            continue;
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "| {kind} | {what} | {} |", row.count);
        for time in &row.times {
            let _ = write!(text, " {time:.1} |");
        }
        text.push('\n');
    }
    skews.sort_by(f64::total_cmp);
    let _ = writeln!(
        text,
        "\nA vCPU is away from guest code for one `pause` or `instrument` at a time (aim: p99.9 of each at \
         most {AIM} µs). Between the first and the last vCPU to go by an attachment: median {:.0} µs, most \
         {:.0} µs, of wall time, in which 61 threads take turns on the machine's cores.",
        skews.get(skews.len() / 2).copied().unwrap_or_default(),
        skews.last().copied().unwrap_or_default(),
    );
    let meets_aim = |kind: &str| {
        let row = rows.iter().find(|row| row.kind == kind);
        row.is_some_and(|row| row.times[3] <= AIM)
    };
    Report {
        text,
        holds: meets_aim("pause") && meets_aim("instrument"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_vcpus_are_read() {
        let row = parse("pause        all  12  1.0 2.0 3.0 4.0 5.5").expect("it is one");
        assert_eq!((row.kind.as_str(), row.count), ("pause", 12));
        assert_eq!(row.times[3], 4.0);
        assert!(parse("pause 3 12 1.0 2.0 3.0 4.0 5.5").is_none());
        assert!(parse("latency (µs) vcpu count p50 p90 p99 p99.9 max").is_none());
    }
}
