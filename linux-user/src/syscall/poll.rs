//! Waiting for descriptors: `poll`, `select`, `epoll`; `signalfd`.
//!
//! The guest's signal mask is the host's, so the calls that change it while they wait do so in the
//! host kernel, as atomically as they should. Only the signals that must never be blocked on the
//! host are taken out of the mask.

use super::arg::Arg::{self, Before, Fd, In, Int, Out, Set, Size};
use super::arg::{list, one};
use super::{Call, Ret, host};
use crate::copy::plain;
use crate::mm::AddressSpace;
use crate::signal::{SigSet, host_mask, read_set};
use crate::strace::layouts::{self, i32_at, u16_at};
use crate::strace::line::Line;
use crate::strace::sets;
use crate::{Args, Errno, SysResult, Thread};

const SET_SIZE: u64 = size_of::<SigSet>() as u64;
const TIMESPEC_SIZE: u64 = 16;

/// A signal mask for the host, which must outlive the call.
struct Mask(Option<SigSet>);

impl Mask {
    /// Reads the mask at `addr`; NULL is none.
    fn read(mm: &AddressSpace, addr: u64, size: u64) -> Result<Mask, Errno> {
        match addr {
            0 => Ok(Mask(None)),
            _ if size != SET_SIZE => Err(Errno::EINVAL),
            _ => Ok(Mask(Some(host_mask(read_set(mm, addr)?)))),
        }
    }

    /// For the host.
    fn pointer(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |mask| std::ptr::from_ref(mask) as u64)
    }
}

/// `ppoll`
fn ppoll(thread: &mut Thread, args: &Args) -> SysResult {
    let &[fds, count, timeout, mask, size, _] = args;
    let mm = thread.process.mm.clone();
    let mask = Mask::read(&mm, mask, size)?;
    let fds = mm.output(fds, (count & 0xffff_ffff) * 8);
    let timeout = mm.output(timeout, TIMESPEC_SIZE);
    let host = [fds, count, timeout, mask.pointer(), SET_SIZE, 0];
    thread.blocking_syscall(libc::SYS_ppoll, host)
}

plain! {
    /// What the last argument of `pselect6` points to.
    struct MaskArgument {
        mask: u64,
        size: u64,
    }
}

/// `pselect6`
fn pselect6(thread: &mut Thread, args: &Args) -> SysResult {
    let &[count, read, write, except, timeout, mask] = args;
    let mm = thread.process.mm.clone();
    let mask = match mm.read_optional::<MaskArgument>(mask)? {
        Some(argument) => Mask::read(&mm, argument.mask, argument.size)?,
        None => Mask(None),
    };
    let set_len = u64::from(count as u32).div_ceil(64) * 8;
    let [read, write, except] = [read, write, except].map(|set| mm.output(set, set_len));
    let timeout = mm.output(timeout, TIMESPEC_SIZE);
    let argument = MaskArgument {
        mask: mask.pointer(),
        size: SET_SIZE,
    };
    let argument = std::ptr::from_ref(&argument) as u64;
    let host = [count, read, write, except, timeout, argument];
    thread.blocking_syscall(libc::SYS_pselect6, host)
}

plain! {
    /// `struct epoll_event` as riscv64 has it: with a hole. x86-64 packs it.
    struct EpollEvent {
        events: u32,
        pad: u32,
        data: u64,
    }
}

impl From<&libc::epoll_event> for EpollEvent {
    fn from(host: &libc::epoll_event) -> EpollEvent {
        EpollEvent {
            events: host.events,
            pad: 0,
            data: host.u64,
        }
    }
}

impl From<EpollEvent> for libc::epoll_event {
    fn from(guest: EpollEvent) -> libc::epoll_event {
        libc::epoll_event {
            events: guest.events,
            u64: guest.data,
        }
    }
}

/// `epoll_ctl`
fn epoll_ctl(thread: &mut Thread, args: &Args) -> SysResult {
    let &[epoll, op, fd, event, ..] = args;
    let mut host = libc::epoll_event { events: 0, u64: 0 };
    if op as i32 != libc::EPOLL_CTL_DEL {
        host = thread.process.mm.read_struct::<EpollEvent>(event)?.into();
    }
    host::call(
        libc::SYS_epoll_ctl,
        [epoll, op, fd, &raw const host as u64, 0, 0],
    )
}

/// Most events that are fetched at once. More stay ready for the next call.
const MOST_EVENTS: u64 = 1024;

/// Waits for events with the host call `nr`, whose timeout argument is `timeout`.
fn epoll_wait(thread: &mut Thread, args: &Args, nr: i64, timeout: u64) -> SysResult {
    let &[epoll, events, most, _, mask, size] = args;
    let mm = thread.process.mm.clone();
    let mask = Mask::read(&mm, mask, size)?;
    // The kernel refuses what is not positive.
    let room = (most as i32).clamp(0, MOST_EVENTS as i32) as usize;
    let mut host = vec![libc::epoll_event { events: 0, u64: 0 }; room];
    let pointer = host.as_mut_ptr() as u64;
    let host_args = [
        epoll,
        pointer,
        room as u64,
        timeout,
        mask.pointer(),
        SET_SIZE,
    ];
    let ready = thread.blocking_syscall(nr, host_args)?;
    let found: Vec<EpollEvent> = host
        .iter()
        .take(ready as usize)
        .map(EpollEvent::from)
        .collect();
    mm.write_array(events, &found)?;
    Ok(ready)
}

/// `epoll_pwait`
fn epoll_pwait(thread: &mut Thread, args: &Args) -> SysResult {
    epoll_wait(thread, args, libc::SYS_epoll_pwait, args[3])
}

/// `epoll_pwait2`
fn epoll_pwait2(thread: &mut Thread, args: &Args) -> SysResult {
    let timeout = thread.process.mm.pointer(args[3]);
    epoll_wait(thread, args, libc::SYS_epoll_pwait2, timeout)
}

/// `signalfd4`
fn signalfd4(thread: &mut Thread, args: &Args) -> SysResult {
    let &[fd, mask, size, flags, ..] = args;
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let mask = host_mask(read_set(&thread.process.mm, mask)?);
    host::call(
        libc::SYS_signalfd4,
        [fd, &raw const mask as u64, SET_SIZE, flags, 0, 0],
    )
}

/// `1 ([{fd=4, revents=POLLOUT}])`, `0 (Timeout)`
fn poll_result(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    line.unsigned(value);
    if value == 0 {
        return line.put(" (Timeout)");
    }
    let count = (args[1] & 0xffff_ffff).min(1024) as usize;
    let mut bytes = vec![0; count * 8];
    if line.mm.read(args[0], &mut bytes).is_err() {
        return;
    }
    line.put(" ([");
    let ready = bytes.chunks_exact(8).filter(|item| u16_at(item, 6) != 0);
    line.separated(ready, |line, item| {
        line.fmt(format_args!("{{fd={}, revents=", i32_at(item, 0)));
        line.set(&sets::POLL_EVENTS, u16_at(item, 6));
        line.put("}");
    });
    line.put("]");
    time_left(line, args[2]);
    line.put(")");
}

/// `, left {tv_sec=4, tv_nsec=999}`: what the kernel has made of the timeout.
fn time_left(line: &mut Line<'_>, addr: u64) {
    let mut bytes = [0; 16];
    if addr != 0 && line.mm.read(addr, &mut bytes).is_ok() {
        line.put(", left ");
        (layouts::TIMESPEC.show)(line, &bytes);
    }
}

/// The descriptors in a set of `select`.
fn fd_set(line: &mut Line<'_>, addr: u64, args: &Args, _: Option<u64>) {
    let count = (args[0] as u32).min(4096) as usize;
    let mut bytes = vec![0; count.div_ceil(64) * 8];
    if addr == 0 || line.mm.read(addr, &mut bytes).is_err() {
        return line.address(addr);
    }
    line.put("[");
    let mut first = true;
    for fd in (0..count).filter(|fd| bytes[fd / 8] >> (fd % 8) & 1 != 0) {
        if !std::mem::take(&mut first) {
            line.put(" ");
        }
        line.unsigned(fd as u64);
    }
    line.put("]");
}

/// `1 (in [3])`, `0 (Timeout)`
fn select_result(line: &mut Line<'_>, value: u64, args: &Args, result: Option<u64>) {
    line.unsigned(value);
    if value == 0 {
        return line.put(" (Timeout)");
    }
    let sets = [("in ", args[1]), ("out ", args[2]), ("except ", args[3])];
    line.put(" (");
    line.separated(
        sets.into_iter().filter(|set| set.1 != 0),
        |line, (name, set)| {
            line.put(name);
            fd_set(line, set, args, result);
        },
    );
    line.put(")");
}

/// `{sigmask=[USR1], sigsetsize=8}`
fn mask_argument(line: &mut Line<'_>, addr: u64, _: &Args, _: Option<u64>) {
    let mm = line.mm;
    match mm.read_optional::<MaskArgument>(addr) {
        Ok(Some(argument)) => {
            line.put("{sigmask=");
            signal_mask(line, argument.mask);
            line.fmt(format_args!(", sigsetsize={}}}", argument.size));
        }
        _ => line.address(addr),
    }
}

fn signal_mask(line: &mut Line<'_>, addr: u64) {
    let mm = line.mm;
    match mm.read_optional::<u64>(addr) {
        Ok(Some(mask)) => line.signal_set(mask),
        _ => line.address(addr),
    }
}

const FD_SET: Arg = Before(fd_set);
const SIGMASK: Arg = In(one(&layouts::SIGSET));
const TIMEOUT: Arg = In(one(&layouts::TIMESPEC));
const EVENTS: Arg = Out(list(&layouts::EPOLL_EVENT, 2));

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[
    Call::own(
        73,
        "ppoll",
        ppoll,
        [In(list(&layouts::POLLFD, 1)), Int, TIMEOUT, SIGMASK, Size],
    )
    .returns(Ret::Special(poll_result)),
    Call::own(
        72,
        "pselect6",
        pselect6,
        [Int, FD_SET, FD_SET, FD_SET, TIMEOUT, Before(mask_argument)],
    )
    .returns(Ret::Special(select_result)),
    Call::host(
        20,
        "epoll_create1",
        libc::SYS_epoll_create1,
        [Set(&sets::EPOLL_CREATE)],
    ),
    Call::own(
        21,
        "epoll_ctl",
        epoll_ctl,
        [
            Fd,
            Set(&sets::EPOLL_CTL),
            Fd,
            In(one(&layouts::EPOLL_EVENT)),
        ],
    ),
    Call::own(
        22,
        "epoll_pwait",
        epoll_pwait,
        [Fd, EVENTS, Int, Int, SIGMASK, Size],
    ),
    Call::own(
        441,
        "epoll_pwait2",
        epoll_pwait2,
        [Fd, EVENTS, Int, TIMEOUT, SIGMASK, Size],
    ),
    Call::own(
        74,
        "signalfd4",
        signalfd4,
        [Fd, SIGMASK, Size, Set(&sets::SIGNALFD)],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::bytes_of;

    #[test]
    fn epoll_events_of_the_guest_have_a_hole() {
        let host = libc::epoll_event {
            events: 0x8000_0001,
            u64: 0x1122_3344_5566_7788,
        };
        let guest = EpollEvent::from(&host);
        let bytes = [
            1, 0, 0, 0x80, 0, 0, 0, 0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
        ];
        assert_eq!(bytes_of(&guest), bytes);
        let back = libc::epoll_event::from(guest);
        assert_eq!((back.events, { back.u64 }), (host.events, { host.u64 }));
    }
}
