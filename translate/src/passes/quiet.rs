//! Quiet comparisons.
//!
//! RISC-V has no quiet `<`: compilers save `fflags`, compare, and restore `fflags`. Reading and
//! above all writing MXCSR is slow; together the three are one comparison that raises nothing.

use crate::ops::{Block, FCmpOp, Op};

/// Fuses `x = fflags; compare; fflags = x`. The read stays, as somebody may look at `x`.
pub fn run(block: &mut Block) {
    let ops = &mut block.ops;
    let mut i = 0;
    while i + 4 < ops.len() {
        if let Op::FlagsRead { rd: saved } = ops[i]
            && let [_, Op::Insn { .. }, compare, Op::Insn { .. }, restore] = &mut ops[i..i + 5]
            && let Op::FCmp {
                op: FCmpOp::Lt | FCmpOp::Le,
                quiet,
                rd,
                ..
            } = compare
            && *rd != saved
            && matches!(restore, Op::FlagsSwap { rd, a } if rd.is_zero() && *a == saved)
        {
            *quiet = true;
            ops.remove(i + 4);
        }
        i += 1;
    }
}
