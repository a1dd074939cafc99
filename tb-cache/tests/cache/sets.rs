//! Blocks of several instrumentation sets, and sets that nobody runs any more.

use tb_cache::{Key, SetId};

use crate::life::Fixture;
use crate::world::{key, result, run, translate_as};

const SIZE: usize = 4 << 20;

fn of_set(page: u64, set: u32) -> Key {
    Key {
        set: SetId(set),
        ..key(page)
    }
}

/// Adds blocks of a set for the first `pages` pages.
fn add(fixture: &mut Fixture, pages: u64, set: u32) {
    for page in 0..pages {
        let (cache, online) = (&fixture.cache, &fixture.online);
        let (owner, world) = (&mut fixture.owner, &fixture.world);
        translate_as(cache, online, owner, world, of_set(page, set), true).unwrap();
    }
}

fn count(fixture: &Fixture, pages: u64, set: u32) -> usize {
    let find = |&page: &u64| fixture.cache.lookup(&fixture.online, of_set(page, set));
    (0..pages).filter(|page| find(page).is_some()).count()
}

#[test]
fn a_forgotten_set_gives_all_its_room_back_and_the_others_keep_theirs() {
    const PAGES: u64 = 10_000;
    let mut fixture = Fixture::new(PAGES, SIZE);
    add(&mut fixture, 100, 0);
    let before = fixture.cache.stats();
    // Full arenas, one that is being filled, and one that was put away for another set's.
    add(&mut fixture, PAGES, 16);
    add(&mut fixture, 100, 17);
    add(&mut fixture, 10, 16);
    assert!(fixture.cache.forget_set(SetId(16)));
    assert_eq!(count(&fixture, PAGES, 16), 0);
    assert_eq!(count(&fixture, 100, 17), 100);
    assert!(fixture.cache.forget_set(SetId(17)));
    assert!(
        !fixture.cache.forget_set(SetId(17)),
        "there is nothing left"
    );
    let draining = fixture.cache.stats().arenas.draining;
    assert_eq!(draining as u64, fixture.cache.stats().forgotten);
    fixture.online.quiesce();
    let after = fixture.cache.stats();
    assert_eq!((after.blocks, after.evictions), (before.blocks, 0));
    // The arena of the empty set is among the others now, instead of with its vCPU.
    assert_eq!(after.arenas.free, before.arenas.free);
    assert_eq!((after.arenas.filled, after.arenas.draining), (0, 0));
    for page in 0..100 {
        assert_eq!(fixture.run(page), result(page, 0));
    }
}

#[test]
fn sets_that_come_and_go_do_not_use_up_room() {
    let mut fixture = Fixture::new(1_000, 1 << 20);
    add(&mut fixture, 100, 0);
    let empty = count(&fixture, 100, 0);
    for set in 16..2_000 {
        add(&mut fixture, 50, set);
        assert_eq!(count(&fixture, 50, set), 50);
        assert!(fixture.cache.forget_set(SetId(set)));
        fixture.online.quiesce();
    }
    let stats = fixture.cache.stats();
    assert_eq!((stats.evictions, stats.no_room), (0, 0), "{stats:?}");
    assert_eq!(count(&fixture, 100, 0), empty, "nobody evicted these");
}

#[test]
fn what_many_needed_once_is_given_back() {
    const OWNERS: u64 = 40;
    let mut fixture = Fixture::new(OWNERS, 16 << 20);
    for set in 16..20 {
        let (cache, online) = (&fixture.cache, &fixture.online);
        let mut owners: Vec<_> = (0..OWNERS).map(|_| cache.arena_owner()).collect();
        for (page, owner) in (0..OWNERS).zip(&mut owners) {
            translate_as(
                cache,
                online,
                owner,
                &fixture.world,
                of_set(page, set),
                true,
            )
            .unwrap();
        }
        for page in 0..OWNERS {
            let tb = cache.lookup(online, of_set(page, set)).unwrap();
            // SAFETY: just found.
            assert_eq!(unsafe { run(tb.code()) }, result(page, 0));
        }
        let arenas = fixture.cache.stats().arenas;
        assert_eq!((arenas.total - arenas.free) as u64, OWNERS);
        assert!(fixture.cache.forget_set(SetId(set)));
        fixture.online.quiesce();
        let arenas = fixture.cache.stats().arenas;
        assert_eq!(arenas.free, arenas.total);
        assert_eq!(arenas.free - arenas.bare, 16, "with memory");
    }
}

#[test]
fn sets_that_nobody_forgets_are_evicted_by_age() {
    let mut fixture = Fixture::new(1_000, 1);
    for set in 16..500 {
        add(&mut fixture, 30, set);
        fixture.online.quiesce();
    }
    let stats = fixture.cache.stats();
    assert!(stats.evictions > 100, "{stats:?}");
    assert_eq!(count(&fixture, 30, 499), 30);
}

#[test]
fn who_runs_a_forgotten_set_is_sent_back() {
    let mut fixture = Fixture::new(2, SIZE);
    add(&mut fixture, 1, 16);
    let found = fixture.cache.lookup(&fixture.online, of_set(0, 16));
    let code = found.unwrap().code();
    assert!(fixture.cache.forget_set(SetId(16)));
    // SAFETY: found while online, with no quiescent point since.
    assert_eq!(unsafe { run(code) }, crate::world::STALE);
}
