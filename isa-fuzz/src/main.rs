//! `isa-fuzz`: random instructions through every back end and QEMU.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    isa_fuzz::cli::main(&arguments)
}
