//! Lazy evaluation: cheap register computations wait until somebody needs their result.
//!
//! Many results are overwritten before anyone looks: the halves of a rotation, the scaled index of
//! an address, the upper part of a constant. Such an op is held back as *pending*: it says how to
//! compute its register from what the registers physically hold now. A later op that can absorb it
//! does (an address, a rotation, an immediate); one that overwrites the register drops it; one
//! that needs it otherwise, or overwrites a register that it reads, makes it run first.
//!
//! Rules:
//! 1. Only an op whose register is written again later in the block may wait.
//! 2. A pending op that reads a register physically runs before a pending op of that register.
//!    This order has no cycles: an op waits only if it reads no other pending register, or if
//!    nobody pending reads its own.
//! 3. Where the guest's state can be seen, the pending ops are run or declared sunk: everything
//!    before polls, traps and the block's end; as `Sunk` before what may fault, raise a flag that
//!    traps, or leave for the interpreter; on the way out for side exits.
//! 4. A pending op is dropped when its register is written, or when its turn comes and the
//!    register is written again before anybody could look.

use super::operands::{dest, sources};
use crate::hooks::Regs;
use crate::ops::{AluOp, Block, Exit, Fmt, Op, Reg, SunkRange, UnOp, Width};

/// The pass, with its buffers.
#[derive(Debug, Default)]
pub struct Lazy {
    input: Vec<Op>,
    ahead: Vec<Ahead>,
}

impl Lazy {
    /// Rewrites the block's ops.
    pub fn run(&mut self, block: &mut Block) {
        self.input.clear();
        std::mem::swap(&mut self.input, &mut block.ops);
        let fp_traps = block.mode.fp_traps();
        self.look_ahead(fp_traps);
        let mut pass = Pass {
            fp_traps,
            out: &mut block.ops,
            sunk_ops: &mut block.sunk_ops,
            exits: &mut block.exits,
            pending: [None; 32],
            waiting: 0,
            declared: None,
            dead: 0,
        };
        for (op, ahead) in self.input.iter().zip(&self.ahead) {
            pass.dead = ahead.dead & !ahead.sources;
            pass.op(*op, ahead);
        }
    }

    fn look_ahead(&mut self, fp_traps: bool) {
        self.ahead.clear();
        self.ahead.resize(self.input.len(), Ahead::default());
        let (mut written, mut dead) = (0u32, 0u32);
        for (op, ahead) in self.input.iter().zip(&mut self.ahead).rev() {
            let watched = is_watched(op, fp_traps);
            // What is pending before an op that may be left at is seen there.
            ahead.dead = if watched { 0 } else { dead };
            if let Some(rd) = dest(op) {
                ahead.rewritten = written & bit(rd) != 0;
                written |= bit(rd);
                dead |= bit(rd);
            }
            if watched {
                dead = 0;
            }
            ahead.sources = sources(op);
            dead &= !ahead.sources;
        }
    }
}

/// What the rest of the block does with registers.
#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    /// Whether the op's register is written again.
    rewritten: bool,
    /// What the op reads.
    sources: u32,
    /// After the op: registers that are written before they are read or anybody can look; none if
    /// somebody may look at the op itself.
    dead: u32,
}

fn bit(r: Reg) -> u32 {
    1 << r.index()
}

pub(super) struct Pass<'a> {
    /// Whether floating-point flags trap.
    fp_traps: bool,
    out: &'a mut Vec<Op>,
    sunk_ops: &'a mut Vec<Op>,
    pub(super) exits: &'a mut Vec<Exit>,
    /// The pending op of each register, and what it physically reads.
    pending: [Option<(Op, u32)>; 32],
    /// Registers that have a pending op, as a mask.
    waiting: u32,
    /// The pending ops as last written to `sunk_ops`, while they are unchanged.
    declared: Option<SunkRange>,
    /// [`Ahead::dead`] of the current op, apart from what it reads itself.
    dead: u32,
}

impl Pass<'_> {
    fn op(&mut self, op: Op, ahead: &Ahead) {
        if self.waiting == 0 && !(ahead.rewritten && may_wait(&op)) {
            self.out.push(op);
            return;
        }
        match op {
            Op::Insn { .. }
            | Op::Point(_)
            | Op::Guard(_)
            | Op::Count { .. }
            | Op::SetCount { .. }
            | Op::UnlessDone { .. }
            | Op::NoteFLoaded { .. }
            | Op::NoteFStored { .. }
            | Op::Call {
                regs: Regs::None, ..
            }
            | Op::Fence => {
                self.out.push(op);
                return;
            }
            Op::Jump { .. } | Op::Trap(_) | Op::Poll { .. } | Op::Call { .. } | Op::Watched(_) => {
                self.run_all();
                self.out.push(op);
                return;
            }
            _ => {}
        }
        let rd = dest(&op);
        let mut absorbed = if ahead.sources & self.waiting == 0 {
            op
        } else {
            self.absorb(op)
        };
        if let Some(rd) = rd {
            let wait = ahead.rewritten && may_wait(&absorbed);
            if wait && sources(&absorbed) & self.waiting & !bit(rd) == 0 {
                self.hold(rd, absorbed);
                return;
            }
            absorbed = self.clear_way(rd, op, absorbed, ahead.dead);
            if wait && may_wait(&absorbed) {
                self.hold(rd, absorbed);
                return;
            }
        }
        self.emit(absorbed, rd);
    }

    /// Sees to the pending ops that read `rd`, which `op` is about to write, and gives the form of
    /// `op` that is right afterwards.
    fn clear_way(&mut self, rd: Reg, op: Op, absorbed: Op, dead: u32) -> Op {
        let readers = self.readers(rd);
        if readers == 0 {
            return absorbed;
        }
        let reads = sources(&absorbed);
        if readers & !(dead & !reads) == 0 {
            // `op` was the last that needed them, and has absorbed them.
            self.forget_all(readers);
            return absorbed;
        }
        let before = self.waiting;
        self.run_readers(rd);
        if before & !self.waiting & reads == 0 {
            absorbed
        } else {
            // They have written registers that the absorbed form reads.
            self.absorb(op)
        }
    }

    fn emit(&mut self, op: Op, rd: Option<Reg>) {
        match op {
            Op::Branch { exit, .. } | Op::BranchImm { exit, .. } => {
                if self.exits[usize::from(exit)].poll {
                    // The poll looks at all registers, and a loop should not pay on its way back.
                    self.run_all();
                } else {
                    self.exits[usize::from(exit)].sunk = self.declare();
                }
            }
            // These absorb nothing, so their sources are not pending any more.
            Op::JumpReg { .. }
            | Op::Amo { .. }
            | Op::Lr { .. }
            | Op::Sc { .. }
            | Op::CboZero { .. }
            | Op::CboTouch { .. } => self.run_all(),
            _ if may_leave(&op, self.fp_traps) => {
                let sunk = self.declare();
                if sunk.len != 0 {
                    self.out.push(Op::Sunk(sunk));
                }
            }
            _ => {}
        }
        self.out.push(op);
        if let Some(rd) = rd {
            self.forget(rd);
        }
    }

    fn forget(&mut self, r: Reg) {
        if self.waiting & bit(r) != 0 {
            self.waiting &= !bit(r);
            self.pending[r.index()] = None;
            self.declared = None;
        }
    }

    fn hold(&mut self, rd: Reg, op: Op) {
        self.pending[rd.index()] = Some((op, sources(&op)));
        self.waiting |= bit(rd);
        self.declared = None;
    }

    /// Runs the pending op of `r` now, after those that read `r` physically.
    fn run(&mut self, r: Reg) {
        if let Some((op, _)) = self.pending[r.index()] {
            self.run_readers(r);
            // By rule 2 none of them was read by `r`, so that `r` is still pending.
            self.out.push(op);
            self.forget(r);
        }
    }

    /// Runs the pending ops of other registers that read `r` physically, which is about to change.
    fn run_readers(&mut self, r: Reg) {
        loop {
            let readers = self.readers(r);
            if readers == 0 {
                return;
            }
            let reader = lowest(readers);
            if self.dead & bit(reader) != 0 {
                self.forget(reader);
            } else {
                self.run(reader);
            }
        }
    }

    /// The pending registers other than `r` that read `r` physically.
    fn readers(&self, r: Reg) -> u32 {
        readers_among(&self.pending, self.waiting, r)
    }

    fn forget_all(&mut self, mut mask: u32) {
        while mask != 0 {
            self.forget(lowest(mask));
            mask &= mask - 1;
        }
    }

    fn run_all(&mut self) {
        while self.waiting != 0 {
            self.run(lowest(self.waiting));
        }
    }

    /// The pending ops, in an order in which they can run, as a range of `sunk_ops`.
    fn declare(&mut self) -> SunkRange {
        if let Some(range) = self.declared {
            return range;
        }
        let start = self.sunk_ops.len() as u32;
        let mut left = self.waiting;
        while left != 0 {
            let mut r = lowest(left);
            loop {
                let readers = readers_among(&self.pending, left, r);
                if readers == 0 {
                    break;
                }
                r = lowest(readers);
            }
            left &= !bit(r);
            if let Some((op, _)) = self.pending[r.index()] {
                self.sunk_ops.push(op);
            }
        }
        let len = self.sunk_ops.len() as u32 - start;
        let range = SunkRange { start, len };
        self.declared = Some(range);
        range
    }

    pub(super) fn pending(&self, r: Reg) -> Option<Op> {
        self.pending[r.index()].map(|(op, _)| op)
    }

    /// The op with its pending sources absorbed, or run where that is not possible. Afterwards its
    /// sources mean physical registers.
    fn absorb(&mut self, op: Op) -> Op {
        loop {
            if sources(&op) & self.waiting == 0 {
                return op;
            }
            let (absorbed, done) = self.combine(op);
            let left = sources(&op) & self.waiting & !done;
            if left == 0 {
                return absorbed;
            }
            self.run(lowest(left));
        }
    }
}

/// The registers in `mask`, other than `r`, whose pending op reads `r` physically.
fn readers_among(pending: &[Option<(Op, u32)>; 32], mask: u32, r: Reg) -> u32 {
    let mut readers = 0;
    let mut left = mask & !bit(r);
    while left != 0 {
        let q = lowest(left);
        if pending[q.index()].is_some_and(|(_, reads)| reads & bit(r) != 0) {
            readers |= bit(q);
        }
        left &= left - 1;
    }
    readers
}

/// The lowest register in a mask that is not empty.
fn lowest(mask: u32) -> Reg {
    Reg(mask.trailing_zeros() as u8)
}

/// Ops that may be held back: pure, cheap, and worth it.
fn may_wait(op: &Op) -> bool {
    match *op {
        Op::Const { .. } | Op::ShAdd { .. } | Op::Lea { .. } => true,
        Op::Un { op, .. } => matches!(op, UnOp::Mov | UnOp::ZextW | UnOp::ZextH | UnOp::ZextB),
        Op::Alu { op, w, .. } => op == AluOp::Add && w == Width::W64,
        Op::AluImm { op, w, .. } => match op {
            AluOp::Sll | AluOp::Srl | AluOp::Ror => true,
            AluOp::Add => w == Width::W64,
            _ => false,
        },
        _ => false,
    }
}

/// Ops at which somebody may look at the registers.
fn is_watched(op: &Op, fp_traps: bool) -> bool {
    may_leave(op, fp_traps)
        || matches!(op, Op::Call { regs, .. } if *regs != Regs::None)
        || matches!(
            op,
            Op::Watched(_)
                | Op::Amo { .. }
                | Op::Lr { .. }
                | Op::Sc { .. }
                | Op::CboZero { .. }
                | Op::CboTouch { .. }
                | Op::Branch { .. }
                | Op::BranchImm { .. }
                | Op::Jump { .. }
                | Op::JumpReg { .. }
                | Op::Trap(_)
                | Op::Poll { .. }
        )
}

/// Ops at which the block may be left: by a fault, or for the interpreter by a badly boxed single
/// or a floating-point flag that traps.
fn may_leave(op: &Op, fp_traps: bool) -> bool {
    match *op {
        _ if fp_traps && op.may_raise() => true,
        Op::Load { .. }
        | Op::Store { .. }
        | Op::StoreImm { .. }
        | Op::FLoad { .. }
        | Op::FStore { .. } => true,
        Op::FAlu { fmt, .. }
        | Op::FSqrt { fmt, .. }
        | Op::FMa { fmt, .. }
        | Op::FCmp { fmt, .. }
        | Op::FToInt { fmt, .. } => fmt == Fmt::S,
        Op::FCvt { fmt, .. } => fmt == Fmt::D,
        _ => false,
    }
}
