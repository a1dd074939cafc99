//! What a guest may do for a long time without hartscope growing, measured from outside.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::control::Guest;
use common::process::{self, End, Watchdog};
use common::{HARTSCOPE, plugins};

/// Resident kilobytes and mappings of a process.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    resident: u64,
    mappings: usize,
}

fn footprint(pid: u32) -> Footprint {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the guest is alive");
    let resident = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    });
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the guest is alive");
    Footprint {
        resident: resident.expect("there is a VmRSS line"),
        mappings: maps.lines().count(),
    }
}

/// 64 threads are created and joined 1,000 times; memory is measured after each 100.
fn create_and_join(backend: &str) {
    let mut child = process::spawn(
        Command::new(HARTSCOPE)
            .args(["run", "--backend", backend])
            .arg(common::guest("thread_storm"))
            .arg("100")
            .stdin(Stdio::piped()),
    );
    let watchdog = Watchdog::new(&child, Duration::from_secs(120));
    let mut go = child.stdin.take().expect("it is piped");
    let mut answers = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut footprints = Vec::new();
    for round in 0..10 {
        writeln!(go).expect("the guest reads");
        let answer = answers
            .next()
            .expect("the guest answers")
            .expect("in UTF-8");
        // In each round, each of the 64 threads returns its number plus one.
        assert_eq!(
            answer,
            format!("sum {}", 100 * (64 * 65 / 2)),
            "round {round}"
        );
        footprints.push(footprint(child.id()));
    }
    drop((go, watchdog));
    assert_eq!(
        process::finish(&mut child, Duration::from_secs(10)),
        End::Exited(0)
    );
    // What is allocated once and kept for the next thread may grow in the first rounds. Each number
    // that a vCPU has ever had keeps its area, and how many live at a time is the scheduler's choice.
    let (settled, last) = (footprints[2], footprints[9]);
    assert!(
        last.resident < settled.resident + 2048 && last.mappings < settled.mappings + 16 + 64,
        "44,800 threads later there is more: {footprints:#?}"
    );
}

#[test]
fn threads_leave_nothing_behind_in_the_emitter() {
    create_and_join("x86-64");
}

#[test]
fn threads_leave_nothing_behind_in_the_interpreter() {
    create_and_join("interp");
}

/// Without memory for a vCPU, what makes one fails as a kernel's would: the guest is told to try again.
#[test]
fn no_memory_for_a_thread_is_the_guests_error() {
    let mut guest = Guest::of(plugins::guest("births"), &["--no-control"]);
    let pid = guest.child.id();
    let limit = |bytes: u64| {
        let limit = libc::rlimit {
            rlim_cur: bytes,
            rlim_max: libc::RLIM_INFINITY,
        };
        let nowhere = std::ptr::null_mut();
        // SAFETY: reads the limit.
        let set = unsafe { libc::prlimit(pid.cast_signed(), libc::RLIMIT_AS, &limit, nowhere) };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    };
    assert_eq!(guest.ask(), "0 0");
    // The thread takes over what the process has left; then there is nothing left.
    let room = 3 << 20;
    limit(address_space(pid) + room);
    assert_eq!(guest.ask(), format!("0 {}", libc::EAGAIN));
    // The process has a stack, too, for which there may be no memory either.
    let neither = [libc::EAGAIN, libc::ENOMEM].map(|process| format!("{} {process}", libc::EAGAIN));
    let answer = guest.ask();
    assert!(neither.contains(&answer), "{answer}");
    limit(libc::RLIM_INFINITY);
    assert_eq!(guest.ask(), "0 0");
    let mut said = String::new();
    drop(guest.input.take());
    let stderr = guest.child.stderr.as_mut().expect("it is piped");
    stderr.read_to_string(&mut said).expect("it is text");
    let end = process::finish(&mut guest.child, Duration::from_secs(60));
    assert_eq!((end, said.as_str()), (End::Exited(7), ""));
}

/// Bytes that are mapped or reserved.
fn address_space(pid: u32) -> u64 {
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).expect("the guest is alive");
    let pages = pages.split(' ').next().and_then(|pages| pages.parse().ok());
    pages.map_or(0, |pages: u64| pages * 4096)
}
