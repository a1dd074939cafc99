//! Scheduling. Guest threads are host threads, so all of it is the host's.

use super::Call;
use super::arg::Arg::{self, Addr, In, Int, Out, Set, Size};
use super::arg::{Data, Len, array, one, opaque, raw, special};
use crate::Args;
use crate::strace::line::Line;
use crate::strace::{layouts, sets};

/// `[0 1 5]`
fn cpus(line: &mut Line<'_>, addr: u64, args: &Args, result: Option<u64>) {
    let len = result.unwrap_or(args[1]).min(128) as usize;
    let mut set = vec![0; len];
    if addr == 0 || line.mm.read(addr, &mut set).is_err() {
        return line.address(addr);
    }
    line.put("[");
    let mut first = true;
    for cpu in (0..len * 8).filter(|cpu| set[cpu / 8] >> (cpu % 8) & 1 != 0) {
        if !std::mem::take(&mut first) {
            line.put(" ");
        }
        line.unsigned(cpu as u64);
    }
    line.put("]");
}

const CPUS: Data = special(Len::Arg(1), cpus);
const NUMBER: Arg = Out(array(&layouts::UINT, 1));

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[
    Call::host(
        118,
        "sched_setparam",
        libc::SYS_sched_setparam,
        [Int, In(one(&layouts::SCHED_PARAM))],
    ),
    Call::host(
        119,
        "sched_setscheduler",
        libc::SYS_sched_setscheduler,
        [Int, Set(&sets::SCHED), In(one(&layouts::SCHED_PARAM))],
    ),
    Call::host(
        120,
        "sched_getscheduler",
        libc::SYS_sched_getscheduler,
        [Int],
    ),
    Call::host(
        121,
        "sched_getparam",
        libc::SYS_sched_getparam,
        [Int, Out(one(&layouts::SCHED_PARAM))],
    ),
    Call::host(
        122,
        "sched_setaffinity",
        libc::SYS_sched_setaffinity,
        [Int, Size, In(CPUS)],
    ),
    Call::host(
        123,
        "sched_getaffinity",
        libc::SYS_sched_getaffinity,
        [Int, Size, Out(CPUS)],
    ),
    // Others may run meanwhile: long enough not to hold up a grace period.
    Call::blocking(124, "sched_yield", libc::SYS_sched_yield, []),
    Call::host(
        125,
        "sched_get_priority_max",
        libc::SYS_sched_get_priority_max,
        [Set(&sets::SCHED)],
    ),
    Call::host(
        126,
        "sched_get_priority_min",
        libc::SYS_sched_get_priority_min,
        [Set(&sets::SCHED)],
    ),
    Call::host(
        127,
        "sched_rr_get_interval",
        libc::SYS_sched_rr_get_interval,
        [Int, Out(one(&layouts::TIMESPEC))],
    ),
    // A `struct sched_attr` begins with its size, and that is never more than a page.
    Call::host(
        274,
        "sched_setattr",
        libc::SYS_sched_setattr,
        [Int, In(opaque(4096)), Int],
    ),
    Call::host(
        275,
        "sched_getattr",
        libc::SYS_sched_getattr,
        [Int, Out(raw(2)), Int, Int],
    ),
    Call::host(
        140,
        "setpriority",
        libc::SYS_setpriority,
        [Set(&sets::PRIO), Int, Int],
    ),
    Call::host(
        141,
        "getpriority",
        libc::SYS_getpriority,
        [Set(&sets::PRIO), Int],
    ),
    Call::host(30, "ioprio_set", libc::SYS_ioprio_set, [Int, Int, Int]),
    Call::host(31, "ioprio_get", libc::SYS_ioprio_get, [Int, Int]),
    Call::host(168, "getcpu", libc::SYS_getcpu, [NUMBER, NUMBER, Addr]),
];
