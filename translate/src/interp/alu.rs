//! Integer semantics as pure functions of values, for the interpreter and for constant folding.

use crate::ops::{AluOp, Cond, Size, UnOp, Width};

/// Evaluates a two-operand operation.
#[inline(always)]
pub fn binary(op: AluOp, w: Width, a: u64, b: u64) -> u64 {
    match w {
        Width::W64 => binary64(op, a, b),
        Width::W32 => sext32(binary32(op, a as u32, b as u32)),
    }
}

/// Evaluates a one-operand operation.
#[inline(always)]
pub fn unary(op: UnOp, w: Width, a: u64) -> u64 {
    match (op, w) {
        (UnOp::Mov, _) => a,
        (UnOp::SextB, _) => a as i8 as u64,
        (UnOp::SextH, _) => a as i16 as u64,
        (UnOp::SextW, _) => sext32(a as u32),
        (UnOp::ZextB, _) => u64::from(a as u8),
        (UnOp::ZextH, _) => u64::from(a as u16),
        (UnOp::ZextW, _) => u64::from(a as u32),
        (UnOp::Clz, Width::W64) => u64::from(a.leading_zeros()),
        (UnOp::Ctz, Width::W64) => u64::from(a.trailing_zeros()),
        (UnOp::Cpop, Width::W64) => u64::from(a.count_ones()),
        (UnOp::Clz, Width::W32) => u64::from((a as u32).leading_zeros()),
        (UnOp::Ctz, Width::W32) => u64::from((a as u32).trailing_zeros()),
        (UnOp::Cpop, Width::W32) => u64::from((a as u32).count_ones()),
        (UnOp::OrcB, _) => orc_b(a),
        (UnOp::Rev8, _) => a.swap_bytes(),
    }
}

/// Evaluates a comparison.
#[inline(always)]
pub fn holds(cond: Cond, w: Width, a: u64, b: u64) -> bool {
    // Sign extension keeps both the signed and the unsigned order of the low halves.
    let (a, b) = match w {
        Width::W64 => (a, b),
        Width::W32 => (sext32(a as u32), sext32(b as u32)),
    };
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Lt => (a as i64) < b as i64,
        Cond::Ge => a as i64 >= b as i64,
        Cond::Ltu => a < b,
        Cond::Geu => a >= b,
    }
}

#[inline(always)]
fn sext32(a: u32) -> u64 {
    a as i32 as u64
}

/// Every byte that is not 0 becomes 0xff.
#[inline]
fn orc_b(a: u64) -> u64 {
    u64::from_le_bytes(a.to_le_bytes().map(|byte| if byte == 0 { 0 } else { 0xff }))
}

impl Size {
    /// Sign-extends a value of this size.
    #[inline(always)]
    pub(crate) fn sign_extend(self, value: u64) -> u64 {
        match self {
            Size::B1 => value as i8 as u64,
            Size::B2 => value as i16 as u64,
            Size::B4 => value as i32 as u64,
            Size::B8 => value,
        }
    }
}

/// The operations of one width, so that both widths have the same meaning by construction.
macro_rules! binary_of_width {
    ($name:ident, $unsigned:ty, $signed:ty, $wide:ty, $wide_signed:ty) => {
        #[inline(always)]
        fn $name(op: AluOp, a: $unsigned, b: $unsigned) -> $unsigned {
            const BITS: u32 = <$unsigned>::BITS;
            // The wrapping shifts and rotations take their amount modulo the width.
            let amount = b as u32;
            let bit = (1 as $unsigned).wrapping_shl(amount);
            let (signed_a, signed_b) = (a as $signed, b as $signed);
            match op {
                AluOp::Add => a.wrapping_add(b),
                AluOp::Sub => a.wrapping_sub(b),
                AluOp::And => a & b,
                AluOp::Or => a | b,
                AluOp::Xor => a ^ b,
                AluOp::Sll => a.wrapping_shl(amount),
                AluOp::Srl => a.wrapping_shr(amount),
                AluOp::Sra => signed_a.wrapping_shr(amount) as $unsigned,
                AluOp::Slt => (signed_a < signed_b).into(),
                AluOp::Sltu => (a < b).into(),
                AluOp::Mul => a.wrapping_mul(b),
                AluOp::Mulh => {
                    (signed_a as $wide_signed * signed_b as $wide_signed >> BITS) as $unsigned
                }
                AluOp::Mulhsu => {
                    (signed_a as $wide_signed * b as $wide_signed >> BITS) as $unsigned
                }
                AluOp::Mulhu => (a as $wide * b as $wide >> BITS) as $unsigned,
                // Division by 0 gives all ones, and the dividend as remainder; the one overflow
                // gives the dividend, and remainder 0, which is what wrapping does.
                AluOp::Div if b == 0 => <$unsigned>::MAX,
                AluOp::Div => signed_a.wrapping_div(signed_b) as $unsigned,
                AluOp::Divu => a.checked_div(b).unwrap_or(<$unsigned>::MAX),
                AluOp::Rem if b == 0 => a,
                AluOp::Rem => signed_a.wrapping_rem(signed_b) as $unsigned,
                AluOp::Remu => a.checked_rem(b).unwrap_or(a),
                AluOp::Andn => a & !b,
                AluOp::Orn => a | !b,
                AluOp::Xnor => !(a ^ b),
                AluOp::Min => signed_a.min(signed_b) as $unsigned,
                AluOp::Max => signed_a.max(signed_b) as $unsigned,
                AluOp::Minu => a.min(b),
                AluOp::Maxu => a.max(b),
                AluOp::Rol => a.rotate_left(amount & (BITS - 1)),
                AluOp::Ror => a.rotate_right(amount & (BITS - 1)),
                AluOp::Bclr => a & !bit,
                AluOp::Bext => (a & bit != 0).into(),
                AluOp::Binv => a ^ bit,
                AluOp::Bset => a | bit,
                AluOp::CzeroEqz => {
                    if b == 0 {
                        0
                    } else {
                        a
                    }
                }
                AluOp::CzeroNez => {
                    if b != 0 {
                        0
                    } else {
                        a
                    }
                }
            }
        }
    };
}

binary_of_width!(binary64, u64, i64, u128, i128);
binary_of_width!(binary32, u32, i32, u64, i64);
