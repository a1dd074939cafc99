//! Counters that are kept in a host register while generated code runs.
//!
//! An addition to memory takes the host some cycles before the next addition to the same word can
//! begin, which is more than many a guest loop takes. So the first two counters that the blocks of an
//! instrumentation set add to are the two *lanes* of a vector register, which generated code adds to
//! in one cycle, and which are added to memory whenever it is left, for whatever reason.
//!
//! 1. All blocks of a set agree which counters are lanes, as they run into each other. A lane is
//!    given to a counter once and for ever.
//! 2. Callbacks may look at counters. From the first block on that calls one, no more lanes are given;
//!    those that are in use are added to memory before each callback.
//! 3. What other threads see of a running vCPU's lanes is what was in memory when it last left
//!    generated code.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::ops::{Block, Op};
use crate::state::CpuState;

/// Offsets of the counters in the lanes; 0 for a lane that is free.
pub type Offsets = [u32; 2];

/// No lanes.
pub const NONE: Offsets = [0; 2];

/// What a lane is given to that no counter is to have: nothing is ever added to it but 0.
const CLOSED: u32 = offset_of!(CpuState, lane_sink) as u32;

/// Which counters of an instrumentation set are lanes. Generated code reads it.
///
/// Relaxed throughout: whoever runs a block that uses a lane has found the block after it was
/// published, which comes after the lane was given.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Lanes(AtomicU64);

impl Lanes {
    /// Both lanes free.
    pub fn new() -> Lanes {
        Lanes::default()
    }

    /// Decides which counters of a block that has been filled are lanes.
    pub fn plan(&self, block: &mut Block) {
        let looks = |op: &Op| matches!(op, Op::Call { .. } | Op::SetCount { .. });
        block.looked_at = block.ops.iter().any(looks);
        if block.looked_at {
            self.close();
        }
        for op in &block.ops {
            if let Op::Count { offset, .. } = *op {
                self.give(offset);
            }
        }
        let given = |offset| if offset == CLOSED { 0 } else { offset };
        block.lanes = unpack(self.0.load(Relaxed)).map(given);
    }

    /// Gives a lane to the counter if it has none and there is one.
    fn give(&self, counter: u32) {
        // An error means that there was nothing to give.
        let _ = self.0.fetch_update(Relaxed, Relaxed, |word| {
            let mut offsets = unpack(word);
            if offsets.contains(&counter) {
                return None;
            }
            *offsets.iter_mut().find(|offset| **offset == 0)? = counter;
            Some(pack(offsets))
        });
    }

    /// Sees to it that no more lanes are given: a block that adds the lanes to memory has to know all
    /// that may be in use when it runs.
    fn close(&self) {
        // An error means that there was nothing to close.
        let _ = self.0.fetch_update(Relaxed, Relaxed, |word| {
            let offsets = unpack(word);
            let closed = offsets.map(|offset| if offset == 0 { CLOSED } else { offset });
            (closed != offsets).then(|| pack(closed))
        });
    }
}

/// As generated code reads it: lane 0 first.
fn pack([first, second]: Offsets) -> u64 {
    u64::from(first) | u64::from(second) << 32
}

fn unpack(word: u64) -> Offsets {
    [word as u32, (word >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::Regs;

    fn block(ops: &[Op]) -> Block {
        Block {
            ops: ops.to_vec(),
            ..Block::default()
        }
    }

    fn count(offset: u32) -> Op {
        Op::Count { offset, value: 1 }
    }

    const CALL: Op = Op::Call {
        call: 0,
        regs: Regs::None,
    };

    #[test]
    fn the_first_two_counters_get_the_lanes_and_keep_them() {
        let lanes = Lanes::new();
        let mut first = block(&[count(800)]);
        lanes.plan(&mut first);
        assert_eq!(first.lanes, [800, 0]);
        let mut second = block(&[count(1600), count(800), count(2400)]);
        lanes.plan(&mut second);
        assert_eq!(second.lanes, [800, 1600]);
    }

    #[test]
    fn a_set_that_begins_with_callbacks_has_no_lanes() {
        let lanes = Lanes::new();
        for ops in [&[CALL, count(800)][..], &[count(800)]] {
            let mut block = block(ops);
            lanes.plan(&mut block);
            assert_eq!(block.lanes, NONE);
        }
    }

    #[test]
    fn callbacks_that_come_late_find_the_lanes_in_use() {
        let lanes = Lanes::new();
        lanes.plan(&mut block(&[count(800)]));
        let mut late = block(&[CALL, count(1600)]);
        lanes.plan(&mut late);
        assert!(late.looked_at);
        assert_eq!(late.lanes, [800, 0]);
        // What `late` adds to memory before its callbacks is all that there will ever be.
        let mut later = block(&[count(2400)]);
        lanes.plan(&mut later);
        assert_eq!(later.lanes, [800, 0]);
    }
}
