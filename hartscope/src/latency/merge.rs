//! `hartscope merge-latency`: logs of several runs, perhaps of several machines, as one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;

use super::log::{self, Interval, ReadLog};
use super::table::{self, Row};
use crate::cli::MergeOptions;
use crate::{fail, print};

/// Prints the table of all, and writes a log of all if that is wanted; returns the exit status.
pub fn run(options: &MergeOptions) -> i32 {
    let mut merged = Merged::default();
    for path in &options.files {
        if let Err(why) = read(path).and_then(|log| merged.add(log)) {
            return fail(&format!("{}: {why}", path.display()), 1);
        }
    }
    if let Some(path) = &options.output
        && let Err(error) = merged.log().and_then(|text| fs::write(path, text))
    {
        let path = path.display();
        return fail(&format!("cannot write the latency log: {path}: {error}"), 1);
    }
    print(&table::print(&merged.rows()))
}

fn read(path: &Path) -> Result<ReadLog, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    ReadLog::parse(&bytes).map_err(|error| error.to_string())
}

/// What all logs say together.
#[derive(Default)]
struct Merged {
    /// By tag.
    histograms: BTreeMap<String, Histogram<u64>>,
    /// From the first interval's start to the last one's end, since the epoch.
    span: Option<(Duration, Duration)>,
}

impl Merged {
    fn add(&mut self, log: ReadLog) -> Result<(), String> {
        for interval in log.intervals {
            let start = log.base.saturating_add(interval.start);
            let end = start.saturating_add(interval.length);
            let (first, last) = self.span.unwrap_or((start, end));
            self.span = Some((first.min(start), last.max(end)));
            add(self.histograms.entry(interval.tag), interval.histogram)?;
        }
        Ok(())
    }

    /// A row for each vCPU, and one for all of them if there are several.
    fn rows(&self) -> Vec<Row> {
        let mut kinds: BTreeMap<&str, BTreeMap<Option<u32>, &Histogram<u64>>> = BTreeMap::new();
        for (tag, histogram) in &self.histograms {
            let (vcpu, kind) = match log::parts(tag) {
                Some((vcpu, kind)) => (Some(vcpu), kind),
                None => (None, tag.as_str()),
            };
            kinds.entry(kind).or_default().insert(vcpu, histogram);
        }
        let mut rows = Vec::new();
        for (kind, vcpus) in kinds {
            let row = |vcpu: String, histogram: Histogram<u64>| Row {
                kind: if kind.is_empty() { "-" } else { kind }.into(),
                vcpu,
                histogram,
            };
            for (vcpu, histogram) in &vcpus {
                let vcpu = vcpu.map_or("-".into(), |vcpu| vcpu.to_string());
                rows.push(row(vcpu, (*histogram).clone()));
            }
            if vcpus.len() > 1 {
                let mut all = BTreeMap::new();
                for histogram in vcpus.into_values() {
                    // These have been added to others before.
                    let _ = add(all.entry(()), histogram.clone());
                }
                rows.extend(all.into_values().map(|all| row("all".into(), all)));
            }
        }
        rows
    }

    /// A log with one interval for each tag.
    fn log(&self) -> std::io::Result<Vec<u8>> {
        let (start, end) = self.span.unwrap_or_default();
        let base = SystemTime::UNIX_EPOCH.checked_add(start);
        let mut text = log::header(base.unwrap_or(SystemTime::UNIX_EPOCH))?;
        for (tag, histogram) in &self.histograms {
            let interval = Interval {
                tag: tag.clone(),
                start: Duration::ZERO,
                length: end - start,
                histogram: histogram.clone(),
            };
            interval.write(&mut V2DeflateSerializer::new(), &mut text)?;
        }
        Ok(text)
    }
}

/// Adds a histogram to what is in a map.
fn add<K: Ord>(
    entry: std::collections::btree_map::Entry<'_, K, Histogram<u64>>,
    histogram: Histogram<u64>,
) -> Result<(), String> {
    use std::collections::btree_map::Entry;
    match entry {
        Entry::Vacant(entry) => {
            entry.insert(histogram).auto(true);
            Ok(())
        }
        Entry::Occupied(mut entry) => entry
            .get_mut()
            .add(&histogram)
            .map_err(|error| format!("a histogram cannot be added to the others: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(base: u64, tag: &str, digits: u8, values: &[u64]) -> ReadLog {
        let mut histogram = Histogram::new(digits).expect("possible digits");
        for &value in values {
            histogram.record(value).expect("it resizes");
        }
        ReadLog {
            base: Duration::from_secs(base),
            intervals: vec![Interval {
                tag: tag.into(),
                start: Duration::from_secs(1),
                length: Duration::from_secs(1),
                histogram,
            }],
        }
    }

    #[test]
    fn logs_add_up_by_tag() {
        let mut merged = Merged::default();
        for log in [
            log(100, "vcpu0.kick", 2, &[10, 20]),
            log(200, "vcpu0.kick", 3, &[5_000_000_000]),
            log(200, "vcpu10.kick", 2, &[7]),
            log(200, "vcpu2.kick", 2, &[7]),
            log(300, "", 2, &[1]),
        ] {
            merged.add(log).expect("they can be added");
        }
        let rows: Vec<(String, String, u64)> = merged
            .rows()
            .into_iter()
            .map(|row| (row.kind, row.vcpu, row.histogram.len()))
            .collect();
        let row = |kind: &str, vcpu: &str, len| (kind.to_owned(), vcpu.to_owned(), len);
        assert_eq!(
            rows,
            [
                row("-", "-", 1),
                row("kick", "0", 3),
                row("kick", "2", 1),
                row("kick", "10", 1),
                row("kick", "all", 5),
            ]
        );
        let text = merged.log().expect("memory is writable");
        let again = ReadLog::parse(&text).expect("it is a log");
        assert_eq!(again.base, Duration::from_secs(101));
        assert_eq!(again.intervals.len(), 4);
        assert_eq!(again.intervals[0].length, Duration::from_secs(201));
    }
}
