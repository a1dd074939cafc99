//! Counts less often: what a block adds to a counter here and there becomes one addition.
//!
//! Two ways, each exact wherever somebody could look:
//!
//! * **Hoisting**, for counters in lanes ([`crate::lanes`]), in blocks in which nobody looks. A stretch
//!   between two ways out adds all at its beginning. What may fault in between, or leave for the
//!   interpreter, declares sunk that what would have come behind it is taken back.
//! * **Sinking**, for all others. Additions are held back and summed up; they are pure, so their order
//!   among the other ops does not matter. What may fault has them declared sunk, behind the register
//!   ops that are declared there already. A side exit has them on its way out, and the block that
//!   goes on keeps holding them. Before everything else that can be left at, they run, and before
//!   callbacks.
//!
//! No request is looked for between an instruction's point and the instruction
//! ([`Block::instrumented`]), so that nothing is ever counted twice.

use crate::lanes::{NONE, Offsets};
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
    /// Rewrites the ops of a block in which there is something to count.
    pub fn run(&mut self, block: &mut Block) {
        block.instrumented = true;
        let hoisted = match block.looked_at {
            true => NONE,
            false => block.lanes,
        };
        if hoisted != NONE {
            self.take_ops(block);
            hoist(&self.input, hoisted, block);
        }
        let is_left = |op: &Op| match *op {
            Op::Count { offset, .. } => !hoisted.contains(&offset),
            _ => false,
        };
        if block.ops.iter().any(is_left) {
            self.take_ops(block);
            self.held.clear();
            let mut pass = Sinking {
                hoisted,
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

    fn take_ops(&mut self, block: &mut Block) {
        self.input.clear();
        std::mem::swap(&mut self.input, &mut block.ops);
    }
}

/// What an op means to those who count.
enum Kind {
    /// Nobody can look.
    Quiet,
    /// It may fault, or leave for the interpreter: what is declared sunk runs then.
    Declares,
    /// A way out to one side.
    SideExit(u16),
    /// Somebody may look, and nothing can be declared.
    Looks,
}

fn kind(op: &Op) -> Kind {
    match *op {
        Op::Branch { exit, .. } | Op::BranchImm { exit, .. } => Kind::SideExit(exit),
        Op::Jump { .. }
        | Op::JumpReg { .. }
        | Op::Guard(_)
        | Op::Rounding
        | Op::Call { .. }
        | Op::SetCount { .. }
        | Op::Watched(_)
        | Op::UnlessDone { .. }
        | Op::Trap(_)
        | Op::Poll { .. }
        | Op::Amo { .. }
        | Op::Lr { .. }
        | Op::Sc { .. }
        | Op::CboZero { .. }
        | Op::CboTouch { .. } => Kind::Looks,
        Op::Count { .. }
        | Op::Sunk(_)
        | Op::Insn { .. }
        | Op::Point { .. }
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
        | Op::FlagsSwap { .. } => Kind::Quiet,
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
        | Op::FCvt { .. } => Kind::Declares,
    }
}

/// Moves additions to lanes to the beginning of their stretch.
fn hoist(input: &[Op], lanes: Offsets, block: &mut Block) {
    let mut rest = input;
    while !rest.is_empty() {
        let (stretch, behind) = rest.split_at(stretch_len(rest));
        rest = behind;
        let mut left = [0_i64; 2];
        for op in stretch {
            if let Some((lane, value)) = addition(op, lanes) {
                left[lane] = left[lane].wrapping_add(value);
            }
        }
        for (offset, value) in lanes.into_iter().zip(left).filter(|&(_, value)| value != 0) {
            block.ops.push(Op::Count { offset, value });
        }
        let mut sunk_here = SunkRange::EMPTY;
        for op in stretch {
            if let Some((lane, value)) = addition(op, lanes) {
                left[lane] = left[lane].wrapping_sub(value);
                continue;
            }
            if let Op::Sunk(range) = *op {
                sunk_here = range;
                continue;
            }
            if let Kind::Declares = kind(op) {
                let take_back = lanes.into_iter().zip(left.map(i64::wrapping_neg));
                sunk_here = declared(&mut block.sunk_ops, sunk_here, take_back);
            }
            push_declared(&mut block.ops, &mut sunk_here, *op);
        }
        // What may be skipped stays where it is.
        if let Some(Op::UnlessDone { ops }) = stretch.last() {
            let (skipped, behind) = rest.split_at(usize::from(*ops));
            block.ops.extend_from_slice(skipped);
            rest = behind;
        }
    }
}

/// The lane that `op` adds to, and what.
fn addition(op: &Op, lanes: Offsets) -> Option<(usize, i64)> {
    match *op {
        Op::Count { offset, value } => {
            let lane = lanes.iter().position(|&lane| lane == offset)?;
            Some((lane, value))
        }
        _ => None,
    }
}

/// How many ops there are up to and with the first at which somebody may look.
fn stretch_len(ops: &[Op]) -> usize {
    let ends = |op: &Op| matches!(kind(op), Kind::Looks | Kind::SideExit(_));
    ops.iter().position(ends).map_or(ops.len(), |last| last + 1)
}

/// `range` and, behind it, additions.
fn declared(
    sunk_ops: &mut Vec<Op>,
    range: SunkRange,
    additions: impl Iterator<Item = (u32, i64)> + Clone,
) -> SunkRange {
    let mut additions = additions.filter(|&(_, value)| value != 0).peekable();
    if additions.peek().is_none() {
        return range;
    }
    let start = sunk_ops.len();
    sunk_ops.extend_from_within(range.range());
    sunk_ops.extend(additions.map(|(offset, value)| Op::Count { offset, value }));
    SunkRange {
        start: start as u32,
        len: (sunk_ops.len() - start) as u32,
    }
}

/// `op`, with what is declared sunk for it.
fn push_declared(out: &mut Vec<Op>, sunk_here: &mut SunkRange, op: Op) {
    let sunk = std::mem::replace(sunk_here, SunkRange::EMPTY);
    if sunk.len != 0 {
        out.push(Op::Sunk(sunk));
    }
    out.push(op);
}

struct Sinking<'a> {
    /// Counters that are not held back.
    hoisted: Offsets,
    out: &'a mut Vec<Op>,
    sunk_ops: &'a mut Vec<Op>,
    exits: &'a mut Vec<Exit>,
    held: &'a mut Vec<Held>,
    /// What has been declared sunk for the op at hand.
    sunk_here: SunkRange,
    /// So many of the next ops may be skipped: what they add is added where they stand.
    in_place: u16,
}

impl Sinking<'_> {
    fn op(&mut self, op: Op) {
        if self.in_place != 0 {
            self.in_place -= 1;
            self.out.push(op);
            return;
        }
        match op {
            Op::Count { offset, value } if !self.hoisted.contains(&offset) => {
                return self.hold(offset, value);
            }
            Op::Sunk(range) => {
                self.sunk_here = range;
                return;
            }
            Op::UnlessDone { ops } => self.in_place = ops,
            _ => {}
        }
        match kind(&op) {
            Kind::Quiet => {}
            Kind::Declares => self.sunk_here = self.declared(self.sunk_here),
            Kind::SideExit(exit) => {
                let exit = usize::from(exit);
                self.exits[exit].sunk = self.declared(self.exits[exit].sunk);
            }
            Kind::Looks => self.run_all(),
        }
        push_declared(self.out, &mut self.sunk_here, op);
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

    fn declared(&mut self, range: SunkRange) -> SunkRange {
        let held = self.held.iter().map(|held| (held.offset, held.value));
        declared(self.sunk_ops, range, held)
    }
}
