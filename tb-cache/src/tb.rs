//! A translation block: what the cache knows about one piece of host code.
//!
//! 1. Everything but `state` and `links` is written before the block is published and never after.
//! 2. `state` goes from live to dead, once, under the chain lock.
//! 3. `links` belongs to whoever holds the chain lock.
//! 4. A block lies in its arena's bump heap and is dropped and freed with the arena, that is, after
//!    a grace period. A dead block therefore stays readable for all who found it while it lived.

use std::ptr::NonNull;

use epoch::sync::atomic::{AtomicU32, Ordering::Relaxed};
use epoch::sync::cell::Lifetime;
use translate::Block;
use translate::ops::{GuestRange, Invocation, Op, SunkRange};
use translate::x86::{FaultPoint, HostCode, Site};

use crate::bump::Bump;
use crate::chain::{Guarded, Links};
use crate::key::Key;
use crate::pages::{PAGE_SIZE, pages_of};

/// A translation block.
pub struct Tb {
    key: Key,
    /// Address of the indirect entry in the execute view.
    code: u64,
    state: State,
    /// Bytes of the arena that the block takes from `code` on.
    size: u32,
    chain_entry: u32,
    stale_stub: u32,
    sites: NonNull<[Site]>,
    faults: NonNull<[FaultPoint]>,
    sunk_ops: NonNull<[Op]>,
    ranges: NonNull<[GuestRange]>,
    bytes: NonNull<[u8]>,
    /// The host code refers to these by address.
    _helper_ops: Box<[Op]>,
    _calls: Box<[Invocation]>,
    /// What the interpreter runs; `None` if there is host code.
    block: Option<Box<Block>>,
    pub(crate) links: Guarded<Links>,
    life: Lifetime,
}

// SAFETY: the slices point to memory that lives as long as the block and is never written (rule 1);
// the rest is shared as rules 2 and 3 say.
unsafe impl Send for Tb {}
// SAFETY: as above.
unsafe impl Sync for Tb {}

impl Tb {
    /// Describes a translation that lies at `code`. Takes what the code refers to by address out of `host`.
    pub(crate) fn new(
        key: Key,
        code: u64,
        size: u32,
        block: &Block,
        host: Option<&mut HostCode>,
        heap: &mut Bump,
    ) -> Tb {
        let links = Guarded::new(Links::new(block.exits.len()));
        let (ranges, bytes) = (heap.copy(&block.ranges), heap.copy(&block.bytes));
        let sunk_ops = heap.copy(&block.sunk_ops);
        match host {
            Some(host) => Tb {
                key,
                code,
                state: State::live(),
                size,
                chain_entry: host.chain_entry,
                stale_stub: host.stale_stub,
                sites: heap.copy(&host.sites),
                faults: heap.copy(&host.faults),
                sunk_ops,
                ranges,
                bytes,
                _helper_ops: std::mem::take(&mut host.helper_ops),
                _calls: std::mem::take(&mut host.calls),
                block: None,
                links,
                life: Lifetime::begin(),
            },
            None => Tb {
                key,
                code,
                state: State::live(),
                size,
                chain_entry: 0,
                stale_stub: 0,
                sites: heap.copy(&[]),
                faults: heap.copy(&[]),
                sunk_ops,
                ranges,
                bytes,
                _helper_ops: Box::default(),
                _calls: Box::default(),
                block: Some(Box::new(for_interpreter(block))),
                links,
                life: Lifetime::begin(),
            },
        }
    }

    /// What the block is found by.
    #[inline]
    pub fn key(&self) -> Key {
        self.life.touch();
        self.key
    }

    /// Host address of the indirect entry. Unique among living blocks, also without host code.
    #[inline]
    pub fn code(&self) -> u64 {
        self.code
    }

    /// Bytes of code memory that the block takes.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Whether the block has been invalidated. A hint: it may be at any moment.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.life.touch();
        self.state.is_dead()
    }

    /// The ops, if the block is one for the interpreter.
    #[inline]
    pub fn block(&self) -> Option<&Block> {
        self.block.as_deref()
    }

    /// Where the guest bytes came from.
    pub fn ranges(&self) -> &[GuestRange] {
        self.life.touch();
        // SAFETY: rule 1.
        unsafe { self.ranges.as_ref() }
    }

    /// The guest bytes, range after range.
    pub fn bytes(&self) -> &[u8] {
        self.life.touch();
        // SAFETY: rule 1.
        unsafe { self.bytes.as_ref() }
    }

    /// The guest bytes from `pc` on, as far as they were adjacent; empty if `pc` is not in the
    /// block.
    pub fn bytes_at(&self, pc: u64) -> &[u8] {
        let mut rest = self.bytes();
        for range in self.ranges() {
            let (here, later) = rest.split_at(range.len as usize);
            let offset = pc.wrapping_sub(range.start);
            if offset < u64::from(range.len) {
                return &here[offset as usize..];
            }
            rest = later;
        }
        &[]
    }

    /// What is known about a fault at host address `rip` inside the block.
    pub fn fault_point(&self, rip: u64) -> Option<FaultPoint> {
        let offset = rip.wrapping_sub(self.code);
        // SAFETY: rule 1.
        let faults = unsafe { self.faults.as_ref() };
        let after = faults.partition_point(|point| u64::from(point.offset) <= offset);
        faults.get(after.checked_sub(1)?).copied()
    }

    /// The ops of a fault point that are still to be run.
    pub fn sunk_ops(&self, range: SunkRange) -> &[Op] {
        // SAFETY: rule 1.
        let ops = unsafe { self.sunk_ops.as_ref() };
        ops.get(range.range()).unwrap_or(&[])
    }

    /// Guest pages that the block was made from, each once.
    pub(crate) fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        let ranges = self.ranges();
        ranges.iter().enumerate().flat_map(move |(n, range)| {
            pages_of(range.start, u64::from(range.len))
                .filter(move |&page| !ranges[..n].iter().any(|r| overlap(r, page, PAGE_SIZE)))
        })
    }

    /// Whether the block was made from any of these bytes.
    pub(crate) fn overlaps(&self, start: u64, len: u64) -> bool {
        self.ranges().iter().any(|r| overlap(r, start, len))
    }

    pub(crate) fn state(&self) -> &State {
        self.life.touch();
        &self.state
    }

    pub(crate) fn sites(&self) -> &[Site] {
        // SAFETY: rule 1.
        unsafe { self.sites.as_ref() }
    }

    /// Host address that linked jumps go to.
    pub(crate) fn chain_address(&self) -> u64 {
        self.code + u64::from(self.chain_entry)
    }

    /// Offset of the stub that the entry of a dead block jumps to.
    pub(crate) fn stale_stub(&self) -> u32 {
        self.stale_stub
    }
}

fn overlap(range: &GuestRange, start: u64, len: u64) -> bool {
    range.start.wrapping_sub(start) < len
        || (len != 0 && start.wrapping_sub(range.start) < u64::from(range.len))
}

/// What the interpreter needs of a block.
fn for_interpreter(block: &Block) -> Block {
    Block {
        pc: block.pc,
        mode: block.mode,
        ops: block.ops.clone(),
        sunk_ops: block.sunk_ops.clone(),
        exits: block.exits.clone(),
        calls: block.calls.clone(),
        guards: block.guards.clone(),
        watched: block.watched.clone(),
        instrumented: block.instrumented,
        n_insns: block.n_insns,
        ..Block::default()
    }
}

/// Set once the block has been invalidated.
const DEAD: u32 = 1;

/// The state word of a block.
pub(crate) struct State(AtomicU32);

/// Who ended a block's life.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    /// The caller, who has to do what follows from it.
    Now,
    /// Somebody else, before.
    Already,
}

impl State {
    fn live() -> State {
        State(AtomicU32::new(0))
    }

    /// Relaxed: whoever must not miss a kill asks under a lock that the killer takes afterwards.
    #[inline]
    pub(crate) fn is_dead(&self) -> bool {
        self.0.load(Relaxed) & DEAD != 0
    }

    /// Live → dead. Only under the chain lock, which makes the first one the only one.
    pub(crate) fn kill(&self) -> Kill {
        if self.is_dead() {
            return Kill::Already;
        }
        self.0.store(DEAD, Relaxed);
        Kill::Now
    }
}
