//! Single instructions without memory: random operands for a row of the decoder's table.

use riscv::{Encoding, Insn, Opcode, decode};

use super::class::{Class, encodings_of, writes_integer};
use super::{Generator, POOL_DOUBLES, POOL_END, POOL_SINGLES};
use crate::asm::{self, Word};
use crate::layout::POOL;

/// Immediates at the edges.
const IMMEDIATES: &[i32] = &[
    0, 1, -1, 2, 7, 8, 31, 32, 63, 64, 127, 128, 255, 256, 2047, -2048, -2047, -256,
];

/// CSR numbers: fflags, frm, fcsr.
const FLOAT_CSRS: [i32; 3] = [1, 2, 3];

impl Generator {
    /// Random operand bits, with the hot registers in the register fields.
    fn operands(&mut self, encoding: &Encoding) -> u32 {
        let mut word = self.rng.bits() as u32;
        if encoding.len == 2 {
            return word;
        }
        let mut set = |low: u32, width: u32, value: u32| {
            let mask = ((1 << width) - 1) << low;
            word = word & !mask | value << low & mask;
        };
        set(7, 5, self.reg().into());
        set(15, 5, self.reg().into());
        if encoding.mask >> 25 & 3 == 3 {
            set(20, 5, self.reg().into());
            set(27, 5, self.reg().into());
        } else if encoding.mask >> 20 == 0 && self.rng.chance(50) {
            set(20, 12, self.rng.pick(IMMEDIATES) as u32);
        }
        // The rounding mode, if there is one, is often the dynamic one.
        if self.rng.chance(40) {
            set(12, 3, 7);
        }
        word
    }

    /// `encoding` with random operands that pass `accept`. Words that mean something else, or
    /// write what is reserved, are drawn again.
    pub(super) fn word_if(
        &mut self,
        encoding: &Encoding,
        accept: impl Fn(&Insn) -> bool,
    ) -> Option<Word> {
        (0..100).find_map(|_| {
            let bits = encoding.value | self.operands(encoding) & !encoding.mask;
            let insn = decode(bits);
            let writable = !writes_integer(insn.op) || self.may_write(insn.rd);
            let good = insn.op == encoding.op && writable && accept(&insn);
            good.then(|| Word::new(insn.raw))
        })
    }

    /// Any instruction of a class that needs no preparation.
    pub(super) fn any_of(&mut self, class: Class) -> Word {
        loop {
            let encoding = self.rng.pick(encodings_of(class));
            if let Some(word) = self.word_if(&encoding, |_| true) {
                return word;
            }
        }
    }

    pub(super) fn integer(&mut self) -> Word {
        self.any_of(Class::Integer)
    }

    pub(super) fn float(&mut self) -> Word {
        self.any_of(Class::Float)
    }

    /// A fence of any kind but `pause`, which only costs time.
    pub(super) fn fence(&mut self) -> Word {
        loop {
            let word = self.any_of(Class::Fence);
            if decode(word.bits).op != Opcode::Pause || self.rng.chance(2) {
                return word;
            }
        }
    }

    /// Loads of constants, so that registers do not all end as 0 or NaN.
    pub(super) fn refresh(&mut self) -> Vec<Word> {
        let d = self.reg();
        vec![match self.rng.below(8) {
            0..=3 => {
                let k = self.rng.range(1, POOL_DOUBLES - 1);
                asm::i(Opcode::Ld, self.dest(), self.base, POOL + 8 * k)
            }
            4 => {
                let k = self.rng.range(POOL_SINGLES, POOL_END - 1);
                asm::i(Opcode::Flw, d, self.base, POOL + 8 * k)
            }
            5 => self.pool_single(d),
            _ => self.pool_double(d),
        }]
    }

    /// Loads a double of the pool.
    pub(super) fn pool_double(&mut self, d: u8) -> Word {
        let k = self.rng.range(POOL_DOUBLES, POOL_SINGLES - 1);
        asm::i(Opcode::Fld, d, self.base, POOL + 8 * k)
    }

    /// Loads a single of the pool with whatever box it has.
    pub(super) fn pool_single(&mut self, d: u8) -> Word {
        let k = self.rng.range(POOL_SINGLES, POOL_END - 1);
        asm::i(Opcode::Fld, d, self.base, POOL + 8 * k)
    }

    /// `frm` = one of the five rounding modes.
    pub(super) fn valid_frm(&mut self) -> Word {
        let mode = self.rng.below(5) as u8;
        asm::csr(Opcode::Csrrwi, 0, mode, 2)
    }

    /// An access to the floating-point CSRs. What it leaves in `frm` is mostly put right after.
    pub(super) fn csr(&mut self) -> Vec<Word> {
        let encoding = self.rng.pick(encodings_of(Class::Csr));
        let (d, a) = (self.dest(), self.reg());
        let csr = self.rng.pick(&FLOAT_CSRS);
        let mut words = vec![asm::csr(encoding.op, d, a, csr)];
        if self.rng.chance(90) {
            words.push(self.valid_frm());
        }
        words
    }
}
