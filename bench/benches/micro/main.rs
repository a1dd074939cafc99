//! Micro-benchmarks: `cargo bench -p bench`, or `cargo bench -p bench -- lookup` for some of them.
//!
//! Their input is a guest program of `guests/`, built on the spot.

mod decode;
mod guest;
mod lookup;
mod translate;

use criterion::{criterion_group, criterion_main};

criterion_group!(benches, decode::decode, translate::translate, lookup::cache);
criterion_main!(benches);
