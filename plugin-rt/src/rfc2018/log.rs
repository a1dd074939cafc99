//! The log of plugins by the interface of 2018: a C function with variable arguments.

use std::ffi::{c_char, c_int, c_void};
use std::mem::MaybeUninit;

use crate::runtime::Runtime;

/// `void qemulib_log(const char *format, ...)`: writes to the log. Arguments are found as the C calling
/// convention has it for variable ones: registers are saved where `va_arg` looks for them, and a
/// `va_list` is made of it.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub(super) extern "C" fn qemulib_log() {
    std::arch::naked_asm!(
        // 0: the saved registers, 176 bytes; 176: the va_list; 216: the return address.
        "sub rsp, 216",
        "mov [rsp], rdi",
        "mov [rsp + 8], rsi",
        "mov [rsp + 16], rdx",
        "mov [rsp + 24], rcx",
        "mov [rsp + 32], r8",
        "mov [rsp + 40], r9",
        "test al, al",
        "je 2f",
        "movaps [rsp + 48], xmm0",
        "movaps [rsp + 64], xmm1",
        "movaps [rsp + 80], xmm2",
        "movaps [rsp + 96], xmm3",
        "movaps [rsp + 112], xmm4",
        "movaps [rsp + 128], xmm5",
        "movaps [rsp + 144], xmm6",
        "movaps [rsp + 160], xmm7",
        "2:",
        // Past the format, which is in rdi.
        "mov dword ptr [rsp + 176], 8",
        "mov dword ptr [rsp + 180], 48",
        "lea rax, [rsp + 224]",
        "mov [rsp + 184], rax",
        "mov [rsp + 192], rsp",
        "lea rsi, [rsp + 176]",
        "call {write}",
        "add rsp, 216",
        "ret",
        write = sym write,
    )
}

/// C's `va_list`.
#[derive(Clone, Copy)]
#[repr(C)]
struct VaList {
    gp_offset: u32,
    fp_offset: u32,
    overflow: *mut c_void,
    saved: *mut c_void,
}

unsafe extern "C" {
    fn vsnprintf(
        to: *mut c_char,
        room: usize,
        format: *const c_char,
        arguments: *mut VaList,
    ) -> c_int;
}

unsafe extern "C" fn write(format: *const c_char, arguments: *mut VaList) {
    let Some(runtime) = Runtime::global() else {
        return;
    };
    let log = &runtime.config().log;
    if !log.is_on() {
        return;
    }
    let mut text: Vec<MaybeUninit<u8>> = vec![MaybeUninit::uninit(); 1024];
    loop {
        // SAFETY: format and arguments are the plugin's affair; the room is as large as that. Each
        // turn has a copy of the list, which is used up.
        let len = unsafe {
            let mut arguments = *arguments;
            vsnprintf(text.as_mut_ptr().cast(), text.len(), format, &mut arguments)
        };
        let Ok(len) = usize::try_from(len) else {
            return;
        };
        if len < text.len() {
            // SAFETY: that many bytes have been written.
            log.write(unsafe { std::slice::from_raw_parts(text.as_ptr().cast(), len) });
            return;
        }
        text.resize(len + 1, MaybeUninit::uninit());
    }
}
