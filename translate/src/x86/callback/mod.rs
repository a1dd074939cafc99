//! What callbacks do, read from their machine code.
//!
//! * `clobbers`: which registers a call must save.
//! * `evaluate`: callbacks that do nothing but add to counters need not be called at all.
//! * `code`: instructions, and how one function leads to another.

mod clobbers;
mod code;
mod evaluate;
mod value;

pub use evaluate::{Board, Evaluated, Known, Library, Refused, Role};
pub use value::Linear;
