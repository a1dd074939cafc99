//! Where things are: the physical addresses of QEMU's `virt`, which firmware knows by heart.

use std::ops::Range;

/// Ends the machine.
pub const FINISHER: Range<u64> = 0x10_0000..0x10_1000;
/// The clock of the wall.
pub const RTC: Range<u64> = 0x10_1000..0x10_2000;
/// What a reset would run, and what firmware is told.
pub const ROM: Range<u64> = 0x1000..0x1_0000;
/// Software interrupts and timers.
pub const CLINT: Range<u64> = 0x200_0000..0x201_0000;
/// Interrupts of devices.
pub const PLIC: Range<u64> = 0xc00_0000..0xc60_0000;
/// The serial port.
pub const UART: Range<u64> = 0x1000_0000..0x1000_0100;
/// The first virtio transport; the others follow.
pub const VIRTIO: u64 = 0x1000_1000;
/// Bytes from one virtio transport to the next.
pub const VIRTIO_STRIDE: u64 = 0x1000;
/// How many virtio transports there are.
pub const VIRTIO_COUNT: usize = 8;
/// Memory begins here.
pub const RAM: u64 = 0x8000_0000;

/// The interrupt of the first virtio transport.
pub const VIRTIO_IRQ: u32 = 1;
/// The serial port's interrupt.
pub const UART_IRQ: u32 = 10;
/// The clock's interrupt.
pub const RTC_IRQ: u32 = 11;
/// The last interrupt that the interrupt controller has.
pub const LAST_IRQ: u32 = 95;

/// Ticks of `time` in a second.
pub const TIMEBASE: u32 = 10_000_000;
/// Harts at most.
pub const MAX_HARTS: usize = 64;
