//! Quiet comparisons.
//!
//! RISC-V has no quiet `<`: compilers save `fflags`, compare, and restore `fflags`. Clearing a flag
//! that a comparison has raised is slow, however flags are collected; together the three are one
//! comparison that raises nothing.

use crate::ops::{Block, FCmpOp, Op};

/// Fuses `x = fflags; compare; fflags = x`. The read stays, as somebody may look at `x`. Gives
/// whether there was any.
pub fn run(block: &mut Block) -> bool {
    let ops = &mut block.ops;
    let (mut read, before) = (0, ops.len());
    while read < ops.len() {
        // A restored x0 clears the flags.
        if let Op::FlagsRead { rd: saved } = ops[read]
            && !saved.is_zero()
            && let Some(compare) = next(ops, read)
            && let Some(restore) = next(ops, compare)
            && matches!(ops[restore], Op::FlagsSwap { rd, a } if rd.is_zero() && a == saved)
            && let Op::FCmp {
                op: FCmpOp::Lt | FCmpOp::Le,
                quiet,
                rd,
                ..
            } = &mut ops[compare]
            && *rd != saved
        {
            *quiet = true;
            ops.remove(restore);
        }
        read += 1;
    }
    ops.len() != before
}

/// The next op that does something to the guest's registers.
fn next(ops: &[Op], after: usize) -> Option<usize> {
    let idle = |op: &Op| matches!(op, Op::Insn { .. } | Op::Count { .. });
    (after + 1..ops.len()).find(|&at| !idle(&ops[at]))
}
