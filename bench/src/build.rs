//! Builds the guest programs for both machines, with the same flags.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::programs::Program;
use crate::tools::{GUESTS, Tools};
use crate::{Error, attach};

/// No fused multiply-adds, so that floating-point results are the same bits on both machines.
pub const FLAGS: [&str; 4] = ["-O2", "-ffp-contract=off", "-static", "-pthread"];
const LIBRARIES: [&str; 1] = ["-lm"];

/// The program for the start-up measurement.
pub const HELLO: &str = "hello";

/// The program for the measurement of guests that run.
pub const ROUNDS: &str = "rounds";

/// A program's binary for this machine.
pub fn native(tools: &Tools, name: &str) -> PathBuf {
    tools.guest_dir().join("native").join(name)
}

/// A program's binary for riscv64.
pub fn riscv64(tools: &Tools, name: &str) -> PathBuf {
    tools.guest_dir().join("riscv64").join(name)
}

/// Builds what is missing or older than the sources.
pub fn guests(tools: &Tools, programs: &[Program]) -> Result<(), Error> {
    let measured = programs.iter().map(|program| program.name);
    let names: BTreeSet<&str> = measured.chain([HELLO, ROUNDS, attach::PROGRAM]).collect();
    let sources_changed = newest_source()?;
    for (cc, binary) in [
        (&tools.native_cc, native as fn(&Tools, &str) -> PathBuf),
        (&tools.guest_cc, riscv64),
    ] {
        let dir = binary(tools, "");
        fs::create_dir_all(&dir).map_err(at(&dir))?;
        forget_other_flags(cc, &dir)?;
        for name in &names {
            let out = binary(tools, name);
            if modified(&out).is_none_or(|built| built < sources_changed) {
                compile(cc, name, &out)?;
            }
        }
    }
    Ok(())
}

/// Removes the binaries in `dir` if they were built by another compiler or with other flags.
fn forget_other_flags(cc: &Path, dir: &Path) -> Result<(), Error> {
    let stamp = dir.join(".flags");
    let now = format!("{} {FLAGS:?} {LIBRARIES:?}", Tools::version(cc));
    if fs::read_to_string(&stamp).is_ok_and(|then| then == now) {
        return Ok(());
    }
    fs::remove_dir_all(dir).map_err(at(dir))?;
    fs::create_dir_all(dir).map_err(at(dir))?;
    fs::write(&stamp, now).map_err(at(&stamp))
}

fn compile(cc: &Path, name: &str, out: &Path) -> Result<(), Error> {
    let source = Path::new(GUESTS).join(format!("{name}.c"));
    let output = Command::new(cc)
        .args(FLAGS)
        .args(["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(out)
        .arg(&source)
        .args(LIBRARIES)
        .output()
        .map_err(at(cc))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Tool(format!(
        "{} failed:\n{}",
        source.display(),
        String::from_utf8_lossy(&output.stderr)
    )))
}

fn newest_source() -> Result<SystemTime, Error> {
    let dir = Path::new(GUESTS);
    fs::read_dir(dir)
        .map_err(at(dir))?
        .filter_map(|entry| modified(&entry.ok()?.path()))
        .max()
        .ok_or_else(|| Error::Tool(format!("{} is empty", dir.display())))
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::File { path, source }
}
