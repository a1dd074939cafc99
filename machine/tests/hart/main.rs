//! Harts of a machine with the least of a board, running bare-metal programs: what these say must be
//! what they say under QEMU.
//!
//! Needs `riscv64-linux-gnu-gcc` and `qemu-system-riscv64` (Debian: gcc-riscv64-linux-gnu,
//! qemu-system-misc).

mod fuzz;
mod guest;
mod machine_under_test;

use std::process::Command;

use machine_under_test::run;
use vcpu::Backend;

/// What the program says under QEMU.
fn reference(program: &guest::Program) -> String {
    let output = Command::new("timeout")
        .args(["300", "qemu-system-riscv64", "-M", "virt", "-m", "64M"])
        .args(["-cpu", "rv64,h=off"])
        .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
        .arg("-bios")
        .arg(program.path())
        .output()
        .expect("qemu-system-riscv64 is installed");
    if !output.status.success() {
        eprintln!("QEMU: {}", output.status);
    }
    String::from_utf8(output.stdout)
        .expect("text")
        .replace('\r', "")
}

fn agrees(name: &str, backend: Backend) {
    let program = guest::build(name);
    let expected = reference(&program);
    let found = run(&program, backend, 1);
    for (at, (expected, found)) in expected.lines().zip(found.lines()).enumerate() {
        assert_eq!(found, expected, "line {at}");
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn levels_agree_in_host_code() {
    agrees("levels", Backend::X86_64);
}

#[test]
fn levels_agree_in_the_interpreter() {
    agrees("levels", Backend::Interp);
}

#[test]
fn fences_agree_in_host_code() {
    agrees("fences", Backend::X86_64);
}

#[test]
fn fences_agree_in_the_interpreter() {
    agrees("fences", Backend::Interp);
}

/// Four harts, each of which has done its part and seen what the others did.
#[test]
fn harts_work_together() {
    let program = guest::build("harts");
    let mut expected = String::from("sum ea60\nreserved 186a0\nlocked 222e0\nturns 7d0\n");
    expected.push_str(&"versions 64\n".repeat(4));
    for backend in [Backend::X86_64, Backend::Interp] {
        assert_eq!(run(&program, backend, 4), expected, "{backend:?}");
    }
}
