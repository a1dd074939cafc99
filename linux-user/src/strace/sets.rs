//! The sets of named numbers in system call arguments.

use crate::strace::set::{Entry, Set, sets};

/// Entries of constants that `libc` has under the same name.
macro_rules! entries {
    ($($kind:ident $name:ident)*) => {
        &[$(sets!(@ $kind $name)),*]
    };
}

/// A set of numbers that `libc` does not define under these names.
macro_rules! numbers {
    ($($kind:ident $set:ident $unknown:literal: $($name:literal $value:expr),* $(,)?;)*) => {
        $(
            #[doc = concat!("Names `", $unknown, "`.")]
            pub static $set: Set = Set {
                unknown: $unknown,
                entries: &[$(numbers!(@ $kind $name, $value)),*],
            };
        )*
    };
    (@ flags $name:literal, $value:expr) => { Entry::flag($name, $value) };
    (@ values $name:literal, $value:expr) => { Entry::value($name, $value) };
}

sets! {
    values WHENCE "SEEK_???": SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE;
    flags MREMAP "MREMAP_???": MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP;
    flags MSYNC "MS_???": MS_ASYNC MS_INVALIDATE MS_SYNC;
    values MADVISE "MADV_???": MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED
        MADV_FREE MADV_REMOVE MADV_DONTFORK MADV_DOFORK MADV_MERGEABLE MADV_UNMERGEABLE
        MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTDUMP MADV_DODUMP MADV_WIPEONFORK MADV_KEEPONFORK
        MADV_COLD MADV_PAGEOUT MADV_POPULATE_READ MADV_POPULATE_WRITE;
    flags MLOCK "MLOCK_???": MLOCK_ONFAULT;
    flags MLOCKALL "MCL_???": MCL_CURRENT MCL_FUTURE MCL_ONFAULT;
    flags MEMFD "MFD_???": MFD_CLOEXEC MFD_ALLOW_SEALING MFD_HUGETLB;
    flags AT "AT_???": AT_SYMLINK_NOFOLLOW AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH;
    flags UNLINK "AT_???": AT_REMOVEDIR;
    flags ACCESS_AT "AT_???": AT_SYMLINK_NOFOLLOW AT_EACCESS AT_EMPTY_PATH;
    flags PIPE "O_???": O_CLOEXEC O_NONBLOCK O_DIRECT;
    flags RENAME "RENAME_???": RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT;
    flags FALLOCATE "FALLOC_FL_???": FALLOC_FL_KEEP_SIZE FALLOC_FL_PUNCH_HOLE
        FALLOC_FL_COLLAPSE_RANGE FALLOC_FL_ZERO_RANGE FALLOC_FL_INSERT_RANGE
        FALLOC_FL_UNSHARE_RANGE;
    values FADVISE "POSIX_FADV_???": POSIX_FADV_NORMAL POSIX_FADV_RANDOM POSIX_FADV_SEQUENTIAL
        POSIX_FADV_WILLNEED POSIX_FADV_DONTNEED POSIX_FADV_NOREUSE;
    flags SYNC_RANGE "SYNC_FILE_RANGE_???": SYNC_FILE_RANGE_WAIT_BEFORE SYNC_FILE_RANGE_WRITE
        SYNC_FILE_RANGE_WAIT_AFTER;
    flags SPLICE "SPLICE_F_???": SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE SPLICE_F_GIFT;
    flags RWF "RWF_???": RWF_HIPRI RWF_DSYNC RWF_SYNC RWF_NOWAIT RWF_APPEND;
    flags LOCK "LOCK_???": LOCK_SH LOCK_EX LOCK_NB LOCK_UN;
    flags XATTR "XATTR_???": XATTR_CREATE XATTR_REPLACE;
    flags EVENTFD "EFD_???": EFD_SEMAPHORE EFD_CLOEXEC EFD_NONBLOCK;
    flags SIGNALFD "SFD_???": SFD_CLOEXEC SFD_NONBLOCK;
    flags TIMERFD "TFD_???": TFD_CLOEXEC TFD_NONBLOCK;
    flags TIMERFD_SET "TFD_???": TFD_TIMER_ABSTIME TFD_TIMER_CANCEL_ON_SET;
    flags TIMER_SET "TIMER_???": TIMER_ABSTIME;
    flags INOTIFY "IN_???": IN_CLOEXEC IN_NONBLOCK;
    flags INOTIFY_MASK "IN_???": IN_ACCESS IN_MODIFY IN_ATTRIB IN_CLOSE_WRITE IN_CLOSE_NOWRITE
        IN_OPEN IN_MOVED_FROM IN_MOVED_TO IN_CREATE IN_DELETE IN_DELETE_SELF IN_MOVE_SELF
        IN_ONLYDIR IN_DONT_FOLLOW IN_EXCL_UNLINK IN_MASK_CREATE IN_MASK_ADD IN_ISDIR IN_ONESHOT;
    flags EPOLL_CREATE "EPOLL_???": EPOLL_CLOEXEC;
    values EPOLL_CTL "EPOLL_CTL_???": EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD;
    flags EPOLL_EVENTS "EPOLL???": EPOLLIN EPOLLPRI EPOLLOUT EPOLLRDNORM EPOLLRDBAND EPOLLWRNORM
        EPOLLWRBAND EPOLLMSG EPOLLERR EPOLLHUP EPOLLRDHUP EPOLLEXCLUSIVE EPOLLWAKEUP EPOLLONESHOT
        EPOLLET;
    flags POLL_EVENTS "POLL???": POLLIN POLLPRI POLLOUT POLLRDNORM POLLWRNORM POLLRDBAND
        POLLWRBAND POLLERR POLLHUP POLLNVAL POLLRDHUP;
    values CLOCK "CLOCK_???": CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID
        CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE
        CLOCK_BOOTTIME CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM CLOCK_TAI;
    values ITIMER "ITIMER_???": ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF;
    flags GETRANDOM "GRND_???": GRND_NONBLOCK GRND_RANDOM GRND_INSECURE;
    values RLIMIT "RLIMIT_???": RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE
        RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS
        RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME;
    values RUSAGE "RUSAGE_???": RUSAGE_SELF RUSAGE_CHILDREN RUSAGE_THREAD;
    values PRIO "PRIO_???": PRIO_PROCESS PRIO_PGRP PRIO_USER;
    values SCHED "SCHED_???": SCHED_OTHER SCHED_FIFO SCHED_RR SCHED_BATCH SCHED_IDLE
        SCHED_DEADLINE;
    values SIGMASK_HOW "SIG_???": SIG_BLOCK SIG_UNBLOCK SIG_SETMASK;
    flags WAIT "W???": WNOHANG WSTOPPED WEXITED WCONTINUED WNOWAIT __WNOTHREAD __WCLONE __WALL;
    values WAIT_ID "P_???": P_ALL P_PID P_PGID P_PIDFD;
    flags CLONE "CLONE_???": CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE
        CLONE_VFORK CLONE_PARENT CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS
        CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID CLONE_UNTRACED CLONE_CHILD_SETTID
        CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET
        CLONE_IO;
    values DOMAIN "AF_???": AF_UNSPEC AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_VSOCK
        AF_ALG AF_KEY AF_BLUETOOTH AF_CAN AF_TIPC AF_XDP;
    values SHUTDOWN "SHUT_???": SHUT_RD SHUT_WR SHUT_RDWR;
    values SO_LEVEL "SOL_???": SOL_IP SOL_SOCKET SOL_TCP SOL_UDP SOL_IPV6 SOL_RAW SOL_NETLINK
        SOL_PACKET SOL_ALG;
    values SO_NAME "SO_???": SO_DEBUG SO_REUSEADDR SO_TYPE SO_ERROR SO_DONTROUTE SO_BROADCAST
        SO_SNDBUF SO_RCVBUF SO_KEEPALIVE SO_OOBINLINE SO_NO_CHECK SO_PRIORITY SO_LINGER
        SO_BSDCOMPAT SO_REUSEPORT SO_PASSCRED SO_PEERCRED SO_RCVLOWAT SO_SNDLOWAT SO_RCVTIMEO
        SO_SNDTIMEO SO_BINDTODEVICE SO_ATTACH_FILTER SO_DETACH_FILTER SO_PEERNAME SO_TIMESTAMP
        SO_ACCEPTCONN SO_PEERSEC SO_PASSSEC SO_TIMESTAMPNS SO_MARK SO_TIMESTAMPING SO_PROTOCOL
        SO_DOMAIN SO_RXQ_OVFL SO_PEEK_OFF SO_BUSY_POLL SO_INCOMING_CPU SO_COOKIE SO_ZEROCOPY;
    values TCP_NAME "TCP_???": TCP_NODELAY TCP_MAXSEG TCP_CORK TCP_KEEPIDLE TCP_KEEPINTVL
        TCP_KEEPCNT TCP_SYNCNT TCP_LINGER2 TCP_DEFER_ACCEPT TCP_WINDOW_CLAMP TCP_INFO TCP_QUICKACK
        TCP_CONGESTION TCP_USER_TIMEOUT TCP_FASTOPEN;
    flags MSG "MSG_???": MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR
        MSG_WAITALL MSG_CONFIRM MSG_ERRQUEUE MSG_NOSIGNAL MSG_MORE MSG_WAITFORONE MSG_FASTOPEN
        MSG_CMSG_CLOEXEC;
    values PRCTL "PR_???": PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE
        PR_GET_KEEPCAPS PR_SET_KEEPCAPS PR_GET_TIMING PR_SET_TIMING PR_SET_NAME PR_GET_NAME
        PR_GET_SECCOMP PR_SET_SECCOMP PR_CAPBSET_READ PR_CAPBSET_DROP PR_GET_SECUREBITS
        PR_SET_SECUREBITS PR_SET_TIMERSLACK PR_GET_TIMERSLACK PR_SET_MM PR_SET_CHILD_SUBREAPER
        PR_GET_CHILD_SUBREAPER PR_SET_NO_NEW_PRIVS PR_GET_NO_NEW_PRIVS PR_GET_TID_ADDRESS
        PR_SET_THP_DISABLE PR_GET_THP_DISABLE PR_CAP_AMBIENT PR_SET_VMA PR_SET_PTRACER;
}

/// File status flags on their own, as `fcntl(F_SETFL)` takes them.
const OPEN_FLAGS: [Entry; 15] = [
    // The kernel's value; `libc` has 0 where file offsets have 64 bits anyway.
    Entry::flag("O_LARGEFILE", 0o100000),
    Entry::flag("O_CREAT", libc::O_CREAT as i64),
    Entry::flag("O_EXCL", libc::O_EXCL as i64),
    Entry::flag("O_NOCTTY", libc::O_NOCTTY as i64),
    Entry::flag("O_TRUNC", libc::O_TRUNC as i64),
    Entry::flag("O_APPEND", libc::O_APPEND as i64),
    Entry::flag("O_NONBLOCK", libc::O_NONBLOCK as i64),
    Entry::flag("O_SYNC", libc::O_SYNC as i64),
    Entry::flag("O_DSYNC", libc::O_DSYNC as i64),
    Entry::flag("O_DIRECT", libc::O_DIRECT as i64),
    Entry::flag("O_NOFOLLOW", libc::O_NOFOLLOW as i64),
    Entry::flag("O_NOATIME", libc::O_NOATIME as i64),
    Entry::flag("O_CLOEXEC", libc::O_CLOEXEC as i64),
    Entry::flag("O_PATH", libc::O_PATH as i64),
    Entry::flag("O_TMPFILE", libc::O_TMPFILE as i64),
];

/// The access mode, then the flags.
const OPEN_ENTRIES: [Entry; 19] = {
    let mode = libc::O_ACCMODE as i64;
    let mut all = [Entry::field("O_RDONLY", mode, libc::O_RDONLY as i64); 19];
    all[1] = Entry::field("O_WRONLY", mode, libc::O_WRONLY as i64);
    all[2] = Entry::field("O_RDWR", mode, libc::O_RDWR as i64);
    // O_TMPFILE contains O_DIRECTORY: it comes first, so that the rest is not named again.
    all[3] = OPEN_FLAGS[14];
    let mut i = 0;
    while i < 14 {
        all[4 + i] = OPEN_FLAGS[i];
        i += 1;
    }
    all[18] = Entry::flag("O_DIRECTORY", libc::O_DIRECTORY as i64);
    all
};

/// Flags of `openat`.
pub static OPEN: Set = Set {
    unknown: "O_???",
    entries: &OPEN_ENTRIES,
};

/// `mmap` flags: the type is a field of four bits.
pub static MAP: Set = Set {
    unknown: "MAP_???",
    entries: &[
        Entry::field("MAP_SHARED", 0xf, libc::MAP_SHARED as i64),
        Entry::field("MAP_PRIVATE", 0xf, libc::MAP_PRIVATE as i64),
        Entry::field("MAP_SHARED_VALIDATE", 0xf, libc::MAP_SHARED_VALIDATE as i64),
        Entry::flag("MAP_FIXED", libc::MAP_FIXED as i64),
        Entry::flag("MAP_ANONYMOUS", libc::MAP_ANONYMOUS as i64),
        Entry::flag("MAP_GROWSDOWN", libc::MAP_GROWSDOWN as i64),
        Entry::flag("MAP_DENYWRITE", libc::MAP_DENYWRITE as i64),
        Entry::flag("MAP_EXECUTABLE", libc::MAP_EXECUTABLE as i64),
        Entry::flag("MAP_LOCKED", libc::MAP_LOCKED as i64),
        Entry::flag("MAP_NORESERVE", libc::MAP_NORESERVE as i64),
        Entry::flag("MAP_POPULATE", libc::MAP_POPULATE as i64),
        Entry::flag("MAP_NONBLOCK", libc::MAP_NONBLOCK as i64),
        Entry::flag("MAP_STACK", libc::MAP_STACK as i64),
        Entry::flag("MAP_HUGETLB", libc::MAP_HUGETLB as i64),
        Entry::flag("MAP_SYNC", libc::MAP_SYNC as i64),
        Entry::flag("MAP_FIXED_NOREPLACE", libc::MAP_FIXED_NOREPLACE as i64),
    ],
};

/// Flags of `statx`: how fresh the answer must be is a field.
pub static STATX_FLAGS: Set = Set {
    unknown: "AT_???",
    entries: &[
        Entry::field("AT_STATX_SYNC_AS_STAT", 0x6000, 0),
        Entry::field("AT_STATX_FORCE_SYNC", 0x6000, 0x2000),
        Entry::field("AT_STATX_DONT_SYNC", 0x6000, 0x4000),
        Entry::flag("AT_SYMLINK_NOFOLLOW", 0x100),
        Entry::flag("AT_NO_AUTOMOUNT", 0x800),
        Entry::flag("AT_EMPTY_PATH", 0x1000),
    ],
};

/// Socket types: a field of four bits, and flags.
pub static SOCK: Set = Set {
    unknown: "SOCK_???",
    entries: &[
        Entry::field("SOCK_STREAM", 0xf, libc::SOCK_STREAM as i64),
        Entry::field("SOCK_DGRAM", 0xf, libc::SOCK_DGRAM as i64),
        Entry::field("SOCK_RAW", 0xf, libc::SOCK_RAW as i64),
        Entry::field("SOCK_RDM", 0xf, libc::SOCK_RDM as i64),
        Entry::field("SOCK_SEQPACKET", 0xf, libc::SOCK_SEQPACKET as i64),
        Entry::flag("SOCK_CLOEXEC", libc::SOCK_CLOEXEC as i64),
        Entry::flag("SOCK_NONBLOCK", libc::SOCK_NONBLOCK as i64),
    ],
};

/// Memory protections.
pub static PROT: Set = Set {
    unknown: "PROT_???",
    entries: entries! {
        values PROT_NONE flags PROT_READ flags PROT_WRITE flags PROT_EXEC flags PROT_GROWSDOWN
        flags PROT_GROWSUP
    },
};

/// What `faccessat` asks for.
pub static ACCESS: Set = Set {
    unknown: "?_OK",
    entries: entries! { values F_OK flags R_OK flags W_OK flags X_OK },
};

/// Flags of `accept4`.
pub static SOCK_FLAGS: Set = Set {
    unknown: "SOCK_???",
    entries: entries! { flags SOCK_CLOEXEC flags SOCK_NONBLOCK },
};

/// `fcntl` commands.
pub static FCNTL: Set = Set {
    unknown: "F_???",
    entries: entries! {
        values F_DUPFD values F_GETFD values F_SETFD values F_GETFL values F_SETFL values F_GETLK
        values F_SETLK values F_SETLKW values F_SETOWN values F_GETOWN
        values F_OFD_GETLK values F_OFD_SETLK values F_OFD_SETLKW values F_SETLEASE
        values F_GETLEASE values F_NOTIFY values F_DUPFD_CLOEXEC values F_SETPIPE_SZ
        values F_GETPIPE_SZ values F_ADD_SEALS values F_GET_SEALS
    },
};

numbers! {
    flags MOUNT "ST_???": "ST_VALID" 0x20, "ST_RDONLY" 1, "ST_NOSUID" 2, "ST_NODEV" 4,
        "ST_NOEXEC" 8, "ST_SYNCHRONOUS" 0x10, "ST_MANDLOCK" 0x40, "ST_NOATIME" 0x400,
        "ST_NODIRATIME" 0x800, "ST_RELATIME" 0x1000, "ST_NOSYMFOLLOW" 0x2000;
    values FILE_SYSTEM "???_SUPER_MAGIC": "EXT2_SUPER_MAGIC" 0xef53, "TMPFS_MAGIC" 0x0102_1994,
        "PROC_SUPER_MAGIC" 0x9fa0, "SYSFS_MAGIC" 0x6265_6572, "OVERLAYFS_SUPER_MAGIC" 0x794c_7630,
        "BTRFS_SUPER_MAGIC" 0x9123_683e, "XFS_SUPER_MAGIC" 0x5846_5342,
        "DEVPTS_SUPER_MAGIC" 0x1cd1, "NFS_SUPER_MAGIC" 0x6969;
    flags STATX_MASK "STATX_???": "STATX_ALL" 0xfff, "STATX_BASIC_STATS" 0x7ff, "STATX_TYPE" 1,
        "STATX_MODE" 2, "STATX_NLINK" 4, "STATX_UID" 8, "STATX_GID" 0x10, "STATX_ATIME" 0x20,
        "STATX_MTIME" 0x40, "STATX_CTIME" 0x80, "STATX_INO" 0x100, "STATX_SIZE" 0x200,
        "STATX_BLOCKS" 0x400, "STATX_BTIME" 0x800, "STATX_MNT_ID" 0x1000, "STATX_DIOALIGN" 0x2000;
    flags CLOSE_RANGE "CLOSE_RANGE_???": "CLOSE_RANGE_UNSHARE" 2, "CLOSE_RANGE_CLOEXEC" 4;
    flags FLUSH_ICACHE "SYS_RISCV_FLUSH_ICACHE_???": "SYS_RISCV_FLUSH_ICACHE_LOCAL" 1;
    values MEMBARRIER "MEMBARRIER_CMD_???": "MEMBARRIER_CMD_QUERY" 0, "MEMBARRIER_CMD_GLOBAL" 1,
        "MEMBARRIER_CMD_GLOBAL_EXPEDITED" 2, "MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED" 4,
        "MEMBARRIER_CMD_PRIVATE_EXPEDITED" 8, "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED" 0x10,
        "MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE" 0x20,
        "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE" 0x40,
        "MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ" 0x80,
        "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ" 0x100;
    values IPC_COMMAND "IPC_???": "IPC_RMID" 0, "IPC_SET" 1, "IPC_STAT" 2, "IPC_INFO" 3;
    flags IPC "IPC_???": "IPC_CREAT" 0o1000, "IPC_EXCL" 0o2000, "IPC_NOWAIT" 0o4000;
    flags SIGACTION "SA_???": "SA_NOCLDSTOP" 1, "SA_NOCLDWAIT" 2, "SA_SIGINFO" 4,
        "SA_ONSTACK" 0x0800_0000, "SA_RESTART" 0x1000_0000, "SA_NODEFER" 0x4000_0000,
        "SA_RESETHAND" 0x8000_0000;
    flags SIGALTSTACK "SS_???": "SS_ONSTACK" 1, "SS_DISABLE" 2, "SS_AUTODISARM" 0x8000_0000;
    values FUTEX "FUTEX_???": "FUTEX_WAIT" 0, "FUTEX_WAKE" 1, "FUTEX_FD" 2, "FUTEX_REQUEUE" 3,
        "FUTEX_CMP_REQUEUE" 4, "FUTEX_WAKE_OP" 5, "FUTEX_LOCK_PI" 6, "FUTEX_UNLOCK_PI" 7,
        "FUTEX_TRYLOCK_PI" 8, "FUTEX_WAIT_BITSET" 9, "FUTEX_WAKE_BITSET" 10,
        "FUTEX_WAIT_REQUEUE_PI" 11, "FUTEX_CMP_REQUEUE_PI" 12, "FUTEX_LOCK_PI2" 13,
        "FUTEX_WAIT_PRIVATE" 0x80, "FUTEX_WAKE_PRIVATE" 0x81, "FUTEX_REQUEUE_PRIVATE" 0x83,
        "FUTEX_CMP_REQUEUE_PRIVATE" 0x84, "FUTEX_WAKE_OP_PRIVATE" 0x85,
        "FUTEX_LOCK_PI_PRIVATE" 0x86, "FUTEX_UNLOCK_PI_PRIVATE" 0x87,
        "FUTEX_TRYLOCK_PI_PRIVATE" 0x88, "FUTEX_WAIT_BITSET_PRIVATE" 0x89,
        "FUTEX_WAKE_BITSET_PRIVATE" 0x8a, "FUTEX_WAIT_REQUEUE_PI_PRIVATE" 0x8b,
        "FUTEX_CMP_REQUEUE_PI_PRIVATE" 0x8c, "FUTEX_LOCK_PI2_PRIVATE" 0x8d,
        "FUTEX_WAIT|FUTEX_CLOCK_REALTIME" 0x100,
        "FUTEX_WAIT_BITSET|FUTEX_CLOCK_REALTIME" 0x109,
        "FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME" 0x189;
    values IOCTL "_IOC(???)": "TCGETS" 0x5401, "TCSETS" 0x5402, "TCSETSW" 0x5403,
        "TCSETSF" 0x5404, "TCSBRK" 0x5409, "TCXONC" 0x540a, "TCFLSH" 0x540b, "TIOCEXCL" 0x540c,
        "TIOCNXCL" 0x540d, "TIOCSCTTY" 0x540e, "TIOCGPGRP" 0x540f, "TIOCSPGRP" 0x5410,
        "TIOCOUTQ" 0x5411, "TIOCGWINSZ" 0x5413, "TIOCSWINSZ" 0x5414, "FIONREAD" 0x541b,
        "FIONBIO" 0x5421, "TIOCNOTTY" 0x5422, "TIOCGSID" 0x5429, "TIOCGPTN" 0x8004_5430,
        "TIOCSPTLCK" 0x4004_5431, "FIONCLEX" 0x5450, "FIOCLEX" 0x5451, "FIOASYNC" 0x5452,
        "FIGETBSZ" 2, "FICLONE" 0x4004_9409, "BLKGETSIZE64" 0x8008_1272,
        "FS_IOC_GETFLAGS" 0x8008_6601, "SIOCGIFCONF" 0x8912, "SIOCGIFFLAGS" 0x8913,
        "SIOCGIFADDR" 0x8915, "SIOCGIFINDEX" 0x8933;
    values SIGNAL "SIG???": "SIGHUP" 1, "SIGINT" 2, "SIGQUIT" 3, "SIGILL" 4, "SIGTRAP" 5,
        "SIGABRT" 6, "SIGBUS" 7, "SIGFPE" 8, "SIGKILL" 9, "SIGUSR1" 10, "SIGSEGV" 11,
        "SIGUSR2" 12, "SIGPIPE" 13, "SIGALRM" 14, "SIGTERM" 15, "SIGSTKFLT" 16, "SIGCHLD" 17,
        "SIGCONT" 18, "SIGSTOP" 19, "SIGTSTP" 20, "SIGTTIN" 21, "SIGTTOU" 22, "SIGURG" 23,
        "SIGXCPU" 24, "SIGXFSZ" 25, "SIGVTALRM" 26, "SIGPROF" 27, "SIGWINCH" 28, "SIGIO" 29,
        "SIGPWR" 30, "SIGSYS" 31;
}

/// The name of a signal, `None` if there is no such signal.
pub fn signal_name(number: u64) -> Option<String> {
    match (SIGNAL.name(number), number) {
        (Some(name), _) => Some(name.to_owned()),
        (None, 32) => Some("SIGRTMIN".to_owned()),
        (None, 33..=64) => Some(format!("SIGRT_{}", number - 32)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(set: &Set, number: i64) -> String {
        let mut out = String::new();
        set.print(&mut out, number as u64);
        out
    }

    #[test]
    fn open_flags_begin_with_the_access_mode() {
        assert_eq!(shown(&OPEN, 0), "O_RDONLY");
        assert_eq!(shown(&OPEN, 0o2000002), "O_RDWR|O_CLOEXEC");
        assert_eq!(
            shown(
                &OPEN,
                i64::from(libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC)
            ),
            "O_WRONLY|O_CREAT|O_TRUNC"
        );
        assert_eq!(
            shown(&OPEN, i64::from(libc::O_DIRECTORY)),
            "O_RDONLY|O_DIRECTORY"
        );
        assert_eq!(
            shown(&OPEN, i64::from(libc::O_TMPFILE | libc::O_RDWR)),
            "O_RDWR|O_TMPFILE"
        );
        assert_eq!(shown(&OPEN, i64::from(libc::O_SYNC)), "O_RDONLY|O_SYNC");
    }

    #[test]
    fn fields_and_flags_mix() {
        assert_eq!(shown(&MAP, 0x22), "MAP_PRIVATE|MAP_ANONYMOUS");
        assert_eq!(shown(&SOCK, 0o2000001), "SOCK_STREAM|SOCK_CLOEXEC");
        assert_eq!(shown(&LOCK, 6), "LOCK_EX|LOCK_NB");
        assert_eq!(shown(&PROT, 0), "PROT_NONE");
        assert_eq!(shown(&PROT, 5), "PROT_READ|PROT_EXEC");
    }
}
