//! SiFive's core-local interruptor: software interrupts and timers of machine mode.
//!
//! The clock cannot be set: a store to `mtime` does nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use translate::ops::Size;

use crate::bus::Device;
use crate::wire::Wire;

const MTIMECMP: u64 = 0x4000;
const MTIME: u64 = 0xbff8;

/// The clock of the machine, and who looks at it.
pub trait Timer: Send + Sync {
    /// Ticks since the machine was started.
    fn now(&self) -> u64;
    /// From `ticks` on, and no earlier, the machine timer interrupt of `hart` is pending. Replaces what
    /// was asked for before.
    fn set_machine_deadline(&self, hart: usize, ticks: u64);
}

struct Hart {
    software: Arc<dyn Wire>,
    msip: AtomicBool,
    /// What the guest has written.
    mtimecmp: AtomicU64,
}

/// The interruptor.
pub struct Clint {
    harts: Vec<Hart>,
    timer: Arc<dyn Timer>,
}

impl Clint {
    /// An interruptor for harts whose software interrupts are these.
    pub fn new(software: Vec<Arc<dyn Wire>>, timer: Arc<dyn Timer>) -> Clint {
        let hart = |software| Hart {
            software,
            msip: AtomicBool::new(false),
            mtimecmp: AtomicU64::new(u64::MAX),
        };
        Clint {
            harts: software.into_iter().map(hart).collect(),
            timer,
        }
    }

    /// The 64-bit register at `offset`, a multiple of 8.
    fn register(&self, offset: u64) -> u64 {
        match offset {
            MTIME => self.timer.now(),
            MTIMECMP.. => self
                .harts
                .get(((offset - MTIMECMP) / 8) as usize)
                .map_or(0, |hart| hart.mtimecmp.load(Relaxed)),
            _ => {
                let msip = |n: u64| {
                    let hart = self.harts.get((offset / 4 + n) as usize);
                    u64::from(hart.is_some_and(|hart| hart.msip.load(Relaxed)))
                };
                msip(0) | msip(1) << 32
            }
        }
    }

    fn set_msip(&self, number: u64, value: u64) {
        if let Some(hart) = self.harts.get(number as usize) {
            hart.msip.store(value & 1 != 0, Relaxed);
            hart.software.set(value & 1 != 0);
        }
    }

    /// Changes the bits of `mask` in a hart's `mtimecmp`.
    fn set_mtimecmp(&self, number: u64, mask: u64, value: u64) {
        if let Some(hart) = self.harts.get(number as usize) {
            let new = hart.mtimecmp.load(Relaxed) & !mask | value & mask;
            hart.mtimecmp.store(new, Relaxed);
            self.timer.set_machine_deadline(number as usize, new);
        }
    }
}

impl Device for Clint {
    fn read(&self, offset: u64, size: Size) -> u64 {
        let register = self.register(offset & !7) >> (8 * (offset % 8));
        match size {
            Size::B8 => register,
            _ => register & ((1 << (8 * size.bytes())) - 1),
        }
    }

    fn write(&self, offset: u64, size: Size, value: u64) {
        let number = |base, stride| (offset - base) / stride;
        match (offset, size) {
            (MTIME.., _) => {}
            (MTIMECMP.., Size::B8) if offset.is_multiple_of(8) => {
                self.set_mtimecmp(number(MTIMECMP, 8), u64::MAX, value);
            }
            (MTIMECMP.., Size::B4) if offset.is_multiple_of(4) => {
                let shift = 8 * (offset % 8);
                self.set_mtimecmp(number(MTIMECMP, 8), 0xffff_ffff << shift, value << shift);
            }
            (0..MTIMECMP, Size::B4) if offset.is_multiple_of(4) => {
                self.set_msip(number(0, 4), value);
            }
            // Nobody does that.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::wire::tests::Probe;

    #[derive(Default)]
    struct Asked(Mutex<Vec<(usize, u64)>>);

    impl Timer for Asked {
        fn now(&self) -> u64 {
            0x1_2345_6789
        }

        fn set_machine_deadline(&self, hart: usize, ticks: u64) {
            self.0
                .lock()
                .expect("no panic holds it")
                .push((hart, ticks));
        }
    }

    fn clint() -> (Clint, Vec<Arc<Probe>>, Arc<Asked>) {
        let probes: Vec<Arc<Probe>> = (0..2).map(|_| Arc::default()).collect();
        let wires = probes
            .iter()
            .map(|probe| Arc::clone(probe) as Arc<dyn Wire>);
        let asked = Arc::new(Asked::default());
        let clint = Clint::new(wires.collect(), Arc::clone(&asked) as Arc<dyn Timer>);
        (clint, probes, asked)
    }

    #[test]
    fn software_interrupts_reach_their_hart() {
        let (clint, probes, _) = clint();
        clint.write(4, Size::B4, 1);
        assert!(!probes[0].level() && probes[1].level());
        assert_eq!(clint.read(4, Size::B4), 1);
        assert_eq!(clint.read(0, Size::B4), 0);
        clint.write(4, Size::B4, 0xfe);
        assert!(!probes[1].level(), "only bit 0 counts");
        clint.write(8, Size::B4, 1);
        assert_eq!(clint.read(8, Size::B4), 0, "there is no third hart");
    }

    #[test]
    fn timers_are_set_whole_and_in_halves() {
        let (clint, _, asked) = clint();
        clint.write(0x4008, Size::B8, 77);
        assert_eq!(clint.read(0x4008, Size::B8), 77);
        clint.write(0x4004, Size::B4, 5);
        clint.write(0x4000, Size::B4, 6);
        assert_eq!(clint.read(0x4000, Size::B8), 0x5_0000_0006);
        assert_eq!(clint.read(0x4004, Size::B4), 5);
        let expected = [(1, 77), (0, 0x5_ffff_ffff), (0, 0x5_0000_0006)];
        assert_eq!(*asked.0.lock().expect("no panic holds it"), expected);
        assert_eq!(clint.read(0xbff8, Size::B8), 0x1_2345_6789);
        assert_eq!(clint.read(0xbffc, Size::B4), 1);
        assert_eq!(clint.read(0xbff8, Size::B4), 0x2345_6789);
    }
}
