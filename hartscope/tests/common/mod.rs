//! What the tests that run guests share: building them, and running commands within bounds.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod attached;
pub mod control;
pub mod elf;
pub mod plugins;
pub mod process;
pub mod table;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The binary under test.
pub const HARTSCOPE: &str = env!("CARGO_BIN_EXE_hartscope");

/// The reference emulator.
pub const QEMU: &str = "qemu-riscv64";

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where tests put what they build.
pub fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// Asserts that `hartscope/NAME/NAME.elf`, a guest that is built in, is what its sources say.
pub fn assert_is_built(name: &str) {
    let sources = repository().join("hartscope");
    let file = |ending: &str| sources.join(format!("{name}/{name}.{ending}"));
    let rebuilt = scratch().join(format!("{name}.elf"));
    let build = Command::new("sh")
        .arg(sources.join("demo/build.sh"))
        .args([&rebuilt, &file("c")])
        .output()
        .expect("there is a shell");
    let errors = String::from_utf8_lossy(&build.stderr);
    assert!(build.status.success(), "{errors}");
    let committed = std::fs::read(file("elf")).expect("it is committed");
    let rebuilt = std::fs::read(&rebuilt).expect("build.sh writes it");
    assert!(
        committed == rebuilt,
        "{name}.elf is not what build.sh makes: run 'cargo xtask demo-guest' with Debian's \
         riscv64-linux-gnu-gcc 12"
    );
}

/// The machine that a guest is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    Riscv64,
    Native,
}

/// Compiles a C program statically and returns where it is.
///
/// Both machines get the same flags; contraction to fused operations is off because the two
/// would not round alike.
pub fn compile<S: AsRef<OsStr>>(
    source: &Path,
    machine: Machine,
    extra: &[S],
) -> Result<PathBuf, String> {
    let (compiler, directory) = match machine {
        Machine::Riscv64 => ("riscv64-linux-gnu-gcc", "riscv64"),
        Machine::Native => ("gcc", "native"),
    };
    let directory = scratch().join(directory);
    std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    let program = directory.join(source.file_stem().unwrap_or_default());
    let output = Command::new(compiler)
        .args([
            "-O2",
            "-static",
            "-pthread",
            "-std=gnu11",
            "-Wall",
            "-ffp-contract=off",
        ])
        .arg("-o")
        .arg(&program)
        .arg(source)
        .args(extra)
        .arg("-lm")
        .output()
        .map_err(|error| format!("{compiler}: {error}: run 'cargo xtask setup'"))?;
    if output.status.success() {
        Ok(program)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Compiles `tests/guests/NAME.c` for riscv64.
pub fn guest(name: &str) -> PathBuf {
    let source = repository().join(format!("tests/guests/{name}.c"));
    compile::<&str>(&source, Machine::Riscv64, &[]).unwrap_or_else(|error| panic!("{error}"))
}
