//! What each op means: directed cases through the interpreter.

mod control;
mod float;
mod integer;
mod memory;
mod world;
