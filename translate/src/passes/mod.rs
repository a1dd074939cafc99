//! Passes over the ops of a block, in the order they run. Each keeps the rules of [`crate::ops`].

mod absorb;
mod counts;
mod lazy;
mod linear;
mod operands;
mod quiet;

use crate::ops::{Block, Op};

/// Buffers of the passes, reused from block to block.
#[derive(Debug, Default)]
pub struct Optimizer {
    lazy: lazy::Lazy,
    counts: counts::Counts,
}

impl Optimizer {
    /// Improves a block whose instrumentation points have been filled or removed.
    pub fn run(&mut self, block: &mut Block) {
        // Few blocks have anything to do for the first and the last.
        let (mut sets_flags, mut counts) = (false, false);
        for op in &block.ops {
            sets_flags |= matches!(op, Op::FlagsSwap { .. });
            counts |= matches!(op, Op::Count { .. });
        }
        if sets_flags {
            quiet::run(block);
        }
        self.lazy.run(block);
        if counts {
            self.counts.run(block);
        }
    }
}

/// [`Optimizer::run`] with fresh buffers.
pub fn optimize(block: &mut Block) {
    Optimizer::default().run(block);
}
