//! The hartscope command line.
fn main() {}
