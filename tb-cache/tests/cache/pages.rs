//! Guest writes, `fence.i`, and mappings that go away.

use epoch::Participant;
use tb_cache::{ArenaOwner, CodePages, Insert, Key, PAGE_SIZE, Tb, TbCache, Translation, Watch};
use translate::ops::GuestRange;
use translate::{Block, GuestCode, Mode};

use crate::life::Fixture;
use crate::world::{World, result, translate, version_of};

/// Inserts the block of `key.pc`'s page under a key of the caller's.
pub fn insert_as<'a>(
    cache: &'a TbCache,
    online: &'a Participant,
    owner: &mut ArenaOwner,
    world: &World,
    key: Key,
) -> Option<&'a Tb> {
    let ticket = cache.ticket();
    let mut bytes = vec![0; 8];
    cache.watched(world).fetch(key.pc, &mut bytes);
    insert_bytes(cache, online, owner, world, key, bytes, ticket)
}

fn insert_bytes<'a>(
    cache: &'a TbCache,
    online: &'a Participant,
    owner: &mut ArenaOwner,
    world: &World,
    key: Key,
    bytes: Vec<u8>,
    ticket: tb_cache::Ticket,
) -> Option<&'a Tb> {
    let block = Block {
        pc: key.pc,
        mode: key.mode,
        ranges: vec![GuestRange {
            start: key.pc,
            len: bytes.len() as u32,
        }],
        bytes,
        ..Block::default()
    };
    let translation = Translation {
        key,
        block: &block,
        host: None,
        ticket,
    };
    match cache.insert(online, owner, world, translation) {
        Insert::Published(tb) => Some(tb),
        Insert::NoRoom | Insert::Changed => None,
    }
}

const SIZE: usize = 1 << 20;

#[test]
fn fence_i_drops_exactly_the_blocks_whose_bytes_changed() {
    let mut fixture = Fixture::new(4, SIZE);
    for page in 0..4 {
        fixture.add(page);
    }
    fixture.world.write(&fixture.cache, 2);
    assert!(fixture.find(2).is_some(), "not before fence.i");
    fixture.cache.fence_i(&fixture.online, &fixture.world);
    assert!(fixture.find(2).is_none());
    for page in [0, 1, 3] {
        assert!(fixture.find(page).is_some());
    }
    fixture.add(2);
    assert_eq!(fixture.run(2), result(2, 1));
}

#[test]
fn a_write_after_fence_i_is_noticed_again() {
    let mut fixture = Fixture::new(1, SIZE);
    for version in 0..5 {
        assert_eq!(version_of(fixture.add(0)), version);
        fixture.world.write(&fixture.cache, 0);
        fixture.cache.fence_i(&fixture.online, &fixture.world);
        assert!(fixture.find(0).is_none());
    }
}

#[test]
fn a_page_written_with_what_it_held_keeps_its_blocks() {
    let mut fixture = Fixture::new(2, SIZE);
    fixture.add(0);
    fixture.cache.page_written(0);
    fixture.cache.fence_i(&fixture.online, &fixture.world);
    assert!(fixture.find(0).is_some());
}

#[test]
fn pages_that_cannot_be_watched_are_verified_every_time() {
    let mut fixture = Fixture::watching(2, SIZE, |_| Watch::Unwatchable);
    for _ in 0..3 {
        fixture.add(0);
        fixture.add(1);
        fixture.world.write(&fixture.cache, 1);
        fixture.cache.fence_i(&fixture.online, &fixture.world);
        assert!(fixture.find(0).is_some());
        assert!(fixture.find(1).is_none());
    }
}

#[test]
fn a_translation_that_a_write_and_a_fence_overtake_is_not_published() {
    let mut fixture = Fixture::new(1, SIZE);
    let (cache, online, world) = (&fixture.cache, &fixture.online, &fixture.world);
    let key = crate::world::key(0);
    // Another block keeps the page's record alive.
    let other = Key {
        mode: Mode::from_frm(1),
        ..key
    };
    assert!(insert_as(cache, online, &mut fixture.owner, world, other).is_some());
    let ticket = cache.ticket();
    let mut old = vec![0; 8];
    cache.watched(world).fetch(0, &mut old);
    world.write(cache, 0);
    cache.fence_i(online, world);
    let owner = &mut fixture.owner;
    let tb = insert_bytes(cache, online, owner, world, key, old, ticket);
    assert!(tb.is_none());
    assert!(cache.lookup(online, key).is_none());
    assert_eq!(cache.stats().overtaken, 1);
}

/// Memory whose mapping goes away while a translation is verified.
struct Vanishing<'a>(&'a TbCache);

impl GuestCode for Vanishing<'_> {
    fn fetch(&self, _: u64, buf: &mut [u8]) -> usize {
        self.0.invalidate_range(0, PAGE_SIZE);
        buf.fill(0);
        buf.len()
    }
}

impl CodePages for Vanishing<'_> {
    fn watch(&self, _: u64) -> Watch {
        Watch::Immutable
    }
}

#[test]
fn a_block_that_is_killed_before_it_is_published_never_is() {
    let mut fixture = Fixture::new(1, SIZE);
    let (cache, online, world) = (&fixture.cache, &fixture.online, &fixture.world);
    let ticket = cache.ticket();
    let mut bytes = vec![0; 8];
    cache.watched(world).fetch(0, &mut bytes);
    // Something else has changed, so the bytes are compared once more.
    cache.invalidate_range(PAGE_SIZE, PAGE_SIZE);
    let block = Block {
        ranges: vec![GuestRange { start: 0, len: 8 }],
        bytes,
        ..Block::default()
    };
    let translation = Translation {
        key: crate::world::key(0),
        block: &block,
        host: None,
        ticket,
    };
    let inserted = cache.insert(online, &mut fixture.owner, &Vanishing(cache), translation);
    assert!(matches!(inserted, Insert::Changed));
    assert!(fixture.find(0).is_none());
    assert_eq!(fixture.cache.stats().blocks, 0);
}

#[test]
fn a_translation_that_an_unmapping_overtakes_is_not_published() {
    let mut fixture = Fixture::new(2, SIZE);
    let (cache, online, world) = (&fixture.cache, &fixture.online, &fixture.world);
    let key = crate::world::key(0);
    let ticket = cache.ticket();
    let mut old = vec![0; 8];
    cache.watched(world).fetch(0, &mut old);
    cache.invalidate_range(0, PAGE_SIZE);
    let owner = &mut fixture.owner;
    // Nothing watches the page by now, so it does not help that the bytes are still the same.
    let tb = insert_bytes(cache, online, owner, world, key, old.clone(), ticket);
    assert!(tb.is_none());
    cache.watched(world).fetch(0, &mut old);
    let tb = insert_bytes(cache, online, owner, world, key, old, ticket);
    assert!(tb.is_some(), "watched again, and the bytes are right");
}

#[test]
fn a_part_of_a_page_takes_only_the_blocks_it_overlaps() {
    let mut fixture = Fixture::new(2, SIZE);
    fixture.add(0);
    fixture.add(1);
    fixture.cache.invalidate_range(8, PAGE_SIZE - 8);
    assert!(fixture.find(0).is_some());
    fixture.cache.invalidate_range(7, 1);
    assert!(fixture.find(0).is_none());
    assert!(fixture.find(1).is_some());
}

#[test]
fn unmapping_the_whole_world_takes_everything() {
    let mut fixture = Fixture::new(50, SIZE);
    for page in 0..50 {
        fixture.add(page);
    }
    fixture.cache.invalidate_range(0, u64::MAX);
    assert!((0..50).all(|page| fixture.find(page).is_none()));
    assert_eq!(fixture.cache.stats().blocks, 0);
    fixture.cache.invalidate_range(5, 0);
}

#[test]
fn a_page_that_has_become_data_is_not_watched_for_ever() {
    let mut fixture = Fixture::new(1, SIZE);
    fixture.add(0);
    fixture.world.write(&fixture.cache, 0);
    fixture.cache.fence_i(&fixture.online, &fixture.world);
    // The page has no blocks: this fence lets it go, and a write means nothing any more.
    fixture.world.write(&fixture.cache, 0);
    fixture.cache.fence_i(&fixture.online, &fixture.world);
    let (cache, online) = (&fixture.cache, &fixture.online);
    let ticket = cache.ticket();
    let key = crate::world::key(0);
    let owner = &mut fixture.owner;
    let bytes = 2_u64.to_le_bytes().to_vec();
    let tb = insert_bytes(cache, online, owner, &fixture.world, key, bytes, ticket);
    assert!(tb.is_none(), "no record, so nobody watches");
    assert!(translate(cache, online, owner, &fixture.world, 0, true).is_some());
}
