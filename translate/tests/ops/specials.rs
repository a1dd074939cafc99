//! Every floating-point op on every combination of special operands, in every mode, with the
//! operands in pinned host registers and in memory: the emitter against the interpreter.

use translate::ops::{Exit, FAluOp, FCmpOp, FmaOp, Fmt, IntFmt, Rm, SunkRange};
use translate::softfloat::{Double, Format, Single};
use translate::{Block, FReg, Mode, Op, Reg};

use crate::jit::Jit;
use crate::world::World;

fn specials<F: Format>() -> Vec<u64> {
    let one = (F::EMAX as u64) << F::FRAC_BITS;
    let ulp = 1;
    let normal = 1 << F::FRAC_BITS;
    let half = one - normal;
    let magnitudes = [
        0,
        1,
        normal - ulp,
        normal,
        half,
        one,
        one + ulp,
        F::MAX,
        F::INF,
    ];
    let mut values: Vec<u64> = magnitudes
        .into_iter()
        .flat_map(|m| [m, m | F::SIGN])
        .chain([F::NAN, F::NAN | F::SIGN | 5, F::INF | 1])
        .map(F::boxed)
        .collect();
    if F::BOX != 0 {
        // Bad boxes: of a number, and one that lacks a single bit.
        values.extend([one, F::boxed(one) ^ 1 << 40]);
    }
    values
}

/// Operands that conversions to integers have corners at.
fn integral<F: Format>() -> Vec<u64> {
    let mut values = specials::<F>();
    for exp in [31, 32, 52, 62, 63, 64] {
        let power = (F::EMAX as u64 + exp) << F::FRAC_BITS;
        for magnitude in [power - 1, power, power + 1] {
            values.extend([magnitude, magnitude | F::SIGN].map(F::boxed));
        }
    }
    // Halves: ties.
    let one = (F::EMAX as u64) << F::FRAC_BITS;
    for halves in [
        one | 1 << (F::FRAC_BITS - 1),
        one + (1 << F::FRAC_BITS | 1 << (F::FRAC_BITS - 2)),
    ] {
        values.extend([halves, halves | F::SIGN].map(F::boxed));
    }
    values
}

fn specials_of(fmt: Fmt) -> Vec<u64> {
    match fmt {
        Fmt::S => specials::<Single>(),
        Fmt::D => specials::<Double>(),
    }
}

fn integral_of(fmt: Fmt) -> Vec<u64> {
    match fmt {
        Fmt::S => integral::<Single>(),
        Fmt::D => integral::<Double>(),
    }
}

/// Destination and sources: an integer register and floating-point registers.
#[derive(Clone, Copy)]
struct Places {
    rd: Reg,
    fd: FReg,
    a: FReg,
    b: FReg,
    c: FReg,
}

/// All in host registers; all in memory; and the destination one of the sources.
const PLACES: [Places; 3] = [
    Places {
        rd: Reg(10),
        fd: FReg(10),
        a: FReg(11),
        b: FReg(12),
        c: FReg(13),
    },
    Places {
        rd: Reg(5),
        fd: FReg(20),
        a: FReg(21),
        b: FReg(22),
        c: FReg(23),
    },
    Places {
        rd: Reg(10),
        fd: FReg(11),
        a: FReg(10),
        b: FReg(11),
        c: FReg(24),
    },
];

struct Bench {
    jit: Jit,
    worlds: [World; 2],
}

impl Bench {
    fn new() -> Bench {
        Bench {
            jit: Jit::new(),
            worlds: [World::new(), World::new()],
        }
    }

    /// Runs the op that `op` makes in all modes and places, on all operands of `sets`.
    fn check(&mut self, sets: [&[u64]; 3], op: impl Fn(Rm, Places) -> Op) {
        for frm in 0..5 {
            // The current mode, and another one.
            for rm in [frm, (frm + 1) % 5] {
                let rm = Rm::from_bits(rm).expect("a valid mode");
                for places in PLACES {
                    self.check_block(sets, frm, places, op(rm, places));
                }
            }
        }
    }

    fn check_block(&mut self, sets: [&[u64]; 3], frm: u8, places: Places, op: Op) {
        let exit = Exit {
            target: 0x2000,
            sunk: SunkRange::EMPTY,
            poll: false,
        };
        let block = Block {
            pc: 0x1000,
            mode: Mode::from_frm(frm),
            ops: vec![Op::Insn { pc: 0x1000, len: 4 }, op, Op::Jump { exit: 0 }],
            exits: vec![exit],
            ..Block::default()
        };
        self.jit.load(&block);
        let [first, second] = &mut self.worlds;
        for world in [&mut *first, &mut *second] {
            world.state.set_frm(frm);
        }
        for &a in sets[0] {
            for &b in sets[1] {
                for &c in sets[2] {
                    for world in [&mut *first, &mut *second] {
                        world.state.fflags = 0;
                        world.state.f[places.c.index()] = c;
                        world.state.f[places.b.index()] = b;
                        world.state.f[places.a.index()] = a;
                    }
                    first.run_block(&block);
                    self.jit.run(second, &block);
                    let results = [&*first, &*second].map(|world| {
                        let state = &world.state;
                        (
                            state.f[places.fd.index()],
                            state.x[places.rd.index()],
                            state.fflags,
                        )
                    });
                    assert_eq!(
                        results[0], results[1],
                        "interpreted and emitted {op:?} in mode {frm} of {a:#x}, {b:#x}, {c:#x}"
                    );
                }
            }
        }
    }
}

const FORMATS: [Fmt; 2] = [Fmt::S, Fmt::D];
const NONE: &[u64] = &[0];

#[test]
fn two_operand_ops_agree_on_special_operands() {
    #[rustfmt::skip]
    let ops = [
        FAluOp::Add, FAluOp::Sub, FAluOp::Mul, FAluOp::Div, FAluOp::Min, FAluOp::Max,
        FAluOp::Sgnj, FAluOp::Sgnjn, FAluOp::Sgnjx,
    ];
    let mut bench = Bench::new();
    for fmt in FORMATS {
        let all = specials_of(fmt);
        for op in ops {
            bench.check([&all, &all, NONE], |rm, Places { fd, a, b, .. }| Op::FAlu {
                op,
                fmt,
                rm,
                fd,
                a,
                b,
            });
        }
        for op in [FCmpOp::Eq, FCmpOp::Lt, FCmpOp::Le] {
            for quiet in [false, true] {
                bench.check([&all, &all, NONE], |_, Places { rd, a, b, .. }| Op::FCmp {
                    op,
                    fmt,
                    quiet,
                    rd,
                    a,
                    b,
                });
            }
        }
    }
}

#[test]
fn fused_ops_agree_on_special_operands() {
    let mut bench = Bench::new();
    for fmt in FORMATS {
        let all = specials_of(fmt);
        for op in [FmaOp::Madd, FmaOp::Msub, FmaOp::Nmsub, FmaOp::Nmadd] {
            bench.check([&all, &all, &all], |rm, Places { fd, a, b, c, .. }| {
                Op::FMa {
                    op,
                    fmt,
                    rm,
                    fd,
                    a,
                    b,
                    c,
                }
            });
        }
    }
}

#[test]
fn one_operand_ops_agree_on_special_operands() {
    let mut bench = Bench::new();
    for fmt in FORMATS {
        let all = integral_of(fmt);
        let mut check = |op: &dyn Fn(Rm, Places) -> Op| bench.check([&all, NONE, NONE], op);
        check(&|rm, Places { fd, a, .. }| Op::FSqrt { fmt, rm, fd, a });
        check(&|_, Places { rd, a, .. }| Op::FClass { fmt, rd, a });
        check(&|_, Places { rd, a, .. }| Op::FMvToX { fmt, rd, a });
        for to in [IntFmt::I32, IntFmt::U32, IntFmt::I64, IntFmt::U64] {
            check(&|rm, Places { rd, a, .. }| Op::FToInt { fmt, to, rm, rd, a });
        }
        let other = integral_of(if fmt == Fmt::S { Fmt::D } else { Fmt::S });
        bench.check([&other, NONE, NONE], |rm, Places { fd, a, .. }| Op::FCvt {
            fmt,
            rm,
            fd,
            a,
        });
    }
}
