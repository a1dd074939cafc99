//! The host's clocks, as the counters of a guest that runs in user mode.

/// `cycle`, and `instret`, which counts the same thing here: only that it grows is promised. It is the
/// processor's time-stamp counter.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn cycle() -> u64 {
    // SAFETY: every x86-64 processor has it, and no Linux forbids it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// `time`, in ticks of 100 ns.
pub fn time() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes `now`. This clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    (now.tv_sec as u64)
        .wrapping_mul(10_000_000)
        .wrapping_add(now.tv_nsec as u64 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_runs_at_ten_megahertz() {
        let wall = std::time::Instant::now();
        let start = (time(), cycle());
        std::thread::sleep(std::time::Duration::from_millis(2));
        let ticks = time() - start.0;
        let bound = wall.elapsed().as_micros() as u64 * 10 + 10;
        assert!(
            (20_000..=bound).contains(&ticks),
            "{ticks} ticks in {bound}"
        );
        assert!(cycle() > start.1);
    }
}
