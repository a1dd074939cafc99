//! Sockets. Addresses, options and control messages are the same on riscv64 and x86-64; what has
//! pointers inside is copied.

use super::arg::Arg::{self, Before, Fd, In, InOut, Int, Out, Set, Size};
use super::arg::{Data, Len, Show, array, bytes, one, special};
use super::{Call, host};
use crate::copy::{Direction, IoVec, plain};
use crate::mm::AddressSpace;
use crate::strace::line::Line;
use crate::strace::{layouts, sets, socket as show};
use crate::{Args, Errno, SysResult, Thread};

/// Most messages that one call moves (`UIO_MAXIOV`).
const MOST_MESSAGES: u64 = 1024;

plain! {
    /// `struct msghdr`: the same on both machines, up to its pointers.
    struct MsgHdr {
        name: u64,
        name_len: u32,
        pad: u32,
        vectors: u64,
        vector_count: u64,
        control: u64,
        control_len: u64,
        flags: u32,
        pad2: u32,
    }
}

plain! {
    /// `struct mmsghdr`
    struct MultiMsgHdr {
        head: MsgHdr,
        len: u32,
        pad: u32,
    }
}

/// A message header for the host, and the iovec array that it points to.
struct Message {
    head: MsgHdr,
    _vectors: Vec<IoVec>,
}

impl Message {
    /// The guest's header, with host pointers.
    fn import(mm: &AddressSpace, guest: &MsgHdr, direction: Direction) -> Result<Message, Errno> {
        if guest.vector_count > MOST_MESSAGES {
            return Err(Errno::EMSGSIZE);
        }
        let vectors = mm.io_vectors(guest.vectors, guest.vector_count, direction)?;
        let pointer = |addr, len| match direction {
            Direction::Input => mm.pointer(addr),
            Direction::Output => mm.output(addr, len),
        };
        let head = MsgHdr {
            name: pointer(guest.name, u64::from(guest.name_len)),
            vectors: vectors.as_ptr() as u64,
            control: pointer(guest.control, guest.control_len),
            ..*guest
        };
        Ok(Message {
            head,
            _vectors: vectors,
        })
    }
}

/// What the kernel has changed in a received message's header.
fn export(guest: &mut MsgHdr, host: &MsgHdr) {
    guest.name_len = host.name_len;
    guest.control_len = host.control_len;
    guest.flags = host.flags;
}

/// The guest's header at `addr`, and the host's.
fn import(
    mm: &AddressSpace,
    fd: u64,
    addr: u64,
    direction: Direction,
) -> Result<(MsgHdr, Message), Errno> {
    mm.read_struct::<MsgHdr>(addr)
        .and_then(|guest| Ok((guest, Message::import(mm, &guest, direction)?)))
        .map_err(|errno| host::unless_bad_fd(fd, errno))
}

/// `sendmsg`
fn sendmsg(thread: &mut Thread, args: &Args) -> SysResult {
    let &[fd, message, flags, ..] = args;
    let mm = thread.process.mm.clone();
    let (_, host) = import(&mm, fd, message, Direction::Input)?;
    let pointer = &raw const host.head as u64;
    thread.blocking_syscall(libc::SYS_sendmsg, [fd, pointer, flags, 0, 0, 0])
}

/// `recvmsg`
fn recvmsg(thread: &mut Thread, args: &Args) -> SysResult {
    let &[fd, message, flags, ..] = args;
    let mm = thread.process.mm.clone();
    let (mut guest, mut host) = import(&mm, fd, message, Direction::Output)?;
    let pointer = &raw mut host.head as u64;
    let result = thread.blocking_syscall(libc::SYS_recvmsg, [fd, pointer, flags, 0, 0, 0])?;
    export(&mut guest, &host.head);
    mm.write_struct(message, &guest)?;
    Ok(result)
}

/// The messages of `sendmmsg` and `recvmmsg`, up to the first bad one; its error if that is the
/// very first.
fn import_all(
    mm: &AddressSpace,
    addr: u64,
    count: u64,
    direction: Direction,
) -> Result<Vec<(MultiMsgHdr, Message)>, Errno> {
    let mut messages = Vec::new();
    for i in 0..count.min(MOST_MESSAGES) {
        let imported = mm
            .read_struct::<MultiMsgHdr>(addr.wrapping_add(i * size_of::<MultiMsgHdr>() as u64))
            .and_then(|guest| Ok((guest, Message::import(mm, &guest.head, direction)?)));
        match imported {
            Ok(message) => messages.push(message),
            Err(errno) if messages.is_empty() => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(messages)
}

/// Sends or receives several messages with the host call `nr`.
fn several(
    thread: &mut Thread,
    nr: i64,
    args: &Args,
    timeout: u64,
    direction: Direction,
) -> SysResult {
    let &[fd, addr, count, flags, ..] = args;
    let mm = thread.process.mm.clone();
    let mut messages = import_all(&mm, addr, count & 0xffff_ffff, direction)?;
    let mut host: Vec<MultiMsgHdr> = messages
        .iter()
        .map(|(guest, message)| MultiMsgHdr {
            head: message.head,
            ..*guest
        })
        .collect();
    let pointer = host.as_mut_ptr() as u64;
    let done = thread.blocking_syscall(nr, [fd, pointer, host.len() as u64, flags, timeout, 0])?;
    let finished = messages.iter_mut().zip(&host).take(done as usize);
    for (i, ((guest, _), host)) in finished.enumerate() {
        if direction == Direction::Output {
            export(&mut guest.head, &host.head);
        }
        guest.len = host.len;
        mm.write_struct(addr + (i * size_of::<MultiMsgHdr>()) as u64, guest)?;
    }
    Ok(done)
}

/// `sendmmsg`
fn sendmmsg(thread: &mut Thread, args: &Args) -> SysResult {
    several(thread, libc::SYS_sendmmsg, args, 0, Direction::Input)
}

/// `recvmmsg`
fn recvmmsg(thread: &mut Thread, args: &Args) -> SysResult {
    let timeout = thread.process.mm.output(args[4], 16);
    several(thread, libc::SYS_recvmmsg, args, timeout, Direction::Output)
}

plain! {
    /// `struct sock_fprog`: a socket filter.
    struct Filter {
        len: u64,
        code: u64,
    }
}

const SO_ATTACH_REUSEPORT_CBPF: i32 = 51;

/// `setsockopt`: only filters have pointers inside.
fn setsockopt(thread: &mut Thread, args: &Args) -> SysResult {
    let &[fd, level, name, value, len, _] = args;
    let mm = &thread.process.mm;
    let is_filter = level as i32 == libc::SOL_SOCKET
        && matches!(
            name as i32,
            libc::SO_ATTACH_FILTER | SO_ATTACH_REUSEPORT_CBPF
        );
    let mut filter: Filter;
    let value = if is_filter && len as u32 as usize == size_of::<Filter>() {
        filter = mm.read_struct(value)?;
        filter.code = mm.pointer(filter.code);
        &raw const filter as u64
    } else {
        mm.pointer(value)
    };
    thread.blocking_syscall(libc::SYS_setsockopt, [fd, level, name, value, len, 0])
}

/// `getsockopt`: one option names memory to map received pages at, which the host cannot do for
/// the guest; programs can do without it.
fn getsockopt(thread: &mut Thread, args: &Args) -> SysResult {
    const TCP_ZEROCOPY_RECEIVE: i32 = 35;
    let &[fd, level, name, value, len, _] = args;
    if level as i32 == libc::IPPROTO_TCP && name as i32 == TCP_ZEROCOPY_RECEIVE {
        return Err(Errno::ENOPROTOOPT);
    }
    let mm = &thread.process.mm;
    let room = mm.read_u32(len).map_or(0, u64::from);
    let (value, len) = (mm.output(value, room), mm.output(len, 4));
    thread.blocking_syscall(libc::SYS_getsockopt, [fd, level, name, value, len, 0])
}

fn sent(line: &mut Line<'_>, addr: u64, _: &Args, _: Option<u64>) {
    show::message(line, addr, None);
}

fn received(line: &mut Line<'_>, addr: u64, _: &Args, result: Option<u64>) {
    show::message(line, addr, result);
}

fn all_sent(line: &mut Line<'_>, addr: u64, args: &Args, _: Option<u64>) {
    show::messages(line, addr, args[2] & 0xffff_ffff, false);
}

fn all_received(line: &mut Line<'_>, addr: u64, _: &Args, result: Option<u64>) {
    show::messages(line, addr, result.unwrap_or(0), true);
}

const PROTOCOL: Arg = Before(protocol);

fn protocol(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    match args[0] as i32 {
        libc::AF_INET | libc::AF_INET6 => match value as i32 {
            libc::IPPROTO_IP => line.put("IPPROTO_IP"),
            libc::IPPROTO_ICMP => line.put("IPPROTO_ICMP"),
            libc::IPPROTO_TCP => line.put("IPPROTO_TCP"),
            libc::IPPROTO_UDP => line.put("IPPROTO_UDP"),
            libc::IPPROTO_ICMPV6 => line.put("IPPROTO_ICMPV6"),
            number => line.hex(number as u32 as u64),
        },
        _ => line.signed(i64::from(value as i32)),
    }
}

/// An address to use, whose length is argument 2.
const ADDRESS: Arg = In(special(Len::Arg(2), show::address_2));
/// An address that is found out, whose length is behind argument 2.
const FOUND: Arg = Out(special(Len::Behind(2), show::found_2));
/// Room before and length after.
const LENGTH: Arg = InOut(Data {
    len: Len::Fixed(4),
    show: Show::Length,
});

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[
    Call::host(
        198,
        "socket",
        libc::SYS_socket,
        [Set(&sets::DOMAIN), Set(&sets::SOCK), PROTOCOL],
    ),
    Call::host(
        199,
        "socketpair",
        libc::SYS_socketpair,
        [
            Set(&sets::DOMAIN),
            Set(&sets::SOCK),
            PROTOCOL,
            Out(array(&layouts::INT, 2)),
        ],
    ),
    Call::blocking(200, "bind", libc::SYS_bind, [Fd, ADDRESS, Int]),
    Call::host(201, "listen", libc::SYS_listen, [Fd, Int]),
    Call::blocking(202, "accept", libc::SYS_accept, [Fd, FOUND, LENGTH]),
    Call::blocking(
        242,
        "accept4",
        libc::SYS_accept4,
        [Fd, FOUND, LENGTH, Set(&sets::SOCK_FLAGS)],
    ),
    Call::blocking(203, "connect", libc::SYS_connect, [Fd, ADDRESS, Int]),
    Call::host(
        204,
        "getsockname",
        libc::SYS_getsockname,
        [Fd, FOUND, LENGTH],
    ),
    Call::host(
        205,
        "getpeername",
        libc::SYS_getpeername,
        [Fd, FOUND, LENGTH],
    ),
    Call::blocking(
        206,
        "sendto",
        libc::SYS_sendto,
        [
            Fd,
            In(bytes(2)),
            Size,
            Set(&sets::MSG),
            In(special(Len::Arg(5), show::address_5)),
            Int,
        ],
    ),
    Call::blocking(
        207,
        "recvfrom",
        libc::SYS_recvfrom,
        [
            Fd,
            Out(bytes(2)),
            Size,
            Set(&sets::MSG),
            Out(special(Len::Behind(5), show::found_5)),
            LENGTH,
        ],
    ),
    Call::own(
        208,
        "setsockopt",
        setsockopt,
        [
            Fd,
            Set(&sets::SO_LEVEL),
            Before(show::option_name),
            In(special(Len::Arg(4), show::option_value)),
            Int,
        ],
    ),
    Call::own(
        209,
        "getsockopt",
        getsockopt,
        [
            Fd,
            Set(&sets::SO_LEVEL),
            Before(show::option_name),
            Out(special(Len::Behind(4), show::option_found)),
            LENGTH,
        ],
    ),
    Call::host(
        210,
        "shutdown",
        libc::SYS_shutdown,
        [Fd, Set(&sets::SHUTDOWN)],
    ),
    Call::own(
        211,
        "sendmsg",
        sendmsg,
        [Fd, In(special(Len::Fixed(56), sent)), Set(&sets::MSG)],
    ),
    Call::own(
        212,
        "recvmsg",
        recvmsg,
        [Fd, Out(special(Len::Fixed(56), received)), Set(&sets::MSG)],
    ),
    Call::own(
        269,
        "sendmmsg",
        sendmmsg,
        [
            Fd,
            In(special(Len::Items(2, 64), all_sent)),
            Int,
            Set(&sets::MSG),
        ],
    ),
    Call::own(
        243,
        "recvmmsg",
        recvmmsg,
        [
            Fd,
            Out(special(Len::Items(2, 64), all_received)),
            Int,
            Set(&sets::MSG),
            In(one(&layouts::TIMESPEC)),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn headers_have_the_layout_of_the_system_call() {
        assert_eq!((size_of::<MsgHdr>(), size_of::<MultiMsgHdr>()), (56, 64));
        assert_eq!(offset_of!(MsgHdr, vectors), 16);
        assert_eq!(offset_of!(MsgHdr, control), 32);
        assert_eq!(offset_of!(MsgHdr, flags), 48);
        assert_eq!(offset_of!(MultiMsgHdr, len), 56);
    }

    #[test]
    fn a_bad_message_counts_only_if_it_is_the_first() {
        let mm = AddressSpace::new().expect("reserving the window");
        let found = import_all(&mm, 0x1000, 3, Direction::Input);
        assert_eq!(found.map(|messages| messages.len()), Err(Errno::EFAULT));
    }
}
