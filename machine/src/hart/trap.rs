//! Traps: where they go, and how one comes back from them.

use translate::{Access, Cause, Fault, Privilege};

use super::csr::{Csrs, status};
use super::lines;

/// A synchronous exception, numbered as in `mcause`.
#[allow(missing_docs, reason = "named as in the manual")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Exception {
    InstructionMisaligned = 0,
    InstructionAccess = 1,
    IllegalInstruction = 2,
    Breakpoint = 3,
    LoadMisaligned = 4,
    LoadAccess = 5,
    StoreMisaligned = 6,
    StoreAccess = 7,
    UserEcall = 8,
    SupervisorEcall = 9,
    MachineEcall = 11,
    InstructionPage = 12,
    LoadPage = 13,
    StorePage = 15,
}

impl Exception {
    /// What an access raises that could not be done.
    pub fn of_fault(fault: &Fault) -> Exception {
        use Exception::*;
        match (fault.cause, fault.access) {
            (Cause::Page, Access::Fetch) => InstructionPage,
            (Cause::Page, Access::Load) => LoadPage,
            (Cause::Page, Access::Store) => StorePage,
            (Cause::Misaligned, Access::Fetch) => InstructionMisaligned,
            (Cause::Misaligned, Access::Load) => LoadMisaligned,
            (Cause::Misaligned, Access::Store) => StoreMisaligned,
            (Cause::Bus, Access::Fetch) => InstructionAccess,
            (Cause::Bus, Access::Load) => LoadAccess,
            (Cause::Bus, Access::Store) => StoreAccess,
        }
    }

    /// What `ecall` raises.
    pub fn of_ecall(privilege: Privilege) -> Exception {
        match privilege {
            Privilege::User => Exception::UserEcall,
            Privilege::Supervisor => Exception::SupervisorEcall,
            Privilege::Machine => Exception::MachineEcall,
        }
    }
}

/// The interrupts, the most urgent first.
const BY_URGENCY: [u64; 6] = [
    lines::MEIP,
    lines::MSIP,
    lines::MTIP,
    lines::SEIP,
    lines::SSIP,
    lines::STIP,
];

/// In `mcause` and `scause`: it was an interrupt.
const INTERRUPT: u64 = 1 << 63;

impl Csrs {
    /// The interrupt to be taken now, by its number.
    #[inline]
    pub fn interrupt(&self) -> Option<u64> {
        let candidates = self.pending() & self.mie;
        if candidates == 0 {
            return None;
        }
        let machine = match self.privilege {
            Privilege::Machine => self.status.is(status::MIE),
            _ => true,
        };
        let supervisor = match self.privilege {
            Privilege::Machine => false,
            Privilege::Supervisor => self.status.is(status::SIE),
            Privilege::User => true,
        };
        let machine = if machine {
            candidates & !self.mideleg
        } else {
            0
        };
        let supervisor = if supervisor {
            candidates & self.mideleg
        } else {
            0
        };
        // Whatever goes to the machine level comes first.
        let ready = if machine != 0 { machine } else { supervisor };
        let first = BY_URGENCY.into_iter().find(|line| ready & line != 0)?;
        Some(first.trailing_zeros().into())
    }

    /// Takes interrupt number `number` before the instruction at `pc`; gives where to go on.
    pub fn take_interrupt(&mut self, number: u64, pc: u64) -> u64 {
        let delegated = self.mideleg >> number & 1 != 0;
        self.enter(INTERRUPT | number, 0, pc, delegated)
    }

    /// Takes an exception of the instruction at `pc`; gives where to go on.
    pub fn take_exception(&mut self, exception: Exception, value: u64, pc: u64) -> u64 {
        let number = exception as u64;
        let delegated = self.medeleg >> number & 1 != 0;
        self.enter(number, value, pc, delegated)
    }

    /// A trap never goes to a lower level than it came from.
    fn enter(&mut self, cause: u64, value: u64, pc: u64, delegated: bool) -> u64 {
        let from = self.privilege;
        let by_supervisor = delegated && from != Privilege::Machine;
        let status = &mut self.status;
        let csrs = if by_supervisor {
            status.put(status::SPIE, status.is(status::SIE));
            status.put(status::SIE, false);
            status.put(status::SPP, from == Privilege::Supervisor);
            self.privilege = Privilege::Supervisor;
            &mut self.supervisor
        } else {
            status.put(status::MPIE, status.is(status::MIE));
            status.put(status::MIE, false);
            status.set_mpp(from);
            self.privilege = Privilege::Machine;
            &mut self.machine
        };
        csrs.epc = pc;
        csrs.cause = cause;
        csrs.tval = value;
        let base = csrs.tvec & !3;
        let vectored = csrs.tvec & 1 != 0 && cause & INTERRUPT != 0;
        match vectored {
            true => base.wrapping_add(4 * (cause & !INTERRUPT)),
            false => base,
        }
    }

    /// `mret`; gives where to go on, `None` if it is illegal here.
    pub fn mret(&mut self) -> Option<u64> {
        if self.privilege != Privilege::Machine {
            return None;
        }
        let status = &mut self.status;
        let to = status.mpp();
        status.put(status::MIE, status.is(status::MPIE));
        status.put(status::MPIE, true);
        status.set_mpp(Privilege::User);
        self.return_to(to);
        Some(self.machine.epc)
    }

    /// `sret`; gives where to go on, `None` if it is illegal here.
    pub fn sret(&mut self) -> Option<u64> {
        match self.privilege {
            Privilege::User => return None,
            Privilege::Supervisor if self.status.is(status::TSR) => return None,
            _ => {}
        }
        let status = &mut self.status;
        let to = status.spp();
        status.put(status::SIE, status.is(status::SPIE));
        status.put(status::SPIE, true);
        status.put(status::SPP, false);
        self.return_to(to);
        Some(self.supervisor.epc)
    }

    fn return_to(&mut self, privilege: Privilege) {
        self.privilege = privilege;
        if privilege != Privilege::Machine {
            self.status.put(status::MPRV, false);
        }
    }

    /// Whether `wfi` is legal here.
    pub fn may_wait(&self) -> bool {
        match self.privilege {
            Privilege::User => false,
            Privilege::Supervisor => !self.status.is(status::TW),
            Privilege::Machine => true,
        }
    }

    /// Whether `sfence.vma` and `sinval.vma` are legal here.
    pub fn may_fence(&self) -> bool {
        match self.privilege {
            Privilege::User => false,
            Privilege::Supervisor => !self.status.is(status::TVM),
            Privilege::Machine => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::csr::TrapCsrs;
    use super::super::lines::Lines;
    use super::super::timer::Clock;
    use super::*;
    use Privilege::{Machine, Supervisor, User};

    fn csrs(privilege: Privilege) -> (Csrs, Arc<Lines>) {
        let lines = Arc::new(Lines::new());
        let mut csrs = Csrs::new(0, Arc::clone(&lines), Clock::start());
        csrs.privilege = privilege;
        csrs.machine.tvec = 0x1000;
        csrs.supervisor.tvec = 0x2001;
        csrs.mie = 0xaaa;
        (csrs, lines)
    }

    #[test]
    fn an_exception_goes_to_the_machine_level_unless_it_is_delegated() {
        let (mut csrs, _) = csrs(User);
        csrs.status.put(status::MIE, true);
        let pc = csrs.take_exception(Exception::LoadPage, 0xbad, 0x4000);
        assert_eq!((pc, csrs.privilege), (0x1000, Machine));
        let TrapCsrs {
            epc, cause, tval, ..
        } = csrs.machine;
        assert_eq!((epc, cause, tval), (0x4000, 13, 0xbad));
        assert_eq!(csrs.status.mpp(), User);
        assert!(!csrs.status.is(status::MIE) && csrs.status.is(status::MPIE));
    }

    #[test]
    fn a_delegated_exception_goes_to_the_supervisor_but_never_downwards() {
        for (from, to) in [
            (User, Supervisor),
            (Supervisor, Supervisor),
            (Machine, Machine),
        ] {
            let (mut csrs, _) = csrs(from);
            csrs.medeleg = 1 << 2;
            csrs.status.put(status::SIE, true);
            let pc = csrs.take_exception(Exception::IllegalInstruction, 0x30200073, 0x4002);
            assert_eq!(csrs.privilege, to);
            if to == Machine {
                assert_eq!(
                    (pc, csrs.machine.epc, csrs.status.mpp()),
                    (0x1000, 0x4002, Machine)
                );
                continue;
            }
            assert_eq!(
                (pc, csrs.supervisor.epc),
                (0x2000, 0x4002),
                "exceptions are not vectored"
            );
            assert_eq!(
                (csrs.supervisor.cause, csrs.supervisor.tval),
                (2, 0x30200073)
            );
            assert_eq!(csrs.status.spp(), from);
            assert!(!csrs.status.is(status::SIE) && csrs.status.is(status::SPIE));
        }
    }

    #[test]
    fn interrupts_come_by_urgency_those_of_the_machine_level_first() {
        let (mut csrs, lines) = csrs(User);
        lines.set(0xaaa);
        csrs.mideleg = 0x222;
        let mut order = Vec::new();
        while let Some(number) = csrs.interrupt() {
            order.push(number);
            lines.clear(1 << number);
        }
        assert_eq!(order, [11, 3, 7, 9, 1, 5]);
    }

    #[test]
    fn an_interrupt_needs_its_enable_and_that_of_its_level() {
        let cases = [
            // Level, global enables, delegated, taken
            (Machine, 0, false, false),
            (Machine, status::SIE, false, false),
            (Machine, status::MIE, false, true),
            (Machine, status::MIE | status::SIE, true, false),
            (Supervisor, 0, false, true),
            (Supervisor, status::MIE, true, false),
            (Supervisor, status::SIE, true, true),
            (User, 0, false, true),
            (User, 0, true, true),
        ];
        for (privilege, enables, delegated, taken) in cases {
            let (mut csrs, lines) = csrs(privilege);
            csrs.status.set_machine(enables);
            csrs.mideleg = if delegated { lines::SSIP } else { 0 };
            lines.set(lines::SSIP);
            let expected = taken.then_some(1);
            assert_eq!(
                csrs.interrupt(),
                expected,
                "{privilege:?} {enables:#x} {delegated}"
            );
            csrs.mie = !lines::SSIP;
            assert_eq!(csrs.interrupt(), None);
        }
    }

    #[test]
    fn interrupts_are_vectored_if_the_vector_says_so() {
        let (mut csrs, _) = csrs(User);
        csrs.mideleg = lines::STIP;
        assert_eq!(csrs.take_interrupt(5, 0x4000), 0x2000 + 20);
        assert_eq!(csrs.supervisor.cause, 1 << 63 | 5);
        assert_eq!(csrs.take_interrupt(7, 0x2014), 0x1000);
        assert_eq!(
            (csrs.machine.cause, csrs.machine.epc),
            (1 << 63 | 7, 0x2014)
        );
        assert_eq!(csrs.status.mpp(), Supervisor);
    }

    #[test]
    fn returns_undo_what_traps_have_done() {
        let (mut csrs, _) = csrs(Supervisor);
        csrs.status.set_machine(status::MIE | status::SIE);
        let before = csrs.status;
        csrs.take_exception(Exception::SupervisorEcall, 0, 0x4000);
        assert_eq!(csrs.mret(), Some(0x4000));
        assert_eq!(csrs.privilege, Supervisor);
        assert_eq!(csrs.status.machine(), before.machine() | status::MPIE);
        csrs.status.put(status::SPIE, false);
        csrs.supervisor.epc = 0x5000;
        assert_eq!(csrs.sret(), Some(0x5000));
        assert_eq!(csrs.privilege, User);
        assert!(!csrs.status.is(status::SIE) && csrs.status.is(status::SPIE));
    }

    #[test]
    fn a_return_to_a_lower_level_ends_its_borrowed_privilege() {
        for (mpp, kept) in [(Machine, true), (Supervisor, false), (User, false)] {
            let (mut csrs, _) = csrs(Machine);
            csrs.status.put(status::MPRV, true);
            csrs.status.set_mpp(mpp);
            csrs.mret();
            assert_eq!(csrs.status.is(status::MPRV), kept);
            assert_eq!(csrs.status.mpp(), User);
        }
    }

    #[test]
    fn what_a_level_may_not_do_is_illegal_and_changes_nothing() {
        for (privilege, bits, mret, sret, wfi, fence) in [
            (
                Machine,
                status::TSR | status::TW | status::TVM,
                true,
                true,
                true,
                true,
            ),
            (Supervisor, 0, false, true, true, true),
            (Supervisor, status::TSR, false, false, true, true),
            (Supervisor, status::TW, false, true, false, true),
            (Supervisor, status::TVM, false, true, true, false),
            (User, 0, false, false, false, false),
        ] {
            let case = format!("{privilege:?} {bits:#x}");
            let (mut csrs, _) = csrs(privilege);
            csrs.status.set_machine(bits);
            assert_eq!((csrs.may_wait(), csrs.may_fence()), (wfi, fence), "{case}");
            let before = csrs.status;
            assert_eq!(csrs.mret().is_some(), mret, "{case}");
            assert!(mret || csrs.status == before);
            csrs.privilege = privilege;
            csrs.status = before;
            assert_eq!(csrs.sret().is_some(), sret, "{case}");
            assert!(sret || csrs.status == before);
        }
    }
}
