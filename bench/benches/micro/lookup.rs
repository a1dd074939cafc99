//! How long the translation cache takes to find a block, and to take a new one.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput};
use epoch::{Domain, Participant};
use tb_cache::{CodePages, Config, Insert, Key, TbCache, Translation, Watch};
use translate::frontend::{self, Limits};
use translate::x86::{Emitter, HostCode};
use translate::{Block, Mode, passes};

use crate::cpu_time::CpuTime;
use crate::guest::Guest;

impl CodePages for Guest {
    fn watch(&self, _page: u64) -> Watch {
        Watch::Immutable
    }
}

fn online() -> (Arc<Domain>, Participant) {
    let domain = Domain::new();
    let mut participant = domain.register();
    participant.online();
    (domain, participant)
}

fn new_cache(domain: &Arc<Domain>) -> TbCache {
    let config = Config {
        tb_size: 64 << 20,
        stubs: &[],
    };
    TbCache::new(config, Arc::clone(domain)).expect("there is memory for a cache")
}

/// The blocks at `starts`, with their host code; their pages are watched by `cache` from then on.
fn translate_all(cache: &TbCache, guest: &Guest, starts: &[u64]) -> Vec<(Block, HostCode)> {
    let code = cache.watched(guest);
    let mut emitter = Emitter::new();
    let translate = |&pc: &u64| {
        let (mut block, mut host) = (Block::default(), HostCode::default());
        frontend::translate(&mut block, pc, Mode::default(), &code, &Limits::default());
        passes::optimize(&mut block);
        emitter.emit(&block, &mut host);
        (block, host)
    };
    starts.iter().map(translate).collect()
}

fn insert_all(
    cache: &TbCache,
    participant: &Participant,
    guest: &Guest,
    blocks: &mut [(Block, HostCode)],
) {
    let mut owner = cache.arena_owner();
    for (block, host) in blocks {
        let translation = Translation {
            key: Key::plain(block.pc, block.mode),
            block,
            host: Some(host),
            ticket: cache.ticket(),
        };
        let inserted = cache.insert(participant, &mut owner, guest, translation);
        assert!(matches!(inserted, Insert::Published(_)), "there is room");
    }
}

/// Finding and inserting.
pub fn cache(c: &mut Criterion<CpuTime>) {
    let guest = Guest::build("json");
    let starts: Vec<u64> = guest.block_starts().into_iter().step_by(4).collect();
    let (domain, participant) = online();
    let full = new_cache(&domain);
    let mut blocks = translate_all(&full, &guest, &starts);
    insert_all(&full, &participant, &guest, &mut blocks);

    let mut group = c.benchmark_group("tb-cache");
    group.throughput(Throughput::Elements(starts.len() as u64));
    group.bench_function("lookup, found", |b| {
        b.iter(|| {
            for &pc in &starts {
                let key = Key::plain(black_box(pc), Mode::default());
                black_box(full.lookup(&participant, key));
            }
        });
    });
    group.bench_function("lookup, not there", |b| {
        b.iter(|| {
            for &pc in &starts {
                let key = Key::plain(black_box(pc + 1), Mode::default());
                black_box(full.lookup(&participant, key));
            }
        });
    });
    group.sample_size(20);
    group.bench_function("insert", |b| {
        b.iter_batched_ref(
            || {
                let cache = new_cache(&domain);
                let blocks = translate_all(&cache, &guest, &starts);
                (cache, blocks)
            },
            |(cache, blocks)| insert_all(cache, &participant, &guest, blocks),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}
