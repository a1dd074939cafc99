//! The table, for the terminal and as Markdown.

use std::fmt::Write;

use crate::results::{Clock, Results, Row, geomean};

const HEADINGS: [&str; 7] = [
    "program",
    "instructions",
    "native ms",
    "QEMU/native",
    "hartscope/native",
    "QEMU/hartscope",
    "interp/native",
];

/// The table and what it says, for the terminal.
pub fn text(results: &Results) -> String {
    let mut cells = vec![HEADINGS.map(str::to_owned)];
    cells.extend(lines(results));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| {
            let widths = cells.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or_default()
        })
        .collect();
    let mut out = String::new();
    for row in &cells {
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(out, "{cell:<width$}"),
                _ => write!(out, "  {cell:>width$}"),
            };
        }
        out.push('\n');
    }
    out.push('\n');
    for note in notes(results) {
        out.push_str(&note);
        out.push('\n');
    }
    out
}

/// The same as Markdown.
pub fn markdown(results: &Results) -> String {
    let mut out = String::from("# Benchmark results\n\n");
    out.push_str("Written by `cargo run --release -p bench -- --markdown FILE`.\n\n");
    let row = |cells: &[String; 7]| format!("| {} |\n", cells.join(" | "));
    out.push_str(&row(&HEADINGS.map(str::to_owned)));
    out.push_str("|---|--:|--:|--:|--:|--:|--:|\n");
    for cells in lines(results) {
        out.push_str(&row(&cells));
    }
    out.push('\n');
    for note in notes(results) {
        let _ = writeln!(out, "- {note}");
    }
    out
}

fn lines(results: &Results) -> Vec<[String; 7]> {
    let float: Vec<&Row> = results.rows.iter().filter(|r| r.float).collect();
    let all: Vec<&Row> = results.rows.iter().collect();
    let mut lines: Vec<_> = results.rows.iter().map(line).collect();
    if float.len() > 1 && float.len() < all.len() {
        lines.push(means("geomean, floating point", &float));
    }
    if all.len() > 1 {
        lines.push(means("geomean, all", &all));
    }
    lines
}

fn line(row: &Row) -> [String; 7] {
    [
        row.program.clone(),
        row.instructions
            .map_or_else(not_there, |n| format!("{:.0} M", n as f64 / 1e6)),
        format!("{:.1}", row.native.ms),
        ratio(row.qemu_over_native()),
        ratio(Some(row.hartscope_over_native())),
        ratio(row.qemu_over_hartscope()),
        ratio(row.interp_over_native()),
    ]
}

fn means(label: &str, rows: &[&Row]) -> [String; 7] {
    let mean = |f: fn(&Row) -> Option<f64>| ratio(geomean(rows.iter().map(|r| f(r))));
    [
        label.to_owned(),
        String::new(),
        String::new(),
        mean(Row::qemu_over_native),
        mean(|r| Some(r.hartscope_over_native())),
        mean(Row::qemu_over_hartscope),
        mean(Row::interp_over_native),
    ]
}

fn notes(results: &Results) -> Vec<String> {
    let e = &results.environment;
    let mut notes = vec![
        format!(
            "{}: {}, Linux {}, load average at the start {}, commit {}",
            e.date, e.machine, e.kernel, e.load, e.commit
        ),
        format!("{}; {}; {}", e.qemu, e.compilers[0], e.compilers[1]),
        format!(
            "both compiled with {}; {} of whole processes, minimum of {} interleaved runs; \
             work {} %, for interp/native {} %",
            e.flags,
            match e.clock {
                Clock::Wall => "wall time",
                Clock::Processor => "processor time",
            },
            e.runs,
            e.scale,
            e.interp_scale
        ),
    ];
    let slowest = results
        .rows
        .iter()
        .filter_map(|r| Some((r.qemu_over_hartscope()?, &r.program)))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((ratio, program)) = slowest {
        notes.push(format!("least faster than QEMU: {program}, {ratio:.2} ×"));
    }
    if let Some(s) = &results.start_up {
        let qemu = s.qemu_ms.map_or_else(not_there, |ms| format!("{ms:.1}"));
        notes.push(format!(
            "start-up of a static hello world, minimum of 30: hartscope {:.1} ms, QEMU {qemu} ms, \
             native {:.1} ms",
            s.hartscope_ms, s.native_ms
        ));
    }
    if results.rows.iter().any(|r| r.instructions.is_none()) {
        notes.push("hartscope gave no instruction count for some programs".to_owned());
    }
    match results.wrong_outputs.as_slice() {
        [] => notes.push("every run printed what the native program prints".to_owned()),
        wrong => notes.push(format!("WRONG OUTPUT: {}", wrong.join("; "))),
    }
    notes
}

fn ratio(value: Option<f64>) -> String {
    value.map_or_else(not_there, |v| format!("{v:.2}"))
}

fn not_there() -> String {
    "–".to_owned()
}
