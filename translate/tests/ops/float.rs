//! Floating-point ops: registers, boxing and flags. The arithmetic itself is judged in
//! `tests/softfloat`.

use translate::ops::{FAluOp, FCmpOp, FmaOp, Fmt, IntFmt, Rm};
use translate::softfloat::flags::{DZ, NV, NX, OF, UF};
use translate::{FReg, Op};

use crate::world::{World, x};

const F1: FReg = FReg(1);
const F2: FReg = FReg(2);
const F3: FReg = FReg(3);
const NAN_S: u64 = 0xffff_ffff_7fc0_0000;
const NAN_D: u64 = 0x7ff8_0000_0000_0000;

fn boxed(value: f32) -> u64 {
    0xffff_ffff_0000_0000 | u64::from(value.to_bits())
}

/// A world with the given bits in f1, f2 and f3.
fn world(f: [u64; 3]) -> World {
    let mut world = World::new();
    world.state.f[1..4].copy_from_slice(&f);
    world
}

/// The raw result in f3 and the flags of `f3 = op(f1, f2)`.
fn alu(op: FAluOp, fmt: Fmt, rm: Rm, a: u64, b: u64) -> (u64, u32) {
    let mut world = world([a, b, 0]);
    world.run(Op::FAlu {
        op,
        fmt,
        rm,
        fd: F3,
        a: F1,
        b: F2,
    });
    (world.state.f[3], world.state.fflags)
}

#[test]
fn single_results_are_boxed_and_badly_boxed_operands_are_nans() {
    let one = boxed(1.0);
    let bare = u64::from(1f32.to_bits());
    assert_eq!(alu(FAluOp::Add, Fmt::S, Rm::Rne, one, one), (boxed(2.0), 0));
    // The NaN it reads as is quiet: no flag.
    assert_eq!(alu(FAluOp::Add, Fmt::S, Rm::Rne, bare, one), (NAN_S, 0));
    assert_eq!(
        alu(FAluOp::Max, Fmt::S, Rm::Rne, one, 1f64.to_bits()),
        (one, 0)
    );
    assert_eq!(alu(FAluOp::Min, Fmt::S, Rm::Rne, bare, bare), (NAN_S, 0));

    let mut world = world([one, bare, one]);
    world.run(Op::FMa {
        op: FmaOp::Madd,
        fmt: Fmt::S,
        rm: Rm::Rne,
        fd: F1,
        a: F1,
        b: F2,
        c: F3,
    });
    assert_eq!((world.state.f[1], world.state.fflags), (NAN_S, 0));
    world.run(Op::FSqrt {
        fmt: Fmt::S,
        rm: Rm::Rne,
        fd: F1,
        a: F2,
    });
    assert_eq!((world.state.f[1], world.state.fflags), (NAN_S, 0));
    world.run(Op::FClass {
        fmt: Fmt::S,
        rd: x(5),
        a: F2,
    });
    assert_eq!(world.state.x[5], 1 << 9);
    world.run(Op::FCvt {
        fmt: Fmt::D,
        rm: Rm::Rne,
        fd: F1,
        a: F2,
    });
    assert_eq!((world.state.f[1], world.state.fflags), (NAN_D, 0));
    world.run(Op::FToInt {
        fmt: Fmt::S,
        to: IntFmt::I32,
        rm: Rm::Rne,
        rd: x(5),
        a: F2,
    });
    assert_eq!((world.state.x[5], world.state.fflags), (0x7fff_ffff, NV));
}

#[test]
fn sign_injection_checks_boxing_and_keeps_nan_payloads() {
    let (one, minus_zero) = (boxed(1.0), boxed(-0.0));
    let snan = 0xffff_ffff_7f80_0001;
    let injected = |op, a, b| {
        let (result, raised) = alu(op, Fmt::S, Rm::Rne, a, b);
        assert_eq!(raised, 0);
        result
    };
    assert_eq!(
        injected(FAluOp::Sgnj, snan, minus_zero),
        0xffff_ffff_ff80_0001
    );
    assert_eq!(injected(FAluOp::Sgnjn, one, minus_zero), one);
    assert_eq!(injected(FAluOp::Sgnjx, minus_zero, minus_zero), boxed(0.0));
    // A bad box is the canonical NaN, and that is positive.
    assert_eq!(
        injected(FAluOp::Sgnj, 0x8000_0000, minus_zero),
        0xffff_ffff_ffc0_0000
    );
    assert_eq!(injected(FAluOp::Sgnj, minus_zero, 0x8000_0000), boxed(0.0));
    assert_eq!(injected(FAluOp::Sgnjn, one, 0), boxed(-1.0));
    let d = alu(
        FAluOp::Sgnjx,
        Fmt::D,
        Rm::Rne,
        (-2f64).to_bits(),
        (-0f64).to_bits(),
    );
    assert_eq!(d, (2f64.to_bits(), 0));
}

#[test]
fn moves_take_the_bits_as_they_are() {
    let mut world = world([0x1234_5678_8765_4321, 0, 0]);
    world.run(Op::FMvToX {
        fmt: Fmt::S,
        rd: x(5),
        a: F1,
    });
    assert_eq!(world.state.x[5], 0xffff_ffff_8765_4321);
    world.run(Op::FMvToX {
        fmt: Fmt::D,
        rd: x(5),
        a: F1,
    });
    assert_eq!(world.state.x[5], 0x1234_5678_8765_4321);
    world.run(Op::FMvFromX {
        fmt: Fmt::S,
        fd: F2,
        a: x(5),
    });
    assert_eq!(world.state.f[2], 0xffff_ffff_8765_4321);
    world.run(Op::FMvFromX {
        fmt: Fmt::D,
        fd: F2,
        a: x(5),
    });
    assert_eq!(world.state.f[2], 0x1234_5678_8765_4321);
}

#[test]
fn flags_accumulate() {
    let (one, three, zero) = (1f64.to_bits(), 3f64.to_bits(), 0);
    let mut world = world([one, three, zero]);
    let mut run = |op, a, b| {
        world.run(Op::FAlu {
            op,
            fmt: Fmt::D,
            rm: Rm::Rne,
            fd: FReg(4),
            a,
            b,
        });
        world.state.fflags
    };
    assert_eq!(run(FAluOp::Add, F1, F2), 0);
    assert_eq!(run(FAluOp::Div, F1, F2), NX);
    assert_eq!(run(FAluOp::Div, F1, F3), NX | DZ);
    assert_eq!(run(FAluOp::Div, F3, F3), NX | DZ | NV);
    assert_eq!(run(FAluOp::Add, F1, F2), NX | DZ | NV);
    world.run(Op::FlagsRead { rd: x(5) });
    assert_eq!(world.state.x[5], u64::from(NX | DZ | NV));
    world.state.x[6] = u64::MAX;
    world.run(Op::FlagsSwap { rd: x(5), a: x(6) });
    assert_eq!(
        (world.state.x[5], world.state.fflags),
        (u64::from(NX | DZ | NV), 0x1f)
    );
}

#[test]
fn the_static_rounding_mode_decides() {
    let max = f64::MAX.to_bits();
    let tiny = 1u64;
    let inf = f64::INFINITY.to_bits();
    let rows = [
        (Rm::Rne, inf, 0),
        (Rm::Rtz, max, 0),
        (Rm::Rdn, max, 0),
        (Rm::Rup, inf, 1),
        (Rm::Rmm, inf, 1),
    ];
    for (rm, large, small) in rows {
        let got = alu(FAluOp::Mul, Fmt::D, rm, max, 2f64.to_bits());
        assert_eq!(got, (large, OF | NX), "{rm:?}");
        // Half of the smallest number: a tie.
        let got = alu(FAluOp::Mul, Fmt::D, rm, tiny, 0.5f64.to_bits());
        assert_eq!(got, (small, UF | NX), "{rm:?}");
    }
}

#[test]
fn the_four_fused_forms_have_their_signs() {
    let operands = [2f64, 3.0, 10.0].map(f64::to_bits);
    let rows = [
        (FmaOp::Madd, 16.0),
        (FmaOp::Msub, -4.0),
        (FmaOp::Nmsub, 4.0),
        (FmaOp::Nmadd, -16.0),
    ];
    for (op, want) in rows {
        let mut world = world(operands);
        world.run(Op::FMa {
            op,
            fmt: Fmt::D,
            rm: Rm::Rne,
            fd: F2,
            a: F1,
            b: F2,
            c: F3,
        });
        assert_eq!(f64::from_bits(world.state.f[2]), want, "{op:?}");
    }
}

#[test]
fn infinity_times_zero_is_invalid_even_with_a_quiet_nan_added() {
    let mut world = world([f64::INFINITY.to_bits(), 0, NAN_D | 1 << 63]);
    world.run(Op::FMa {
        op: FmaOp::Nmadd,
        fmt: Fmt::D,
        rm: Rm::Rne,
        fd: F3,
        a: F1,
        b: F2,
        c: F3,
    });
    assert_eq!((world.state.f[3], world.state.fflags), (NAN_D, NV));
}

#[test]
fn quiet_comparisons_raise_nothing() {
    let snan = 0x7ff0_0000_0000_0001;
    for op in [FCmpOp::Eq, FCmpOp::Lt, FCmpOp::Le] {
        for quiet in [false, true] {
            let mut world = world([snan, 0, 0]);
            world.state.x[5] = 9;
            world.run(Op::FCmp {
                op,
                fmt: Fmt::D,
                quiet,
                rd: x(5),
                a: F1,
                b: F2,
            });
            let raised = if quiet { 0 } else { NV };
            assert_eq!(
                (world.state.x[5], world.state.fflags),
                (0, raised),
                "{op:?}"
            );
        }
    }
    let mut world = world([boxed(-1.0), boxed(2.0), 0]);
    world.run(Op::FCmp {
        op: FCmpOp::Lt,
        fmt: Fmt::S,
        quiet: true,
        rd: x(5),
        a: F1,
        b: F2,
    });
    assert_eq!(world.state.x[5], 1);
}

#[test]
fn conversions_go_through_the_right_registers() {
    let mut world = World::new();
    world.state.x[1] = u64::MAX;
    let rows = [
        (IntFmt::I32, -1f64),
        (IntFmt::U32, 4294967295.0),
        (IntFmt::I64, -1.0),
        (IntFmt::U64, 18446744073709551616.0),
    ];
    for (from, want) in rows {
        world.run(Op::IntToF {
            fmt: Fmt::D,
            from,
            rm: Rm::Rne,
            fd: F1,
            a: x(1),
        });
        assert_eq!(f64::from_bits(world.state.f[1]), want, "{from:?}");
        world.run(Op::IntToF {
            fmt: Fmt::S,
            from,
            rm: Rm::Rne,
            fd: F1,
            a: x(1),
        });
        assert_eq!(world.state.f[1], boxed(want as f32), "{from:?}");
    }
    world.state.f[1] = (-1.5f64).to_bits();
    world.run(Op::FCvt {
        fmt: Fmt::S,
        rm: Rm::Rne,
        fd: F2,
        a: F1,
    });
    assert_eq!(world.state.f[2], boxed(-1.5));
    world.run(Op::FCvt {
        fmt: Fmt::D,
        rm: Rm::Rne,
        fd: F3,
        a: F2,
    });
    assert_eq!(world.state.f[3], world.state.f[1]);
    world.run(Op::FToInt {
        fmt: Fmt::S,
        to: IntFmt::I64,
        rm: Rm::Rdn,
        rd: x(2),
        a: F2,
    });
    assert_eq!(world.state.x[2] as i64, -2);
    world.run(Op::FToInt {
        fmt: Fmt::D,
        to: IntFmt::I64,
        rm: Rm::Rmm,
        rd: x(0),
        a: F1,
    });
    assert_eq!((world.state.x[0], world.state.fflags & NX), (0, NX));
}
