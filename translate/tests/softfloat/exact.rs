//! Exact arithmetic as a judge: whatever the implementation answers must be the right neighbour
//! of the exact result in the given mode, with the right exceptions. Knows all five modes.

use std::cmp::Ordering;

use translate::ops::{FmaOp, IntFmt, Rm};
use translate::softfloat::{Double, Env, Format, Single, convert, flags};

use crate::operands::Random;
use crate::wide::{Dyadic, sign_of_sum};
use crate::{Arith, OPERATIONS, cases, soft};

const MODES: [Rm; 5] = [Rm::Rne, Rm::Rtz, Rm::Rdn, Rm::Rup, Rm::Rmm];

/// Which of two neighbours a magnitude strictly between them is rounded to: the upper one?
fn rounds_up(rm: Rm, negative: bool, to_midpoint: Ordering, lower_is_odd: bool) -> bool {
    match rm {
        Rm::Rne => to_midpoint.is_gt() || to_midpoint.is_eq() && lower_is_odd,
        Rm::Rtz => false,
        Rm::Rdn => negative,
        Rm::Rup => !negative,
        Rm::Rmm => to_midpoint.is_ge(),
    }
}

/// Panics unless `answer` is the right rounding of the nonzero number with the given sign whose
/// magnitude compares to dyadics as `exact` says.
fn judge<F: Format>(
    rm: Rm,
    negative: bool,
    exact: impl Fn(Dyadic) -> Ordering,
    (bits, raised): (u64, u32),
) {
    assert_eq!(bits & F::SIGN != 0, negative, "sign");
    let magnitude = bits & !F::SIGN;
    let number = Dyadic::magnitude::<F>;

    if exact(number(F::INF)).is_ge() {
        let infinite = rounds_up(rm, negative, Ordering::Greater, true);
        assert_eq!(magnitude, if infinite { F::INF } else { F::MAX });
        assert_eq!(raised, flags::OF | flags::NX);
        return;
    }
    let lower = match exact(number(magnitude)) {
        Ordering::Equal => {
            assert_eq!(raised, 0, "exact");
            return;
        }
        Ordering::Greater => magnitude,
        Ordering::Less => magnitude - 1,
    };
    let upper = lower + 1;
    assert!(
        exact(number(lower)).is_gt() && exact(number(upper)).is_lt(),
        "not a neighbour"
    );
    let midpoint = number(lower).midpoint(number(upper));
    let up = rounds_up(rm, negative, exact(midpoint), lower & 1 != 0);
    assert_eq!(magnitude, if up { upper } else { lower }, "wrong neighbour");

    let mut want = flags::NX;
    if magnitude == F::INF {
        want |= flags::OF;
    }
    // With unbounded exponents, numbers just below the normal range would still have full
    // precision: the last one before it is half as far away as a subnormal.
    let normal = Dyadic::power(F::EMIN);
    let last = Dyadic {
        sig: (2 << F::FRAC_BITS) - 1,
        exp: F::EMIN - 1 - F::FRAC_BITS as i32,
    };
    if exact(normal).is_lt() {
        let reaches_normal =
            exact(last).is_gt() && rounds_up(rm, negative, exact(last.midpoint(normal)), true);
        if !reaches_normal {
            want |= flags::UF;
        }
    }
    assert_eq!(raised, want, "exceptions");
}

/// Judges one operation on finite operands with a nonzero result; what has no such thing to
/// judge must be the same for ties-away as for ties-to-even.
fn judge_arith<F: Format>(op: Arith, operands: [u64; 3], rm: Rm) {
    let answer = soft::<F>(op, operands, rm);
    let used = match op {
        Arith::Sqrt => 1,
        Arith::Fma(_) => 3,
        _ => 2,
    };
    let finite = operands[..used].iter().all(|x| x & F::INF != F::INF);
    let [a, b, c] = operands.map(|x| x & F::SIGN != 0);
    // What is infinite or not a number is not looked at.
    let magnitude = |x: u64| Dyadic::magnitude::<F>(if x & F::INF == F::INF { 0 } else { x });
    let [x, y, z] = operands.map(magnitude);

    // Two terms that add up to the exact result, where there are such.
    let zero = (false, Dyadic { sig: 0, exp: 0 });
    let one = Dyadic::power(0);
    let (terms, divisor) = match op {
        Arith::Add => ([(a, x), (b, y)], one),
        Arith::Sub => ([(a, x), (!b, y)], one),
        Arith::Mul => ([(a != b, x.times(y)), zero], one),
        Arith::Div => ([(a != b, x), zero], y),
        Arith::Sqrt => ([(a, x), zero], one),
        Arith::Fma(op) => {
            let (product, addend) = match op {
                FmaOp::Madd => (a != b, c),
                FmaOp::Msub => (a != b, !c),
                FmaOp::Nmsub => (a == b, c),
                FmaOp::Nmadd => (a == b, !c),
            };
            ([(product, x.times(y)), (addend, z)], one)
        }
    };
    let sign = sign_of_sum(&terms);
    let negative = sign.is_lt();
    let meaningless = divisor.sig == 0 || op == Arith::Sqrt && negative;
    if !finite || sign.is_eq() || meaningless {
        if rm == Rm::Rmm {
            assert_eq!(answer, soft::<F>(op, operands, Rm::Rne));
        }
        return;
    }
    let exact = |bound: Dyadic| {
        let bound = match op {
            Arith::Sqrt => bound.times(bound),
            _ => bound.times(divisor),
        };
        let order = sign_of_sum(&[terms[0], terms[1], (!negative, bound)]);
        if negative { order.reverse() } else { order }
    };
    judge::<F>(rm, negative, exact, answer);
}

fn arithmetic_is_exact<F: Format>(seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..cases() / 4 {
        let a = random.operand::<F>();
        let operands = [a, random.partner::<F>(a), random.partner::<F>(a)];
        for op in OPERATIONS {
            for rm in MODES {
                let context = Context(|| format!("{op:?} {rm:?} {operands:#x?}"));
                judge_arith::<F>(op, operands, rm);
                drop(context);
            }
        }
    }
}

/// Says what was being judged when an assertion fails.
struct Context<T: Fn() -> String>(T);

impl<T: Fn() -> String> Drop for Context<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while judging {}", (self.0)());
        }
    }
}

#[test]
fn single_arithmetic_rounds_exactly_in_all_five_modes() {
    arithmetic_is_exact::<Single>(11);
}

#[test]
fn double_arithmetic_rounds_exactly_in_all_five_modes() {
    arithmetic_is_exact::<Double>(12);
}

#[test]
fn ties_occur_in_the_operands_drawn() {
    // If they did not, ties-away and ties-to-even would never differ and prove nothing.
    fn ties<F: Format>() -> usize {
        let mut random = Random::new(13);
        (0..2000)
            .filter(|_| {
                let a = random.operand::<F>();
                let operands = [a, random.partner::<F>(a), 0];
                soft::<F>(Arith::Add, operands, Rm::Rmm) != soft::<F>(Arith::Add, operands, Rm::Rne)
            })
            .count()
    }
    assert!(ties::<Single>() > 20 && ties::<Double>() > 20);
}

#[test]
fn narrowing_rounds_exactly_in_all_five_modes() {
    let mut random = Random::new(14);
    for _ in 0..cases() {
        let near = f64::from(f32::from_bits(random.operand::<Single>() as u32)).to_bits();
        let d = near ^ random.below(4) << random.below(31);
        if d & Double::INF == Double::INF || d & !Double::SIGN == 0 {
            continue;
        }
        let value = Dyadic::magnitude::<Double>(d);
        let exact = |bound| sign_of_sum(&[(false, value), (true, bound)]);
        for rm in MODES {
            let mut env = Env::new(rm);
            let bits = convert::convert::<Double, Single>(d, &mut env);
            let context = Context(|| format!("narrowing {rm:?} {d:#x}"));
            judge::<Single>(rm, d & Double::SIGN != 0, exact, (bits, env.flags));
            drop(context);
        }
    }
}

const INTEGERS: [IntFmt; 4] = [IntFmt::I32, IntFmt::U32, IntFmt::I64, IntFmt::U64];

fn range(fmt: IntFmt) -> (i128, i128) {
    match fmt {
        IntFmt::I32 => (i32::MIN.into(), i32::MAX.into()),
        IntFmt::U32 => (0, u32::MAX.into()),
        IntFmt::I64 => (i64::MIN.into(), i64::MAX.into()),
        IntFmt::U64 => (0, u64::MAX.into()),
    }
}

fn integers_round_exactly<F: Format>(seed: u64) {
    let mut random = Random::new(seed);
    for _ in 0..cases() {
        let register = random.bits() >> random.below(64);
        for fmt in INTEGERS {
            let value = match fmt {
                IntFmt::I32 => (register as i32).into(),
                IntFmt::U32 => (register as u32).into(),
                IntFmt::I64 => (register as i64).into(),
                IntFmt::U64 => i128::from(register),
            };
            if value == 0 {
                continue;
            }
            let magnitude = Dyadic {
                sig: value.unsigned_abs(),
                exp: 0,
            };
            let exact = |bound| sign_of_sum(&[(false, magnitude), (true, bound)]);
            for rm in MODES {
                let mut env = Env::new(rm);
                let bits = convert::from_int::<F>(fmt, register, &mut env);
                let context = Context(|| format!("{fmt:?} {rm:?} {register:#x}"));
                judge::<F>(rm, value < 0, exact, (bits, env.flags));
                drop(context);
            }
        }
    }
}

#[test]
fn integers_become_the_right_floats_in_all_five_modes() {
    integers_round_exactly::<Single>(15);
    integers_round_exactly::<Double>(16);
}

/// Rounds a double to an integer. The fraction of a magnitude, unlike that of a negative number
/// above its floor, is exact.
fn reference_integer(value: f64, rm: Rm) -> (i128, bool) {
    let magnitude = value.abs();
    let whole = magnitude.trunc();
    let fraction = magnitude - whole;
    let to_midpoint = fraction.total_cmp(&0.5);
    let whole_is_odd = whole % 2.0 != 0.0;
    let inexact = fraction != 0.0;
    let up = inexact && rounds_up(rm, value < 0.0, to_midpoint, whole_is_odd);
    let rounded = (whole as i128).saturating_add(i128::from(up));
    (if value < 0.0 { -rounded } else { rounded }, inexact)
}

fn floats_become_integers<F: Format>(seed: u64, widen: impl Fn(u64) -> f64) {
    let mut random = Random::new(seed);
    for _ in 0..cases() {
        // Half of the draws within and around the range of integers.
        let mut a = random.operand::<F>();
        if random.below(2) == 0 {
            let exp = F::EMAX as u64 - 2 + random.below(68);
            a = a & !F::INF | exp << F::FRAC_BITS;
        }
        let value = widen(a);
        for fmt in INTEGERS {
            for rm in MODES {
                let (min, max) = range(fmt);
                // Casts to i128 saturate far outside of every range.
                let (integer, inexact) = match value.is_nan() {
                    true => (i128::MAX, false),
                    false => reference_integer(value, rm),
                };
                let valid = (min..=max).contains(&integer);
                let clamped = integer.clamp(min, max);
                let register = match fmt {
                    IntFmt::I32 | IntFmt::U32 => clamped as i32 as u64,
                    IntFmt::I64 | IntFmt::U64 => clamped as u64,
                };
                let raised = match (valid, inexact) {
                    (false, _) => flags::NV,
                    (true, true) => flags::NX,
                    (true, false) => 0,
                };
                let mut env = Env::new(rm);
                let got = convert::to_int::<F>(fmt, a, &mut env);
                assert_eq!(
                    (got, env.flags),
                    (register, raised),
                    "{fmt:?} {rm:?} {value:e}"
                );
            }
        }
    }
}

#[test]
fn floats_become_the_right_integers_in_all_five_modes() {
    floats_become_integers::<Single>(17, |a| f32::from_bits(a as u32).into());
    floats_become_integers::<Double>(18, f64::from_bits);
}
