//! Clocks, sleeping and timers. All structures are the same on riscv64 and x86-64.

use super::Call;
use super::arg::Arg::{self, Fd, In, InOut, Int, Out, Set};
use super::arg::{Layout, array, one, opaque};
use crate::strace::{layouts, sets};
use crate::{Args, Errno, SysResult, Thread};

/// A sleep that a signal kept from beginning begins anew after the handler, whatever the handler's
/// `SA_RESTART` says: with `EINTR` the guest would count on a remaining time that nobody wrote.
/// (One that was interrupted is `EINTR` from the host, with the remaining time.)
fn sleep(result: SysResult) -> SysResult {
    match result {
        Err(Errno::ERESTARTSYS) => Err(Errno::ERESTARTNOINTR),
        _ => result,
    }
}

/// `nanosleep`
fn nanosleep(thread: &mut Thread, args: &Args) -> SysResult {
    let &[time, left, ..] = args;
    let mm = &thread.process.mm;
    let host = [mm.pointer(time), mm.output(left, 16), 0, 0, 0, 0];
    sleep(thread.blocking_syscall(libc::SYS_nanosleep, host))
}

/// `clock_nanosleep`
fn clock_nanosleep(thread: &mut Thread, args: &Args) -> SysResult {
    let &[clock, flags, time, left, ..] = args;
    let mm = &thread.process.mm;
    let host = [clock, flags, mm.pointer(time), mm.output(left, 16), 0, 0];
    sleep(thread.blocking_syscall(libc::SYS_clock_nanosleep, host))
}

/// `struct timex`
const TIMEX: Arg = InOut(opaque(208));
const TIME: Arg = Out(one(&layouts::TIMESPEC));
/// The number of a POSIX timer.
const TIMER_ID: Layout = layouts::INT;

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[
    Call::host(
        113,
        "clock_gettime",
        libc::SYS_clock_gettime,
        [Set(&sets::CLOCK), TIME],
    ),
    Call::host(
        112,
        "clock_settime",
        libc::SYS_clock_settime,
        [Set(&sets::CLOCK), In(one(&layouts::TIMESPEC))],
    ),
    Call::host(
        114,
        "clock_getres",
        libc::SYS_clock_getres,
        [Set(&sets::CLOCK), TIME],
    ),
    Call::own(
        115,
        "clock_nanosleep",
        clock_nanosleep,
        [
            Set(&sets::CLOCK),
            Set(&sets::TIMER_SET),
            In(one(&layouts::TIMESPEC)),
            Arg::Addr,
        ],
    ),
    Call::own(
        101,
        "nanosleep",
        nanosleep,
        [In(one(&layouts::TIMESPEC)), Arg::Addr],
    ),
    Call::host(
        169,
        "gettimeofday",
        libc::SYS_gettimeofday,
        [Out(one(&layouts::TIMEVAL)), Out(one(&layouts::TIMEZONE))],
    ),
    Call::host(
        170,
        "settimeofday",
        libc::SYS_settimeofday,
        [In(one(&layouts::TIMEVAL)), In(one(&layouts::TIMEZONE))],
    ),
    Call::host(153, "times", libc::SYS_times, [Out(one(&layouts::TMS))]),
    Call::host(171, "adjtimex", libc::SYS_adjtimex, [TIMEX]),
    Call::host(
        266,
        "clock_adjtime",
        libc::SYS_clock_adjtime,
        [Set(&sets::CLOCK), TIMEX],
    ),
    Call::host(
        102,
        "getitimer",
        libc::SYS_getitimer,
        [Set(&sets::ITIMER), Out(one(&layouts::ITIMERVAL))],
    ),
    Call::host(
        103,
        "setitimer",
        libc::SYS_setitimer,
        [
            Set(&sets::ITIMER),
            In(one(&layouts::ITIMERVAL)),
            Out(one(&layouts::ITIMERVAL)),
        ],
    ),
    Call::host(
        107,
        "timer_create",
        libc::SYS_timer_create,
        [
            Set(&sets::CLOCK),
            In(one(&layouts::SIGEVENT)),
            Out(array(&TIMER_ID, 1)),
        ],
    ),
    Call::host(
        108,
        "timer_gettime",
        libc::SYS_timer_gettime,
        [Int, Out(one(&layouts::ITIMERSPEC))],
    ),
    Call::host(109, "timer_getoverrun", libc::SYS_timer_getoverrun, [Int]),
    Call::host(
        110,
        "timer_settime",
        libc::SYS_timer_settime,
        [
            Int,
            Set(&sets::TIMER_SET),
            In(one(&layouts::ITIMERSPEC)),
            Out(one(&layouts::ITIMERSPEC)),
        ],
    ),
    Call::host(111, "timer_delete", libc::SYS_timer_delete, [Int]),
    Call::host(
        85,
        "timerfd_create",
        libc::SYS_timerfd_create,
        [Set(&sets::CLOCK), Set(&sets::TIMERFD)],
    ),
    Call::host(
        86,
        "timerfd_settime",
        libc::SYS_timerfd_settime,
        [
            Fd,
            Set(&sets::TIMERFD_SET),
            In(one(&layouts::ITIMERSPEC)),
            Out(one(&layouts::ITIMERSPEC)),
        ],
    ),
    Call::host(
        87,
        "timerfd_gettime",
        libc::SYS_timerfd_gettime,
        [Fd, Out(one(&layouts::ITIMERSPEC))],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_that_did_not_begin_begins_anew() {
        assert_eq!(sleep(Err(Errno::ERESTARTSYS)), Err(Errno::ERESTARTNOINTR));
        assert_eq!(sleep(Err(Errno::EINTR)), Err(Errno::EINTR));
        assert_eq!(sleep(Ok(0)), Ok(0));
    }
}
