//! Instruction-level truth: generated guest programs whose output must be the same, byte for byte,
//! wherever they run.
//!
//! * `generate`: random programs, from a seed; `directed`: every instruction on edge cases.
//! * `program`, `frame`, `layout`, `asm`, `elf`: what a program is, and what it writes.
//! * `run`: the runners: QEMU, `hartscope` with both back ends, and both back ends in this process.
//! * `output`: what two outputs disagree about; `shrink`: the least program that shows it.
//! * `campaign`, `report`, `cli`: many programs, and what a person sees.

pub mod asm;
pub mod campaign;
pub mod cli;
pub mod directed;
pub mod elf;
pub mod frame;
pub mod generate;
pub mod layout;
pub mod output;
pub mod program;
pub mod report;
pub mod rng;
pub mod run;
pub mod shrink;
pub mod values;
