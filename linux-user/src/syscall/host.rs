//! Calls that the host does as they are: the pointers become host pointers.

use super::Call;
use super::arg::{Arg, Data, Len};
use super::path;
use crate::mm::AddressSpace;
use crate::{Args, Errno, SysResult, Thread};
use std::ffi::CString;

/// Arguments that are ready for the host, and what they point to outside guest memory.
pub(super) struct Ready {
    args: Args,
    /// Names of files that have been replaced; `args` points to them.
    _paths: Vec<CString>,
}

impl Ready {
    /// Makes the arguments of `call` ready: what each of them is says the row.
    pub(super) fn new(thread: &Thread, call: &Call, args: &Args) -> Result<Ready, Errno> {
        let mm = &thread.process.mm;
        let mut paths = Vec::new();
        let mut ready = *args;
        for (arg, value) in call.args().iter().zip(&mut ready) {
            *value = match arg {
                Arg::Lookup => match path::redirect(&thread.process, *value)? {
                    Some(path) => {
                        paths.push(path);
                        paths.last().map_or(0, |path| path.as_ptr() as u64)
                    }
                    None => mm.pointer(*value),
                },
                Arg::Path | Arg::Text | Arg::In(_) => mm.pointer(*value),
                Arg::Out(data) | Arg::InOut(data) => mm.output(*value, length(mm, data, args)),
                _ => *value,
            };
        }
        Ok(Ready {
            args: ready,
            _paths: paths,
        })
    }

    /// What the host call gets. Valid as long as this object.
    pub(super) fn args(&self) -> &Args {
        &self.args
    }
}

/// How many bytes lie behind a pointer.
fn length(mm: &AddressSpace, data: &Data, args: &Args) -> u64 {
    match data.len {
        Len::Fixed(bytes) => u64::from(bytes),
        Len::Arg(n) => args[usize::from(n)],
        Len::Items(n, size) => args[usize::from(n)].saturating_mul(u64::from(size)),
        Len::Behind(n) => mm.read_u32(args[usize::from(n)]).map_or(0, u64::from),
    }
}

/// The error to give for a call on `fd` whose arguments are bad: a bad descriptor is found first.
pub(super) fn unless_bad_fd(fd: u64, errno: Errno) -> Errno {
    match call(libc::SYS_fcntl, [fd, libc::F_GETFD as u64, 0, 0, 0, 0]) {
        Ok(_) => errno,
        Err(bad) => bad,
    }
}

/// Makes a host system call that does not block. Pointers among `args` must be ones that
/// [`AddressSpace::pointer`] and [`AddressSpace::output`] give, or to memory of the caller.
pub(super) fn call(number: i64, args: Args) -> SysResult {
    let [a, b, c, d, e, f] = args;
    // SAFETY: what the call reads and writes lies in the guest's window or belongs to the caller;
    // neither is memory that Rust code counts on not changing.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 {
        return Err(Errno::last());
    }
    Ok(result as u64)
}
