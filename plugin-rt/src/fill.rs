//! Filling a block's instrumentation points.
//!
//! Filling works on ops as the front end made them, before any pass: an instruction's ops stand
//! between its `Insn` and the next. Inline operations are put where they are exact, one by one; the
//! passes make few of many.

use translate::ops::Trap;
use translate::{Block, Op};

use crate::set::InstrumentationSet;

/// Puts what `set` asks for into the points of `block`, and removes the points.
pub fn fill(block: &mut Block, set: &InstrumentationSet) {
    match set.insn_counter() {
        None => block.ops.retain(|op| !matches!(op, Op::Point { .. })),
        Some(counter) => count_insns(block, counter),
    }
}

/// Adds 1 to the counter where an instruction has done all it does, or is about to leave the block.
fn count_insns(block: &mut Block, counter: u32) {
    let count = Op::Count {
        offset: counter,
        value: 1,
    };
    let plain = std::mem::take(&mut block.ops);
    block.ops.reserve(plain.len() + block.n_insns as usize);
    let mut to_count = false;
    for op in plain {
        match op {
            Op::Point { .. } => continue,
            Op::Insn { len, .. } => {
                if to_count {
                    block.ops.push(count);
                }
                // Where nothing could be fetched there is no instruction.
                to_count = len != 0;
            }
            Op::Trap(Trap::Illegal | Trap::Ebreak | Trap::Fetch) => to_count = false,
            _ if to_count && may_leave(&op) => {
                block.ops.push(count);
                to_count = false;
            }
            _ => {}
        }
        block.ops.push(op);
    }
}

/// Whether the guest may go on elsewhere behind `op`, which is its instruction's last but for others
/// of this kind.
fn may_leave(op: &Op) -> bool {
    matches!(
        op,
        Op::Branch { .. }
            | Op::BranchImm { .. }
            | Op::Poll { .. }
            | Op::Jump { .. }
            | Op::JumpReg { .. }
            | Op::Trap(_)
    )
}
