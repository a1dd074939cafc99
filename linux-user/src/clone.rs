//! New threads and processes.
//!
//! * A *thread* gets a host thread of its own.
//! * A *process* is a host `fork`. Its copy of the translation cache would share code memory with
//!   the parent's, so it goes over to a fresh engine; the old one is leaked, as its locks may have
//!   been held by threads that are not there any more.
//! * A `vfork` *child* runs in its parent's memory, as Linux has it, so that `posix_spawn` can
//!   report what went wrong: a host process that shares the memory, on a host stack of its own,
//!   with the same engine, while the calling thread waits. It has its own signal actions. Plugins do
//!   not see it.

use crate::mm::vma::Prot;
use crate::signal::{self, AltStack, ThreadSignals};
use crate::thread::{Thread, copy_registers, gettid};
use crate::{Args, Errno, ExitStatus, Process, SysResult};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::mpsc;
use translate::Reg;

const VM: u64 = libc::CLONE_VM as u64;
const FS: u64 = libc::CLONE_FS as u64;
const FILES: u64 = libc::CLONE_FILES as u64;
const SIGHAND: u64 = libc::CLONE_SIGHAND as u64;
const PIDFD: u64 = libc::CLONE_PIDFD as u64;
const VFORK: u64 = libc::CLONE_VFORK as u64;
const THREAD: u64 = libc::CLONE_THREAD as u64;
const SYSVSEM: u64 = libc::CLONE_SYSVSEM as u64;
const SETTLS: u64 = libc::CLONE_SETTLS as u64;
const PARENT_SETTID: u64 = libc::CLONE_PARENT_SETTID as u64;
const CHILD_CLEARTID: u64 = libc::CLONE_CHILD_CLEARTID as u64;
const CHILD_SETTID: u64 = libc::CLONE_CHILD_SETTID as u64;
const DETACHED: u64 = libc::CLONE_DETACHED as u64;
const IO: u64 = libc::CLONE_IO as u64;
/// `clone3` only.
const CLEAR_SIGHAND: u64 = 1 << 32;

/// A new process may be put into new namespaces, after it was made.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u64;
const TIDS: u64 = SETTLS | PARENT_SETTID | CHILD_CLEARTID | CHILD_SETTID;
/// What is understood for a thread …
const THREAD_FLAGS: u64 = VM | FS | FILES | SIGHAND | THREAD | SYSVSEM | TIDS | DETACHED | IO;
/// … for a process …
const PROCESS_FLAGS: u64 = VM | VFORK | PIDFD | TIDS | DETACHED | CLEAR_SIGHAND | NAMESPACES;
/// … and in addition for one that shares its parent's memory.
const SHARED_WITH_VFORK: u64 = FS | FILES | SYSVSEM | IO;

/// Host stack of a guest thread: the guest has its own.
const HOST_STACK: usize = 512 << 10;

/// A request in `clone3`'s words. The pointers are guest addresses.
#[derive(Clone, Copy, Debug)]
struct Request {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    /// The stack pointer; 0 for the parent's.
    stack: u64,
    tls: u64,
}

/// `clone`
pub fn clone(thread: &mut Thread, args: &Args) -> SysResult {
    let &[flags, stack, parent_tid, tls, child_tid, _] = args;
    const SIGNAL: u64 = 0xff;
    let request = Request {
        flags: flags as u32 as u64 & !SIGNAL,
        pidfd: parent_tid,
        child_tid,
        parent_tid,
        exit_signal: flags & SIGNAL,
        stack,
        tls,
    };
    if request.flags & PIDFD != 0 && request.flags & PARENT_SETTID != 0 {
        return Err(Errno::EINVAL);
    }
    start(thread, &request)
}

/// `clone3`
pub fn clone3(thread: &mut Thread, args: &Args) -> SysResult {
    const WORDS: usize = 11;
    const LEAST: u64 = 64;
    const MOST: u64 = 4096;
    let &[addr, size, ..] = args;
    if size < LEAST {
        return Err(Errno::EINVAL);
    }
    if size > MOST {
        return Err(Errno::E2BIG);
    }
    let mut bytes = vec![0; (size as usize).next_multiple_of(8).max(8 * WORDS)];
    thread.process.mm.read(addr, &mut bytes[..size as usize])?;
    if bytes[8 * WORDS..].iter().any(|&byte| byte != 0) {
        return Err(Errno::E2BIG);
    }
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let [
        flags,
        pidfd,
        child_tid,
        parent_tid,
        exit_signal,
        stack,
        stack_size,
        tls,
        set_tid,
        tids,
        _,
    ] = words;
    let bad = flags & (DETACHED | 0xff) != 0
        || exit_signal & !0xff != 0
        || (stack == 0) != (stack_size == 0)
        || (set_tid == 0) != (tids == 0);
    if bad {
        return Err(Errno::EINVAL);
    }
    if tids != 0 {
        // Needs privileges that a guest is not given.
        return Err(Errno::EPERM);
    }
    let request = Request {
        flags,
        pidfd,
        child_tid,
        parent_tid,
        exit_signal,
        stack: stack.wrapping_add(stack_size),
        tls,
    };
    start(thread, &request)
}

fn start(thread: &mut Thread, request: &Request) -> SysResult {
    let flags = request.flags;
    let has = |flag: u64| flags & flag != 0;
    if has(SIGHAND) && !has(VM)
        || has(THREAD) && !has(SIGHAND)
        || has(SIGHAND) && has(CLEAR_SIGHAND)
    {
        return Err(Errno::EINVAL);
    }
    if has(THREAD) {
        if flags & !THREAD_FLAGS != 0 || thread.process.borrowed_memory {
            return Err(Errno::EINVAL);
        }
        return new_thread(thread, request);
    }
    let wanted = match has(VM) {
        true => PROCESS_FLAGS | SHARED_WITH_VFORK,
        false => PROCESS_FLAGS,
    };
    if flags & !wanted != 0 || request.exit_signal != libc::SIGCHLD as u64 || has(VM) && !has(VFORK)
    {
        return Err(Errno::EINVAL);
    }
    if has(VM) {
        vfork(thread, request)
    } else {
        fork(thread, request)
    }
}

impl Request {
    fn has(&self, flag: u64) -> bool {
        self.flags & flag != 0
    }

    /// Sets up a child that has the registers of its parent at the `ecall`.
    fn set_up(&self, child: &mut Thread) {
        let state = child.vcpu.state();
        state.set(Reg(10), 0);
        state.pc = state.pc.wrapping_add(4);
        if self.stack != 0 {
            state.set(Reg(2), self.stack);
        }
        if self.has(SETTLS) {
            state.set(Reg(4), self.tls);
        }
        if self.has(CHILD_CLEARTID) {
            child.clear_child_tid = self.child_tid;
        }
        if self.has(CHILD_SETTID) {
            // As in Linux, a bad pointer is the child's own fault.
            let _ = child
                .process
                .mm
                .write(self.child_tid, &child.tid.to_le_bytes());
        }
    }

    /// Tells the parent the child's id where it wants to be told. Where they share memory, the
    /// child does this before it begins: the C library has the same word cleared when it ends.
    fn report(&self, in_memory_of: &Thread, tid: i32) {
        if self.has(PARENT_SETTID) {
            let mm = &in_memory_of.process.mm;
            let _ = mm.write(self.parent_tid, &tid.to_le_bytes());
        }
    }

    fn report_pidfd(&self, parent: &Thread, pid: i32) -> Result<(), Errno> {
        if self.has(PIDFD) {
            // SAFETY: opens a descriptor.
            let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
            if fd == -1 {
                return Err(Errno::last());
            }
            let fd = fd as i32;
            parent.process.mm.write(self.pidfd, &fd.to_le_bytes())?;
        }
        Ok(())
    }
}

/// What a new thread starts from.
struct Seed {
    process: Arc<Process>,
    registers: Box<translate::CpuState>,
    mask: u64,
    request: Request,
}

fn new_thread(parent: &mut Thread, request: &Request) -> SysResult {
    let mut registers = translate::CpuState::new();
    copy_registers(parent.vcpu.state(), &mut registers);
    let seed = Seed {
        process: parent.process.clone(),
        registers,
        mask: parent.signals.mask,
        request: *request,
    };
    let (tell, hear) = mpsc::sync_channel(1);
    // The new host thread inherits the mask, and must not take a signal before it can.
    parent.block_signals();
    let tid = parent.aside(|_| {
        std::thread::Builder::new()
            .stack_size(HOST_STACK)
            .spawn(move || thread_main(seed, &tell))
            .ok()
            .and_then(|_| hear.recv().ok())
    });
    tid.map(|tid| tid as u64).ok_or(Errno::EAGAIN)
}

/// Says its id to the parent, or nothing if there is no memory for it.
fn thread_main(seed: Seed, tell: &mpsc::SyncSender<i32>) {
    let Seed {
        process,
        registers,
        mask,
        request,
    } = seed;
    let Ok(mut thread) = Thread::new(process, mask, AltStack::NONE) else {
        return;
    };
    copy_registers(&registers, thread.vcpu.state());
    drop(registers);
    request.set_up(&mut thread);
    request.report(&thread, thread.tid);
    thread.unshare_from_parent(&request);
    thread.begin();
    thread.pass_gate();
    thread.announce();
    // The parent waits for it.
    let _ = tell.send(thread.tid);
    thread.run();
    // After a fork from this thread, in the child.
    let leader = thread.is_leader().then(|| thread.process.clone());
    thread.finish();
    if let Some(process) = leader {
        let status = process.wait_for_end();
        process.syscalls.trace_end(status);
        status.terminate();
    }
}

impl Thread {
    /// Blocks all signals until the next delivery sets the host's mask again.
    fn block_signals(&mut self) {
        signal::block_all();
        self.signals.mark_stale();
    }

    /// Host threads share everything; a guest thread that is to share less takes its own copy.
    fn unshare_from_parent(&self, request: &Request) {
        let own = (FS | FILES) & !request.flags;
        if own != 0 {
            // SAFETY: the host thread has nothing open for itself.
            unsafe { libc::unshare(own as i32) };
        }
    }

    /// This thread, the only one of a new process, goes on with `process` and its engine.
    fn take_over(&mut self, process: Process) {
        self.vcpu.adopt(&process.engine);
        // Leaked: the threads that hold it too are not there to let it go.
        std::mem::forget(std::mem::replace(&mut self.process, Arc::new(process)));
        let ThreadSignals { mask, altstack, .. } = self.signals;
        self.signals = ThreadSignals::new(self.vcpu.kicker(), mask, altstack);
        self.tid = gettid();
        self.robust_list = 0;
        self.clear_child_tid = 0;
    }
}

fn fork(parent: &mut Thread, request: &Request) -> SysResult {
    parent.block_signals();
    let process = parent.process.clone();
    let quiet = process.quiet(&parent.outside);
    let plugins = process.engine.plugins();
    let pid = parent.vcpu.while_forking(|| {
        // Not before the vCPU is offline: going offline may end plugins, which takes these locks.
        let _plugins = plugins.map(|plugins| plugins.hold());
        let _held = (process.hold(), process.actions.hold(), process.mm.hold());
        // SAFETY: the locks that the child will use are held by this very thread, or libc's own.
        unsafe { libc::fork() }
    });
    match pid {
        -1 => Err(Errno::last()),
        0 => {
            // Those who wait at the gate are not there, and may have held its lock.
            std::mem::forget(quiet);
            begin_child(parent, request);
            Err(Errno::EJUSTRETURN)
        }
        pid => {
            request.report(parent, pid);
            request.report_pidfd(parent, pid)?;
            Ok(pid as u64)
        }
    }
}

/// In the child of a `fork`.
fn begin_child(thread: &mut Thread, request: &Request) {
    let old = &thread.process;
    let engine = match old.engine.after_fork(&old.options.engine, old.mm.clone()) {
        Ok(engine) => engine,
        Err(error) => {
            crate::message(&format!("in a new process: {error}"));
            ExitStatus::Signaled(libc::SIGKILL).terminate_at_once()
        }
    };
    old.mm.set_cache(engine.cache().clone());
    let child = old.child(engine, false);
    thread.take_over(child);
    prepare(thread, request);
    thread.begin();
    signal::init_main(thread.tid);
}

fn prepare(child: &mut Thread, request: &Request) {
    request.set_up(child);
    if request.has(CLEAR_SIGHAND) {
        child.process.actions.clear_handlers();
    }
    let namespaces = request.flags & NAMESPACES;
    // SAFETY: as `clone` would have done, a moment later.
    if namespaces != 0 && unsafe { libc::unshare(namespaces as i32) } != 0 {
        crate::message(&format!("cannot enter new namespaces: {}", Errno::last()));
        ExitStatus::Signaled(libc::SIGKILL).terminate_at_once();
    }
}

/// A `vfork` child, made by the parent, run by the child.
struct VforkChild {
    thread: Option<Thread>,
    request: Request,
}

fn vfork(parent: &mut Thread, request: &Request) -> SysResult {
    let old = &parent.process;
    let process = Arc::new(old.child(old.engine.clone(), true));
    let stack = HostStack::new()?;
    parent.block_signals();
    // The alternate stack is kept: the parent does not use it meanwhile.
    let (mask, altstack) = (parent.signals.mask, parent.signals.altstack);
    let mut thread = Thread::new(process, mask, altstack).map_err(|_| Errno::EAGAIN)?;
    copy_registers(parent.vcpu.state(), thread.vcpu.state());
    let mut child = VforkChild {
        thread: Some(thread),
        request: *request,
    };
    let shared = (request.flags & SHARED_WITH_VFORK) as i32;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | shared;
    let pid = parent.aside(|_| {
        // SAFETY: the child runs `vfork_main` on a stack of its own, and never returns from it.
        // This thread stands still meanwhile, so that its thread-locals are the child's.
        unsafe {
            let argument = (&raw mut child).cast();
            libc::clone(vfork_main, stack.top(), flags, argument)
        }
    });
    // The child is gone, or is another program: what it left in this memory is dropped.
    signal::init_thread(&parent.signals.mailbox);
    drop(child);
    if pid == -1 {
        return Err(Errno::last());
    }
    request.report_pidfd(parent, pid)?;
    Ok(pid as u64)
}

extern "C" fn vfork_main(argument: *mut c_void) -> i32 {
    // SAFETY: the parent's `child`, which it does not touch before this process is gone.
    let child = unsafe { &mut *argument.cast::<VforkChild>() };
    let Some(thread) = &mut child.thread else {
        return 0;
    };
    thread.tid = gettid();
    child.request.report(thread, thread.tid);
    prepare(thread, &child.request);
    thread.begin();
    thread.run();
    let status = thread.process.vfork_status(thread.end);
    thread.process.syscalls.trace_end(status);
    status.terminate_at_once()
}

/// A host stack, with a guard page below.
struct HostStack(*mut c_void);

impl HostStack {
    const SIZE: usize = 1 << 20;
    const GUARD: usize = 4096;

    fn new() -> Result<HostStack, Errno> {
        // SAFETY: a new mapping.
        unsafe {
            let at = libc::mmap(
                std::ptr::null_mut(),
                HostStack::SIZE,
                Prot::RW.host(),
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
                -1,
                0,
            );
            if at == libc::MAP_FAILED {
                return Err(Errno::last());
            }
            libc::mprotect(at, HostStack::GUARD, libc::PROT_NONE);
            Ok(HostStack(at))
        }
    }

    fn top(&self) -> *mut c_void {
        self.0.wrapping_byte_add(HostStack::SIZE)
    }
}

impl Drop for HostStack {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; the child that used it is gone.
        unsafe { libc::munmap(self.0, HostStack::SIZE) };
    }
}
