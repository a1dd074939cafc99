//! What blocks are instrumented for.

use std::mem::offset_of;

use tb_cache::SetId;
use translate::CpuState;

/// Index in [`CpuState::counters`] of the number of executed instructions.
const INSN_COUNTER: usize = 0;

/// An immutable set of wishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentationSet {
    id: SetId,
    count_insns: bool,
}

impl InstrumentationSet {
    /// No instrumentation.
    pub const EMPTY: InstrumentationSet = InstrumentationSet {
        id: SetId::EMPTY,
        count_insns: false,
    };

    /// The built-in count of executed instructions, see [`InstrumentationSet::insns_counted`].
    pub const COUNT_INSNS: InstrumentationSet = InstrumentationSet {
        id: SetId(1),
        count_insns: true,
    };

    /// The id that goes into the keys of this set's blocks.
    pub fn id(&self) -> SetId {
        self.id
    }

    /// Offset in the vCPU's area of the counter that each executed instruction adds 1 to.
    pub(crate) fn insn_counter(&self) -> Option<u32> {
        let offset = offset_of!(CpuState, counters) + 8 * INSN_COUNTER;
        self.count_insns.then_some(offset as u32)
    }

    /// How many instructions a vCPU has executed under [`InstrumentationSet::COUNT_INSNS`].
    ///
    /// An instruction counts when it completes: one whose access faults does not, however often it
    /// is tried. What the run loop does for the guest (system calls, `fence.i`, CSR accesses,
    /// `pause`) counts when it is handed over. Breakpoints and illegal instructions never count.
    pub fn insns_counted(state: &CpuState) -> u64 {
        state.counters[INSN_COUNTER]
    }
}
