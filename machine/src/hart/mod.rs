//! A hart: the privileged architecture on a vCPU.
//!
//! ```text
//!   run ─ the loop of a hart's thread: interrupts, guest code, traps, waiting
//!    └─ Hart ─ what a vCPU has for its memory, and asks to do system instructions
//!         ├─ csr     the registers; trap: what traps and returns do to them
//!         └─ memory  loads and stores: known pages, the walk (mmu), protection (pmp), devices
//!   lines ─ interrupts that other threads raise, and waiting for them
//!   timer ─ interrupts whose time has come
//! ```

pub mod csr;
pub mod lines;
pub mod memory;
pub mod mmu;
pub mod pmp;
pub mod run;
pub mod timer;
pub mod trap;

use std::sync::Arc;

use riscv::{Insn, Opcode};
use translate::ops::Size;
use translate::tlb::PAGE_SIZE;
use translate::{CpuState, Fault, GuestMemory, Privilege, Reg};
use vcpu::{Place, System, VcpuMemory};

use self::csr::{Csrs, Effect, status};
use self::lines::Lines;
use self::memory::{Forgotten, Physical, Translations, View};
use self::mmu::Regime;
use self::timer::{Level, Timer};
use self::trap::Exception;
use crate::plugins;

/// A hart: everything of it but the registers that programs use, which are the vCPU's.
pub struct Hart {
    /// The control and status registers.
    pub csrs: Csrs,
    number: usize,
    known: Translations,
    physical: Physical,
    timer: Arc<Timer>,
    lines: Arc<Lines>,
    /// It has executed `wfi`, and waits for an interrupt.
    waits: bool,
    /// Whether plugins may ask what it sees.
    is_observed: bool,
}

impl Hart {
    /// Hart number `number`, as a reset leaves it. Its registers in `state` begin as [`Hart::begin`]
    /// makes them.
    pub fn new(number: usize, physical: Physical, timer: Arc<Timer>, lines: Arc<Lines>) -> Hart {
        let csrs = Csrs::new(number as u64, Arc::clone(&lines), timer.clock());
        Hart {
            known: Translations::new(data_regime(&csrs)),
            csrs,
            number,
            physical,
            timer,
            lines,
            waits: false,
            is_observed: false,
        }
    }

    /// Plugins may ask what it sees, on the thread that runs it.
    pub fn observe(&mut self) {
        self.is_observed = true;
    }

    /// Makes all but its memory what it was at first. [`Hart::begin`] comes next.
    pub fn reset(&mut self) {
        let (number, lines) = (self.number as u64, Arc::clone(&self.lines));
        self.csrs = Csrs::new(number, lines, self.timer.clock());
        self.waits = false;
    }

    /// Its number.
    pub fn number(&self) -> usize {
        self.number
    }

    /// What other threads tell it by.
    pub fn lines(&self) -> &Arc<Lines> {
        &self.lines
    }

    /// What is at physical addresses.
    pub fn physical(&self) -> &Physical {
        &self.physical
    }

    /// Makes `state` that of this hart, about to go on at `pc`.
    pub fn begin(&mut self, state: &mut CpuState, pc: u64) {
        state.become_hart();
        state.pc = pc;
        self.forget_all(state);
        self.apply_mode(state);
        self.arm();
    }

    /// The interrupt to be taken now, by its number.
    #[inline]
    pub fn interrupt(&self) -> Option<u64> {
        self.csrs.interrupt()
    }

    /// Takes an interrupt before the instruction at the pc.
    pub fn take_interrupt(&mut self, state: &mut CpuState, number: u64) {
        state.pc = self.csrs.take_interrupt(number, state.pc);
        self.after_trap(state);
    }

    /// Takes an exception of the instruction at the pc.
    pub fn take_exception(&mut self, state: &mut CpuState, exception: Exception, value: u64) {
        state.pc = self.csrs.take_exception(exception, value, state.pc);
        self.after_trap(state);
    }

    /// A floating-point instruction comes while the unit is not known to be dirty. Gives whether it may
    /// be executed now: else it is illegal.
    pub fn use_float(&mut self, state: &mut CpuState) -> bool {
        if self.csrs.status.fp_is_off() {
            return false;
        }
        self.csrs.status.put(status::FS, true);
        self.apply_mode(state);
        true
    }

    /// The bits of the instruction at `pc`, for whoever is told that it is illegal; 0 if it is gone.
    pub fn instruction_at(&mut self, pc: u64) -> u32 {
        let Ok(place) = self.locate(pc) else {
            return 0;
        };
        let mut bytes = [0; 4];
        let straddles = place.next != 0;
        let here = if straddles || Place::straddles(pc) {
            2
        } else {
            4
        };
        self.physical
            .fetch(place.page + pc % PAGE_SIZE, &mut bytes[..here]);
        if straddles {
            self.physical.fetch(place.next, &mut bytes[here..]);
        }
        let bits = u32::from_le_bytes(bytes);
        match riscv::insn_len(bits as u16) {
            2 => bits & 0xffff,
            _ => bits,
        }
    }

    /// Whether it has executed `wfi` since this was asked last.
    pub fn take_wait(&mut self) -> bool {
        std::mem::take(&mut self.waits)
    }

    /// Sets the supervisor's deadline, in ticks.
    pub fn set_deadline(&mut self, ticks: u64) {
        self.csrs.set_deadline(ticks);
        self.arm();
    }

    /// Forgets all translations: `sfence.vma`, asked for by another hart.
    pub fn fence(&mut self, state: &mut CpuState) {
        let forgotten = self.known.forget_address_spaces();
        self.show_translations(state, forgotten);
    }

    /// Leaves the machine level to a firmware of ours, and goes on as the supervisor.
    pub fn enter_supervisor(&mut self, state: &mut CpuState) {
        self.csrs.hand_over();
        self.forget_all(state);
        self.apply_mode(state);
        self.arm();
    }

    fn after_trap(&mut self, state: &mut CpuState) {
        // What was reserved is no more: another context may run before the store.
        state.res_addr = u64::MAX;
        self.apply_mode(state);
    }

    /// Puts privilege and status in force.
    fn apply_mode(&mut self, state: &mut CpuState) {
        let fp_off = !self.csrs.status.fp_is_dirty();
        let illegal = self.csrs.illegal_cache_blocks();
        state.set_hart_mode(self.csrs.privilege, fp_off, illegal);
        self.put_data_regime();
        state.tlb = self.known.view();
    }

    fn put_data_regime(&mut self) {
        let data = data_regime(&self.csrs);
        self.known.set_data(data);
        if self.is_observed {
            plugins::see(&data, &self.physical);
        }
    }

    fn forget_all(&mut self, state: &mut CpuState) {
        let forgotten = self.known.forget_all();
        self.show_translations(state, forgotten);
    }

    /// What was known of addresses is not any more.
    fn show_translations(&mut self, state: &mut CpuState, forgotten: Forgotten) {
        state.tlb = self.known.view();
        for level in forgotten.levels() {
            state.clear_jump_cache_of(level);
        }
    }

    fn arm(&self) {
        if let Some(deadline) = self.csrs.deadline() {
            self.timer.set(self.number, Level::Supervisor, deadline);
        }
    }

    fn view(&mut self) -> View<'_> {
        View {
            physical: &self.physical,
            pmp: &self.csrs.pmp,
            known: &mut self.known,
        }
    }

    /// Does what a write to a register entails; gives whether the run loop is to have a look.
    fn follow(&mut self, state: &mut CpuState, effect: Effect) -> bool {
        match effect {
            Effect::None => return false,
            Effect::Status => self.apply_mode(state),
            Effect::Interrupts => {}
            Effect::AddressSpace => {
                let forgotten = self.known.forget_address_space();
                self.put_data_regime();
                self.show_translations(state, forgotten);
            }
            Effect::Translation => {
                let forgotten = self.known.forget_address_spaces();
                self.put_data_regime();
                self.show_translations(state, forgotten);
            }
            Effect::Protection => self.forget_all(state),
            Effect::Environment => {
                self.arm();
                self.apply_mode(state);
                // Jump caches tell levels apart, but not what these may do.
                state.clear_jump_cache();
            }
            Effect::Timer => self.arm(),
        }
        self.interrupt().is_some()
    }

    fn returned(&mut self, state: &mut CpuState, to: Option<u64>) -> System {
        let Some(pc) = to else {
            return System::Illegal;
        };
        state.pc = pc;
        self.after_trap(state);
        match self.interrupt() {
            Some(_) => System::JumpAndStop,
            None => System::Jump,
        }
    }

    fn fence_of(&mut self, state: &mut CpuState, insn: &Insn) -> System {
        if !self.csrs.may_fence() {
            return System::Illegal;
        }
        let forgotten = match (insn.rs1, insn.rs2) {
            (0, 0) => self.known.forget_address_spaces(),
            // Of one address space: not what all have.
            (0, _) => self.known.forget_address_space(),
            (addr, _) => self.known.forget_page(state.get(Reg(addr))),
        };
        self.show_translations(state, forgotten);
        System::Step
    }
}

/// How loads and stores translate.
fn data_regime(csrs: &Csrs) -> Regime {
    regime(csrs, csrs.data_privilege())
}

fn regime(csrs: &Csrs, privilege: Privilege) -> Regime {
    Regime {
        satp: csrs.satp,
        privilege,
        sum: csrs.status.is(status::SUM),
        mxr: csrs.status.is(status::MXR),
        updates_ad: csrs.updates_ad(),
        memory_types: csrs.has_memory_types(),
    }
}

impl GuestMemory for Hart {
    #[inline]
    fn load(&mut self, addr: u64, size: Size) -> Result<u64, Fault> {
        self.view().load(addr, size)
    }

    #[inline]
    fn store(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Fault> {
        self.view().store(addr, size, value)
    }

    fn compare_exchange(
        &mut self,
        addr: u64,
        size: Size,
        expected: u64,
        new: u64,
    ) -> Result<u64, Fault> {
        self.view().compare_exchange(addr, size, expected, new)
    }
}

impl VcpuMemory for Hart {
    fn host_base(&self) -> u64 {
        0
    }

    #[inline]
    fn locate(&mut self, pc: u64) -> Result<Place, Fault> {
        let regime = regime(&self.csrs, self.csrs.privilege);
        self.view().locate(pc, &regime)
    }

    fn system(&mut self, state: &mut CpuState, insn: &Insn) -> System {
        use Opcode::*;
        match insn.op {
            Mret => {
                let to = self.csrs.mret();
                self.returned(state, to)
            }
            Sret => {
                let to = self.csrs.sret();
                self.returned(state, to)
            }
            Wfi if self.csrs.may_wait() => {
                self.waits = true;
                System::StepAndStop
            }
            SfenceVma | SinvalVma => self.fence_of(state, insn),
            // `sinval.vma` is never put off, so there is nothing to wait for.
            SfenceWInval | SfenceInvalIr if self.csrs.privilege != Privilege::User => System::Step,
            Csrrw | Csrrs | Csrrc | Csrrwi | Csrrsi | Csrrci => {
                match self.csrs.execute(state, insn) {
                    None => System::Illegal,
                    Some(effect) if self.follow(state, effect) => System::StepAndStop,
                    Some(_) => System::Step,
                }
            }
            _ => System::Illegal,
        }
    }
}
