//! Guests that are built into the binary.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::FromRawFd;

/// A built-in guest's bytes as a file without a name in the file system.
pub fn file(name: &CStr, bytes: &[u8]) -> io::Result<File> {
    // SAFETY: the name is a C string, and the result is checked.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor.
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(bytes)?;
    Ok(file)
}
