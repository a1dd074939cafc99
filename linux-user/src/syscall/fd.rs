//! Opening, closing and duplicating descriptors; `fcntl` and locks.

use super::arg::Arg::{
    self, After, At, Before, Fd, Hex, In, Int, Lookup, Out, Path, Set, Size, Text,
};
use super::arg::{array, raw};
use super::{Call, Ret, own_fds, path};
use crate::strace::layouts;
use crate::strace::line::Line;
use crate::strace::sets;
use crate::{Args, Errno, SysResult, Thread};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

/// `openat`. The `O_…` flags are asm-generic on both machines.
fn openat(thread: &mut Thread, args: &Args) -> SysResult {
    let &[dir, name, flags, mode, ..] = args;
    let process = thread.process.clone();
    let path = path::read(&process, name)?;
    if let Some(content) = path::content(&process, &path) {
        return open_content(&content, flags as i32);
    }
    let replaced = path::host_name(&process, &path).and_then(|path| path::to_c(&path));
    let name = match &replaced {
        Some(path) => path.as_ptr() as u64,
        None => process.mm.pointer(name),
    };
    thread.blocking_syscall(libc::SYS_openat, [dir, name, flags, mode, 0, 0])
}

/// A descriptor of an anonymous file with this content.
fn open_content(content: &[u8], flags: i32) -> SysResult {
    if flags & libc::O_ACCMODE != libc::O_RDONLY {
        return Err(Errno::EACCES);
    }
    if flags & libc::O_DIRECTORY != 0 {
        return Err(Errno::ENOTDIR);
    }
    let close_on_exec = if flags & libc::O_CLOEXEC != 0 {
        libc::MFD_CLOEXEC
    } else {
        0
    };
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"proc".as_ptr(), close_on_exec) };
    if fd < 0 {
        return Err(Errno::last());
    }
    // SAFETY: `fd` was just opened and nobody else knows of it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut file = std::fs::File::from(fd);
    std::io::Write::write_all(&mut file, content)?;
    std::io::Seek::rewind(&mut file)?;
    Ok(file.into_raw_fd() as u64)
}

/// `close`: hartscope's own descriptors are not open as far as the guest knows.
fn close(thread: &mut Thread, args: &Args) -> SysResult {
    if own_fds::is_own(args[0] as i32) {
        return Err(Errno::EBADF);
    }
    thread.blocking_syscall(libc::SYS_close, [args[0], 0, 0, 0, 0, 0])
}

/// `close_range`, around hartscope's own descriptors.
fn close_range(thread: &mut Thread, args: &Args) -> SysResult {
    let &[first, last, flags, ..] = args;
    let (mut first, last) = (first & 0xffff_ffff, last & 0xffff_ffff);
    if first > last {
        return Err(Errno::EINVAL);
    }
    for own in own_fds::all() {
        let own = own as u64;
        if !(first..=last).contains(&own) {
            continue;
        }
        if own > first {
            let part = [first, own - 1, flags, 0, 0, 0];
            thread.blocking_syscall(libc::SYS_close_range, part)?;
        }
        first = own + 1;
    }
    if first > last {
        return Ok(0);
    }
    thread.blocking_syscall(libc::SYS_close_range, [first, last, flags, 0, 0, 0])
}

/// `dup3`: onto one of hartscope's own descriptors is beyond the limit, for the guest.
fn dup3(thread: &mut Thread, args: &Args) -> SysResult {
    let &[old, new, flags, ..] = args;
    if own_fds::is_own(new as i32) || own_fds::is_own(old as i32) {
        return Err(Errno::EBADF);
    }
    thread.blocking_syscall(libc::SYS_dup3, [old, new, flags, 0, 0, 0])
}

/// What a `fcntl` command does with its argument.
enum FcntlArg {
    /// A number, or nothing.
    Value,
    /// Reads that many bytes.
    Input,
    /// Writes, or reads and writes, that many bytes.
    Output(u64),
}

const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_GETOWNER_UIDS: i32 = 17;
const F_GET_RW_HINT: i32 = 1035;
const F_SET_FILE_RW_HINT: i32 = 1038;

fn fcntl_arg(command: i32) -> FcntlArg {
    match command {
        libc::F_SETLK | libc::F_SETLKW | libc::F_OFD_SETLK | libc::F_OFD_SETLKW | F_SETOWN_EX => {
            FcntlArg::Input
        }
        libc::F_GETLK | libc::F_OFD_GETLK => FcntlArg::Output(32),
        F_GETOWN_EX | F_GETOWNER_UIDS => FcntlArg::Output(8),
        F_GET_RW_HINT..=F_SET_FILE_RW_HINT => FcntlArg::Output(8),
        _ => FcntlArg::Value,
    }
}

/// `fcntl`. Commands, flags and `struct flock` are the same on both machines.
fn fcntl(thread: &mut Thread, args: &Args) -> SysResult {
    let &[fd, command, value, ..] = args;
    let mm = &thread.process.mm;
    let value = match fcntl_arg(command as i32) {
        FcntlArg::Value => value,
        FcntlArg::Input => mm.pointer(value),
        FcntlArg::Output(len) => mm.output(value, len),
    };
    thread.blocking_syscall(libc::SYS_fcntl, [fd, command, value, 0, 0, 0])
}

/// Only a call that creates a file has a mode.
fn open_mode(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    let flags = args[2] as i32;
    if flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE {
        line.octal(value & 0o7777);
    }
}

fn fcntl_shown(line: &mut Line<'_>, value: u64, args: &Args, result: Option<u64>) {
    let flock = |line: &mut Line<'_>, show: fn(&mut Line<'_>, &[u8])| {
        let mut bytes = [0; 32];
        match line.mm.read(value, &mut bytes) {
            Ok(()) => show(line, &bytes),
            Err(_) => line.address(value),
        }
    };
    match args[1] as i32 {
        libc::F_GETFD | libc::F_GETFL | libc::F_GETOWN | F_GETSIG => {}
        libc::F_GETLEASE | libc::F_GETPIPE_SZ | libc::F_GET_SEALS => {}
        libc::F_SETFD if value & 0xffff_ffff == libc::FD_CLOEXEC as u64 => line.put("FD_CLOEXEC"),
        libc::F_SETFL => line.set(&sets::OPEN, value),
        F_SETSIG => line.signal(value & 0xffff_ffff),
        libc::F_SETLK | libc::F_SETLKW | libc::F_OFD_SETLK | libc::F_OFD_SETLKW => {
            flock(line, layouts::FLOCK.show);
        }
        libc::F_GETLK | libc::F_OFD_GETLK if result.is_some() => {
            flock(line, layouts::FLOCK_PID.show)
        }
        command => match fcntl_arg(command) {
            FcntlArg::Value => line.signed(i64::from(value as i32)),
            FcntlArg::Input | FcntlArg::Output(_) => line.address(value),
        },
    }
}

fn fcntl_result(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    match args[1] as i32 {
        libc::F_GETFD if value == libc::FD_CLOEXEC as u64 => line.put("0x1 (flags FD_CLOEXEC)"),
        libc::F_GETFL => {
            line.fmt(format_args!("{value:#x} (flags "));
            line.set(&sets::OPEN, value);
            line.put(")");
        }
        _ => line.signed(value as i64),
    }
}

const PIPE: Arg = Out(array(&layouts::INT, 2));

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[
    Call::own(
        56,
        "openat",
        openat,
        [At, Lookup, Set(&sets::OPEN), Before(open_mode)],
    ),
    Call::blocking(
        437,
        "openat2",
        libc::SYS_openat2,
        [At, Lookup, In(raw(3)), Size],
    ),
    Call::own(57, "close", close, [Fd]),
    Call::own(
        436,
        "close_range",
        close_range,
        [Int, Int, Set(&sets::CLOSE_RANGE)],
    ),
    Call::host(23, "dup", libc::SYS_dup, [Fd]),
    Call::own(24, "dup3", dup3, [Fd, Fd, Set(&sets::PIPE)]),
    Call::own(
        25,
        "fcntl",
        fcntl,
        [Fd, Set(&sets::FCNTL), After(fcntl_shown)],
    )
    .returns(Ret::Special(fcntl_result)),
    Call::blocking(32, "flock", libc::SYS_flock, [Fd, Set(&sets::LOCK)]),
    Call::host(59, "pipe2", libc::SYS_pipe2, [PIPE, Set(&sets::PIPE)]),
    Call::host(
        19,
        "eventfd2",
        libc::SYS_eventfd2,
        [Int, Set(&sets::EVENTFD)],
    ),
    Call::host(
        279,
        "memfd_create",
        libc::SYS_memfd_create,
        [Text, Set(&sets::MEMFD)],
    ),
    Call::host(
        26,
        "inotify_init1",
        libc::SYS_inotify_init1,
        [Set(&sets::INOTIFY)],
    ),
    Call::blocking(
        27,
        "inotify_add_watch",
        libc::SYS_inotify_add_watch,
        [Fd, Path, Set(&sets::INOTIFY_MASK)],
    ),
    Call::host(
        28,
        "inotify_rm_watch",
        libc::SYS_inotify_rm_watch,
        [Fd, Int],
    ),
    Call::host(434, "pidfd_open", libc::SYS_pidfd_open, [Int, Hex]),
    Call::host(438, "pidfd_getfd", libc::SYS_pidfd_getfd, [Fd, Fd, Hex]),
];
