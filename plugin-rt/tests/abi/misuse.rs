//! What is called from the wrong place or with the wrong thing ends the process with one line that
//! says so. Each case runs in a process of its own: this test, started again.

use std::ffi::c_void;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::ptr;

use plugin_rt::abi::context::{Kind, NO_REGS, R_REGS, RW_REGS};

use super::world::*;

/// Names the case to the process that is to run it.
pub const CASE: &str = "PLUGIN_RT_MISUSE";

/// What ends the process: the case, and what must be said.
#[rustfmt::skip]
const BREACHES: &[(&str, &str)] = &[
    ("find in what is freed", "qemu_plugin_scoreboard_find: the scoreboard has been freed"),
    ("find for vCPU 2", "qemu_plugin_scoreboard_find: there is no vCPU 2; indices are below qemu_plugin_num_vcpus(), 2 now"),
    ("find for vCPU -1", "there is no vCPU 4294967295"),
    ("find in nothing", "qemu_plugin_scoreboard_find: the scoreboard is NULL"),
    ("free twice", "qemu_plugin_scoreboard_free: the scoreboard has been freed before"),
    ("add outside of the element", "qemu_plugin_u64_add: offset 9 is outside of an element of 16 bytes"),
    ("set far outside of the element", "qemu_plugin_u64_set: offset 18446744073709551615 is outside"),
    ("get for vCPU 7", "qemu_plugin_u64_get: there is no vCPU 7"),
    ("sum of what is freed", "qemu_plugin_u64_sum: the scoreboard has been freed"),
    ("a large scoreboard", "qemu_plugin_scoreboard_new: no room for 1099511627776 bytes per vCPU"),
    ("registers without a vCPU", "qemu_plugin_get_registers: call it in a callback of a vCPU"),
    ("the pc written", "plugin nothing-6.so: qemu_plugin_write_register: the pc is read-only; use qemu_plugin_set_pc"),
];

/// What passes, and is named if plugins are checked.
#[rustfmt::skip]
const ODDITIES: &[(&str, &str)] = &[
    ("registers read without the right", "hartscope: plugin nothing-5.so: qemu_plugin_read_register: registers cannot be read here; register the callback with QEMU_PLUGIN_CB_R_REGS\n"),
    ("registers written without the right", "hartscope: plugin nothing-7.so: qemu_plugin_write_register: registers cannot be written here; register the callback with QEMU_PLUGIN_CB_RW_REGS\n"),
    ("nothing freed", "hartscope: plugin nothing-4.so: qemu_plugin_scoreboard_free: the scoreboard is NULL\n"),
];

/// The handle of register `number`, for a plugin of that version.
fn handle(version: i32, number: usize) -> *mut c_void {
    let stride = if version < 6 { 24 } else { 32 };
    // SAFETY: the list's elements begin with the handle.
    unsafe {
        let list = qemu_plugin_get_registers();
        (*list)
            .data
            .add(number * stride)
            .cast::<*mut c_void>()
            .read()
    }
}

fn run(case: &str, world: &World) {
    let u64_at = |score, offset| U64 { score, offset };
    // SAFETY: called with what the functions refuse before they use it.
    unsafe {
        match case {
            "find in what is freed" => {
                let score = qemu_plugin_scoreboard_new(8);
                qemu_plugin_scoreboard_free(score);
                qemu_plugin_scoreboard_find(score, 0);
            }
            "find for vCPU 2" => {
                qemu_plugin_scoreboard_find(qemu_plugin_scoreboard_new(8), 2);
            }
            "find for vCPU -1" => {
                qemu_plugin_scoreboard_find(qemu_plugin_scoreboard_new(8), u32::MAX);
            }
            "find in nothing" => {
                qemu_plugin_scoreboard_find(ptr::null_mut(), 0);
            }
            "free twice" => {
                let score = qemu_plugin_scoreboard_new(8);
                qemu_plugin_scoreboard_free(score);
                qemu_plugin_scoreboard_free(score);
            }
            "add outside of the element" => {
                qemu_plugin_u64_add(u64_at(qemu_plugin_scoreboard_new(16), 9), 0, 1);
            }
            "set far outside of the element" => {
                qemu_plugin_u64_set(u64_at(qemu_plugin_scoreboard_new(16), usize::MAX), 0, 1);
            }
            "get for vCPU 7" => {
                qemu_plugin_u64_get(u64_at(qemu_plugin_scoreboard_new(16), 8), 7);
            }
            "sum of what is freed" => {
                let score = qemu_plugin_scoreboard_new(16);
                qemu_plugin_scoreboard_free(score);
                qemu_plugin_u64_sum(u64_at(score, 8));
            }
            "a large scoreboard" => {
                qemu_plugin_scoreboard_new(1 << 40);
            }
            "registers without a vCPU" => {
                qemu_plugin_get_registers();
            }
            "the pc written" => world.callback(6, Kind::Exec, RW_REGS, |_| {
                qemu_plugin_write_register(handle(6, 32), Bytes::new(&[0; 8]).0);
            }),
            "registers read without the right" => {
                let a0 = world.callback(5, Kind::Init, RW_REGS, |_| handle(5, 10));
                for _ in 0..3 {
                    world.callback(5, Kind::Exec, NO_REGS, |_| {
                        let read = qemu_plugin_read_register(a0, Bytes::new(&[]).0);
                        assert_eq!(read, -1);
                    });
                }
            }
            "registers written without the right" => {
                world.callback(7, Kind::Exec, R_REGS, |_| {
                    let written = qemu_plugin_write_register(handle(7, 10), Bytes::new(&[1]).0);
                    assert_eq!(written, 0);
                });
            }
            "nothing freed" => world.callback(4, Kind::Exec, NO_REGS, |_| {
                qemu_plugin_scoreboard_free(ptr::null_mut());
            }),
            _ => panic!("no such case: {case}"),
        }
    }
}

/// Not a test by itself: what the started process runs.
#[test]
fn run_case() {
    let Ok(case) = std::env::var(CASE) else {
        return;
    };
    // No core file of each.
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: sets a limit.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
    run(&case, &world());
}

/// How a case ends, and what it says.
fn outcome(case: &str) -> (std::process::ExitStatus, String) {
    plugins();
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "abi::misuse::run_case", "--nocapture"])
        .env(CASE, case)
        .output()
        .expect("start this test again");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status, errors)
}

#[test]
fn breaches_abort_with_a_line() {
    for (case, said) in BREACHES {
        let (status, errors) = outcome(case);
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{case}: {errors}");
        assert!(errors.starts_with("hartscope: "), "{case}: {errors}");
        assert!(errors.contains(said), "{case}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{case}: {errors}");
    }
}

#[test]
fn oddities_are_named_once_if_plugins_are_checked() {
    for (case, said) in ODDITIES {
        let (status, errors) = outcome(case);
        assert!(status.success(), "{case}: {errors}");
        assert_eq!(errors, *said, "{case}");
    }
}
