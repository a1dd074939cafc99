//! The log, arguments, what the guest program is, time.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use super::{Export, export};
use crate::guest::{CodeBounds, Guest};
use crate::misuse::{breach, questionable};
use crate::runtime::Runtime;

pub(super) const EXPORTS: &[Export] = &[
    export!(2 qemu_plugin_outs),
    export!(2 qemu_plugin_bool_parse),
    export!(2 qemu_plugin_path_to_binary),
    export!(2 qemu_plugin_start_code),
    export!(2 qemu_plugin_end_code),
    export!(2 qemu_plugin_entry_code),
    export!(3 qemu_plugin_request_time_control),
    export!(3 qemu_plugin_update_ns),
];

/// Writes a text to the log as it is, if anybody reads that. Destructors of a library may call it.
///
/// # Safety
///
/// The text is null or ends with NUL.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_outs(text: *const c_char) {
    let Some(runtime) = Runtime::global() else {
        return;
    };
    if text.is_null() {
        return questionable("qemu_plugin_outs", "the text is NULL");
    }
    let log = &runtime.config().log;
    if log.is_on() {
        // SAFETY: as the caller promises.
        log.write(unsafe { CStr::from_ptr(text) }.to_bytes());
    }
}

/// Reads a truth value. Gives whether it is one; `result` stays as it is otherwise.
///
/// # Safety
///
/// The texts are null or end with NUL; `result` is null or may be written to.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_bool_parse(
    name: *const c_char,
    value: *const c_char,
    result: *mut bool,
) -> bool {
    if name.is_null() || value.is_null() || result.is_null() {
        return false;
    }
    // SAFETY: not null, so as the caller promises.
    let parsed = match unsafe { CStr::from_ptr(value) }.to_bytes() {
        b"on" | b"yes" | b"true" | b"y" => true,
        b"off" | b"no" | b"false" | b"n" => false,
        _ => return false,
    };
    // SAFETY: not null, so as the caller promises.
    unsafe { result.write(parsed) };
    true
}

/// The guest program; `None` in a whole machine, where there is none.
fn program(function: &str) -> Option<&'static dyn Guest> {
    let runtime = Runtime::global()?;
    if runtime.config().system.is_some() {
        return None;
    }
    match runtime.guest() {
        Some(guest) => Some(&**guest),
        None => breach(function, "there is no program yet; call it in a callback"),
    }
}

/// The program's path, to be freed by the caller.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn qemu_plugin_path_to_binary() -> *const c_char {
    let path = program("qemu_plugin_path_to_binary").and_then(|program| program.binary());
    path.map_or(ptr::null(), |path| {
        // SAFETY: ends with NUL. The copy is one that C can free.
        unsafe { libc::strdup(path.as_ptr()) }
    })
}

fn code(function: &str) -> CodeBounds {
    program(function).map_or_else(CodeBounds::default, |program| program.code())
}

/// Lowest address of the program's code.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn qemu_plugin_start_code() -> u64 {
    code("qemu_plugin_start_code").start
}

/// Highest address of the program's code.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn qemu_plugin_end_code() -> u64 {
    code("qemu_plugin_end_code").end
}

/// Where execution began.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn qemu_plugin_entry_code() -> u64 {
    code("qemu_plugin_entry_code").entry
}

/// Whether a plugin has asked for control over the machine's clock; its address is the handle.
static TIME_CONTROL: AtomicBool = AtomicBool::new(false);

/// Control over the machine's clock for the first who asks. A program's time is the host's.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn qemu_plugin_request_time_control() -> *const c_void {
    let is_machine = Runtime::global().is_some_and(|runtime| runtime.config().system.is_some());
    match is_machine && !TIME_CONTROL.swap(true, Relaxed) {
        true => (&raw const TIME_CONTROL).cast(),
        false => ptr::null(),
    }
}

/// Sets the machine's time. No clock here can be set: a program has none of its own.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn qemu_plugin_update_ns(handle: *const c_void, _nanoseconds: i64) {
    if handle != (&raw const TIME_CONTROL).cast() {
        questionable(
            "qemu_plugin_update_ns",
            "this is not the handle from qemu_plugin_request_time_control",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &CStr) -> (bool, bool) {
        let mut result = true;
        // SAFETY: texts and a place for the result.
        let ok = unsafe { qemu_plugin_bool_parse(c"name".as_ptr(), value.as_ptr(), &mut result) };
        let of_true = (ok, result);
        result = false;
        // SAFETY: as above.
        let ok = unsafe { qemu_plugin_bool_parse(c"name".as_ptr(), value.as_ptr(), &mut result) };
        assert_eq!(ok, of_true.0);
        match ok {
            true => assert_eq!(result, of_true.1),
            false => assert_eq!((of_true.1, result), (true, false), "untouched"),
        }
        of_true
    }

    #[test]
    fn truth_values_are_words() {
        for word in [c"on", c"yes", c"true", c"y"] {
            assert_eq!(parse(word), (true, true));
        }
        for word in [c"off", c"no", c"false", c"n"] {
            assert_eq!(parse(word), (true, false));
        }
        for word in [c"1", c"0", c"On", c"TRUE", c"", c"yess", c"y "] {
            assert!(!parse(word).0, "{word:?}");
        }
    }

    #[test]
    fn null_is_no_truth_value() {
        let text = c"on".as_ptr();
        let mut result = false;
        let null = ptr::null();
        // SAFETY: null is allowed.
        unsafe {
            assert!(!qemu_plugin_bool_parse(null, text, &mut result));
            assert!(!qemu_plugin_bool_parse(text, null, &mut result));
            assert!(!qemu_plugin_bool_parse(text, text, ptr::null_mut()));
        }
        assert!(!result);
    }

    #[test]
    fn a_program_has_no_clock_of_its_own() {
        assert!(qemu_plugin_request_time_control().is_null());
        qemu_plugin_update_ns(ptr::null(), 1);
    }
}
