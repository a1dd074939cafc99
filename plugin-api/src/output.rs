//! Writing to the emulator's log (`-d plugin`).

use std::ffi::CString;
use std::fmt;

use crate::sys;

/// Writes a text to the log, in one piece and with nothing added. A NUL in it is left out.
pub fn outs(text: &str) {
    let mut bytes = text.as_bytes().to_vec();
    bytes.retain(|&byte| byte != 0);
    if let Ok(text) = CString::new(bytes) {
        // SAFETY: a text that ends with NUL.
        unsafe { sys::qemu_plugin_outs(text.as_ptr()) }
    }
}

/// Behind [`out!`](crate::out).
#[doc(hidden)]
pub fn outs_format(text: fmt::Arguments<'_>) {
    outs(&text.to_string());
}

/// Like `print!`, to the emulator's log.
#[macro_export]
macro_rules! out {
    ($($arg:tt)*) => { $crate::outs_format(format_args!($($arg)*)) };
}
