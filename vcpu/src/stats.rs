//! What vCPUs count about themselves: one scoreboard element each.

use std::time::Instant;

use scoreboard::{Board, Slot};

use translate::clock;

/// A word of a vCPU's element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Count {
    Translations,
    Insns,
    /// Time-stamp ticks.
    TranslationTicks,
    InterpretedForRoom,
    InterpretedFirst,
    Exits,
    Indirect,
    Stale,
    Requests,
    Traps,
    Faults,
    Interpreted,
    Executed,
    /// Nanoseconds of processor time of threads that have ended.
    CpuTime,
}

/// Words of an element.
pub(crate) const WORDS: usize = Count::CpuTime as usize + 1;

/// Adds to a count of the calling thread's vCPU.
#[inline]
pub(crate) fn add(slot: Option<Slot<'_>>, count: Count, n: u64) {
    if let Some(slot) = slot {
        slot.add(count as usize, n);
    }
}

/// What the vCPUs of an engine have done so far. Running vCPUs go on counting meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks translated.
    pub translations: u64,
    /// Guest instructions in them.
    pub insns: u64,
    /// Time that took, insertion into the cache included.
    pub translation_ns: u64,
    /// Blocks run once by the interpreter because the cache had no room.
    pub interpreted_for_room: u64,
    /// Blocks run once by the interpreter because the vCPU had not met them before.
    pub interpreted_first: u64,
    /// Guest instructions executed until each vCPU last returned to its owner, if they are counted
    /// ([`Config::count_insns`](crate::Config::count_insns)).
    pub executed: u64,
    /// How often generated code came back, by reason.
    pub leaves: Leaves,
    /// The cache.
    pub cache: tb_cache::Stats,
}

/// How often generated code came back to the run loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaves {
    /// Through an exit that was not linked.
    pub exits: u64,
    /// By a jump to an address that the jump cache did not know.
    pub indirect: u64,
    /// Because the block had been invalidated.
    pub stale: u64,
    /// Because of a request.
    pub requests: u64,
    /// With an instruction for the run loop.
    pub traps: u64,
    /// With a fault.
    pub faults: u64,
    /// With an instruction for the interpreter.
    pub interpreted: u64,
}

/// What one vCPU has done, and those before it that had its number and have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VcpuStats {
    /// Blocks translated.
    pub translations: u64,
    /// Guest instructions executed, if they are counted.
    pub executed: u64,
    /// How often it came back to the run loop, for whatever reason.
    pub leaves: u64,
    /// Processor time of its threads, once they have ended, in nanoseconds.
    pub cpu_time_ns: u64,
}

impl VcpuStats {
    pub(crate) fn of(slot: Slot<'_>) -> VcpuStats {
        let get = |count: Count| slot.get(count as usize);
        let reasons = [
            Count::Exits,
            Count::Indirect,
            Count::Stale,
            Count::Requests,
            Count::Traps,
            Count::Faults,
            Count::Interpreted,
        ];
        VcpuStats {
            translations: get(Count::Translations),
            executed: get(Count::Executed),
            leaves: reasons.into_iter().map(get).sum(),
            cpu_time_ns: get(Count::CpuTime),
        }
    }
}

impl Stats {
    pub(crate) fn of(board: &Board, tsc: &TscScale, cache: tb_cache::Stats) -> Stats {
        let sum = |count: Count| board.sum(8 * count as usize);
        Stats {
            translations: sum(Count::Translations),
            insns: sum(Count::Insns),
            translation_ns: tsc.ns(sum(Count::TranslationTicks)),
            interpreted_for_room: sum(Count::InterpretedForRoom),
            interpreted_first: sum(Count::InterpretedFirst),
            executed: sum(Count::Executed),
            leaves: Leaves {
                exits: sum(Count::Exits),
                indirect: sum(Count::Indirect),
                stale: sum(Count::Stale),
                requests: sum(Count::Requests),
                traps: sum(Count::Traps),
                faults: sum(Count::Faults),
                interpreted: sum(Count::Interpreted),
            },
            cache,
        }
    }
}

/// The length of a time-stamp tick, measured over the engine's whole life.
pub(crate) struct TscScale {
    wall: Instant,
    ticks: u64,
}

impl TscScale {
    pub(crate) fn start() -> TscScale {
        TscScale {
            wall: Instant::now(),
            ticks: clock::cycle(),
        }
    }

    fn ns(&self, ticks: u64) -> u64 {
        let elapsed_ticks = clock::cycle().wrapping_sub(self.ticks).max(1);
        let elapsed = self.wall.elapsed().as_nanos();
        u64::try_from(u128::from(ticks) * elapsed / u128::from(elapsed_ticks)).unwrap_or(u64::MAX)
    }
}
