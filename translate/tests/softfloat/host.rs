//! The host's SSE and FMA units as judges: they too round correctly and detect tininess after
//! rounding, and their sticky flags are the same five.

use std::arch::asm;

use translate::ops::{FCmpOp, FmaOp, IntFmt, Rm};
use translate::softfloat::{Double, Env, Format, Single, compare, convert, flags};

use crate::operands::Random;
use crate::{Arith, OPERATIONS, cases, soft};

/// The modes that the host has, with their encoding in MXCSR.
const MODES: [(Rm, u32); 4] = [(Rm::Rne, 0), (Rm::Rdn, 1), (Rm::Rup, 2), (Rm::Rtz, 3)];

/// All exceptions masked, nothing raised, to nearest.
const DEFAULT: u32 = 0x1f80;

fn riscv_flags(mxcsr: u32) -> u32 {
    [
        (0, flags::NV),
        (2, flags::DZ),
        (3, flags::OF),
        (4, flags::UF),
        (5, flags::NX),
    ]
    .into_iter()
    .filter(|(bit, _)| mxcsr >> bit & 1 != 0)
    .fold(0, |sum, (_, flag)| sum | flag)
}

/// Runs instructions on `a`, `b` and `c` in xmm0–2 and `i` in rax, under a rounding mode; gives
/// what is then in xmm0 and rax, and the exceptions.
macro_rules! on_host {
    ($rc:expr, $operands:expr, $i:expr, $($instruction:expr),+) => {{
        let mut mxcsr = DEFAULT | $rc << 13;
        let ([mut a, b, c], mut i) = ($operands.map(f64::from_bits), $i);
        // SAFETY: the instructions only touch the registers named and `mxcsr`; the host's control
        // word is put back to what Rust assumes before the block ends.
        unsafe {
            asm!(
                "ldmxcsr [{new}]",
                concat!($($instruction),+),
                "stmxcsr [{new}]",
                "ldmxcsr [{old}]",
                new = in(reg) &mut mxcsr,
                old = in(reg) &DEFAULT,
                inout("xmm0") a,
                in("xmm1") b,
                in("xmm2") c,
                inout("rax") i,
                options(nostack),
            );
        }
        (a.to_bits(), i, riscv_flags(mxcsr))
    }};
}

/// The operations of the host in one format.
trait Host: Format {
    fn arith(op: Arith, operands: [u64; 3], rc: u32) -> (u64, u32);
    fn compare(op: FCmpOp, a: u64, b: u64) -> (u64, u32);
    fn to_i32(a: u64, rc: u32) -> (u64, u32);
    fn to_i64(a: u64, rc: u32) -> (u64, u32);
    fn from_i32(a: u64, rc: u32) -> (u64, u32);
    fn from_i64(a: u64, rc: u32) -> (u64, u32);

    /// A result without what the format does not have: upper bits and NaN payloads.
    fn canonical(bits: u64) -> u64 {
        let bits = bits & (Self::SIGN | (Self::SIGN - 1));
        if bits & !Self::SIGN > Self::INF {
            Self::NAN
        } else {
            bits
        }
    }
}

macro_rules! host_format {
    ($format:ty, $s:literal) => {
        impl Host for $format {
            fn arith(op: Arith, x: [u64; 3], rc: u32) -> (u64, u32) {
                let (result, _, flags) = match op {
                    Arith::Add => on_host!(rc, x, 0u64, "adds", $s, " xmm0, xmm1"),
                    Arith::Sub => on_host!(rc, x, 0u64, "subs", $s, " xmm0, xmm1"),
                    Arith::Mul => on_host!(rc, x, 0u64, "muls", $s, " xmm0, xmm1"),
                    Arith::Div => on_host!(rc, x, 0u64, "divs", $s, " xmm0, xmm1"),
                    Arith::Sqrt => on_host!(rc, x, 0u64, "sqrts", $s, " xmm0, xmm0"),
                    Arith::Fma(FmaOp::Madd) => {
                        on_host!(rc, x, 0u64, "vfmadd213s", $s, " xmm0, xmm1, xmm2")
                    }
                    Arith::Fma(FmaOp::Msub) => {
                        on_host!(rc, x, 0u64, "vfmsub213s", $s, " xmm0, xmm1, xmm2")
                    }
                    Arith::Fma(FmaOp::Nmsub) => {
                        on_host!(rc, x, 0u64, "vfnmadd213s", $s, " xmm0, xmm1, xmm2")
                    }
                    Arith::Fma(FmaOp::Nmadd) => {
                        on_host!(rc, x, 0u64, "vfnmsub213s", $s, " xmm0, xmm1, xmm2")
                    }
                };
                (Self::canonical(result), flags)
            }

            fn compare(op: FCmpOp, a: u64, b: u64) -> (u64, u32) {
                let x = [a, b, 0];
                let (mask, _, flags) = match op {
                    FCmpOp::Eq => on_host!(0, x, 0u64, "cmps", $s, " xmm0, xmm1, 0"),
                    FCmpOp::Lt => on_host!(0, x, 0u64, "cmps", $s, " xmm0, xmm1, 1"),
                    FCmpOp::Le => on_host!(0, x, 0u64, "cmps", $s, " xmm0, xmm1, 2"),
                };
                (mask & 1, flags)
            }

            fn to_i32(a: u64, rc: u32) -> (u64, u32) {
                let (_, i, flags) = on_host!(rc, [a, 0, 0], 0u64, "cvts", $s, "2si eax, xmm0");
                (i as i32 as u64, flags)
            }

            fn to_i64(a: u64, rc: u32) -> (u64, u32) {
                let (_, i, flags) = on_host!(rc, [a, 0, 0], 0u64, "cvts", $s, "2si rax, xmm0");
                (i, flags)
            }

            fn from_i32(a: u64, rc: u32) -> (u64, u32) {
                let (result, _, flags) = on_host!(rc, [0; 3], a, "cvtsi2s", $s, " xmm0, eax");
                (Self::canonical(result), flags)
            }

            fn from_i64(a: u64, rc: u32) -> (u64, u32) {
                let (result, _, flags) = on_host!(rc, [0; 3], a, "cvtsi2s", $s, " xmm0, rax");
                (Self::canonical(result), flags)
            }
        }
    };
}

host_format!(Single, "s");
host_format!(Double, "d");

fn arithmetic_agrees<F: Host>(seed: u64) {
    assert!(
        std::is_x86_feature_detected!("fma"),
        "these tests need a host with FMA"
    );
    let mut random = Random::new(seed);
    for _ in 0..cases() {
        let a = random.operand::<F>();
        let b = random.partner::<F>(a);
        let c = random.partner::<F>(a);
        for op in OPERATIONS {
            for (rm, rc) in MODES {
                let mut want = F::arith(op, [a, b, c], rc);
                // RISC-V calls ∞·0 invalid whatever the addend is; the host lets a quiet NaN pass.
                let infinite_by_zero = |x, y| x & !F::SIGN == F::INF && y & !F::SIGN == 0;
                if matches!(op, Arith::Fma(_)) && (infinite_by_zero(a, b) || infinite_by_zero(b, a))
                {
                    want.1 |= flags::NV;
                }
                let got = soft::<F>(op, [a, b, c], rm);
                assert_eq!(got, want, "{op:?} {rm:?} {a:#x} {b:#x} {c:#x}");
            }
        }
    }
}

#[test]
fn single_arithmetic_agrees_with_the_host() {
    arithmetic_agrees::<Single>(1);
}

#[test]
fn double_arithmetic_agrees_with_the_host() {
    arithmetic_agrees::<Double>(2);
}

fn comparisons_agree<F: Host>(seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..cases() {
        let a = random.operand::<F>();
        let b = random.partner::<F>(a);
        for op in [FCmpOp::Eq, FCmpOp::Lt, FCmpOp::Le] {
            let mut env = Env::new(Rm::Rne);
            let got = compare::compare::<F>(op, a, b, &mut env);
            assert_eq!(
                (got, env.flags),
                F::compare(op, a, b),
                "{op:?} {a:#x} {b:#x}"
            );
        }
    }
}

#[test]
fn comparisons_agree_with_the_host() {
    comparisons_agree::<Single>(3);
    comparisons_agree::<Double>(4);
}

fn integers_agree<F: Host>(seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..cases() {
        let a = random.operand::<F>();
        let i = random.bits() >> random.below(64);
        for (rm, rc) in MODES {
            let to = |fmt| {
                let mut env = Env::new(rm);
                (convert::to_int::<F>(fmt, a, &mut env), env.flags)
            };
            let from = |fmt| {
                let mut env = Env::new(rm);
                (convert::from_int::<F>(fmt, i, &mut env), env.flags)
            };
            // Out of range the host gives the least integer; RISC-V the nearest.
            let saturated = |(result, raised): (u64, u32), (host, host_raised): (u64, u32)| {
                assert_eq!(raised, host_raised, "{rm:?} {a:#x}");
                if raised & flags::NV == 0 {
                    assert_eq!(result, host, "{rm:?} {a:#x}");
                }
            };
            saturated(to(IntFmt::I32), F::to_i32(a, rc));
            saturated(to(IntFmt::I64), F::to_i64(a, rc));
            assert_eq!(from(IntFmt::I32), F::from_i32(i, rc), "{rm:?} {i:#x}");
            assert_eq!(from(IntFmt::I64), F::from_i64(i, rc), "{rm:?} {i:#x}");
        }
    }
}

#[test]
fn integer_conversions_agree_with_the_host() {
    integers_agree::<Single>(5);
    integers_agree::<Double>(6);
}

#[test]
fn conversions_between_the_formats_agree_with_the_host() {
    let mut random = Random::new(7);
    for _ in 0..cases() {
        let s = random.operand::<Single>();
        // Doubles that singles can nearly hold are the interesting ones.
        let d = match random.below(3) {
            0 => random.operand::<Double>(),
            _ => {
                f64::from(f32::from_bits(random.operand::<Single>() as u32)).to_bits()
                    ^ random.below(4) << random.below(31)
            }
        };
        for (rm, rc) in MODES {
            let mut env = Env::new(rm);
            let got = convert::convert::<Double, Single>(d, &mut env);
            let (want, _, raised) = on_host!(rc, [d, 0, 0], 0u64, "cvtsd2ss xmm0, xmm0");
            assert_eq!(
                (got, env.flags),
                (Single::canonical(want), raised),
                "{rm:?} {d:#x}"
            );

            let mut env = Env::new(rm);
            let got = convert::convert::<Single, Double>(s, &mut env);
            let (want, _, raised) = on_host!(rc, [s, 0, 0], 0u64, "cvtss2sd xmm0, xmm0");
            assert_eq!(
                (got, env.flags),
                (Double::canonical(want), raised),
                "{rm:?} {s:#x}"
            );
        }
    }
}
