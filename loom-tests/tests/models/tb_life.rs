//! The life of a block: changes of its code, links, eviction.

use std::sync::Arc;

use epoch::sync::thread;
use tb_cache::{Insert, Tb};

use crate::support::explore;
use crate::world::{Kind, Vcpu, World, displacement, key};

/// Code changes by `change` while it is translated: no block of the old code stays.
fn translate_beside(change: fn(&World)) {
    explore(&["published", "changed"], move |coverage| {
        let world = World::new();
        let mut translating = world.vcpu();
        let translator = {
            let coverage = Arc::clone(coverage);
            thread::spawn(move || {
                let inserted = translating.translate(0, Kind::Ops);
                let published = matches!(inserted, Insert::Published(_));
                coverage.either(published, "published", "changed");
            })
        };
        change(&world);
        translator.join().unwrap();
        assert!(world.vcpu().is_fresh(0), "old code lives on");
    });
}

/// The page is mapped anew.
#[test]
fn page_is_remapped() {
    translate_beside(|world| world.remap(0));
}

/// A part of the page is.
#[test]
fn code_changes() {
    translate_beside(|world| world.remap_part(0));
}

/// It is written, which `fence.i` makes visible.
#[test]
fn code_is_written() {
    explore(&["published", "changed"], |coverage| {
        let world = World::writable();
        let mut translating = world.vcpu();
        let writing = world.vcpu();
        let translator = {
            let coverage = Arc::clone(coverage);
            thread::spawn(move || {
                let inserted = translating.translate(0, Kind::Ops);
                let published = matches!(inserted, Insert::Published(_));
                coverage.either(published, "published", "changed");
            })
        };
        world.write(0);
        writing.fence_i();
        translator.join().unwrap();
        assert!(writing.is_fresh(0), "old code lives on");
    });
}

/// Two harts execute `fence.i`, one of them after having written code: from then on it does not find
/// what was there before. `main_writes` says which of the two it is.
fn two_fences(main_writes: bool) {
    explore(&["invalidated"], move |coverage| {
        let world = World::writable();
        let mut vcpu = world.vcpu();
        let other = world.vcpu();
        assert!(matches!(vcpu.translate(0, Kind::Ops), Insert::Published(_)));
        if !main_writes {
            world.write_data(0);
        }
        let fence = |vcpu: Vcpu| move || vcpu.fence_i();
        let write = |vcpu: Vcpu| {
            let world = Arc::clone(&world);
            move || {
                world.write(0);
                vcpu.fence_i();
                assert!(vcpu.is_fresh(0), "old code after a fence.i");
            }
        };
        let beside = match main_writes {
            true => thread::spawn(fence(other)),
            false => thread::spawn(write(other)),
        };
        match main_writes {
            true => write(vcpu)(),
            false => fence(vcpu)(),
        }
        beside.join().unwrap();
        assert_eq!(world.cache.stats().invalidated, 1);
        coverage.reached("invalidated");
    });
}

/// The write comes after all, before, or in the middle of the other hart's `fence.i`.
#[test]
fn fence_beside_a_writer() {
    two_fences(true);
}

/// The page has been written before, so that both have something to do.
#[test]
fn writer_beside_a_fence() {
    two_fences(false);
}

/// A page is mapped anew while one vCPU translates from it, and its record is made anew by another
/// vCPU, which has not watched the page yet. Then the page is written.
#[test]
fn record_is_made_anew() {
    explore(&["published", "changed"], |coverage| {
        let world = World::writable();
        let mut vcpu = world.vcpu();
        let mut other = world.vcpu();
        let threads = [
            {
                let world = Arc::clone(&world);
                thread::spawn(move || world.remap(0))
            },
            thread::spawn(move || {
                let _ = other.translate(0, Kind::Ops);
            }),
        ];
        let published = matches!(vcpu.translate(0, Kind::Ops), Insert::Published(_));
        coverage.either(published, "published", "changed");
        world.write(0);
        vcpu.fence_i();
        for thread in threads {
            thread.join().unwrap();
        }
        // A block that was translated beside the `fence.i` is of the new code, too.
        assert!(vcpu.is_fresh(0), "old code lives on");
    });
}

/// A block of two pages is killed through one of them while it is registered on the other. When its
/// memory has been freed, nobody looks at it through either.
#[test]
fn killed_between_pages() {
    explore(&["published", "changed"], |coverage| {
        let world = World::new();
        let mut translating = world.vcpu();
        let translator = {
            let coverage = Arc::clone(coverage);
            thread::spawn(move || {
                let inserted = translating.translate(0, Kind::TwoPages);
                let published = matches!(inserted, Insert::Published(_));
                coverage.either(published, "published", "changed");
                // Evicts the arena.
                let _ = translating.translate(2, Kind::ManyOps);
            })
        };
        world.remap(0);
        translator.join().unwrap();
        assert_eq!(world.domain.pending(), 0, "the arena is free");
        world.remap(1);
    });
}

/// Code is mapped anew while its block is evicted.
#[test]
fn evicted_while_invalidated() {
    explore(&["invalidated", "evicted first"], |coverage| {
        let world = World::new();
        let mut vcpu = world.vcpu();
        let first = vcpu.translate(0, Kind::ManyOps);
        assert!(matches!(first, Insert::Published(_)));
        let evicter = thread::spawn(move || {
            let _ = vcpu.translate(1, Kind::ManyOps);
        });
        // By a thread that is no participant.
        world.remap(0);
        evicter.join().unwrap();
        coverage.either(
            world.cache.stats().invalidated == 1,
            "invalidated",
            "evicted first",
        );
        world.remap(0);
    });
}

/// A block is killed by two threads, and read by a third.
#[test]
fn killed_once() {
    explore(&["found", "gone"], |coverage| {
        let world = World::new();
        let mut vcpu = world.vcpu();
        assert!(matches!(vcpu.translate(0, Kind::Ops), Insert::Published(_)));
        let reader = {
            let coverage = Arc::clone(coverage);
            thread::spawn(move || match vcpu.lookup(0) {
                Some(tb) => {
                    assert!(tb.key() == key(0));
                    coverage.reached("found");
                }
                None => coverage.reached("gone"),
            })
        };
        let killer = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.remap(0))
        };
        world.remap(0);
        reader.join().unwrap();
        killer.join().unwrap();
        assert!(world.vcpu().lookup(0).is_none());
        let stats = world.cache.stats();
        assert_eq!((stats.invalidated, stats.blocks), (1, 0));
    });
}

/// A jump is linked to a block that is killed.
#[test]
fn link_and_kill() {
    explore(&["linked", "not linked"], |coverage| {
        let world = World::new();
        let mut vcpu = world.vcpu();
        for page in [0, 1] {
            let inserted = vcpu.translate(page, Kind::Code);
            assert!(matches!(inserted, Insert::Published(_)));
        }
        let runner = {
            let coverage = Arc::clone(coverage);
            thread::spawn(move || {
                let from = vcpu.lookup(0).expect("nobody kills this one");
                let linked = vcpu.lookup(1).is_some_and(|to| vcpu.link(from, to));
                coverage.either(linked, "linked", "not linked");
            })
        };
        world.remap(1);
        runner.join().unwrap();
        let vcpu = world.vcpu();
        let from = vcpu.lookup(0).expect("nobody kills this one");
        assert_eq!(displacement(from), 0, "a jump to a dead block");
    });
}

/// Both ends of a link are killed at the same time.
#[test]
fn both_ends_killed() {
    explore(&["done"], |coverage| {
        let world = World::new();
        let mut vcpu = world.vcpu();
        for page in [0, 1] {
            let inserted = vcpu.translate(page, Kind::Code);
            assert!(matches!(inserted, Insert::Published(_)));
        }
        let (from, to) = (vcpu.lookup(0).unwrap(), vcpu.lookup(1).unwrap());
        assert!(vcpu.link(from, to) && vcpu.link(to, from));
        let killer = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.remap(0))
        };
        world.remap(1);
        killer.join().unwrap();
        assert_eq!((displacement(from), displacement(to)), (0, 0));
        assert_eq!(world.cache.stats().blocks, 0);
        coverage.reached("done");
    });
}

/// Blocks are evicted, and their memory is used again, while a vCPU reads them.
#[test]
fn evicted_while_read() {
    explore(
        &["found", "gone", "memory used again", "no room"],
        |coverage| {
            let world = World::new();
            let mut running = world.vcpu();
            let mut translating = world.vcpu();
            let first = translating.translate(0, Kind::ManyOps);
            assert!(matches!(first, Insert::Published(_)));
            let reader = {
                let coverage = Arc::clone(coverage);
                thread::spawn(move || {
                    if let Some(tb) = running.lookup(0) {
                        coverage.reached("found");
                        assert!(tb.key() == key(0));
                    } else {
                        coverage.reached("gone");
                    }
                    running.participant.quiesce();
                    if let Some(tb) = running.lookup(0) {
                        assert!(tb.key() == key(0));
                    }
                    running.participant.offline();
                })
            };
            let second = translating.translate(1, Kind::ManyOps);
            assert!(matches!(second, Insert::Published(_)));
            translating.participant.quiesce();
            match translating.translate(2, Kind::ManyOps) {
                Insert::Published(_) => coverage.reached("memory used again"),
                Insert::NoRoom => coverage.reached("no room"),
                Insert::Changed => panic!("nothing has changed"),
            }
            translating.participant.offline();
            reader.join().unwrap();
            assert_eq!(world.domain.pending(), 0);
        },
    );
}

/// A vCPU keeps the address of a block over a quiescent point, as its jump cache does.
#[test]
fn jump_cache() {
    explore(&["kept", "cleared"], |coverage| {
        let world = World::new();
        let mut running = world.vcpu();
        let mut translating = world.vcpu();
        let first = translating.translate(0, Kind::ManyOps);
        assert!(matches!(first, Insert::Published(_)));
        let runner = {
            let (world, coverage) = (Arc::clone(&world), Arc::clone(coverage));
            thread::spawn(move || {
                let retirements = world.cache.retirements();
                let Some(cached) = running.lookup(0).map(std::ptr::from_ref::<Tb>) else {
                    return;
                };
                for _ in 0..2 {
                    running.participant.quiesce();
                    if world.cache.retirements() != retirements {
                        coverage.reached("cleared");
                        return;
                    }
                    // SAFETY: the claim that is checked: nothing was retired, so it is there.
                    assert!(unsafe { &*cached }.key() == key(0));
                    coverage.reached("kept");
                }
            })
        };
        let second = translating.translate(1, Kind::ManyOps);
        assert!(matches!(second, Insert::Published(_)));
        translating.participant.quiesce();
        let _ = translating.translate(2, Kind::ManyOps);
        runner.join().unwrap();
    });
}
