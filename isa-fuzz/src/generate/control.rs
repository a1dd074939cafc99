//! Branches, jumps, loops and calls.

use riscv::Opcode;

use super::Generator;
use crate::layout::COUNTER_SLOTS;
use crate::program::{Item, Jump};

const BRANCHES: [Opcode; 6] = [
    Opcode::Beq,
    Opcode::Bne,
    Opcode::Blt,
    Opcode::Bge,
    Opcode::Bltu,
    Opcode::Bgeu,
];

impl Generator {
    /// One item that moves control.
    pub(super) fn control(&mut self) -> Item {
        match self.rng.below(10) {
            0..=4 => self.branch(),
            5 | 6 => Item::Jump {
                how: self.jump(),
                skip: self.rng.below(4) as usize,
            },
            7 => self.call(),
            _ => self.counted_loop(),
        }
    }

    fn branch(&mut self) -> Item {
        let skip = self.rng.below(4) as usize;
        if self.rng.chance(30) {
            return Item::Branch {
                op: self.rng.pick(&[Opcode::Beq, Opcode::Bne]),
                a: self.rng.range(8, 15) as u8,
                b: 0,
                skip,
                short: true,
            };
        }
        let a = self.reg();
        let b = match self.rng.below(4) {
            0 => 0,
            1 => a,
            _ => self.reg(),
        };
        let op = self.rng.pick(&BRANCHES);
        let (a, b) = if self.rng.chance(15) { (b, a) } else { (a, b) };
        Item::Branch {
            op,
            a,
            b,
            skip,
            short: false,
        }
    }

    fn jump(&mut self) -> Jump {
        match self.rng.below(5) {
            0 => Jump::Direct { rd: 0, short: true },
            1 => Jump::Direct {
                rd: self.dest(),
                short: false,
            },
            2 => Jump::Compressed {
                via: self.temp(),
                link: self.rng.chance(50) && self.may_write(1),
            },
            _ => Jump::Indirect {
                via: self.temp(),
                rd: self.dest(),
                // The distance, at most some 1100, less this must fit 12 bits.
                split: self.rng.range(-900, 900),
                odd: self.rng.chance(30),
            },
        }
    }

    fn body(&mut self, items: u32) -> Vec<Item> {
        (0..items).map(|_| Item::Code(self.straight())).collect()
    }

    fn call(&mut self) -> Item {
        let link = if self.rng.chance(70) && self.may_write(1) {
            1
        } else {
            self.temp()
        };
        let how = if link == 1 && self.rng.chance(20) {
            Jump::Compressed {
                via: self.temp(),
                link: true,
            }
        } else if self.rng.chance(30) {
            Jump::Indirect {
                via: self.temp(),
                rd: link,
                split: 0,
                odd: false,
            }
        } else {
            Jump::Direct {
                rd: link,
                short: false,
            }
        };
        let items = self.rng.below(5);
        let body = self.keeping(link, |this| this.body(items));
        Item::Call { link, how, body }
    }

    fn counted_loop(&mut self) -> Item {
        let slot = self.loops % COUNTER_SLOTS;
        self.loops += 1;
        let reg = self.temp();
        let count = self.rng.range(1, 5);
        let items = 1 + self.rng.below(8);
        let mut body = self.body(items);
        if self.rng.chance(40) {
            let at = self.rng.below(items) as usize;
            let branch = self.branch();
            body.insert(at, branch);
        }
        Item::Loop {
            reg,
            slot,
            count,
            body,
        }
    }
}
