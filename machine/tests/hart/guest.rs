//! Builds bare-metal programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A program, which is gone when this is.
pub struct Program {
    path: PathBuf,
    _dir: TempDir,
}

impl Program {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Compiles `guest/NAME.c`.
pub fn build(name: &str) -> Program {
    compile(name, None)
}

/// Compiles `guest/NAME.c` together with an assembly text.
pub fn build_generated(name: &str, text: &str) -> Program {
    compile(name, Some(text))
}

fn compile(name: &str, generated: Option<&str>) -> Program {
    let dir = tempfile::tempdir().expect("a directory");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hart/guest");
    let path = dir.path().join(name);
    let mut command = Command::new("riscv64-linux-gnu-gcc");
    command
        .current_dir(&sources)
        .args(["-O1", "-march=rv64gc_zicsr_zifencei", "-mabi=lp64d"])
        .args(["-mcmodel=medany", "-ffreestanding", "-fno-pic", "-no-pie"])
        .args([
            "-nostdlib",
            "-static",
            "-Wl,--build-id=none",
            "-T",
            "link.ld",
        ])
        .args(["start.S", &format!("{name}.c"), "-o"])
        .arg(&path);
    if let Some(text) = generated {
        let file = dir.path().join("generated.S");
        std::fs::write(&file, text).expect("room on the disk");
        command.arg(file);
    }
    let output = command
        .output()
        .expect("riscv64-linux-gnu-gcc is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Program { path, _dir: dir }
}
