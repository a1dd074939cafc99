//! Watching the process: how much it has, and how long grace periods take.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use epoch::Domain;
use serde_json::{Value, json};
use vcpu::latency::Latencies;

use super::violations::Violations;

/// No grace period may take longer, nor any detach. More than enough where 64 vCPUs share one core.
pub const LIMIT: Duration = Duration::from_secs(20);
/// How often the watch looks.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until the other end of `stop` is gone; gives the longest grace period that it has seen.
pub fn grace_periods(
    domain: &Arc<Domain>,
    latencies: &Latencies,
    violations: &Violations,
    stop: &mpsc::Receiver<()>,
) -> Duration {
    let mut longest = Duration::ZERO;
    let mut is_reported = false;
    while stop.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        let age = domain.oldest().map_or(Duration::ZERO, |stall| stall.age);
        longest = longest.max(age);
        let is_late = age > LIMIT;
        if is_late && !is_reported {
            match latencies.stalled(LIMIT) {
                Some(stalled) => violations.note(format_args!("{stalled}")),
                None => violations.note(format_args!("a grace period takes longer than {LIMIT:?}")),
            }
        }
        is_reported = is_late;
    }
    longest
}

/// What the process has when nothing is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sizes {
    /// KiB in memory.
    pub resident: u64,
    /// KiB that were allocated, by hartscope and by plugins.
    pub heap: u64,
    /// Open files.
    pub descriptors: u64,
    /// Mappings.
    pub mappings: u64,
}

impl Sizes {
    pub fn now() -> Sizes {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|line| line.split_whitespace().next()?.parse().ok());
        // SAFETY: only reads numbers.
        let heap = unsafe { libc::mallinfo2() };
        Sizes {
            resident: resident.unwrap_or(0),
            heap: ((heap.uordblks + heap.hblkhd) >> 10) as u64,
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count()) as u64,
            mappings: maps().lines().count() as u64,
        }
    }

    pub fn to_json(self) -> Value {
        json!({
            "resident-kib": self.resident,
            "heap-kib": self.heap,
            "descriptors": self.descriptors,
            "mappings": self.mappings,
        })
    }
}

fn maps() -> String {
    fs::read_to_string("/proc/self/maps").unwrap_or_default()
}

/// What is looked at each time when nothing is attached.
pub struct Quiet {
    /// The plugins' files, which are not mapped then.
    files: Vec<PathBuf>,
    reported: HashSet<PathBuf>,
    samples: Vec<Sizes>,
}

/// A word of [`Sizes`], and by how much it may grow.
struct Measure {
    name: &'static str,
    of: fn(&Sizes) -> u64,
    slack: u64,
}

/// What must not grow. (The resident size does, if the guest's own memory does.)
const MEASURES: [Measure; 3] = [
    Measure {
        name: "KiB of memory are allocated",
        of: |sizes| sizes.heap,
        // A few blocks more or less of translated code.
        slack: 512,
    },
    Measure {
        name: "files are open",
        of: |sizes| sizes.descriptors,
        slack: 0,
    },
    Measure {
        name: "mappings are there",
        of: |sizes| sizes.mappings,
        slack: 0,
    },
];

/// Fewer samples say nothing about growth.
const ENOUGH: usize = 12;

impl Quiet {
    pub fn new(files: Vec<PathBuf>) -> Quiet {
        Quiet {
            files,
            reported: HashSet::new(),
            samples: Vec::new(),
        }
    }

    /// Nothing is attached now.
    pub fn look(&mut self, violations: &Violations) {
        let maps = maps();
        for file in &self.files {
            let is_mapped = maps.contains(&*file.to_string_lossy());
            if is_mapped && self.reported.insert(file.clone()) {
                violations.note(format_args!(
                    "{}: mapped still, after it was closed",
                    file.display()
                ));
            }
        }
        self.samples.push(Sizes::now());
    }

    /// How often that was.
    pub fn count(&self) -> usize {
        self.samples.len()
    }

    /// What the process had when all had settled, and in the end.
    pub fn first_and_last(&self) -> (Sizes, Sizes) {
        let settled = self.samples.get(self.samples.len() / 4);
        let last = self.samples.last();
        (
            settled.copied().unwrap_or_default(),
            last.copied().unwrap_or_default(),
        )
    }

    /// Compares the second quarter of all samples with the last one: what is less than the least of the
    /// last by more than it varies has grown.
    pub fn check_growth(&self, violations: &Violations) {
        if self.samples.len() < ENOUGH {
            return;
        }
        let quarter = self.samples.len() / 4;
        let before = &self.samples[quarter..2 * quarter];
        let after = &self.samples[self.samples.len() - quarter..];
        for Measure { name, of, slack } in MEASURES {
            let most = before.iter().map(of).max().unwrap_or(0);
            let least = after.iter().map(of).min().unwrap_or(0);
            if least > most + most / 50 * slack.min(1) + slack {
                violations.note(format_args!(
                    "{least} {name} when nothing is attached, and there were {most}"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(samples: impl Iterator<Item = Sizes>) -> Quiet {
        Quiet {
            samples: samples.collect(),
            ..Quiet::new(Vec::new())
        }
    }

    fn growth(samples: impl Iterator<Item = Sizes>) -> Vec<String> {
        let violations = Violations::new().expect("there is memory");
        quiet(samples).check_growth(violations);
        violations.list()
    }

    #[test]
    fn what_grows_on_and_on_is_found() {
        let sizes = |number: u64| Sizes {
            resident: 0,
            heap: 5000 + number * 100,
            descriptors: 10 + number,
            mappings: 90 + number,
        };
        let list = growth((0..40).map(sizes));
        assert_eq!(list.len(), 3, "{list:?}");
        assert_eq!(
            list[1],
            "40 files are open when nothing is attached, and there were 29"
        );
    }

    #[test]
    fn what_varies_or_settles_is_not() {
        let sizes = |number: u64| Sizes {
            resident: 0,
            heap: 5000 + number.min(8) * 1000 + number % 3 * 100,
            descriptors: 10 + number % 4,
            mappings: 90 + number.min(5),
        };
        assert_eq!(growth((0..40).map(sizes)), [""; 0]);
        assert_eq!(growth((0..5).map(sizes)), [""; 0], "too few");
    }

    #[test]
    fn a_file_that_is_mapped_is_named_once() {
        let own = std::env::current_exe().expect("it has a name");
        let violations = Violations::new().expect("there is memory");
        let mut quiet = Quiet::new(vec![own, "/nowhere".into()]);
        quiet.look(violations);
        quiet.look(violations);
        assert_eq!((violations.count(), quiet.count()), (1, 2));
        let sizes = quiet.first_and_last().1;
        assert!(
            sizes.resident > 0 && sizes.heap > 0 && sizes.descriptors > 2 && sizes.mappings > 5
        );
    }
}
