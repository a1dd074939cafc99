//! The control and status registers of a hart, as the privileged specification has them.
//!
//! 1. What may not be is never stored: each field keeps to its legal values when it is written, so that
//!    whoever reads the fields of [`Csrs`] checks nothing.
//! 2. A write changes registers only. What follows from it (another address space, an interrupt that is
//!    enabled now, a deadline) is told as its [`Effect`], and the hart sees to it.
//! 3. Interrupts that other threads raise are in [`Lines`], the enables here.

mod counter;
pub mod numbers;
pub mod status;

use std::sync::Arc;

use riscv::{Insn, Opcode};
use translate::{CacheBlockOps, CpuState, Privilege, Reg};

use self::counter::Counter;
use self::numbers as n;
use self::status::Status;
use super::lines::{self, Lines};
use super::mmu::{Satp, SatpChange};
use super::pmp::Pmp;
use super::timer::Clock;

/// The exceptions that may be delegated to the supervisor: all that it, or the user, can cause.
const DELEGABLE: u64 = 0xb3ff;
/// The interrupts that may be delegated: the supervisor's own.
const SUPERVISOR_INTERRUPTS: u64 = lines::SSIP | lines::STIP | lines::SEIP;
/// All interrupts that there are.
const INTERRUPTS: u64 = SUPERVISOR_INTERRUPTS | lines::MSIP | lines::MTIP | lines::MEIP;

/// RV64 with A, B, C, D, F, I, M, and the levels S and U.
const MISA: u64 = 2 << 62 | 0x14_112f;

/// `FIOM`, `CBIE`, `CBCFE`, `CBZE`, of either `envcfg`.
const ENVCFG: u64 = 0xf1;
/// `CBIE`: two bits, of which 2 is reserved.
const CBIE: u64 = 3 << 4;
/// `CBCFE`.
const CBCFE: u64 = 1 << 6;
/// `CBZE`.
const CBZE: u64 = 1 << 7;
/// The walker sets accessed and dirty bits.
const ADUE: u64 = 1 << 61;
/// Page table entries have memory types.
const PBMTE: u64 = 1 << 62;
/// `stimecmp` raises `STIP`.
const STCE: u64 = 1 << 63;

/// Counters that count: `cycle` and `instret`.
const COUNTERS: u64 = 0b101;
/// Bit of `time` in the `counteren` registers.
const TIME_ENABLE: u64 = 0b010;

/// What a write has changed besides the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// `mstatus`: how addresses are translated, whether there is floating point, which interrupts come.
    Status,
    /// Which interrupts are pending or enabled.
    Interrupts,
    /// `satp`: another address space.
    AddressSpace,
    /// `satp`: what virtual addresses are.
    Translation,
    /// Which physical addresses may be used.
    Protection,
    /// `menvcfg`, `senvcfg`: the supervisor's deadline, and which instructions are legal.
    Environment,
    /// The supervisor's deadline.
    Timer,
}

/// The registers.
#[derive(Debug)]
pub struct Csrs {
    /// The present privilege.
    pub privilege: Privilege,
    /// `mstatus`.
    pub status: Status,
    /// `satp`.
    pub satp: Satp,
    /// Physical memory protection.
    pub pmp: Pmp,
    pub(super) medeleg: u64,
    pub(super) mideleg: u64,
    pub(super) mie: u64,
    pub(super) machine: TrapCsrs,
    pub(super) supervisor: TrapCsrs,
    mcounteren: u64,
    scounteren: u64,
    menvcfg: u64,
    senvcfg: u64,
    stimecmp: u64,
    /// The bit of `mip.SEIP` that software has set; the line is another.
    soft_seip: bool,
    mcountinhibit: u64,
    cycle: Counter,
    instret: Counter,
    hart: u64,
    lines: Arc<Lines>,
    clock: Clock,
}

/// The registers that traps to one level use.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrapCsrs {
    pub(super) tvec: u64,
    pub(super) scratch: u64,
    pub(super) epc: u64,
    pub(super) cause: u64,
    pub(super) tval: u64,
}

impl Csrs {
    /// The registers of hart number `hart` as a reset leaves them.
    pub fn new(hart: u64, lines: Arc<Lines>, clock: Clock) -> Csrs {
        Csrs {
            privilege: Privilege::Machine,
            status: Status::default(),
            satp: Satp::default(),
            pmp: Pmp::default(),
            medeleg: 0,
            mideleg: 0,
            mie: 0,
            machine: TrapCsrs::default(),
            supervisor: TrapCsrs::default(),
            mcounteren: 0,
            scounteren: 0,
            menvcfg: ADUE,
            senvcfg: 0,
            stimecmp: u64::MAX,
            soft_seip: false,
            mcountinhibit: 0,
            cycle: Counter::default(),
            instret: Counter::default(),
            hart,
            lines,
            clock,
        }
    }

    /// Leaves the machine level to a firmware that is not the guest's, and goes on as the supervisor, which
    /// gets all traps and interrupts that it may have, all memory, all counters and extensions. It
    /// begins without interrupts and with physical addresses.
    pub fn hand_over(&mut self) {
        // Calls of the supervisor, which are for the firmware.
        const ECALL: u64 = 1 << 9;
        self.medeleg = DELEGABLE & !ECALL;
        self.mideleg = SUPERVISOR_INTERRUPTS;
        self.mcounteren = u64::from(u32::MAX);
        // `cycle`, `time` and `instret` are everybody's, until the supervisor says otherwise: kernels
        // count on firmware for that, and programs on the kernel.
        self.scounteren = 7;
        self.menvcfg = ENVCFG & !CBIE | 1 << 4 | ADUE | PBMTE | STCE;
        self.pmp.set_address(0, u64::MAX);
        self.pmp.set_config(0, 0x1f);
        self.privilege = Privilege::Supervisor;
        self.status = Status::default();
        self.satp = Satp::default();
        self.mie = 0;
    }

    /// `mip`: the interrupts that are pending.
    pub fn pending(&self) -> u64 {
        let soft = if self.soft_seip { lines::SEIP } else { 0 };
        self.lines.pending() | soft
    }

    /// The interrupts that wake a hart from `wfi`.
    pub fn enabled(&self) -> u64 {
        self.mie
    }

    /// The deadline of the supervisor's timer, in ticks, if it has one.
    pub fn deadline(&self) -> Option<u64> {
        (self.menvcfg & STCE != 0).then_some(self.stimecmp)
    }

    /// Sets the deadline of the supervisor's timer.
    pub fn set_deadline(&mut self, ticks: u64) {
        self.stimecmp = ticks;
    }

    /// Whether the walker sets accessed and dirty bits, instead of faulting.
    pub fn updates_ad(&self) -> bool {
        self.menvcfg & ADUE != 0
    }

    /// The cache-block instructions that the levels above do not allow the present one.
    pub fn illegal_cache_blocks(&self) -> CacheBlockOps {
        let allowed = match self.privilege {
            Privilege::Machine => return CacheBlockOps::default(),
            Privilege::Supervisor => self.menvcfg,
            // `CBIE` may say different things, but all that counts is whether both say something.
            Privilege::User if self.menvcfg & CBIE == 0 => self.menvcfg & self.senvcfg & !CBIE,
            Privilege::User => self.menvcfg & self.senvcfg & !CBIE | self.senvcfg & CBIE,
        };
        CacheBlockOps {
            zero: allowed & CBZE == 0,
            clean: allowed & CBCFE == 0,
            inval: allowed & CBIE == 0,
        }
    }

    /// Whether page table entries may have memory types.
    pub fn has_memory_types(&self) -> bool {
        self.menvcfg & PBMTE != 0
    }

    /// The privilege of loads and stores.
    pub fn data_privilege(&self) -> Privilege {
        match self.status.is(status::MPRV) {
            true => self.status.mpp(),
            false => self.privilege,
        }
    }

    /// Executes a Zicsr instruction, all but the step to the next pc. `None`: it is illegal, and has
    /// changed nothing.
    pub fn execute(&mut self, state: &mut CpuState, insn: &Insn) -> Option<Effect> {
        use Opcode::*;
        let csr = insn.imm as u16 & 0xfff;
        let operand = match insn.op {
            Csrrwi | Csrrsi | Csrrci => u64::from(insn.rs1),
            _ => state.get(Reg(insn.rs1)),
        };
        let (value, touched) = match insn.op {
            Csrrw | Csrrwi => (operand, u64::MAX),
            Csrrs | Csrrsi => (u64::MAX, operand),
            Csrrc | Csrrci => (0, operand),
            _ => return None,
        };
        // The other kinds do not write at all with x0, or an immediate of 0.
        let writes = matches!(insn.op, Csrrw | Csrrwi) || insn.rs1 != 0;
        if !self.may_access(csr, writes) {
            return None;
        }
        let old = self.read(state, csr)?;
        let effect = match writes {
            true => self.write(state, csr, value, touched)?,
            false => Effect::None,
        };
        state.set(Reg(insn.rd), old);
        Some(effect)
    }

    /// What the number says, and those bits that close a register to a level.
    fn may_access(&self, csr: u16, writes: bool) -> bool {
        let lowest = csr >> 8 & 3;
        let read_only = csr >> 10 == 3;
        if (self.privilege as u16) < lowest || (writes && read_only) {
            return false;
        }
        let is_machine = self.privilege == Privilege::Machine;
        match csr {
            n::FFLAGS..=n::FCSR => !self.status.fp_is_off(),
            n::CYCLE..=n::HPMCOUNTER31 => self.may_count(1 << (csr & 31)),
            n::SATP => is_machine || !self.status.is(status::TVM),
            n::STIMECMP => {
                is_machine || (self.mcounteren & TIME_ENABLE != 0 && self.deadline().is_some())
            }
            _ => true,
        }
    }

    /// Whether the present level may read this counter.
    fn may_count(&self, counter: u64) -> bool {
        let machine = self.privilege == Privilege::Machine || self.mcounteren & counter != 0;
        let supervisor = self.privilege != Privilege::User || self.scounteren & counter != 0;
        machine && supervisor
    }

    /// The value of a register that the present level may access; `None` if there is no such one.
    pub fn read(&self, state: &CpuState, csr: u16) -> Option<u64> {
        Some(match csr {
            n::FFLAGS => state.fflags.into(),
            n::FRM => state.frm.into(),
            n::FCSR => u64::from(state.frm << 5 | state.fflags),
            n::SSTATUS => self.status.supervisor(),
            n::SIE => self.mie & self.mideleg,
            n::STVEC => self.supervisor.tvec,
            n::SCOUNTEREN => self.scounteren,
            n::SENVCFG => self.senvcfg,
            n::SSCRATCH => self.supervisor.scratch,
            n::SEPC => self.supervisor.epc,
            n::SCAUSE => self.supervisor.cause,
            n::STVAL => self.supervisor.tval,
            n::SIP => self.pending() & self.mideleg,
            n::STIMECMP => self.stimecmp,
            n::SATP => self.satp.bits(),
            n::MSTATUS => self.status.machine(),
            n::MISA => MISA,
            n::MEDELEG => self.medeleg,
            n::MIDELEG => self.mideleg,
            n::MIE => self.mie,
            n::MTVEC => self.machine.tvec,
            n::MCOUNTEREN => self.mcounteren,
            n::MENVCFG => self.menvcfg,
            n::MCOUNTINHIBIT => self.mcountinhibit,
            n::MSCRATCH => self.machine.scratch,
            n::MEPC => self.machine.epc,
            n::MCAUSE => self.machine.cause,
            n::MTVAL => self.machine.tval,
            n::MIP => self.pending(),
            n::PMPCFG0 => self.pmp.config(0),
            n::PMPCFG2 => self.pmp.config(8),
            n::PMPADDR0..=n::PMPADDR15 => self.pmp.address((csr - n::PMPADDR0).into()),
            n::MCYCLE | n::CYCLE => self.cycle.value(self.clock),
            n::MINSTRET | n::INSTRET => self.instret.value(self.clock),
            n::TIME => self.clock.ticks(),
            // One trigger, of the type that does not exist.
            n::TINFO => 1,
            n::TSELECT..=n::TDATA3 => 0,
            // Events that nobody counts.
            n::MHPMEVENT3..=n::MHPMEVENT31
            | n::MHPMCOUNTER3..=n::MHPMCOUNTER31
            | n::INSTRET..=n::HPMCOUNTER31 => 0,
            n::MHARTID => self.hart,
            n::MVENDORID | n::MARCHID | n::MIMPID | n::MCONFIGPTR => 0,
            _ => return None,
        })
    }

    /// Writes those bits of `value` that are `touched` to a register that the present level may write.
    fn write(
        &mut self,
        state: &mut CpuState,
        csr: u16,
        value: u64,
        touched: u64,
    ) -> Option<Effect> {
        if let n::MIP | n::SIP = csr {
            self.write_pending(csr, value, touched);
            return Some(Effect::Interrupts);
        }
        let value = value & touched | self.read(state, csr)? & !touched;
        Some(self.put(state, csr, value))
    }

    /// Puts a value into a register that exists.
    fn put(&mut self, state: &mut CpuState, csr: u16, value: u64) -> Effect {
        match csr {
            n::FFLAGS | n::FRM | n::FCSR => {
                self.put_float(state, csr, value);
                return Effect::Status;
            }
            n::SSTATUS => {
                self.status.set_supervisor(value);
                return Effect::Status;
            }
            n::MSTATUS => {
                self.status.set_machine(value);
                return Effect::Status;
            }
            n::SIE => {
                self.mie = self.mie & !self.mideleg | value & self.mideleg;
                return Effect::Interrupts;
            }
            n::MIE => {
                self.mie = value & INTERRUPTS;
                return Effect::Interrupts;
            }
            n::MIDELEG => {
                self.mideleg = value & SUPERVISOR_INTERRUPTS;
                return Effect::Interrupts;
            }
            n::SATP => {
                return match self.satp.write(value) {
                    SatpChange::None => Effect::None,
                    SatpChange::Space => Effect::AddressSpace,
                    SatpChange::Mode => Effect::Translation,
                };
            }
            n::STIMECMP => {
                self.stimecmp = value;
                return Effect::Timer;
            }
            n::MENVCFG => {
                let legal = envcfg(self.menvcfg, value);
                self.menvcfg = legal | value & (ADUE | PBMTE | STCE);
                return Effect::Environment;
            }
            n::SENVCFG => {
                self.senvcfg = envcfg(self.senvcfg, value);
                return Effect::Environment;
            }
            n::PMPCFG0 | n::PMPCFG2 => {
                self.pmp
                    .set_config(usize::from(csr - n::PMPCFG0) * 4, value);
                return Effect::Protection;
            }
            n::PMPADDR0..=n::PMPADDR15 => {
                self.pmp.set_address((csr - n::PMPADDR0).into(), value);
                return Effect::Protection;
            }
            n::STVEC => put_tvec(&mut self.supervisor.tvec, value),
            n::MTVEC => put_tvec(&mut self.machine.tvec, value),
            n::SSCRATCH => self.supervisor.scratch = value,
            n::MSCRATCH => self.machine.scratch = value,
            n::SEPC => self.supervisor.epc = value & !1,
            n::MEPC => self.machine.epc = value & !1,
            n::SCAUSE => self.supervisor.cause = value,
            n::MCAUSE => self.machine.cause = value,
            n::STVAL => self.supervisor.tval = value,
            n::MTVAL => self.machine.tval = value,
            n::MEDELEG => self.medeleg = value & DELEGABLE,
            n::SCOUNTEREN => self.scounteren = value & u64::from(u32::MAX),
            n::MCOUNTEREN => self.mcounteren = value & u64::from(u32::MAX),
            n::MCOUNTINHIBIT => self.inhibit(value & COUNTERS),
            n::MCYCLE => self.cycle.set(self.clock, value),
            n::MINSTRET => self.instret.set(self.clock, value),
            // All others have the one value that they are read as.
            _ => {}
        }
        Effect::None
    }

    fn put_float(&mut self, state: &mut CpuState, csr: u16, value: u64) {
        if csr != n::FRM {
            state.fflags = value as u32 & 0x1f;
        }
        match csr {
            n::FRM => state.set_frm(value as u8),
            n::FCSR => state.set_frm((value >> 5) as u8),
            _ => {}
        }
        state.update_mxcsr();
        self.status.put(status::FS, true);
    }

    /// `mip` and `sip`. Others may set bits at the same time: only touched ones are written.
    fn write_pending(&mut self, csr: u16, value: u64, touched: u64) {
        let mut writable = lines::SSIP;
        if csr == n::SIP {
            writable &= self.mideleg;
        } else {
            if touched & lines::SEIP != 0 {
                self.soft_seip = value & lines::SEIP != 0;
            }
            if self.deadline().is_none() {
                writable |= lines::STIP;
            }
        }
        let touched = touched & writable;
        self.lines.write(touched & value, touched & !value);
    }

    fn inhibit(&mut self, inhibited: u64) {
        self.mcountinhibit = inhibited;
        self.cycle.stop(self.clock, inhibited & 0b001 != 0);
        self.instret.stop(self.clock, inhibited & 0b100 != 0);
    }
}

/// The part that both `envcfg` have, when `value` is written over `old`.
fn envcfg(old: u64, value: u64) -> u64 {
    let legal = value & ENVCFG;
    match legal & CBIE == 2 << 4 {
        true => legal & !CBIE | old & CBIE,
        false => legal,
    }
}

/// A trap vector is direct (0) or vectored (1).
fn put_tvec(tvec: &mut u64, value: u64) {
    if value & 3 < 2 {
        *tvec = value;
    }
}

#[cfg(test)]
mod tests;
