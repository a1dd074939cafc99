//! Loom models of the shipped concurrency code.
