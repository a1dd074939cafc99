//! Accesses to memory, with the instructions that compute their addresses.

use riscv::{Encoding, Opcode, decode};

use super::Generator;
use super::class::{Class, encodings_of};
use crate::asm::{self, Word};
use crate::layout::{SCRATCH, SCRATCH_END};

/// Displacements of accesses through a computed address are less than this.
const REACH: i32 = 512;

impl Generator {
    /// Makes `reg` an address in the lower half of the scratch memory, a multiple of `align`;
    /// sometimes in several steps.
    pub(super) fn address_in(&mut self, reg: u8, align: i32) -> Vec<Word> {
        let mut words = self.simple_address(reg, align);
        if self.rng.chance(25) {
            let (there, back) = (self.rng.range(-60, 60) * 8, self.temp());
            words.push(asm::i(Opcode::Addi, back, reg, there));
            words.push(asm::i(Opcode::Addi, reg, back, -there));
        }
        words
    }

    fn simple_address(&mut self, reg: u8, align: i32) -> Vec<Word> {
        use Opcode::{Add, AddUw, Addi, Andi, Sh1add, Sh2add, Sh3add, Slli, Srli};
        let base = self.base;
        let offset =
            |this: &mut Generator, below: i32| this.rng.range(0, below / align - 1) * align;
        let source = self.reg();
        let index = self.temp_besides(reg);
        match self.rng.below(7) {
            // base + constant
            0 | 1 => vec![asm::i(Addi, reg, base, offset(self, REACH))],
            // base + masked index
            2 => vec![
                asm::i(Andi, index, source, (REACH - 1) & -align),
                asm::r(Add, reg, base, index),
            ],
            3 => vec![
                asm::i(Andi, index, source, (REACH - 1) & -align),
                asm::r(AddUw, reg, index, base),
            ],
            // base + scaled index
            4 => {
                let (op, shift) = self.rng.pick(&[(Sh1add, 1), (Sh2add, 2), (Sh3add, 3)]);
                vec![
                    asm::i(Andi, index, source, (REACH - 1) >> shift & -align),
                    asm::r(op, reg, index, base),
                ]
            }
            5 => {
                let shift = self.rng.range(1, 4);
                vec![
                    asm::i(Andi, index, source, (REACH - 1) >> shift & -align),
                    asm::i(Slli, index, index, shift),
                    asm::r(Add, reg, base, index),
                ]
            }
            // base + zero-extended index, in two shifts
            _ => vec![
                asm::i(Andi, index, source, (REACH - 1) & -align),
                asm::i(Slli, index, index, 32),
                asm::i(Srli, index, index, 32),
                asm::r(Add, reg, index, base),
            ],
        }
    }

    /// One load or store of any width, alignment and encoding.
    pub(super) fn memory_access(&mut self) -> Vec<Word> {
        let class = self.rng.pick(&[Class::Load, Class::Load, Class::Store]);
        let encoding = self.rng.pick(encodings_of(class));
        if encoding.len == 2 {
            return self.compressed_access(&encoding);
        }
        let store = class == Class::Store;
        if self.rng.chance(40) {
            let low = if store { SCRATCH } else { -2048 };
            let offset = self.rng.range(low, SCRATCH_END - 8);
            return vec![self.access(encoding.op, self.base, offset)];
        }
        let address = self.temp();
        let mut words = self.address_in(address, 1);
        let offset = self.rng.range(-16, REACH - 8);
        if self.rng.chance(30) {
            // The displacement in two parts.
            let part = self.rng.range(-400, 400);
            let end = self.temp();
            words.push(asm::i(Opcode::Addi, end, address, part));
            words.push(self.access(encoding.op, end, offset - part));
        } else {
            words.push(self.access(encoding.op, address, offset));
        }
        words
    }

    /// A 32-bit load or store with a random data register.
    fn access(&mut self, op: Opcode, base: u8, offset: i32) -> Word {
        match super::class(op) {
            Class::Store => asm::s(op, base, self.reg(), offset),
            _ if super::class::writes_integer(op) => asm::i(op, self.dest(), base, offset),
            _ => asm::i(op, self.reg(), base, offset),
        }
    }

    /// A compressed access: its address register is made to point at scratch memory first. (Its
    /// displacement is at most 504.)
    fn compressed_access(&mut self, encoding: &Encoding) -> Vec<Word> {
        let Some(word) = self.word_if(encoding, |insn| insn.imm <= REACH - 8) else {
            return vec![self.integer()];
        };
        let address = decode(word.bits).rs1;
        if address == self.base {
            return vec![word];
        }
        if !self.may_write(address) {
            return vec![self.integer()];
        }
        let mut words = self.address_in(address, 1);
        words.push(word);
        words
    }

    /// A read-modify-write, or LR and SC.
    pub(super) fn atomic(&mut self) -> Vec<Word> {
        use Opcode::*;
        let encoding = self.rng.pick(encodings_of(Class::Atomic));
        let size = access_size(encoding.op);
        let (address, mut words) = if self.rng.chance(20) {
            (self.base, Vec::new())
        } else {
            let address = self.temp();
            (address, self.address_in(address, size))
        };
        match encoding.op {
            LrW | ScW => words.extend(self.reservation(LrW, ScW, address)),
            LrD | ScD => words.extend(self.reservation(LrD, ScD, address)),
            op => words.push(self.atomic_word(op, address)),
        }
        words
    }

    /// One atomic instruction on an address, with any `aq` and `rl`.
    pub(super) fn atomic_word(&mut self, op: Opcode, address: u8) -> Word {
        let source = match op {
            Opcode::LrW | Opcode::LrD => 0,
            _ => self.reg(),
        };
        let word = asm::r(op, self.dest(), address, source);
        Word::new(word.bits | self.rng.below(4) << 25)
    }

    /// LR, something, SC; or SC alone, which fails.
    fn reservation(&mut self, lr: Opcode, sc: Opcode, address: u8) -> Vec<Word> {
        let mut words = Vec::new();
        if self.rng.chance(75) {
            self.keeping(address, |this| {
                words.push(this.atomic_word(lr, address));
                for _ in 0..this.rng.below(4) {
                    words.push(this.integer());
                }
            });
        }
        words.push(self.atomic_word(sc, address));
        words
    }

    /// `cbo.*` on scratch memory.
    pub(super) fn cache_block(&mut self) -> Vec<Word> {
        let encoding = self.rng.pick(encodings_of(Class::CacheBlock));
        let address = self.temp();
        let mut words = self.address_in(address, 1);
        words.push(Word::new(encoding.value | u32::from(address) << 15));
        words
    }
}

/// Bytes that an atomic instruction accesses.
pub fn access_size(op: Opcode) -> i32 {
    if (Opcode::LrD as u8..=Opcode::AmomaxuD as u8).contains(&(op as u8)) {
        8
    } else {
        4
    }
}
