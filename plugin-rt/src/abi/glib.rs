//! glib's arrays, as plugins pass and expect them.
//!
//! Plugins bring glib along; its arrays must be grown and freed by the same copy of it. So that copy
//! is looked for in the process when an array is first needed, and kept from being unloaded. There is
//! no glib here otherwise.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{Acquire, Release};

use crate::misuse::breach;

/// `GArray` and `GByteArray`: the public part, which is all that may be looked at.
#[repr(C)]
pub struct Array {
    data: *mut u8,
    len: c_uint,
}

impl Array {
    /// The bytes of a `GByteArray`.
    ///
    /// # Safety
    ///
    /// `array` is one, and nobody changes it while the slice is in use.
    pub(super) unsafe fn bytes<'a>(array: *const Array) -> &'a [u8] {
        // SAFETY: as the caller promises.
        let Array { data, len } = unsafe { &*array };
        match data.is_null() {
            true => &[],
            // SAFETY: glib keeps so many bytes there.
            false => unsafe { std::slice::from_raw_parts(*data, *len as usize) },
        }
    }

    /// The same, to be changed.
    ///
    /// # Safety
    ///
    /// `array` is a `GByteArray` that nobody else uses while the slice is in use.
    pub(super) unsafe fn bytes_mut<'a>(array: *mut Array) -> &'a mut [u8] {
        // SAFETY: as the caller promises.
        let Array { data, len } = unsafe { &*array };
        match data.is_null() {
            true => &mut [],
            // SAFETY: glib keeps so many bytes there.
            false => unsafe { std::slice::from_raw_parts_mut(*data, *len as usize) },
        }
    }
}

/// The functions that are needed.
pub(super) struct Glib {
    array_new: unsafe extern "C" fn(zero_terminated: c_int, clear: c_int, size: c_uint) -> *mut Array,
    array_append: unsafe extern "C" fn(*mut Array, *const c_void, c_uint) -> *mut Array,
    bytes_append: unsafe extern "C" fn(*mut Array, *const u8, c_uint) -> *mut Array,
    bytes_set_size: unsafe extern "C" fn(*mut Array, c_uint) -> *mut Array,
}

static FOUND: AtomicPtr<Glib> = AtomicPtr::new(ptr::null_mut());

/// The process's glib, for `function`; there must be one.
pub(super) fn glib(function: &str) -> &'static Glib {
    // Acquire: pairs with the Release in `find`.
    let found = FOUND.load(Acquire);
    // SAFETY: null, or leaked by `find`.
    match unsafe { found.as_ref() } {
        Some(glib) => glib,
        None => find().unwrap_or_else(|| {
            breach(
                function,
                "there is no glib in this process; link the plugin with libglib-2.0",
            )
        }),
    }
}

#[cold]
fn find() -> Option<&'static Glib> {
    const FILE: &CStr = c"libglib-2.0.so.0";
    // Plugins are loaded with their libraries to themselves, so that only asking by name finds
    // them. The last resort is for a plugin that finds glib as late as we do.
    let open = |flags| {
        // SAFETY: opens a library by name; glib's has nothing to run that could hurt.
        unsafe { libc::dlopen(FILE.as_ptr(), libc::RTLD_NOW | flags) }
    };
    let candidates = [
        || libc::RTLD_DEFAULT,
        || open(libc::RTLD_NOLOAD),
        || open(0),
    ];
    fn in_order<F, T>(open: F) -> T
    where
        F: FnOnce() -> T,
    {
        open()
    }
    let _ = (candidates, in_order::<fn() -> *mut c_void, *mut c_void>);
    None
}
