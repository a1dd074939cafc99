//! The index of the translation cache: lookups beside insertions and growth.

use std::sync::Arc;

use epoch::sync::thread;
use tb_cache::Insert;

use crate::support::explore;
use crate::world::{Kind, World, key};

/// Whoever finds a block finds it complete.
#[test]
fn block_is_published() {
    explore(&["found", "not found"], |coverage| {
        let world = World::new();
        let mut translating = world.vcpu();
        let running = world.vcpu();
        let reader = {
            let coverage = Arc::clone(coverage);
            thread::spawn(move || match running.lookup(0) {
                Some(tb) => {
                    assert!(tb.key() == key(0) && !tb.is_dead());
                    assert_eq!(tb.bytes(), [0; 8]);
                    coverage.reached("found");
                }
                None => coverage.reached("not found"),
            })
        };
        assert!(matches!(
            translating.translate(0, Kind::Ops),
            Insert::Published(_)
        ));
        reader.join().unwrap();
        assert!(translating.lookup(0).is_some());
    });
}

/// Two vCPUs translate the same block: both get the same one.
#[test]
fn two_translate_one_block() {
    explore(&["both laid one down", "one looked in time"], |coverage| {
        let world = World::new();
        let threads = [0, 1].map(|_| {
            let mut vcpu = world.vcpu();
            thread::spawn(move || match vcpu.translate(0, Kind::Ops) {
                Insert::Published(tb) => tb.code(),
                Insert::NoRoom | Insert::Changed => panic!("nothing stands in the way"),
            })
        });
        let [first, second] = threads.map(|thread| thread.join().unwrap());
        assert_eq!(first, second);
        let stats = world.cache.stats();
        assert_eq!((stats.inserted, stats.duplicates), (1, 1));
        // Each arena was opened by one who had found nothing.
        coverage.either(
            stats.arenas.free == 0,
            "both laid one down",
            "one looked in time",
        );
    });
}

/// Two vCPUs claim the same place for different blocks, under different locks.
#[test]
fn two_stripes_claim() {
    explore(&["other found", "other not found"], |coverage| {
        let world = World::new();
        let threads = [(0, 1), (1, 0)].map(|(own, other)| {
            let mut vcpu = world.vcpu();
            let coverage = Arc::clone(coverage);
            thread::spawn(move || {
                let inserted = vcpu.translate(own, Kind::Ops);
                assert!(matches!(inserted, Insert::Published(_)));
                assert!(vcpu.lookup(own).is_some());
                coverage.either(
                    vcpu.lookup(other).is_some(),
                    "other found",
                    "other not found",
                );
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let vcpu = world.vcpu();
        assert!(vcpu.lookup(0).is_some() && vcpu.lookup(1).is_some());
    });
}

/// The table is replaced by a larger one under a reader.
#[test]
fn table_grows() {
    explore(&["second found", "second not found"], |coverage| {
        let world = World::new();
        let mut translating = world.vcpu();
        let mut running = world.vcpu();
        let first = translating.translate(0, Kind::Ops);
        assert!(matches!(first, Insert::Published(_)));
        let reader = {
            let coverage = Arc::clone(coverage);
            thread::spawn(move || {
                assert!(running.lookup(0).is_some(), "a block was lost");
                running.participant.quiesce();
                assert!(running.lookup(0).is_some(), "a block was lost");
                coverage.either(
                    running.lookup(1).is_some(),
                    "second found",
                    "second not found",
                );
            })
        };
        let second = translating.translate(1, Kind::Ops);
        assert!(matches!(second, Insert::Published(_)));
        reader.join().unwrap();
        assert!(translating.lookup(0).is_some() && translating.lookup(1).is_some());
    });
}
