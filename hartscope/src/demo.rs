//! `hartscope demo`: the guest that is built into the binary (sources in `hartscope/demo/`).

use std::os::fd::AsRawFd;

use crate::cli::DemoOptions;
use crate::guest::start;
use crate::session::engine_backend;
use crate::{built_in, fail, print, report};

static GUEST: &[u8] = include_bytes!("../demo/demo.elf");

/// Runs the demo; returns only if it could not be started.
pub fn run(options: &DemoOptions) -> i32 {
    let file = match built_in::file(c"hartscope-demo", GUEST) {
        Ok(file) => file,
        Err(error) => return fail(&format!("cannot unpack the demo: memory file: {error}"), 1),
    };
    let status = print(&format!(
        "Each of {} harts runs on a host thread of its own; all share one translation cache.\n\n",
        options.harts
    ));
    if status != 0 {
        return status;
    }
    let guest = linux_user::Options {
        program: format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
        args: vec!["demo".into(), options.harts.to_string().into()],
        engine: vcpu::Config {
            backend: engine_backend(options.backend),
            pin: options.pin,
            count_insns: true,
            ..vcpu::Config::default()
        },
        ..linux_user::Options::default()
    };
    start(guest, None, |engine| {
        // The guest's status is what counts; its output has been printed.
        let _ = print(&format!("\n{}", report::vcpus(engine)));
    })
}
