//! How structures of the riscv64 system call interface look in strace output.

use super::line::Line;
use super::sets;
use crate::syscall::arg::Layout;

/// The bytes at `offset`, as a little-endian number of `N` bytes; 0 beyond the end.
fn field<const N: usize>(bytes: &[u8], offset: usize) -> u64 {
    let mut number = [0; 8];
    if let Some(found) = bytes.get(offset..offset + N) {
        number[..N].copy_from_slice(found);
    }
    u64::from_le_bytes(number)
}

pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> u64 {
    field::<2>(bytes, offset)
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u64 {
    field::<4>(bytes, offset)
}

pub(crate) fn i32_at(bytes: &[u8], offset: usize) -> i64 {
    i64::from(field::<4>(bytes, offset) as i32)
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    field::<8>(bytes, offset)
}

pub(crate) fn i64_at(bytes: &[u8], offset: usize) -> i64 {
    field::<8>(bytes, offset) as i64
}

/// Defines layouts: name, size and printer.
macro_rules! layouts {
    ($($(#[$doc:meta])* $name:ident $size:literal |$line:ident, $bytes:ident| $body:block)*) => {
        $(
            $(#[$doc])*
            pub const $name: Layout = Layout {
                size: $size,
                show: |$line, $bytes| $body,
            };
        )*
    };
}

layouts! {
    /// `int`
    INT 4 |line, bytes| { line.signed(i32_at(bytes, 0)) }
    /// `unsigned int`
    UINT 4 |line, bytes| { line.unsigned(u32_at(bytes, 0)) }
    /// `long`, `off_t`
    LONG 8 |line, bytes| { line.signed(i64_at(bytes, 0)) }
    /// `void *`
    POINTER 8 |line, bytes| { line.address(u64_at(bytes, 0)) }
    /// `sigset_t`
    SIGSET 8 |line, bytes| { line.signal_set(u64_at(bytes, 0)) }
    /// `struct timespec`
    TIMESPEC 16 |line, bytes| {
        let (sec, nsec) = (i64_at(bytes, 0), i64_at(bytes, 8));
        line.fmt(format_args!("{{tv_sec={sec}, tv_nsec={nsec}}}"));
    }
    /// The times of `utimensat`
    UTIME 16 |line, bytes| {
        match u64_at(bytes, 8) {
            0x3fff_ffff => line.put("UTIME_NOW"),
            0x3fff_fffe => line.put("UTIME_OMIT"),
            _ => (TIMESPEC.show)(line, bytes),
        }
    }
    /// `struct timeval`
    TIMEVAL 16 |line, bytes| {
        let (sec, usec) = (i64_at(bytes, 0), i64_at(bytes, 8));
        line.fmt(format_args!("{{tv_sec={sec}, tv_usec={usec}}}"));
    }
    /// `struct itimerspec`
    ITIMERSPEC 32 |line, bytes| { interval(line, bytes, TIMESPEC.show) }
    /// `struct itimerval`
    ITIMERVAL 32 |line, bytes| { interval(line, bytes, TIMEVAL.show) }
    /// `struct timezone`
    TIMEZONE 8 |line, bytes| {
        let (west, dst) = (i32_at(bytes, 0), i32_at(bytes, 4));
        line.fmt(format_args!("{{tz_minuteswest={west}, tz_dsttime={dst}}}"));
    }
    /// `struct tms`
    TMS 32 |line, bytes| {
        let names = ["tms_utime", "tms_stime", "tms_cutime", "tms_cstime"];
        fields(line, names.into_iter().zip(0..), |line, i| line.signed(i64_at(bytes, i * 8)));
    }
    /// `struct pollfd`, before the call
    POLLFD 8 |line, bytes| {
        line.fmt(format_args!("{{fd={}, events=", i32_at(bytes, 0)));
        line.set(&sets::POLL_EVENTS, u16_at(bytes, 4));
        line.put("}");
    }
    /// `struct epoll_event`: not packed, unlike that of x86-64
    EPOLL_EVENT 16 |line, bytes| {
        line.put("{events=");
        line.set(&sets::EPOLL_EVENTS, u32_at(bytes, 0));
        let (low, all) = (u32_at(bytes, 8), u64_at(bytes, 8));
        line.fmt(format_args!(", data={{u32={low}, u64={all}}}}}"));
    }
    /// `struct stat`: asm-generic
    STAT 128 |line, bytes| {
        let mode = u32_at(bytes, 16);
        line.put("{st_mode=");
        line.file_mode(mode);
        size_or_device(line, "st", mode, i64_at(bytes, 48), u64_at(bytes, 32));
        line.put(", ...}");
    }
    /// `struct statx`
    STATX 256 |line, bytes| {
        let mode = u16_at(bytes, 28);
        line.put("{stx_mask=");
        line.set(&sets::STATX_MASK, u32_at(bytes, 0));
        line.put(", stx_attributes=");
        line.hex(u64_at(bytes, 8));
        line.put(", stx_mode=");
        line.file_mode(mode);
        line.fmt(format_args!(", stx_size={}, ...}}", u64_at(bytes, 40)));
    }
    /// `struct statfs`
    STATFS 120 |line, bytes| {
        line.put("{f_type=");
        line.set(&sets::FILE_SYSTEM, u64_at(bytes, 0));
        let names = ["f_bsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree"];
        for (name, i) in names.into_iter().zip(1..) {
            line.fmt(format_args!(", {name}={}", u64_at(bytes, i * 8)));
        }
        let fsid = (u32_at(bytes, 56), u32_at(bytes, 60));
        line.fmt(format_args!(", f_fsid={{val=[{:#x}, {:#x}]}}", fsid.0, fsid.1));
        let (namelen, frsize) = (u64_at(bytes, 64), u64_at(bytes, 72));
        line.fmt(format_args!(", f_namelen={namelen}, f_frsize={frsize}, f_flags="));
        line.set(&sets::MOUNT, u64_at(bytes, 80));
        line.put("}");
    }
    /// `struct rlimit64`
    RLIMIT 16 |line, bytes| {
        line.put("{rlim_cur=");
        limit(line, u64_at(bytes, 0));
        line.put(", rlim_max=");
        limit(line, u64_at(bytes, 8));
        line.put("}");
    }
    /// `struct rusage`
    RUSAGE 144 |line, bytes| {
        line.put("{ru_utime=");
        (TIMEVAL.show)(line, bytes);
        line.put(", ru_stime=");
        (TIMEVAL.show)(line, bytes.get(16..).unwrap_or_default());
        line.put(", ...}");
    }
    /// `struct new_utsname`
    UTSNAME 390 |line, bytes| {
        line.put("{sysname=");
        line.quote(until_nul(bytes.get(..65).unwrap_or_default()));
        line.put(", nodename=");
        line.quote(until_nul(bytes.get(65..130).unwrap_or_default()));
        line.put(", ...}");
    }
    /// `struct sysinfo`
    SYSINFO 112 |line, bytes| {
        line.fmt(format_args!("{{uptime={}, loads=[", i64_at(bytes, 0)));
        line.separated([8, 16, 24], |line, at| line.unsigned(u64_at(bytes, at)));
        line.put("]");
        let names = ["totalram", "freeram", "sharedram", "bufferram", "totalswap", "freeswap"];
        for (name, i) in names.into_iter().zip(4..) {
            line.fmt(format_args!(", {name}={}", u64_at(bytes, i * 8)));
        }
        let (high, free) = (u64_at(bytes, 88), u64_at(bytes, 96));
        let (procs, unit) = (u16_at(bytes, 80), u32_at(bytes, 104));
        line.fmt(format_args!(", procs={procs}, totalhigh={high}, freehigh={free}, mem_unit={unit}}}"));
    }
    /// `struct winsize`
    WINSIZE 8 |line, bytes| {
        let names = ["ws_row", "ws_col", "ws_xpixel", "ws_ypixel"];
        fields(line, names.into_iter().zip(0..), |line, i| line.unsigned(u16_at(bytes, i * 2)));
    }
    /// `struct flock`, as a request
    FLOCK 32 |line, bytes| {
        flock(line, bytes);
        line.put("}");
    }
    /// `struct flock`, as an answer
    FLOCK_PID 32 |line, bytes| {
        flock(line, bytes);
        line.fmt(format_args!(", l_pid={}}}", i32_at(bytes, 24)));
    }
    /// `stack_t`
    STACK 24 |line, bytes| {
        line.put("{ss_sp=");
        line.address(u64_at(bytes, 0));
        line.put(", ss_flags=");
        line.set(&sets::SIGALTSTACK, u32_at(bytes, 8));
        line.fmt(format_args!(", ss_size={}}}", u64_at(bytes, 16)));
    }
    /// `struct sigaction` of the kernel: riscv64's has no restorer
    SIGACTION 24 |line, bytes| {
        let flags = u64_at(bytes, 8);
        let siginfo = flags & libc::SA_SIGINFO as u64 != 0;
        line.put(if siginfo { "{sa_sigaction=" } else { "{sa_handler=" });
        match u64_at(bytes, 0) {
            0 => line.put("SIG_DFL"),
            1 => line.put("SIG_IGN"),
            handler => line.address(handler),
        }
        line.put(", sa_mask=");
        line.signal_set(u64_at(bytes, 16));
        line.put(", sa_flags=");
        line.set(&sets::SIGACTION, flags);
        line.put("}");
    }
    /// `struct sigevent`
    SIGEVENT 64 |line, bytes| {
        line.put("{sigev_signo=");
        line.signal(u32_at(bytes, 8));
        line.put(", sigev_notify=");
        line.put(match i32_at(bytes, 12) {
            0 => "SIGEV_SIGNAL",
            1 => "SIGEV_NONE",
            2 => "SIGEV_THREAD",
            4 => "SIGEV_THREAD_ID",
            _ => "SIGEV_???",
        });
        line.put("}");
    }
    /// `struct riscv_hwprobe`
    HWPROBE 16 |line, bytes| {
        let (key, value) = (i64_at(bytes, 0), u64_at(bytes, 8));
        line.fmt(format_args!("{{key={key}, value={value:#x}}}"));
    }
    /// `struct sched_param`
    SCHED_PARAM 4 |line, bytes| { line.fmt(format_args!("[{}]", i32_at(bytes, 0))) }
    /// The status of `wait4`
    WAIT_STATUS 4 |line, bytes| { wait_status(line, u32_at(bytes, 0)) }
}

/// `{name=…, name=…}`
fn fields<'a, T>(
    line: &mut Line<'a>,
    names: impl IntoIterator<Item = (&'static str, T)>,
    mut show: impl FnMut(&mut Line<'a>, T),
) {
    line.put("{");
    line.separated(names, |line, (name, value)| {
        line.put(name);
        line.put("=");
        show(line, value);
    });
    line.put("}");
}

fn interval(line: &mut Line<'_>, bytes: &[u8], show: fn(&mut Line<'_>, &[u8])) {
    line.put("{it_interval=");
    show(line, bytes);
    line.put(", it_value=");
    show(line, bytes.get(16..).unwrap_or_default());
    line.put("}");
}

fn size_or_device(line: &mut Line<'_>, prefix: &str, mode: u64, size: i64, device: u64) {
    match mode as u32 & libc::S_IFMT {
        libc::S_IFCHR | libc::S_IFBLK => {
            let (major, minor) = (libc::major(device), libc::minor(device));
            line.fmt(format_args!(
                ", {prefix}_rdev=makedev({major:#x}, {minor:#x})"
            ));
        }
        _ => line.fmt(format_args!(", {prefix}_size={size}")),
    }
}

fn limit(line: &mut Line<'_>, value: u64) {
    match value {
        u64::MAX => line.put("RLIM64_INFINITY"),
        _ if value > 1024 && value.is_multiple_of(1024) => {
            line.fmt(format_args!("{}*1024", value / 1024));
        }
        _ => line.unsigned(value),
    }
}

fn flock(line: &mut Line<'_>, bytes: &[u8]) {
    line.put("{l_type=");
    line.put(match u16_at(bytes, 0) {
        0 => "F_RDLCK",
        1 => "F_WRLCK",
        2 => "F_UNLCK",
        _ => "F_???",
    });
    line.put(", l_whence=");
    line.set(&sets::WHENCE, u16_at(bytes, 2));
    let (start, len) = (i64_at(bytes, 8), i64_at(bytes, 16));
    line.fmt(format_args!(", l_start={start}, l_len={len}"));
}

fn wait_status(line: &mut Line<'_>, status: u64) {
    let status = status as i32;
    line.put("[{");
    if libc::WIFEXITED(status) {
        let code = libc::WEXITSTATUS(status);
        line.fmt(format_args!("WIFEXITED(s) && WEXITSTATUS(s) == {code}"));
    } else if libc::WIFSIGNALED(status) {
        line.put("WIFSIGNALED(s) && WTERMSIG(s) == ");
        line.signal(libc::WTERMSIG(status) as u64);
        if libc::WCOREDUMP(status) {
            line.put(" && WCOREDUMP(s)");
        }
    } else if libc::WIFSTOPPED(status) {
        line.put("WIFSTOPPED(s) && WSTOPSIG(s) == ");
        line.signal(libc::WSTOPSIG(status) as u64);
    } else {
        line.put("WIFCONTINUED(s)");
    }
    line.put("}]");
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::AddressSpace;

    fn shown(layout: &Layout, words: &[u64]) -> String {
        let mm = AddressSpace::new().expect("reserving the window");
        let mut line = Line::new(&mm);
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(layout.size as usize, 0);
        (layout.show)(&mut line, &bytes);
        line.text().to_owned()
    }

    #[test]
    fn structures_look_as_in_strace() {
        let cases: &[(&Layout, &[u64], &str)] = &[
            (&TIMESPEC, &[1, 5], "{tv_sec=1, tv_nsec=5}"),
            (&UTIME, &[1, 0x3fff_ffff], "UTIME_NOW"),
            (
                &ITIMERVAL,
                &[0, 0, 5, 0],
                "{it_interval={tv_sec=0, tv_usec=0}, it_value={tv_sec=5, tv_usec=0}}",
            ),
            (&POLLFD, &[5 << 32 | 4], "{fd=4, events=POLLIN|POLLOUT}"),
            (
                &EPOLL_EVENT,
                &[0x8000_0001, 78187493520],
                "{events=EPOLLIN|EPOLLET, data={u32=878082192, u64=78187493520}}",
            ),
            (
                &RLIMIT,
                &[8192 * 1024, u64::MAX],
                "{rlim_cur=8192*1024, rlim_max=RLIM64_INFINITY}",
            ),
            (
                &WINSIZE,
                &[80 << 16 | 24],
                "{ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}",
            ),
            (
                &FLOCK,
                &[1, 0, 10],
                "{l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=10}",
            ),
            (
                &SIGACTION,
                &[0x10_4680, 0x1000_0000, 0],
                "{sa_handler=0x104680, sa_mask=[], sa_flags=SA_RESTART}",
            ),
            (
                &WAIT_STATUS,
                &[3 << 8],
                "[{WIFEXITED(s) && WEXITSTATUS(s) == 3}]",
            ),
            (
                &WAIT_STATUS,
                &[9],
                "[{WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL}]",
            ),
            (
                &TMS,
                &[1, 2, 3, 4],
                "{tms_utime=1, tms_stime=2, tms_cutime=3, tms_cstime=4}",
            ),
        ];
        for (layout, words, text) in cases {
            assert_eq!(shown(layout, words), *text);
        }
    }
}
