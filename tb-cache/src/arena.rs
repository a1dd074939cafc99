//! Arenas: code memory is filled, emptied and counted by the arena.
//!
//! ```text
//!        common stubs │ arena 0            │ arena 1 │ …
//!                     ┌────────────────────┘
//!   starts: one bit per 16 bytes │ · Tb* code │ · Tb* code │ · Tb* code │ room
//! ```
//!
//! An arena is an owned value, and where it is says what it is: fresh or free (in the pool's list),
//! being filled (in a vCPU's slot), partly filled (in the pool, its vCPU has gone or runs another
//! set), filled (queued by age), draining (inside the job that waits for the grace period). So:
//!
//! 1. Only the thread that holds a slot's lock writes into its arena, and always beyond everything
//!    that was published. That lock is the vCPU's own; only one that is starved for room tries it.
//! 2. When the free arenas run short the oldest filled ones are *evicted* ahead of need: their blocks
//!    are killed, then the arena is retired, and becomes free when the grace period ends. Nobody
//!    waits for that: without room, a block is run by the interpreter this time.
//! 3. The word before a block's code leads to its [`Tb`], the bits in front of the arena to the code
//!    around an address. Both are read without locks by whoever runs that code, and cleared when the
//!    arena becomes free, when nobody does.
//! 4. All blocks of an arena are of one instrumentation set, so that a set's memory can be had back
//!    when nobody will run it again ([`Pool::take_set`]), and no block of another set goes with it.
//!
//! 5. Of the free arenas a few keep their memory, for those who want one next. The others give it back:
//!    how many were once in use at the same time says nothing about what is needed now.
//!
//! Blocks without host code take room as if they had some, so that a size means as many blocks to
//! the interpreter, and touch none of it.
//!
//! Order of locks: a slot, then the pool, then (only tried) other slots.

use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use epoch::sync::Mutex;
use epoch::{Participant, step};
use translate::Block;
use translate::x86::{CODE_ALIGN, HostCode};

use crate::bump::Bump;
use crate::key::{Key, SetId};
use crate::region::{MAX_SIZE, PAGE, Region};
use crate::tb::Tb;

/// The word before a block's code.
const HEADER: usize = 8;

/// Bytes of an arena, if the region allows.
const ARENA: usize = 256 << 10;

/// Fewest bytes of an arena: a few blocks of the largest kind.
const SMALLEST_ARENA: usize = 16 << 10;

/// Room for a block without host code: what that would take, by and large.
const ROOM_PER_OP: usize = 8;

/// See [`ROOM_PER_OP`].
const ROOM_PER_BLOCK: usize = 32;

/// An arena gets its memory in steps of this many bytes, which cost less than page by page.
const STEP: usize = 32 << 10;

/// How many free arenas keep their memory.
const KEPT: usize = 16;

/// How many arenas a small region is cut into.
const FEW: usize = 16;

/// A run of blocks that live and die together.
pub(crate) struct Arena {
    /// Offset of the first byte in the region.
    offset: usize,
    size: usize,
    /// Bytes taken, with the bits in front.
    used: usize,
    /// Bytes that the host has been asked for: see [`Region::populate`].
    populated: usize,
    heap: Bump,
    /// Whose blocks these are, if there are any (rule 4).
    set: SetId,
    blocks: Vec<NonNull<Tb>>,
}

// SAFETY: the blocks belong to the arena, and are `Send` themselves.
unsafe impl Send for Arena {}

impl Arena {
    fn new(offset: usize, size: usize) -> Arena {
        Arena {
            offset,
            size,
            used: start_bits(size),
            populated: 0,
            heap: Bump::default(),
            set: SetId::EMPTY,
            blocks: Vec::new(),
        }
    }

    /// Whether it has blocks, and they are of this set.
    fn is_of(&self, set: SetId) -> bool {
        self.set == set && !self.blocks.is_empty()
    }

    /// Whether a block of this set may go into it (rule 4).
    fn takes(&self, set: SetId) -> bool {
        self.set == set || self.blocks.is_empty()
    }

    /// The arena's blocks, dead ones included.
    pub(crate) fn blocks(&self) -> &[NonNull<Tb>] {
        &self.blocks
    }

    /// Where the next block of `len` bytes goes, from the arena's first byte.
    fn place_for(&self, len: usize) -> Option<usize> {
        let start = (self.used + HEADER).next_multiple_of(CODE_ALIGN);
        (len <= self.size.saturating_sub(start)).then_some(start)
    }

    fn add(
        &mut self,
        region: &Region,
        start: usize,
        key: Key,
        block: &Block,
        host: Option<&mut HostCode>,
    ) -> NonNull<Tb> {
        let len = footprint(block, host.as_deref());
        let at = self.offset + start;
        if let Some(host) = host.as_deref() {
            self.populate(region, start + len);
            // SAFETY: beyond all published blocks of an arena that is ours (rule 1).
            unsafe { region.copy_in(at, &host.bytes) };
        }
        let has_code = host.is_some();
        let code = region.execute_base() + at as u64;
        let tb = Tb::new(key, code, len as u32, block, host, &mut self.heap);
        let tb = self.heap.place(tb);
        self.set = key.set;
        self.blocks.push(tb);
        self.used = start + len;
        if has_code {
            let address = tb.as_ptr().expose_provenance() as u64;
            // Release: pairs with the Acquire in `Pool::at_start`.
            region.word(at - HEADER).store(address, Release);
            let granule = start / CODE_ALIGN;
            let bits = region.word(self.offset + granule / 64 * 8);
            // Release: pairs with the Acquire in `Pool::around`: who sees the bit sees the header.
            bits.store(bits.load(Relaxed) | 1 << (granule % 64), Release);
        }
        tb
    }

    /// Sees to it that the first `end` bytes are there.
    fn populate(&mut self, region: &Region, end: usize) {
        if end <= self.populated {
            return;
        }
        let end = end.next_multiple_of(STEP).min(self.size);
        region.populate(self.offset + self.populated..self.offset + end);
        self.populated = end;
    }

    /// Empties the arena. The caller knows that nobody runs or reads its blocks.
    fn clear(&mut self, region: &Region) {
        self.drop_blocks();
        // SAFETY: the blocks were all that used the heap.
        unsafe { self.heap.reset() };
        for offset in (0..start_bits(self.size)).step_by(8) {
            region.word(self.offset + offset).store(0, Relaxed);
        }
        self.used = start_bits(self.size);
    }

    /// Gives the memory of an empty arena back.
    fn give_back(&mut self, region: &Region) {
        // SAFETY: no block is there that anybody could run.
        unsafe { region.give_back(self.offset..self.offset + self.size) };
        self.populated = 0;
        self.heap = Bump::default();
        self.blocks = Vec::new();
    }

    fn drop_blocks(&mut self) {
        for tb in self.blocks.drain(..) {
            // SAFETY: placed in the heap by `add`, dropped only here.
            unsafe { ptr::drop_in_place(tb.as_ptr()) };
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.drop_blocks();
    }
}

/// Bytes in front of an arena of `size` bytes.
fn start_bits(size: usize) -> usize {
    size / CODE_ALIGN / 8
}

/// Room that a block takes.
fn footprint(block: &Block, host: Option<&HostCode>) -> usize {
    match host {
        Some(host) => host.bytes.len(),
        None => ROOM_PER_BLOCK + ROOM_PER_OP * block.ops.len(),
    }
}

/// A vCPU's arena, if it has one at the moment.
type Slot = Mutex<Option<Arena>>;

/// A vCPU's right to fill arenas. Dropped, it leaves what it has filled to the next one.
pub struct ArenaOwner {
    slot: Arc<Slot>,
    pool: Arc<Pool>,
}

impl Drop for ArenaOwner {
    fn drop(&mut self) {
        // Both at once: who looks for a set's arenas finds this one in one place or the other.
        let mut slot = self.slot.lock();
        let mut stock = self.pool.stock.lock();
        stock.slots.retain(|other| !Arc::ptr_eq(other, &self.slot));
        stock.partial.extend(slot.take());
    }
}

/// All arenas of a cache, and the memory they are cut from.
pub(crate) struct Pool {
    region: Region,
    /// Offset of arena 0.
    first: usize,
    arena_size: usize,
    count: usize,
    stock: Mutex<Stock>,
}

#[derive(Default)]
struct Stock {
    /// Arenas with numbers from here on have never been used.
    fresh: usize,
    /// Empty ones that have memory (rule 5).
    free: Vec<Arena>,
    /// Empty ones that have given it back.
    bare: Vec<Arena>,
    /// Left by their owners, who have gone, or gone over to another set. Oldest first.
    partial: Vec<Arena>,
    /// Oldest first.
    filled: VecDeque<Arena>,
    /// How many wait for the end of their grace period.
    draining: usize,
    /// Those of all owners.
    slots: Vec<Arc<Slot>>,
}

impl Stock {
    /// How many arenas are empty, of `count`.
    fn empty(&self, count: usize) -> usize {
        self.free.len() + self.bare.len() + (count - self.fresh)
    }
}

/// What came of looking for room.
pub(crate) struct Placed {
    /// The block, not yet published; `None` if there is no room.
    pub(crate) tb: Option<NonNull<Tb>>,
    /// Arenas to be evicted now.
    pub(crate) evict: Vec<Arena>,
}

/// How the arenas stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArenaCounts {
    /// All.
    pub total: usize,
    /// Empty.
    pub free: usize,
    /// Those of them that have no memory: never used, or given back.
    pub bare: usize,
    /// Full, waiting for their turn to be evicted.
    pub filled: usize,
    /// Evicted, waiting for the end of their grace period.
    pub draining: usize,
}

impl Pool {
    /// Cuts `size` bytes (rounded up to what two arenas need) into arenas, behind `stubs`.
    pub(crate) fn new(size: usize, stubs: &[u8]) -> std::io::Result<Pool> {
        let size = size.min(MAX_SIZE / 2);
        let arena_size = (size / FEW)
            .clamp(SMALLEST_ARENA, ARENA)
            .next_multiple_of(PAGE);
        let count = size.div_ceil(arena_size).max(2);
        let first = stubs.len().next_multiple_of(PAGE);
        let region = Region::new(first + count * arena_size)?;
        // SAFETY: nobody else knows the region yet.
        unsafe { region.copy_in(0, stubs) };
        Ok(Pool {
            region,
            first,
            arena_size,
            count,
            stock: Mutex::new(Stock::default()),
        })
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    pub(crate) fn owner(self: &Arc<Self>) -> ArenaOwner {
        let slot = Arc::new(Mutex::new(None));
        self.stock.lock().slots.push(Arc::clone(&slot));
        ArenaOwner {
            slot,
            pool: Arc::clone(self),
        }
    }

    /// Lays a block down in the owner's arena, or in another that has room.
    pub(crate) fn place(
        &self,
        owner: &mut ArenaOwner,
        key: Key,
        block: &Block,
        host: Option<&mut HostCode>,
    ) -> Placed {
        let len = footprint(block, host.as_deref());
        let mut evict = Vec::new();
        let mut slot = owner.slot.lock();
        if slot.as_ref().is_some_and(|arena| !arena.takes(key.set)) {
            self.stock.lock().partial.extend(slot.take());
        }
        let mut start = slot.as_ref().and_then(|arena| arena.place_for(len));
        if start.is_none() && self.holds(len) {
            let mut stock = self.stock.lock();
            stock.filled.extend(slot.take());
            *slot = self.take(&mut stock, len, key.set);
            evict = self.keep_reserve(&mut stock, key.set);
            start = slot.as_ref().and_then(|arena| arena.place_for(len));
        }
        let tb = match (slot.as_mut(), start) {
            (Some(arena), Some(start)) => Some(arena.add(&self.region, start, key, block, host)),
            _ => None,
        };
        Placed { tb, evict }
    }

    /// Whether an empty arena has room for `len` bytes.
    fn holds(&self, len: usize) -> bool {
        let overhead = start_bits(self.arena_size) + HEADER + CODE_ALIGN;
        len <= self.arena_size - overhead
    }

    /// An arena with room for `len` bytes of a set.
    fn take(&self, stock: &mut Stock, len: usize, set: SetId) -> Option<Arena> {
        let fits = |arena: &Arena| arena.takes(set) && arena.place_for(len).is_some();
        if let Some(at) = stock.partial.iter().position(fits) {
            return Some(stock.partial.remove(at));
        }
        if let Some(arena) = stock.free.pop().or_else(|| stock.bare.pop()) {
            return Some(arena);
        }
        if stock.fresh < self.count {
            let offset = self.first + stock.fresh * self.arena_size;
            stock.fresh += 1;
            return Some(Arena::new(offset, self.arena_size));
        }
        // Nothing is left but what others hold, who may be asleep or have long stopped translating.
        for slot in &stock.slots {
            let arena = slot.try_lock().and_then(|mut slot| slot.take());
            match arena {
                Some(arena) if fits(&arena) => return Some(arena),
                full => stock.filled.extend(full),
            }
        }
        stock.filled.extend(stock.partial.pop());
        None
    }

    /// Takes the oldest filled arenas out if the free ones run short (rule 2). Without filled ones
    /// it is the turn of what was put away for other sets than `set`.
    fn keep_reserve(&self, stock: &mut Stock, set: SetId) -> Vec<Arena> {
        let reserve = (self.count / FEW).clamp(1, 8);
        let mut evict = Vec::new();
        let oldest = |stock: &mut Stock| {
            stock.filled.pop_front().or_else(|| {
                let at = stock.partial.iter().position(|arena| !arena.takes(set));
                at.map(|at| stock.partial.remove(at))
            })
        };
        while stock.empty(self.count) + stock.draining < reserve
            && let Some(oldest) = oldest(stock)
        {
            stock.draining += 1;
            evict.push(oldest);
        }
        evict
    }

    /// Takes out all arenas of a set, to be evicted now.
    pub(crate) fn take_set(&self, set: SetId) -> Vec<Arena> {
        let slots = self.stock.lock().slots.clone();
        // Slots first: what is put back meanwhile is found among the others.
        let held = slots.iter().filter_map(|slot| {
            let mut slot = slot.lock();
            step!(
                "arena.take_set.held" => "set_is_switched, set_is_forgotten_too_early",
                slot.take_if(|arena| arena.is_of(set))
            )
        });
        let mut taken: Vec<Arena> = held.collect();
        let mut stock = self.stock.lock();
        taken.extend(stock.partial.extract_if(.., |arena| arena.is_of(set)));
        let (of_set, others) = std::mem::take(&mut stock.filled)
            .into_iter()
            .partition::<Vec<_>, _>(|arena| arena.is_of(set));
        stock.filled = others.into();
        taken.extend(of_set);
        stock.draining += taken.len();
        taken
    }

    /// Makes an evicted arena free.
    ///
    /// # Safety
    ///
    /// A grace period has passed since the arena's blocks were killed.
    pub(crate) unsafe fn recycle(&self, mut arena: Arena) {
        arena.clear(&self.region);
        let mut stock = self.stock.lock();
        if stock.free.len() < KEPT {
            stock.draining -= 1;
            stock.free.push(arena);
            return;
        }
        drop(stock);
        // Takes a while.
        arena.give_back(&self.region);
        let mut stock = self.stock.lock();
        stock.draining -= 1;
        stock.bare.push(arena);
    }

    /// The block whose code begins at host address `code`.
    ///
    /// # Safety
    ///
    /// `code` is the start of a block that the caller has run or looked up while online, since its
    /// last quiescent point.
    pub(crate) unsafe fn at_start<'a>(
        &self,
        _online: &'a Participant,
        code: u64,
    ) -> Option<&'a Tb> {
        let offset = self.region.offset_of(code)?;
        if offset < self.first + HEADER || !offset.is_multiple_of(CODE_ALIGN) {
            return None;
        }
        // Acquire: pairs with the Release in `Arena::add`.
        let address = self.region.word(offset - HEADER).load(Acquire) as usize;
        let tb = NonNull::new(ptr::with_exposed_provenance_mut::<Tb>(address))?;
        // SAFETY: the word before the caller's block leads to its description, and both are there
        // until the caller quiesces.
        Some(unsafe { tb.as_ref() })
    }

    /// The block whose code holds host address `rip`.
    ///
    /// # Safety
    ///
    /// `rip` lies in the arenas only if the caller has run the code there while online, since its
    /// last quiescent point.
    pub(crate) unsafe fn around<'a>(&self, online: &'a Participant, rip: u64) -> Option<&'a Tb> {
        let offset = self.region.offset_of(rip)?.checked_sub(self.first)?;
        let arena = self.first + offset / self.arena_size * self.arena_size;
        let granule = offset % self.arena_size / CODE_ALIGN;
        // Bits after the one for `rip` do not count.
        let mut mask = u64::MAX >> (63 - granule % 64);
        for word in (0..=granule / 64).rev() {
            // Acquire: pairs with the Release in `Arena::add`.
            let bits = self.region.word(arena + word * 8).load(Acquire) & mask;
            if bits != 0 {
                let start = word * 64 + 63 - bits.leading_zeros() as usize;
                let code = self.region.execute_base() + (arena + start * CODE_ALIGN) as u64;
                // SAFETY: the nearest start before `rip` is that of the block the caller ran.
                let tb = unsafe { self.at_start(online, code) };
                return tb.filter(|tb| rip - tb.code() < u64::from(tb.size()));
            }
            mask = u64::MAX;
        }
        None
    }

    pub(crate) fn counts(&self) -> ArenaCounts {
        let stock = self.stock.lock();
        ArenaCounts {
            total: self.count,
            free: stock.empty(self.count),
            bare: stock.empty(self.count) - stock.free.len(),
            filled: stock.filled.len(),
            draining: stock.draining,
        }
    }
}
