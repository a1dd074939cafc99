//! A generated program, as structure that can be cut down, and its assembly into an image.

use riscv::Opcode;

use crate::asm::{self, Word};
use crate::frame::{self, Frame};
use crate::layout::{BASE, COUNTERS, DATA, DATA_BYTES, INIT, POOL, ROUND};

/// Registers that the frame uses for system calls, so none of them can be the base.
const FRAME_REGISTERS: [u8; 4] = [10, 11, 12, 17];

/// A program: the same chunks, `rounds` times over.
#[derive(Clone, Debug)]
pub struct Program {
    /// The register that holds [`BASE`].
    pub base: u8,
    /// How often the chunks are run.
    pub rounds: u32,
    /// First contents of the registers; `x[0]` and `x[base]` do not count.
    pub x: [u64; 32],
    /// The same for floating point.
    pub f: [u64; 32],
    /// First `fcsr`.
    pub fcsr: u8,
    /// The constants; the first is [`crate::layout::MEMORY_TAG`].
    pub pool: Box<[u64; 256]>,
    /// After each chunk the registers are written out.
    pub chunks: Vec<Vec<Item>>,
}

/// What chunks are made of. Control only moves forward, apart from counted loops.
#[allow(missing_docs, reason = "operands are named as everywhere")]
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Straight-line instructions.
    Code(Vec<Word>),
    /// A conditional branch over the next `skip` items of the same list.
    Branch {
        op: Opcode,
        a: u8,
        b: u8,
        skip: usize,
        /// Compressed, if operands and distance allow.
        short: bool,
    },
    /// An unconditional jump over the next `skip` items.
    Jump { how: Jump, skip: usize },
    /// `body`, `count` times, counted in memory; `reg` is clobbered.
    Loop {
        reg: u8,
        slot: i32,
        count: i32,
        body: Vec<Item>,
    },
    /// `body` as a subroutine that returns through `link`, which it leaves alone.
    Call {
        link: u8,
        how: Jump,
        body: Vec<Item>,
    },
}

/// Ways to jump.
#[allow(missing_docs, reason = "operands are named as everywhere")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jump {
    /// `jal rd`, or `c.j`.
    Direct { rd: u8, short: bool },
    /// `auipc`, `addi`, `jalr`: part of the distance, `split`, is in the `addi`, the rest in the
    /// `jalr`; `odd` sets the bit that `jalr` clears.
    Indirect {
        via: u8,
        rd: u8,
        split: i32,
        odd: bool,
    },
    /// `auipc`, `addi`, `c.jr` or `c.jalr`.
    Compressed { via: u8, link: bool },
}

impl Jump {
    fn size(self) -> i32 {
        match self {
            Jump::Direct { short: true, .. } => 2,
            Jump::Direct { short: false, .. } => 4,
            Jump::Indirect { .. } => 12,
            Jump::Compressed { .. } => 10,
        }
    }

    /// A jump by `distance` from its first instruction.
    fn words(self, distance: i32) -> Vec<Word> {
        use Opcode::{Addi, Auipc, Jalr};
        match self {
            Jump::Direct { short: true, .. } => vec![asm::c_j(distance)],
            Jump::Direct { rd, .. } => vec![asm::jal(rd, distance)],
            Jump::Indirect {
                via,
                rd,
                split,
                odd,
            } => vec![
                asm::u(Auipc, via, 0),
                asm::i(Addi, via, via, split),
                asm::i(Jalr, rd, via, distance - split + i32::from(odd)),
            ],
            Jump::Compressed { via, link } => vec![
                asm::u(Auipc, via, 0),
                asm::i(Addi, via, via, distance),
                asm::c_jr(via, link),
            ],
        }
    }
}

/// A program in memory.
#[derive(Clone, Debug)]
pub struct Image {
    /// The code, at [`crate::layout::CODE`]; execution starts at its first byte.
    pub code: Vec<u8>,
    /// The data, at [`DATA`].
    pub data: Vec<u8>,
    /// Where in the code the random instructions begin; before it is the frame.
    pub body: usize,
}

impl Program {
    /// The register for calls of the frame's own subroutines.
    pub fn link(&self) -> u8 {
        if self.base == 1 { 5 } else { 1 }
    }

    /// Whether `reg` can be the base register of a program.
    pub fn can_be_base(reg: u8) -> bool {
        reg != 0 && !FRAME_REGISTERS.contains(&reg)
    }

    /// Assembles the program.
    pub fn assemble(&self) -> Image {
        let frame = Frame {
            base: self.base,
            link: self.link(),
        };
        let mut code = frame::Code::start(&frame);
        let body = code.len();
        for chunk in &self.chunks {
            code.bytes.extend(assemble_items(chunk, self.base));
            code.dump_state(&frame);
        }
        code.end_round(&frame, body);
        Image {
            code: code.bytes,
            data: self.data(),
            body,
        }
    }

    fn data(&self) -> Vec<u8> {
        let mut data = vec![0; DATA_BYTES];
        let mut put = |address: u64, value: u64| {
            let at = (address - DATA) as usize;
            data[at..at + 8].copy_from_slice(&value.to_le_bytes());
        };
        for reg in 0..32 {
            put(INIT + 8 * reg, self.x[reg as usize]);
            put(INIT + 256 + 8 * reg, self.f[reg as usize]);
        }
        put(INIT + 512, self.fcsr.into());
        put(BASE + ROUND as u64, self.rounds.into());
        for (at, value) in (0..).zip(self.pool.iter()) {
            put(BASE.wrapping_add_signed(POOL.into()) + 8 * at, *value);
        }
        frame::put_signal_data(put);
        // Scratch memory starts as a copy of the pool, so that loads find something.
        let (from, to) = ((BASE - DATA) as usize - 2048, (BASE - DATA) as usize);
        data.copy_within(from + 1024..from + 2048, to);
        data
    }
}

/// Encodes a list of items.
pub fn assemble_items(items: &[Item], base: u8) -> Vec<u8> {
    let sizes = sizes_of(items);
    let mut code = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let skipped = |skip: usize| -> i32 { sizes[at + 1..].iter().take(skip).sum() };
        match item {
            Item::Code(words) => words.iter().for_each(|word| word.put(&mut code)),
            Item::Branch {
                op,
                a,
                b,
                skip,
                short,
            } => {
                let distance = sizes[at] + skipped(*skip);
                let word = if *short && fits_short(sizes[at]) {
                    asm::c_branch(*op, *a, distance)
                } else {
                    asm::b(*op, *a, *b, distance)
                };
                word.put(&mut code);
            }
            Item::Jump { how, skip } => put_all(&mut code, how.words(sizes[at] + skipped(*skip))),
            Item::Loop {
                reg,
                slot,
                count,
                body,
            } => {
                let body = assemble_items(body, base);
                let counter = COUNTERS + 8 * slot;
                put_all(&mut code, asm::li(*reg, *count));
                asm::s(Opcode::Sd, base, *reg, counter).put(&mut code);
                // From the branch back to the start of the body.
                let back = -(body.len() as i32 + 12);
                code.extend(body);
                asm::i(Opcode::Ld, *reg, base, counter).put(&mut code);
                asm::i(Opcode::Addi, *reg, *reg, -1).put(&mut code);
                asm::s(Opcode::Sd, base, *reg, counter).put(&mut code);
                asm::b(Opcode::Bne, *reg, 0, back).put(&mut code);
            }
            Item::Call { link, how, body } => {
                let body = assemble_items(body, base);
                // The call, a jump over the subroutine, the subroutine, its return.
                put_all(&mut code, how.words(how.size() + 4));
                asm::jal(0, body.len() as i32 + 8).put(&mut code);
                code.extend(body);
                asm::i(Opcode::Jalr, 0, *link, 0).put(&mut code);
            }
        }
    }
    code
}

fn put_all(code: &mut Vec<u8>, words: Vec<Word>) {
    words.iter().for_each(|word| word.put(code));
}

/// A short branch was chosen if its size says so.
fn fits_short(size: i32) -> bool {
    size == 2
}

/// Sizes in bytes of the items of a list.
fn sizes_of(items: &[Item]) -> Vec<i32> {
    let mut sizes = vec![0; items.len()];
    for (at, item) in items.iter().enumerate().rev() {
        sizes[at] = match item {
            Item::Code(words) => words.iter().map(|word| i32::from(word.len)).sum(),
            Item::Branch {
                a, b, skip, short, ..
            } => {
                let distance: i32 = sizes[at + 1..].iter().take(*skip).sum();
                let operands = (8..16).contains(a) && *b == 0;
                if *short && operands && distance < 250 {
                    2
                } else {
                    4
                }
            }
            Item::Jump { how, .. } => how.size(),
            Item::Loop { body, .. } => 24 + sizes_of(body).iter().sum::<i32>(),
            Item::Call { how, body, .. } => how.size() + 8 + sizes_of(body).iter().sum::<i32>(),
        };
    }
    sizes
}
