//! Atomic and cache-block accesses: alignment, reservations, and how faults are reported.

use crate::ops::{AmoOp, Size};
use crate::{Access, Cause, CpuState, Fault, GuestMemory};

/// Bytes of a cache block, for the `cbo` instructions.
const CACHE_BLOCK: u64 = 64;

fn check_aligned(addr: u64, size: Size, access: Access) -> Result<(), Fault> {
    if addr.is_multiple_of(size.bytes()) {
        Ok(())
    } else {
        Err(Fault {
            addr,
            access,
            cause: Cause::Misaligned,
        })
    }
}

/// The low `size` bytes of a register.
fn truncate(value: u64, size: Size) -> u64 {
    value & (u64::MAX >> (64 - 8 * size.bytes()))
}

/// Read-modify-write; gives the old value, zero-extended.
pub(super) fn amo<M: GuestMemory>(
    mem: &mut M,
    op: AmoOp,
    addr: u64,
    size: Size,
    src: u64,
) -> Result<u64, Fault> {
    check_aligned(addr, size, Access::Store)?;
    mem.amo(op, addr, size, truncate(src, size))
}

/// Loads, zero-extended, and makes a reservation of the address and the value.
pub(super) fn load_reserved<M: GuestMemory>(
    state: &mut CpuState,
    mem: &mut M,
    addr: u64,
    size: Size,
) -> Result<u64, Fault> {
    check_aligned(addr, size, Access::Load)?;
    let value = mem.load(addr, size)?;
    state.res_addr = addr;
    state.res_value = value;
    Ok(value)
}

/// Stores if there is a reservation of this address and memory still holds its value; gives
/// whether it did. A reservation does not outlive any attempt that completes.
pub(super) fn store_conditional<M: GuestMemory>(
    state: &mut CpuState,
    mem: &mut M,
    addr: u64,
    size: Size,
    src: u64,
) -> Result<bool, Fault> {
    check_aligned(addr, size, Access::Store)?;
    let stored = state.res_addr == addr && {
        let expected = truncate(state.res_value, size);
        mem.compare_exchange(addr, size, expected, truncate(src, size))? == expected
    };
    state.res_addr = u64::MAX;
    Ok(stored)
}

/// Zeroes the cache block that holds `addr`.
pub(super) fn zero_block<M: GuestMemory>(mem: &mut M, addr: u64) -> Result<(), Fault> {
    let block = addr & !(CACHE_BLOCK - 1);
    for at in (block..=block + (CACHE_BLOCK - 8)).step_by(8) {
        mem.store(at, Size::B8, 0)
            .map_err(|fault| blame(fault, addr))?;
    }
    Ok(())
}

/// Checks that the cache block that holds `addr` can be read.
pub(super) fn touch_block<M: GuestMemory>(mem: &mut M, addr: u64) -> Result<(), Fault> {
    match mem.load(addr, Size::B1) {
        Ok(_) => Ok(()),
        Err(fault) => Err(blame(fault, addr)),
    }
}

/// Cache-block instructions report the address they were given, and count as stores.
fn blame(fault: Fault, addr: u64) -> Fault {
    Fault {
        addr,
        access: Access::Store,
        ..fault
    }
}
