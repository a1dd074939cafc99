//! The built-in firmware against OpenSBI: a bare-metal kernel calls it, and must see the same.
//!
//! Needs `riscv64-linux-gnu-gcc` and `qemu-system-riscv64`, which brings OpenSBI along.

use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use machine::board::{Board, Options};
use machine::power::End;
use machine::remote::Remote;
use machine::uart::Output;
use vcpu::{Backend, Config};

/// A kernel that does not end is a bug; it ends the tests.
const LIMIT: Duration = Duration::from_secs(120);

/// Builds the kernel.
fn kernel(directory: &Path) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sbi");
    let path = directory.join("calls");
    let output = Command::new("riscv64-linux-gnu-gcc")
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
        .args(["start.S", "calls.c", "-o"])
        .arg(&path)
        .output()
        .expect("riscv64-linux-gnu-gcc is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    path
}

/// What a kernel has said, without what firmware said before.
fn said(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output).replace('\r', "");
    let from = text
        .find("begin\n")
        .unwrap_or_else(|| panic!("it never began: {text}"));
    text[from..].to_owned()
}

/// What it says under QEMU, with OpenSBI.
fn reference(kernel: &Path) -> String {
    let output = Command::new("timeout")
        .args([
            "120",
            "qemu-system-riscv64",
            "-M",
            "virt",
            "-m",
            "64M",
            "-smp",
            "2",
        ])
        .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
        .args(["-bios", "default", "-kernel"])
        .arg(kernel)
        .output()
        .expect("qemu-system-riscv64 is installed");
    assert!(output.status.success(), "{output:?}");
    said(&output.stdout)
}

#[derive(Default)]
struct Said(Mutex<Vec<u8>>);

impl Output for Said {
    fn put(&self, bytes: &[u8]) {
        self.0.lock().expect("nobody panics").extend(bytes);
    }
}

/// What it says here.
fn run(kernel: &Path, backend: Backend) -> String {
    let options = Options {
        harts: 2,
        memory: 64 << 20,
        kernel: Some(kernel.into()),
        ..Options::default()
    };
    let config = Config {
        backend,
        tb_size: 16 << 20,
        ..Config::default()
    };
    let output = Arc::new(Said::default());
    let board = Board::new(&options, Arc::clone(&output) as _).expect("it fits");
    let _guard = guard();
    let ended =
        machine::run::run(&board, &config, &Remote::default()).expect("the host has threads");
    assert_eq!(ended.end, End::Off(0));
    said(&output.0.lock().expect("nobody panics"))
}

/// Ends the tests if it is not dropped in time.
fn guard() -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        if receiver.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            eprintln!("a kernel does not end");
            process::exit(1);
        }
    });
    sender
}

#[test]
fn a_kernel_sees_what_it_sees_of_opensbi() {
    let directory = tempfile::tempdir().expect("a directory");
    let kernel = kernel(directory.path());
    let expected = reference(&kernel);
    assert!(expected.ends_with("end\n"), "{expected}");
    for backend in [Backend::X86_64, Backend::Interp] {
        let found = run(&kernel, backend);
        for (expected, found) in expected.lines().zip(found.lines()) {
            assert_eq!(found, expected, "{backend:?}");
        }
        assert_eq!(
            found.lines().count(),
            expected.lines().count(),
            "{backend:?}"
        );
    }
}
