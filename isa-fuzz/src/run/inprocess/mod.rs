//! Runs images in this process: front end, passes and a back end, with no cache, no kernel and no
//! threads around them. What the guest's trap handler would write, the run loop writes itself.

mod host;
mod profile;
mod space;

pub use profile::{Profile, profile};

use std::collections::HashMap;
use std::io;

use riscv::{Insn, Opcode};
use translate::frontend::{self, Limits};
use translate::interp::{self, BlockEnd};
use translate::ops::Trap;
use translate::{Block, Cause, CpuState, Fault, GuestCode, Mode, Reg, passes};

use super::{End, Output, RunError, Runner};
use crate::layout::CODE;
use crate::program::Image;
use host::HostBackend;
use space::Space;

/// System calls that the frame makes.
const SYS_WRITE: u64 = 64;
const SYS_EXIT_GROUP: u64 = 94;

/// Signals and their codes.
const SIGILL: (u32, u32) = (4, 1);
const SIGTRAP: (u32, u32) = (5, 1);
const SIGBUS_MISALIGNED: (u32, u32) = (7, 1);
const SIGSEGV_UNMAPPED: (u32, u32) = (11, 1);
const SIGSEGV_FORBIDDEN: (u32, u32) = (11, 2);

/// Blocks that a program may run before it counts as endless.
const BLOCK_BUDGET: u64 = 50_000_000;

/// What runs blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The op interpreter, on what the front end emits.
    Plain,
    /// The op interpreter, on superblocks after the passes.
    Interpreter,
    /// Host code, from superblocks after the passes.
    Emitter,
}

/// Runs images in this process.
pub struct InProcess {
    backend: Backend,
}

impl InProcess {
    /// A runner with the given back end.
    pub fn new(backend: Backend) -> InProcess {
        InProcess { backend }
    }
}

impl Runner for InProcess {
    fn name(&self) -> &str {
        match self.backend {
            Backend::Plain => "plain ops",
            Backend::Interpreter => "interpreter",
            Backend::Emitter => "emitter",
        }
    }

    fn run(&self, image: &Image) -> Result<Output, RunError> {
        let machine = Machine::new(image, self.backend).map_err(|e| self.error(e))?;
        machine.run(|_, _| {}).map_err(|e| self.error(e))
    }
}

impl InProcess {
    fn error(&self, source: io::Error) -> RunError {
        RunError {
            runner: self.name().to_owned(),
            doing: "mapping memory",
            source,
        }
    }
}

/// Why a back end stopped.
enum Stop {
    /// At a block's end; `state.pc` is the next one.
    Next,
    Trap(Trap),
    Fault(Fault),
}

impl From<BlockEnd> for Stop {
    fn from(end: BlockEnd) -> Stop {
        match end {
            BlockEnd::Next | BlockEnd::Changed | BlockEnd::Request | BlockEnd::Rest => Stop::Next,
            BlockEnd::Trap(trap) => Stop::Trap(trap),
            BlockEnd::Fault(fault) => Stop::Fault(fault),
        }
    }
}

/// One run of one image.
struct Machine {
    state: Box<CpuState>,
    space: Space,
    blocks: HashMap<(u64, Mode), Block>,
    host: Option<HostBackend>,
    limits: Limits,
    optimize: bool,
    output: Vec<u8>,
}

impl Machine {
    fn new(image: &Image, backend: Backend) -> io::Result<Machine> {
        let space = Space::new(image)?;
        let mut state = CpuState::new();
        state.pc = CODE;
        let host = match backend {
            Backend::Emitter => Some(HostBackend::new(&mut state, &space)?),
            _ => None,
        };
        Ok(Machine {
            state,
            space,
            blocks: HashMap::new(),
            host,
            limits: Limits {
                superblocks: backend != Backend::Plain,
                fold: true,
                ..Limits::default()
            },
            optimize: backend != Backend::Plain,
            output: Vec::new(),
        })
    }

    /// Runs to the end. Shows `observe` each block that was run from its start, and the pc before
    /// which it stopped if it was not at its end.
    fn run(mut self, mut observe: impl FnMut(&Block, Option<u64>)) -> io::Result<Output> {
        for _ in 0..BLOCK_BUDGET {
            let key = (self.state.pc, self.state.mode());
            let stop = self.step(key)?;
            let reached = match stop {
                Stop::Next => None,
                // These the run loop completes.
                Stop::Trap(Trap::Csr | Trap::FenceI | Trap::Pause) => {
                    Some(self.state.pc + u64::from(self.insn().len))
                }
                Stop::Trap(_) | Stop::Fault(_) => Some(self.state.pc),
            };
            if let Some(block) = self.blocks.get(&key) {
                observe(block, reached);
            }
            let end = match stop {
                Stop::Next => None,
                Stop::Trap(trap) => self.trap(trap),
                Stop::Fault(fault) => self.fault(fault),
            };
            if let Some(end) = end {
                return Ok(self.finish(end));
            }
        }
        Ok(self.finish(End::Timeout))
    }

    fn finish(self, end: End) -> Output {
        Output {
            bytes: self.output,
            end,
        }
    }

    /// Runs the block of `key`, where the state is, translating it first if it is new.
    fn step(&mut self, key: (u64, Mode)) -> io::Result<Stop> {
        let (limits, optimize, space) = (&self.limits, self.optimize, &self.space);
        let mut is_new = false;
        let block = self.blocks.entry(key).or_insert_with(|| {
            is_new = true;
            translated(key.0, key.1, space, limits, optimize)
        });
        match &mut self.host {
            None => Ok(interp::run_block(&mut self.state, &mut self.space, block).into()),
            Some(host) => {
                if is_new {
                    host.add(key, block)?;
                }
                Ok(host.run(key, &mut self.state, &mut self.space))
            }
        }
    }

    fn insn(&self) -> Insn {
        insn_at(&self.space, self.state.pc)
    }

    /// Goes on after the instruction at `state.pc`.
    fn step_over(&mut self) {
        self.state.pc += u64::from(self.insn().len);
    }

    fn trap(&mut self, trap: Trap) -> Option<End> {
        let pc = self.state.pc;
        match trap {
            Trap::Ecall => return self.system_call(),
            Trap::Ebreak => self.signal(SIGTRAP, pc),
            // Programs have neither privileged instructions nor floating point that is off.
            Trap::Illegal | Trap::System | Trap::Float => self.signal(SIGILL, pc),
            Trap::FenceI | Trap::Pause => self.step_over(),
            Trap::Csr => self.csr(),
            Trap::Fetch => return Some(End::Signal(SIGSEGV_UNMAPPED.0 as i32)),
        }
        None
    }

    fn system_call(&mut self) -> Option<End> {
        let [number, a0, a1, a2] = [17, 10, 11, 12].map(|reg| self.state.x[reg]);
        let result = match number {
            SYS_EXIT_GROUP => return Some(End::Exit(a0 as i32 & 0xff)),
            SYS_WRITE => {
                self.output.extend_from_slice(self.space.bytes(a1, a2));
                a2
            }
            // The signal calls of the start-up code.
            _ => 0,
        };
        self.state.x[10] = result;
        self.step_over();
        None
    }

    /// An access to one of the floating-point CSRs; anything else is illegal.
    fn csr(&mut self) {
        let insn = self.insn();
        let state = &mut *self.state;
        let (shift, mask) = match insn.imm {
            1 => (0, 0x1f),
            2 => (5, 0x7),
            3 => (0, 0xff),
            _ => return self.signal(SIGILL, self.state.pc),
        };
        let fcsr = state.frm << 5 | state.fflags;
        let old = fcsr >> shift & mask;
        let immediate = matches!(insn.op, Opcode::Csrrwi | Opcode::Csrrsi | Opcode::Csrrci);
        let operand = if immediate {
            u32::from(insn.rs1)
        } else {
            state.get(Reg(insn.rs1)) as u32
        };
        let new = match insn.op {
            Opcode::Csrrw | Opcode::Csrrwi => operand,
            Opcode::Csrrs | Opcode::Csrrsi => old | operand,
            _ => old & !operand,
        } & mask;
        let fcsr = fcsr & !(mask << shift) | new << shift;
        state.fflags = fcsr & 0x1f;
        state.set_frm((fcsr >> 5) as u8);
        state.set(Reg(insn.rd), old.into());
        self.step_over();
    }

    fn fault(&mut self, fault: Fault) -> Option<End> {
        let signal = match fault.cause {
            Cause::Misaligned => SIGBUS_MISALIGNED,
            Cause::Page | Cause::Bus if self.space.is_mapped(fault.addr) => SIGSEGV_FORBIDDEN,
            Cause::Page | Cause::Bus => SIGSEGV_UNMAPPED,
        };
        self.signal(signal, fault.addr);
        None
    }

    /// What the guest's handler does about a signal: writes it out and steps over.
    fn signal(&mut self, (number, code): (u32, u32), address: u64) {
        let state = &self.state;
        for word in [number, 0, code, 0] {
            self.output.extend(word.to_le_bytes());
        }
        let registers = std::iter::once(&state.pc)
            .chain(&state.x[1..])
            .chain(&state.f);
        for word in std::iter::once(&address).chain(registers) {
            self.output.extend(word.to_le_bytes());
        }
        let fcsr = state.frm << 5 | state.fflags;
        self.output.extend(fcsr.to_le_bytes());
        self.step_over();
    }
}

fn insn_at(space: &Space, pc: u64) -> Insn {
    let mut bytes = [0; 4];
    space.fetch(pc, &mut bytes);
    riscv::decode(u32::from_le_bytes(bytes))
}

fn translated(pc: u64, mode: Mode, space: &Space, limits: &Limits, optimize: bool) -> Block {
    let mut block = Block::default();
    frontend::translate(&mut block, pc, mode, space, limits);
    if optimize {
        passes::optimize(&mut block);
    }
    block
}
