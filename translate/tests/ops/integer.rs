//! Integer ops.

use translate::interp::alu::{binary, holds, unary};
use translate::ops::{Addr, AluOp, Cond, UnOp, Width};
use translate::{Op, Reg};

use crate::world::{World, x};

use AluOp::*;
use Width::{W32, W64};

const MIN64: u64 = 1 << 63;
const MIN32: u64 = 1 << 31;
const ONES: u64 = u64::MAX;
/// A 32-bit result with its sign bit set, as it sits in a register.
const fn neg32(low: u32) -> u64 {
    0xffff_ffff_0000_0000 | low as u64
}

fn check(rows: &[(AluOp, Width, u64, u64, u64)]) {
    for &(op, w, a, b, want) in rows {
        let got = binary(op, w, a, b);
        assert_eq!(got, want, "{op:?} {w:?} {a:#x}, {b:#x}: {got:#x}");
    }
}

#[test]
fn division_by_zero_and_overflow_follow_the_manual() {
    check(&[
        (Div, W64, 7, 0, ONES),
        (Div, W64, 0, 0, ONES),
        (Divu, W64, 7, 0, ONES),
        (Rem, W64, ONES - 6, 0, ONES - 6),
        (Remu, W64, 7, 0, 7),
        (Div, W64, MIN64, ONES, MIN64),
        (Rem, W64, MIN64, ONES, 0),
        (Div, W64, ONES - 6, 2, ONES - 2),
        (Rem, W64, ONES - 6, 2, ONES),
        (Div, W32, 7, 5 << 32, ONES),
        (Divu, W32, 7, 0, ONES),
        (Rem, W32, MIN32, 0, neg32(1 << 31)),
        (Remu, W32, MIN32 | 3 << 40, 0, neg32(1 << 31)),
        (Div, W32, MIN32, ONES, neg32(1 << 31)),
        (Rem, W32, MIN32, ONES, 0),
        (Divu, W32, ONES, 1, ONES),
        (Remu, W32, ONES, 1 << 31, 0x7fff_ffff),
    ]);
}

#[test]
fn high_products_mix_signs_as_named() {
    check(&[
        (Mul, W64, ONES, ONES, 1),
        (Mulh, W64, ONES, ONES, 0),
        (Mulh, W64, MIN64, MIN64, 1 << 62),
        (Mulh, W64, MIN64, 2, ONES),
        (Mulhu, W64, ONES, ONES, ONES - 1),
        (Mulhsu, W64, ONES, ONES, ONES),
        (Mulhsu, W64, MIN64, ONES, MIN64),
        (Mulhsu, W64, 2, ONES, 1),
        (Mul, W32, 0x1_0001_0001, 0x1_0000, 0x1_0000),
        (Mul, W32, 0xffff, 0x8001, 0x8000_7fff | neg32(0)),
    ]);
}

#[test]
fn shift_and_bit_amounts_are_taken_modulo_the_width() {
    check(&[
        (Sll, W64, 1, 64 + 3, 8),
        (Sll, W32, 1, 32 + 3, 8),
        (Sll, W32, 1, 31, neg32(1 << 31)),
        (Srl, W64, MIN64, 63, 1),
        (Srl, W64, 5, 64, 5),
        (Srl, W32, ONES, 0, ONES),
        (Srl, W32, ONES, 1, 0x7fff_ffff),
        (Sra, W64, MIN64, ONES, ONES),
        (Sra, W32, 0x7fff_ffff_8000_0000, 4, neg32(0xf800_0000)),
        (Rol, W64, MIN64 | 1, 1, 3),
        (Rol, W64, 0xabc, 64, 0xabc),
        (Rol, W32, 0x5_8000_0000, 1, 1),
        (Ror, W64, 1, 1, MIN64),
        (Ror, W32, 1, 1, neg32(1 << 31)),
        (Ror, W32, 0x1234_5678, 32, 0x1234_5678),
        (Bset, W64, 0, 63, MIN64),
        (Bset, W64, 0, 64, 1),
        (Bclr, W64, ONES, 65, ONES - 2),
        (Binv, W64, 4, 66, 0),
        (Bext, W64, 4, 66, 1),
        (Bext, W64, !4, 2, 0),
        (Bext, W32, MIN32, 63, 1),
    ]);
}

#[test]
fn narrow_operations_ignore_upper_halves_and_extend_their_sign() {
    check(&[
        (Add, W32, 0x7fff_ffff, 1, neg32(1 << 31)),
        (Add, W32, 0xdead_0000_ffff_ffff, 1, 0),
        (Sub, W32, 0, 1, ONES),
        (Sub, W32, 5 << 32, 0, 0),
        (And, W32, ONES, MIN32, neg32(1 << 31)),
        (Slt, W32, MIN32, 0, 1),
        (Sltu, W32, 0x1_0000_0000, 1, 1),
        (Min, W32, 0x7fff_ffff, MIN32, neg32(1 << 31)),
        (Maxu, W32, 0x7fff_ffff, MIN32, neg32(1 << 31)),
        (CzeroEqz, W32, 9, 1 << 32, 0),
        (CzeroNez, W32, 9, 1 << 32, 9),
    ]);
}

#[test]
fn comparisons_selections_and_logic() {
    check(&[
        (Slt, W64, ONES, 0, 1),
        (Slt, W64, 0, ONES, 0),
        (Sltu, W64, ONES, 0, 0),
        (Sltu, W64, 0, ONES, 1),
        (Min, W64, MIN64, 1, MIN64),
        (Max, W64, MIN64, 1, 1),
        (Minu, W64, MIN64, 1, 1),
        (Maxu, W64, MIN64, 1, MIN64),
        (Andn, W64, 0b1100, 0b1010, 0b0100),
        (Orn, W64, 0, 0xf, ONES - 15),
        (Xnor, W64, 0b1100, 0b1010, !0b0110),
        (Or, W64, 5, 10, 15),
        (Xor, W64, 6, 3, 5),
        (CzeroEqz, W64, 9, 0, 0),
        (CzeroEqz, W64, 9, 1, 9),
        (CzeroNez, W64, 9, 0, 9),
        (CzeroNez, W64, 9, MIN64, 0),
    ]);
}

#[test]
fn unary_operations() {
    let v = 0x8081_7f00_ff80_80ff;
    let rows = [
        (UnOp::Mov, W32, v, v),
        (UnOp::SextB, W64, v, ONES),
        (UnOp::SextB, W64, 0x17f, 0x7f),
        (UnOp::SextH, W64, v, 0xffff_ffff_ffff_80ff),
        (UnOp::SextW, W64, v, 0xffff_ffff_ff80_80ff),
        (UnOp::SextW, W64, 0xf_7fff_ffff, 0x7fff_ffff),
        (UnOp::ZextB, W64, v, 0xff),
        (UnOp::ZextH, W64, v, 0x80ff),
        (UnOp::ZextW, W64, v, 0xff80_80ff),
        (UnOp::Clz, W64, 0, 64),
        (UnOp::Clz, W32, ONES << 32, 32),
        (UnOp::Clz, W32, 1, 31),
        (UnOp::Ctz, W64, 0, 64),
        (UnOp::Ctz, W64, MIN64, 63),
        (UnOp::Ctz, W32, ONES << 32, 32),
        (UnOp::Cpop, W64, ONES, 64),
        (UnOp::Cpop, W32, ONES, 32),
        (
            UnOp::OrcB,
            W64,
            0x0100_8000_0010_00ff,
            0xff00_ff00_00ff_00ff,
        ),
        (
            UnOp::Rev8,
            W64,
            0x0102_0304_0506_0708,
            0x0807_0605_0403_0201,
        ),
    ];
    for (op, w, a, want) in rows {
        assert_eq!(unary(op, w, a), want, "{op:?} {w:?} {a:#x}");
    }
}

#[test]
fn conditions_hold_by_sign_and_width() {
    let rows = [
        (Cond::Eq, W32, 1 << 32, 0, true),
        (Cond::Eq, W64, 1 << 32, 0, false),
        (Cond::Ne, W64, 1, 2, true),
        (Cond::Lt, W64, ONES, 0, true),
        (Cond::Lt, W32, MIN32, 0, true),
        (Cond::Lt, W64, MIN32, 0, false),
        (Cond::Ge, W64, 0, 0, true),
        (Cond::Ge, W32, 0x7fff_ffff, MIN32, true),
        (Cond::Ltu, W64, 0, ONES, true),
        (Cond::Ltu, W32, MIN32, 0x7fff_ffff, false),
        (Cond::Geu, W64, ONES, 0, true),
        (Cond::Geu, W32, 7 << 32, 1, false),
    ];
    for (cond, w, a, b, want) in rows {
        assert_eq!(holds(cond, w, a, b), want, "{cond:?} {w:?} {a:#x}, {b:#x}");
    }
}

#[test]
fn immediates_are_sign_extended() {
    let mut world = World::new();
    let imm = |op, w, imm| Op::AluImm {
        op,
        w,
        rd: x(2),
        a: x(1),
        imm,
    };
    world.state.x[1] = 10;
    world.run(imm(Add, W64, -11));
    assert_eq!(world.state.x[2], ONES);
    world.run(imm(Sltu, W64, -1));
    assert_eq!(world.state.x[2], 1);
    world.run(imm(Or, W32, i32::MIN));
    assert_eq!(world.state.x[2], neg32(0x8000_000a));
}

#[test]
fn addresses_and_shifted_sums_wrap() {
    let mut world = World::new();
    world.state.x[1] = 0x1_8000_0001;
    world.state.x[2] = ONES;
    let (rd, a, b) = (x(3), x(1), x(2));
    world.run(Op::ShAdd {
        rd,
        a,
        b,
        shift: 3,
        uw: false,
    });
    assert_eq!(world.state.x[3], 0xc_0000_0007);
    world.run(Op::ShAdd {
        rd,
        a,
        b,
        shift: 3,
        uw: true,
    });
    assert_eq!(world.state.x[3], 0x4_0000_0007);
    world.run(Op::ShAdd {
        rd,
        a,
        b: Reg::ZERO,
        shift: 63,
        uw: false,
    });
    assert_eq!(world.state.x[3], MIN64);

    let addr = Addr {
        base: x(2),
        index: x(1),
        scale: 3,
        disp: -2,
    };
    world.run(Op::Lea { rd, addr });
    assert_eq!(world.state.x[3], 0xc_0000_0005);
    world.run(Op::Lea {
        rd,
        addr: Addr {
            index: Reg::ZERO,
            ..addr
        },
    });
    assert_eq!(world.state.x[3], ONES - 2);
}

#[test]
fn x0_reads_zero_and_takes_no_value() {
    let mut world = World::new();
    let (rd, a, b) = (Reg::ZERO, x(1), x(1));
    world.state.x[1] = 5;
    world.run(Op::Const { rd, value: 7 });
    world.run(Op::Alu {
        op: Add,
        w: W64,
        rd,
        a,
        b,
    });
    world.run(Op::Un {
        op: UnOp::Mov,
        w: W64,
        rd,
        a,
    });
    world.run(Op::Lea {
        rd,
        addr: Addr::reg(a, 1),
    });
    world.run(Op::ShAdd {
        rd,
        a,
        b,
        shift: 1,
        uw: false,
    });
    world.run(Op::FlagsRead { rd });
    assert_eq!(world.state.x[0], 0);
}

#[test]
fn sources_are_read_before_the_destination_is_written() {
    let mut world = World::new();
    world.state.x[1] = 3;
    let r = x(1);
    world.run(Op::Alu {
        op: Sub,
        w: W64,
        rd: r,
        a: r,
        b: r,
    });
    assert_eq!(world.state.x[1], 0);
    world.state.x[1] = 3;
    world.run(Op::ShAdd {
        rd: r,
        a: r,
        b: r,
        shift: 2,
        uw: false,
    });
    assert_eq!(world.state.x[1], 15);
    world.state.fflags = 0x1f;
    world.state.x[1] = 0xff02;
    world.run(Op::FlagsSwap { rd: r, a: r });
    assert_eq!((world.state.x[1], world.state.fflags), (0x1f, 2));
}

#[test]
fn counters_count() {
    let mut world = World::new();
    let first = std::mem::offset_of!(translate::CpuState, counters) as u32;
    world.state.counters[1] = u64::MAX;
    world.run(Op::Count {
        offset: first + 8,
        value: 3,
    });
    world.run(Op::Count {
        offset: first,
        value: -1,
    });
    assert_eq!(world.state.counters[..3], [u64::MAX, 2, 0]);
}
