//! Sinks inline counts: what a block adds to a counter here and there becomes one addition where
//! somebody could look.
//!
//! Rules:
//! 1. Additions are held back and summed up by counter. They are pure, so their order among the
//!    other ops does not matter.
//! 2. What may fault, or leave for the interpreter, has them declared sunk, behind the register ops
//!    that are declared there already. A side exit has them on its way out, and the block that goes
//!    on keeps holding them. Before everything else that can be left at, they run.
//! 3. Whoever is called may look at counters: before that, the additions run. Nothing else of an
//!    instrumented block looks for requests before its instruction is done
//!    ([`Block::instrumented`]), so that nothing is ever counted twice.

use crate::ops::{Block, Exit, Op, SunkRange};

/// The pass, with its buffers.
#[derive(Debug, Default)]
pub struct Counts {
    input: Vec<Op>,
    held: Vec<Held>,
}

/// Additions to one counter, not yet run.
#[derive(Debug)]
struct Held {
    offset: u32,
    value: i64,
}

impl Counts {
    /// Rewrites the block's ops, if there is anything to count.
    pub fn run(&mut self, block: &mut Block) {
        if !block.ops.iter().any(|op| matches!(op, Op::Count { .. })) {
            return;
        }
        block.instrumented = true;
        self.input.clear();
        self.held.clear();
        std::mem::swap(&mut self.input, &mut block.ops);
        let mut pass = Pass {
            out: &mut block.ops,
            sunk_ops: &mut block.sunk_ops,
            exits: &mut block.exits,
            held: &mut self.held,
            sunk_here: SunkRange::EMPTY,
            in_place: 0,
        };
        for &op in &self.input {
            pass.op(op);
        }
    }
}

struct Pass<'a> {
    out: &'a mut Vec<Op>,
    sunk_ops: &'a mut Vec<Op>,
    exits: &'a mut Vec<Exit>,
    held: &'a mut Vec<Held>,
    /// What earlier passes have declared sunk for the op at hand.
    sunk_here: SunkRange,
    /// So many of the next ops may be skipped: what they add is added where they stand.
    in_place: u16,
}

impl Pass<'_> {
    fn op(&mut self, op: Op) {
        if self.in_place != 0 {
            self.in_place -= 1;
            self.out.push(op);
            return;
        }
        match op {
            Op::Count { offset, value } => return self.hold(offset, value),
            Op::UnlessDone { ops } => {
                self.run_all();
                self.in_place = ops;
            }
            Op::Sunk(range) => {
                self.sunk_here = range;
                return;
            }
            Op::Branch { exit, .. } | Op::BranchImm { exit, .. } => {
                let exit = usize::from(exit);
                self.exits[exit].sunk = self.declared(self.exits[exit].sunk);
            }
            Op::Jump { .. }
            | Op::JumpReg { .. }
            | Op::Call { .. }
            | Op::SetCount { .. }
            | Op::Watched(_)
            | Op::Trap(_)
            | Op::Poll { .. }
            | Op::Amo { .. }
            | Op::Lr { .. }
            | Op::Sc { .. }
            | Op::CboZero { .. }
            | Op::CboTouch { .. } => self.run_all(),
            Op::Insn { .. }
            | Op::Point(_)
            | Op::NoteAddr { .. }
            | Op::NoteLoaded { .. }
            | Op::NoteStored { .. }
            | Op::NoteFLoaded { .. }
            | Op::NoteFStored { .. }
            | Op::Const { .. }
            | Op::Un { .. }
            | Op::Alu { .. }
            | Op::AluImm { .. }
            | Op::ShAdd { .. }
            | Op::Lea { .. }
            | Op::Fence
            | Op::FClass { .. }
            | Op::FMvToX { .. }
            | Op::FMvFromX { .. }
            | Op::FlagsRead { .. }
            | Op::FlagsSwap { .. } => {}
            Op::Load { .. }
            | Op::Store { .. }
            | Op::StoreImm { .. }
            | Op::FLoad { .. }
            | Op::FStore { .. }
            | Op::FAlu { .. }
            | Op::FSqrt { .. }
            | Op::FMa { .. }
            | Op::FCmp { .. }
            | Op::FToInt { .. }
            | Op::IntToF { .. }
            | Op::FCvt { .. } => {
                self.sunk_here = self.declared(self.sunk_here);
            }
        }
        let sunk = std::mem::replace(&mut self.sunk_here, SunkRange::EMPTY);
        if sunk.len != 0 {
            self.out.push(Op::Sunk(sunk));
        }
        self.out.push(op);
    }

    fn hold(&mut self, offset: u32, value: i64) {
        match self.held.iter_mut().find(|held| held.offset == offset) {
            Some(held) => held.value = held.value.wrapping_add(value),
            None => self.held.push(Held { offset, value }),
        }
    }

    fn run_all(&mut self) {
        for held in self.held.iter_mut().filter(|held| held.value != 0) {
            let (offset, value) = (held.offset, std::mem::take(&mut held.value));
            self.out.push(Op::Count { offset, value });
        }
    }

    /// `range` and, behind it, the additions that are held.
    fn declared(&mut self, range: SunkRange) -> SunkRange {
        if self.held.iter().all(|held| held.value == 0) {
            return range;
        }
        let start = self.sunk_ops.len();
        self.sunk_ops.extend_from_within(range.range());
        for &Held { offset, value } in self.held.iter().filter(|held| held.value != 0) {
            self.sunk_ops.push(Op::Count { offset, value });
        }
        SunkRange {
            start: start as u32,
            len: (self.sunk_ops.len() - start) as u32,
        }
    }
}
