//! Models of the shipped concurrency code, and the check that they notice weakened orderings.
//!
//! Rules for models:
//!
//! 1. They drive the public interfaces of the shipped crates; nothing is copied.
//! 2. Nobody but the code under test synchronises: shared flags of a model are `Relaxed`, counters
//!    that loom must not see are the standard library's.
//! 3. Whatever may be freed holds a loom cell, which the freeing job writes: loom reports a reader
//!    that is not ordered with it.
//! 4. Each model lists the outcomes it must reach ([`support::explore`]): a model that explores a
//!    single interleaving proves nothing.
//! 5. A model fails if a job is forgotten: liveness is asserted after all threads have ended.

#![cfg(hartscope_loom)]

mod areas;
mod epoch_domain;
mod epoch_scan;
mod epoch_slots;
mod lifecycle;
mod mutations;
mod published;
mod support;
mod tb_index;
mod tb_life;
mod tb_sets;
mod world;
