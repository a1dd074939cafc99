//! What plugins may ask about a memory access, inside its callback, and the way to another pc.

use std::cell::UnsafeCell;
use std::ffi::c_char;
use std::ptr;

use translate::escape;

use super::context::{self, Kind, RW_REGS, RW_REGS_PC};
use super::{Export, export};
use crate::current;
use crate::guest::Hardware;
use crate::misuse::{breach, questionable};
use crate::runtime::Runtime;

pub(super) const EXPORTS: &[Export] = &[
    export!(2 qemu_plugin_mem_size_shift),
    export!(2 qemu_plugin_mem_is_sign_extended),
    export!(2 qemu_plugin_mem_is_big_endian),
    export!(2 qemu_plugin_mem_is_store),
    export!(4 qemu_plugin_mem_get_value),
    export!(2 qemu_plugin_get_hwaddr),
    export!(2 qemu_plugin_hwaddr_is_io),
    export!(2 qemu_plugin_hwaddr_phys_addr),
    export!(2 qemu_plugin_hwaddr_device_name),
    export!(6 qemu_plugin_set_pc),
];

// See `translate::hooks::access_info`.
const SIZE_SHIFT: u32 = 0xf;
const SIGN_EXTENDED: u32 = 1 << 4;
const BIG_ENDIAN: u32 = 1 << 5;
const STORE: u32 = 1 << 6;

/// log2 of the access's size.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_mem_size_shift(info: u32) -> u32 {
    info & SIZE_SHIFT
}

/// Whether the value is sign-extended.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_mem_is_sign_extended(info: u32) -> bool {
    info & SIGN_EXTENDED != 0
}

/// Whether the access is big-endian.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_mem_is_big_endian(info: u32) -> bool {
    info & BIG_ENDIAN != 0
}

/// Whether the access is a store.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_mem_is_store(info: u32) -> bool {
    info & STORE != 0
}

/// C's `qemu_plugin_mem_value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
struct MemValue {
    /// log2 of the size: 0 to 4.
    kind: u32,
    /// A union: the value's low bytes come first in each of its members.
    data: [u64; 2],
}

/// The value read or written, zero-extended.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_mem_get_value(info: u32) -> MemValue {
    const NAME: &str = "qemu_plugin_mem_get_value";
    let Some(state) = current::state() else {
        breach(
            NAME,
            "called on a thread that has no vCPU; call it from a memory callback",
        );
    };
    if !context::current().is_some_and(|context| context.kind == Kind::Memory) {
        questionable(
            NAME,
            "called outside of a memory callback; the value is some earlier one",
        );
    }
    // SAFETY: `current::set` promised that the state lives and is this thread's only.
    let access = unsafe { (*state.as_ptr()).access };
    let data = match info & STORE {
        0 => access.loaded,
        _ => access.stored,
    };
    value(info, data)
}

fn value(info: u32, [low, high]: [u64; 2]) -> MemValue {
    let kind = (info & SIZE_SHIFT).min(4);
    let data = match kind {
        4 => [low, high],
        3 => [low, 0],
        shift => [low & ((1 << (8 << shift)) - 1), 0],
    };
    MemValue { kind, data }
}

thread_local! {
    /// What the last [`qemu_plugin_get_hwaddr`] on this thread found.
    static FOUND: UnsafeCell<Hardware> = const {
        UnsafeCell::new(Hardware { addr: 0, device: None })
    };
}

/// What is at the access's address. A program has no hardware.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_get_hwaddr(_info: u32, vaddr: u64) -> *const Hardware {
    let guest = Runtime::global().and_then(|runtime| runtime.guest());
    match guest.and_then(|guest| guest.hardware(vaddr)) {
        Some(hardware) => FOUND.with(|found| {
            // SAFETY: this thread's; plugins keep the pointer no longer than their callback, and no
            // reference to it is held.
            unsafe { found.get().write(hardware) };
            found.get().cast_const()
        }),
        None => ptr::null(),
    }
}

/// What a plugin's handle stands for.
///
/// # Safety
///
/// The handle is null, or was given to the calling callback.
unsafe fn hardware(handle: *const Hardware) -> Option<Hardware> {
    // SAFETY: as the caller promises.
    unsafe { handle.as_ref() }.copied()
}

/// Whether the access went to a device.
///
/// # Safety
///
/// As for [`hardware`].
#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_hwaddr_is_io(handle: *const Hardware) -> bool {
    // SAFETY: as the caller promises.
    unsafe { hardware(handle) }.is_some_and(|hardware| hardware.device.is_some())
}

/// The physical address.
///
/// # Safety
///
/// As for [`hardware`].
#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_hwaddr_phys_addr(handle: *const Hardware) -> u64 {
    // SAFETY: as the caller promises.
    unsafe { hardware(handle) }.map_or(0, |hardware| hardware.addr)
}

/// What is at the physical address.
///
/// # Safety
///
/// As for [`hardware`].
#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_hwaddr_device_name(handle: *const Hardware) -> *const c_char {
    let is_machine = Runtime::global()
        .and_then(|runtime| runtime.guest())
        .is_some_and(|guest| guest.system_emulation());
    // SAFETY: as the caller promises.
    let hardware = unsafe { hardware(handle) };
    let name = match hardware.and_then(|hardware| hardware.device) {
        Some(device) => device,
        None if is_machine => c"RAM",
        None => c"Invalid",
    };
    name.as_ptr()
}

/// Lets the guest go on at `pc`: neither the rest of this callback nor what would have come after it
/// happens.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_set_pc(pc: u64) -> ! {
    const NAME: &str = "qemu_plugin_set_pc";
    let (Some(context), Some(state)) = (context::current(), current::state()) else {
        breach(NAME, "called outside of a vCPU's callbacks");
    };
    let by_code = matches!(context.kind, Kind::Exec | Kind::Memory);
    let least = if by_code { RW_REGS } else { RW_REGS_PC };
    if context::is_in_own() || context.flags < least {
        breach(
            NAME,
            "this callback may not set the pc; register it with QEMU_PLUGIN_CB_RW_REGS_PC",
        );
    }
    if context.flags < RW_REGS_PC {
        questionable(
            NAME,
            "the callback was registered without QEMU_PLUGIN_CB_RW_REGS_PC",
        );
    }
    let state = state.as_ptr();
    // SAFETY: `current::set` promised that the state lives and is this thread's only. The callback
    // has been called by `escape::catch`, or by generated code as one that writes registers, and
    // nothing in this function needs to be dropped.
    unsafe {
        (*state).pc = pc & !1;
        escape::leave(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_to_the_size_of_the_access() {
        let data = [0x1122_3344_5566_7788, 0x99aa_bbcc_ddee_ff00];
        assert_eq!(value(0, data).data, [0x88, 0]);
        assert_eq!(value(1 | SIGN_EXTENDED, data).data, [0x7788, 0]);
        assert_eq!(value(2 | STORE, data).data, [0x5566_7788, 0]);
        assert_eq!(value(3, data).data, [data[0], 0]);
        assert_eq!(value(4, data), MemValue { kind: 4, data });
        assert_eq!(
            (size_of::<MemValue>(), std::mem::offset_of!(MemValue, data)),
            (24, 8)
        );
    }
}
