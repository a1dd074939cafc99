//! Runs the emitter's code in this process, without a cache or a run loop around it.

use std::cell::Cell;
use std::ptr::{NonNull, copy_nonoverlapping, null_mut};
use std::sync::atomic::Ordering;

use translate::interp::{BlockEnd, run_block, run_handed_over};
use translate::ops::Op;
use translate::tlb::{Tlb, TlbPage};
use translate::x86::{
    CODE_ALIGN, Emitter, FaultPoint, HostCode, Leave, Runtime, StubCode, host_supported,
};
use translate::{Block, CpuState};

use crate::world::{FlatMemory, World};

const CODE_LEN: usize = 1 << 20;
/// Where blocks go; the stubs are below.
const BLOCKS: usize = 1 << 16;

/// Memory for code, and what emits into it.
pub struct Jit {
    code: NonNull<u8>,
    runtime: Runtime,
    emitter: Emitter,
    host: HostCode,
    /// Of the block loaded last.
    sunk_ops: Vec<Op>,
    /// What gs is set to on this thread.
    gs_base: u64,
}

thread_local! {
    /// The memory that helpers called from generated code work on.
    static MEMORY: Cell<*mut FlatMemory> = const { Cell::new(null_mut()) };
}

/// What generated code calls for ops that it has no inline code for.
///
/// # Safety
/// Only generated code that [`Jit::run`] entered may call it.
unsafe extern "C" fn helper(state: *mut CpuState, op: *const Op) -> u32 {
    // SAFETY: generated code passes the state it was entered with and an op of `helper_ops`;
    // `Jit::run` put the memory's address, of which it holds the only reference, into MEMORY.
    let (state, op, mem) = unsafe { (&mut *state, &*op, &mut *MEMORY.get()) };
    match run_handed_over(state, mem, op) {
        Ok(()) => 0,
        Err(fault) => {
            state.set_fault(fault);
            1
        }
    }
}

impl Jit {
    pub fn new() -> Jit {
        assert!(host_supported(), "these tests need an x86-64-v3 host");
        // SAFETY: a fresh anonymous mapping.
        let code = unsafe {
            libc::mmap(
                null_mut(),
                CODE_LEN,
                libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(code, libc::MAP_FAILED, "no memory for code");
        let code = NonNull::new(code.cast::<u8>()).expect("mapped somewhere");
        let stubs = StubCode::assemble();
        assert!(stubs.bytes.len() <= BLOCKS);
        // SAFETY: the stubs fit, and stay at the start of the mapping until it goes with `self`.
        let runtime = unsafe {
            copy_nonoverlapping(stubs.bytes.as_ptr(), code.as_ptr(), stubs.bytes.len());
            stubs.placed_at(code.as_ptr())
        };
        Jit {
            code,
            runtime,
            emitter: Emitter::new(),
            host: HostCode::default(),
            sunk_ops: Vec::new(),
            gs_base: 0,
        }
    }

    /// Makes host code of `block`, which [`Jit::run`] then runs any number of times.
    pub fn load(&mut self, block: &Block) {
        self.emitter.emit(block, &mut self.host);
        self.sunk_ops.clone_from(&block.sunk_ops);
        let bytes = &self.host.bytes;
        assert!(bytes.len() <= CODE_LEN - BLOCKS && BLOCKS.is_multiple_of(CODE_ALIGN));
        // SAFETY: the code fits into the mapping, and nobody runs what is replaced.
        unsafe {
            let entry = self.code.add(BLOCKS);
            copy_nonoverlapping(bytes.as_ptr(), entry.as_ptr(), bytes.len());
        }
    }

    /// Runs the block loaded last once through host code. Where that leaves for the interpreter or
    /// on a request, the interpreter goes on with `block`, which must be the block before any
    /// passes: those promise a right state to who leaves, but not that their own ops still fit it.
    pub fn run(&mut self, world: &mut World, block: &Block) -> BlockEnd {
        let guest_base = (world.mem.bytes.as_ptr() as u64).wrapping_sub(world.mem.base);
        self.run_at(world, block, guest_base)
    }

    /// The same of a block of a hart, whose TLB knows where all of memory is, or nothing.
    pub fn run_on_hart(&mut self, world: &mut World, block: &Block, knows: bool) -> BlockEnd {
        let mut tlb = Tlb::new();
        if knows {
            let page = TlbPage {
                host: world.mem.bytes.as_mut_ptr(),
                load: true,
                store: true,
            };
            tlb.insert(world.mem.base, page);
        }
        world.state.become_hart();
        world.state.tlb = tlb.view();
        self.run_at(world, block, 0)
    }

    fn run_at(&mut self, world: &mut World, block: &Block, guest_base: u64) -> BlockEnd {
        self.runtime.install(&mut world.state, helper);
        MEMORY.set(&raw mut world.mem);
        // SAFETY: `load` placed the block; gs belongs to nobody else in this process; the blocks
        // of the tests only access memory in range, or through helpers.
        let leave = unsafe {
            if self.gs_base != guest_base {
                set_gs_base(guest_base);
                self.gs_base = guest_base;
            }
            let entry = self.code.add(BLOCKS);
            self.runtime.enter(&raw mut *world.state, entry.as_ptr())
        };
        MEMORY.set(null_mut());
        world.state.request.store(0, Ordering::Relaxed);
        match leave {
            Leave::Exit(exit) => {
                assert_eq!(
                    world.state.exit_block,
                    self.code.as_ptr() as u64 + BLOCKS as u64
                );
                let target = block.exits[usize::from(exit)].target;
                assert_eq!(world.state.pc, target, "pc of exit {exit}");
                BlockEnd::Next
            }
            Leave::Indirect => BlockEnd::Next,
            Leave::Request => {
                // Wherever it left, going on there must be as if it had not left.
                match rest_of(block, world.state.pc) {
                    Some(rest) => run_block(&mut world.state, &mut world.mem, &rest),
                    None => BlockEnd::Next,
                }
            }
            Leave::Trap(trap) => BlockEnd::Trap(trap),
            Leave::HelperFault => {
                let offset = world.state.exit_block - (self.code.as_ptr() as u64 + BLOCKS as u64);
                let before = |point: &&FaultPoint| u64::from(point.offset) <= offset;
                let point = self.host.faults.iter().take_while(before).last();
                let point = point.expect("a fault point at each access");
                assert_eq!(point.pc, world.state.pc, "pc of the fault point");
                for op in &self.sunk_ops[point.sunk.range()] {
                    world.run(*op);
                }
                BlockEnd::Fault(world.state.fault())
            }
            Leave::Interpret => {
                let mut rest = rest_of(block, world.state.pc).expect("an instruction");
                // The hooks before the instruction have run.
                let is_hook = |op: &Op| {
                    matches!(
                        op,
                        Op::Count { .. } | Op::SetCount { .. } | Op::Call { .. } | Op::Rounding
                    )
                };
                while is_hook(&rest.ops[1]) {
                    rest.ops.remove(1);
                }
                run_block(&mut world.state, &mut world.mem, &rest)
            }
            Leave::Stale | Leave::HostFault | Leave::Escaped | Leave::Changed => {
                panic!("{leave:?}")
            }
        }
    }
}

impl Drop for Jit {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`, and no code in it is running.
        unsafe { libc::munmap(self.code.as_ptr().cast(), CODE_LEN) };
    }
}

/// The block from the instruction at `pc` on, if that is one of its own.
fn rest_of(block: &Block, pc: u64) -> Option<Block> {
    let is_it = |op: &Op| matches!(op, Op::Insn { pc: here, .. } if *here == pc);
    let first = block.ops.iter().position(is_it)?;
    Some(Block {
        pc,
        ops: block.ops[first..].to_vec(),
        ..block.clone()
    })
}

/// # Safety
/// Nothing else on this thread may use gs.
unsafe fn set_gs_base(base: u64) {
    const ARCH_SET_GS: libc::c_int = 0x1001;
    // SAFETY: sets a register that, by the caller's promise, nobody else uses.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, base) };
    assert_eq!(result, 0, "arch_prctl");
}
