//! A crash in a plugin's callback is named before the process dies of it.

use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use crate::abi::context;
use crate::current;

/// Says in one line which plugin has crashed, if `pc` is in a library and a callback is running: in
/// the plugin, or in a library that it has called. To be called in the handler of `signal`: takes no
/// lock and no memory.
pub fn report(signal: &str, pc: u64, addr: u64) {
    let Some(context) = context::current() else {
        return report_stray(signal, pc);
    };
    let own = object_of(report as *const c_void);
    let Some((library, symbol)) = object_of(ptr::without_provenance(pc as usize)) else {
        return;
    };
    if own.is_some_and(|(own, _)| own == library) {
        return;
    }
    let plugin = context.plugin.path().as_os_str().as_bytes();
    let mut line = Line::new();
    line.put(b"hartscope: plugin ");
    line.put(plugin);
    line.put(b": a callback crashed with ");
    line.put(signal.as_bytes());
    line.put(b" at address ");
    line.put_hexadecimal(addr);
    line.put(b", in ");
    if let Some(symbol) = symbol {
        line.put(symbol.to_bytes());
        line.put(b" of ");
    }
    line.put(library.to_bytes());
    line.put(b"\n");
    line.write();
}

/// The same for code in no file, on a thread that is no vCPU's and in no callback: a plugin has started
/// the thread, and has gone without ending it.
fn report_stray(signal: &str, pc: u64) {
    let is_somewhere = object_of(ptr::without_provenance(pc as usize)).is_some();
    if is_somewhere || current::state().is_some() {
        return;
    }
    let mut line = Line::new();
    line.put(b"hartscope: a thread crashed with ");
    line.put(signal.as_bytes());
    line.put(b" at ");
    line.put_hexadecimal(pc);
    line.put(b", where there is no code: a plugin that has gone must have started it, and not ended it\n");
    line.write();
}

/// The file that holds an address, and the function there if it has a name.
fn object_of(address: *const c_void) -> Option<(&'static CStr, Option<&'static CStr>)> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `info` is there to be filled in.
    let info = unsafe {
        if libc::dladdr(address, info.as_mut_ptr()) == 0 {
            return None;
        }
        info.assume_init()
    };
    let text = |text: *const libc::c_char| {
        // SAFETY: null, or a name that lives as long as the library, which is running.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
    };
    Some((text(info.dli_fname)?, text(info.dli_sname)))
}

/// A line of limited length.
struct Line {
    bytes: [u8; 1024],
    len: usize,
}

impl Line {
    fn new() -> Line {
        Line {
            bytes: [0; 1024],
            len: 0,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let len = bytes.len().min(room.len());
        room[..len].copy_from_slice(&bytes[..len]);
        self.len += len;
    }

    fn put_hexadecimal(&mut self, value: u64) {
        self.put(b"0x");
        let digits = (64 - value.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            let digit = value >> (4 * digit) & 0xf;
            self.put(&[b"0123456789abcdef"[digit as usize]]);
        }
    }

    fn write(&self) {
        // SAFETY: the bytes are alive for the call. A line that cannot be written is lost.
        unsafe { libc::write(2, self.bytes.as_ptr().cast(), self.len) };
    }
}
