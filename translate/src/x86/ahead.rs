//! Ops that are emitted together with ops to come.
//!
//! A comparison and the branch on its result share the flags, a quotient and a remainder one division;
//! bytes stored in a row are stored at once, and so are the counters that are lanes added to.

use super::asm::Cc;
use super::emit::Emission;
use super::{bytes, lanes};
use crate::ops::{Addr, Op, Reg, Size};

/// An op of a later instruction, with nothing but beginnings of instructions before it.
struct Next<'a> {
    op: &'a Op,
    /// Guest pc of its instruction.
    pc: u64,
    /// What comes behind it.
    rest: &'a [Op],
}

impl<'a> Emission<'a> {
    /// The first op of the next instruction that has any, if the current one is over.
    fn next_insn(&self) -> Option<Next<'a>> {
        let mut ops = self.rest;
        let mut begun = None;
        while let [Op::Insn { pc, .. }, rest @ ..] = ops {
            (begun, ops) = (Some(*pc), rest);
        }
        let (op, rest) = ops.split_first()?;
        begun.map(|pc| Next { op, pc, rest })
    }

    /// The current op and `next` have been emitted together.
    fn take(&mut self, next: Next<'a>) {
        (self.pc, self.rest) = (next.pc, next.rest);
    }

    /// Adds to a counter; to those of the next ops as well, if they are lanes.
    pub(super) fn counts(&mut self, op: &Op, offset: u32, value: i64) {
        let ops = match self.skip {
            None => self.ahead,
            Some(_) => std::slice::from_ref(op),
        };
        match lanes::additions(ops, self.block.lanes) {
            Some((values, len)) => {
                self.add_to_lanes(values);
                self.rest = &self.ahead[len..];
            }
            None => self.count(offset, value),
        }
    }

    /// Stores a byte; those of the next instructions as well, if they can go together.
    pub(super) fn byte_stores(&mut self, op: &Op, rs: Reg, addr: Addr) {
        match bytes::run(self.block, op, self.pc, self.rest, self.sunk_here) {
            Some(run) => {
                self.store_bytes(&run);
                (self.pc, self.rest) = (run.pc, run.rest);
            }
            None => self.store(rs, addr, Size::B1),
        }
    }

    /// A comparison has put `cc` into `rd`: emits the branch that follows, if it depends on that. They
    /// share the flags.
    pub(super) fn branch_after(&mut self, cc: Cc, rd: Reg) {
        if let Some(next) = self.next_insn()
            && !rd.is_zero()
            && self.fused_branch(cc, rd, next.op)
        {
            self.take(next);
        }
    }

    /// Emits a division, and the next one if it is of the same operands: one gives the quotient, the
    /// other one the remainder.
    pub(super) fn division(&mut self, op: &Op) {
        match self.next_insn() {
            Some(next) if self.division_pair(op, next.op) => self.take(next),
            _ => self.divide(op, None),
        }
    }
}
