//! System V and POSIX message queues, semaphores and shared memory.
//!
//! All structures are those of asm-generic on both machines, but `semid_ds`: x86-64 has holes in
//! it.

use super::Call;
use super::arg::Arg::{self, Addr, Fd, Hex, In, Int, Mode, Out, Set, Size, Text};
use super::arg::{Data, Show};
use super::arg::{Len, bytes, one, opaque, raw};
use crate::copy::plain;
use crate::mm;
use crate::strace::{layouts, sets};
use crate::{Args, SysResult, Thread};

const IPC_RMID: i32 = 0;
const IPC_SET: i32 = 1;
const IPC_STAT: i32 = 2;
const IPC_INFO: i32 = 3;

plain! {
    /// `struct ipc64_perm`
    struct Permissions {
        key: i32,
        ids: [u32; 4],
        mode: u32,
        sequence: u16,
        pad: u16,
        hole: u32,
        unused: [u64; 2],
    }
}

plain! {
    /// `struct semid64_ds` of asm-generic
    struct GuestSemaphores {
        permissions: Permissions,
        op_time: u64,
        change_time: u64,
        count: u64,
        unused: [u64; 2],
    }
}

plain! {
    /// `struct semid64_ds` of x86-64
    struct HostSemaphores {
        permissions: Permissions,
        op_time: u64,
        unused: u64,
        change_time: u64,
        unused2: u64,
        count: u64,
        unused3: [u64; 2],
    }
}

impl From<HostSemaphores> for GuestSemaphores {
    fn from(host: HostSemaphores) -> GuestSemaphores {
        GuestSemaphores {
            permissions: host.permissions,
            op_time: host.op_time,
            change_time: host.change_time,
            count: host.count,
            unused: [0; 2],
        }
    }
}

impl From<GuestSemaphores> for HostSemaphores {
    fn from(guest: GuestSemaphores) -> HostSemaphores {
        HostSemaphores {
            permissions: guest.permissions,
            op_time: guest.op_time,
            unused: 0,
            change_time: guest.change_time,
            unused2: 0,
            count: guest.count,
            unused3: [0; 2],
        }
    }
}

/// A `semid_ds` of zeros.
const NO_SEMAPHORES: GuestSemaphores = GuestSemaphores {
    permissions: Permissions {
        key: 0,
        ids: [0; 4],
        mode: 0,
        sequence: 0,
        pad: 0,
        hole: 0,
        unused: [0; 2],
    },
    op_time: 0,
    change_time: 0,
    count: 0,
    unused: [0; 2],
};

/// `semctl`
fn semctl(thread: &mut Thread, args: &Args) -> SysResult {
    const GETALL: i32 = 13;
    const SETALL: i32 = 17;
    const SEM_STAT: i32 = 18;
    const SEM_INFO: i32 = 19;
    const SEM_STAT_ANY: i32 = 20;
    const SEMINFO_SIZE: u64 = 40;
    /// Most semaphores in a set (`SEMMSL`), two bytes each.
    const VALUES_SIZE: u64 = 32000 * 2;
    let &[id, number, command, argument, ..] = args;
    let mm = thread.process.mm.clone();
    let host = |argument| [id, number, command, argument, 0, 0];
    let direct = match command as i32 {
        GETALL => mm.output(argument, VALUES_SIZE),
        SETALL => mm.pointer(argument),
        IPC_INFO | SEM_INFO => mm.output(argument, SEMINFO_SIZE),
        IPC_SET => {
            let set = HostSemaphores::from(mm.read_struct::<GuestSemaphores>(argument)?);
            return thread.blocking_syscall(libc::SYS_semctl, host(&raw const set as u64));
        }
        IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
            let mut found = HostSemaphores::from(NO_SEMAPHORES);
            let result = thread.blocking_syscall(libc::SYS_semctl, host(&raw mut found as u64))?;
            mm.write_struct(argument, &GuestSemaphores::from(found))?;
            return Ok(result);
        }
        // A number, or nothing.
        _ => argument,
    };
    thread.blocking_syscall(libc::SYS_semctl, host(direct))
}

/// `msgctl` and `shmctl`: their structures are the same, the largest has 120 bytes.
fn control(thread: &mut Thread, nr: i64, args: &Args) -> SysResult {
    const LARGEST: u64 = 120;
    let &[id, command, argument, ..] = args;
    let mm = &thread.process.mm;
    let argument = match command as i32 {
        IPC_RMID => argument,
        IPC_SET => mm.pointer(argument),
        _ => mm.output(argument, LARGEST),
    };
    thread.blocking_syscall(nr, [id, command, argument, 0, 0, 0])
}

fn msgctl(thread: &mut Thread, args: &Args) -> SysResult {
    control(thread, libc::SYS_msgctl, args)
}

fn shmctl(thread: &mut Thread, args: &Args) -> SysResult {
    control(thread, libc::SYS_shmctl, args)
}

/// `msgrcv`: the buffer begins with the message's type, which its size does not count.
fn msgrcv(thread: &mut Thread, args: &Args) -> SysResult {
    let &[id, message, size, kind, flags, _] = args;
    let message = thread.process.mm.output(message, size.saturating_add(8));
    thread.blocking_syscall(libc::SYS_msgrcv, [id, message, size, kind, flags, 0])
}

/// `mq_notify`: notification by a socket (`SIGEV_THREAD`) has a pointer in it.
fn mq_notify(thread: &mut Thread, args: &Args) -> SysResult {
    const SIGEVENT: usize = 64;
    const VALUE: std::ops::Range<usize> = 0..8;
    const NOTIFY: usize = 12;
    let &[queue, event, ..] = args;
    let mm = &thread.process.mm;
    let Some(mut host) = mm.read_optional::<[u8; SIGEVENT]>(event)? else {
        return super::host::call(libc::SYS_mq_notify, [queue, 0, 0, 0, 0, 0]);
    };
    if i32::from(host[NOTIFY]) == libc::SIGEV_THREAD {
        let cookie = mm.read_struct::<u64>(event)?;
        host[VALUE].copy_from_slice(&mm.pointer(cookie).to_le_bytes());
    }
    super::host::call(
        libc::SYS_mq_notify,
        [queue, host.as_ptr() as u64, 0, 0, 0, 0],
    )
}

/// Semaphore operations of 6 bytes.
const OPERATIONS: Data = Data {
    len: Len::Items(2, 6),
    show: Show::Address,
};
const MQ_ATTRIBUTES: Data = opaque(64);
const TIMEOUT: Arg = In(one(&layouts::TIMESPEC));

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[
    Call::host(186, "msgget", libc::SYS_msgget, [Hex, Set(&sets::IPC)]),
    Call::own(187, "msgctl", msgctl, [Int, Set(&sets::IPC_COMMAND), Addr]),
    Call::own(
        188,
        "msgrcv",
        msgrcv,
        [Int, Addr, Size, Int, Set(&sets::IPC)],
    ),
    Call::blocking(
        189,
        "msgsnd",
        libc::SYS_msgsnd,
        [Int, In(raw(2)), Size, Set(&sets::IPC)],
    ),
    Call::host(190, "semget", libc::SYS_semget, [Hex, Int, Set(&sets::IPC)]),
    Call::own(191, "semctl", semctl, [Int, Int, Int, Hex]),
    Call::blocking(
        192,
        "semtimedop",
        libc::SYS_semtimedop,
        [Int, In(OPERATIONS), Size, TIMEOUT],
    ),
    Call::blocking(193, "semop", libc::SYS_semop, [Int, In(OPERATIONS), Size]),
    Call::host(
        194,
        "shmget",
        libc::SYS_shmget,
        [Hex, Size, Set(&sets::IPC)],
    ),
    Call::own(195, "shmctl", shmctl, [Int, Set(&sets::IPC_COMMAND), Addr]),
    Call::own(196, "shmat", mm::calls::shmat, [Int, Addr, Hex]).returns(super::Ret::Address),
    Call::own(197, "shmdt", mm::calls::shmdt, [Addr]),
    Call::blocking(
        180,
        "mq_open",
        libc::SYS_mq_open,
        [Text, Set(&sets::OPEN), Mode, In(MQ_ATTRIBUTES)],
    ),
    Call::blocking(181, "mq_unlink", libc::SYS_mq_unlink, [Text]),
    Call::blocking(
        182,
        "mq_timedsend",
        libc::SYS_mq_timedsend,
        [Fd, In(bytes(2)), Size, Int, TIMEOUT],
    ),
    Call::blocking(
        183,
        "mq_timedreceive",
        libc::SYS_mq_timedreceive,
        [Fd, Out(bytes(2)), Size, Out(opaque(4)), TIMEOUT],
    ),
    Call::own(184, "mq_notify", mq_notify, [Fd, Addr]),
    Call::blocking(
        185,
        "mq_getsetattr",
        libc::SYS_mq_getsetattr,
        [Fd, In(MQ_ATTRIBUTES), Out(MQ_ATTRIBUTES)],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semaphore_structures_have_the_layouts_of_their_machines() {
        assert_eq!(size_of::<Permissions>(), 48);
        assert_eq!(size_of::<GuestSemaphores>(), 88);
        assert_eq!(size_of::<HostSemaphores>(), 104);
        assert_eq!(std::mem::offset_of!(GuestSemaphores, count), 64);
        let host = HostSemaphores {
            op_time: 1,
            change_time: 2,
            count: 3,
            ..HostSemaphores::from(NO_SEMAPHORES)
        };
        let guest = GuestSemaphores::from(host);
        assert_eq!((guest.op_time, guest.change_time, guest.count), (1, 2, 3));
        assert_eq!(HostSemaphores::from(guest), host);
    }
}
