//! The op interpreter: runs the ops that the emitters compile, one by one.
//!
//! It is the oracle that emitters are tested against, the back end of hosts without an emitter, and
//! the helper through which generated code does what it has no inline code for.
//!
//! Rules:
//!
//! 1. [`CpuState`] is the whole truth before and after every op. Floating-point exceptions are
//!    only ORed into its `fflags`; `pc` is written only when a block is left.
//! 2. An op either does everything or, if it faults, nothing to the registers; what an
//!    [`Op::Sunk`] right before it declares is run before the fault is reported.
//! 3. Requests are looked for after a jump, at its target. What is declared sunk for leaving at a
//!    jump itself (emitters look there) is not needed here.
//! 4. Guest memory is only touched through [`GuestMemory`], with at most one access per op
//!    (`CboZero` has eight).

pub mod alu;
mod float;
mod memory;
mod watched;

use std::sync::atomic::{Ordering, fence};

use crate::escape::Escape;
use crate::ops::{Addr, Block, ExitId, Op, SunkRange, Trap};
use crate::{CpuState, Fault, GuestMemory};

/// Why [`run_block`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockEnd {
    /// `state.pc` is where to go on.
    Next,
    /// The same, but a request is pending.
    Request,
    /// `state.pc` is the instruction that the run loop is to do.
    Trap(Trap),
    /// The block has done nothing: what its instrumentation relies on has changed.
    Changed,
    /// `state.pc` is an instruction whose hooks have run: what is left of its plain block has to be made
    /// for another rounding mode.
    Rest,
    /// `state.pc` is the instruction whose access failed, and the registers are as before it.
    Fault(Fault),
}

/// Runs a block once, from its first op until it is left.
pub fn run_block<M: GuestMemory>(state: &mut CpuState, mem: &mut M, block: &Block) -> BlockEnd {
    let mut pc = block.pc;
    let mut skipped = 0;
    for (at, op) in block.ops.iter().enumerate() {
        if skipped != 0 {
            skipped -= 1;
            continue;
        }
        match *op {
            Op::Insn { pc: here, .. } => pc = here,
            Op::Branch {
                cond,
                w,
                a,
                b,
                exit,
            } => {
                if alu::holds(cond, w, state.get(a), state.get(b)) {
                    return leave(state, mem, block, exit);
                }
            }
            Op::BranchImm {
                cond,
                w,
                a,
                imm,
                exit,
            } => {
                if alu::holds(cond, w, state.get(a), imm as u64) {
                    return leave(state, mem, block, exit);
                }
            }
            Op::Jump { exit } => return leave(state, mem, block, exit),
            Op::JumpReg { rd, a, disp, link } => {
                state.pc = state.get(a).wrapping_add(disp as u64) & !1;
                state.set(rd, link);
                return arrive(state, true);
            }
            Op::Poll { pc } => {
                if state.request_pending() {
                    state.pc = pc;
                    return BlockEnd::Request;
                }
            }
            Op::Guard(guard) => {
                if !block.guards[usize::from(guard)].holds() {
                    state.pc = block.pc;
                    return BlockEnd::Changed;
                }
            }
            Op::Rounding => {
                if state.frm != u32::from(block.mode.frm()) {
                    state.pc = pc;
                    return BlockEnd::Rest;
                }
            }
            Op::Call { call, .. } => {
                state.pc = pc;
                if watched::call(state, &block.calls[usize::from(call)]) == Escape::Left {
                    return arrive(state, true);
                }
            }
            Op::UnlessDone { ops } => {
                if state.access.done == 0 {
                    skipped = usize::from(ops);
                }
            }
            Op::Watched(access) => {
                let access = &block.watched[usize::from(access)];
                if let Err(fault) = watched::run(state, mem, access) {
                    state.pc = pc;
                    return BlockEnd::Fault(fault);
                }
            }
            Op::Trap(trap) => {
                state.pc = pc;
                return BlockEnd::Trap(trap);
            }
            _ => {
                if let Err(fault) = run_op(state, mem, op) {
                    if let Some(&Op::Sunk(sunk)) = at.checked_sub(1).map(|i| &block.ops[i]) {
                        run_sunk(state, mem, block, sunk);
                    }
                    state.pc = pc;
                    return BlockEnd::Fault(fault);
                }
            }
        }
    }
    unreachable!("the last op of a block leaves it")
}

/// Takes a direct way out.
fn leave<M: GuestMemory>(
    state: &mut CpuState,
    mem: &mut M,
    block: &Block,
    exit: ExitId,
) -> BlockEnd {
    let exit = &block.exits[usize::from(exit)];
    run_sunk(state, mem, block, exit.sunk);
    state.pc = exit.target;
    arrive(state, exit.poll)
}

fn arrive(state: &CpuState, poll: bool) -> BlockEnd {
    if poll && state.request_pending() {
        BlockEnd::Request
    } else {
        BlockEnd::Next
    }
}

fn run_sunk<M: GuestMemory>(state: &mut CpuState, mem: &mut M, block: &Block, sunk: SunkRange) {
    for op in &block.sunk_ops[sunk.range()] {
        let result = run_op(state, mem, op);
        debug_assert!(result.is_ok(), "a sunk op is a pure register op: {op:?}");
    }
}

/// Runs what generated code hands over: one op, as an access that is watched if the state says so.
#[inline(always)]
pub fn run_handed_over<M: GuestMemory>(
    state: &mut CpuState,
    mem: &mut M,
    op: &Op,
) -> Result<(), Fault> {
    match std::mem::take(&mut state.access.watch) {
        0 => run_op(state, mem, op),
        _ => watched::run(state, mem, op),
    }
}

/// Runs one op that does not leave the block. On a fault the registers are unchanged.
///
/// Marks (`Insn`, `Point`, `Sunk`) do nothing, and neither do ops that would leave the block.
#[inline(always)]
pub fn run_op<M: GuestMemory>(state: &mut CpuState, mem: &mut M, op: &Op) -> Result<(), Fault> {
    match *op {
        Op::Const { rd, value } => state.set(rd, value as u64),
        Op::Un { op, w, rd, a } => state.set(rd, alu::unary(op, w, state.get(a))),
        Op::Alu { op, w, rd, a, b } => {
            state.set(rd, alu::binary(op, w, state.get(a), state.get(b)));
        }
        Op::AluImm { op, w, rd, a, imm } => {
            state.set(rd, alu::binary(op, w, state.get(a), imm as u64));
        }
        Op::ShAdd {
            rd,
            a,
            b,
            shift,
            uw,
        } => {
            let a = state.get(a);
            let a = if uw { u64::from(a as u32) } else { a };
            state.set(rd, state.get(b).wrapping_add(a << (shift & 63)));
        }
        Op::Lea { rd, addr } => state.set(rd, effective(state, addr)),

        Op::Load {
            rd,
            addr,
            size,
            signed,
        } => {
            let value = mem.load(effective(state, addr), size)?;
            state.set(
                rd,
                if signed {
                    size.sign_extend(value)
                } else {
                    value
                },
            );
        }
        Op::Store { rs, addr, size } => {
            mem.store(effective(state, addr), size, state.get(rs))?;
        }
        Op::StoreImm { value, addr, size } => {
            mem.store(effective(state, addr), size, i64::from(value) as u64)?;
        }
        Op::Amo {
            op,
            rd,
            addr,
            src,
            size,
        } => {
            let old = memory::amo(mem, op, state.get(addr), size, state.get(src))?;
            state.set(rd, size.sign_extend(old));
        }
        Op::Lr { rd, addr, size } => {
            let value = memory::load_reserved(state, mem, state.get(addr), size)?;
            state.set(rd, size.sign_extend(value));
        }
        Op::Sc {
            rd,
            addr,
            src,
            size,
        } => {
            let (addr, src) = (state.get(addr), state.get(src));
            let stored = memory::store_conditional(state, mem, addr, size, src)?;
            state.set(rd, u64::from(!stored));
        }
        // Pairs with the fences and atomic accesses of the other vCPUs.
        Op::Fence => fence(Ordering::SeqCst),
        Op::CboZero { addr } => memory::zero_block(mem, state.get(addr))?,
        Op::CboTouch { addr } => memory::touch_block(mem, state.get(addr))?,

        Op::FLoad { fd, addr, fmt } => {
            let value = mem.load(effective(state, addr), float::size(fmt))?;
            state.f[fd.index()] = float::boxed(fmt, value);
        }
        Op::FStore { fs, addr, fmt } => {
            mem.store(
                effective(state, addr),
                float::size(fmt),
                state.f[fs.index()],
            )?;
        }
        Op::FAlu { .. }
        | Op::FSqrt { .. }
        | Op::FMa { .. }
        | Op::FCmp { .. }
        | Op::FClass { .. }
        | Op::FToInt { .. }
        | Op::IntToF { .. }
        | Op::FCvt { .. }
        | Op::FMvToX { .. }
        | Op::FMvFromX { .. } => float::run(state, op),
        Op::FlagsRead { rd } => state.set(rd, u64::from(state.fflags)),
        Op::FlagsSwap { rd, a } => {
            let new = state.get(a) as u32 & 0x1f;
            state.set(rd, u64::from(state.fflags));
            state.fflags = new;
        }

        Op::Count { offset, value } => {
            let counter = watched::counter(state, offset);
            // SAFETY: a counter of this vCPU; nobody else writes it.
            unsafe { counter.write(counter.read().wrapping_add_signed(value)) };
        }
        Op::SetCount { offset, value } => {
            // SAFETY: as above.
            unsafe { watched::counter(state, offset).write(value as u64) };
        }
        Op::NoteAddr { addr } => state.access.addr = effective(state, addr),
        Op::NoteLoaded { a } => state.access.loaded[0] = state.get(a),
        Op::NoteStored { a } => state.access.stored[0] = state.get(a),
        Op::NoteFLoaded { a } => state.access.loaded[0] = state.f[a.index()],
        Op::NoteFStored { a } => state.access.stored[0] = state.f[a.index()],
        Op::Insn { .. } | Op::Point { .. } | Op::Sunk(_) => {}
        Op::Poll { .. }
        | Op::Branch { .. }
        | Op::BranchImm { .. }
        | Op::Jump { .. }
        | Op::JumpReg { .. }
        | Op::Guard(_)
        | Op::Rounding
        | Op::Call { .. }
        | Op::Watched(_)
        | Op::UnlessDone { .. }
        | Op::Trap(_) => debug_assert!(false, "run_op leaves no block: {op:?}"),
    }
    Ok(())
}

#[inline(always)]
fn effective(state: &CpuState, addr: Addr) -> u64 {
    state
        .get(addr.base)
        .wrapping_add(state.get(addr.index) << (addr.scale & 3))
        .wrapping_add(addr.disp as u64)
}
