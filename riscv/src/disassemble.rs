//! The disassembler: text as GNU objdump prints it, pseudoinstructions included, with one space
//! between mnemonic and operands.
//!
//! Operands are printed from a template, the row's own or that of a pseudoinstruction. Letters
//! stand for operands, everything else for itself:
//!
//! | letter | operand | letter | operand |
//! | --- | --- | --- | --- |
//! | `d` `s` `t` | integer `rd` `rs1` `rs2` | `D` `S` `T` `R` | floating-point `rd` `rs1` `rs2` `rs3` |
//! | `i` `o` | immediate, decimal | `u` | upper 20 bits, hexadecimal |
//! | `h` | shift amount, hexadecimal | `p` | pc-relative target |
//! | `E` | CSR | `Z` | 5-bit immediate in `rs1` |
//! | `P` `Q` | fence sets | `m` `n` | rounding mode, silent if dynamic (`m`) or 0 (`n`) |

use std::fmt::Write;

use crate::names::{csr_name, f_name, rounding_mode_name, x_name};
use crate::rows::ROWS;
use crate::{Insn, Opcode};

/// The text of `insn` at `pc`.
pub fn disassemble(insn: &Insn, pc: u64) -> String {
    let mut text = String::with_capacity(32);
    if insn.op == Opcode::Illegal {
        return match insn.raw {
            0 => "unimp".into(),
            raw => format!(".{}byte 0x{raw:x}", insn.len),
        };
    }
    let row = &ROWS[insn.op as usize - 1];
    let (mnemonic, operands) = pseudo(insn).unwrap_or((row.mnemonic, row.operands));
    text.push_str(mnemonic);
    push_ordering(&mut text, insn);
    if !operands.is_empty() {
        text.push(' ');
        push_operands(&mut text, operands, insn, pc);
    }
    text
}

pub(crate) fn is_atomic(op: Opcode) -> bool {
    (Opcode::LrW as u8..=Opcode::AmomaxuD as u8).contains(&(op as u8))
}

/// The `.aq` and `.rl` suffixes of atomics.
fn push_ordering(text: &mut String, insn: &Insn) {
    if is_atomic(insn.op) {
        text.push_str(["", ".rl", ".aq", ".aqrl"][usize::from(insn.rm & 3)]);
    }
}

fn push_operands(text: &mut String, template: &str, insn: &Insn, pc: u64) {
    for letter in template.chars() {
        // Writing to a String cannot fail.
        let _ = match letter {
            'd' => text.write_str(x_name(insn.rd)),
            's' => text.write_str(x_name(insn.rs1)),
            't' => text.write_str(x_name(insn.rs2)),
            'D' => text.write_str(f_name(insn.rd)),
            'S' => text.write_str(f_name(insn.rs1)),
            'T' => text.write_str(f_name(insn.rs2)),
            'R' => text.write_str(f_name(insn.rs3)),
            'i' | 'o' => write!(text, "{}", insn.imm),
            'h' => write!(text, "0x{:x}", insn.imm),
            'u' => write!(text, "0x{:x}", insn.imm as u32 >> 12),
            'p' => write!(text, "0x{:x}", pc.wrapping_add_signed(insn.imm.into())),
            'E' => match csr_name(insn.imm as u16) {
                Some(name) => text.write_str(&name),
                None => write!(text, "0x{:x}", insn.imm),
            },
            'Z' => write!(text, "{}", insn.rs1),
            'P' => push_fence_set(text, insn.imm >> 4),
            'Q' => push_fence_set(text, insn.imm),
            'm' | 'n' => push_rounding_mode(text, insn.rm, if letter == 'm' { 7 } else { 0 }),
            _ => text.write_char(letter),
        };
    }
}

pub(crate) fn push_fence_set(text: &mut String, set: i32) -> std::fmt::Result {
    if set & 15 == 0 {
        return text.write_str("unknown");
    }
    for (bit, letter) in [(8, 'i'), (4, 'o'), (2, 'r'), (1, 'w')] {
        if set & bit != 0 {
            text.write_char(letter)?;
        }
    }
    Ok(())
}

/// Rounding modes are the last operand; the silent one takes its comma along.
fn push_rounding_mode(text: &mut String, rm: u8, silent: u8) -> std::fmt::Result {
    if rm == silent {
        text.pop();
        return Ok(());
    }
    text.write_str(rounding_mode_name(rm).unwrap_or("unknown"))
}

/// The pseudoinstruction that `insn` is printed as: mnemonic and operand template.
#[rustfmt::skip]
fn pseudo(insn: &Insn) -> Option<(&'static str, &'static str)> {
    use Opcode::*;
    let Insn { op, rd, rs1, rs2, imm, .. } = *insn;
    let compressed = insn.len == 2;
    Some(match op {
        Addi if insn.raw == 0x13 || insn.raw == 1 => ("nop", ""),
        Addi if rs1 == 0 => ("li", "d,i"),
        Addi if imm == 0 && !compressed => ("mv", "d,s"),
        Add if rs1 == 0 && compressed => ("mv", "d,t"),
        Addiw if imm == 0 => ("sext.w", "d,s"),
        Xori if imm == -1 => ("not", "d,s"),
        Andi if imm == 255 => ("zext.b", "d,s"),
        Sub if rs1 == 0 => ("neg", "d,t"),
        Subw if rs1 == 0 => ("negw", "d,t"),
        Slt if rs2 == 0 => ("sltz", "d,s"),
        Slt if rs1 == 0 => ("sgtz", "d,t"),
        Sltu if rs1 == 0 => ("snez", "d,t"),
        Sltiu if imm == 1 => ("seqz", "d,s"),
        AddUw if rs2 == 0 => ("zext.w", "d,s"),

        Beq if rs2 == 0 => ("beqz", "s,p"),
        Bne if rs2 == 0 => ("bnez", "s,p"),
        Blt if rs2 == 0 => ("bltz", "s,p"),
        Blt if rs1 == 0 => ("bgtz", "t,p"),
        Bge if rs1 == 0 => ("blez", "t,p"),
        Bge if rs2 == 0 => ("bgez", "s,p"),
        Jal if rd == 0 => ("j", "p"),
        Jal if rd == 1 => ("jal", "p"),
        Jalr if rd == 0 && rs1 == 1 && imm == 0 => ("ret", ""),
        Jalr if rd == 0 && imm == 0 => ("jr", "s"),
        Jalr if rd == 0 => ("jr", "o(s)"),
        Jalr if rd == 1 && imm == 0 => ("jalr", "s"),
        Jalr if rd == 1 => ("jalr", "o(s)"),
        Jalr if imm == 0 => ("jalr", "d,s"),
        Fence if imm == 0xff => ("fence", ""),

        SfenceVma if rs1 == 0 && rs2 == 0 => ("sfence.vma", ""),
        SfenceVma if rs2 == 0 => ("sfence.vma", "s"),

        Csrrw if rd == 0 && rs1 == 0 && imm == 0xc00 => ("unimp", ""),
        Csrrs if rs1 == 0 => match imm {
            1 => ("frflags", "d"),
            2 => ("frrm", "d"),
            3 => ("frcsr", "d"),
            0xc00 => ("rdcycle", "d"),
            0xc01 => ("rdtime", "d"),
            0xc02 => ("rdinstret", "d"),
            _ => ("csrr", "d,E"),
        },
        Csrrw => match (imm, rd) {
            (1, 0) => ("fsflags", "s"),
            (1, _) => ("fsflags", "d,s"),
            (2, 0) => ("fsrm", "s"),
            (2, _) => ("fsrm", "d,s"),
            (3, 0) => ("fscsr", "s"),
            (3, _) => ("fscsr", "d,s"),
            (_, 0) => ("csrw", "E,s"),
            _ => return None,
        },
        Csrrwi => match (imm, rd) {
            (1, _) => ("fsflagsi", "d,Z"),
            (2, _) => ("fsrmi", "d,Z"),
            (_, 0) => ("csrwi", "E,Z"),
            _ => return None,
        },
        Csrrs if rd == 0 => ("csrs", "E,s"),
        Csrrc if rd == 0 => ("csrc", "E,s"),
        Csrrsi if rd == 0 => ("csrsi", "E,Z"),
        Csrrci if rd == 0 => ("csrci", "E,Z"),

        FsgnjS if rs1 == rs2 => ("fmv.s", "D,S"),
        FsgnjnS if rs1 == rs2 => ("fneg.s", "D,S"),
        FsgnjxS if rs1 == rs2 => ("fabs.s", "D,S"),
        FsgnjD if rs1 == rs2 => ("fmv.d", "D,S"),
        FsgnjnD if rs1 == rs2 => ("fneg.d", "D,S"),
        FsgnjxD if rs1 == rs2 => ("fabs.d", "D,S"),
        _ => return None,
    })
}
