//! How addresses and messages of sockets look in strace output.

use super::layouts::{i32_at, u16_at, u32_at, u64_at};
use super::line::Line;
use super::sets;
use crate::Args;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest socket address.
const LONGEST: u64 = 128;

/// A socket address of `len` bytes.
pub fn address(line: &mut Line<'_>, addr: u64, len: u64) {
    let mut bytes = vec![0; len.min(LONGEST) as usize];
    if addr == 0 || line.mm.read(addr, &mut bytes).is_err() || bytes.len() < 2 {
        return line.address(addr);
    }
    let family = u16_at(&bytes, 0);
    line.put("{sa_family=");
    line.set(&sets::DOMAIN, family);
    match family as i32 {
        libc::AF_UNIX if bytes.len() == 2 => {}
        libc::AF_UNIX => {
            line.put(", sun_path=");
            let path = &bytes[2..];
            let end = path.iter().skip(1).position(|&byte| byte == 0);
            if path[0] == 0 {
                // An abstract name: all of it counts.
                line.put("@");
                line.quote(&path[1..]);
            } else {
                line.quote(&path[..end.map_or(path.len(), |end| end + 1)]);
            }
        }
        libc::AF_INET if bytes.len() >= 8 => {
            let port = u16::from_be_bytes([bytes[2], bytes[3]]);
            let ip = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
            line.fmt(format_args!(
                ", sin_port=htons({port}), sin_addr=inet_addr(\"{ip}\")"
            ));
        }
        libc::AF_INET6 if bytes.len() >= 28 => {
            let port = u16::from_be_bytes([bytes[2], bytes[3]]);
            let flow = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            let mut ip = [0; 16];
            ip.copy_from_slice(&bytes[8..24]);
            let (ip, scope) = (Ipv6Addr::from(ip), u32_at(&bytes, 24));
            line.fmt(format_args!(
                ", sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), \
                 inet_pton(AF_INET6, \"{ip}\", &sin6_addr), sin6_scope_id={scope}"
            ));
        }
        libc::AF_NETLINK if bytes.len() >= 12 => {
            let (pid, groups) = (i32_at(&bytes, 4), u32_at(&bytes, 8));
            line.fmt(format_args!(", nl_pid={pid}, nl_groups={groups:#010x}"));
        }
        _ => {
            line.put(", sa_data=");
            line.string(&bytes[2..]);
        }
    }
    line.put("}");
}

/// A `struct msghdr` with its data: as much of it as `available` says.
pub fn message(line: &mut Line<'_>, addr: u64, available: Option<u64>) {
    let mut bytes = [0; 56];
    if addr == 0 || line.mm.read(addr, &mut bytes).is_err() {
        return line.address(addr);
    }
    let (name, name_len) = (u64_at(&bytes, 0), u32_at(&bytes, 8));
    line.put("{msg_name=");
    address(line, name, name_len);
    line.fmt(format_args!(", msg_namelen={name_len}, msg_iov="));
    let count = u64_at(&bytes, 24);
    vectors(line, u64_at(&bytes, 16), count, available);
    line.fmt(format_args!(", msg_iovlen={count}"));
    let (control, control_len) = (u64_at(&bytes, 32), u64_at(&bytes, 40));
    if control_len != 0 {
        line.put(", msg_control=");
        control_messages(line, control, control_len);
    }
    line.fmt(format_args!(", msg_controllen={control_len}, msg_flags="));
    line.set(&sets::MSG, u32_at(&bytes, 48));
    line.put("}");
}

/// Items of `struct mmsghdr`.
pub fn messages(line: &mut Line<'_>, addr: u64, count: u64, received: bool) {
    line.put("[");
    line.separated(0..count.min(32), |line, i| {
        let at = addr.wrapping_add(i * 64);
        let len = line.mm.read_u32(at.wrapping_add(56)).unwrap_or(0);
        line.put("{msg_hdr=");
        message(line, at, received.then_some(u64::from(len)));
        if received {
            line.fmt(format_args!(", msg_len={len}"));
        }
        line.put("}");
    });
    line.put("]");
}

/// An iovec array with the data behind it: as much of it as `available` says.
pub fn vectors(line: &mut Line<'_>, addr: u64, count: u64, available: Option<u64>) {
    let mut left = available.unwrap_or(u64::MAX);
    line.list(addr, count, 16, |line, item| {
        let (base, len) = (u64_at(item, 0), u64_at(item, 8));
        line.put("{iov_base=");
        let here = len.min(left);
        left -= here;
        line.memory(base, here);
        line.fmt(format_args!(", iov_len={len}}}"));
    });
}

fn control_messages(line: &mut Line<'_>, addr: u64, len: u64) {
    const HEAD: usize = 16;
    const SCM_RIGHTS: u64 = 1;
    let mut bytes = vec![0; len.min(1024) as usize];
    if line.mm.read(addr, &mut bytes).is_err() {
        return line.address(addr);
    }
    line.put("[");
    let mut rest = &bytes[..];
    while rest.len() >= HEAD {
        let len = u64_at(rest, 0) as usize;
        let (level, kind) = (u32_at(rest, 8), u32_at(rest, 12));
        if !(HEAD..=rest.len()).contains(&len) {
            break;
        }
        if rest.len() != bytes.len() {
            line.put(", ");
        }
        line.fmt(format_args!("{{cmsg_len={len}, cmsg_level="));
        line.set(&sets::SO_LEVEL, level);
        let data = &rest[HEAD..len];
        if (level, kind) == (libc::SOL_SOCKET as u64, SCM_RIGHTS) {
            line.put(", cmsg_type=SCM_RIGHTS, cmsg_data=[");
            line.separated(data.chunks_exact(4), |line, fd| line.signed(i32_at(fd, 0)));
            line.put("]}");
        } else {
            line.fmt(format_args!(", cmsg_type={kind:#x}, cmsg_data="));
            line.string(data);
            line.put("}");
        }
        rest = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    line.put("]");
}

/// The address argument of `bind`, `connect`: its length is argument 2.
pub fn address_2(line: &mut Line<'_>, addr: u64, args: &Args, _: Option<u64>) {
    address(line, addr, args[2] & 0xffff_ffff);
}

/// The address argument of `sendto`.
pub fn address_5(line: &mut Line<'_>, addr: u64, args: &Args, _: Option<u64>) {
    address(line, addr, args[5] & 0xffff_ffff);
}

/// An address that the kernel has written, with the length behind argument 2.
pub fn found_2(line: &mut Line<'_>, addr: u64, args: &Args, _: Option<u64>) {
    found(line, addr, args[2]);
}

/// The same, with the length behind argument 5.
pub fn found_5(line: &mut Line<'_>, addr: u64, args: &Args, _: Option<u64>) {
    found(line, addr, args[5]);
}

fn found(line: &mut Line<'_>, addr: u64, len: u64) {
    match line.mm.read_u32(len) {
        Ok(len) => address(line, addr, u64::from(len)),
        Err(_) => line.address(addr),
    }
}

/// The name of a socket option, which depends on the level.
pub fn option_name(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    match args[1] as i32 {
        libc::SOL_SOCKET => line.set(&sets::SO_NAME, value),
        libc::IPPROTO_TCP => line.set(&sets::TCP_NAME, value),
        _ => line.hex(value & 0xffff_ffff),
    }
}

/// The value that `setsockopt` sets.
pub fn option_value(line: &mut Line<'_>, addr: u64, args: &Args, _: Option<u64>) {
    value(line, addr, args[4] & 0xffff_ffff);
}

/// The value that `getsockopt` found.
pub fn option_found(line: &mut Line<'_>, addr: u64, args: &Args, _: Option<u64>) {
    match line.mm.read_u32(args[4]) {
        Ok(len) => value(line, addr, u64::from(len)),
        Err(_) => line.address(addr),
    }
}

fn value(line: &mut Line<'_>, addr: u64, len: u64) {
    match line.mm.read_u32(addr) {
        Ok(number) if len == 4 => line.fmt(format_args!("[{}]", number as i32)),
        _ => line.memory(addr, len),
    }
}
