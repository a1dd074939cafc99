//! Which device answers at a physical address.

use std::ffi::CStr;
use std::ops::Range;
use std::sync::Arc;

use translate::ops::Size;

/// What lies at some physical addresses. Every hart calls these, at the same time.
pub trait Device: Send + Sync {
    /// Loads from `offset`, which is inside the device, with all of `size`, and may be misaligned.
    fn read(&self, offset: u64, size: Size) -> u64;
    /// Stores the low bytes of `value`.
    fn write(&self, offset: u64, size: Size, value: u64);
}

struct Slot {
    range: Range<u64>,
    name: &'static CStr,
    device: Arc<dyn Device>,
}

/// The devices by address. Memory is not among them. It does not change once it is built.
#[derive(Default)]
pub struct Bus {
    /// In order, and apart from each other.
    slots: Vec<Slot>,
}

impl Bus {
    /// Puts a device in.
    ///
    /// # Panics
    ///
    /// If there is something at one of the addresses already: the map of the board is wrong.
    pub fn add(&mut self, range: Range<u64>, name: &'static CStr, device: Arc<dyn Device>) {
        let at = self
            .slots
            .partition_point(|slot| slot.range.end <= range.start);
        let free = self
            .slots
            .get(at)
            .is_none_or(|next| range.end <= next.range.start);
        assert!(free, "{name:?} lies over another device");
        self.slots.insert(
            at,
            Slot {
                range,
                name,
                device,
            },
        );
    }

    /// Loads; `None` if nothing is there.
    pub fn load(&self, addr: u64, size: Size) -> Option<u64> {
        let (slot, offset) = self.find(addr, size.bytes())?;
        Some(slot.device.read(offset, size))
    }

    /// Stores; `None` if nothing is there.
    pub fn store(&self, addr: u64, size: Size, value: u64) -> Option<()> {
        let (slot, offset) = self.find(addr, size.bytes())?;
        slot.device.write(offset, size, value);
        Some(())
    }

    /// What the device at an address is called.
    pub fn name_of(&self, addr: u64) -> Option<&'static CStr> {
        self.find(addr, 1).map(|(slot, _)| slot.name)
    }

    fn find(&self, addr: u64, len: u64) -> Option<(&Slot, u64)> {
        let at = self.slots.partition_point(|slot| slot.range.end <= addr);
        let slot = self.slots.get(at)?;
        let offset = addr.checked_sub(slot.range.start)?;
        (len <= slot.range.end - addr).then_some((slot, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Constant(u64);

    impl Device for Constant {
        fn read(&self, offset: u64, _size: Size) -> u64 {
            self.0 + offset
        }

        fn write(&self, _offset: u64, _size: Size, _value: u64) {}
    }

    #[test]
    fn accesses_find_their_device_and_fault_outside() {
        let mut bus = Bus::default();
        bus.add(0x200..0x300, c"two", Arc::new(Constant(2000)));
        bus.add(0x100..0x180, c"one", Arc::new(Constant(1000)));
        assert_eq!(bus.load(0x100, Size::B4), Some(1000));
        assert_eq!(bus.load(0x17c, Size::B4), Some(1124));
        assert_eq!(bus.load(0x17d, Size::B4), None, "the end is outside");
        assert_eq!(bus.load(0x180, Size::B1), None);
        assert_eq!(bus.load(0xff, Size::B1), None);
        assert_eq!(bus.store(0x2f8, Size::B8, 1), Some(()));
        assert_eq!(bus.store(0x300, Size::B1, 1), None);
        assert_eq!(bus.load(u64::MAX, Size::B8), None);
        assert_eq!(bus.name_of(0x17f), Some(c"one"));
        assert_eq!(bus.name_of(0x180), None);
    }

    #[test]
    #[should_panic(expected = "lies over")]
    fn devices_do_not_overlap() {
        let mut bus = Bus::default();
        bus.add(0x100..0x200, c"one", Arc::new(Constant(0)));
        bus.add(0x1ff..0x280, c"two", Arc::new(Constant(0)));
    }
}
