//! The x86-64 emitter: ops → host code.
//!
//! Needs a host with AVX, FMA, BMI1/2 and POPCNT/LZCNT (x86-64-v3): see [`host_supported`].
//!
//! * `regs`: which guest register lives where.
//! * `asm`: instructions with operands chosen at run time, over dynasm.
//! * `template`: where they are put together.
//! * `emit`: the pass over the ops; hot code, then cold code.
//! * `ahead`: ops that are emitted together.
//! * `int`, `div`, `float`, `mem`, `control`: the ops by kind.
//! * `probe`: where a guest address is on the host.
//! * `lanes`: counters in a vector register.
//! * `boxes`, `nans`: what singles and NaNs need beyond what the host does.
//! * `call`: callbacks of instrumentation; `callback`: what their own code says.
//! * `bytes`: byte stores in a row.
//! * `runtime`: the stubs into and out of generated code.

#![allow(
    clippy::useless_conversion,
    reason = "dynasm converts what is of the right type already"
)]

mod ahead;
mod asm;
mod boxes;
mod bytes;
mod call;
pub mod callback;
mod control;
mod div;
mod emit;
mod float;
mod int;
mod lanes;
mod mem;
mod nans;
mod probe;
mod regs;
mod runtime;
mod template;

pub use nans::Nans;
pub(crate) use regs::BIAS;
pub(crate) use runtime::STUB_ESCAPE;
pub use runtime::{HelperFn, Leave, Runtime, StubCode};

use crate::ops::{Block, ExitId, Invocation, Op, SunkRange};

/// Where host code must be placed: a multiple of this.
pub const CODE_ALIGN: usize = 16;

/// A direct way out of the host code, which the cache may link to another block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Which exit of the block.
    pub exit: ExitId,
    /// Offset of the 32-bit displacement of its `jmp` or `jcc`; the field lies within 8 aligned
    /// bytes, so that one store changes it for everybody at once.
    pub disp: u32,
    /// Value of the field that leads to the exit's own stub.
    pub unlinked: i32,
}

/// What to do about a fault in the host code from `offset` to the next point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPoint {
    /// Offset of the host code of the access, or of the floating-point operation.
    pub offset: u32,
    /// Guest pc of the instruction.
    pub pc: u64,
    /// Ops to run before the registers are looked at.
    pub sunk: SunkRange,
    /// Registers to canonicalise then.
    pub nans: Nans,
    /// The host code does the work of several instructions, of which the one at `pc` is the first
    /// and none has had an effect: let the interpreter run that one, instead of reporting a fault.
    pub retry: bool,
}

/// The host code of one block. Position independent, apart from [`CODE_ALIGN`].
#[derive(Debug, Default)]
pub struct HostCode {
    /// The code; offset 0 is the indirect entry, an 8-byte nop to be overwritten by a jump to
    /// `stale_stub` when the block is invalidated.
    pub bytes: Vec<u8>,
    /// Direct ways out.
    pub sites: Vec<Site>,
    /// Sorted by offset.
    pub faults: Vec<FaultPoint>,
    /// Ops that the code hands to the interpreter by address: must live, unmoved, as long as the
    /// code.
    pub helper_ops: Box<[Op]>,
    /// The callbacks that the code refers to by address, likewise.
    pub calls: Box<[Invocation]>,
    /// Where linked jumps enter.
    pub chain_entry: u32,
    /// See `bytes`.
    pub stale_stub: u32,
}

/// Turns blocks into host code, reusing its buffers.
#[derive(Default)]
pub struct Emitter {
    buffers: emit::Buffers,
}

impl Emitter {
    /// An emitter with empty buffers.
    pub fn new() -> Emitter {
        Emitter::default()
    }

    /// Emits `block` into `out`, replacing what is there.
    pub fn emit(&mut self, block: &Block, out: &mut HostCode) {
        emit::emit(block, &mut self.buffers, out);
    }
}

/// Whether this host has the instructions that the emitter uses.
pub fn host_supported() -> bool {
    macro_rules! has {
        ($($feature:tt)*) => { $(std::arch::is_x86_feature_detected!($feature))&&* };
    }
    has!("avx" "fma" "bmi1" "bmi2" "popcnt" "lzcnt")
}
