//! The quick slice of the differential test, against QEMU and in this process, and tests of the
//! machinery itself. The whole of it, with the `hartscope` binary: `cargo xtask fuzz`.
//!
//! Needs `qemu-riscv64` (Debian: qemu-user).

mod agreement;
mod loader;
mod machinery;
mod manual;

use std::time::Duration;

use isa_fuzz::run::Runner;
use isa_fuzz::run::inprocess::{Backend, InProcess};
use isa_fuzz::run::process::ProcessRunner;

/// QEMU first, then everything in this process.
fn runners() -> Vec<Box<dyn Runner>> {
    vec![
        Box::new(ProcessRunner::qemu(Duration::from_secs(20))),
        Box::new(InProcess::new(Backend::Plain)),
        Box::new(InProcess::new(Backend::Interpreter)),
        Box::new(InProcess::new(Backend::Emitter)),
    ]
}
