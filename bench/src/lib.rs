//! Benchmarks: guest programs and micro-benchmarks.
