//! What there is to be read: one histogram for each kind and vCPU.

use plugin_rt::Runtime;
use serde_json::{Value, json};
use vcpu::latency::{Counts, Kind, Latencies};

use super::table::{PERCENTILES, Row};

/// What one vCPU has recorded of one kind.
pub struct Series {
    /// One of [`Kind`], or the callbacks of a plugin: `callback:NAME`, `tb_trans:NAME`.
    pub kind: String,
    pub vcpu: usize,
    pub counts: Counts,
}

/// All that has been recorded so far, by kind, then by vCPU.
pub fn read(latencies: &Latencies, plugins: Option<&Runtime>) -> Vec<Series> {
    let vcpus = latencies.vcpus();
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let counts = vcpus.iter().map(|vcpu| vcpu.of(kind).clone());
        all.extend(series(kind.name().to_owned(), counts));
    }
    for times in plugins.map(Runtime::callback_times).unwrap_or_default() {
        let name = &times.plugin;
        all.extend(series(
            format!("tb_trans:{name}"),
            times.translations.into_iter(),
        ));
        all.extend(series(
            format!("callback:{name}"),
            times.callbacks.into_iter(),
        ));
    }
    all
}

fn series(kind: String, counts: impl Iterator<Item = Counts>) -> impl Iterator<Item = Series> {
    let numbered = counts.enumerate().filter(|(_, counts)| !counts.is_empty());
    numbered.map(move |(vcpu, counts)| Series {
        kind: kind.clone(),
        vcpu,
        counts,
    })
}

impl Series {
    /// As a line of a table.
    pub fn row(&self) -> Row {
        Row {
            kind: self.kind.clone(),
            vcpu: self.vcpu.to_string(),
            histogram: self.counts.histogram(),
        }
    }

    /// As an object. Times are in nanoseconds.
    pub fn json(&self) -> Value {
        let histogram = self.counts.histogram();
        let mut object = json!({
            "kind": self.kind,
            "cpu-index": self.vcpu,
            "count": histogram.len(),
            "max-ns": histogram.max(),
        });
        for percentile in PERCENTILES {
            let name = format!("p{percentile}-ns");
            object[name] = histogram.value_at_percentile(percentile).into();
        }
        object
    }
}
