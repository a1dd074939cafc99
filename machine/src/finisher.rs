//! SiFive's test finisher: a word that ends the machine.

use std::sync::Arc;

use translate::ops::Size;

use crate::bus::Device;
use crate::power::{End, Power};

const FAIL: u64 = 0x3333;
const PASS: u64 = 0x5555;
const RESET: u64 = 0x7777;

/// The finisher.
pub struct Finisher(Arc<Power>);

impl Finisher {
    /// A finisher for this machine.
    pub fn new(power: Arc<Power>) -> Finisher {
        Finisher(power)
    }
}

impl Device for Finisher {
    fn read(&self, _offset: u64, _size: Size) -> u64 {
        0
    }

    fn write(&self, offset: u64, size: Size, value: u64) {
        if offset != 0 || size < Size::B2 {
            return;
        }
        // The upper half is a status, which the host's shell sees the low bits of.
        let status = (value >> 16) as u16;
        match value & 0xffff {
            PASS => self.0.end(End::Off(0)),
            FAIL => self.0.end(End::Off(i32::from(status).max(1))),
            RESET => self.0.end(End::Reset),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(offset: u64, value: u64) -> Option<End> {
        let power = Arc::new(Power::default());
        Finisher::new(Arc::clone(&power)).write(offset, Size::B4, value);
        power.ended()
    }

    #[test]
    fn the_magic_words_end_the_machine() {
        assert_eq!(written(0, 0x5555), Some(End::Off(0)));
        assert_eq!(written(0, 0x7_3333), Some(End::Off(7)));
        assert_eq!(
            written(0, 0x3333),
            Some(End::Off(1)),
            "a failure is no success"
        );
        assert_eq!(written(0, 0x7777), Some(End::Reset));
        assert_eq!(written(0, 0x1234), None);
        assert_eq!(written(4, 0x5555), None);
    }
}
