//! Percentiles, a row for each vCPU.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde_json::Value;

/// What one vCPU has recorded of one kind.
pub struct Row {
    pub kind: String,
    pub vcpu: String,
    /// In nanoseconds.
    pub histogram: Histogram<u64>,
}

/// Those that are shown, besides the maximum.
pub const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

const TITLE: &str = "latency (µs)";

fn width<'a>(kinds: impl Iterator<Item = &'a str>) -> usize {
    let widest = kinds.map(|kind| kind.chars().count()).max();
    widest.unwrap_or_default().max(TITLE.chars().count())
}

fn headline(width: usize) -> String {
    let mut text = format!("{TITLE:width$} {:>4} {:>10}", "vcpu", "count");
    for percentile in PERCENTILES {
        // Writing to a string cannot fail.
        let _ = write!(text, " {:>10}", format!("p{percentile}"));
    }
    let _ = writeln!(text, " {:>10}", "max");
    text
}

/// The rows under a headline, in microseconds.
pub fn print(rows: &[Row]) -> String {
    let width = width(rows.iter().map(|row| row.kind.as_str()));
    let mut text = headline(width);
    for Row {
        kind,
        vcpu,
        histogram,
    } in rows
    {
        let _ = write!(text, "{kind:width$} {vcpu:>4} {:>10}", histogram.len());
        let percentiles = PERCENTILES.map(|percentile| histogram.value_at_percentile(percentile));
        for value in percentiles.into_iter().chain([histogram.max()]) {
            let _ = write!(text, " {:>10.1}", value as f64 / 1e3);
        }
        text.push('\n');
    }
    text
}

/// The same of what a guest has sent ([`super::query`]).
pub fn print_answer(answer: &Value) -> String {
    let rows = || answer["latencies"].as_array().into_iter().flatten();
    let kind = |row: &Value| row["kind"].as_str().unwrap_or_default().to_owned();
    let kinds: Vec<String> = rows().map(kind).collect();
    let width = width(kinds.iter().map(String::as_str));
    let mut text = headline(width);
    for (row, kind) in rows().zip(&kinds) {
        let number = |name: &str| row[name].as_u64().unwrap_or_default();
        let (vcpu, count) = (number("cpu-index"), number("count"));
        let _ = write!(text, "{kind:width$} {vcpu:>4} {count:>10}");
        let names = PERCENTILES.map(|percentile| format!("p{percentile}-ns"));
        for name in names.iter().map(String::as_str).chain(["max-ns"]) {
            let _ = write!(text, " {:>10.1}", number(name) as f64 / 1e3);
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_stand_under_their_names() {
        let mut histogram = Histogram::new(2).expect("two digits are possible");
        for value in 1..=1000_u64 {
            histogram.record(1000 * value).expect("it resizes");
        }
        let row = Row {
            kind: "kick".into(),
            vcpu: "3".into(),
            histogram,
        };
        let text = print(&[row]);
        let words: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            words[0][3..],
            ["count", "p50", "p90", "p99", "p99.9", "max"]
        );
        assert_eq!(words[1][..3], ["kick", "3", "1000"]);
        let median: f64 = words[1][3].parse().expect("a number");
        assert!((495.0..=505.0).contains(&median), "{median}");
        let lengths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert_eq!(lengths[0], lengths[1]);
    }
}
