//! glib's arrays, in which registers and guest memory are handed over.
//!
//! The library is looked for when the first one is needed; a plugin that needs none runs without it.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;

use crate::sys::Array;

struct Functions {
    bytes_new: unsafe extern "C" fn() -> *mut Array,
    bytes_set_size: unsafe extern "C" fn(*mut Array, c_uint) -> *mut Array,
    array_free: unsafe extern "C" fn(*mut Array, c_int) -> *mut c_char,
}

fn functions() -> &'static Functions {
    static FUNCTIONS: OnceLock<Option<Functions>> = OnceLock::new();
    let functions = FUNCTIONS.get_or_init(|| {
        // SAFETY: opens a library that has no effects of its own. It becomes global, so that the
        // emulator finds the same copy, and is never closed.
        let glib = unsafe {
            libc::dlopen(
                c"libglib-2.0.so.0".as_ptr(),
                libc::RTLD_NOW | libc::RTLD_GLOBAL,
            )
        };
        if glib.is_null() {
            return None;
        }
        let find = |name: &std::ffi::CStr| -> Option<*mut c_void> {
            // SAFETY: the library is open.
            let symbol = unsafe { libc::dlsym(glib, name.as_ptr()) };
            (!symbol.is_null()).then_some(symbol)
        };
        let (bytes_new, bytes_set_size, array_free) = (
            find(c"g_byte_array_new")?,
            find(c"g_byte_array_set_size")?,
            find(c"g_array_free")?,
        );
        // SAFETY: glib documents these functions with these types.
        Some(unsafe {
            Functions {
                bytes_new: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *mut Array>(
                    bytes_new,
                ),
                bytes_set_size: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut Array, c_uint) -> *mut Array,
                >(bytes_set_size),
                array_free: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut Array, c_int) -> *mut c_char,
                >(array_free),
            }
        })
    });
    functions
        .as_ref()
        .expect("registers and memory need libglib-2.0.so.0")
}

/// Opens the library, so that it is there before the emulator looks for it.
pub(crate) fn load() {
    functions();
}

/// Gives a `GArray` back, with its contents.
///
/// # Safety
///
/// It is the caller's, and not used any more.
pub(crate) unsafe fn free_array(array: *mut Array) {
    // SAFETY: the caller's promise.
    unsafe { (functions().array_free)(array, 1) };
}

/// Calls `f` with an empty `GByteArray` of this thread's.
pub(crate) fn with_bytes<R>(f: impl FnOnce(&mut Bytes) -> R) -> R {
    // No destructor: that would keep the plugin's library from being closed.
    thread_local!(static SPARE: Cell<*mut Array> = const { Cell::new(ptr::null_mut()) });
    let mut array = SPARE.take();
    if array.is_null() {
        // SAFETY: always allowed.
        array = unsafe { (functions().bytes_new)() };
    }
    let mut bytes = Bytes(array);
    bytes.resize(0);
    let result = f(&mut bytes);
    SPARE.set(array);
    result
}

/// A `GByteArray`.
pub(crate) struct Bytes(*mut Array);

impl Bytes {
    pub(crate) fn raw(&mut self) -> *mut Array {
        self.0
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: a GByteArray that is alive and ours.
        let array = unsafe { &*self.0 };
        match array.len {
            0 => &[],
            // SAFETY: so many bytes are there.
            len => unsafe { std::slice::from_raw_parts(array.data, len as usize) },
        }
    }

    #[cfg(api_5)]
    pub(crate) fn set(&mut self, data: &[u8]) {
        self.resize(data.len());
        if !data.is_empty() {
            // SAFETY: resized to that many bytes.
            unsafe { ptr::copy_nonoverlapping(data.as_ptr(), (*self.0).data, data.len()) };
        }
    }

    fn resize(&mut self, len: usize) {
        let len = c_uint::try_from(len).expect("a GByteArray has less than 4 GiB");
        // SAFETY: a GByteArray that is alive and ours.
        unsafe { (functions().bytes_set_size)(self.0, len) };
    }
}
