//! The emitter's side: code memory, the way in and out, host faults.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::ptr;
use std::sync::Once;

use translate::frontend::Limits;
use translate::interp;
use translate::ops::{Block, Op, SunkRange};
use translate::state::JumpEntry;
use translate::x86::{CODE_ALIGN, Emitter, FaultPoint, HostCode, Leave, Runtime, StubCode};
use translate::{Access, Cause, CpuState, Fault, Mode};

use super::space::Space;
use super::{Stop, insn_at, translated};

/// Code memory of one run; far more than a program needs.
const ARENA: usize = 32 << 20;
const ARCH_SET_GS: libc::c_int = 0x1001;

/// A block's host code.
struct Placed {
    start: usize,
    len: usize,
    faults: Vec<FaultPoint>,
    sunk_ops: Vec<Op>,
    /// Kept because the code holds their addresses.
    _helper_ops: Box<[Op]>,
}

/// Host code of one run.
pub struct HostBackend {
    arena: Arena,
    runtime: Runtime,
    emitter: Emitter,
    code: HostCode,
    placed: HashMap<(u64, Mode), Placed>,
}

/// What the signal handler and the helper must know about the generated code that runs now.
#[derive(Clone, Copy)]
struct Active {
    state: *mut CpuState,
    space: *mut Space,
    code: (usize, usize),
    fault_stub: usize,
}

thread_local! {
    static ACTIVE: Cell<Option<Active>> = const { Cell::new(None) };
    /// Whether the last fault was a floating-point exception.
    static FLOAT_TRAP: Cell<bool> = const { Cell::new(false) };
}

impl HostBackend {
    /// Prepares `state` to run generated code on `space`.
    pub fn new(state: &mut CpuState, space: &Space) -> io::Result<HostBackend> {
        install_handler();
        let mut arena = Arena::new()?;
        let stubs = StubCode::assemble();
        let at = arena.place(&stubs.bytes)?;
        // SAFETY: the stubs were just placed there, and the arena lives as long as the runtime.
        let runtime = unsafe { stubs.placed_at(at as *const u8) };
        runtime.install(state, helper);
        state.guest_base = space.base();
        state.set_fp_traps(true);
        Ok(HostBackend {
            arena,
            runtime,
            emitter: Emitter::new(),
            code: HostCode::default(),
            placed: HashMap::new(),
        })
    }

    /// Emits and places a block.
    pub fn add(&mut self, key: (u64, Mode), block: &Block) -> io::Result<()> {
        self.emitter.emit(block, &mut self.code);
        let start = self.arena.place(&self.code.bytes)?;
        let placed = Placed {
            start,
            len: self.code.bytes.len(),
            faults: self.code.faults.clone(),
            sunk_ops: block.sunk_ops.clone(),
            _helper_ops: std::mem::take(&mut self.code.helper_ops),
        };
        self.placed.insert(key, placed);
        Ok(())
    }

    /// Runs the block of `key`, and what its indirect jumps find, until something stops it.
    pub fn run(&mut self, key: (u64, Mode), state: &mut CpuState, space: &mut Space) -> Stop {
        let code = self.placed[&key].start;
        *state.jump_entry(key.0) = JumpEntry {
            pc: key.0,
            code: code as u64,
        };
        ACTIVE.set(Some(Active {
            state,
            space,
            code: self.arena.range(),
            fault_stub: self.runtime.fault_stub() as usize,
        }));
        // SAFETY: sets this thread's gs base, which nothing else here uses.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, space.base()) };
        // SAFETY: the state is this thread's and has the stubs; the code stays in the arena; blocks
        // of another mode are not in the jump cache; gs was just set.
        let leave = unsafe { self.runtime.enter(state, code as *const u8) };
        ACTIVE.set(None);
        match leave {
            Leave::Exit(_)
            | Leave::Indirect
            | Leave::Request
            | Leave::Stale
            | Leave::Escaped
            | Leave::Changed => Stop::Next,
            Leave::Trap(trap) => Stop::Trap(trap),
            Leave::HelperFault => Stop::Fault(state.fault()),
            Leave::HostFault => self.host_fault(state, space),
            Leave::Interpret => interpret_one(state, space),
        }
    }

    /// Makes the state precise after a fault in generated code.
    fn host_fault(&self, state: &mut CpuState, space: &mut Space) -> Stop {
        let rip = state.exit_block as usize;
        let holds = |placed: &&Placed| (placed.start..placed.start + placed.len).contains(&rip);
        let Some(placed) = self.placed.values().find(holds) else {
            panic!("a fault at {rip:#x}, in no block's code");
        };
        let offset = (rip - placed.start) as u32;
        let Some(point) = placed.faults.iter().rfind(|point| point.offset <= offset) else {
            panic!("a fault before the first access of a block");
        };
        run_sunk(state, space, &placed.sunk_ops, point.sunk);
        point.nans.canonicalize(state);
        state.pc = point.pc;
        if FLOAT_TRAP.get() || point.retry {
            return interpret_one(state, space);
        }
        let insn = insn_at(space, state.pc);
        let store = !matches!(
            crate::generate::class(insn.op),
            crate::generate::Class::Load
        );
        Stop::Fault(Fault {
            addr: state.fault_addr.wrapping_sub(space.base()),
            access: if store { Access::Store } else { Access::Load },
            cause: Cause::Page,
        })
    }
}

/// Runs the instruction at the state's pc.
fn interpret_one(state: &mut CpuState, space: &mut Space) -> Stop {
    let one = Limits {
        max_insns: 1,
        enough_insns: u32::MAX,
        superblocks: false,
        fold: true,
    };
    let block = translated(state.pc, state.mode(), space, &one, false);
    interp::run_block(state, space, &block).into()
}

fn run_sunk(state: &mut CpuState, space: &mut Space, ops: &[Op], sunk: SunkRange) {
    for op in &ops[sunk.range()] {
        let result = interp::run_op(state, space, op);
        debug_assert!(result.is_ok(), "a sunk op is a pure register op");
    }
}

/// Runs an op for generated code.
unsafe extern "C" fn helper(state: *mut CpuState, op: *const Op) -> u32 {
    let Some(active) = ACTIVE.get() else {
        return 1;
    };
    // SAFETY: the caller is generated code, which runs on the active state and space, and nothing
    // else uses them meanwhile; ops live as long as their block's code.
    let (state, space, op) = unsafe { (&mut *state, &mut *active.space, &*op) };
    match interp::run_op(state, space, op) {
        Ok(()) => {
            state.update_mxcsr();
            0
        }
        Err(fault) => {
            state.set_fault(fault);
            1
        }
    }
}

fn install_handler() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE] {
            // SAFETY: an all-zero sigaction is valid; the handler only does what is allowed in one.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                let handler: unsafe extern "C" fn(_, _, _) = on_fault;
                action.sa_sigaction = handler as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
                libc::sigaction(signal, &action, ptr::null_mut());
            }
        }
    });
}

/// Sends a fault in generated code to the fault stub; any other is this program's own.
unsafe extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes valid pointers to a handler with SA_SIGINFO.
    let (address, context) =
        unsafe { ((*info).si_addr(), &mut *context.cast::<libc::ucontext_t>()) };
    let rip = context.uc_mcontext.gregs[libc::REG_RIP as usize] as usize;
    match ACTIVE.get() {
        Some(active) if (active.code.0..active.code.1).contains(&rip) => {
            // SAFETY: generated code was interrupted, which runs on this state; it is only looked
            // at again after the stub has returned.
            unsafe {
                (*active.state).exit_block = rip as u64;
                (*active.state).fault_addr = address as u64;
            }
            FLOAT_TRAP.set(signal == libc::SIGFPE);
            context.uc_mcontext.gregs[libc::REG_RIP as usize] = active.fault_stub as i64;
        }
        _ => {
            // SAFETY: back to the default action; the instruction faults again and ends us.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

/// Code memory, mapped twice: no page is both writable and executable.
struct Arena {
    write: *mut u8,
    execute: *mut u8,
    used: usize,
}

impl Arena {
    fn new() -> io::Result<Arena> {
        // SAFETY: plain system calls; the mappings are fresh, and the descriptor is closed by the
        // one who opened it.
        unsafe {
            let file = libc::memfd_create(c"isa-fuzz".as_ptr(), libc::MFD_CLOEXEC);
            if file < 0 {
                return Err(io::Error::last_os_error());
            }
            let map = |protection| {
                let at = libc::mmap(
                    ptr::null_mut(),
                    ARENA,
                    protection,
                    libc::MAP_SHARED,
                    file,
                    0,
                );
                match at {
                    libc::MAP_FAILED => Err(io::Error::last_os_error()),
                    at => Ok(at.cast::<u8>()),
                }
            };
            let sized = match libc::ftruncate(file, ARENA as libc::off_t) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            };
            let maps = sized.and_then(|()| {
                let write = map(libc::PROT_READ | libc::PROT_WRITE)?;
                let execute = map(libc::PROT_READ | libc::PROT_EXEC)?;
                Ok((write, execute))
            });
            libc::close(file);
            let (write, execute) = maps?;
            Ok(Arena {
                write,
                execute,
                used: 0,
            })
        }
    }

    /// Copies `bytes` in; gives the address to execute them at.
    fn place(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let start = self.used.next_multiple_of(CODE_ALIGN);
        if start + bytes.len() > ARENA {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        self.used = start + bytes.len();
        // SAFETY: the range is inside the mapping and was never handed out before.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.write.add(start), bytes.len()) };
        Ok(self.execute as usize + start)
    }

    fn range(&self) -> (usize, usize) {
        (self.execute as usize, self.execute as usize + self.used)
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: both mappings are this value's own, and no generated code runs any more.
        unsafe {
            libc::munmap(self.write.cast(), ARENA);
            libc::munmap(self.execute.cast(), ARENA);
        }
    }
}
