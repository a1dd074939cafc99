//! Passes over the ops of a block, in the order they run. Each keeps the rules of [`crate::ops`].

mod absorb;
mod counts;
mod lazy;
mod linear;
mod operands;
mod quiet;

use crate::ops::Block;

/// Buffers of the passes, reused from block to block.
#[derive(Debug, Default)]
pub struct Optimizer {
    lazy: lazy::Lazy,
    counts: counts::Counts,
}

impl Optimizer {
    /// Improves a block whose instrumentation points have been filled or removed.
    pub fn run(&mut self, block: &mut Block) {
        let mut needs = self.lazy.look_ahead(block);
        if needs.quiet && quiet::run(block) {
            needs = self.lazy.look_ahead(block);
        }
        if needs.lazy {
            self.lazy.run(block);
        }
        if needs.counts {
            self.counts.run(block);
        }
    }
}

/// [`Optimizer::run`] with fresh buffers.
pub fn optimize(block: &mut Block) {
    Optimizer::default().run(block);
}
