//! What plugins may ask about a block, inside its `tb_trans` callback.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::{Export, current_version, export, host};
use crate::translation::{Insn, with_insn, with_tb};

pub(super) const EXPORTS: &[Export] = &[
    export!(2 qemu_plugin_tb_n_insns),
    export!(2 qemu_plugin_tb_vaddr),
    export!(2 qemu_plugin_tb_get_insn),
    export!(2 qemu_plugin_insn_data),
    export!(2 qemu_plugin_insn_size),
    export!(2 qemu_plugin_insn_vaddr),
    export!(2 qemu_plugin_insn_haddr),
    export!(2 qemu_plugin_insn_disas),
    export!(2 qemu_plugin_insn_symbol),
];

/// The number of instructions.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_tb_n_insns(tb: u64) -> usize {
    with_tb("qemu_plugin_tb_n_insns", tb, |block| block.insns.len()).unwrap_or(0)
}

/// The block's first address.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_tb_vaddr(tb: u64) -> u64 {
    with_tb("qemu_plugin_tb_vaddr", tb, |block| block.pc).unwrap_or(0)
}

/// An instruction's handle; NULL if there are not so many.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_tb_get_insn(tb: u64, index: usize) -> u64 {
    let handle = with_tb("qemu_plugin_tb_get_insn", tb, |block| {
        block.insn_handle(index)
    });
    handle.flatten().unwrap_or(0)
}

fn insn<R>(function: &str, handle: u64, f: impl FnOnce(&Insn) -> R) -> Option<R> {
    with_insn(function, handle, |block, index| {
        block.insns.get(index).map(f)
    })
    .flatten()
}

/// Copies the instruction's bytes, as many as there is room for, and gives their number. For plugins
/// of version 2, which pass the handle only: gives their address, good as long as the handle is.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_insn_data(handle: u64, to: *mut c_void, room: usize) -> usize {
    let is_pointer = current_version() == 2;
    let data = insn("qemu_plugin_insn_data", handle, |insn| {
        let bytes = insn.bytes();
        if is_pointer {
            return bytes.as_ptr().expose_provenance();
        }
        let len = room.min(bytes.len());
        if len != 0 {
            // SAFETY: the plugin says that there is that much room.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), len) };
        }
        len
    });
    data.unwrap_or(0)
}

/// The instruction's length.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_insn_size(handle: u64) -> usize {
    insn("qemu_plugin_insn_size", handle, |insn| insn.bytes().len()).unwrap_or(0)
}

/// The instruction's address.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_insn_vaddr(handle: u64) -> u64 {
    insn("qemu_plugin_insn_vaddr", handle, |insn| insn.pc).unwrap_or(0)
}

/// Where the instruction lies in the host's memory; NULL if it does not.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_insn_haddr(handle: u64) -> *const c_void {
    let pc = insn("qemu_plugin_insn_haddr", handle, |insn| insn.pc);
    let address = pc.and_then(|pc| Some(host().guest()?.host_address(pc)));
    address.unwrap_or(ptr::null()).cast()
}

/// The instruction's text, which the caller frees.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_insn_disas(handle: u64) -> *mut c_char {
    let text = insn("qemu_plugin_insn_disas", handle, |insn| {
        let mut word = [0; 4];
        word[..insn.bytes().len()].copy_from_slice(insn.bytes());
        riscv::disassemble_columns(&riscv::decode(u32::from_le_bytes(word)), insn.pc)
    });
    text.map_or(ptr::null_mut(), |text| on_the_c_heap(text.as_bytes()))
}

/// A copy that C's `free` frees.
fn on_the_c_heap(text: &[u8]) -> *mut c_char {
    // SAFETY: zeroed memory of one byte more than the text; the last byte stays 0.
    unsafe {
        let copy = libc::calloc(text.len() + 1, 1);
        if !copy.is_null() {
            ptr::copy_nonoverlapping(text.as_ptr(), copy.cast(), text.len());
        }
        copy.cast()
    }
}

/// Name of the function that the instruction belongs to; NULL if nobody knows.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_insn_symbol(handle: u64) -> *const c_char {
    let pc = insn("qemu_plugin_insn_symbol", handle, |insn| insn.pc);
    let symbol = pc.and_then(|pc| host().guest()?.symbol(pc));
    symbol.map_or(ptr::null(), |symbol| symbol.as_ptr())
}
