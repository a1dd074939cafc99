//! glib's arrays, as plugins pass and expect them.
//!
//! Plugins bring glib along; its arrays must be grown and freed by the same copy of it. So that copy
//! is looked for in the process when an array is first needed, and kept from being unloaded. There is
//! no glib here otherwise.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::mem::transmute;
use std::sync::OnceLock;

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

type ArrayNew =
    unsafe extern "C" fn(zero_terminated: c_int, clear: c_int, size: c_uint) -> *mut Array;
type ArrayAppend = unsafe extern "C" fn(*mut Array, *const c_void, len: c_uint) -> *mut Array;
type BytesAppend = unsafe extern "C" fn(*mut Array, *const u8, len: c_uint) -> *mut Array;
type BytesSetSize = unsafe extern "C" fn(*mut Array, len: c_uint) -> *mut Array;

/// The functions that are needed.
pub(super) struct Glib {
    array_new: ArrayNew,
    array_append: ArrayAppend,
    bytes_append: BytesAppend,
    bytes_set_size: BytesSetSize,
}

static FOUND: OnceLock<Glib> = OnceLock::new();

/// The process's glib, for `function`; there must be one.
pub(super) fn glib(function: &str) -> &'static Glib {
    match FOUND.get().or_else(find) {
        Some(glib) => glib,
        None => breach(
            function,
            "there is no glib in this process; link the plugin with libglib-2.0",
        ),
    }
}

#[cold]
fn find() -> Option<&'static Glib> {
    // Plugins have their libraries to themselves, so that asking by name finds what asking for a
    // function in general does not. The last resort is for a plugin that has no glib yet.
    let glib = Glib::in_library(libc::RTLD_DEFAULT)
        .or_else(|| Glib::in_library(open(libc::RTLD_NOLOAD)))
        .or_else(|| Glib::in_library(open(0)))?;
    Some(FOUND.get_or_init(|| glib))
}

/// Never closed, so that the functions stay. Null, which means any library, if there is none.
fn open(flags: c_int) -> *mut c_void {
    // SAFETY: opens a library by name; glib's has nothing to run that could hurt.
    unsafe { libc::dlopen(c"libglib-2.0.so.0".as_ptr(), libc::RTLD_NOW | flags) }
}

impl Glib {
    fn in_library(library: *mut c_void) -> Option<Glib> {
        let symbol = |name: &CStr| {
            // SAFETY: `library` is open.
            let found = unsafe { libc::dlsym(library, name.as_ptr()) };
            (!found.is_null()).then_some(found)
        };
        // SAFETY: these are glib's functions, whose types have been the same since glib 2.0.
        unsafe {
            Some(Glib {
                array_new: transmute::<*mut c_void, ArrayNew>(symbol(c"g_array_new")?),
                array_append: transmute::<*mut c_void, ArrayAppend>(symbol(
                    c"g_array_append_vals",
                )?),
                bytes_append: transmute::<*mut c_void, BytesAppend>(symbol(
                    c"g_byte_array_append",
                )?),
                bytes_set_size: transmute::<*mut c_void, BytesSetSize>(symbol(
                    c"g_byte_array_set_size",
                )?),
            })
        }
    }

    /// A new `GArray` with these elements, and a zero element behind the last, which does not count.
    pub(super) fn array_of<T: Copy>(&self, elements: &[T]) -> *mut Array {
        // SAFETY: as glib wants it; the elements are plain data of the size that it is told.
        unsafe {
            let array = (self.array_new)(1, 0, size_of::<T>() as c_uint);
            (self.array_append)(array, elements.as_ptr().cast(), elements.len() as c_uint)
        }
    }

    /// Appends to a `GByteArray`.
    ///
    /// # Safety
    ///
    /// `array` is one that nobody else uses meanwhile.
    pub(super) unsafe fn append(&self, array: *mut Array, bytes: &[u8]) {
        // SAFETY: as the caller promises.
        unsafe { (self.bytes_append)(array, bytes.as_ptr(), bytes.len() as c_uint) };
    }

    /// Makes a `GByteArray` so long. New bytes are undefined.
    ///
    /// # Safety
    ///
    /// `array` is one that nobody else uses meanwhile.
    pub(super) unsafe fn set_size(&self, array: *mut Array, len: c_uint) {
        // SAFETY: as the caller promises.
        unsafe { (self.bytes_set_size)(array, len) };
    }
}
