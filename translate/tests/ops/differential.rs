//! The interpreter on plain blocks against the emitter, and against both on optimized blocks: the
//! same random block and state must come to the same end.
//!
//! `HARTSCOPE_CASES` sets how many blocks each test tries (default 5,000), `HARTSCOPE_SEED` the
//! first one's number. A failure is shrunk to a minimal list of ops before it is reported.

use std::sync::atomic::Ordering;

use translate::interp::BlockEnd;
use translate::lanes::Lanes;
use translate::passes::optimize;
use translate::{Block, Op, Privilege};

use crate::hooked::{self, Seen};
use crate::jit::Jit;
use crate::operands::Random;
use crate::random_ops::{self, Builder, Flavor};
use crate::world::{World, block, x};

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
    seen: Vec<Seen>,
    tally: u64,
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
        seen: hooked::seen(),
        tally: hooked::tally(),
    }
}

/// Ways to run a block.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Interpreted,
    Emitted,
    OptimizedInterpreted,
    OptimizedEmitted,
    /// The same for a machine's hart, whose TLB knows all memory, or nothing.
    OptimizedOnHart {
        knows: bool,
    },
}

impl Way {
    fn run(self, jit: &mut Jit, world: &mut World, block: &Block) -> BlockEnd {
        let mut optimized = block.clone();
        optimize(&mut optimized);
        match self {
            Way::Interpreted => world.run_block(block),
            Way::OptimizedInterpreted => world.run_block(&optimized),
            Way::Emitted => {
                jit.load(block);
                jit.run(world, block)
            }
            Way::OptimizedEmitted => {
                jit.load(&optimized);
                jit.run(world, block)
            }
            Way::OptimizedOnHart { knows } => {
                optimized.mode = optimized.mode.on_hart(Privilege::Supervisor, false);
                jit.load(&optimized);
                jit.run_on_hart(world, block, knows)
            }
        }
    }
}

/// One random test: a block, a state to start from, and two ways that must agree.
struct Case {
    seed: u64,
    /// Whether a request is pending for those ways that show where they left because of it.
    request: bool,
    /// Whether one may be pending for the others.
    may_leave: bool,
    lanes: Lanes,
    block: Block,
    ways: [Way; 2],
}

impl Case {
    fn start(&self, way: Way) -> World {
        let mut world = random_ops::world(&mut Random::new(self.seed));
        world.state.lanes = &raw const self.lanes;
        // Host code that leaves on a request goes on as if nothing had been.
        let request = match way {
            Way::Interpreted | Way::OptimizedInterpreted => self.request,
            Way::Emitted | Way::OptimizedEmitted | Way::OptimizedOnHart { .. } => {
                self.may_leave && self.seed % 4 == 1
            }
        };
        world.state.request.store(request.into(), Ordering::Relaxed);
        world
    }

    fn outcomes(&self, jit: &mut Jit) -> [Outcome; 2] {
        self.ways.map(|way| {
            let mut world = self.start(way);
            hooked::watch(&raw mut *world.state);
            let end = way.run(jit, &mut world, &self.block);
            outcome(world, end)
        })
    }

    /// Panics with a minimal form of the block if the two ways differ.
    fn check(mut self, jit: &mut Jit) {
        let [a, b] = self.outcomes(jit);
        if a == b {
            return;
        }
        self.shrink(jit);
        let [a, b] = self.outcomes(jit);
        panic!("{}", self.report(&describe(&a, &b)));
    }

    fn report(&self, differences: &str) -> String {
        let list = |ops: &[Op]| -> String { ops.iter().map(|op| format!("{op:?}\n")).collect() };
        let mut optimized = self.block.clone();
        optimize(&mut optimized);
        let start = self.start(self.ways[0]).state;
        [
            format!(
                "seed {}, {:?}, {:?}\n",
                self.seed, self.block.mode, self.ways
            ),
            list(&self.block.ops),
            format!("{:?}\n\noptimized:\n", self.block.exits),
            list(&optimized.ops),
            format!("{:?}\nsunk:\n", optimized.exits),
            list(&optimized.sunk_ops),
            format!("\nx {:x?}\nf {:x?}\n", start.x, start.f),
            format!("fflags {:#x}\n\n{differences}", start.fflags),
        ]
        .concat()
    }

    /// Takes instructions away for as long as the two ways still disagree.
    fn shrink(&mut self, jit: &mut Jit) {
        let mut at = 0;
        while let Some(len) = instruction_len(&self.block.ops[at..]) {
            let removed: Vec<Op> = self.block.ops.drain(at..at + len).collect();
            // Without its constant, an access could be anywhere.
            let needed = matches!(removed[len - 1], Op::Const { .. });
            let same = needed || {
                let [a, b] = self.outcomes(jit);
                a == b
            };
            if same {
                self.block.ops.splice(at..at, removed);
                at += len;
            }
        }
    }
}

/// Number of ops of the first instruction, unless it is the last one, which leaves the block.
fn instruction_len(ops: &[Op]) -> Option<usize> {
    let next = ops
        .iter()
        .skip(1)
        .position(|op| matches!(op, Op::Insn { .. }))?;
    Some(next + 1)
}

/// The differences, one a line.
fn describe(first: &Outcome, second: &Outcome) -> String {
    let mut text = String::new();
    let mut differ = |what: String, a: u64, b: u64| {
        if a != b {
            text += &format!("{what}: {a:#x}, {b:#x}\n");
        }
    };
    for n in 0..32 {
        differ(format!("x{n}"), first.x[n], second.x[n]);
        differ(format!("f{n}"), first.f[n], second.f[n]);
    }
    for (n, (a, b)) in first.memory.iter().zip(&second.memory).enumerate() {
        differ(format!("byte {n:#x}"), (*a).into(), (*b).into());
    }
    differ("pc".into(), first.pc, second.pc);
    differ("fflags".into(), first.fflags.into(), second.fflags.into());
    if first.end != second.end {
        text += &format!("end: {:?}, {:?}\n", first.end, second.end);
    }
    if first.reservation != second.reservation {
        text += &format!("{:?}, {:?}\n", first.reservation, second.reservation);
    }
    if first.counters != second.counters {
        text += "counters differ\n";
    }
    for (n, (a, b)) in first.seen.iter().zip(&second.seen).enumerate() {
        if a != b {
            text += &format!("callback {n}: {a:x?}\n{b:x?}\n");
        }
    }
    if first.seen.len() != second.seen.len() || first.tally != second.tally {
        text += "other callbacks\n";
    }
    text
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(default)
}

fn agree(ways: [Way; 2], flavor: Flavor) {
    let first = from_env("HARTSCOPE_SEED", 0);
    let mut jit = Jit::new();
    for seed in first..first + from_env("HARTSCOPE_CASES", 5_000) {
        let mode = random_ops::world(&mut Random::new(seed)).state.mode();
        let mut block = Builder::new(&mut Random::new(!seed), mode, flavor).build();
        let lanes = hooked::lanes(&mut Random::new(seed));
        lanes.plan(&mut block);
        let can_both = !matches!(ways[1], Way::OptimizedOnHart { .. });
        let request = flavor.wild && can_both && seed % 4 == 0;
        Case {
            seed,
            request,
            // What leaves early goes on in the middle, where hooks have run already.
            may_leave: !flavor.hooked,
            lanes,
            block,
            ways,
        }
        .check(&mut jit);
    }
}

#[test]
fn the_emitter_does_what_the_interpreter_does() {
    let flavor = Flavor {
        sunk: true,
        wild: false,
        idioms: false,
        hooked: false,
    };
    agree([Way::Interpreted, Way::Emitted], flavor);
}

#[test]
fn optimized_blocks_do_the_same_even_when_they_fault_or_are_requested_to_leave() {
    let flavor = Flavor {
        sunk: false,
        wild: true,
        idioms: true,
        hooked: false,
    };
    agree([Way::Interpreted, Way::OptimizedInterpreted], flavor);
}

#[test]
fn optimized_blocks_do_the_same_in_host_code() {
    let flavor = Flavor {
        sunk: false,
        wild: false,
        idioms: true,
        hooked: false,
    };
    agree([Way::Interpreted, Way::OptimizedEmitted], flavor);
}

#[test]
fn blocks_of_a_hart_do_the_same_through_its_tlb() {
    for hooked in [false, true] {
        let flavor = Flavor {
            sunk: false,
            wild: false,
            idioms: true,
            hooked,
        };
        agree(
            [Way::Interpreted, Way::OptimizedOnHart { knows: true }],
            flavor,
        );
    }
}

#[test]
fn blocks_of_a_hart_do_the_same_when_the_tlb_knows_nothing_and_accesses_fault() {
    for hooked in [false, true] {
        let flavor = Flavor {
            sunk: false,
            wild: true,
            idioms: true,
            hooked,
        };
        agree(
            [Way::Interpreted, Way::OptimizedOnHart { knows: false }],
            flavor,
        );
    }
}

#[test]
fn instrumented_blocks_show_and_do_the_same_in_host_code() {
    let flavor = Flavor {
        sunk: false,
        wild: false,
        idioms: true,
        hooked: true,
    };
    agree([Way::Interpreted, Way::Emitted], flavor);
    agree([Way::Interpreted, Way::OptimizedEmitted], flavor);
}

#[test]
fn instrumented_blocks_count_the_same_when_they_fault() {
    let flavor = Flavor {
        sunk: false,
        wild: true,
        idioms: true,
        hooked: true,
    };
    agree([Way::Interpreted, Way::OptimizedInterpreted], flavor);
}

#[test]
fn exits_lead_to_their_targets_however_long_the_block() {
    let constant = |n| Op::Const {
        rd: x(5),
        value: i64::MIN + n,
    };
    let constants = (0..10_000).map(constant);
    let ops: Vec<Op> = constants.chain([Op::Jump { exit: 0 }]).collect();
    let block = block(&ops, 1);
    let mut jit = Jit::new();
    let mut world = World::new();
    assert_eq!(
        Way::Emitted.run(&mut jit, &mut world, &block),
        BlockEnd::Next
    );
    assert_eq!(world.state.pc, 0x2000);
    assert_eq!(world.state.x[5], i64::MIN as u64 + 9_999);
}
