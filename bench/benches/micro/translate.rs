//! How long translation takes, per block, step by step and as a whole.
//!
//! The blocks are all that begin at a jump target or after a jump of a statically linked program,
//! most of them the C library's. Superblocks overlap, as they do in the cache.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use translate::frontend::{self, Limits};
use translate::passes::Optimizer;
use translate::x86::{Emitter, HostCode};
use translate::{Block, GuestCode, Mode};

use crate::cpu_time::CpuTime;
use crate::guest::Guest;

fn front_end(code: &dyn GuestCode, pc: u64, limits: &Limits, block: &mut Block) {
    frontend::translate(block, pc, Mode::default(), code, limits);
}

/// Front end; with passes; with the emitter.
pub fn translate(c: &mut Criterion<CpuTime>) {
    let guest = Guest::build("json");
    let starts = guest.block_starts();
    let limits = Limits::default();
    let (mut block, mut host) = (Block::default(), HostCode::default());
    let (mut optimizer, mut emitter) = (Optimizer::default(), Emitter::new());

    let (mut insns, mut bytes) = (0, 0);
    for &pc in &starts {
        front_end(&guest, pc, &limits, &mut block);
        optimizer.run(&mut block);
        emitter.emit(&block, &mut host);
        insns += u64::from(block.n_insns);
        bytes += host.bytes.len();
    }
    let blocks = starts.len() as u64;
    println!(
        "{blocks} blocks, {:.1} guest instructions and {:.0} bytes of host code each",
        insns as f64 / blocks as f64,
        bytes as f64 / blocks as f64
    );

    let mut group = c.benchmark_group("translate");
    group.throughput(Throughput::Elements(blocks));
    group.bench_function("front end", |b| {
        b.iter(|| {
            for &pc in &starts {
                front_end(&guest, pc, &limits, &mut block);
                black_box(&block);
            }
        });
    });
    group.bench_function("front end, passes", |b| {
        b.iter(|| {
            for &pc in &starts {
                front_end(&guest, pc, &limits, &mut block);
                optimizer.run(&mut block);
                black_box(&block);
            }
        });
    });
    group.bench_function("front end, passes, emitter", |b| {
        b.iter(|| {
            for &pc in &starts {
                front_end(&guest, pc, &limits, &mut block);
                optimizer.run(&mut block);
                emitter.emit(&block, &mut host);
                black_box(&host);
            }
        });
    });
    group.finish();
}
