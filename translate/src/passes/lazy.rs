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

use super::operands::{Kind, Operands};
use crate::ops::{Block, Exit, Op, Reg, SunkRange};

/// The pass, with its buffers.
#[derive(Debug)]
pub struct Lazy {
    input: Vec<Op>,
    /// Of the input, the last op first.
    ahead: Vec<Ahead>,
    pending: Pending,
}

impl Default for Lazy {
    fn default() -> Lazy {
        Lazy {
            input: Vec::new(),
            ahead: Vec::new(),
            pending: Pending {
                ops: [Op::Fence; 32],
                reads: [0; 32],
            },
        }
    }
}

impl Lazy {
    /// Goes through the block backwards, and says which passes it needs. This one relies on it.
    pub fn look_ahead(&mut self, block: &Block) -> Needs {
        let fp_traps = block.mode.fp_traps();
        let (mut written, mut dead) = (0_u32, 0_u32);
        let mut needs = Needs::default();
        self.ahead.clear();
        for (at, op) in block.ops.iter().enumerate().rev() {
            // Half of the ops.
            if let Op::Insn { .. } = op {
                continue;
            }
            let Operands {
                sources,
                dest,
                kind,
            } = Operands::of(op, fp_traps);
            if kind == Kind::Apart {
                needs.counts |= matches!(op, Op::Count { .. });
                continue;
            }
            needs.quiet |= matches!(op, Op::FlagsSwap { .. });
            let watched = kind.is_watched();
            let written_here = bit(dest) & !1;
            let rewritten = written & written_here != 0;
            needs.lazy |= rewritten && kind == Kind::Cheap;
            self.ahead.push(Ahead {
                at: at as u32,
                sources,
                dest,
                kind,
                rewritten,
                // What is pending before an op that may be left at is seen there.
                dead: if watched { 0 } else { dead },
            });
            written |= written_here;
            dead = if watched { 0 } else { dead | written_here } & !sources;
        }
        needs
    }

    /// Rewrites the ops of the block that has been looked at.
    pub fn run(&mut self, block: &mut Block) {
        self.input.clear();
        std::mem::swap(&mut self.input, &mut block.ops);
        let mut pass = Pass {
            fp_traps: block.mode.fp_traps(),
            input: &self.input,
            copied: 0,
            out: &mut block.ops,
            sunk_ops: &mut block.sunk_ops,
            exits: &mut block.exits,
            pending: &mut self.pending,
            waiting: 0,
            read: 0,
            declared: None,
            dead: 0,
        };
        for ahead in self.ahead.iter().rev() {
            pass.op(ahead);
        }
        pass.copy_before(self.input.len());
    }
}

/// Which passes have something to do in a block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// There may be comparisons to make quiet.
    pub quiet: bool,
    /// Something may wait.
    pub lazy: bool,
    /// There is something to count.
    pub counts: bool,
}

/// An op that is not [`Kind::Apart`], and what the rest of the block does with registers.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    /// Where it is in the input.
    at: u32,
    /// As in [`Operands`].
    sources: u32,
    /// Registers that are written after the op before they are read or anybody can look; none if
    /// somebody may look at the op itself.
    dead: u32,
    /// As in [`Operands`].
    dest: Reg,
    /// As in [`Operands`].
    kind: Kind,
    /// Whether the op's register is written again.
    rewritten: bool,
}

fn bit(r: Reg) -> u32 {
    1 << r.index()
}

/// The pending ops by register, where there are any.
#[derive(Debug)]
struct Pending {
    ops: [Op; 32],
    /// What each reads physically.
    reads: [u32; 32],
}

impl Pending {
    /// The registers in `mask`, other than `r`, whose pending op reads `r` physically.
    fn readers_among(&self, mask: u32, r: Reg) -> u32 {
        let mut readers = 0;
        for q in each(mask & !bit(r)) {
            if self.reads[q.index()] & bit(r) != 0 {
                readers |= bit(q);
            }
        }
        readers
    }
}

pub(super) struct Pass<'a> {
    /// Whether floating-point flags trap.
    fp_traps: bool,
    input: &'a [Op],
    /// How much of the input has been seen to. From there up to the op at hand nothing changes.
    copied: usize,
    out: &'a mut Vec<Op>,
    sunk_ops: &'a mut Vec<Op>,
    pub(super) exits: &'a mut Vec<Exit>,
    pending: &'a mut Pending,
    /// Registers that have a pending op, as a mask.
    waiting: u32,
    /// All that pending ops read physically, and maybe more.
    read: u32,
    /// The pending ops as last written to `sunk_ops`, while they are unchanged.
    declared: Option<SunkRange>,
    /// [`Ahead::dead`] of the current op, apart from what it reads itself.
    dead: u32,
}

impl Pass<'_> {
    fn op(&mut self, ahead: &Ahead) {
        let Ahead {
            sources,
            dest,
            kind,
            ..
        } = *ahead;
        let may_wait = ahead.rewritten && kind == Kind::Cheap;
        if self.waiting == 0 && !may_wait {
            return;
        }
        self.dead = ahead.dead & !sources;
        let touched = sources & self.waiting | bit(dest) & !1 & (self.waiting | self.read);
        match kind {
            Kind::LooksFirst => {
                self.copy_before(ahead.at as usize);
                self.run_all();
            }
            // It has nothing to do with what is pending.
            Kind::Cheap | Kind::Works if touched == 0 && !may_wait => {}
            Kind::MayLeave if touched == 0 => {
                self.copy_before(ahead.at as usize);
                self.declare_here();
            }
            _ => self.involved(ahead),
        }
    }

    /// An op that reads or overwrites what is pending or what that reads, or may wait itself, or at
    /// which what is pending matters.
    fn involved(&mut self, ahead: &Ahead) {
        let Ahead {
            sources,
            dest: rd,
            kind,
            ..
        } = *ahead;
        let at = ahead.at as usize;
        let op = self.input[at];
        self.copy_before(at);
        self.copied = at + 1;
        let (mut absorbed, mut reads, mut is_cheap) = (op, sources, kind == Kind::Cheap);
        if sources & self.waiting != 0 {
            absorbed = self.absorb(op, sources);
            (reads, is_cheap) = self.reads_of(&absorbed);
        }
        if !rd.is_zero() {
            let wait = ahead.rewritten && is_cheap;
            if wait && reads & self.waiting & !bit(rd) == 0 {
                self.hold(rd, absorbed, reads);
                return;
            }
            if self.clear_way(rd, reads, ahead.dead) {
                absorbed = self.absorb(op, sources);
                (reads, is_cheap) = self.reads_of(&absorbed);
            }
            if wait && is_cheap {
                self.hold(rd, absorbed, reads);
                return;
            }
        }
        match (kind, absorbed) {
            (Kind::SideExit, Op::Branch { exit, .. } | Op::BranchImm { exit, .. }) => {
                if self.exits[usize::from(exit)].poll {
                    // The poll looks at all registers, and a loop should not pay on its way back.
                    self.run_all();
                } else {
                    self.exits[usize::from(exit)].sunk = self.declare();
                }
            }
            (Kind::MayLeave, _) => self.declare_here(),
            // These absorb nothing, so their sources are not pending any more.
            (Kind::Looks, _) => self.run_all(),
            _ => {}
        }
        self.out.push(absorbed);
        self.forget(rd);
    }

    /// What an op reads, and whether it is cheap.
    fn reads_of(&self, op: &Op) -> (u32, bool) {
        let operands = Operands::of(op, self.fp_traps);
        (operands.sources, operands.kind == Kind::Cheap)
    }

    /// Passes on what does not change, up to the op at `at`.
    fn copy_before(&mut self, at: usize) {
        self.out.extend_from_slice(&self.input[self.copied..at]);
        self.copied = at;
    }

    /// Sees to the pending ops that read `rd`, which an op is about to write that reads `reads` and
    /// after which nobody needs the registers in `dead`. Gives whether any of them has run that
    /// writes one of `reads`: then what the op has absorbed is not right any more.
    fn clear_way(&mut self, rd: Reg, reads: u32, dead: u32) -> bool {
        let readers = self.readers(rd);
        if readers == 0 {
            return false;
        }
        if readers & !(dead & !reads) == 0 {
            // The op was the last that needed them, and has absorbed them.
            for reader in each(readers) {
                self.forget(reader);
            }
            return false;
        }
        let before = self.waiting;
        self.run_readers(rd);
        before & !self.waiting & reads != 0
    }

    fn forget(&mut self, r: Reg) {
        if self.waiting & bit(r) != 0 {
            self.waiting &= !bit(r);
            self.declared = None;
            if self.waiting == 0 {
                self.read = 0;
            }
        }
    }

    fn hold(&mut self, rd: Reg, op: Op, reads: u32) {
        self.pending.ops[rd.index()] = op;
        self.pending.reads[rd.index()] = reads;
        self.waiting |= bit(rd);
        self.read |= reads;
        self.declared = None;
    }

    /// Runs the pending op of `r` now, after those that read `r` physically.
    fn run(&mut self, r: Reg) {
        if let Some(&op) = self.pending(r) {
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
        match self.read & bit(r) {
            0 => 0,
            _ => self.pending.readers_among(self.waiting, r),
        }
    }

    fn run_all(&mut self) {
        while self.waiting != 0 {
            self.run(lowest(self.waiting));
        }
    }

    /// Declares the pending ops for an op that may leave.
    fn declare_here(&mut self) {
        let sunk = self.declare();
        if sunk.len != 0 {
            self.out.push(Op::Sunk(sunk));
        }
    }

    /// The pending ops, in an order in which they can run, as a range of `sunk_ops`.
    fn declare(&mut self) -> SunkRange {
        if self.waiting == 0 {
            return SunkRange::EMPTY;
        }
        if let Some(range) = self.declared {
            return range;
        }
        let start = self.sunk_ops.len() as u32;
        let mut left = self.waiting;
        while left != 0 {
            let mut r = lowest(left);
            while self.read & bit(r) != 0 {
                let readers = self.pending.readers_among(left, r);
                if readers == 0 {
                    break;
                }
                r = lowest(readers);
            }
            left &= !bit(r);
            self.sunk_ops.push(self.pending.ops[r.index()]);
        }
        let len = self.waiting.count_ones();
        let range = SunkRange { start, len };
        self.declared = Some(range);
        range
    }

    pub(super) fn pending(&self, r: Reg) -> Option<&Op> {
        (self.waiting & bit(r) != 0).then(|| &self.pending.ops[r.index()])
    }

    /// The op, which reads `sources`, with those that are pending absorbed, or run where that is not
    /// possible. Afterwards its sources mean physical registers.
    fn absorb(&mut self, op: Op, sources: u32) -> Op {
        loop {
            if sources & self.waiting == 0 {
                return op;
            }
            let (absorbed, done) = self.combine(op);
            let left = sources & self.waiting & !done;
            if left == 0 {
                return absorbed;
            }
            self.run(lowest(left));
        }
    }
}

/// The lowest register in a mask that is not empty.
fn lowest(mask: u32) -> Reg {
    Reg(mask.trailing_zeros() as u8)
}

/// The registers in a mask.
fn each(mut mask: u32) -> impl Iterator<Item = Reg> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let r = lowest(mask);
            mask &= mask - 1;
            r
        })
    })
}
