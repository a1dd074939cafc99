//! Sinks inline counts: what a block adds to a counter here and there becomes one addition where
//! somebody could look.
//!
//! Rules:
//! 1. Additions are held back and summed up by counter. They are pure, so their order among the
//!    other ops does not matter.
//! 2. What may fault, or leave for the interpreter, has them declared sunk, behind the register ops
//!    that are declared there already. A side exit has them on its way out, and the block that goes
//!    on keeps holding them. Before everything else that can be left at, they run.
//! 3. An op that polls at its own pc may leave before its own instruction, which then comes again:
//!    what that instruction has counted is taken back on that way.

use crate::ops::{Block, Exit, Op, SunkRange};

/// The pass, with its buffers.
#[derive(Debug, Default)]
pub struct Counts {
    input: Vec<Op>,
    held: Vec<Held>,
}

/// Additions to one counter.
#[derive(Debug)]
struct Held {
    offset: u32,
    /// Not yet run.
    value: i32,
    /// Counted by the current instruction, run or not.
    here: i32,
}

impl Counts {
    /// Rewrites the block's ops, if there is anything to count.
    pub fn run(&mut self, block: &mut Block) {
        if !block.ops.iter().any(|op| matches!(op, Op::Count { .. })) {
            return;
        }
        self.input.clear();
        self.held.clear();
        std::mem::swap(&mut self.input, &mut block.ops);
        let mut pass = Pass {
            out: &mut block.ops,
            sunk_ops: &mut block.sunk_ops,
            exits: &mut block.exits,
            held: &mut self.held,
            sunk_here: SunkRange::EMPTY,
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
}

impl Pass<'_> {
    fn op(&mut self, op: Op) {
        match op {
            Op::Count { offset, value } => return self.hold(offset, value),
            Op::Sunk(range) => {
                self.sunk_here = range;
                return;
            }
            Op::Insn { .. } => self.held.iter_mut().for_each(|held| held.here = 0),
            Op::Branch { exit, .. } | Op::BranchImm { exit, .. } => {
                let exit = usize::from(exit);
                if self.exits[exit].poll {
                    self.run_all();
                    self.take_back();
                } else {
                    self.exits[exit].sunk = self.declared(self.exits[exit].sunk, |held| held.value);
                }
            }
            Op::JumpReg { .. } => {
                self.run_all();
                self.take_back();
            }
            Op::Jump { .. }
            | Op::Trap(_)
            | Op::Poll { .. }
            | Op::Amo { .. }
            | Op::Lr { .. }
            | Op::Sc { .. }
            | Op::CboZero { .. }
            | Op::CboTouch { .. } => self.run_all(),
            Op::Point(_)
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
                self.sunk_here = self.declared(self.sunk_here, |held| held.value);
            }
        }
        let sunk = std::mem::replace(&mut self.sunk_here, SunkRange::EMPTY);
        if sunk.len != 0 {
            self.out.push(Op::Sunk(sunk));
        }
        self.out.push(op);
    }

    fn hold(&mut self, offset: u32, value: i32) {
        let known = self.held.iter_mut().find(|held| held.offset == offset);
        let Some(held) = known else {
            self.held.push(Held {
                offset,
                value,
                here: value,
            });
            return;
        };
        held.here = held.here.wrapping_add(value);
        match held.value.checked_add(value) {
            Some(sum) => held.value = sum,
            None => self.out.push(Op::Count { offset, value }),
        }
    }

    fn run_all(&mut self) {
        for held in self.held.iter_mut().filter(|held| held.value != 0) {
            let (offset, value) = (held.offset, std::mem::take(&mut held.value));
            self.out.push(Op::Count { offset, value });
        }
    }

    /// Rule 3; nothing is held.
    fn take_back(&mut self) {
        self.sunk_here = self.declared(self.sunk_here, |held| held.here.wrapping_neg());
    }

    /// `range` and, behind it, an addition of what `value` says for each counter.
    fn declared(&mut self, range: SunkRange, value: impl Fn(&Held) -> i32) -> SunkRange {
        if self.held.iter().all(|held| value(held) == 0) {
            return range;
        }
        let start = self.sunk_ops.len();
        self.sunk_ops.extend_from_within(range.range());
        for held in self.held.iter() {
            let (offset, value) = (held.offset, value(held));
            if value != 0 {
                self.sunk_ops.push(Op::Count { offset, value });
            }
        }
        SunkRange {
            start: start as u32,
            len: (self.sunk_ops.len() - start) as u32,
        }
    }
}
