//! Guest memory, and that of a user-mode guest: a window of the host's address space.

use riscv::Insn;
use translate::ops::Size;
use translate::{Access, Cause, CpuState, Fault, GuestMemory};

use crate::csr::{self, HostClock};
use crate::guarded::{self, HostFault};
use crate::place::Place;

/// Guest memory as a vCPU needs it, with what decides how it is seen: the system registers.
pub trait VcpuMemory: GuestMemory {
    /// Host address of guest address 0, for generated code. 0 for a machine's hart, whose generated code
    /// takes host addresses from [`CpuState::tlb`].
    fn host_base(&self) -> u64;

    /// Where the code at `pc` lies, or the fault of fetching it.
    #[inline]
    fn locate(&mut self, pc: u64) -> Result<Place, Fault> {
        let _ = pc;
        Ok(Place::SAME)
    }

    /// Does a CSR instruction, or on a hart one of the privileged architecture.
    fn system(&mut self, state: &mut CpuState, insn: &Insn) -> System {
        match csr::execute(state, insn, &HostClock) {
            Ok(()) => System::Step,
            Err(csr::Illegal) => System::Illegal,
        }
    }
}

/// What a system instruction has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// It is done: on with the next.
    Step,
    /// It is done, and has set `state.pc`.
    Jump,
    /// As `Step`, but the owner has something to see to first: [`crate::Stop::Request`].
    StepAndStop,
    /// As `Jump`, likewise.
    JumpAndStop,
    /// There is no such thing, or not now: nothing has been done.
    Illegal,
}

/// Guest memory of a user-mode guest.
#[derive(Clone, Copy, Debug)]
pub struct UserMemory {
    /// Host address of guest address 0.
    pub base: u64,
}

impl UserMemory {
    fn host(self, addr: u64) -> u64 {
        self.base.wrapping_add(addr)
    }

    /// Tells a fault to the guest.
    #[cold]
    fn fault(self, addr: u64, len: u64, access: Access, fault: HostFault) -> Fault {
        // An access that straddles pages may fault in the second one.
        let inside = |host: u64| {
            let guest = host.wrapping_sub(self.base);
            (guest.wrapping_sub(addr) < len).then_some(guest)
        };
        Fault {
            addr: fault.addr.and_then(inside).unwrap_or(addr),
            access,
            cause: if fault.is_bus {
                Cause::Bus
            } else {
                Cause::Page
            },
        }
    }
}

impl VcpuMemory for UserMemory {
    fn host_base(&self) -> u64 {
        self.base
    }
}

impl GuestMemory for UserMemory {
    #[inline]
    fn load(&mut self, addr: u64, size: Size) -> Result<u64, Fault> {
        // SAFETY: the guest's own memory, or not mapped; what a wild guest address hits besides is
        // the same for generated code.
        unsafe { guarded::load(self.host(addr), size) }
            .map_err(|fault| self.fault(addr, size.bytes(), Access::Load, fault))
    }

    #[inline]
    fn store(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Fault> {
        // SAFETY: as for `load`.
        unsafe { guarded::store(self.host(addr), size, value) }
            .map_err(|fault| self.fault(addr, size.bytes(), Access::Store, fault))
    }

    fn compare_exchange(
        &mut self,
        addr: u64,
        size: Size,
        expected: u64,
        new: u64,
    ) -> Result<u64, Fault> {
        // SAFETY: as for `load`.
        unsafe { guarded::compare_exchange(self.host(addr), size, expected, new) }
            .map_err(|fault| self.fault(addr, size.bytes(), Access::Store, fault))
    }
}

#[cfg(test)]
mod tests {
    use translate::ops::AmoOp;

    use super::*;

    fn memory_of(words: &mut [u64]) -> UserMemory {
        UserMemory {
            base: words.as_mut_ptr().expose_provenance() as u64,
        }
    }

    #[test]
    fn atomics_do_what_their_names_say_in_both_sizes() {
        let (low, high) = (0xffff_fff0_u64, 0x10_u64);
        let cases = [
            (AmoOp::Swap, high, high),
            (AmoOp::Add, 0, 0),
            (AmoOp::Xor, 0xffff_ffe0, 0xffff_ffe0),
            (AmoOp::And, 0x10, 0x10),
            (AmoOp::Or, 0xffff_fff0, 0xffff_fff0),
            // In four bytes `low` is negative, in eight it is not.
            (AmoOp::Min, low, high),
            (AmoOp::Max, high, low),
            (AmoOp::Minu, high, high),
            (AmoOp::Maxu, low, low),
        ];
        for (op, four, eight) in cases {
            let mut words = [low, low];
            let mut memory = memory_of(&mut words);
            assert_eq!(memory.amo(op, 0, Size::B4, high), Ok(low), "{op:?}");
            assert_eq!(memory.load(0, Size::B8), Ok(four), "{op:?}");
            assert_eq!(memory.amo(op, 8, Size::B8, high), Ok(low), "{op:?}");
            let eight = if op == AmoOp::Add { low + high } else { eight };
            assert_eq!(memory.load(8, Size::B8), Ok(eight), "{op:?}");
        }
    }

    #[test]
    fn compare_exchange_stores_only_on_a_match() {
        let mut words = [5];
        let mut memory = memory_of(&mut words);
        assert_eq!(memory.compare_exchange(0, Size::B8, 4, 9), Ok(5));
        assert_eq!(memory.load(0, Size::B8), Ok(5));
        assert_eq!(memory.compare_exchange(0, Size::B8, 5, 9), Ok(5));
        assert_eq!(memory.load(0, Size::B8), Ok(9));
        assert_eq!(memory.compare_exchange(0, Size::B4, 9, 1 << 40 | 3), Ok(9));
        assert_eq!(memory.load(0, Size::B8), Ok(3));
    }
}
