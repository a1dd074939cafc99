//! Reading, writing and moving data.

use super::arg::Arg::{self, Before, Fd, In, InOut, Int, Long, Out, Path, Set, Size};
use super::arg::{Data, Len, Show, bytes, special};
use super::{Call, host};
use crate::copy::Direction;
use crate::strace::line::Line;
use crate::strace::sets;
use crate::strace::socket::vectors;
use crate::{Args, SysResult, Thread};

/// The vectored calls: the array is copied, and its addresses become the host's.
fn vectored(thread: &mut Thread, nr: i64, args: &Args, direction: Direction) -> SysResult {
    let mm = thread.process.mm.clone();
    let vectors = mm
        .io_vectors(args[1], args[2], direction)
        .map_err(|errno| host::unless_bad_fd(args[0], errno))?;
    let mut host_args = *args;
    host_args[1] = vectors.as_ptr() as u64;
    thread.blocking_syscall(nr, host_args)
}

fn readv(thread: &mut Thread, args: &Args) -> SysResult {
    vectored(thread, libc::SYS_readv, args, Direction::Output)
}

fn writev(thread: &mut Thread, args: &Args) -> SysResult {
    vectored(thread, libc::SYS_writev, args, Direction::Input)
}

fn preadv(thread: &mut Thread, args: &Args) -> SysResult {
    vectored(thread, libc::SYS_preadv, args, Direction::Output)
}

fn pwritev(thread: &mut Thread, args: &Args) -> SysResult {
    vectored(thread, libc::SYS_pwritev, args, Direction::Input)
}

fn preadv2(thread: &mut Thread, args: &Args) -> SysResult {
    vectored(thread, libc::SYS_preadv2, args, Direction::Output)
}

fn pwritev2(thread: &mut Thread, args: &Args) -> SysResult {
    vectored(thread, libc::SYS_pwritev2, args, Direction::Input)
}

/// `vmsplice`: the pipe takes the pages themselves, which is the host's business.
fn vmsplice(thread: &mut Thread, args: &Args) -> SysResult {
    vectored(thread, libc::SYS_vmsplice, args, Direction::Input)
}

fn input_vectors(line: &mut Line<'_>, addr: u64, args: &Args, _: Option<u64>) {
    vectors(line, addr, args[2], None);
}

fn output_vectors(line: &mut Line<'_>, addr: u64, args: &Args, result: Option<u64>) {
    vectors(line, addr, args[2], result);
}

/// The upper half of a file position, which 64-bit machines pass but do not use.
fn unused(_: &mut Line<'_>, _: u64, _: &Args, _: Option<u64>) {}

const OFFSET: Data = Data {
    len: Len::Fixed(8),
    show: Show::Offset,
};
const VECTORS_IN: Arg = In(special(Len::Items(2, 16), input_vectors));
const VECTORS_OUT: Arg = Out(special(Len::Items(2, 16), output_vectors));

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[
    Call::blocking(63, "read", libc::SYS_read, [Fd, Out(bytes(2)), Size]),
    Call::blocking(64, "write", libc::SYS_write, [Fd, In(bytes(2)), Size]),
    Call::blocking(
        67,
        "pread64",
        libc::SYS_pread64,
        [Fd, Out(bytes(2)), Size, Long],
    ),
    Call::blocking(
        68,
        "pwrite64",
        libc::SYS_pwrite64,
        [Fd, In(bytes(2)), Size, Long],
    ),
    Call::own(65, "readv", readv, [Fd, VECTORS_OUT, Int]),
    Call::own(66, "writev", writev, [Fd, VECTORS_IN, Int]),
    Call::own(69, "preadv", preadv, [Fd, VECTORS_OUT, Int, Long]),
    Call::own(70, "pwritev", pwritev, [Fd, VECTORS_IN, Int, Long]),
    Call::own(
        286,
        "preadv2",
        preadv2,
        [Fd, VECTORS_OUT, Int, Long, Before(unused), Set(&sets::RWF)],
    ),
    Call::own(
        287,
        "pwritev2",
        pwritev2,
        [Fd, VECTORS_IN, Int, Long, Before(unused), Set(&sets::RWF)],
    ),
    Call::own(
        75,
        "vmsplice",
        vmsplice,
        [Fd, VECTORS_IN, Int, Set(&sets::SPLICE)],
    ),
    Call::host(62, "lseek", libc::SYS_lseek, [Fd, Long, Set(&sets::WHENCE)]),
    Call::blocking(
        71,
        "sendfile",
        libc::SYS_sendfile,
        [Fd, Fd, InOut(OFFSET), Size],
    ),
    Call::blocking(
        76,
        "splice",
        libc::SYS_splice,
        [
            Fd,
            InOut(OFFSET),
            Fd,
            InOut(OFFSET),
            Size,
            Set(&sets::SPLICE),
        ],
    ),
    Call::blocking(77, "tee", libc::SYS_tee, [Fd, Fd, Size, Set(&sets::SPLICE)]),
    Call::blocking(
        285,
        "copy_file_range",
        libc::SYS_copy_file_range,
        [Fd, InOut(OFFSET), Fd, InOut(OFFSET), Size, Int],
    ),
    Call::blocking(45, "truncate", libc::SYS_truncate, [Path, Long]),
    Call::blocking(46, "ftruncate", libc::SYS_ftruncate, [Fd, Long]),
    Call::blocking(
        47,
        "fallocate",
        libc::SYS_fallocate,
        [Fd, Set(&sets::FALLOCATE), Long, Long],
    ),
    Call::blocking(81, "sync", libc::SYS_sync, []),
    Call::blocking(267, "syncfs", libc::SYS_syncfs, [Fd]),
    Call::blocking(82, "fsync", libc::SYS_fsync, [Fd]),
    Call::blocking(83, "fdatasync", libc::SYS_fdatasync, [Fd]),
    Call::blocking(
        84,
        "sync_file_range",
        libc::SYS_sync_file_range,
        [Fd, Long, Long, Set(&sets::SYNC_RANGE)],
    ),
    Call::blocking(213, "readahead", libc::SYS_readahead, [Fd, Long, Size]),
    Call::blocking(
        223,
        "fadvise64",
        libc::SYS_fadvise64,
        [Fd, Long, Long, Set(&sets::FADVISE)],
    ),
];
