//! Directories, links and names.

use super::arg::Arg::{
    self, At, Before, Fd, FileMode, Hex, In, InOut, Int, Lookup, Mode, Out, Path, Set, Size, Text,
};
use super::arg::{Len, bytes, opaque, special, text};
use super::{Call, Ret, path, tasks};
use crate::strace::layouts::u16_at;
use crate::strace::line::Line;
use crate::strace::sets;
use crate::{Args, Errno, SysResult, Thread};
use std::os::unix::ffi::OsStrExt;

/// `readlinkat`
fn readlinkat(thread: &mut Thread, args: &Args) -> SysResult {
    let &[dir, name, out, len, ..] = args;
    let process = thread.process.clone();
    let path = path::read(&process, name)?;
    if let Some(target) = path::link_target(&process, &path) {
        let len = usize::try_from(len as i32).unwrap_or(0);
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        let target = target.as_os_str().as_bytes();
        let shown = &target[..target.len().min(len)];
        process.mm.write(out, shown)?;
        return Ok(shown.len() as u64);
    }
    let replaced = path::host_name(&process, &path).and_then(|path| path::to_c(&path));
    let name = match &replaced {
        Some(path) => path.as_ptr() as u64,
        None => process.mm.pointer(name),
    };
    let out = process.mm.output(out, len & 0xffff_ffff);
    thread.blocking_syscall(libc::SYS_readlinkat, [dir, name, out, len, 0, 0])
}

/// `0x… /* 9 entries */`
fn entries(line: &mut Line<'_>, addr: u64, _: &Args, result: Option<u64>) {
    line.address(addr);
    let len = result.unwrap_or(0).min(1 << 20) as usize;
    let mut bytes = vec![0; len];
    if line.mm.read(addr, &mut bytes).is_err() {
        return;
    }
    let (mut at, mut count) = (0, 0);
    while at < len {
        // The length of an entry; a wrong one ends the count.
        match u16_at(&bytes[at..], 16) {
            0 => break,
            step => at += step as usize,
        }
        count += 1;
    }
    line.fmt(format_args!(" /* {count} entries */"));
}

/// The device number, which only device files have.
fn device(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    if matches!(args[2] as u32 & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK) {
        let (major, minor) = (libc::major(value), libc::minor(value));
        line.fmt(format_args!("makedev({major:#x}, {minor:#x})"));
    }
}

const ENTRIES: Arg = Out(special(Len::Arg(2), entries));

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[
    Call::own(61, "getdents64", tasks::getdents64, [Fd, ENTRIES, Size]),
    Call::blocking(17, "getcwd", libc::SYS_getcwd, [Out(text(1)), Size]),
    Call::blocking(49, "chdir", libc::SYS_chdir, [Path]),
    Call::blocking(50, "fchdir", libc::SYS_fchdir, [Fd]),
    Call::blocking(51, "chroot", libc::SYS_chroot, [Path]),
    Call::host(166, "umask", libc::SYS_umask, [Mode]).returns(Ret::Octal),
    Call::blocking(
        33,
        "mknodat",
        libc::SYS_mknodat,
        [At, Path, FileMode, Before(device)],
    ),
    Call::blocking(34, "mkdirat", libc::SYS_mkdirat, [At, Path, Mode]),
    Call::blocking(
        35,
        "unlinkat",
        libc::SYS_unlinkat,
        [At, Path, Set(&sets::UNLINK)],
    ),
    Call::blocking(36, "symlinkat", libc::SYS_symlinkat, [Text, At, Path]),
    Call::blocking(
        37,
        "linkat",
        libc::SYS_linkat,
        [At, Path, At, Path, Set(&sets::AT)],
    ),
    Call::blocking(
        276,
        "renameat2",
        libc::SYS_renameat2,
        [At, Path, At, Path, Set(&sets::RENAME)],
    ),
    Call::own(
        78,
        "readlinkat",
        readlinkat,
        [At, Lookup, Out(bytes(3)), Int],
    ),
    Call::blocking(39, "umount2", libc::SYS_umount2, [Path, Hex]),
    Call::blocking(40, "mount", libc::SYS_mount, [Path, Path, Text, Hex, Text]),
    Call::blocking(41, "pivot_root", libc::SYS_pivot_root, [Path, Path]),
    Call::blocking(
        264,
        "name_to_handle_at",
        libc::SYS_name_to_handle_at,
        // A handle has at most 128 bytes after its head of 8.
        [At, Path, InOut(opaque(136)), Out(opaque(4)), Hex],
    ),
    Call::blocking(
        265,
        "open_by_handle_at",
        libc::SYS_open_by_handle_at,
        [Fd, In(opaque(136)), Hex],
    ),
];
