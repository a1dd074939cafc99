//! The run loop with guest code assembled by hand, on both back ends.

#[path = "../common/mod.rs"]
mod common;

mod cache;
mod concurrency;
mod counts;
mod faults;
mod flags;
mod flow;
mod host;
mod latency;
