//! What a profile looks like.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;

use inferno::flamegraph::{self, Options};

use super::rows::Row;

/// A row for each function that was executed, the most executed first, with a column for each vCPU
/// that executed anything; last the sums.
pub fn table(rows: &[Row]) -> String {
    let mut sums: Vec<u64> = Vec::new();
    for row in rows {
        sums.resize(sums.len().max(row.counts.len()), 0);
        for (sum, count) in sums.iter_mut().zip(&row.counts) {
            *sum += count;
        }
    }
    let all: u64 = sums.iter().sum();
    let vcpus: Vec<usize> = (0..sums.len()).filter(|&vcpu| sums[vcpu] != 0).collect();
    let mut text = format!("{:>15} {:>6}", "instructions", "%");
    // Writing to a string cannot fail.
    for vcpu in &vcpus {
        let _ = write!(text, " {:>15}", format!("vcpu {vcpu}"));
    }
    text.push_str("  function\n");
    let mut line = |name: &str, counts: &[u64]| {
        let total: u64 = counts.iter().sum();
        let percent = 100.0 * total as f64 / all.max(1) as f64;
        let _ = write!(text, "{total:>15} {percent:>6.2}");
        for &vcpu in &vcpus {
            let _ = write!(text, " {:>15}", counts.get(vcpu).unwrap_or(&0));
        }
        let _ = writeln!(text, "  {name}");
    };
    let mut sorted: Vec<&Row> = rows.iter().filter(|row| row.total() != 0).collect();
    sorted.sort_by(|a, b| {
        b.total()
            .cmp(&a.total())
            .then_with(|| a.frames.cmp(&b.frames))
    });
    for row in sorted {
        line(&row.frames.join(" > "), &row.counts);
    }
    line("(all)", &sums);
    text
}

/// A line for each stack: its functions, outermost first, and how many instructions.
pub fn folded(rows: &[Row]) -> String {
    let mut stacks: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.total() != 0) {
        // What divides frames cannot be in them.
        let frames: Vec<String> = row
            .frames
            .iter()
            .map(|name| name.replace(';', ":"))
            .collect();
        *stacks.entry(frames.join(";")).or_default() += row.total();
    }
    let lines = stacks
        .iter()
        .map(|(stack, count)| format!("{stack} {count}\n"));
    lines.collect()
}

/// A picture.
pub fn flame_graph(rows: &[Row], title: &str) -> io::Result<Vec<u8>> {
    let mut options = Options::default();
    options.title = title.to_owned();
    options.count_name = "instructions".to_owned();
    options.deterministic = true;
    let text = folded(rows);
    let mut picture = Vec::new();
    match flamegraph::from_lines(&mut options, text.lines(), &mut picture) {
        // It has drawn that there is nothing.
        Err(_) if text.is_empty() => Ok(picture),
        drawn => drawn.map(|()| picture),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, counts: &[u64]) -> Row {
        Row {
            frames: vec![name.into()],
            counts: counts.to_vec(),
        }
    }

    fn rows() -> Vec<Row> {
        vec![
            row("idle", &[0, 0, 0]),
            row("b", &[3, 0, 1]),
            row("<[T; 2] as A>::a", &[10, 0, 2]),
            row("b", &[0, 0, 4]),
        ]
    }

    #[test]
    fn a_table_has_a_column_for_each_vcpu_that_did_anything() {
        let text = table(&rows());
        let words: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            words,
            [
                "instructions % vcpu 0 vcpu 2 function",
                "12 60.00 10 2 <[T; 2] as A>::a",
                "4 20.00 3 1 b",
                "4 20.00 0 4 b",
                "20 100.00 13 7 (all)",
            ]
            .map(|line| line.split(' ').collect::<Vec<_>>())
        );
    }

    #[test]
    fn folded_stacks_have_a_line_for_each_name() {
        assert_eq!(folded(&rows()), "<[T: 2] as A>::a 12\nb 8\n");
    }

    #[test]
    fn a_flame_graph_is_a_picture_of_the_same() {
        let picture = flame_graph(&rows(), "<guest>").expect("it can be drawn");
        let text = String::from_utf8(picture).expect("it is text");
        assert!(
            text.contains("<svg") && text.contains("&lt;guest&gt;"),
            "{text}"
        );
        assert!(
            text.contains("&lt;[T: 2] as A&gt;::a (12 instructions, 60.00%)"),
            "{text}"
        );
    }

    #[test]
    fn nothing_executed_is_no_error() {
        assert_eq!(folded(&[]), "");
        assert!(table(&[]).contains("0   0.00  (all)"));
        assert!(flame_graph(&[], "x").is_ok());
    }
}
