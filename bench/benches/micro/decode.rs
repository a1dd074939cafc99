//! How long decoding takes, per instruction.

use std::hint::black_box;

use criterion::{Criterion, Throughput};

use crate::cpu_time::CpuTime;
use crate::guest::Guest;

/// Over the text of a statically linked program.
pub fn decode(c: &mut Criterion<CpuTime>) {
    let words = Guest::build("json").words();
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(words.len() as u64));
    group.bench_function("text of json", |b| {
        b.iter(|| {
            for &word in &words {
                black_box(riscv::decode(black_box(word)));
            }
        });
    });
    group.finish();
}
