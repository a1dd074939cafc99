//! The interface as it is in C: types, and the functions that the emulator exports.
//!
//! Only what the safe half of the crate uses. Functions about an event differ between versions 6 and
//! 7 by their callback's arguments: see [`crate::instance`].

use std::ffi::{c_char, c_int, c_uint, c_void};

#[repr(C)]
pub struct Tb(());
#[repr(C)]
pub struct Insn(());
#[repr(C)]
pub struct RawBoard(());
#[repr(C)]
pub struct Hwaddr(());
#[repr(C)]
pub struct RegisterHandle(());

#[repr(C)]
#[derive(Clone, Copy)]
pub struct U64 {
    pub score: *mut RawBoard,
    pub offset: usize,
}

/// `qemu_info_t`.
#[repr(C)]
#[allow(missing_docs)] // reachable through the macro, and not for use by hand
pub struct Info {
    pub target_name: *const c_char,
    pub version_min: c_int,
    pub version_cur: c_int,
    pub system_emulation: bool,
    pub smp_vcpus: c_int,
    pub max_vcpus: c_int,
}

/// `data` is a union in C; its widest member is two words.
#[repr(C)]
pub struct MemValue {
    pub kind: c_uint,
    pub data: [u64; 2],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RegDescriptor {
    pub handle: *mut RegisterHandle,
    pub name: *const c_char,
    pub feature: *const c_char,
    #[cfg(api_6)]
    pub is_readonly: bool,
}

/// glib's `GArray` and `GByteArray`, as far as they are public.
#[repr(C)]
pub struct Array {
    pub data: *mut u8,
    pub len: c_uint,
}

pub const INLINE_ADD: c_uint = 0;
pub const INLINE_STORE: c_uint = 1;

pub type VcpuUdataCb = unsafe extern "C" fn(c_uint, *mut c_void);
pub type MemCb = unsafe extern "C" fn(c_uint, u32, u64, *mut c_void);

#[cfg(not(api_6))]
pub type Done = c_int;
#[cfg(api_6)]
pub type Done = bool;

unsafe extern "C" {
    pub fn qemu_plugin_tb_n_insns(tb: *const Tb) -> usize;
    pub fn qemu_plugin_tb_vaddr(tb: *const Tb) -> u64;
    pub fn qemu_plugin_tb_get_insn(tb: *const Tb, index: usize) -> *mut Insn;
    pub fn qemu_plugin_insn_data(insn: *const Insn, dest: *mut c_void, len: usize) -> usize;
    pub fn qemu_plugin_insn_size(insn: *const Insn) -> usize;
    pub fn qemu_plugin_insn_vaddr(insn: *const Insn) -> u64;
    pub fn qemu_plugin_insn_disas(insn: *const Insn) -> *mut c_char;
    pub fn qemu_plugin_insn_symbol(insn: *const Insn) -> *const c_char;

    pub fn qemu_plugin_register_vcpu_tb_exec_cb(
        tb: *mut Tb,
        cb: VcpuUdataCb,
        flags: c_uint,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut Insn,
        cb: VcpuUdataCb,
        flags: c_uint,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_tb_exec_cond_cb(
        tb: *mut Tb,
        cb: VcpuUdataCb,
        flags: c_uint,
        cond: c_uint,
        entry: U64,
        imm: u64,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_insn_exec_cond_cb(
        insn: *mut Insn,
        cb: VcpuUdataCb,
        flags: c_uint,
        cond: c_uint,
        entry: U64,
        imm: u64,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
        tb: *mut Tb,
        op: c_uint,
        entry: U64,
        imm: u64,
    );
    pub fn qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
        insn: *mut Insn,
        op: c_uint,
        entry: U64,
        imm: u64,
    );
    pub fn qemu_plugin_register_vcpu_mem_cb(
        insn: *mut Insn,
        cb: MemCb,
        flags: c_uint,
        rw: c_uint,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_mem_inline_per_vcpu(
        insn: *mut Insn,
        rw: c_uint,
        op: c_uint,
        entry: U64,
        imm: u64,
    );

    pub fn qemu_plugin_mem_size_shift(info: u32) -> c_uint;
    pub fn qemu_plugin_mem_is_sign_extended(info: u32) -> bool;
    pub fn qemu_plugin_mem_is_store(info: u32) -> bool;
    pub fn qemu_plugin_mem_get_value(info: u32) -> MemValue;
    pub fn qemu_plugin_get_hwaddr(info: u32, vaddr: u64) -> *mut Hwaddr;
    pub fn qemu_plugin_hwaddr_is_io(hwaddr: *const Hwaddr) -> bool;
    pub fn qemu_plugin_hwaddr_phys_addr(hwaddr: *const Hwaddr) -> u64;
    pub fn qemu_plugin_hwaddr_device_name(hwaddr: *const Hwaddr) -> *const c_char;

    pub fn qemu_plugin_get_registers() -> *mut Array;
    pub fn qemu_plugin_read_register(handle: *mut RegisterHandle, buf: *mut Array) -> Done;
    pub fn qemu_plugin_read_memory_vaddr(addr: u64, buf: *mut Array, len: usize) -> bool;

    pub fn qemu_plugin_scoreboard_new(element_size: usize) -> *mut RawBoard;
    pub fn qemu_plugin_scoreboard_free(score: *mut RawBoard);
    pub fn qemu_plugin_scoreboard_find(score: *mut RawBoard, vcpu: c_uint) -> *mut c_void;
    pub fn qemu_plugin_u64_get(entry: U64, vcpu: c_uint) -> u64;
    pub fn qemu_plugin_u64_sum(entry: U64) -> u64;

    pub fn qemu_plugin_num_vcpus() -> c_int;
    pub fn qemu_plugin_outs(string: *const c_char);
    pub fn qemu_plugin_bool_parse(name: *const c_char, val: *const c_char, ret: *mut bool) -> bool;
    pub fn qemu_plugin_path_to_binary() -> *const c_char;
    pub fn qemu_plugin_start_code() -> u64;
    pub fn qemu_plugin_end_code() -> u64;
    pub fn qemu_plugin_entry_code() -> u64;
}

#[cfg(api_5)]
unsafe extern "C" {
    pub fn qemu_plugin_write_register(handle: *mut RegisterHandle, buf: *mut Array) -> Done;
    pub fn qemu_plugin_write_memory_vaddr(addr: u64, buf: *mut Array) -> bool;
    pub fn qemu_plugin_translate_vaddr(vaddr: u64, hwaddr: *mut u64) -> bool;
}

#[cfg(api_6)]
unsafe extern "C" {
    pub fn qemu_plugin_set_pc(pc: u64) -> !;
}
