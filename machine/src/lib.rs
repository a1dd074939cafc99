//! The virt board (system mode): a machine that Linux and firmware take for QEMU's `virt`.
//!
//! The rules of the house:
//!
//! 1. A device is a [`bus::Device`]: it has locks of its own, called from any hart, and none is held
//!    while guest code runs. It raises interrupts through a [`wire::Wire`].
//! 2. The guest's memory is [`ram::Ram`]. Devices see it through the view that is always writable;
//!    whoever writes it so tells the translation cache, which `vm-memory` sees to.
//! 3. Whatever the guest puts into a register, a ring or a descriptor is at most an error of the
//!    device, told to the guest; never a panic, never an endless loop.

pub mod board;
pub mod bus;
pub mod clint;
pub mod fdt;
pub mod finisher;
pub mod hart;
pub mod loader;
pub mod map;
pub mod plic;
pub mod plugins;
pub mod power;
pub mod ram;
pub mod remote;
pub mod rom;
pub mod rtc;
pub mod run;
pub mod sbi;
pub mod symbols;
pub mod uart;
pub mod virtio;
pub mod wire;
