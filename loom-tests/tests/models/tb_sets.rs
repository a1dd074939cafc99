//! Blocks of an instrumentation set that is given up while vCPUs find, run and link them.

use std::sync::Arc;

use epoch::sync::thread;
use plugin_rt::Published;
use tb_cache::{Insert, SetId};

use crate::support::explore;
use crate::world::{Kind, Vcpu, World};

const SET: SetId = SetId(16);

/// Links the first page's block to the second's, if both are there; gives whether it has.
fn link(vcpu: &Vcpu) -> bool {
    let (Some(from), Some(to)) = (vcpu.lookup(0), vcpu.lookup(1)) else {
        return false;
    };
    let linked = vcpu.link(from, to);
    // Readable, whatever has become of them.
    assert!(from.key() == vcpu.key(0) && to.key() == vcpu.key(1));
    linked
}

/// As the runtime does it: another set is published, and after the grace period of that the old one
/// is forgotten. What a vCPU finds stays readable until it goes over, and in the end nothing is left.
#[test]
fn set_is_switched() {
    explore(&["linked", "not linked"], |coverage| {
        let world = World::new();
        let mut vcpu = world.vcpu();
        vcpu.set = SET;
        for page in [0, 1] {
            let inserted = vcpu.translate(page, Kind::Code);
            assert!(matches!(inserted, Insert::Published(_)));
        }
        let published = Arc::new(Published::new(SET));
        let mut set = published.reader();
        let runner = {
            let coverage = Arc::clone(coverage);
            thread::spawn(move || {
                let mut linked = false;
                for _ in 0..2 {
                    set.refresh();
                    vcpu.set = *set;
                    linked |= link(&vcpu);
                    vcpu.participant.quiesce();
                }
                vcpu.participant.offline();
                coverage.either(linked, "linked", "not linked");
            })
        };
        published.publish(SetId::EMPTY);
        let forgetting = Arc::clone(&world);
        world.domain.retire(Box::new(move || {
            assert!(forgetting.cache.forget_set(SET));
        }));
        runner.join().unwrap();
        assert_eq!(world.domain.pending(), 0);
        let stats = world.cache.stats();
        assert_eq!((stats.blocks, stats.arenas.draining), (0, 0));
        assert_eq!(stats.forgotten, 1);
    });
}

/// It is forgotten while a vCPU still translates for it: what is found stays readable, and a block
/// that is inserted has memory of its own.
#[test]
fn set_is_forgotten_too_early() {
    explore(&["kept", "killed", "linked", "not linked"], |coverage| {
        let world = World::new();
        let mut vcpu = world.vcpu();
        vcpu.set = SET;
        let first = vcpu.translate(0, Kind::Code);
        assert!(matches!(first, Insert::Published(_)));
        let runner = {
            let coverage = Arc::clone(coverage);
            thread::spawn(move || {
                let second = vcpu.translate(1, Kind::Code);
                let kept = matches!(second, Insert::Published(tb) if !tb.is_dead());
                coverage.either(kept, "kept", "killed");
                coverage.either(link(&vcpu), "linked", "not linked");
                vcpu.participant.quiesce();
                if let Some(tb) = vcpu.lookup(1) {
                    assert!(tb.key() == vcpu.key(1));
                }
                vcpu
            })
        };
        world.cache.forget_set(SET);
        let mut vcpu = runner.join().unwrap();
        world.cache.forget_set(SET);
        vcpu.participant.offline();
        assert_eq!(world.domain.pending(), 0);
        let stats = world.cache.stats();
        assert_eq!((stats.blocks, stats.arenas.draining), (0, 0));
    });
}

/// The set is switched, its blocks are found and linked, and another vCPU needs so much room that arenas
/// are evicted, all at the same time. What a vCPU finds stays readable until it goes over, and in the
/// end nothing of the set is left.
#[test]
fn set_beside_eviction() {
    explore(
        &["linked", "not linked", "evicted", "not evicted"],
        |coverage| {
            let world = World::new();
            let mut vcpu = world.vcpu();
            vcpu.set = SET;
            for page in [0, 1] {
                let inserted = vcpu.translate(page, Kind::Code);
                assert!(matches!(inserted, Insert::Published(_)));
            }
            let mut other = world.vcpu();
            let _ = other.translate(2, Kind::ManyOps);
            let published = Arc::new(Published::new(SET));
            let mut set = published.reader();
            let runner = {
                let coverage = Arc::clone(coverage);
                thread::spawn(move || {
                    set.refresh();
                    vcpu.set = *set;
                    let linked = link(&vcpu);
                    coverage.either(linked, "linked", "not linked");
                    vcpu.participant.offline();
                    vcpu
                })
            };
            let evicter = thread::spawn(move || {
                for page in [0, 1] {
                    let _ = other.translate(page, Kind::ManyOps);
                    other.participant.quiesce();
                }
                other.participant.offline();
            });
            published.publish(SetId::EMPTY);
            let forgetting = Arc::clone(&world);
            world.domain.retire(Box::new(move || {
                forgetting.cache.forget_set(SET);
            }));
            let vcpu = runner.join().unwrap();
            evicter.join().unwrap();
            // Not before: to loom a thread that is about to try a lock waits for it, so that the end of
            // an owner beside a search for room would look like a deadlock.
            drop(vcpu);
            assert_eq!(world.domain.pending(), 0);
            let mut late = world.vcpu();
            late.set = SET;
            assert!(late.lookup(0).is_none() && late.lookup(1).is_none());
            let stats = world.cache.stats();
            assert_eq!(stats.arenas.draining, 0);
            coverage.either(stats.forgotten == 0, "evicted", "not evicted");
        },
    );
}
