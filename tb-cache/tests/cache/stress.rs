//! Many threads look up, insert, link, run, write and invalidate at once, in a cache so small that
//! its memory is reused all the time. Wrong memory would be run: the test crashes, or sees code of
//! another page.

use std::sync::Arc;

use epoch::{Domain, Participant};
use tb_cache::{ArenaOwner, Config, PAGE_SIZE, Stats, TbCache, Watch};

use crate::world::{EXIT, STALE, World, key, page_of, result, run, translate, version_of};

const THREADS: u64 = 6;
/// Turns of each thread, and how many there may be until everything has happened: on a busy host, links,
/// which are only tried, and room in the cache are rarer.
const TURNS: u64 = 20_000;
const MOST_TURNS: u64 = 100 * TURNS;
const PAGES: u64 = 700;

/// One thread, with the jump cache of a vCPU.
struct Actor<'a> {
    cache: &'a TbCache,
    world: &'a World,
    online: Participant,
    owner: ArenaOwner,
    /// Code address by page; 0 if not known.
    jump_cache: Vec<u64>,
    retirements: u64,
    random: u64,
    ran: u64,
}

impl Actor<'_> {
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn quiesce(&mut self) {
        self.online.quiesce();
        let retirements = self.cache.retirements();
        if retirements != self.retirements {
            self.retirements = retirements;
            self.jump_cache.fill(0);
        }
    }

    fn turn(&mut self) {
        let page = self.random(PAGES);
        match self.random(100) {
            0 => self.write_and_fence(page),
            1 => self.cache.invalidate_range(page * PAGE_SIZE, PAGE_SIZE),
            2 => {
                self.online.offline();
                self.online.online();
            }
            _ => self.run(page),
        }
    }

    fn run(&mut self, page: u64) {
        let cached = self.jump_cache[page as usize];
        if cached != 0 {
            // SAFETY: cleared by `quiesce` before the memory can be reused.
            let ran = unsafe { run(cached) };
            if ran != STALE {
                return self.check(page, ran);
            }
        }
        let (cache, online) = (self.cache, &self.online);
        let tb = match cache.lookup(online, key(page)) {
            Some(tb) => tb,
            None => match translate(cache, online, &mut self.owner, self.world, page, true) {
                Some(tb) => tb,
                None => return,
            },
        };
        let code = tb.code();
        self.jump_cache[page as usize] = code;
        // SAFETY: just found.
        let ran = unsafe { run(code) };
        if ran == STALE {
            return;
        }
        if page + 1 < PAGES
            && let Some(to) = cache.lookup(online, key(page + 1))
        {
            // SAFETY: just found.
            unsafe { cache.link(online, code, EXIT, to) };
        }
        self.check(page, ran);
    }

    /// Linked blocks lead to higher pages, never anywhere else.
    fn check(&mut self, page: u64, ran: u32) {
        assert!((page..PAGES).contains(&page_of(ran)), "{page} ran {ran:#x}");
        self.ran += 1;
    }

    fn write_and_fence(&mut self, page: u64) {
        let version = self.world.write(self.cache, page);
        self.cache.fence_i(&self.online, self.world);
        if let Some(tb) = self.cache.lookup(&self.online, key(page)) {
            assert!(version_of(tb) >= version, "old code after fence.i");
        }
    }
}

fn stress(watch: fn(u64) -> Watch) {
    let domain = Domain::new();
    let config = Config {
        tb_size: 1,
        stubs: &[],
    };
    let cache = TbCache::new(config, Arc::clone(&domain)).unwrap();
    let world = World::new(PAGES, watch);
    let ran: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                let mut actor = Actor {
                    cache: &cache,
                    world: &world,
                    online: domain.register(),
                    owner: cache.arena_owner(),
                    jump_cache: vec![0; PAGES as usize],
                    retirements: 0,
                    random: 0x9e37_79b9 + n,
                    ran: 0,
                };
                scope.spawn(move || {
                    actor.online.online();
                    for turn in 0..MOST_TURNS {
                        if turn % TURNS == 0 && turn != 0 && has_seen_all(&actor.cache.stats()) {
                            break;
                        }
                        actor.quiesce();
                        actor.turn();
                    }
                    actor.ran
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    let stats = cache.stats();
    assert!(ran != 0 && has_seen_all(&stats), "{ran} runs, {stats:?}");
    assert_eq!(
        domain.pending(),
        0,
        "with nobody online everything has been freed"
    );
    assert_eq!(stats.arenas.draining, 0, "{stats:?}");
    verify_what_is_left(&cache, &world, domain.register());
}

/// Whether the storm was one.
fn has_seen_all(stats: &Stats) -> bool {
    stats.evictions > 10 && stats.links > 1_000 && stats.invalidated > 100
}

/// After the storm every block that is found has the code of its page, and no link leads astray.
fn verify_what_is_left(cache: &TbCache, world: &World, mut online: Participant) {
    online.online();
    cache.fence_i(&online, world);
    for page in 0..PAGES {
        if let Some(tb) = cache.lookup(&online, key(page)) {
            // SAFETY: just found.
            let ran = unsafe { run(tb.code()) };
            assert_ne!(ran, STALE);
            let last = cache.lookup(&online, key(page_of(ran))).unwrap();
            assert_eq!(ran, result(page_of(ran), version_of(last)));
        }
    }
    cache.invalidate_range(0, PAGES * PAGE_SIZE);
    assert_eq!(cache.stats().blocks, 0, "{:?}", cache.stats());
}

#[test]
fn many_threads_with_watched_pages() {
    stress(|_| Watch::Protected);
}

#[test]
fn many_threads_with_every_third_page_unwatchable() {
    stress(|page| match page % 3 {
        0 => Watch::Unwatchable,
        _ => Watch::Protected,
    });
}
