//! The run loop: a small state machine around generated code.
//!
//! ```text
//!            ┌───────────────┐ found, translated ┌───────────────┐
//!   run ───▶ │ Find (by pc)  │ ────────────────▶ │ Enter (block) │
//!            └───────────────┘                   └───────────────┘
//!               ▲    │ nothing to fetch             │ a Leave: one function each
//!               │    ▼                              ▼
//!            Find  Stop ◀───────────────────── Find, Enter or Stop
//! ```
//!
//! Every turn is a quiescent point. A block's host address survives it only if nothing has been
//! retired; otherwise the block is found anew. Requests are taken once a turn, too, right before.

use std::cell::Cell;

use tb_cache::{Key, PAGE_SIZE, Tb};
use translate::interp::{self, BlockEnd};
use translate::mem::{Access, Cause, Fault};
use translate::ops::{ExitId, Reg, SunkRange, Trap};
use translate::state::JumpEntry;
use translate::x86::{Leave, Runtime};
use translate::{CpuState, GuestCode};

use crate::fault::FaultKind;
use crate::memory::{System, VcpuMemory};
use crate::place::{Mapped, Place};
use crate::state::KICK;
use crate::stats::{Count, add};
use crate::translator::Missing;
use crate::vcpu::{Stop, Vcpu};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Look the pc up.
    Find,
    /// Run from this host address, that of the block for the present state.
    Enter(u64),
    /// Return to the owner.
    Stop(Stop),
}

/// How the vCPU came to look for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    /// By an exit of the block at this host address, which may be linked.
    Exit(u64, ExitId),
    /// By an indirect jump, or from outside.
    Elsewhere,
}

/// `fence.i`, CSR instructions and `pause` have no short form.
const LONG_INSN: u64 = 4;

/// Floating-point traps of a vCPU before it collects flags by MXCSR: each takes some microseconds.
const MAX_FLOAT_TRAPS: u32 = 64;

impl<M: VcpuMemory> Vcpu<M> {
    /// Runs host code.
    pub(crate) fn run_host_code(
        &mut self,
        runtime: &Runtime,
        fault_kind: &Cell<FaultKind>,
    ) -> Stop {
        let mut next = Next::Find;
        loop {
            // In this order: who has retired something and then nudged is not to wait for a vCPU that
            // takes the nudge, and quiesced before the retirement.
            let is_requested = self.is_requested();
            let addresses_good = self.quiesce();
            if is_requested {
                return Stop::Request;
            }
            next = match next {
                Next::Enter(code) if addresses_good => {
                    let code = std::ptr::with_exposed_provenance(code as usize);
                    // SAFETY: the address is that of a block for the present state, found while
                    // online; nothing has been retired since (see `check_retirements`). The stubs
                    // are installed, and `run` has set gs.
                    let leave = unsafe { runtime.enter(self.state.as_ptr(), code) };
                    self.on_leave(leave, fault_kind.get())
                }
                _ => self.begin(),
            };
            if let Next::Stop(stop) = next {
                return stop;
            }
        }
    }

    fn on_leave(&mut self, leave: Leave, fault_kind: FaultKind) -> Next {
        match leave {
            Leave::Exit(exit) => self.on_exit(exit),
            Leave::Indirect => self.on_indirect(),
            Leave::Stale => self.on_stale(),
            Leave::Request => self.on_request(),
            Leave::Trap(trap) => self.on_trap(trap),
            Leave::HostFault => self.on_host_fault(fault_kind),
            Leave::HelperFault => self.on_helper_fault(),
            Leave::Interpret => self.on_interpret(),
            Leave::Escaped => Next::Find,
            Leave::Changed => self.on_changed(),
        }
    }

    fn on_exit(&mut self, exit: ExitId) -> Next {
        add(self.counts(), Count::Exits, 1);
        self.find(Via::Exit(self.state.exit_block, exit))
    }

    fn on_indirect(&mut self) -> Next {
        add(self.counts(), Count::Indirect, 1);
        self.find(Via::Elsewhere)
    }

    fn on_stale(&mut self) -> Next {
        add(self.counts(), Count::Stale, 1);
        self.find(Via::Elsewhere)
    }

    /// The request itself is taken at the next turn.
    fn on_request(&mut self) -> Next {
        add(self.counts(), Count::Requests, 1);
        Next::Find
    }

    fn on_trap(&mut self, trap: Trap) -> Next {
        add(self.counts(), Count::Traps, 1);
        match trap {
            Trap::Ecall => Next::Stop(Stop::Ecall),
            Trap::Ebreak => Next::Stop(Stop::Ebreak),
            Trap::Illegal => Next::Stop(Stop::Illegal),
            // Perhaps there is something by now. If not, finding says so.
            Trap::Fetch => Next::Find,
            Trap::FenceI => {
                self.fence_i();
                self.step()
            }
            Trap::Pause => {
                std::thread::yield_now();
                self.step()
            }
            Trap::Csr | Trap::System => self.on_system(),
            Trap::Float => Next::Stop(Stop::Float),
        }
    }

    fn on_system(&mut self) -> Next {
        let place = match self.memory.locate(self.state.pc) {
            Ok(place) => place,
            Err(fault) => return Next::Stop(Stop::Fault(fault)),
        };
        let code = Mapped {
            code: self.engine.code(),
            pc: self.state.pc,
            place,
        };
        let mut bytes = [0; LONG_INSN as usize];
        let len = code.fetch(self.state.pc, &mut bytes);
        let insn = riscv::decode(u32::from_le_bytes(bytes));
        if len < bytes.len() || !insn.op.is_system() {
            // It has been overwritten since it was translated. The new one may run already.
            return self.interpret_one(place);
        }
        match self.memory.system(&mut self.state, &insn) {
            System::Step => self.step(),
            System::Jump => Next::Find,
            System::StepAndStop => {
                self.step();
                Next::Stop(Stop::Request)
            }
            System::JumpAndStop => Next::Stop(Stop::Request),
            System::Illegal => Next::Stop(Stop::Illegal),
        }
    }

    /// Goes on after the instruction that the run loop has done.
    fn step(&mut self) -> Next {
        self.state.pc = self.state.pc.wrapping_add(LONG_INSN);
        Next::Find
    }

    /// Makes the state precise after a fault of an access that generated code handed over.
    fn on_helper_fault(&mut self) -> Next {
        // The call's last byte: where it returns to, the next op may have a fault point of its own.
        let called_from = self.state.exit_block.wrapping_sub(1);
        // SAFETY: generated code has just run there.
        let tb = unsafe {
            self.engine
                .cache()
                .find_by_host(&self.participant, called_from)
        };
        if let Some(tb) = tb
            && let Some(point) = tb.fault_point(called_from)
        {
            run_sunk(&mut self.state, &mut *self.memory, tb, point.sunk);
        }
        self.faulted = None;
        add(self.counts(), Count::Faults, 1);
        Next::Stop(Stop::Fault(self.state.fault()))
    }

    /// Makes the state precise after a fault in generated code.
    fn on_host_fault(&mut self, kind: FaultKind) -> Next {
        let rip = self.state.exit_block;
        // SAFETY: generated code has just run there.
        let tb = unsafe { self.engine.cache().find_by_host(&self.participant, rip) };
        let Some((tb, point)) = tb.and_then(|tb| Some((tb, tb.fault_point(rip)?))) else {
            unreachable!("generated code faulted at {rip:#x}, where nothing can fault");
        };
        run_sunk(&mut self.state, &mut *self.memory, tb, point.sunk);
        point.nans.canonicalize(&mut self.state);
        self.state.pc = point.pc;
        let start = tb.key();
        if kind.is_float {
            self.note_float_trap();
            return self.finish(Some(start));
        }
        if point.retry || self.engine.code().write_fault(self.state.fault_addr) {
            return self.finish(Some(start));
        }
        self.faulted = Some(start);
        add(self.counts(), Count::Faults, 1);
        let access = GuestAccess::of(tb.bytes_at(point.pc), |reg| self.state.get(reg));
        let host_addr = kind.is_addressed.then_some(self.state.fault_addr);
        let guest_addr = host_addr.map(|host| host.wrapping_sub(self.state.guest_base));
        Next::Stop(Stop::Fault(Fault {
            addr: access.blame(guest_addr),
            access: access.access,
            cause: if kind.is_bus { Cause::Bus } else { Cause::Page },
        }))
    }

    /// The instruction at `pc` raises a floating-point flag that has not accrued. After many of these
    /// the guest must be one that clears flags again and again.
    fn note_float_trap(&mut self) {
        self.float_traps += 1;
        if self.float_traps == MAX_FLOAT_TRAPS {
            self.state.set_fp_traps(false);
        }
    }

    /// The block at host address `exit_block` has come to an instruction that it cannot do.
    fn on_interpret(&mut self) -> Next {
        // SAFETY: generated code has just run there.
        let tb = unsafe {
            let start = self.state.exit_block;
            self.engine.cache().find_by_host(&self.participant, start)
        };
        match tb.map(Tb::key) {
            Some(start) => self.finish(Some(start)),
            None => unreachable!("generated code left a block that is none"),
        }
    }

    /// Runs the instruction at `pc` in the interpreter, and what plugins take to be the rest of its
    /// block: the block of `start` has begun it.
    #[cold]
    fn finish(&mut self, start: Option<Key>) -> Next {
        let place = match self.memory.locate(self.state.pc) {
            Ok(place) => place,
            Err(fault) => return Next::Stop(Stop::Fault(fault)),
        };
        let (translator, mut tools, key) = self.tools(place);
        let is_there = translator.rest(&mut tools, key, start);
        self.interpret(is_there, start)
    }

    /// Goes on at `pc`: with a block, or with what is left of one.
    fn begin(&mut self) -> Next {
        match self.begun.take() {
            Some((pc, start)) if pc == self.state.pc => self.finish(start),
            _ => self.find(Via::Elsewhere),
        }
    }

    /// Runs the instruction at `pc` in the interpreter.
    fn interpret_one(&mut self, place: Place) -> Next {
        let (translator, mut tools, key) = self.tools(place);
        let is_there = translator.single(&mut tools, key);
        self.interpret(is_there, None)
    }

    /// Runs what the translator has prepared, of the block of `start`.
    fn interpret(&mut self, is_there: bool, start: Option<Key>) -> Next {
        add(self.counts(), Count::Interpreted, 1);
        if !is_there {
            return Next::Stop(Stop::Fetch);
        }
        let end = interp::run_block(&mut self.state, &mut *self.memory, self.translator.block());
        self.on_block_end(end, start)
    }

    /// The block of `start` has ended.
    fn on_block_end(&mut self, end: BlockEnd, start: Option<Key>) -> Next {
        match end {
            BlockEnd::Next => Next::Find,
            BlockEnd::Rest => self.finish(start),
            BlockEnd::Changed => self.on_changed(),
            BlockEnd::Request => self.on_request(),
            BlockEnd::Trap(trap) => self.on_trap(trap),
            BlockEnd::Fault(fault) => {
                self.faulted = None;
                Next::Stop(Stop::Fault(fault))
            }
        }
    }

    /// The block at `pc` is not what plugins would ask for now: another takes its place.
    fn on_changed(&mut self) -> Next {
        let pc = self.state.pc;
        if let Ok(place) = self.memory.locate(pc) {
            let at = match place {
                Place::SAME => pc,
                place => place.page + pc % PAGE_SIZE,
            };
            self.engine.cache().invalidate_range(at, 1);
        }
        Next::Find
    }

    /// Finds or makes the block for the present state.
    fn find(&mut self, via: Via) -> Next {
        let place = match self.memory.locate(self.state.pc) {
            Ok(place) => place,
            Err(fault) => return Next::Stop(Stop::Fault(fault)),
        };
        let (translator, tools, key) = self.tools(place);
        let (engine, online) = (tools.engine, tools.online);
        let tb = match translator.obtain(tools, key) {
            Ok(tb) => tb,
            Err(missing) => return self.on_missing(missing),
        };
        let code = tb.code();
        match via {
            Via::Exit(block, exit) => {
                // SAFETY: this vCPU has just left the block by that exit, no quiescent point since.
                unsafe { engine.cache().link(online, block, exit, tb) };
            }
            Via::Elsewhere => *self.state.jump_entry(key.pc) = JumpEntry { pc: key.pc, code },
        }
        self.enters_block();
        Next::Enter(code)
    }

    fn on_missing(&mut self, missing: Missing) -> Next {
        match missing {
            Missing::Interpret => {
                let block = self.translator.block();
                let end = interp::run_block(&mut self.state, &mut *self.memory, block);
                self.on_block_end(end, None)
            }
            Missing::Changed => Next::Find,
            Missing::Code => Next::Stop(Stop::Fetch),
        }
    }

    /// Runs ops in the interpreter.
    pub(crate) fn run_ops(&mut self) -> Stop {
        loop {
            // In this order, as above.
            let is_requested = self.is_requested();
            self.quiesce();
            if is_requested {
                return Stop::Request;
            }
            if let Next::Stop(stop) = self.run_ops_once() {
                return stop;
            }
        }
    }

    fn run_ops_once(&mut self) -> Next {
        if let Some((pc, start)) = self.begun.take()
            && pc == self.state.pc
        {
            return self.finish(start);
        }
        let pc = self.state.pc;
        let entry = *self.state.jump_entry(pc);
        // The interpreter's jump cache holds addresses of block descriptions.
        let cached = (entry.pc == pc)
            .then(|| std::ptr::with_exposed_provenance::<Tb>(entry.code as usize))
            // SAFETY: put in below, while online; nothing has been retired since, or else the jump
            // cache would have been cleared.
            .filter(|&tb| !unsafe { (*tb).is_dead() });
        let tb = match cached {
            Some(tb) => tb,
            None => {
                let place = match self.memory.locate(pc) {
                    Ok(place) => place,
                    Err(fault) => return Next::Stop(Stop::Fault(fault)),
                };
                let (translator, tools, key) = self.tools(place);
                let tb = match translator.obtain(tools, key) {
                    Ok(tb) => std::ptr::from_ref(tb),
                    Err(missing) => return self.on_missing(missing),
                };
                self.enters_block();
                tb
            }
        };
        *self.state.jump_entry(pc) = JumpEntry {
            pc,
            code: tb.expose_provenance() as u64,
        };
        // SAFETY: from the cache, or from the jump cache as above; this vCPU is online, and passes no
        // quiescent point before the block's end.
        let tb = unsafe { &*tb };
        let Some(block) = tb.block() else {
            unreachable!("an engine without host code caches ops");
        };
        let end = interp::run_block(&mut self.state, &mut *self.memory, block);
        let key = tb.key();
        let next = self.on_block_end(end, Some(key));
        self.faulted = Some(key);
        next
    }

    /// Takes pending requests; gives whether the owner is to be told.
    #[inline]
    fn is_requested(&mut self) -> bool {
        let requests = self.state.take_requests();
        if requests != 0 {
            self.record_if_wanted();
        }
        requests & KICK != 0
    }
}

/// Runs what was put off past an access that has failed.
fn run_sunk<M: VcpuMemory>(state: &mut CpuState, memory: &mut M, tb: &Tb, sunk: SunkRange) {
    for op in tb.sunk_ops(sunk) {
        let done = interp::run_op(state, memory, op);
        debug_assert!(done.is_ok(), "a sunk op is a pure register op: {op:?}");
    }
}

/// The memory access of an instruction, as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GuestAccess {
    addr: u64,
    len: u64,
    access: Access,
}

impl GuestAccess {
    /// The access that the instruction in `bytes` makes with these registers.
    fn of(bytes: &[u8], get: impl Fn(Reg) -> u64) -> GuestAccess {
        use riscv::Opcode::*;
        let mut word = [0; 4];
        let len = bytes.len().min(word.len());
        word[..len].copy_from_slice(&bytes[..len]);
        let insn = riscv::decode(u32::from_le_bytes(word));
        let base = get(Reg(insn.rs1));
        let displaced = base.wrapping_add(insn.imm as u64);
        let (addr, len, access) = match insn.op {
            Lb | Lbu => (displaced, 1, Access::Load),
            Lh | Lhu => (displaced, 2, Access::Load),
            Lw | Lwu | Flw => (displaced, 4, Access::Load),
            Ld | Fld => (displaced, 8, Access::Load),
            Sb => (displaced, 1, Access::Store),
            Sh => (displaced, 2, Access::Store),
            Sw | Fsw => (displaced, 4, Access::Store),
            Sd | Fsd => (displaced, 8, Access::Store),
            LrW => (base, 4, Access::Load),
            LrD => (base, 8, Access::Load),
            // Atomics write, and cache-block operations count as stores to the address given.
            _ => (base, 1, Access::Store),
        };
        GuestAccess { addr, len, access }
    }

    /// The address to name in a fault: where the host says that it happened, if that is possible
    /// (an access may straddle pages), else the first byte.
    fn blame(self, reported: Option<u64>) -> u64 {
        reported
            .filter(|addr| addr.wrapping_sub(self.addr) < self.len)
            .unwrap_or(self.addr)
    }
}
