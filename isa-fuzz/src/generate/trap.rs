//! Instructions that trap: the handler writes out the registers and steps over them.

use riscv::{Opcode, decode};

use super::Generator;
use super::class::{Class, encodings_of};
use super::memory::access_size;
use crate::asm::{self, Word, all_encodings};
use crate::layout::{CODE, DATA, DATA_BYTES};

/// CSRs that user code may not touch, or that do not exist here.
const FORBIDDEN_CSRS: &[i32] = &[
    0x000, 0x004, 0x100, 0x180, 0x300, 0x341, 0x7c0, 0xf11, 0xf14,
];

impl Generator {
    pub(super) fn trap(&mut self) -> Vec<Word> {
        match self.rng.below(8) {
            0 | 1 => vec![self.illegal()],
            2 => vec![self.rng.pick(&[Word::new(0x0010_0073), Word::new(0x9002)])],
            3 => vec![self.forbidden_csr()],
            4 => self.misaligned_atomic(),
            _ => self.bad_access(),
        }
    }

    /// A reserved encoding: random, or one bit away from a legal one.
    fn illegal(&mut self) -> Word {
        loop {
            let encoding = self.rng.pick(all_encodings());
            let bits = if self.rng.chance(80) {
                let legal = encoding.value | self.rng.bits() as u32 & !encoding.mask;
                legal ^ 1 << self.rng.below(u32::from(encoding.len) * 8)
            } else {
                self.rng.bits() as u32
            };
            let insn = decode(bits);
            if insn.op == Opcode::Illegal {
                return Word::new(insn.raw);
            }
        }
    }

    fn forbidden_csr(&mut self) -> Word {
        let op = self.rng.pick(encodings_of(Class::Csr)).op;
        let csr = self.rng.pick(FORBIDDEN_CSRS);
        asm::csr(op, self.dest(), self.reg(), csr)
    }

    /// Not SC: QEMU lets a misaligned SC without a reservation fail, where the manual wants a trap.
    fn misaligned_atomic(&mut self) -> Vec<Word> {
        let op = loop {
            let op = self.rng.pick(encodings_of(Class::Atomic)).op;
            if !matches!(op, Opcode::ScW | Opcode::ScD) {
                break op;
            }
        };
        let address = self.temp();
        let mut words = self.address_in(address, 8);
        let off = self.rng.range(1, access_size(op) - 1);
        words.push(asm::i(Opcode::Addi, address, address, off));
        words.push(self.atomic_word(op, address));
        words
    }

    /// A load, store or atomic where nothing is mapped, or not for that; in the middle of
    /// instructions that may be moved about.
    fn bad_access(&mut self) -> Vec<Word> {
        let class = self.rng.pick(&[Class::Load, Class::Store, Class::Atomic]);
        let encoding = self.rng.pick(encodings_of(class));
        if encoding.len == 2 {
            return vec![self.illegal()];
        }
        let end = (DATA + DATA_BYTES as u64) as i32;
        // No LR that succeeds: its reservation would last until some SC far away.
        let reserves = matches!(encoding.op, Opcode::LrW | Opcode::LrD);
        let target = match self.rng.below(if reserves { 3 } else { 5 }) {
            // around 0
            0 => self.rng.range(0, 4000),
            // behind the data
            1 => end + self.rng.range(0, 100),
            // the top of the address space
            2 => -self.rng.range(1, 2000),
            // across the end of the data
            3 => end - self.rng.range(1, 7),
            // code, which can be read
            _ => CODE as i32 + self.rng.range(0, 64),
        };
        let address = self.temp();
        let mut words = Vec::new();
        let offset = match class {
            Class::Atomic => {
                words.extend(asm::li(address, target & -access_size(encoding.op)));
                words.push(self.atomic_word(encoding.op, address));
                return words;
            }
            _ => self.rng.range(-300, 300),
        };
        words.extend(asm::li(address, target - offset));
        for _ in 0..self.rng.below(3) {
            words.push(self.keeping(address, Generator::integer));
        }
        words.push(match class {
            Class::Store => asm::s(encoding.op, address, self.reg(), offset),
            _ if super::class::writes_integer(encoding.op) => {
                asm::i(encoding.op, self.dest(), address, offset)
            }
            _ => asm::i(encoding.op, self.reg(), address, offset),
        });
        words
    }
}
