//! Binary32 and binary64 arithmetic in software, exactly as RISC-V's F and D extensions want it.
//!
//! Every operation goes the same way: [`Value::decode`] turns a bit pattern into an exact number,
//! the operation is done on exact numbers ([`real`]), and [`Value::encode`] rounds once.
//!
//! Rules:
//!
//! 1. A single travels as its 32 bits in a `u64` with a zero upper half. NaN boxing exists only at
//!    the registers: [`Format::unbox`] and [`Format::boxed`].
//! 2. The result of an arithmetic operation is never any NaN but [`Format::NAN`].
//! 3. Exceptions are only ever added to [`Env::flags`], never taken away.
//! 4. Tininess is detected after rounding; underflow is raised only if the result is inexact too.
//! 5. Nothing here touches the host's floating-point unit, so results cannot depend on its state.

pub mod arith;
pub mod compare;
pub mod convert;
mod format;
mod real;
mod round;

pub use format::{Double, Format, Single, Value};
pub use real::Real;

use crate::ops::Rm;

/// Floating-point exception bits, numbered as in `fflags`.
pub mod flags {
    /// Inexact.
    pub const NX: u32 = 1;
    /// Underflow.
    pub const UF: u32 = 2;
    /// Overflow.
    pub const OF: u32 = 4;
    /// Division by zero.
    pub const DZ: u32 = 8;
    /// Invalid operation.
    pub const NV: u32 = 16;
}

/// What an operation depends on besides its operands, and what it gives besides its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Env {
    /// Rounding mode.
    pub rm: Rm,
    /// Exceptions raised so far ([`flags`]).
    pub flags: u32,
}

impl Env {
    /// Nothing raised yet.
    #[inline]
    pub fn new(rm: Rm) -> Env {
        Env { rm, flags: 0 }
    }

    #[inline]
    fn raise(&mut self, flags: u32) {
        self.flags |= flags;
    }
}
