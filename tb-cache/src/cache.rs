//! The cache: what the parts are put together to.

use std::ptr::NonNull;
use std::sync::{Arc, Weak};

use epoch::sync::atomic::{AtomicU64, Ordering::Relaxed};
use epoch::{Domain, Participant, ordering, step};
use translate::ops::ExitId;
use translate::x86::HostCode;
use translate::{Block, GuestCode};

use crate::arena::{Arena, ArenaCounts, ArenaOwner, Pool};
use crate::chain::{self, Chains, Token};
use crate::index::{Index, Inserted};
use crate::key::{Key, SetId};
use crate::pages::{CodePages, PAGE_SIZE, Pages, Ticket, pages_of};
use crate::tb::{Kill, Tb};

/// What a cache is made of.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// Bytes of code memory. Any value does; what two arenas need is the least.
    pub tb_size: usize,
    /// Code that is placed in front of all blocks, at [`TbCache::stubs`].
    pub stubs: &'a [u8],
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The code memory could not be mapped.
    #[error("cannot map {size} bytes of code memory: {source}")]
    Map {
        /// What was asked for.
        size: usize,
        /// What the host said.
        source: std::io::Error,
    },
}

/// A block that is to be inserted.
pub struct Translation<'a> {
    /// What it will be found by.
    pub key: Key,
    /// The translated block.
    pub block: &'a Block,
    /// Its host code, whose helper ops are taken; `None` if the interpreter runs it.
    pub host: Option<&'a mut HostCode>,
    /// What [`TbCache::ticket`] said before the translation began.
    pub ticket: Ticket,
}

/// What became of an insertion.
#[derive(Clone, Copy)]
pub enum Insert<'a> {
    /// The block of this key: the caller's, or another vCPU's that was faster.
    Published(&'a Tb),
    /// All arenas are in use or draining: the caller interprets the block this once.
    NoRoom,
    /// The guest code changed meanwhile: the caller translates again.
    Changed,
}

/// What the cache has seen so far, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks alive.
    pub blocks: u64,
    /// Blocks inserted.
    pub inserted: u64,
    /// Translations dropped because another vCPU's was there first.
    pub duplicates: u64,
    /// Translations that the guest's changes overtook.
    pub overtaken: u64,
    /// Blocks killed because their code changed or went away.
    pub invalidated: u64,
    /// Arenas evicted because room ran short.
    pub evictions: u64,
    /// Arenas of sets that nobody runs any more, see [`TbCache::forget_set`].
    pub forgotten: u64,
    /// Links made.
    pub links: u64,
    /// Insertions without room.
    pub no_room: u64,
    /// The arenas.
    pub arenas: ArenaCounts,
}

#[derive(Default)]
struct Counters {
    inserted: AtomicU64,
    removed: AtomicU64,
    duplicates: AtomicU64,
    overtaken: AtomicU64,
    invalidated: AtomicU64,
    evictions: AtomicU64,
    forgotten: AtomicU64,
    links: AtomicU64,
    no_room: AtomicU64,
}

/// The translation cache, shared by all vCPUs of a guest. See the crate's documentation.
pub struct TbCache {
    index: Index,
    chains: Chains,
    pages: Pages,
    pool: Arc<Pool>,
    domain: Arc<Domain>,
    retirements: AtomicU64,
    counters: Counters,
}

impl TbCache {
    /// An empty cache. Its readers are participants of `domain`.
    pub fn new(config: Config<'_>, domain: Arc<Domain>) -> Result<TbCache, Error> {
        let pool = Pool::new(config.tb_size, config.stubs).map_err(|source| Error::Map {
            size: config.tb_size,
            source,
        })?;
        Ok(TbCache {
            index: Index::new(Arc::clone(&domain)),
            chains: Chains::new(),
            pages: Pages::new(),
            pool: Arc::new(pool),
            domain,
            retirements: AtomicU64::new(0),
            counters: Counters::default(),
        })
    }

    /// Where the common stubs are, executable.
    pub fn stubs(&self) -> *const u8 {
        std::ptr::with_exposed_provenance(self.pool.region().execute_base() as usize)
    }

    /// Whether a host address lies in the code memory.
    pub fn code_range(&self) -> std::ops::Range<u64> {
        self.pool.region().execute_range()
    }

    /// The right to fill arenas, for one vCPU.
    pub fn arena_owner(&self) -> ArenaOwner {
        self.pool.owner()
    }

    /// The living block of `key`, if there is one. Takes no lock.
    #[inline]
    pub fn lookup<'a>(&self, online: &'a Participant, key: Key) -> Option<&'a Tb> {
        self.index.lookup(online, key)
    }

    /// How often blocks were retired. A vCPU that keeps host addresses of blocks across a quiescent
    /// point (its jump cache) compares this *after* the quiescent point, or after coming online, and
    /// forgets them if it has moved: see the crate's documentation, "Jump caches".
    #[inline]
    pub fn retirements(&self) -> u64 {
        // Acquire: pairs with the Release in `evict`; who has seen the advance finds none of those
        // blocks any more.
        self.retirements
            .load(ordering!(Acquire, "cache.retirements" => "jump_cache"))
    }

    /// The state of the guest's code, to be taken before a translation begins.
    pub fn ticket(&self) -> Ticket {
        self.pages.ticket()
    }

    /// `code`, with each page watched before it is read: what translators fetch through.
    pub fn watched<'a>(&'a self, code: &'a dyn CodePages) -> Watched<'a> {
        Watched { cache: self, code }
    }

    /// Makes a translation known to all vCPUs.
    pub fn insert<'a>(
        &'a self,
        online: &'a Participant,
        owner: &mut ArenaOwner,
        code: &dyn CodePages,
        translation: Translation<'_>,
    ) -> Insert<'a> {
        let Translation {
            key,
            block,
            host,
            ticket,
        } = translation;
        if let Some(tb) = self.lookup(online, key) {
            self.counters.duplicates.fetch_add(1, Relaxed);
            return Insert::Published(tb);
        }
        let placed = self.pool.place(owner, key, block, host);
        for arena in placed.evict {
            self.evict(arena);
            self.counters.evictions.fetch_add(1, Relaxed);
        }
        match placed.tb {
            Some(tb) => self.publish(online, code, tb, ticket),
            None => {
                self.counters.no_room.fetch_add(1, Relaxed);
                Insert::NoRoom
            }
        }
    }

    fn publish<'a>(
        &'a self,
        _online: &'a Participant,
        code: &dyn CodePages,
        tb: NonNull<Tb>,
        ticket: Ticket,
    ) -> Insert<'a> {
        // SAFETY: it lies in an arena, which cannot be emptied while the caller is online.
        let block: &'a Tb = unsafe { tb.as_ref() };
        let valid =
            self.pages.register(tb) && (self.pages.is_current(ticket) || is_unchanged(block, code));
        let inserted = if valid {
            self.index.insert(tb)
        } else {
            Inserted::Dead
        };
        match inserted {
            Inserted::New => {
                self.counters.inserted.fetch_add(1, Relaxed);
                Insert::Published(block)
            }
            Inserted::Existing(other) => {
                self.counters.duplicates.fetch_add(1, Relaxed);
                self.discard(block);
                // SAFETY: found in the index by one who is online.
                Insert::Published(unsafe { other.as_ref() })
            }
            Inserted::Dead => {
                self.counters.overtaken.fetch_add(1, Relaxed);
                self.discard(block);
                Insert::Changed
            }
        }
    }

    /// Kills a block that was never inserted. It keeps its room until its arena is evicted.
    fn discard(&self, tb: &Tb) {
        let _lock = self.chains.lock();
        if tb.state().kill() == Kill::Now {
            self.pages.forget(tb);
        }
    }

    /// Makes an exit of the block at host address `from` jump to `to`, unless that is impossible or
    /// the lock is taken. Gives whether it has.
    ///
    /// # Safety
    ///
    /// `from` is the start of a block that the caller has run or looked up while online, since its
    /// last quiescent point.
    pub unsafe fn link(&self, online: &Participant, from: u64, exit: ExitId, to: &Tb) -> bool {
        // SAFETY: as the caller promises.
        let Some(from) = (unsafe { self.pool.at_start(online, from) }) else {
            return false;
        };
        let Some(mut token) = self.chains.try_lock() else {
            return false;
        };
        let linked = chain::link(&mut token, self.pool.region(), from, exit, to);
        if linked {
            self.counters.links.fetch_add(1, Relaxed);
        }
        linked
    }

    /// The block whose host code holds `rip`.
    ///
    /// # Safety
    ///
    /// If `rip` lies in the code memory, the caller has run the code there while online, since its
    /// last quiescent point.
    pub unsafe fn find_by_host<'a>(&'a self, online: &'a Participant, rip: u64) -> Option<&'a Tb> {
        // SAFETY: as the caller promises.
        unsafe { self.pool.around(online, rip) }
    }

    /// Drops the blocks that were made from any of `len` bytes at `start`, because their mapping is
    /// gone or has changed. Called after the change.
    pub fn invalidate_range(&self, start: u64, len: u64) {
        self.pages.begin_change();
        for page in self.pages.known_in(start, len) {
            let mut token = self.chains.lock();
            let whole = page
                .wrapping_sub(start)
                .checked_add(PAGE_SIZE)
                .is_some_and(|end| end <= len);
            let blocks = if whole {
                self.pages.forget_page(page)
            } else {
                self.pages.blocks(page)
            };
            for tb in blocks {
                // SAFETY: it was in a record, the chain lock is held since before.
                let tb = unsafe { tb.as_ref() };
                if whole || tb.overlaps(start, len) {
                    step!(
                        "cache.invalidate" => "page_is_remapped, both_ends_killed",
                        self.invalidate(&mut token, tb)
                    );
                }
            }
        }
    }

    /// A write-protected page is about to be written. Called before the write can take effect, that
    /// is, before the page is made writable.
    pub fn page_written(&self, page: u64) {
        step!(
            "cache.page_written" => "code_is_written",
            self.pages.written(page & !(PAGE_SIZE - 1))
        );
    }

    /// Makes writes to code visible to execution: drops the blocks whose guest bytes have changed.
    pub fn fence_i(&self, online: &Participant, code: &dyn CodePages) {
        debug_assert!(online.is_online());
        self.pages.begin_change();
        for (page, concern) in self.pages.concerns() {
            if self.pages.abandon_if_empty(page, concern) {
                continue;
            }
            if concern.is_write() {
                step!(
                    "cache.fence_i.watch" => "fence_beside_a_writer, writer_beside_a_fence",
                    self.pages.watch_again(page, code)
                );
            }
            for tb in self.pages.blocks(page) {
                // SAFETY: found in a record by one who is online.
                let tb = unsafe { tb.as_ref() };
                if !is_unchanged(tb, code) {
                    // Also a dead block: whoever kills it may not have got as far as taking it out
                    // of the index. With the lock, that is done.
                    self.invalidate(&mut self.chains.lock(), tb);
                }
            }
            self.pages.settle(page, concern);
        }
    }

    /// Gives the memory of a set's blocks back, after a grace period of its own: nobody will run them
    /// again. Whoever still does is sent back by the run loop, and what is inserted of that set beside
    /// this call stays until it is evicted by age. Gives whether there was anything.
    pub fn forget_set(&self, set: SetId) -> bool {
        let arenas = self.pool.take_set(set);
        let had_any = !arenas.is_empty();
        for arena in arenas {
            self.evict(arena);
            self.counters.forgotten.fetch_add(1, Relaxed);
        }
        had_any
    }

    /// Counts and conditions at this moment.
    pub fn stats(&self) -> Stats {
        let counters = &self.counters;
        let inserted = counters.inserted.load(Relaxed);
        Stats {
            blocks: inserted.saturating_sub(counters.removed.load(Relaxed)),
            inserted,
            duplicates: counters.duplicates.load(Relaxed),
            overtaken: counters.overtaken.load(Relaxed),
            invalidated: counters.invalidated.load(Relaxed),
            evictions: counters.evictions.load(Relaxed),
            forgotten: counters.forgotten.load(Relaxed),
            links: counters.links.load(Relaxed),
            no_room: counters.no_room.load(Relaxed),
            arenas: self.pool.counts(),
        }
    }

    fn invalidate(&self, token: &mut Token, tb: &Tb) {
        if self.kill(token, tb) == Kill::Now {
            self.counters.invalidated.fetch_add(1, Relaxed);
        }
    }

    /// Ends a block's life: nobody finds it or jumps to it any more, and who has its address gets
    /// sent back. Those who are in it leave it at its next exit.
    fn kill(&self, token: &mut Token, tb: &Tb) -> Kill {
        let kill = tb.state().kill();
        if kill == Kill::Now {
            // Out of the index before out of the links: who leaves by an exit that has just lost
            // its link looks here next.
            let was_published = step!(
                "cache.kill.index" => "killed_once, evicted_while_read, set_beside_eviction",
                self.index.remove(tb)
            );
            step!(
                "cache.kill.pages" => "killed_between_pages, evicted_while_invalidated",
                self.pages.forget(tb)
            );
            step!(
                "cache.kill.links" => "link_and_kill, both_ends_killed",
                chain::unlink(token, self.pool.region(), tb)
            );
            self.counters
                .removed
                .fetch_add(u64::from(was_published), Relaxed);
        }
        kill
    }

    /// Kills the blocks of an arena, and lets it become free after a grace period.
    fn evict(&self, arena: Arena) {
        for tb in arena.blocks() {
            // SAFETY: blocks live as long as the arena, which is here.
            let tb = unsafe { tb.as_ref() };
            // The lock is given back in between: others get their turn.
            let _ = self.kill(&mut self.chains.lock(), tb);
        }
        // Before `retire`: who has passed the job's grace period sees this. Release: pairs with the
        // Acquire in `retirements`.
        self.retirements
            .fetch_add(1, ordering!(Release, "cache.evict" => "jump_cache"));
        let pool: Weak<Pool> = Arc::downgrade(&self.pool);
        self.domain.retire(Box::new(move || {
            if let Some(pool) = pool.upgrade() {
                // SAFETY: jobs run after the grace period.
                unsafe { pool.recycle(arena) };
            }
        }));
    }
}

/// Guest code that watches before it reads. See [`TbCache::watched`].
pub struct Watched<'a> {
    cache: &'a TbCache,
    code: &'a dyn CodePages,
}

impl GuestCode for Watched<'_> {
    /// Gives no more than the page of `pc` has, so that reading ahead does not watch what may be
    /// data; only an instruction that straddles the boundary gets both pages.
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        const LONGEST_INSN: u64 = 4;
        let in_page = PAGE_SIZE - pc % PAGE_SIZE;
        let len = (buf.len() as u64).min(in_page.max(LONGEST_INSN));
        for page in pages_of(pc, len) {
            self.cache.pages.ensure_watched(page, self.code);
        }
        self.code.fetch(pc, &mut buf[..len as usize])
    }
}

/// Whether the guest memory still holds what the block was made from.
fn is_unchanged(tb: &Tb, code: &dyn CodePages) -> bool {
    let mut buf = [0; 256];
    let mut expected = tb.bytes();
    for range in tb.ranges() {
        let mut pc = range.start;
        let mut left = range.len as usize;
        while left != 0 {
            let (chunk, rest) = expected.split_at(left.min(buf.len()));
            let now = &mut buf[..chunk.len()];
            if code.fetch(pc, now) != chunk.len() || now != chunk {
                return false;
            }
            expected = rest;
            left -= chunk.len();
            pc = pc.wrapping_add(chunk.len() as u64);
        }
    }
    true
}
