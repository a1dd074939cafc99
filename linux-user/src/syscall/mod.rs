//! System calls: the table, and the way from an `ecall` to a result.
//!
//! Rules:
//!
//! 1. One row per call ([`Call`]): number, name, arguments, handler. Rows stand in the file of
//!    their topic, next to their handlers; [`TOPICS`] lists the files.
//! 2. What the host kernel does in the same way, on the same structures, it does on guest memory
//!    itself: [`Run::Host`] and [`Run::Blocking`] rows have no handler. The pointers among the
//!    arguments are known from the row.
//! 3. Whatever can take long is `Blocking`, or goes through [`Thread::blocking_syscall`].
//! 4. Interrupted calls give what the host kernel gave: `ERESTARTSYS` if they may be restarted,
//!    `EINTR` if not. Signal delivery does the rest.

pub mod arg;
mod dir;
mod fd;
mod host;
mod hwprobe;
mod ids;
mod info;
mod io;
mod ioctl;
mod ipc;
pub mod own_fds;
pub(crate) mod path;
mod poll;
mod sched;
mod socket;
mod stat;
mod task;
mod tasks;
mod time;

use crate::plugins::calls::{self, Request};
use crate::strace::line::Line;
use crate::strace::{self, Log};
use crate::{Args, Errno, ExitStatus, Options, SysResult, Thread};
use arg::{Arg, Special};
use std::sync::atomic::{AtomicU64, Ordering};

/// A system call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its number: asm-generic, with riscv64's own from 244 on.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// What its result is.
    pub ret: Ret,
    /// Who does it.
    pub run: Run,
    args: [Arg; 6],
    arg_count: usize,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug)]
pub enum Ret {
    /// A number.
    Number,
    /// An address.
    Address,
    /// Permission bits.
    Octal,
    /// There is none: the call ends the thread.
    Never,
    /// With an explanation.
    Special(Special),
}

/// Handles a system call.
pub type Handler = fn(&mut Thread, &Args) -> SysResult;

/// Who does a call.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// The host's call of this number, which does not wait for anything.
    Host(i64),
    /// The host's call of this number, which may block.
    Blocking(i64),
    /// We.
    Own(Handler),
}

impl Call {
    /// A call that the host does, at once.
    const fn host<const N: usize>(
        number: u16,
        name: &'static str,
        host: i64,
        args: [Arg; N],
    ) -> Call {
        Call::new(number, name, Run::Host(host), args)
    }

    /// A call that the host does, and that may block.
    const fn blocking<const N: usize>(
        number: u16,
        name: &'static str,
        host: i64,
        args: [Arg; N],
    ) -> Call {
        Call::new(number, name, Run::Blocking(host), args)
    }

    /// A call with a handler.
    const fn own<const N: usize>(
        number: u16,
        name: &'static str,
        run: Handler,
        args: [Arg; N],
    ) -> Call {
        Call::new(number, name, Run::Own(run), args)
    }

    const fn new<const N: usize>(
        number: u16,
        name: &'static str,
        run: Run,
        args: [Arg; N],
    ) -> Call {
        let mut all = [Arg::Int; 6];
        let mut i = 0;
        while i < N {
            all[i] = args[i];
            i += 1;
        }
        Call {
            number,
            name,
            ret: Ret::Number,
            run,
            args: all,
            arg_count: N,
        }
    }

    /// What its arguments are.
    pub fn args(&self) -> &[Arg] {
        &self.args[..self.arg_count]
    }

    /// The same with another kind of result.
    const fn returns(self, ret: Ret) -> Call {
        Call { ret, ..self }
    }

    fn run(&self, thread: &mut Thread, args: &Args) -> SysResult {
        match self.run {
            Run::Own(handler) => handler(thread, args),
            Run::Host(number) => {
                let ready = host::Ready::new(thread, self, args)?;
                host::call(number, *ready.args())
            }
            Run::Blocking(number) => {
                let ready = host::Ready::new(thread, self, args)?;
                thread.blocking_syscall(number, *ready.args())
            }
        }
    }
}

/// The rows, by topic.
const TOPICS: &[&[Call]] = &[
    dir::CALLS,
    fd::CALLS,
    hwprobe::CALLS,
    ids::CALLS,
    info::CALLS,
    io::CALLS,
    ioctl::CALLS,
    ipc::CALLS,
    poll::CALLS,
    sched::CALLS,
    socket::CALLS,
    stat::CALLS,
    task::MEMORY,
    task::SIGNALS,
    task::TASKS,
    time::CALLS,
];

/// One more than the highest number in the table.
const NUMBERS: usize = 512;

/// By number.
static TABLE: [Option<&'static Call>; NUMBERS] = {
    let mut table: [Option<&'static Call>; NUMBERS] = [None; NUMBERS];
    let mut topic = 0;
    while topic < TOPICS.len() {
        let mut row = 0;
        while row < TOPICS[topic].len() {
            let call = &TOPICS[topic][row];
            assert!(
                table[call.number as usize].is_none(),
                "two rows of one number"
            );
            table[call.number as usize] = Some(call);
            row += 1;
        }
        topic += 1;
    }
    table
};

/// The call whose arguments are on the stack.
const RT_SIGRETURN: u16 = 139;

/// The call of that number.
pub fn find(number: u64) -> Option<&'static Call> {
    *TABLE.get(usize::try_from(number).ok()?)?
}

/// What the system calls of one process share. Survives `fork` and `vfork` as it is: there is no
/// lock in it.
pub struct State {
    /// Where `--strace` and `-d unimp` print.
    pub log: Log,
    strace: bool,
    log_unimp: bool,
    limits: info::MemoryLimits,
    personality: AtomicU64,
    /// One bit for each unknown number that has been logged.
    logged: [AtomicU64; NUMBERS / 64],
}

impl State {
    /// What a new process has.
    pub fn new(options: &Options) -> State {
        let wanted = options.strace || options.log_unimp;
        // A dead standard error is no reason not to run the guest.
        let log = options.log_fd.or_else(|| {
            let own = || own_fds::duplicate(libc::STDERR_FILENO).ok();
            wanted.then(own).flatten()
        });
        State {
            log: Log::new(log.unwrap_or(libc::STDERR_FILENO)),
            strace: options.strace,
            log_unimp: options.log_unimp,
            limits: info::MemoryLimits::new(),
            personality: AtomicU64::new(0),
            logged: [const { AtomicU64::new(0) }; NUMBERS / 64],
        }
    }

    /// Prints the delivery of a signal, with its `siginfo_t`.
    pub(crate) fn trace_signal(&self, tid: i32, info: &[u8; 128]) {
        if self.strace {
            self.log.signal(tid, info);
        }
    }

    /// Prints how a process ended.
    pub(crate) fn trace_end(&self, status: ExitStatus) {
        if self.strace {
            self.log.ended(std::process::id() as i32, status);
        }
    }

    /// Logs, once, that a call does not exist.
    fn unknown(&self, tid: i32, number: u64) {
        let index = (number as usize).min(NUMBERS - 1);
        let bit = 1 << (index % 64);
        let seen = self.logged[index / 64].fetch_or(bit, Ordering::Relaxed) & bit != 0;
        if self.log_unimp && !seen {
            let prefix = self.log.prefix(tid);
            self.log
                .write(&format!("{prefix}hartscope: unknown system call {number}"));
        }
    }
}

/// Prints the call that began the program, once its first thread is ready.
pub(crate) fn trace_start(thread: &mut Thread) {
    let sp = thread.vcpu.state().x[2];
    let process = &thread.process;
    if process.syscalls.strace {
        let mut line = Line::new(&process.mm);
        task::show_start(&mut line, &process.options.program, sp);
        process.syscalls.log.write(line.text());
    }
}

/// Runs the system call that the vCPU stopped at.
pub fn dispatch(thread: &mut Thread) {
    let request = Request::of(thread.vcpu.state());
    let instruments = thread.vcpu.instruments();
    if instruments.wants_syscalls() || instruments.wants_discontinuities() {
        return calls::watch(thread, &request, perform);
    }
    let result = perform(thread, &request);
    thread.finish_syscall(result);
}

/// Does a call, and prints it if that is wanted.
fn perform(thread: &mut Thread, request: &Request) -> SysResult {
    let call = find(request.number);
    match call {
        Some(call) if thread.process.syscalls.strace => traced(thread, call, request),
        Some(call) => run(thread, call, request),
        None => unknown(thread, request),
    }
}

/// Has the call made: by a plugin that wants to, or by the kernel's stand-in.
fn run(thread: &mut Thread, call: &Call, request: &Request) -> SysResult {
    match calls::filter(thread, request) {
        Some(result) => result,
        None => call.run(thread, &request.args),
    }
}

fn traced(thread: &mut Thread, call: &Call, request: &Request) -> SysResult {
    let process = thread.process.clone();
    let log = &process.syscalls.log;
    let mut shown = request.args;
    if call.number == RT_SIGRETURN {
        // Its argument is the frame that the stack pointer shows.
        shown[0] = thread.vcpu.state().x[2];
    }
    let mut line = Line::new(&process.mm);
    let tid = thread.tid;
    line.put(&log.prefix(tid));
    let before = strace::enter(&mut line, call, &shown);
    if matches!(call.ret, Ret::Never) {
        strace::leave_for_ever(&mut line);
        log.write(line.text());
        return run(thread, call, request);
    }
    let result = run(thread, call, request);
    if thread.tid != tid {
        // A forked child: the call is its parent's.
        return result;
    }
    let outcome = match result {
        // The call has set the registers itself: a0 is among them.
        Err(Errno::EJUSTRETURN) => Errno::check(thread.vcpu.state().x[10] as i64),
        _ => result,
    };
    strace::leave(&mut line, call, &shown, before, outcome);
    log.write(line.text());
    result
}

/// A call that does not exist, unless a plugin makes it.
fn unknown(thread: &mut Thread, request: &Request) -> SysResult {
    let filtered = calls::filter(thread, request);
    let state = &thread.process.syscalls;
    if state.strace {
        let mut line = Line::new(&thread.process.mm);
        line.put(&state.log.prefix(thread.tid));
        strace::unknown(&mut line, request.number, &request.args);
        state.log.write(line.text());
    }
    filtered.unwrap_or_else(|| {
        state.unknown(thread.tid, request.number);
        Err(Errno::ENOSYS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const GUEST_HEADER: &str = "/usr/riscv64-linux-gnu/include/asm-generic/unistd.h";
    const HOST_HEADER: &str = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";

    /// The numbers that a kernel header defines, by name.
    fn numbers(header: &str) -> HashMap<String, u64> {
        let text = std::fs::read_to_string(header)
            .unwrap_or_else(|error| panic!("{header}: {error}: run 'cargo xtask setup'"));
        let mut numbers: HashMap<String, u64> = HashMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let &["#define", name, value, ..] = &words[..] else {
                continue;
            };
            let Some(short) = name
                .strip_prefix("__NR_")
                .or(name.strip_prefix("__NR3264_"))
            else {
                continue;
            };
            let alias = value
                .strip_prefix("__NR3264_")
                .and_then(|old| numbers.get(old).copied());
            if let Some(number) = value.parse().ok().or(alias) {
                numbers.insert(short.to_owned(), number);
            }
        }
        numbers
    }

    fn rows() -> impl Iterator<Item = &'static Call> {
        TABLE.iter().flatten().copied()
    }

    #[test]
    fn every_row_has_the_number_of_its_name() {
        // Newer than the headers of some distributions, or riscv64's own.
        const ELSEWHERE: [&str; 3] = ["riscv_hwprobe", "riscv_flush_icache", "fchmodat2"];
        let numbers = numbers(GUEST_HEADER);
        for call in rows().filter(|call| !ELSEWHERE.contains(&call.name)) {
            assert_eq!(
                numbers.get(call.name),
                Some(&u64::from(call.number)),
                "{}",
                call.name
            );
        }
        assert_eq!(find(258).map(|call| call.name), Some("riscv_hwprobe"));
        assert_eq!(find(259).map(|call| call.name), Some("riscv_flush_icache"));
    }

    #[test]
    fn calls_that_the_host_does_are_the_host_calls_of_that_name() {
        let numbers = numbers(HOST_HEADER);
        for call in rows() {
            if let Run::Host(host) | Run::Blocking(host) = call.run
                && call.name != "fchmodat2"
            {
                assert_eq!(
                    numbers.get(call.name),
                    Some(&(host as u64)),
                    "{}",
                    call.name
                );
            }
        }
    }

    #[test]
    fn calls_that_nobody_has_are_not_found() {
        // 38 is renameat, which riscv64 never had; 244 is the first of the architecture's own.
        for number in [38, 244, 511, 512, 1 << 32, u64::MAX] {
            assert!(find(number).is_none(), "{number}");
        }
    }

    #[test]
    fn what_a_host_call_gets_from_memory_is_known_from_its_row() {
        for call in rows() {
            if matches!(call.run, Run::Host(_) | Run::Blocking(_)) {
                let unknown = call.args().iter().any(|arg| matches!(arg, Arg::After(_)));
                assert!(!unknown, "{}", call.name);
            }
        }
    }
}
