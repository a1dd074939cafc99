//! Users, groups, processes, sessions and capabilities: all the host's.
//!
//! The calls are made raw, so that they change the calling thread only, as in the kernel: the
//! guest's C library spreads them over its threads itself.

use super::Call;
use super::arg::Arg::{self, In, Int, Out, Size};
use super::arg::{array, list, opaque};
use crate::strace::layouts;

const ID: Arg = Out(array(&layouts::UINT, 1));

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[
    Call::host(172, "getpid", libc::SYS_getpid, []),
    Call::host(173, "getppid", libc::SYS_getppid, []),
    Call::host(174, "getuid", libc::SYS_getuid, []),
    Call::host(175, "geteuid", libc::SYS_geteuid, []),
    Call::host(176, "getgid", libc::SYS_getgid, []),
    Call::host(177, "getegid", libc::SYS_getegid, []),
    Call::host(178, "gettid", libc::SYS_gettid, []),
    Call::host(143, "setregid", libc::SYS_setregid, [Int, Int]),
    Call::host(144, "setgid", libc::SYS_setgid, [Int]),
    Call::host(145, "setreuid", libc::SYS_setreuid, [Int, Int]),
    Call::host(146, "setuid", libc::SYS_setuid, [Int]),
    Call::host(147, "setresuid", libc::SYS_setresuid, [Int, Int, Int]),
    Call::host(148, "getresuid", libc::SYS_getresuid, [ID, ID, ID]),
    Call::host(149, "setresgid", libc::SYS_setresgid, [Int, Int, Int]),
    Call::host(150, "getresgid", libc::SYS_getresgid, [ID, ID, ID]),
    Call::host(151, "setfsuid", libc::SYS_setfsuid, [Int]),
    Call::host(152, "setfsgid", libc::SYS_setfsgid, [Int]),
    Call::host(154, "setpgid", libc::SYS_setpgid, [Int, Int]),
    Call::host(155, "getpgid", libc::SYS_getpgid, [Int]),
    Call::host(156, "getsid", libc::SYS_getsid, [Int]),
    Call::host(157, "setsid", libc::SYS_setsid, []),
    Call::host(
        158,
        "getgroups",
        libc::SYS_getgroups,
        [Int, Out(list(&layouts::UINT, 0))],
    ),
    Call::host(
        159,
        "setgroups",
        libc::SYS_setgroups,
        [Size, In(list(&layouts::UINT, 0))],
    ),
    Call::host(
        90,
        "capget",
        libc::SYS_capget,
        [Arg::InOut(opaque(8)), Out(opaque(24))],
    ),
    Call::host(
        91,
        "capset",
        libc::SYS_capset,
        [Arg::InOut(opaque(8)), In(opaque(24))],
    ),
];
