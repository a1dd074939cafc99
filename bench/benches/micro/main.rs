//! Micro-benchmarks: `cargo bench -p bench`, or `cargo bench -p bench -- lookup` for some of them.
//!
//! Their input is a guest program of `guests/`, built on the spot. What they report is processor
//! time.

mod cpu_time;
mod decode;
mod dispatch;
mod guest;
mod lookup;
mod translate;

use cpu_time::CpuTime;
use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = decode::decode, translate::translate, lookup::cache, dispatch::dispatch
}
criterion_main!(benches);
