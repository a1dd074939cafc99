//! Instrumentation: callback sets, filling instrumentation points, plugin lifecycle.
//!
//! What is instrumented is an immutable [`InstrumentationSet`]; its id is part of every block's
//! key, so that blocks of several sets live side by side and a set that comes back finds its blocks
//! again. [`fill()`] puts a set's wishes into a block's instrumentation points. [`Published`] is how
//! an immutable snapshot reaches vCPUs that never wait for it.

mod fill;
pub mod published;
mod set;

pub use fill::fill;
pub use published::{Published, Reader};
pub use set::InstrumentationSet;
