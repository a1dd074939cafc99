//! Where the programs that the benchmark runs are; missing ones are installed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// Sources of the guest programs.
pub const GUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guests");

/// Programs that the benchmark runs.
#[derive(Debug)]
pub struct Tools {
    /// Compiles for this machine.
    pub native_cc: PathBuf,
    /// Compiles for riscv64.
    pub guest_cc: PathBuf,
    /// The reference emulator.
    pub qemu: PathBuf,
    /// What is measured.
    pub hartscope: PathBuf,
    /// Cargo's target directory.
    pub target: PathBuf,
}

impl Tools {
    /// Finds everything, after installing what is missing and building hartscope, unless one is
    /// given.
    pub fn find(hartscope: Option<PathBuf>) -> Result<Tools, Error> {
        let names = ["gcc", "riscv64-linux-gnu-gcc", "qemu-riscv64"];
        if names.iter().any(|name| in_path(name).is_none()) {
            install()?;
        }
        let [native_cc, guest_cc, qemu] = names
            .map(|name| in_path(name).ok_or_else(|| Error::Tool(format!("{name} is missing"))));
        let target = target_dir()?;
        let hartscope = match hartscope {
            Some(path) => path,
            None => build_hartscope(&target)?,
        };
        Ok(Tools {
            native_cc: native_cc?,
            guest_cc: guest_cc?,
            qemu: qemu?,
            hartscope,
            target,
        })
    }

    /// Where the built guest programs are.
    pub fn guest_dir(&self) -> PathBuf {
        self.target.join("bench-guests")
    }

    /// The first line that `program --version` prints.
    pub fn version(program: &Path) -> String {
        let output = Command::new(program).arg("--version").output();
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
        let line = text.ok().and_then(|t| t.lines().next().map(str::to_owned));
        line.unwrap_or_else(|| "unknown version".to_owned())
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

fn install() -> Result<(), Error> {
    let script = Path::new(ROOT).join("ci/install-tools.sh");
    let status = Command::new("sh").arg(&script).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Error::Tool(
            "the tools are missing and could not be installed".to_owned(),
        )),
    }
}

/// The directory two levels above this program: it is in `TARGET/PROFILE/`.
fn target_dir() -> Result<PathBuf, Error> {
    env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.parent()?.to_path_buf()))
        .ok_or_else(|| Error::Tool("cannot tell where the target directory is".to_owned()))
}

fn build_hartscope(target: &Path) -> Result<PathBuf, Error> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "hartscope"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(ROOT)
        .status();
    match status {
        Ok(status) if status.success() => Ok(target.join("release/hartscope")),
        _ => Err(Error::Tool("hartscope does not build".to_owned())),
    }
}
