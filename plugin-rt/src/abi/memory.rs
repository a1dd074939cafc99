//! The guest's memory.

use std::ffi::c_uint;

use super::glib::{Array, glib};
use super::{Export, export};
use crate::guest::{Guest, HwResult};
use crate::misuse::{breach, questionable};
use crate::runtime::Runtime;

pub(super) const EXPORTS: &[Export] = &[
    export!(4 qemu_plugin_read_memory_vaddr),
    export!(5 qemu_plugin_write_memory_vaddr),
    export!(5 qemu_plugin_read_memory_hwaddr),
    export!(5 qemu_plugin_write_memory_hwaddr),
    export!(5 qemu_plugin_translate_vaddr),
];

fn guest(function: &str) -> &'static dyn Guest {
    match Runtime::global().and_then(|runtime| runtime.guest()) {
        Some(guest) => &**guest,
        None => breach(
            function,
            "there is no guest yet; call it in a callback of a vCPU",
        ),
    }
}

/// A length as glib's arrays have it.
fn array_len(function: &str, len: usize) -> Option<c_uint> {
    let fits = c_uint::try_from(len).ok();
    if fits.is_none() {
        questionable(function, format_args!("no array has room for {len} bytes"));
    }
    fits
}

/// Makes a `GByteArray` `len` bytes long and reads memory into it.
///
/// # Safety
///
/// `array` is a `GByteArray` that only the caller uses.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_read_memory_vaddr(
    addr: u64,
    array: *mut Array,
    len: usize,
) -> bool {
    const NAME: &str = "qemu_plugin_read_memory_vaddr";
    let guest = guest(NAME);
    let Some(size) = array_len(NAME, len).filter(|size| *size != 0) else {
        return false;
    };
    // SAFETY: as the caller promises.
    let buf = unsafe {
        glib(NAME).set_size(array, size);
        Array::bytes_mut(array)
    };
    guest.read(addr, buf)
}

/// Writes what is in a `GByteArray`.
///
/// # Safety
///
/// `array` is a `GByteArray` that only the caller uses.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_write_memory_vaddr(
    addr: u64,
    array: *const Array,
) -> bool {
    const NAME: &str = "qemu_plugin_write_memory_vaddr";
    // SAFETY: as the caller promises.
    let data = unsafe { Array::bytes(array) };
    !data.is_empty() && guest(NAME).write(addr, data)
}

/// [`qemu_plugin_read_memory_vaddr`] of physical memory.
///
/// # Safety
///
/// `array` is a `GByteArray` that only the caller uses.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_read_memory_hwaddr(
    addr: u64,
    array: *mut Array,
    len: usize,
) -> HwResult {
    const NAME: &str = "qemu_plugin_read_memory_hwaddr";
    let guest = guest(NAME);
    if !guest.system_emulation() {
        return HwResult::Error;
    }
    let Some(size) = array_len(NAME, len).filter(|size| *size != 0) else {
        return HwResult::Error;
    };
    // SAFETY: as the caller promises.
    let buf = unsafe {
        glib(NAME).set_size(array, size);
        Array::bytes_mut(array)
    };
    guest.read_physical(addr, buf)
}

/// [`qemu_plugin_write_memory_vaddr`] to physical memory.
///
/// # Safety
///
/// `array` is a `GByteArray` that only the caller uses.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_write_memory_hwaddr(
    addr: u64,
    array: *const Array,
) -> HwResult {
    const NAME: &str = "qemu_plugin_write_memory_hwaddr";
    let guest = guest(NAME);
    // SAFETY: as the caller promises.
    let data = unsafe { Array::bytes(array) };
    match data.is_empty() || !guest.system_emulation() {
        true => HwResult::Error,
        false => guest.write_physical(addr, data),
    }
}

/// The physical address of a virtual one.
///
/// # Safety
///
/// `hwaddr` points to where the address may be written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_translate_vaddr(vaddr: u64, hwaddr: *mut u64) -> bool {
    const NAME: &str = "qemu_plugin_translate_vaddr";
    match guest(NAME).translate(vaddr) {
        Some(found) => {
            // SAFETY: as the caller promises.
            unsafe { hwaddr.write(found) };
            true
        }
        None => false,
    }
}
