//! Memory that the guest cannot write.

use translate::ops::Size;

use crate::bus::Device;

/// Some bytes, and zeros behind them.
pub struct Rom(Vec<u8>);

impl Rom {
    /// A ROM with these contents.
    pub fn new(contents: Vec<u8>) -> Rom {
        Rom(contents)
    }
}

impl Device for Rom {
    fn read(&self, offset: u64, size: Size) -> u64 {
        let byte = |n| {
            let at = usize::try_from(offset + n).ok();
            let byte = at.and_then(|at| self.0.get(at)).copied();
            u64::from(byte.unwrap_or(0)) << (8 * n)
        };
        (0..size.bytes()).map(byte).sum()
    }

    fn write(&self, _offset: u64, _size: Size, _value: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_in_every_size_and_not_written() {
        let rom = Rom::new(vec![1, 2, 3, 4, 5]);
        assert_eq!(rom.read(0, Size::B4), 0x0403_0201);
        assert_eq!(rom.read(1, Size::B2), 0x0302);
        assert_eq!(rom.read(4, Size::B8), 5);
        rom.write(0, Size::B1, 9);
        assert_eq!(rom.read(0, Size::B1), 1);
    }
}
