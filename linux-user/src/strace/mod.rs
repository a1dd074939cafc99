//! `--strace`: system calls, signals and exits, printed as strace prints them.
//!
//! Rules:
//!
//! 1. A line goes out in one `write`, when the call has returned: lines of different threads do
//!    not mix. There is no lock, so that a `fork` at any time leaves nothing behind.
//! 2. What a call reads is formatted before it runs, what it writes afterwards.
//! 3. A call that does not return (`exit`) is printed before it runs, with `= ?`.
//! 4. Lines go to a descriptor of our own: what the guest does with its standard error does not
//!    matter.

pub mod layouts;
pub mod line;
pub mod set;
pub mod sets;
pub mod socket;

use crate::syscall::arg::{Arg, Data, Len, Show};
use crate::syscall::{Call, Ret};
use crate::{Args, Errno, SysResult};
use line::Line;
use std::sync::atomic::{AtomicBool, Ordering};

/// Column of the `=`.
const RESULT_COLUMN: usize = 40;

/// Where lines go, and with which prefix.
#[derive(Debug)]
pub struct Log {
    /// A descriptor that the guest cannot reach.
    fd: i32,
    /// Whether lines begin with who made the call. Stays on once there were two.
    several: AtomicBool,
}

impl Log {
    /// A log to `fd`, which stays open for ever.
    pub fn new(fd: i32) -> Log {
        Log {
            fd,
            several: AtomicBool::new(false),
        }
    }

    /// To be called before a second thread or process begins.
    pub fn expect_several(&self) {
        self.several.store(true, Ordering::Relaxed);
    }

    /// What lines of a thread begin with.
    pub fn prefix(&self, tid: i32) -> String {
        match self.several.load(Ordering::Relaxed) {
            true => format!("[pid {tid:5}] "),
            false => String::new(),
        }
    }

    /// Writes one line.
    pub fn write(&self, line: &str) {
        let line = format!("{line}\n");
        // SAFETY: the bytes are alive for the call. A line that cannot be written is lost.
        unsafe { libc::write(self.fd, line.as_ptr().cast(), line.len()) };
    }

    /// Prints the delivery of a signal, with its `siginfo_t` (the layout is the same on the host).
    pub fn signal(&self, tid: i32, info: &[u8; 128]) {
        self.write(&(self.prefix(tid) + &signal_text(info)));
    }

    /// Prints the end of a process, by `exit` or a deadly signal.
    pub fn ended(&self, tid: i32, status: crate::ExitStatus) {
        let text = match status {
            crate::ExitStatus::Exited(code) => format!("+++ exited with {code} +++"),
            crate::ExitStatus::Signaled(number) => {
                format!("+++ killed by {} +++", signal(i64::from(number)))
            }
        };
        self.write(&(self.prefix(tid) + &text));
    }
}

/// What the numbers that a call will change were before it, by argument.
#[derive(Clone, Copy, Debug)]
pub struct Before([u64; 6]);

/// Begins the line of a call: its name and the arguments that are known before it runs.
pub fn enter(line: &mut Line<'_>, call: &Call, args: &Args) -> Before {
    line.put(call.name);
    line.put("(");
    let mut before = Before([0; 6]);
    for ((arg, &value), before) in call.args().iter().zip(args).zip(&mut before.0) {
        *before = match arg {
            Arg::InOut(data) => number(line, data, value),
            _ => 0,
        };
    }
    arguments(line, call, args, 0..known(call), Outcome::Pending);
    before
}

/// Ends the line: the other arguments and the result.
pub fn leave(line: &mut Line<'_>, call: &Call, args: &Args, before: Before, result: SysResult) {
    let outcome = Outcome::Done(result.ok(), before);
    arguments(line, call, args, known(call)..call.args().len(), outcome);
    line.put(") ");
    line.pad_to(RESULT_COLUMN);
    line.put("= ");
    match result {
        Ok(value) => returned(line, call, args, value),
        Err(errno) if errno.is_restart() => line.fmt(format_args!("? {errno}")),
        Err(errno) => line.fmt(format_args!("-1 {errno}")),
    }
}

/// Ends the line of a call that does not return.
pub fn leave_for_ever(line: &mut Line<'_>) {
    line.put(") ");
    line.pad_to(RESULT_COLUMN);
    line.put("= ?");
}

/// The whole line of a call that Linux does not have.
pub fn unknown(line: &mut Line<'_>, number: u64, args: &Args) {
    line.fmt(format_args!("syscall_{number:#x}("));
    line.separated(args, |line, arg| line.hex(*arg));
    line.put(") ");
    line.pad_to(RESULT_COLUMN);
    line.fmt(format_args!("= -1 {}", Errno::ENOSYS));
}

fn returned(line: &mut Line<'_>, call: &Call, args: &Args, value: u64) {
    match call.ret {
        Ret::Number => line.signed(value as i64),
        Ret::Address => line.fmt(format_args!("{value:#x}")),
        Ret::Octal => line.octal(value),
        Ret::Never => line.put("?"),
        Ret::Special(show) => show(line, value, args, Some(value)),
    }
}

/// How many arguments are known before the call.
fn known(call: &Call) -> usize {
    let inputs = call.args().iter().take_while(|arg| !arg.is_output());
    inputs.count()
}

/// Where a call stands while its arguments are printed.
#[derive(Clone, Copy)]
enum Outcome {
    /// It has not run.
    Pending,
    /// It has, with a result unless it failed.
    Done(Option<u64>, Before),
}

impl Outcome {
    fn result(self) -> Option<u64> {
        match self {
            Outcome::Pending => None,
            Outcome::Done(result, _) => result,
        }
    }

    fn before(self, index: usize) -> u64 {
        match self {
            Outcome::Pending => 0,
            Outcome::Done(_, before) => before.0[index],
        }
    }
}

/// The number behind a pointer, for data that is one.
fn number(line: &Line<'_>, data: &Data, addr: u64) -> u64 {
    match data.show {
        Show::Length => line.mm.read_u32(addr).map_or(0, u64::from),
        Show::Offset => line.mm.read_u64(addr).unwrap_or(0),
        _ => 0,
    }
}

fn arguments(
    line: &mut Line<'_>,
    call: &Call,
    args: &Args,
    which: std::ops::Range<usize>,
    outcome: Outcome,
) {
    for i in which {
        let Some(arg) = call.args().get(i) else {
            return;
        };
        let before = line.text().len();
        if i > 0 {
            line.put(", ");
        }
        let begun = line.text().len();
        argument(line, arg, i, args, outcome);
        // An argument that does not count in this call prints nothing.
        if line.text().len() == begun {
            line.cut(before);
        }
    }
}

fn argument(line: &mut Line<'_>, arg: &Arg, index: usize, args: &Args, outcome: Outcome) {
    let (value, result) = (args[index], outcome.result());
    match arg {
        Arg::Fd | Arg::Int => line.signed(i64::from(value as i32)),
        Arg::At if value as i32 == libc::AT_FDCWD => line.put("AT_FDCWD"),
        Arg::At => line.signed(i64::from(value as i32)),
        Arg::Long => line.signed(value as i64),
        Arg::Size => line.unsigned(value),
        Arg::Hex => line.hex(value),
        Arg::Mode => line.octal(value & 0xffff_ffff),
        Arg::FileMode => line.file_mode(value & 0xffff_ffff),
        Arg::Signal => line.signal(value & 0xffff_ffff),
        Arg::Set(set) => line.set(set, value),
        Arg::Addr => line.address(value),
        Arg::Path | Arg::Lookup | Arg::Text => line.c_string(value),
        Arg::Before(show) | Arg::After(show) => show(line, value, args, result),
        Arg::In(data) => memory(line, data, value, args, None),
        // A failed call has written nothing that could be trusted.
        Arg::Out(_) if result.is_none() => line.address(value),
        Arg::Out(data) => memory(line, data, value, args, result),
        Arg::InOut(data) => match data.show {
            Show::Length | Show::Offset if value == 0 => line.put("NULL"),
            Show::Length => {
                let (before, after) = (outcome.before(index), number(line, data, value));
                match before == after || result.is_none() {
                    true => line.fmt(format_args!("[{before}]")),
                    false => line.fmt(format_args!("[{before} => {after}]")),
                }
            }
            Show::Offset => {
                let (before, after) = (outcome.before(index), number(line, data, value));
                line.fmt(format_args!("[{}]", before as i64));
                if before != after {
                    line.fmt(format_args!(" => [{}]", after as i64));
                }
            }
            Show::Special(show) => show(line, value, args, result),
            _ => memory(line, data, value, args, None),
        },
    }
}

/// Prints the memory at `addr`: `result` of it for outputs whose result counts what was written.
fn memory(line: &mut Line<'_>, data: &Data, addr: u64, args: &Args, result: Option<u64>) {
    let count = |len| match result {
        Some(written) => written.min(len),
        None => len,
    };
    match (data.show, data.len) {
        (Show::Address | Show::Length | Show::Offset, _) => line.address(addr),
        (Show::Special(show), _) => show(line, addr, args, result),
        (Show::Text, _) => line.c_string(addr),
        (Show::Bytes, len) => line.memory(addr, count(length(line, len, args))),
        (Show::List(layout), Len::Fixed(bytes)) => {
            let count = u64::from(bytes / layout.size);
            line.list(addr, count, layout.size as usize, layout.show);
        }
        (Show::List(layout), len) => {
            let count = count(length(line, len, args) / u64::from(layout.size));
            line.list(addr, count, layout.size as usize, layout.show);
        }
        (Show::Struct(show), len) => {
            let mut bytes = vec![0; length(line, len, args).min(4096) as usize];
            match addr {
                0 => line.put("NULL"),
                _ if line.mm.read(addr, &mut bytes).is_err() => line.address(addr),
                _ => show(line, &bytes),
            }
        }
    }
}

/// The length of what is behind a pointer, in bytes.
fn length(line: &Line<'_>, len: Len, args: &Args) -> u64 {
    match len {
        Len::Fixed(bytes) => u64::from(bytes),
        Len::Arg(n) => args[usize::from(n)],
        Len::Items(n, size) => (args[usize::from(n)] & 0xffff_ffff) * u64::from(size),
        Len::Behind(n) => line.mm.read_u32(args[usize::from(n)]).map_or(0, u64::from),
    }
}

/// A signal's name, or its number.
fn signal(number: i64) -> String {
    sets::signal_name(number as u64).unwrap_or_else(|| number.to_string())
}

/// `--- SIGSEGV {si_signo=SIGSEGV, …} ---`
fn signal_text(info: &[u8; 128]) -> String {
    use layouts::{i32_at, u32_at, u64_at};
    let (number, code) = (i32_at(info, 0), i32_at(info, 8));
    let mut text = format!("--- {0} {{si_signo={0}, si_code=", signal(number));
    text.push_str(&code_name(number as i32, code as i32));
    let sender = format!(", si_pid={}, si_uid={}", i32_at(info, 16), u32_at(info, 20));
    match (number as i32, code as i32) {
        (_, libc::SI_USER | libc::SI_TKILL) => text.push_str(&sender),
        (_, libc::SI_QUEUE) => {
            let (int, pointer) = (i32_at(info, 24), u64_at(info, 24));
            text.push_str(&format!(
                "{sender}, si_value={{sival_int={int}, sival_ptr={pointer:#x}}}"
            ));
        }
        (_, libc::SI_TIMER) => {
            let (id, overrun) = (i32_at(info, 16), i32_at(info, 20));
            text.push_str(&format!(", si_timerid={id:#x}, si_overrun={overrun}"));
        }
        (libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGTRAP, 1..) => {
            match u64_at(info, 16) {
                0 => text.push_str(", si_addr=NULL"),
                addr => text.push_str(&format!(", si_addr={addr:#x}")),
            }
        }
        (libc::SIGCHLD, 1..) => {
            let status = i32_at(info, 24);
            let status = match code {
                1 => status.to_string(),
                _ => signal(status),
            };
            let (user, system) = (u64_at(info, 32), u64_at(info, 40));
            text.push_str(&format!(
                "{sender}, si_status={status}, si_utime={user}, si_stime={system}"
            ));
        }
        _ => {}
    }
    text.push_str("} ---");
    text
}

fn code_name(number: i32, code: i32) -> String {
    let of_signal: &[&str] = match number {
        libc::SIGSEGV => &["SEGV_MAPERR", "SEGV_ACCERR"],
        libc::SIGBUS => &["BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR"],
        libc::SIGILL => &[
            "ILL_ILLOPC",
            "ILL_ILLOPN",
            "ILL_ILLADR",
            "ILL_ILLTRP",
            "ILL_PRVOPC",
        ],
        libc::SIGFPE => &["FPE_INTDIV", "FPE_INTOVF", "FPE_FLTDIV"],
        libc::SIGTRAP => &["TRAP_BRKPT", "TRAP_TRACE"],
        libc::SIGCHLD => &[
            "CLD_EXITED",
            "CLD_KILLED",
            "CLD_DUMPED",
            "CLD_TRAPPED",
            "CLD_STOPPED",
            "CLD_CONTINUED",
        ],
        _ => &[],
    };
    let specific = usize::try_from(code)
        .ok()
        .and_then(|code| code.checked_sub(1));
    if let Some(name) = specific.and_then(|index| of_signal.get(index)) {
        return (*name).to_owned();
    }
    match code {
        libc::SI_USER => "SI_USER".to_owned(),
        libc::SI_KERNEL => "SI_KERNEL".to_owned(),
        libc::SI_QUEUE => "SI_QUEUE".to_owned(),
        libc::SI_TIMER => "SI_TIMER".to_owned(),
        libc::SI_MESGQ => "SI_MESGQ".to_owned(),
        libc::SI_ASYNCIO => "SI_ASYNCIO".to_owned(),
        libc::SI_TKILL => "SI_TKILL".to_owned(),
        _ => format!("{code:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::AddressSpace;
    use crate::syscall::find;

    fn traced(number: u64, args: Args, result: SysResult) -> String {
        let mm = AddressSpace::new().expect("reserving the window");
        let mut line = Line::new(&mm);
        let call = find(number).expect("a call of the table");
        let before = enter(&mut line, call, &args);
        leave(&mut line, call, &args, before, result);
        line.text().to_owned()
    }

    #[test]
    fn calls_look_as_in_strace() {
        let at_cwd = libc::AT_FDCWD as u64;
        assert_eq!(
            traced(56, [at_cwd, 0, 0o2000000, 0, 0, 0], Err(Errno::EFAULT)),
            "openat(AT_FDCWD, NULL, O_RDONLY|O_CLOEXEC) = -1 EFAULT (Bad address)"
        );
        assert_eq!(
            traced(62, [3, -1_i64 as u64, 2, 0, 0, 0], Ok(41)),
            "lseek(3, -1, SEEK_END)                  = 41"
        );
        assert_eq!(
            traced(63, [0, 0x1000, 10, 0, 0, 0], Err(Errno::ERESTARTSYS)),
            "read(0, 0x1000, 10)                     \
             = ? ERESTARTSYS (To be restarted if SA_RESTART is set)"
        );
        assert_eq!(
            traced(214, [0; 6], Ok(0x12000)),
            "brk(NULL)                               = 0x12000"
        );
    }

    #[test]
    fn a_call_that_ends_the_thread_has_no_result() {
        let mm = AddressSpace::new().expect("reserving the window");
        let mut line = Line::new(&mm);
        enter(
            &mut line,
            find(94).expect("exit_group"),
            &[3, 0, 0, 0, 0, 0],
        );
        leave_for_ever(&mut line);
        assert_eq!(line.text(), "exit_group(3)                           = ?");
    }

    #[test]
    fn signals_show_their_origin() {
        let mut info = [0; 128];
        info[0] = 11;
        info[8] = 1;
        info[16] = 0x10;
        assert_eq!(
            signal_text(&info),
            "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x10} ---"
        );
        let mut info = [0; 128];
        info[0] = 10;
        info[8..12].copy_from_slice(&(-6_i32).to_le_bytes());
        info[16] = 77;
        assert_eq!(
            signal_text(&info),
            "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_TKILL, si_pid=77, si_uid=0} ---"
        );
    }
}
