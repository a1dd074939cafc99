//! Accesses that hooks want to know all about, and calls of hooks.

use super::{effective, run_op};
use crate::escape::{self, Escape};
use crate::ops::{Invocation, Op};
use crate::{CpuState, Fault, GuestMemory};

/// Runs an access and notes it in `state.access`. On a fault the registers are unchanged.
pub(super) fn run<M: GuestMemory>(state: &mut CpuState, mem: &mut M, op: &Op) -> Result<(), Fault> {
    state.access.done = 1;
    match *op {
        Op::Load { addr, size, .. } => {
            let addr = effective(state, addr);
            // A load whose register takes no value.
            state.access.loaded[0] = mem.load(addr, size)?;
            state.access.addr = addr;
            Ok(())
        }
        Op::Amo {
            op: amo,
            rd,
            addr,
            src,
            size,
        } => {
            let (addr, src) = (state.get(addr), state.get(src));
            let old = super::memory::amo(mem, amo, addr, size, src)?;
            state.set(rd, size.sign_extend(old));
            state.access.addr = addr;
            state.access.loaded[0] = old;
            state.access.stored[0] = amo.combine(size, old, src);
            Ok(())
        }
        Op::Lr { addr, .. } => {
            let addr = state.get(addr);
            run_op(state, mem, op)?;
            state.access.addr = addr;
            state.access.loaded[0] = state.res_value;
            Ok(())
        }
        Op::Sc {
            rd,
            addr,
            src,
            size,
        } => {
            let (addr, src) = (state.get(addr), state.get(src));
            let (reserved, expected) = (state.res_addr == addr, state.res_value);
            let stored = super::memory::store_conditional(state, mem, addr, size, src)?;
            state.set(rd, u64::from(!stored));
            state.access.addr = addr;
            state.access.loaded[0] = match stored {
                true => expected,
                // What it was compared with is gone; what is there now is as good.
                false => mem.load(addr, size)?,
            };
            state.access.stored[0] = src;
            state.access.done = reserved.into();
            Ok(())
        }
        _ => run_op(state, mem, op),
    }
}

/// Calls a callback, if its condition holds. `state.pc` is that of its instruction.
pub(super) fn call(state: &mut CpuState, invocation: &Invocation) -> Escape {
    let state: *mut CpuState = state;
    if let Some(condition) = invocation.condition {
        // SAFETY: the offset is that of a counter of this vCPU.
        let counter = unsafe { counter(state, condition.offset).read() };
        if !condition.test.holds(counter, condition.value) {
            return Escape::Returned;
        }
    }
    let call = &invocation.call;
    // SAFETY: the caller's state; the callback gets at it by raw pointer too.
    let (index, addr) = unsafe {
        (*state).context = call.context;
        ((*state).vcpu_index, (*state).access.addr)
    };
    let run = || match invocation.info {
        Invocation::EXECUTION => {
            // SAFETY: whoever filled the block says that this is such a function.
            let function: extern "C" fn(u32, u64) =
                unsafe { std::mem::transmute::<usize, _>(call.function) };
            function(index, call.userdata);
        }
        info => {
            // SAFETY: as above.
            let function: extern "C" fn(u32, u32, u64, u64) =
                unsafe { std::mem::transmute::<usize, _>(call.function) };
            function(index, info, addr, call.userdata);
        }
    };
    // SAFETY: the caller's state.
    unsafe { escape::catch(state, run) }
}

/// The counter at `offset` from the vCPU's state: in it, or in the room behind it that belongs to
/// instrumentation.
pub(super) fn counter(state: *mut CpuState, offset: u32) -> *mut u64 {
    let address = state.expose_provenance() + offset as usize;
    std::ptr::with_exposed_provenance_mut(address)
}
