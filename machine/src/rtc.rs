//! Goldfish's real-time clock. It tells the time of the host, and cannot be set; alarms do not ring.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use translate::ops::Size;

use crate::bus::Device;

const TIME_LOW: u64 = 0;
const TIME_HIGH: u64 = 4;

/// The clock.
#[derive(Default)]
pub struct Rtc {
    /// The upper half of the time when the lower half was read.
    high: AtomicU32,
}

impl Device for Rtc {
    fn read(&self, offset: u64, _size: Size) -> u64 {
        match offset {
            TIME_LOW => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                // Nanoseconds; good until the year 2554.
                let now = since.map_or(0, |since| since.as_nanos() as u64);
                self.high.store((now >> 32) as u32, Relaxed);
                now & 0xffff_ffff
            }
            TIME_HIGH => u64::from(self.high.load(Relaxed)),
            _ => 0,
        }
    }

    fn write(&self, _offset: u64, _size: Size, _value: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_make_a_time() {
        let rtc = Rtc::default();
        let seconds = || UNIX_EPOCH.elapsed().expect("it is later").as_secs();
        let before = seconds();
        let low = rtc.read(TIME_LOW, Size::B4);
        let time = rtc.read(TIME_HIGH, Size::B4) << 32 | low;
        assert!((before..=seconds()).contains(&(time / 1_000_000_000)));
    }
}
