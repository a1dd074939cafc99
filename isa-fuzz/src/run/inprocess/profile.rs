//! What a program executes: how often which instruction completes.

use std::collections::HashMap;
use std::io;
use std::ops::AddAssign;

use riscv::{Encoding, decode};
use translate::Block;

use super::{Backend, Machine};
use crate::asm::all_encodings;
use crate::layout::CODE;
use crate::program::Image;

/// Completed instructions, those of the frame not counted.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// All of them.
    pub total: u64,
    /// By opcode and length.
    by_encoding: HashMap<(u8, u8), u64>,
}

impl Profile {
    /// How often `encoding` was executed.
    pub fn count(&self, encoding: &Encoding) -> u64 {
        let key = (encoding.op as u8, encoding.len);
        self.by_encoding.get(&key).copied().unwrap_or(0)
    }

    /// The encoding that was executed least, of those that the generator emits at all.
    pub fn least(&self) -> Option<(&'static Encoding, u64)> {
        all_encodings()
            .iter()
            .map(|encoding| (encoding, self.count(encoding)))
            .filter(|(_, count)| *count != 0)
            .min_by_key(|(_, count)| *count)
    }
}

impl AddAssign<&Profile> for Profile {
    fn add_assign(&mut self, other: &Profile) {
        self.total += other.total;
        for (key, count) in &other.by_encoding {
            *self.by_encoding.entry(*key).or_default() += count;
        }
    }
}

/// Runs `image` on plain blocks and counts.
pub fn profile(image: &Image) -> io::Result<Profile> {
    let body = CODE + image.body as u64;
    let mut runs: HashMap<u64, (Vec<(u8, u8)>, u64)> = HashMap::new();
    let mut profile = Profile::default();
    Machine::new(image, Backend::Plain)?.run(|block, stopped| {
        if block.pc < body {
            return;
        }
        match stopped {
            None => {
                runs.entry(block.pc)
                    .or_insert_with(|| (instructions(block), 0))
                    .1 += 1
            }
            // What was completed before the instruction that trapped.
            Some(pc) => {
                let completed = pc.wrapping_sub(block.pc);
                let mut at = 0;
                for (op, len) in instructions(block) {
                    if at >= completed {
                        break;
                    }
                    at += u64::from(len);
                    profile.note((op, len), 1);
                }
            }
        }
    })?;
    for (instructions, times) in runs.into_values() {
        for instruction in instructions {
            profile.note(instruction, times);
        }
    }
    Ok(profile)
}

impl Profile {
    fn note(&mut self, instruction: (u8, u8), times: u64) {
        self.total += times;
        *self.by_encoding.entry(instruction).or_default() += times;
    }
}

/// Opcodes and lengths of a plain block's instructions.
fn instructions(block: &Block) -> Vec<(u8, u8)> {
    let mut instructions = Vec::new();
    let mut rest = &block.bytes[..];
    while let Some(low) = rest.first_chunk::<2>() {
        let mut bits = [0; 4];
        bits[..2].copy_from_slice(low);
        if let Some(word) = rest.first_chunk::<4>() {
            bits = *word;
        }
        let insn = decode(u32::from_le_bytes(bits));
        instructions.push((insn.op as u8, insn.len));
        rest = rest.get(usize::from(insn.len)..).unwrap_or_default();
    }
    instructions
}
