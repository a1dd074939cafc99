//! A quotient and a remainder of the same operands, side by side: the emitter does both by one host
//! division, and must give what the interpreter gives one after the other.

use translate::ops::{AluOp, Op, Reg, Width};

use crate::jit::Jit;
use crate::world::{World, block};

/// Registers of every kind: pinned, pinned in rdx, in memory.
const PLACES: [Reg; 4] = [Reg(10), Reg(15), Reg(18), Reg(28)];
const VALUES: [u64; 9] = [
    0,
    1,
    7,
    u64::MAX,
    1 << 63,
    (1 << 63) - 1,
    0x8000_0000,
    0xffff_ffff_8000_0000,
    0x1234_5678_9abc_def0,
];

fn insn(pc: u64) -> Op {
    Op::Insn { pc, len: 4 }
}

#[test]
fn a_quotient_and_a_remainder_side_by_side_are_each_right() {
    let kinds = [
        (AluOp::Div, AluOp::Rem),
        (AluOp::Rem, AluOp::Div),
        (AluOp::Divu, AluOp::Remu),
        (AluOp::Remu, AluOp::Divu),
    ];
    let mut jit = Jit::new();
    for (first, second) in kinds {
        for w in [Width::W64, Width::W32] {
            for (rd, rd2) in PLACES.into_iter().flat_map(|r| PLACES.map(|r2| (r, r2))) {
                for (a, b) in [
                    (Reg(11), Reg(29)),
                    (Reg(18), Reg(12)),
                    (Reg(30), Reg(18)),
                    (Reg(10), Reg(15)),
                ] {
                    let mut both = block(
                        &[
                            insn(0x1000),
                            Op::Alu {
                                op: first,
                                w,
                                rd,
                                a,
                                b,
                            },
                            insn(0x1004),
                            Op::Alu {
                                op: second,
                                w,
                                rd: rd2,
                                a,
                                b,
                            },
                            insn(0x1008),
                        ],
                        1,
                    );
                    both.ops.push(Op::Jump { exit: 0 });
                    jit.load(&both);
                    for (x, y) in VALUES.into_iter().flat_map(|x| VALUES.map(|y| (x, y))) {
                        let (mut emitted, mut interpreted) = (World::new(), World::new());
                        for world in [&mut emitted, &mut interpreted] {
                            world.state.set(a, x);
                            world.state.set(b, y);
                        }
                        jit.run(&mut emitted, &both);
                        interpreted.run_block(&both);
                        assert_eq!(emitted.state.x, interpreted.state.x, "{both:?}");
                    }
                }
            }
        }
    }
}
