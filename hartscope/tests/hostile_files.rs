//! Fuzzing from outside: programs whose headers are mangled, at random but from a fixed seed. Each
//! runs, is refused in one line, or dies of a signal that a guest can get; none hangs hartscope or
//! makes it panic.
//!
//! `HARTSCOPE_FUZZ_SECONDS=600 cargo xtask loader-fuzz` goes on for longer, with other seeds.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::HARTSCOPE;
use common::process::{self, End, Outcome};

/// Files in a usual run.
const FILES: u64 = 300;

/// The ELF header and three program headers: what is mangled.
const HEADERS: u64 = 64 + 4 * 56;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Values that sit on the edges of what a loader computes with.
fn edge(random: &mut Random) -> u64 {
    const EDGES: [u64; 12] = [
        0,
        1,
        0xfff,
        0x1000,
        0x1001,
        0x7fff_ffff,
        1 << 32,
        (1 << 38) - 0x1000,
        1 << 38,
        1 << 47,
        1 << 63,
        u64::MAX,
    ];
    EDGES[random.below(EDGES.len() as u64) as usize].wrapping_sub(random.below(3))
}

/// Mangles the headers in one to four places.
fn mangle(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(4) {
        match random.below(4) {
            0 => {
                let at = random.below(HEADERS) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            1 => {
                let at = random.below(HEADERS) as usize;
                bytes[at] = random.next() as u8;
            }
            2 => {
                // A field of eight bytes, as most are from the entry point on.
                let at = (random.below(HEADERS / 8 - 3) * 8 + 24) as usize;
                bytes[at..at + 8].copy_from_slice(&edge(random).to_le_bytes());
            }
            _ => {
                let keep = random.below(bytes.len() as u64).max(HEADERS) as usize;
                bytes.truncate(keep);
            }
        }
    }
    bytes
}

#[track_caller]
fn assert_civil(outcome: &Outcome, seed: u64) {
    let message = outcome.stderr_text();
    match outcome.end {
        End::Exited(126 | 127) => {
            let one_line = message.matches('\n').count() == 1;
            assert!(
                message.starts_with("hartscope: ") && one_line,
                "seed {seed}: {message}"
            );
        }
        // The demo without an argument: its header was mangled harmlessly.
        End::Exited(_) => assert!(!message.contains("panicked"), "seed {seed}: {message}"),
        End::Signaled(signal) => {
            let guests = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGTRAP];
            assert!(
                guests.contains(&signal),
                "seed {seed}: signal {signal}: {message}"
            );
            assert_eq!(message.matches('\n').count(), 1, "seed {seed}: {message}");
        }
        End::TimedOut => panic!("seed {seed}: hangs"),
    }
}

#[test]
fn mangled_headers_are_refused_or_run() {
    let good = fs::read(common::repository().join("hartscope/demo/demo.elf")).expect("committed");
    let path = common::scratch().join("mangled");
    let longer = std::env::var("HARTSCOPE_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let (first, time) = match longer {
        Some(seconds) => {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |time| time.as_secs());
            (now << 20, Duration::from_secs(seconds))
        }
        None => (0, Duration::ZERO),
    };
    let started = Instant::now();
    let seeds = (first..).take_while(|seed| seed - first < FILES || started.elapsed() < time);
    for seed in seeds {
        fs::write(&path, mangle(&good, &mut Random(seed))).expect("scratch is writable");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("the file is our own");
        let mut command = Command::new(HARTSCOPE);
        let outcome = process::run(command.arg("run").arg(&path), b"", Duration::from_secs(10));
        assert_civil(&outcome, seed);
    }
}
