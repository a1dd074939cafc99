//! Programs of reserved encodings alone: each must trap, and leave everything as it was.

use riscv::{Opcode, decode};

use crate::asm::{Word, all_encodings};
use crate::program::{Item, Program};
use crate::rng::Rng;

/// Encodings of one program.
const PER_PROGRAM: usize = 4000;
/// Words tried per fixed bit of an encoding.
const PER_BIT: usize = 4;

/// All reserved 16-bit encodings, and those 32-bit ones that are one bit away from a legal one.
pub fn programs(seed: u64) -> Vec<Program> {
    let mut rng = Rng::new(seed);
    let words = reserved(&mut rng);
    let empty = super::program(
        seed,
        &super::Options {
            chunks: 0,
            items: 0,
            rounds: 1,
            traps: true,
        },
    );
    words
        .chunks(PER_PROGRAM)
        .map(|words| Program {
            chunks: words
                .iter()
                .map(|word| vec![Item::Code(vec![*word])])
                .collect(),
            ..empty.clone()
        })
        .collect()
}

fn reserved(rng: &mut Rng) -> Vec<Word> {
    let compressed = (0..=0xffff).filter(|low| low & 3 != 3);
    let mut words: Vec<u32> = compressed.collect();
    for encoding in all_encodings().iter().filter(|encoding| encoding.len == 4) {
        for bit in (2..32).filter(|bit| encoding.mask >> bit & 1 == 1) {
            for _ in 0..PER_BIT {
                let legal = encoding.value | rng.bits() as u32 & !encoding.mask;
                words.push(legal ^ 1 << bit);
            }
        }
        // Reserved rounding modes, and whatever else an operand may not be.
        words.extend((0..40).map(|_| encoding.value | rng.bits() as u32 & !encoding.mask));
    }
    words.retain(|bits| decode(*bits).op == Opcode::Illegal);
    words.into_iter().map(Word::new).collect()
}
