//! `ioctl`. The commands that are known here have the same number and the same structures on
//! riscv64 and x86-64, without pointers inside. All others answer `ENOTTY`: handing on a command
//! whose argument is unknown could make the host write anywhere.

use super::arg::Arg::{After, Before, Fd};
use super::{Call, host};
use crate::copy::plain;
use crate::strace::layouts;
use crate::strace::line::Line;
use crate::strace::sets;
use crate::{Args, Errno, SysResult, Thread};

/// What a command does with its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A number, or nothing.
    Value,
    /// Reads a structure.
    Input,
    /// Writes a structure of that size, which it may read first.
    Output(u16),
}

use Kind::{Input, Output, Value};

/// The known commands, by number.
#[rustfmt::skip]
const COMMANDS: &[(u32, Kind)] = &[
    (0x0001, Output(4)), // FIBMAP
    (0x0002, Output(4)), // FIGETBSZ
    (0x125e, Output(4)), // BLKROGET
    (0x1260, Output(8)), // BLKGETSIZE
    (0x1261, Value), // BLKFLSBUF
    (0x1268, Output(4)), // BLKSSZGET
    (0x1278, Output(4)), // BLKIOMIN
    (0x1279, Output(4)), // BLKIOOPT
    (0x127a, Output(4)), // BLKALIGNOFF
    (0x127b, Output(4)), // BLKPBSZGET
    (0x5401, Output(36)), // TCGETS
    (0x5402, Input), // TCSETS
    (0x5403, Input), // TCSETSW
    (0x5404, Input), // TCSETSF
    (0x5405, Output(18)), // TCGETA
    (0x5406, Input), // TCSETA
    (0x5407, Input), // TCSETAW
    (0x5408, Input), // TCSETAF
    (0x5409, Value), // TCSBRK
    (0x540a, Value), // TCXONC
    (0x540b, Value), // TCFLSH
    (0x540c, Value), // TIOCEXCL
    (0x540d, Value), // TIOCNXCL
    (0x540e, Value), // TIOCSCTTY
    (0x540f, Output(4)), // TIOCGPGRP
    (0x5410, Input), // TIOCSPGRP
    (0x5411, Output(4)), // TIOCOUTQ
    (0x5412, Input), // TIOCSTI
    (0x5413, Output(8)), // TIOCGWINSZ
    (0x5414, Input), // TIOCSWINSZ
    (0x5415, Output(4)), // TIOCMGET
    (0x5416, Input), // TIOCMBIS
    (0x5417, Input), // TIOCMBIC
    (0x5418, Input), // TIOCMSET
    (0x5419, Output(4)), // TIOCGSOFTCAR
    (0x541a, Input), // TIOCSSOFTCAR
    (0x541b, Output(4)), // FIONREAD
    (0x541d, Value), // TIOCCONS
    (0x5420, Input), // TIOCPKT
    (0x5421, Input), // FIONBIO
    (0x5422, Value), // TIOCNOTTY
    (0x5423, Input), // TIOCSETD
    (0x5424, Output(4)), // TIOCGETD
    (0x5425, Value), // TCSBRKP
    (0x5427, Value), // TIOCSBRK
    (0x5428, Value), // TIOCCBRK
    (0x5429, Output(4)), // TIOCGSID
    (0x5437, Value), // TIOCVHANGUP
    (0x5441, Value), // TIOCGPTPEER
    (0x5450, Value), // FIONCLEX
    (0x5451, Value), // FIOCLEX
    (0x5452, Input), // FIOASYNC
    (0x5460, Output(8)), // FIOQSIZE
    (0x8901, Input), // FIOSETOWN
    (0x8902, Input), // SIOCSPGRP
    (0x8903, Output(4)), // FIOGETOWN
    (0x8904, Output(4)), // SIOCGPGRP
    (0x8905, Output(4)), // SIOCATMARK
    (0x8906, Output(16)), // SIOCGSTAMP
    (0x8907, Output(16)), // SIOCGSTAMPNS
    (0x8910, Output(40)), // SIOCGIFNAME
    (0x8913, Output(40)), // SIOCGIFFLAGS
    (0x8914, Input), // SIOCSIFFLAGS
    (0x8915, Output(40)), // SIOCGIFADDR
    (0x8916, Input), // SIOCSIFADDR
    (0x8917, Output(40)), // SIOCGIFDSTADDR
    (0x8918, Input), // SIOCSIFDSTADDR
    (0x8919, Output(40)), // SIOCGIFBRDADDR
    (0x891a, Input), // SIOCSIFBRDADDR
    (0x891b, Output(40)), // SIOCGIFNETMASK
    (0x891c, Input), // SIOCSIFNETMASK
    (0x891d, Output(40)), // SIOCGIFMETRIC
    (0x891e, Input), // SIOCSIFMETRIC
    (0x8921, Output(40)), // SIOCGIFMTU
    (0x8922, Input), // SIOCSIFMTU
    (0x8924, Input), // SIOCSIFHWADDR
    (0x8927, Output(40)), // SIOCGIFHWADDR
    (0x8933, Output(40)), // SIOCGIFINDEX
    (0x8942, Output(40)), // SIOCGIFTXQLEN
    (0x8943, Input), // SIOCSIFTXQLEN
    (0x4004_5431, Input), // TIOCSPTLCK
    (0x4004_54ca, Output(40)), // TUNSETIFF
    (0x4004_9409, Value), // FICLONE
    (0x4008_6602, Input), // FS_IOC_SETFLAGS
    (0x401c_5820, Input), // FS_IOC_FSSETXATTR
    (0x4020_940d, Input), // FICLONERANGE
    (0x402c_542b, Input), // TCSETS2
    (0x402c_542c, Input), // TCSETSW2
    (0x402c_542d, Input), // TCSETSF2
    (0x8004_5200, Output(4)), // RNDGETENTCNT
    (0x8004_5430, Output(4)), // TIOCGPTN
    (0x8004_5438, Output(4)), // TIOCGPKT
    (0x8004_5439, Output(4)), // TIOCGPTLCK
    (0x8004_5440, Output(4)), // TIOCGEXCL
    (0x8008_1270, Output(8)), // BLKBSZGET
    (0x8008_1272, Output(8)), // BLKGETSIZE64
    (0x8008_6601, Output(8)), // FS_IOC_GETFLAGS
    (0x8008_7601, Output(8)), // FS_IOC_GETVERSION
    (0x801c_581f, Output(28)), // FS_IOC_FSGETXATTR
    (0x802c_542a, Output(44)), // TCGETS2
    (0xc018_5879, Output(24)), // FITRIM
];

const SIOCGIFCONF: u32 = 0x8912;

fn kind(command: u32) -> Option<Kind> {
    let index = COMMANDS.binary_search_by_key(&command, |row| row.0).ok()?;
    COMMANDS.get(index).map(|row| row.1)
}

/// `ioctl`
fn ioctl(thread: &mut Thread, args: &Args) -> SysResult {
    let &[fd, command, value, ..] = args;
    if command as u32 == SIOCGIFCONF {
        return interfaces(thread, fd, value);
    }
    let mm = &thread.process.mm;
    let value = match kind(command as u32) {
        Some(Value) => value,
        Some(Input) => mm.pointer(value),
        Some(Output(len)) => mm.output(value, u64::from(len)),
        None => return Err(host::unless_bad_fd(fd, Errno::ENOTTY)),
    };
    thread.blocking_syscall(libc::SYS_ioctl, [fd, command, value, 0, 0, 0])
}

plain! {
    /// `struct ifconf`
    struct Interfaces {
        len: i32,
        _pad: u32,
        buffer: u64,
    }
}

/// `SIOCGIFCONF`: the structure has a pointer in it.
fn interfaces(thread: &mut Thread, fd: u64, addr: u64) -> SysResult {
    let mm = thread.process.mm.clone();
    let mut asked: Interfaces = mm.read_struct(addr)?;
    let mut host = asked;
    host.buffer = mm.output(asked.buffer, asked.len.max(0) as u64);
    let pointer = &raw mut host as u64;
    let command = u64::from(SIOCGIFCONF);
    let result = thread.blocking_syscall(libc::SYS_ioctl, [fd, command, pointer, 0, 0, 0])?;
    asked.len = host.len;
    mm.write_struct(addr, &asked)?;
    Ok(result)
}

/// A command by name, or taken apart.
fn command(line: &mut Line<'_>, value: u64, _: &Args, _: Option<u64>) {
    if sets::IOCTL.name(value).is_some() {
        return line.set(&sets::IOCTL, value);
    }
    let value = value as u32;
    let direction = match value >> 30 {
        0 => "_IOC_NONE",
        1 => "_IOC_WRITE",
        2 => "_IOC_READ",
        _ => "_IOC_READ|_IOC_WRITE",
    };
    let (kind, number, size) = (value >> 8 & 0xff, value & 0xff, value >> 16 & 0x3fff);
    line.fmt(format_args!("_IOC({direction}, {kind:#x}, {number:#x}, "));
    line.hex(u64::from(size));
    line.put(")");
}

fn shown(line: &mut Line<'_>, value: u64, args: &Args, result: Option<u64>) {
    let command = args[1] as u32;
    let show = |line: &mut Line<'_>, size: usize, show: fn(&mut Line<'_>, &[u8])| {
        let mut bytes = [0; 8];
        let bytes = &mut bytes[..size];
        match line.mm.read(value, bytes) {
            Ok(()) => show(line, bytes),
            Err(_) => line.address(value),
        }
    };
    let number: fn(&mut Line<'_>, &[u8]) = |line, bytes| {
        line.put("[");
        (layouts::INT.show)(line, bytes);
        line.put("]");
    };
    match (command, kind(command)) {
        // TIOCSWINSZ
        (0x5414, _) => show(line, 8, layouts::WINSIZE.show),
        (0x5413, _) if result.is_some() => show(line, 8, layouts::WINSIZE.show),
        // FIONBIO and other switches
        (0x5421 | 0x5410 | 0x5452 | 0x4004_5431, _) => show(line, 4, number),
        (_, Some(Output(4))) if result.is_some() => show(line, 4, number),
        // FIOCLEX, FIONCLEX, …: no argument
        (0x540c | 0x540d | 0x5422 | 0x5450 | 0x5451, _) => {}
        (_, Some(Value)) => line.signed(i64::from(value as i32)),
        _ => line.address(value),
    }
}

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[Call::own(
    29,
    "ioctl",
    ioctl,
    [Fd, Before(command), After(shown)],
)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_by_number() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(kind(0x5413), Some(Output(8)));
        assert_eq!(kind(0x5421), Some(Input));
        assert_eq!(kind(0xc0de_0000), None);
    }

    #[test]
    fn encoded_sizes_are_those_of_the_structures() {
        // Commands of the newer form tell the size of their structure in bits 16 to 29.
        for &(command, kind) in COMMANDS.iter().filter(|row| row.0 >> 30 == 2) {
            assert_eq!(
                kind,
                Output((command >> 16 & 0x3fff) as u16),
                "{command:#x}"
            );
        }
    }
}
