//! Loom models of the shipped concurrency code.
//!
//! The models are the integration tests of this crate: `tests/models/`. They exist only under
//! `--cfg hartscope_loom`, which swaps the primitives behind `epoch::sync`; `ci/loom.sh` runs them
//! and the mutation check, and states their bound and their time.
