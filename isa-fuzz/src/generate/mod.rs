//! Random programs.
//!
//! Rules that keep a program deterministic and inside its memory:
//!
//! 1. No instruction writes the base register.
//! 2. Memory is accessed through the base register, or through an address that was computed from
//!    it right before; stores stay within the scratch memory.
//! 3. SC only follows an LR of the same address and size in the same item, or no LR at all.
//! 4. Counters (`cycle`, `time`, `instret`) are never read.

mod class;
mod control;
mod idiom;
mod memory;
pub mod reserved;
mod trap;
mod word;

pub use class::{Class, class, writes_integer};
pub use memory::access_size;

use crate::layout::MEMORY_TAG;
use crate::program::{Item, Program};
use crate::rng::Rng;
use crate::values;

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Chunks of a program.
    pub chunks: usize,
    /// Items of a chunk.
    pub items: usize,
    /// How often the chunks run.
    pub rounds: u32,
    /// Whether there are instructions that trap.
    pub traps: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            chunks: 40,
            items: 60,
            rounds: 3,
            traps: true,
        }
    }
}

/// First of the pool's doubles; before it are integers.
const POOL_DOUBLES: i32 = 96;
/// First of the pool's singles, some of them badly boxed.
const POOL_SINGLES: i32 = 176;
const POOL_END: i32 = 256;

/// The program of `seed`.
pub fn program(seed: u64, options: &Options) -> Program {
    let mut rng = Rng::new(seed);
    let base = loop {
        let reg = rng.below(32) as u8;
        if Program::can_be_base(reg) {
            break reg;
        }
    };
    let mut program = Program {
        base,
        rounds: options.rounds,
        x: std::array::from_fn(|_| values::integer(&mut rng)),
        f: std::array::from_fn(|_| values::float_register(&mut rng)),
        fcsr: (rng.below(5) << 5 | rng.below(32)) as u8,
        pool: pool(&mut rng),
        chunks: Vec::new(),
    };
    let mut generator = Generator {
        rng,
        base,
        hot: [0; 6],
        kept: 1 << base,
        traps: options.traps,
        loops: 0,
    };
    for _ in 0..options.chunks {
        program.chunks.push(generator.chunk(options.items));
    }
    program
}

fn pool(rng: &mut Rng) -> Box<[u64; 256]> {
    let mut pool = Box::new([MEMORY_TAG; 256]);
    for at in 1..POOL_END {
        pool[at as usize] = if at < POOL_DOUBLES {
            values::integer(rng)
        } else if at < POOL_SINGLES {
            values::double(rng)
        } else if rng.chance(85) {
            values::boxed(values::single(rng))
        } else {
            let value = values::single(rng);
            values::badly_boxed(rng, value)
        };
    }
    pool
}

struct Generator {
    rng: Rng,
    base: u8,
    /// Registers that are used more often than others, so that results are used.
    hot: [u8; 6],
    /// Registers that must not be written now, as bits.
    kept: u32,
    traps: bool,
    /// Loop counters in use.
    loops: i32,
}

impl Generator {
    fn chunk(&mut self, items: usize) -> Vec<Item> {
        self.hot = std::array::from_fn(|_| self.rng.below(32) as u8);
        let mut chunk = vec![Item::Code(vec![self.valid_frm()])];
        while chunk.len() < items {
            let item = if self.rng.chance(12) {
                self.control()
            } else {
                Item::Code(self.straight())
            };
            chunk.push(item);
        }
        chunk
    }

    /// Some straight-line instructions that belong together.
    fn straight(&mut self) -> Vec<crate::asm::Word> {
        match self.rng.below(100) {
            0..=29 => vec![self.integer()],
            30..=54 => vec![self.float()],
            55..=64 => self.refresh(),
            65..=79 => self.memory_access(),
            80..=83 => self.atomic(),
            84..=92 => self.idiom(),
            93..=95 => self.csr(),
            96 => vec![self.fence()],
            97 => self.cache_block(),
            _ if self.traps => self.trap(),
            _ => vec![self.integer()],
        }
    }

    /// Any register, the hot ones more often.
    fn reg(&mut self) -> u8 {
        if self.rng.chance(60) {
            self.rng.pick(&self.hot)
        } else {
            self.rng.below(32) as u8
        }
    }

    /// Runs `generate` while `reg` may not be written.
    fn keeping<T>(&mut self, reg: u8, generate: impl FnOnce(&mut Generator) -> T) -> T {
        let kept = self.kept;
        self.kept |= 1 << reg;
        let result = generate(self);
        self.kept = kept;
        result
    }

    /// Whether an integer register may be written.
    fn may_write(&self, reg: u8) -> bool {
        self.kept >> reg & 1 == 0
    }

    /// An integer register to write, perhaps x0.
    fn dest(&mut self) -> u8 {
        loop {
            let reg = self.reg();
            if self.may_write(reg) {
                return reg;
            }
        }
    }

    /// An integer register that holds what is written to it.
    fn temp(&mut self) -> u8 {
        loop {
            let reg = self.dest();
            if reg != 0 {
                return reg;
            }
        }
    }

    /// Another one than `other`.
    fn temp_besides(&mut self, other: u8) -> u8 {
        loop {
            let reg = self.temp();
            if reg != other {
                return reg;
            }
        }
    }
}
