//! What files are like: status, permissions, owners, times, extended attributes.

use super::Call;
use super::arg::Arg::{self, At, Fd, In, Int, Lookup, Mode, Out, Path, Set, Size, Text};
use super::arg::{array, bytes, one};
use super::path;
use crate::copy::plain;
use crate::strace::{layouts, sets};
use crate::{Args, SysResult, Thread};
use std::mem::MaybeUninit;

plain! {
    /// `struct stat` of asm-generic; x86-64 has its own.
    struct Stat {
        dev: u64,
        ino: u64,
        mode: u32,
        nlink: u32,
        uid: u32,
        gid: u32,
        rdev: u64,
        pad1: u64,
        size: i64,
        blksize: i32,
        pad2: i32,
        blocks: i64,
        atime: i64,
        atime_nsec: u64,
        mtime: i64,
        mtime_nsec: u64,
        ctime: i64,
        ctime_nsec: u64,
        unused: [u32; 2],
    }
}

impl From<&libc::stat> for Stat {
    fn from(host: &libc::stat) -> Stat {
        Stat {
            dev: host.st_dev,
            ino: host.st_ino,
            mode: host.st_mode,
            // The host has 64 bits for it, no file system has so many links.
            nlink: host.st_nlink as u32,
            uid: host.st_uid,
            gid: host.st_gid,
            rdev: host.st_rdev,
            pad1: 0,
            size: host.st_size,
            blksize: host.st_blksize as i32,
            pad2: 0,
            blocks: host.st_blocks,
            atime: host.st_atime,
            atime_nsec: host.st_atime_nsec as u64,
            mtime: host.st_mtime,
            mtime_nsec: host.st_mtime_nsec as u64,
            ctime: host.st_ctime,
            ctime_nsec: host.st_ctime_nsec as u64,
            unused: [0; 2],
        }
    }
}

/// Makes a host call that fills a `struct stat`, and gives the guest its own kind of it.
/// `args[out]` is set to where the host writes.
fn stat(thread: &mut Thread, nr: i64, mut args: Args, out: usize, guest: u64) -> SysResult {
    let mut host = MaybeUninit::<libc::stat>::zeroed();
    args[out] = host.as_mut_ptr() as u64;
    let result = thread.blocking_syscall(nr, args)?;
    // SAFETY: zeroed, and every field is an integer.
    let host = unsafe { host.assume_init() };
    thread.process.mm.write_struct(guest, &Stat::from(&host))?;
    Ok(result)
}

/// `newfstatat`
fn newfstatat(thread: &mut Thread, args: &Args) -> SysResult {
    let &[dir, name, out, flags, ..] = args;
    let process = thread.process.clone();
    let replaced = match name {
        0 => None,
        _ => path::redirect(&process, name)?,
    };
    let name = match &replaced {
        Some(path) => path.as_ptr() as u64,
        None => process.mm.pointer(name),
    };
    let host = [dir, name, 0, flags, 0, 0];
    stat(thread, libc::SYS_newfstatat, host, 2, out)
}

/// `fstat`
fn fstat(thread: &mut Thread, args: &Args) -> SysResult {
    stat(
        thread,
        libc::SYS_fstat,
        [args[0], 0, 0, 0, 0, 0],
        1,
        args[1],
    )
}

/// `fchmodat2`, which older hosts do not have: the guest then uses its own way around.
const FCHMODAT2: i64 = 452;

const TIMES: Arg = In(array(&layouts::UTIME, 2));

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[
    Call::own(
        79,
        "newfstatat",
        newfstatat,
        [At, Lookup, Out(one(&layouts::STAT)), Set(&sets::AT)],
    ),
    Call::own(80, "fstat", fstat, [Fd, Out(one(&layouts::STAT))]),
    Call::blocking(
        291,
        "statx",
        libc::SYS_statx,
        [
            At,
            Lookup,
            Set(&sets::STATX_FLAGS),
            Set(&sets::STATX_MASK),
            Out(one(&layouts::STATX)),
        ],
    ),
    Call::blocking(
        43,
        "statfs",
        libc::SYS_statfs,
        [Lookup, Out(one(&layouts::STATFS))],
    ),
    Call::blocking(
        44,
        "fstatfs",
        libc::SYS_fstatfs,
        [Fd, Out(one(&layouts::STATFS))],
    ),
    Call::blocking(
        48,
        "faccessat",
        libc::SYS_faccessat,
        [At, Lookup, Set(&sets::ACCESS)],
    ),
    Call::blocking(
        439,
        "faccessat2",
        libc::SYS_faccessat2,
        [At, Lookup, Set(&sets::ACCESS), Set(&sets::ACCESS_AT)],
    ),
    Call::blocking(52, "fchmod", libc::SYS_fchmod, [Fd, Mode]),
    Call::blocking(53, "fchmodat", libc::SYS_fchmodat, [At, Path, Mode]),
    Call::blocking(
        452,
        "fchmodat2",
        FCHMODAT2,
        [At, Path, Mode, Set(&sets::AT)],
    ),
    Call::blocking(
        54,
        "fchownat",
        libc::SYS_fchownat,
        [At, Path, Int, Int, Set(&sets::AT)],
    ),
    Call::blocking(55, "fchown", libc::SYS_fchown, [Fd, Int, Int]),
    Call::blocking(
        88,
        "utimensat",
        libc::SYS_utimensat,
        [At, Path, TIMES, Set(&sets::AT)],
    ),
    Call::blocking(
        5,
        "setxattr",
        libc::SYS_setxattr,
        [Path, Text, In(bytes(3)), Size, Set(&sets::XATTR)],
    ),
    Call::blocking(
        6,
        "lsetxattr",
        libc::SYS_lsetxattr,
        [Path, Text, In(bytes(3)), Size, Set(&sets::XATTR)],
    ),
    Call::blocking(
        7,
        "fsetxattr",
        libc::SYS_fsetxattr,
        [Fd, Text, In(bytes(3)), Size, Set(&sets::XATTR)],
    ),
    Call::blocking(
        8,
        "getxattr",
        libc::SYS_getxattr,
        [Path, Text, Out(bytes(3)), Size],
    ),
    Call::blocking(
        9,
        "lgetxattr",
        libc::SYS_lgetxattr,
        [Path, Text, Out(bytes(3)), Size],
    ),
    Call::blocking(
        10,
        "fgetxattr",
        libc::SYS_fgetxattr,
        [Fd, Text, Out(bytes(3)), Size],
    ),
    Call::blocking(
        11,
        "listxattr",
        libc::SYS_listxattr,
        [Path, Out(bytes(2)), Size],
    ),
    Call::blocking(
        12,
        "llistxattr",
        libc::SYS_llistxattr,
        [Path, Out(bytes(2)), Size],
    ),
    Call::blocking(
        13,
        "flistxattr",
        libc::SYS_flistxattr,
        [Fd, Out(bytes(2)), Size],
    ),
    Call::blocking(14, "removexattr", libc::SYS_removexattr, [Path, Text]),
    Call::blocking(15, "lremovexattr", libc::SYS_lremovexattr, [Path, Text]),
    Call::blocking(16, "fremovexattr", libc::SYS_fremovexattr, [Fd, Text]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn stat_has_the_layout_of_asm_generic() {
        assert_eq!(size_of::<Stat>(), 128);
        let offsets = [
            offset_of!(Stat, mode),
            offset_of!(Stat, nlink),
            offset_of!(Stat, rdev),
            offset_of!(Stat, size),
            offset_of!(Stat, blksize),
            offset_of!(Stat, blocks),
            offset_of!(Stat, atime),
            offset_of!(Stat, ctime_nsec),
        ];
        assert_eq!(offsets, [16, 20, 32, 48, 56, 64, 72, 112]);
    }

    #[test]
    fn every_field_of_a_status_arrives() {
        // SAFETY: every field is an integer, for which zero is valid.
        let mut host: libc::stat = unsafe { MaybeUninit::zeroed().assume_init() };
        host.st_dev = 1;
        host.st_ino = 2;
        host.st_mode = 3;
        host.st_nlink = 4;
        host.st_uid = 5;
        host.st_gid = 6;
        host.st_rdev = 7;
        host.st_size = 8;
        host.st_blksize = 9;
        host.st_blocks = 10;
        (host.st_atime, host.st_atime_nsec) = (11, 12);
        (host.st_mtime, host.st_mtime_nsec) = (13, 14);
        (host.st_ctime, host.st_ctime_nsec) = (15, 16);
        let guest = Stat {
            dev: 1,
            ino: 2,
            mode: 3,
            nlink: 4,
            uid: 5,
            gid: 6,
            rdev: 7,
            pad1: 0,
            size: 8,
            blksize: 9,
            pad2: 0,
            blocks: 10,
            atime: 11,
            atime_nsec: 12,
            mtime: 13,
            mtime_nsec: 14,
            ctime: 15,
            ctime_nsec: 16,
            unused: [0; 2],
        };
        assert_eq!(Stat::from(&host), guest);
    }
}
