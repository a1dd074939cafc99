//! The emitter against the interpreter, op by op: the same random block and state through both.
//!
//! `HARTSCOPE_CASES` sets how many blocks are tried (default 20,000). A failure is shrunk to a
//! minimal list of ops before it is reported.

use translate::interp::BlockEnd;
use translate::{Block, Op};

use crate::jit::Jit;
use crate::operands::Random;
use crate::random_ops::{self, Builder};
use crate::world::World;

/// Everything that a block may change.
#[derive(Debug, PartialEq)]
struct Outcome {
    end: BlockEnd,
    pc: u64,
    x: [u64; 32],
    f: [u64; 32],
    fflags: u32,
    counters: [u64; 8],
    reservation: Option<(u64, u64)>,
    memory: Vec<u8>,
}

fn outcome(world: World, end: BlockEnd) -> Outcome {
    let state = &world.state;
    let reserved = state.res_addr != u64::MAX;
    Outcome {
        end,
        pc: state.pc,
        x: state.x,
        f: state.f,
        fflags: state.fflags,
        counters: state.counters,
        reservation: reserved.then_some((state.res_addr, state.res_value)),
        memory: world.mem.bytes,
    }
}

/// Runs `block` through both, from the state that `seed` gives.
fn both(jit: &mut Jit, seed: u64, block: &Block) -> (Outcome, Outcome) {
    let start = || random_ops::world(&mut Random::new(seed));
    let mut world = start();
    let end = world.run_block(block);
    let interpreted = outcome(world, end);
    let mut world = start();
    jit.load(block);
    let end = jit.run(&mut world, block);
    (interpreted, outcome(world, end))
}

/// Takes ops away for as long as the two still disagree.
fn shrink(jit: &mut Jit, seed: u64, mut block: Block) -> Block {
    let mut at = 0;
    // Instructions are pairs: the mark and its op. The last one leaves the block.
    while at + 2 < block.ops.len() {
        let mut shorter = block.clone();
        shorter.ops.drain(at..at + 2);
        // Without its constant, an access could be anywhere.
        let constant = matches!(block.ops[at + 1], Op::Const { .. });
        let (a, b) = match constant {
            true => both(jit, seed, &block),
            false => both(jit, seed, &shorter),
        };
        if !constant && a != b {
            block = shorter;
        } else {
            at += 2;
        }
    }
    block
}

/// The differences, one a line.
fn describe(interpreted: &Outcome, emitted: &Outcome) -> String {
    let mut text = String::new();
    let mut differ = |what: String, a: u64, b: u64| {
        if a != b {
            text += &format!("{what}: interpreted {a:#x}, emitted {b:#x}\n");
        }
    };
    for n in 0..32 {
        differ(format!("x{n}"), interpreted.x[n], emitted.x[n]);
        differ(format!("f{n}"), interpreted.f[n], emitted.f[n]);
    }
    for (n, (a, b)) in interpreted.memory.iter().zip(&emitted.memory).enumerate() {
        differ(format!("byte {n:#x}"), (*a).into(), (*b).into());
    }
    differ("pc".into(), interpreted.pc, emitted.pc);
    differ(
        "fflags".into(),
        interpreted.fflags.into(),
        emitted.fflags.into(),
    );
    if interpreted.end != emitted.end {
        text += &format!("end: {:?}, {:?}\n", interpreted.end, emitted.end);
    }
    if interpreted.reservation != emitted.reservation {
        text += &format!("{:?}, {:?}\n", interpreted.reservation, emitted.reservation);
    }
    if interpreted.counters != emitted.counters {
        text += "counters differ\n";
    }
    text
}

#[test]
fn the_emitter_does_what_the_interpreter_does() {
    let cases: u64 = std::env::var("HARTSCOPE_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20_000);
    let first: u64 = std::env::var("HARTSCOPE_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let mut jit = Jit::new();
    for seed in first..first + cases {
        let mode = random_ops::world(&mut Random::new(seed)).state.mode();
        let block = Builder::new(&mut Random::new(!seed), mode).build();
        let (interpreted, emitted) = both(&mut jit, seed, &block);
        if interpreted == emitted {
            continue;
        }
        let block = shrink(&mut jit, seed, block);
        let (interpreted, emitted) = both(&mut jit, seed, &block);
        let start = random_ops::world(&mut Random::new(seed));
        let ops: String = block.ops.iter().map(|op| format!("{op:?}\n")).collect();
        panic!(
            "seed {seed}, {mode:?}\n{}sunk {:?}\n{:?}\n{}x {:x?}\nf {:x?}\nfflags {:#x}",
            ops,
            block.sunk_ops,
            block.exits,
            describe(&interpreted, &emitted),
            start.state.x,
            start.state.f,
            start.state.fflags,
        );
    }
}
