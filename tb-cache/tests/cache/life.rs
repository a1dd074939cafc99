//! A block's life, step by step, on one thread.

use std::sync::Arc;

use epoch::{Domain, Participant};
use tb_cache::{ArenaOwner, Config, Key, PAGE_SIZE, SetId, Tb, TbCache, Watch};
use translate::Mode;

use crate::world::{EXIT, STALE, World, key, result, run, translate};

pub struct Fixture {
    pub world: World,
    pub cache: TbCache,
    pub online: Participant,
    pub owner: ArenaOwner,
    pub domain: Arc<Domain>,
}

impl Fixture {
    pub fn new(pages: u64, tb_size: usize) -> Fixture {
        Fixture::watching(pages, tb_size, |_| Watch::Protected)
    }

    pub fn watching(pages: u64, tb_size: usize, watch: fn(u64) -> Watch) -> Fixture {
        let domain = Domain::new();
        let stubs = &[0xc3];
        let cache = TbCache::new(Config { tb_size, stubs }, Arc::clone(&domain)).unwrap();
        let mut online = domain.register();
        online.online();
        Fixture {
            world: World::new(pages, watch),
            owner: cache.arena_owner(),
            cache,
            online,
            domain,
        }
    }

    pub fn add(&mut self, page: u64) -> &Tb {
        let (cache, online) = (&self.cache, &self.online);
        translate(cache, online, &mut self.owner, &self.world, page, true).unwrap()
    }

    pub fn find(&self, page: u64) -> Option<&Tb> {
        self.cache.lookup(&self.online, key(page))
    }

    /// Runs a page's block, which must be there.
    pub fn run(&self, page: u64) -> u32 {
        // SAFETY: just found.
        unsafe { run(self.find(page).unwrap().code()) }
    }

    pub fn link(&self, from: u64, to: u64) -> bool {
        let (from, to) = (self.find(from).unwrap(), self.find(to).unwrap());
        // SAFETY: just found.
        unsafe { self.cache.link(&self.online, from.code(), EXIT, to) }
    }

    pub fn invalidate(&self, page: u64) {
        self.cache.invalidate_range(page * PAGE_SIZE, PAGE_SIZE);
    }
}

const SIZE: usize = 1 << 20;

#[test]
fn a_block_is_found_by_its_key_only() {
    let mut fixture = Fixture::new(2, SIZE);
    assert!(fixture.find(0).is_none());
    let code = fixture.add(0).code();
    assert_eq!(fixture.find(0).map(Tb::code), Some(code));
    assert!(fixture.find(1).is_none());
    let other_mode = Key {
        mode: Mode::from_frm(3),
        ..key(0)
    };
    let other_set = Key {
        set: SetId(1),
        ..key(0)
    };
    for other in [other_mode, other_set] {
        assert!(fixture.cache.lookup(&fixture.online, other).is_none());
    }
}

#[test]
fn host_code_runs_from_the_execute_view() {
    let mut fixture = Fixture::new(2, SIZE);
    fixture.add(0);
    fixture.add(1);
    assert_eq!(fixture.run(0), result(0, 0));
    assert_eq!(fixture.run(1), result(1, 0));
    // SAFETY: the stub is a `ret`.
    unsafe { run(fixture.cache.stubs().addr() as u64) };
}

#[test]
fn a_second_translation_of_a_key_gives_the_first_block() {
    let mut fixture = Fixture::new(1, SIZE);
    let first = fixture.add(0).code();
    assert_eq!(fixture.add(0).code(), first);
    assert_eq!(fixture.cache.stats().duplicates, 1);
    assert_eq!(fixture.cache.stats().blocks, 1);
}

#[test]
fn a_linked_exit_leads_to_the_target_until_that_is_invalidated() {
    let mut fixture = Fixture::new(3, SIZE);
    for page in 0..3 {
        fixture.add(page);
    }
    assert!(fixture.link(0, 1));
    assert!(fixture.link(1, 2));
    assert_eq!(fixture.run(0), result(2, 0));
    assert!(!fixture.link(0, 1), "linked already");
    fixture.invalidate(1);
    assert_eq!(fixture.run(0), result(0, 0));
    assert!(fixture.find(1).is_none());
    fixture.add(1);
    assert!(fixture.link(0, 1));
    assert_eq!(fixture.run(0), result(1, 0));
}

#[test]
fn a_dead_block_has_no_links_and_its_entry_leads_to_the_stale_stub() {
    let mut fixture = Fixture::new(2, SIZE);
    let from = fixture.add(0).code();
    fixture.add(1);
    fixture.link(0, 1);
    fixture.invalidate(0);
    // SAFETY: nothing has been retired.
    assert_eq!(unsafe { run(from) }, STALE);
    let to = fixture.find(1).unwrap();
    // SAFETY: as above.
    assert!(!unsafe { fixture.cache.link(&fixture.online, from, EXIT, to) });
    // Killing the target must not look for the dead block's exit.
    fixture.invalidate(1);
    assert_eq!(fixture.cache.stats().invalidated, 2);
}

#[test]
fn a_block_may_be_linked_to_itself() {
    let mut fixture = Fixture::new(2, SIZE);
    fixture.add(0);
    assert!(fixture.link(0, 0));
    fixture.add(1);
    assert!(!fixture.link(0, 1), "the exit is taken");
    fixture.invalidate(0);
    assert!(fixture.find(0).is_none());
}

#[test]
fn many_links_to_one_block_come_and_go_in_any_order() {
    let mut fixture = Fixture::new(40, SIZE);
    for page in 0..40 {
        fixture.add(page);
    }
    for from in 1..40 {
        assert!(fixture.link(from, 0));
    }
    for from in (1..40).step_by(3) {
        fixture.invalidate(from);
    }
    for from in (1..40).filter(|from| (from - 1) % 3 != 0) {
        assert_eq!(fixture.run(from), result(0, 0));
    }
    fixture.invalidate(0);
    for from in (1..40).filter(|from| (from - 1) % 3 != 0) {
        assert_eq!(fixture.run(from), result(from, 0));
    }
}

#[test]
fn blocks_of_different_modes_are_not_linked() {
    let mut fixture = Fixture::new(2, SIZE);
    fixture.add(0);
    let other = Key {
        mode: Mode::from_frm(1),
        ..key(1)
    };
    let (cache, online) = (&fixture.cache, &fixture.online);
    let tb = crate::pages::insert_as(cache, online, &mut fixture.owner, &fixture.world, other);
    let from = cache.lookup(online, key(0)).unwrap().code();
    // SAFETY: just found.
    assert!(!unsafe { cache.link(online, from, EXIT, tb.unwrap()) });
}

#[test]
fn any_address_inside_a_block_finds_it() {
    let mut fixture = Fixture::new(20, SIZE);
    for page in 0..20 {
        fixture.add(page);
    }
    for page in 0..20 {
        let tb = fixture.find(page).unwrap();
        for offset in 0..u64::from(tb.size()) {
            // SAFETY: just found.
            let found = unsafe {
                fixture
                    .cache
                    .find_by_host(&fixture.online, tb.code() + offset)
            };
            assert_eq!(found.map(Tb::key), Some(key(page)), "offset {offset}");
        }
        let end = tb.code() + u64::from(tb.size());
        // SAFETY: not in a block.
        let found = unsafe { fixture.cache.find_by_host(&fixture.online, end) };
        assert!(found.is_none());
    }
    let outside = fixture.cache.code_range().end;
    // SAFETY: not in the code memory.
    assert!(unsafe { fixture.cache.find_by_host(&fixture.online, outside) }.is_none());
}

#[test]
fn the_index_grows_with_the_blocks() {
    const PAGES: u64 = 20_000;
    let mut fixture = Fixture::new(PAGES, 16 << 20);
    for page in 0..PAGES {
        fixture.add(page);
    }
    for page in 0..PAGES {
        assert_eq!(fixture.run(page), result(page, 0));
    }
    assert_eq!(fixture.cache.stats().evictions, 0);
    fixture.online.quiesce();
    assert_eq!(fixture.domain.pending(), 0, "old tables are freed");
}

#[test]
fn a_full_cache_evicts_its_oldest_blocks_and_uses_their_room_again() {
    const PAGES: u64 = 5_000;
    let mut fixture = Fixture::new(PAGES, 1);
    let mut retirements = 0;
    for page in 0..PAGES {
        fixture.add(page);
        assert_eq!(fixture.run(page), result(page, 0));
        fixture.online.quiesce();
        retirements = fixture.cache.retirements();
    }
    let stats = fixture.cache.stats();
    assert!(stats.evictions > 5, "{stats:?}");
    assert_eq!(retirements, stats.evictions);
    assert_eq!(stats.no_room, 0, "evicted ahead of need");
    assert!(stats.blocks < 1_000);
    assert!(fixture.find(0).is_none());
    assert!(fixture.find(PAGES - 1).is_some());
    // The newest half of an arena at least is still there.
    assert!((PAGES - 100..PAGES).all(|page| fixture.find(page).is_some()));
}

#[test]
fn without_a_grace_period_there_is_no_room() {
    let mut fixture = Fixture::new(5_000, 1);
    let (cache, online) = (&fixture.cache, &fixture.online);
    let room = (0..5_000).take_while(|&page| {
        translate(
            cache,
            online,
            &mut fixture.owner,
            &fixture.world,
            page,
            true,
        )
        .is_some()
    });
    let filled = room.count() as u64;
    assert!((300..2_000).contains(&filled), "{filled}");
    assert_eq!(fixture.cache.stats().no_room, 1);
    // What was evicted can still be run: a thread may be in it.
    fixture.online.quiesce();
    fixture.add(filled);
    assert_eq!(fixture.run(filled), result(filled, 0));
}

#[test]
fn blocks_without_host_code_take_room_too() {
    let mut fixture = Fixture::new(5_000, 1);
    for page in 0..5_000 {
        let (cache, online) = (&fixture.cache, &fixture.online);
        let world = &fixture.world;
        let tb = translate(cache, online, &mut fixture.owner, world, page, false).unwrap();
        assert_eq!(tb.block().map(|block| block.pc), Some(page * PAGE_SIZE));
        fixture.online.quiesce();
    }
    assert!(fixture.cache.stats().evictions > 0);
    assert!(fixture.cache.stats().blocks < 1_000);
}

#[test]
fn an_owner_that_goes_leaves_its_arena_to_the_next() {
    let mut fixture = Fixture::new(200, SIZE);
    let total = fixture.cache.stats().arenas.free;
    for page in 0..200 {
        fixture.add(page);
        fixture.owner = fixture.cache.arena_owner();
    }
    assert_eq!(fixture.cache.stats().arenas.free, total - 1);
}

#[test]
fn a_starved_owner_takes_the_arena_of_another() {
    let mut fixture = Fixture::new(3_000, 1);
    let mut others: Vec<_> = (0..4).map(|_| fixture.cache.arena_owner()).collect();
    for page in 0..3_000 {
        let (cache, online) = (&fixture.cache, &fixture.online);
        let owner = &mut others[page as usize % 4];
        let tb = translate(cache, online, owner, &fixture.world, page, true);
        if let Some(tb) = tb {
            // SAFETY: just found.
            assert_eq!(unsafe { run(tb.code()) }, result(page, 0));
        }
        fixture.online.quiesce();
    }
    let stats = fixture.cache.stats();
    assert!(stats.inserted > 2_500, "{stats:?}");
}
