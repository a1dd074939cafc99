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
        match self.rng.below(26) {
            // zero extension, and other pairs of shifts
            0 => vec![i(Slli, d, a, 32), i(Srli, d, d, 32)],
            1 => vec![i(Slli, d, a, shift), i(Srli, e, d, self.rng.range(0, 63))],
            2 => vec![i(Slli, d, a, shift), i(Srai, e, d, self.rng.range(0, 63))],
            3 => vec![i(Slli, d, a, 48), i(Srli, e, d, 48)],
            // rotation
            4 => vec![
                i(Slli, d, a, shift),
                i(Srli, e, a, (64 - shift) & 63),
                r(self.rng.pick(&[Or, Add, Xor, Addw]), self.dest(), d, e),
            ],
            5 => vec![
                i(Slliw, d, a, shift & 31),
                i(Srliw, e, a, (32 - shift) & 31),
                r(self.rng.pick(&[Or, Add, Xor, Addw]), self.dest(), d, e),
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
            16..=18 => self.quiet_comparison(),
            19..=21 => self.close_floats(),
            _ => self.dense(),
        }
    }

    /// Cheap operations on three registers only: results are overwritten, absorbed and moved in
    /// every order.
    fn dense(&mut self) -> Vec<Word> {
        let few = [self.temp(), self.temp(), self.temp()];
        let shift = self.rng.range(0, 63);
        let shifts = [shift, (64 - shift) & 63, 32, shift & 31, (32 - shift) & 31];
        let count = 4 + self.rng.below(9);
        (0..count)
            .map(|_| {
                let rng = &mut self.rng;
                let d = rng.pick(&few);
                let (a, b) = if rng.chance(85) {
                    (rng.pick(&few), rng.pick(&few))
                } else {
                    (rng.pick(&[0, self.base]), rng.pick(&few))
                };
                match rng.below(12) {
                    0 | 1 => i(Addi, d, a, rng.pick(&[0, 1, -1, 16, 255, -2048, 2047])),
                    2 => i(Addiw, d, a, rng.pick(&[0, 1, -1, 2047])),
                    3 => u(rng.pick(&[Lui, Auipc]), d, rng.bits() as i32),
                    4 => i(rng.pick(&[Slli, Srli, Srai]), d, a, rng.pick(&shifts)),
                    5 => i(
                        rng.pick(&[Slli, Srli, Rori, SlliUw]),
                        d,
                        a,
                        rng.pick(&shifts),
                    ),
                    6 => i(
                        rng.pick(&[Slliw, Srliw, Sraiw]),
                        d,
                        a,
                        rng.pick(&shifts) & 31,
                    ),
                    7 => r(rng.pick(&[Sh1add, Sh2add, Sh3add, AddUw]), d, a, b),
                    8 => i(
                        rng.pick(&[Andi, Ori, Xori, Slti, Sltiu]),
                        d,
                        a,
                        rng.pick(&[1, 255, -1]),
                    ),
                    9 => r(rng.pick(&[Add, Addw, Sub, Subw]), d, a, b),
                    _ => r(rng.pick(&[Add, Or, Xor, And, Slt, Sltu, CzeroEqz]), d, a, b),
                }
            })
            .collect()
    }

    /// Operands that are close to each other, or each other's opposite, and one instruction on
    /// them.
    fn close_floats(&mut self) -> Vec<Word> {
        let single = self.rng.chance(50);
        let (a, b, d) = (self.reg(), self.reg(), self.reg());
        let x = self.temp();
        let (load, mv, sign, ops) = if single {
            let ops = [FaddS, FsubS, FminS, FmaxS, FdivS, FmulS, FsgnjxS];
            (self.pool_single(a), [FmvXW, FmvWX], 31, ops)
        } else {
            let ops = [FaddD, FsubD, FminD, FmaxD, FdivD, FmulD, FsgnjxD];
            (self.pool_double(a), [FmvXD, FmvDX], 63, ops)
        };
        let compare = if single {
            [FeqS, FltS, FleS]
        } else {
            [FeqD, FltD, FleD]
        };
        let mut words = vec![load, r(mv[0], x, a, 0)];
        match self.rng.below(4) {
            0 => words.push(i(Binvi, x, x, sign)),
            1 => words.push(i(Addi, x, x, self.rng.pick(&[1, -1]))),
            2 => words.push(i(Binvi, x, x, self.rng.range(0, sign))),
            _ => {}
        }
        words.push(r(mv[1], b, x, 0));
        let (a, b) = if self.rng.chance(50) { (a, b) } else { (b, a) };
        if self.rng.chance(25) {
            words.push(r(self.rng.pick(&compare), self.dest(), a, b));
            return words;
        }
        let op = self.rng.pick(&ops);
        let word = r(op, d, a, b);
        // Rounding mode: the dynamic one, where there is one.
        let rounds = !matches!(op, FminS | FmaxS | FsgnjxS | FminD | FmaxD | FsgnjxD);
        words.push(Word::new(word.bits | if rounds { 7 << 12 } else { 0 }));
        words
    }

    /// `fflags` saved, two comparisons that may raise, `fflags` restored: how C compares quietly.
    fn quiet_comparison(&mut self) -> Vec<Word> {
        let saved = self.dest();
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
