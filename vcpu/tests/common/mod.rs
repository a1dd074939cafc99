//! What the tests share: guest code assembled by hand, and a small world for it to run in.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod asm;
pub mod world;
