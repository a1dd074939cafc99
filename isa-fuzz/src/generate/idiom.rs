//! Sequences that compilers emit and that translators fuse: each must stay right when its
//! registers overlap in any way.

use riscv::Opcode::{self, *};

use super::Generator;
use crate::asm::{self, Word, i, r, u};

/// CSR number of `fflags`.
const FFLAGS: i32 = 1;

impl Generator {
    /// One of the sequences, with random registers.
    pub(super) fn idiom(&mut self) -> Vec<Word> {
        // The same register in several places is the interesting case.
        let [d, e] = [self.temp(), self.temp()];
        let [a, b] = [self.reg(), self.reg()];
        let shift = self.rng.range(0, 63);
        let upper = self.rng.bits() as i32;
        let low = self.rng.range(-2048, 2047);
        match self.rng.below(17) {
            // zero extension, and other pairs of shifts
            0 => vec![i(Slli, d, a, 32), i(Srli, d, d, 32)],
            1 => vec![i(Slli, d, a, shift), i(Srli, e, d, self.rng.range(0, 63))],
            2 => vec![i(Slli, d, a, shift), i(Srai, e, d, self.rng.range(0, 63))],
            3 => vec![i(Slli, d, a, 48), i(Srli, e, d, 48)],
            // rotation
            4 => vec![
                i(Slli, d, a, shift),
                i(Srli, e, a, 64 - shift & 63),
                r(self.rng.pick(&[Or, Add, Xor]), self.dest(), d, e),
            ],
            5 => vec![
                i(Slliw, d, a, shift & 31),
                i(Srliw, e, a, 32 - shift & 31),
                r(Or, self.dest(), d, e),
            ],
            // constants and addresses
            6 => vec![u(Lui, d, upper), i(Addi, e, d, low)],
            7 => vec![u(Lui, d, upper), i(Addiw, e, d, low)],
            8 => vec![u(Auipc, d, upper), i(Addi, e, d, low)],
            9 => vec![u(Lui, d, upper), i(Addi, d, d, low), i(Slli, d, d, shift)],
            // scaled addition
            10 => vec![i(Slli, d, a, self.rng.range(0, 4)), r(Add, e, d, b)],
            11 => vec![
                i(Slli, d, a, 32),
                i(Srli, d, d, self.rng.range(28, 32)),
                r(Add, e, b, d),
            ],
            // arithmetic and sign extension
            12 => vec![
                r(self.rng.pick(&[Add, Sub, Mul]), d, a, b),
                i(Addiw, e, d, 0),
            ],
            // comparison results that are compared or negated
            13 => vec![r(self.rng.pick(&[Slt, Sltu]), d, a, b), i(Xori, e, d, 1)],
            14 => vec![r(Sub, d, a, b), i(Sltiu, e, d, 1)],
            // a quotient and its remainder
            15 => {
                let (div, rem) = self.rng.pick(&[(Div, Rem), (Divu, Remu), (Divw, Remw)]);
                vec![r(div, d, a, b), r(rem, e, a, b)]
            }
            // a comparison that leaves the flags alone
            _ => self.quiet_comparison(),
        }
    }

    /// `fflags` saved, two comparisons that may raise, `fflags` restored: how C compares quietly.
    fn quiet_comparison(&mut self) -> Vec<Word> {
        let saved = self.temp();
        let result = self.dest();
        let comparisons: [Opcode; 6] = [FltS, FleS, FeqS, FltD, FleD, FeqD];
        let comparison = |this: &mut Generator, d| {
            let op = this.rng.pick(&comparisons);
            let (a, b) = (this.reg(), this.reg());
            r(op, d, a, b)
        };
        let mut words = vec![
            asm::csr(Csrrs, saved, 0, FFLAGS),
            comparison(self, result),
            asm::csr(Csrrw, 0, saved, FFLAGS),
        ];
        if self.rng.chance(30) {
            let second = self.dest();
            words.insert(2, comparison(self, second));
        }
        if self.rng.chance(20) {
            // The old flags into another register.
            words[2] = asm::csr(Csrrw, self.dest(), saved, FFLAGS);
        }
        words
    }
}
