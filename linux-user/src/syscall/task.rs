//! Rows of the calls about threads, processes, memory and signals, whose handlers stand with what
//! they work on.

use super::arg::Arg::{
    self, Addr, After, At, Before, Fd, Hex, In, Int, Lookup, Out, Set, Signal, Size,
};
use super::arg::{Layout, Len, one, opaque, special};
use super::{Call, Ret};
use crate::strace::layouts::{i32_at, u64_at};
use crate::strace::line::Line;
use crate::strace::{layouts, sets};
use crate::{Args, SysResult, Thread, clone, exec, futex, mm, signal, thread, wait};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `clone`: from now on lines tell whose they are.
fn clone(thread: &mut Thread, args: &Args) -> SysResult {
    thread.process.syscalls.log.expect_several();
    clone::clone(thread, args)
}

/// `clone3`
fn clone3(thread: &mut Thread, args: &Args) -> SysResult {
    thread.process.syscalls.log.expect_several();
    clone::clone3(thread, args)
}

/// The stack and `CLONE_VM|…|SIGCHLD`, in strace's order, whatever that of the registers is.
fn stack_and_flags(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    let (flags, signal) = (value & 0xffff_ff00, value & 0xff);
    line.put("child_stack=");
    line.address(args[1]);
    line.put(", flags=");
    match (flags, signal) {
        (0, 0) => line.put("0"),
        (0, _) => line.signal(signal),
        _ => {
            line.set(&sets::CLONE, flags);
            if signal != 0 {
                line.put("|");
                line.signal(signal);
            }
        }
    }
}

/// Printed already.
fn nothing(_: &mut Line<'_>, _: u64, _: &Args, _: Option<u64>) {}

/// An argument that counts only if `flag` is set in the first.
fn if_flag(line: &mut Line<'_>, args: &Args, flag: i32, name: &str, value: u64) {
    if args[0] & flag as u64 != 0 {
        line.put(name);
        line.address(value);
    }
}

fn parent_tid(line: &mut Line<'_>, value: u64, args: &Args, result: Option<u64>) {
    if result.is_some() && args[0] & libc::CLONE_PARENT_SETTID as u64 != 0 {
        line.put("parent_tid=");
        line.list(value, 1, 4, layouts::INT.show);
    } else {
        if_flag(line, args, libc::CLONE_PARENT_SETTID, "parent_tid=", value);
    }
}

fn tls(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    if_flag(line, args, libc::CLONE_SETTLS, "tls=", value);
}

fn child_tid(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    let either = libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID;
    if_flag(line, args, either, "child_tidptr=", value);
}

/// `struct clone_args`
const CLONE_ARGS: Layout = Layout {
    size: 64,
    show: |line, bytes| {
        line.put("{flags=");
        line.set(&sets::CLONE, u64_at(bytes, 0));
        for (name, at) in [("child_tid", 16), ("parent_tid", 24)] {
            if u64_at(bytes, at) != 0 {
                line.fmt(format_args!(", {name}={:#x}", u64_at(bytes, at)));
            }
        }
        line.put(", exit_signal=");
        line.signal(u64_at(bytes, 32));
        line.put(", stack=");
        line.address(u64_at(bytes, 40));
        line.fmt(format_args!(", stack_size={:#x}", u64_at(bytes, 48)));
        if u64_at(bytes, 56) != 0 {
            line.fmt(format_args!(", tls={:#x}", u64_at(bytes, 56)));
        }
        line.put("}");
    },
};

/// The strings of `execve`.
fn strings(line: &mut Line<'_>, addr: u64, _: &Args, _: Option<u64>) {
    const MOST: u64 = 32;
    if addr == 0 {
        return line.put("NULL");
    }
    line.put("[");
    for i in 0..MOST {
        match line.mm.read_u64(addr.wrapping_add(i * 8)) {
            Ok(0) => break,
            Ok(string) => {
                line.put(if i == 0 { "" } else { ", " });
                line.c_string(string);
            }
            Err(_) => break,
        }
    }
    line.put("]");
}

/// The call that began the program, from what the kernel left on its stack.
pub(super) fn show_start(line: &mut Line<'_>, program: &Path, sp: u64) {
    let count = line.mm.read_u64(sp).unwrap_or(0);
    let argv = sp + 8;
    let envp = argv + (count + 1) * 8;
    line.put("execve(");
    line.quote(program.as_os_str().as_bytes());
    line.put(", ");
    strings(line, argv, &[0; 6], None);
    line.put(", ");
    environment(line, envp, &[0; 6], None);
    line.put(") = 0");
}

/// `0x… /* 39 vars */`
fn environment(line: &mut Line<'_>, addr: u64, _: &Args, _: Option<u64>) {
    line.address(addr);
    let mut count = 0;
    while addr != 0 && count < 10_000 {
        match line.mm.read_u64(addr.wrapping_add(count * 8)) {
            Ok(0) => break,
            Ok(_) => count += 1,
            Err(_) => return,
        }
    }
    if addr != 0 {
        line.fmt(format_args!(" /* {count} vars */"));
    }
}

/// What `FUTEX_WAIT` and its kind wait for, or how many the others move.
fn futex_fourth(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    match args[1] & 0x7f {
        0 | 6 | 9 | 11 | 13 => timeout(line, value),
        3..=5 | 12 => line.signed(i64::from(value as i32)),
        _ => {}
    }
}

fn futex_other(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    match args[1] & 0x7f {
        3..=5 | 11 | 12 => line.address(value),
        // Not there, but an argument after it is.
        9 | 10 => line.put("NULL"),
        _ => {}
    }
}

fn futex_third(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    match args[1] & 0x7f {
        9 | 10 if value as u32 == u32::MAX => line.put("FUTEX_BITSET_MATCH_ANY"),
        4 | 5 | 9 | 10 | 12 => line.hex(value & 0xffff_ffff),
        _ => {}
    }
}

fn timeout(line: &mut Line<'_>, addr: u64) {
    let mut bytes = [0; 16];
    match line.mm.read(addr, &mut bytes) {
        Ok(()) => (layouts::TIMESPEC.show)(line, &bytes),
        Err(_) => line.address(addr),
    }
}

/// The mask that `rt_sigreturn` puts back, from the frame.
fn frame_mask(line: &mut Line<'_>, sp: u64, _: &Args, _: Option<u64>) {
    // After a `siginfo_t` and, in the `ucontext_t`, flags, link and stack.
    const MASK: u64 = 128 + 8 + 8 + 24;
    line.put("{mask=");
    match line.mm.read_u64(sp.wrapping_add(MASK)) {
        Ok(mask) => line.signal_set(mask),
        Err(_) => line.put("?"),
    }
    line.put("}");
}

fn signal_info(line: &mut Line<'_>, addr: u64, _: &Args, _: Option<u64>) {
    let mut bytes = [0; 24];
    if addr == 0 || line.mm.read(addr, &mut bytes).is_err() {
        return line.address(addr);
    }
    line.put("{si_signo=");
    line.signal(i32_at(&bytes, 0) as u64);
    line.fmt(format_args!(
        ", si_code={}, si_pid={}",
        i32_at(&bytes, 8),
        i32_at(&bytes, 16)
    ));
    line.put("}");
}

const INFO: Arg = In(special(Len::Fixed(128), signal_info));
const INFO_OUT: Arg = Out(special(Len::Fixed(128), signal_info));
const SIGSET: Arg = In(one(&layouts::SIGSET));
const SIGSET_OUT: Arg = Out(one(&layouts::SIGSET));
const RUSAGE: Arg = Out(one(&layouts::RUSAGE));
const TIMEOUT: Arg = In(one(&layouts::TIMESPEC));

/// Rows about threads and processes.
pub(super) const TASKS: &[Call] = &[
    Call::own(
        220,
        "clone",
        clone,
        [
            Before(stack_and_flags),
            Before(nothing),
            After(parent_tid),
            Before(tls),
            Before(child_tid),
        ],
    ),
    Call::own(435, "clone3", clone3, [In(one(&CLONE_ARGS)), Size]),
    Call::own(
        221,
        "execve",
        exec::execve::execve,
        [Lookup, Before(strings), Before(environment)],
    ),
    Call::own(
        281,
        "execveat",
        exec::execve::execveat,
        [
            At,
            Lookup,
            Before(strings),
            Before(environment),
            Set(&sets::AT),
        ],
    ),
    Call::own(93, "exit", thread::exit, [Int]).returns(Ret::Never),
    Call::own(94, "exit_group", thread::exit_group, [Int]).returns(Ret::Never),
    Call::own(
        260,
        "wait4",
        wait::wait4,
        [
            Int,
            Out(one(&layouts::WAIT_STATUS)),
            Set(&sets::WAIT),
            RUSAGE,
        ],
    ),
    Call::own(
        95,
        "waitid",
        wait::waitid,
        [Set(&sets::WAIT_ID), Int, INFO_OUT, Set(&sets::WAIT), RUSAGE],
    ),
    Call::own(96, "set_tid_address", thread::set_tid_address, [Addr]),
    Call::own(
        98,
        "futex",
        futex::futex,
        [
            Addr,
            Set(&sets::FUTEX),
            Int,
            Before(futex_fourth),
            Before(futex_other),
            Before(futex_third),
        ],
    ),
    Call::own(
        449,
        "futex_waitv",
        futex::futex_waitv,
        [Addr, Int, Hex, TIMEOUT, Int],
    ),
    Call::own(99, "set_robust_list", thread::set_robust_list, [Addr, Size]),
    Call::own(
        100,
        "get_robust_list",
        thread::get_robust_list,
        [Int, Addr, Addr],
    ),
    Call::host(97, "unshare", libc::SYS_unshare, [Set(&sets::CLONE)]),
    Call::host(268, "setns", libc::SYS_setns, [Fd, Set(&sets::CLONE)]),
];

/// Rows about memory.
pub(super) const MEMORY: &[Call] = &[
    Call::own(214, "brk", mm::calls::brk, [Addr]).returns(Ret::Address),
    Call::own(
        222,
        "mmap",
        mm::calls::mmap,
        [Addr, Size, Set(&sets::PROT), Set(&sets::MAP), Fd, Hex],
    )
    .returns(Ret::Address),
    Call::own(215, "munmap", mm::calls::munmap, [Addr, Size]),
    Call::own(
        226,
        "mprotect",
        mm::calls::mprotect,
        [Addr, Size, Set(&sets::PROT)],
    ),
    Call::own(
        288,
        "pkey_mprotect",
        mm::calls::pkey_mprotect,
        [Addr, Size, Set(&sets::PROT), Int],
    ),
    Call::own(
        216,
        "mremap",
        mm::calls::mremap,
        [Addr, Size, Size, Set(&sets::MREMAP), Addr],
    )
    .returns(Ret::Address),
    Call::own(
        233,
        "madvise",
        mm::calls::madvise,
        [Addr, Size, Set(&sets::MADVISE)],
    ),
    Call::own(
        227,
        "msync",
        mm::calls::msync,
        [Addr, Size, Set(&sets::MSYNC)],
    ),
    Call::own(228, "mlock", mm::calls::mlock, [Addr, Size]),
    Call::own(229, "munlock", mm::calls::munlock, [Addr, Size]),
    Call::own(230, "mlockall", mm::calls::mlockall, [Set(&sets::MLOCKALL)]),
    Call::own(231, "munlockall", mm::calls::munlockall, []),
    Call::own(
        284,
        "mlock2",
        mm::calls::mlock2,
        [Addr, Size, Set(&sets::MLOCK)],
    ),
    Call::own(232, "mincore", mm::calls::mincore, [Addr, Size, Addr]),
    Call::own(
        259,
        "riscv_flush_icache",
        mm::calls::riscv_flush_icache,
        [Addr, Addr, Set(&sets::FLUSH_ICACHE)],
    ),
];

/// Rows about signals.
pub(super) const SIGNALS: &[Call] = &[
    Call::own(
        134,
        "rt_sigaction",
        signal::calls::rt_sigaction,
        [
            Signal,
            In(one(&layouts::SIGACTION)),
            Out(one(&layouts::SIGACTION)),
            Size,
        ],
    ),
    Call::own(
        135,
        "rt_sigprocmask",
        signal::calls::rt_sigprocmask,
        [Set(&sets::SIGMASK_HOW), SIGSET, SIGSET_OUT, Size],
    ),
    Call::own(
        136,
        "rt_sigpending",
        signal::calls::rt_sigpending,
        [SIGSET_OUT, Size],
    ),
    Call::own(
        133,
        "rt_sigsuspend",
        signal::calls::rt_sigsuspend,
        [SIGSET, Size],
    ),
    Call::own(
        137,
        "rt_sigtimedwait",
        signal::calls::rt_sigtimedwait,
        [SIGSET, INFO_OUT, TIMEOUT, Size],
    ),
    Call::own(
        139,
        "rt_sigreturn",
        signal::calls::rt_sigreturn,
        [Before(frame_mask)],
    ),
    Call::own(
        132,
        "sigaltstack",
        signal::calls::sigaltstack,
        [In(one(&layouts::STACK)), Out(one(&layouts::STACK))],
    ),
    Call::own(129, "kill", signal::calls::kill, [Int, Signal]),
    Call::own(130, "tkill", signal::calls::tkill, [Int, Signal]),
    Call::own(131, "tgkill", signal::calls::tgkill, [Int, Int, Signal]),
    Call::own(
        138,
        "rt_sigqueueinfo",
        signal::calls::rt_sigqueueinfo,
        [Int, Signal, INFO],
    ),
    Call::own(
        240,
        "rt_tgsigqueueinfo",
        signal::calls::rt_tgsigqueueinfo,
        [Int, Int, Signal, INFO],
    ),
    Call::blocking(
        424,
        "pidfd_send_signal",
        libc::SYS_pidfd_send_signal,
        [Fd, Signal, In(opaque(128)), Hex],
    ),
];
