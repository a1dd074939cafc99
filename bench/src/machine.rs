//! Names the machine, the date and the versions, so that a table can be judged later.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::results::Environment;
use crate::tools::{ROOT, Tools};
use crate::{Options, build};

/// What the results were got with.
pub fn environment(tools: &Tools, options: &Options) -> Environment {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    Environment {
        date: date(seconds / 86400),
        machine: format!("{}, {} cores", processor(), cores()),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .map_or_else(|_| "unknown".to_owned(), |s| s.trim().to_owned()),
        load: load(),
        qemu: Tools::version(&tools.qemu),
        compilers: [
            Tools::version(&tools.native_cc),
            Tools::version(&tools.guest_cc),
        ],
        flags: build::FLAGS.join(" "),
        commit: commit(),
        clock: options.clock(),
        runs: options.runs,
        scale: options.scale,
        interp_scale: options.interp_scale,
    }
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|l| l.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let name = field("model name").unwrap_or_else(|| "unknown processor".to_owned());
    match (field("cpu family"), field("model\t")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

fn load() -> String {
    let loads = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = loads.split(' ').next().filter(|load| !load.is_empty());
    minute.unwrap_or("unknown").to_owned()
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(["-C", ROOT]).args(args).output();
        output
            .ok()
            .filter(|o| o.status.success())
            .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
    };
    let Some(head) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => head,
        _ => format!("{head} with changes"),
    }
}

/// The Gregorian date of a day since 1970-01-01. Years are counted from a first of March, so that
/// the leap day is the last one of its year.
fn date(days: u64) -> String {
    const DAYS_TO_EPOCH: u64 = 719_468; // from 0000-03-01
    const CYCLE: u64 = 146_097; // 400 years
    let shifted = days + DAYS_TO_EPOCH;
    let (cycle, day) = (shifted / CYCLE, shifted % CYCLE);
    let year_of_cycle = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = cycle * 400 + year_of_cycle + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(11_017), "2000-03-01");
        assert_eq!(date(19_723), "2024-01-01");
        assert_eq!(date(20_453), "2025-12-31");
    }
}
