//! What the guest learns about the system, its limits and itself.

use super::arg::Arg::{self, Before, Hex, In, Int, Out, Set, Size};
use super::arg::{Layout, Len, bytes, one, special, text};
use super::{Call, host};
use crate::copy::plain;
use crate::strace::line::Line;
use crate::strace::{layouts, sets};
use crate::{Args, Errno, SysResult, Thread};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of each string of `uname`.
const NAME: usize = 65;
/// Where the machine's name is: after system, node, release and version.
const MACHINE: usize = 4 * NAME;

/// `uname`: the host's, on another machine.
fn uname(thread: &mut Thread, args: &Args) -> SysResult {
    let mut names = [0_u8; 6 * NAME];
    host::call(libc::SYS_uname, [names.as_mut_ptr() as u64, 0, 0, 0, 0, 0])?;
    let machine = b"riscv64";
    names[MACHINE..][..NAME].fill(0);
    names[MACHINE..][..machine.len()].copy_from_slice(machine);
    thread.process.mm.write(args[0], &names)?;
    Ok(0)
}

plain! {
    /// `struct rlimit64`
    struct Limit {
        current: u64,
        most: u64,
    }
}

/// Limits on memory that the guest has set. They are remembered but not imposed on the host
/// process, whose address space, data and stack are also hartscope's own.
pub(super) struct MemoryLimits {
    /// Current and most, of `RLIMIT_DATA`, `RLIMIT_STACK` and `RLIMIT_AS`; [`MemoryLimits::UNSET`]
    /// where the host's is still the one.
    values: [[AtomicU64; 2]; 3],
}

impl MemoryLimits {
    /// Not a limit that anybody sets.
    const UNSET: u64 = u64::MAX - 1;

    /// Nothing set.
    pub(super) const fn new() -> MemoryLimits {
        MemoryLimits {
            values: [const { [const { AtomicU64::new(MemoryLimits::UNSET) }; 2] }; 3],
        }
    }

    fn slot(&self, resource: u32) -> Option<&[AtomicU64; 2]> {
        match resource {
            libc::RLIMIT_DATA => self.values.first(),
            libc::RLIMIT_STACK => self.values.get(1),
            libc::RLIMIT_AS => self.values.get(2),
            _ => None,
        }
    }
}

fn host_limit(pid: u64, resource: u64) -> Result<Limit, Errno> {
    let mut limit = Limit {
        current: 0,
        most: 0,
    };
    let pointer = &raw mut limit as u64;
    host::call(libc::SYS_prlimit64, [pid, resource, 0, pointer, 0, 0])?;
    Ok(limit)
}

/// Reads and sets one of the limits that are only remembered.
fn memory_limit(slot: &[AtomicU64; 2], resource: u64, new: Option<Limit>) -> Result<Limit, Errno> {
    let [current, most] = slot.each_ref().map(|value| value.load(Ordering::Relaxed));
    let old = if current == MemoryLimits::UNSET {
        host_limit(0, resource)?
    } else {
        Limit { current, most }
    };
    if let Some(new) = new {
        if new.current > new.most {
            return Err(Errno::EINVAL);
        }
        // SAFETY: returns a number.
        if new.most > old.most && unsafe { libc::geteuid() } != 0 {
            return Err(Errno::EPERM);
        }
        slot[1].store(new.most, Ordering::Relaxed);
        slot[0].store(new.current, Ordering::Relaxed);
    }
    Ok(old)
}

/// `prlimit64`
fn prlimit64(thread: &mut Thread, args: &Args) -> SysResult {
    let &[pid, resource, new, old, ..] = args;
    let mm = &thread.process.mm;
    let limits = &thread.process.syscalls.limits;
    let myself = pid as u32 == 0 || pid as u32 == std::process::id();
    match limits.slot(resource as u32) {
        Some(slot) if myself => {
            let new = mm.read_optional::<Limit>(new)?;
            let before = memory_limit(slot, resource, new)?;
            if old != 0 {
                mm.write_struct(old, &before)?;
            }
            Ok(0)
        }
        _ => {
            let (new, old) = (mm.pointer(new), mm.output(old, 16));
            host::call(libc::SYS_prlimit64, [pid, resource, new, old, 0, 0])
        }
    }
}

/// `getrlimit`: NULL is no place for the answer.
fn getrlimit(thread: &mut Thread, args: &Args) -> SysResult {
    if args[1] == 0 {
        return Err(Errno::EFAULT);
    }
    prlimit64(thread, &[0, args[0], 0, args[1], 0, 0])
}

/// `setrlimit`
fn setrlimit(thread: &mut Thread, args: &Args) -> SysResult {
    if args[1] == 0 {
        return Err(Errno::EFAULT);
    }
    prlimit64(thread, &[0, args[0], args[1], 0, 0, 0])
}

/// `personality`: remembered. The host's stays as it is: its bits would change how hartscope
/// itself is mapped.
fn personality(thread: &mut Thread, args: &Args) -> SysResult {
    const ASK: u64 = 0xffff_ffff;
    let personality = &thread.process.syscalls.personality;
    match args[0] & 0xffff_ffff {
        ASK => Ok(personality.load(Ordering::Relaxed)),
        new => Ok(personality.swap(new, Ordering::Relaxed)),
    }
}

const PR_RISCV_SET_ICACHE_FLUSH_CTX: i32 = 71;

/// What a `prctl` option does with its second argument.
enum Option2 {
    /// A number, or nothing.
    Value,
    /// Reads a string.
    Input,
    /// Writes so many bytes.
    Output(u64),
    /// The option is not there.
    Missing,
}

fn option(number: i32) -> Option2 {
    match number {
        libc::PR_SET_PDEATHSIG
        | libc::PR_GET_DUMPABLE
        | libc::PR_SET_DUMPABLE
        | libc::PR_GET_KEEPCAPS
        | libc::PR_SET_KEEPCAPS
        | libc::PR_GET_TIMING
        | libc::PR_SET_TIMING
        | libc::PR_CAPBSET_READ
        | libc::PR_CAPBSET_DROP
        | libc::PR_GET_SECUREBITS
        | libc::PR_SET_SECUREBITS
        | libc::PR_SET_TIMERSLACK
        | libc::PR_GET_TIMERSLACK
        | libc::PR_MCE_KILL
        | libc::PR_MCE_KILL_GET
        | libc::PR_SET_CHILD_SUBREAPER
        | libc::PR_SET_NO_NEW_PRIVS
        | libc::PR_GET_NO_NEW_PRIVS
        | libc::PR_SET_THP_DISABLE
        | libc::PR_GET_THP_DISABLE
        | libc::PR_CAP_AMBIENT
        | libc::PR_SET_PTRACER
        | libc::PR_GET_SECCOMP => Option2::Value,
        libc::PR_SET_NAME => Option2::Input,
        libc::PR_GET_NAME => Option2::Output(16),
        libc::PR_GET_PDEATHSIG | libc::PR_GET_CHILD_SUBREAPER => Option2::Output(4),
        // Seccomp filters would see the host's calls, and the vector options need vectors.
        _ => Option2::Missing,
    }
}

/// `prctl`
fn prctl(thread: &mut Thread, args: &Args) -> SysResult {
    let &[number, second, third, fourth, fifth, _] = args;
    let mm = &thread.process.mm;
    match number as i32 {
        // `fence.i` reaches all harts here, always: any setting is already in force.
        PR_RISCV_SET_ICACHE_FLUSH_CTX if second <= 1 && third <= 1 => return Ok(0),
        libc::PR_GET_TID_ADDRESS => {
            mm.write_struct(second, &thread.clear_child_tid)?;
            return Ok(0);
        }
        _ => {}
    }
    let second = match option(number as i32) {
        Option2::Value => second,
        Option2::Input => mm.pointer(second),
        Option2::Output(len) => mm.output(second, len),
        Option2::Missing => return Err(Errno::EINVAL),
    };
    host::call(libc::SYS_prctl, [number, second, third, fourth, fifth, 0])
}

/// `membarrier`: guest threads are host threads, so the host's barriers are the guest's. Those for
/// restartable sequences are not there, as these are not.
fn membarrier(thread: &mut Thread, args: &Args) -> SysResult {
    const QUERY: u64 = 0;
    const RSEQ: u64 = 1 << 7 | 1 << 8;
    let &[command, flags, cpu, ..] = args;
    if command & RSEQ != 0 {
        return Err(Errno::EINVAL);
    }
    let result = thread.blocking_syscall(libc::SYS_membarrier, [command, flags, cpu, 0, 0, 0])?;
    Ok(if command == QUERY {
        result & !RSEQ
    } else {
        result
    })
}

/// `rseq`: refused, as by kernels before 4.18, which every C library copes with. The kernel would
/// have to move the guest's pc when it preempts or migrates the thread, and it knows only the
/// host's.
fn rseq(_thread: &mut Thread, _args: &Args) -> SysResult {
    Err(Errno::ENOSYS)
}

/// Random bytes read best as numbers.
fn random(line: &mut Line<'_>, addr: u64, _: &Args, result: Option<u64>) {
    const MOST: u64 = 32;
    let len = result.unwrap_or(0);
    let mut bytes = vec![0; len.min(MOST) as usize];
    if line.mm.read(addr, &mut bytes).is_err() {
        return line.address(addr);
    }
    line.put("\"");
    for byte in bytes {
        line.fmt(format_args!("\\x{byte:02x}"));
    }
    line.put(if len > MOST { "\"..." } else { "\"" });
}

fn shown(line: &mut Line<'_>, value: u64, args: &Args, result: Option<u64>) {
    match (args[0] as i32, option(args[0] as i32)) {
        (libc::PR_SET_PDEATHSIG, _) => line.signal(value & 0xffff_ffff),
        (libc::PR_SET_NAME, _) => line.c_string(value),
        (libc::PR_GET_NAME, _) if result.is_some() => line.c_string(value),
        (libc::PR_SET_DUMPABLE, _) if value == 0 => line.put("SUID_DUMP_DISABLE"),
        (libc::PR_SET_DUMPABLE, _) if value == 1 => line.put("SUID_DUMP_USER"),
        (libc::PR_GET_DUMPABLE | libc::PR_GET_KEEPCAPS | libc::PR_GET_SECUREBITS, _) => {}
        (_, Option2::Value) => line.unsigned(value),
        _ => line.hex(value),
    }
}

/// The arguments that only some options have.
fn more(line: &mut Line<'_>, value: u64, args: &Args, _: Option<u64>) {
    match (args[0] as i32, option(args[0] as i32)) {
        (libc::PR_SET_NO_NEW_PRIVS | libc::PR_GET_NO_NEW_PRIVS, _)
        | (libc::PR_CAP_AMBIENT | libc::PR_SET_THP_DISABLE | libc::PR_GET_THP_DISABLE, _) => {
            line.unsigned(value);
        }
        (_, Option2::Missing) => line.hex(value),
        _ => {}
    }
}

const LIMIT: &Layout = &layouts::RLIMIT;

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[
    Call::own(160, "uname", uname, [Out(one(&layouts::UTSNAME))]),
    Call::host(
        161,
        "sethostname",
        libc::SYS_sethostname,
        [In(bytes(1)), Size],
    ),
    Call::host(
        162,
        "setdomainname",
        libc::SYS_setdomainname,
        [In(bytes(1)), Size],
    ),
    Call::host(
        179,
        "sysinfo",
        libc::SYS_sysinfo,
        [Out(one(&layouts::SYSINFO))],
    ),
    Call::own(
        163,
        "getrlimit",
        getrlimit,
        [Set(&sets::RLIMIT), Out(one(LIMIT))],
    ),
    Call::own(
        164,
        "setrlimit",
        setrlimit,
        [Set(&sets::RLIMIT), In(one(LIMIT))],
    ),
    Call::own(
        261,
        "prlimit64",
        prlimit64,
        [Int, Set(&sets::RLIMIT), In(one(LIMIT)), Out(one(LIMIT))],
    ),
    Call::host(
        165,
        "getrusage",
        libc::SYS_getrusage,
        [Set(&sets::RUSAGE), Out(one(&layouts::RUSAGE))],
    ),
    Call::own(92, "personality", personality, [Hex]),
    Call::own(
        167,
        "prctl",
        prctl,
        [
            Set(&sets::PRCTL),
            Arg::After(shown),
            Before(more),
            Before(more),
            Before(more),
        ],
    ),
    Call::own(283, "membarrier", membarrier, [Set(&sets::MEMBARRIER), Int]),
    Call::own(293, "rseq", rseq, [Arg::Addr, Hex, Hex, Hex]),
    Call::blocking(
        278,
        "getrandom",
        libc::SYS_getrandom,
        [
            Out(special(Len::Arg(1), random)),
            Size,
            Set(&sets::GETRANDOM),
        ],
    ),
    Call::blocking(116, "syslog", libc::SYS_syslog, [Int, Out(text(2)), Int]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_limits_are_remembered_and_not_imposed() {
        let limits = MemoryLimits::new();
        let resource = u64::from(libc::RLIMIT_AS);
        let slot = limits.slot(libc::RLIMIT_AS).expect("kept here");
        let host = host_limit(0, resource);
        let new = Limit {
            current: 1 << 20,
            most: 1 << 30,
        };
        assert_eq!(memory_limit(slot, resource, Some(new)), host);
        assert_eq!(memory_limit(slot, resource, None), Ok(new));
        assert_eq!(host_limit(0, resource), host);
        let bad = Limit {
            current: 2,
            most: 1,
        };
        assert_eq!(memory_limit(slot, resource, Some(bad)), Err(Errno::EINVAL));
        assert!(limits.slot(libc::RLIMIT_NOFILE).is_none());
    }
}
