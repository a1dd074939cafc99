//! The loop of a hart's thread.
//!
//! ```text
//!            ┌───────────────────────────────────────┐
//!   run ───▶ │ called? ─▶ the end, what others ask   │
//!            │ stopped? ─▶ until called              │ ◀─┐
//!            │ an interrupt? ─▶ its trap             │   │
//!            │ guest code, until it stops            │   │
//!            └───────────────────────────────────────┘   │
//!                 └─▶ trap, firmware; wait, stop ────────┘
//! ```
//!
//! 1. What others want is looked at after the kick that tells of it was taken, and before guest code runs:
//!    nothing is missed ([`super::lines`]).
//! 2. Where it waits, the hart is offline, so that no grace period waits for it.

use std::sync::Arc;

use plugin_rt::Discon;
use translate::{Privilege, Reg};
use vcpu::{Stop, Vcpu};

use super::Hart;
use super::lines::Lines;
use super::trap::Exception;
use crate::power::Power;
use crate::remote::Pause;

/// What a hart does after a call of its firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// It goes on.
    Go,
    /// It goes on when there is an interrupt.
    Wait,
    /// It has stopped, and waits to be started ([`Firmware::wait_for_start`]).
    Stopped,
}

/// Firmware that is ours, and not the guest's: it answers the supervisor's calls.
pub trait Firmware: Send + Sync {
    /// Does what the hart's `ecall` asks for, and steps behind it.
    fn call(&self, vcpu: &mut Vcpu<Hart>) -> After;
    /// Does what other harts have asked of this one, which was called.
    fn serve(&self, vcpu: &mut Vcpu<Hart>);
    /// Waits until the hart is started, and makes it begin there; `false` if the machine has ended
    /// before.
    fn wait_for_start(&self, vcpu: &mut Vcpu<Hart>) -> bool;
}

/// Where harts begin that have no firmware of ours: at the machine level, with their number in `a0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The first instruction, a physical address.
    pub entry: u64,
    /// What is in `a1` and `a2`.
    pub args: [u64; 2],
}

/// How a hart begins.
#[derive(Clone, Copy)]
pub enum Begin<'a> {
    /// In the guest's own firmware.
    Reset(Reset),
    /// As firmware of ours starts it, at the supervisor level.
    Firmware(&'a dyn Firmware),
}

/// Why the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// With the instruction at the pc.
    Run,
    /// When there is an interrupt.
    Wait,
    /// When the hart is started.
    Stopped,
}

/// Runs a hart until the machine ends. It stands still while `pause` is wanted.
pub fn run(mut vcpu: Vcpu<Hart>, power: &Power, pause: &Pause, begin: Begin<'_>) {
    let lines = Arc::clone(vcpu.memory().lines());
    lines.set_kicker(vcpu.kicker());
    vcpu.instruments().init();
    let mut next = Next::Run;
    let firmware = match begin {
        Begin::Reset(reset) => {
            begin_at(&mut vcpu, reset);
            None
        }
        Begin::Firmware(firmware) => {
            next = Next::Stopped;
            Some(firmware)
        }
    };
    let mut thread = Thread {
        vcpu,
        lines,
        firmware,
    };
    loop {
        match (next, firmware) {
            (Next::Run, _) => {}
            (Next::Wait, _) => thread.wait(),
            (Next::Stopped, Some(firmware)) if firmware.wait_for_start(&mut thread.vcpu) => {}
            (Next::Stopped, _) => break,
        }
        if thread.lines.take_call() {
            if power.ended().is_some() {
                break;
            }
            if let Some(firmware) = firmware {
                firmware.serve(&mut thread.vcpu);
            }
        }
        next = match pause.is_wanted() {
            true => thread.stand_still(),
            false => thread.turn(),
        };
    }
}

fn begin_at(vcpu: &mut Vcpu<Hart>, reset: Reset) {
    let (hart, state) = vcpu.parts();
    hart.begin(state, reset.entry);
    state.set(Reg(10), hart.number() as u64);
    state.set(Reg(11), reset.args[0]);
    state.set(Reg(12), reset.args[1]);
}

struct Thread<'a> {
    vcpu: Vcpu<Hart>,
    lines: Arc<Lines>,
    firmware: Option<&'a dyn Firmware>,
}

impl Thread<'_> {
    /// Takes an interrupt if there is one, and runs guest code until it stops.
    fn turn(&mut self) -> Next {
        let (hart, state) = self.vcpu.parts();
        if let Some(interrupt) = hart.interrupt() {
            let from = state.pc;
            hart.take_interrupt(state, interrupt);
            self.tell(Discon::Interrupt, from);
        }
        match self.vcpu.run() {
            Stop::Request => match self.vcpu.memory().take_wait() {
                true => Next::Wait,
                false => Next::Run,
            },
            Stop::Ecall => self.ecall(),
            stop => {
                self.trap(stop);
                Next::Run
            }
        }
    }

    /// Waits until somebody calls: to ask for something, to let it go on, or for the end.
    #[cold]
    fn stand_still(&mut self) -> Next {
        let lines = &self.lines;
        self.vcpu.while_offline(|| lines.wait(0));
        Next::Run
    }

    /// Waits for an interrupt that is enabled, whether or not it will be taken.
    fn wait(&mut self) {
        let hart = self.vcpu.memory();
        let enabled = hart.csrs.enabled();
        if hart.csrs.pending() & enabled == 0 {
            let lines = &self.lines;
            // Left or not by a callback: the guest goes on where the state says.
            let _ = self.vcpu.instruments().idle();
            self.vcpu.while_offline(|| lines.wait(enabled));
            let _ = self.vcpu.instruments().resume();
        }
    }

    fn ecall(&mut self) -> Next {
        let (hart, state) = self.vcpu.parts();
        let privilege = hart.csrs.privilege;
        let Some(firmware) = self.firmware.filter(|_| privilege == Privilege::Supervisor) else {
            let from = state.pc;
            hart.take_exception(state, Exception::of_ecall(privilege), 0);
            self.tell(Discon::Exception, from);
            return Next::Run;
        };
        let from = state.pc;
        let after = firmware.call(&mut self.vcpu);
        self.tell(Discon::HostCall, from);
        match after {
            After::Go => Next::Run,
            After::Wait => Next::Wait,
            After::Stopped => Next::Stopped,
        }
    }

    /// Takes the exception that the instruction at the pc has raised.
    fn trap(&mut self, stop: Stop) {
        let (hart, state) = self.vcpu.parts();
        let pc = state.pc;
        let (exception, value) = match stop {
            Stop::Float if hart.use_float(state) => return,
            Stop::Ebreak => (Exception::Breakpoint, pc),
            Stop::Fault(fault) => (Exception::of_fault(&fault), fault.addr),
            // There is less than `locate` says.
            Stop::Fetch => (Exception::InstructionAccess, pc),
            _ => {
                let bits = hart.instruction_at(pc);
                (Exception::IllegalInstruction, bits.into())
            }
        };
        hart.take_exception(state, exception, value);
        self.tell(Discon::Exception, pc);
    }

    /// Plugins are told that the guest goes on elsewhere than behind the instruction at `from`.
    fn tell(&mut self, kind: Discon, from: u64) {
        let to = self.vcpu.state().pc;
        let instruments = self.vcpu.instruments();
        if instruments.wants_discontinuities() {
            // Left or not: the guest goes on where the state says.
            let _ = instruments.discontinuity(kind, from, to);
        }
    }
}
