//! How long decoding takes, per instruction.

mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn decode(c: &mut Criterion) {
    let words = common::Guest::build("json").words();
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

criterion_group!(benches, decode);
criterion_main!(benches);
