//! Text in columns, the form that QEMU's log and its plugins' `insn_disas` have, for those who
//! search and match it. It differs from objdump's in more than blanks:
//!
//! - The mnemonic fills [`OPERANDS`] columns even when nothing follows; a pc-relative target comes
//!   as a comment behind column [`COMMENT`], and the operand is the distance.
//! - All immediates are decimal, rounding modes come first and always, and there are fewer
//!   pseudoinstructions (no `li`, no `csrr`).
//!
//! - `illegal` is what would trap, also where QEMU shows the operands of something reserved.
//!
//! Templates are those of [`disassemble`](mod@crate::disassemble), read with these rules, and
//! `U`: the upper 20 bits, unsigned.

use std::fmt::Write;

use crate::disassemble::{is_atomic, push_fence_set};
use crate::names::{f_name, rounding_mode_name, x_name};
use crate::rows::ROWS;
use crate::{Insn, Opcode};

mod csrs;

/// Where operands begin.
const OPERANDS: usize = 24;
/// Where comments begin.
const COMMENT: usize = 48;

/// The text of `insn` at `pc`, in columns.
pub fn disassemble_columns(insn: &Insn, pc: u64) -> String {
    let mut text = String::with_capacity(COMMENT + 24);
    let (mnemonic, operands) = match insn.op {
        Opcode::Illegal => ("illegal", ""),
        _ => pseudo(insn).unwrap_or_else(|| plain(insn)),
    };
    text.push_str(mnemonic);
    if is_atomic(insn.op) {
        text.push_str(["", ".rl", ".aq", ".aq.rl"][usize::from(insn.rm & 3)]);
    }
    pad(&mut text, OPERANDS);
    push_operands(&mut text, operands, insn);
    if is_relative(mnemonic, operands) {
        pad(&mut text, COMMENT);
        let target = pc.wrapping_add_signed(insn.imm.into());
        // Writing to a String cannot fail.
        let _ = write!(text, "# 0x{target:x}");
    }
    text
}

fn pad(text: &mut String, column: usize) {
    while text.len() < column {
        text.push(' ');
    }
}

fn is_relative(mnemonic: &str, operands: &str) -> bool {
    mnemonic == "auipc" || operands.contains('p')
}

fn push_operands(text: &mut String, template: &str, insn: &Insn) {
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
            'i' | 'o' | 'h' | 'p' => write!(text, "{}", insn.imm),
            'u' => write!(text, "{}", insn.imm >> 12),
            'U' => write!(text, "{}", insn.imm as u32 >> 12),
            'E' => text.write_str(&csrs::shown_as(insn.imm as u16)),
            'Z' => write!(text, "{}", insn.rs1),
            'P' => push_set(text, insn.imm >> 4),
            'Q' => push_set(text, insn.imm),
            'm' => text.write_str(rounding_mode_name(insn.rm).unwrap_or("")),
            _ => text.write_char(letter),
        };
    }
}

/// Unlike in objdump's text, an empty set is empty.
fn push_set(text: &mut String, set: i32) -> std::fmt::Result {
    match set & 15 {
        0 => Ok(()),
        set => push_fence_set(text, set),
    }
}

/// Mnemonic and operand template of `insn` as it is.
fn plain(insn: &Insn) -> (&'static str, &'static str) {
    use Opcode::*;
    let row = &ROWS[insn.op as usize - 1];
    let mnemonic = match insn.op {
        FmvXW => "fmv.x.s",
        FmvWX => "fmv.s.x",
        FenceTso => "fence",
        Pause => "fence",
        _ => row.mnemonic,
    };
    let operands = match (insn.op, row.operands) {
        (Jalr, _) => "d,s,i",
        (FenceTso, _) => "rw,rw",
        (Pause, _) => "w,",
        (_, "D,S,T,R,m") => "m,D,S,T,R",
        (_, "D,S,T,m") => "m,D,S,T",
        (_, "D,S,m" | "D,S,n") => "m,D,S",
        (_, "d,S,m") => "m,d,S",
        (_, "D,s,m" | "D,s,n") => "m,D,s",
        (_, operands) => operands,
    };
    (mnemonic, operands)
}

/// The pseudoinstruction that `insn` is shown as.
#[rustfmt::skip]
fn pseudo(insn: &Insn) -> Option<(&'static str, &'static str)> {
    use Opcode::*;
    let Insn { op, rd, rs1, rs2, imm, .. } = *insn;
    Some(match op {
        // The hint that the manual sets aside for landing pads.
        Auipc if rd == 0 => ("lpad", "U"),
        Addi if rd == 0 && rs1 == 0 && imm == 0 => ("nop", ""),
        Addi if imm == 0 => ("mv", "d,s"),
        // Of the compressed ones only `c.mv`; not `c.add` to x0, a hint.
        Add if rs1 == 0 && insn.raw >> 12 == 8 => ("mv", "d,t"),
        Addiw if imm == 0 => ("sext.w", "d,s"),
        Xori if imm == -1 => ("not", "d,s"),
        Sub if rs1 == 0 => ("neg", "d,t"),
        Subw if rs1 == 0 => ("negw", "d,t"),
        Slt if rs2 == 0 => ("sltz", "d,s"),
        Slt if rs1 == 0 => ("sgtz", "d,t"),
        Sltu if rs1 == 0 => ("snez", "d,t"),
        Sltiu if imm == 1 => ("seqz", "d,s"),

        Beq if rs2 == 0 => ("beqz", "s,p"),
        Bne if rs2 == 0 => ("bnez", "s,p"),
        Blt if rs2 == 0 => ("bltz", "s,p"),
        Blt if rs1 == 0 => ("bgtz", "t,p"),
        Blt => ("bgt", "t,s,p"),
        Bge if rs1 == 0 => ("blez", "t,p"),
        Bge if rs2 == 0 => ("bgez", "s,p"),
        Bge => ("ble", "t,s,p"),
        Bltu => ("bgtu", "t,s,p"),
        Bgeu => ("bleu", "t,s,p"),
        Jal if rd == 0 => ("j", "p"),
        // Whatever the distance, as in QEMU.
        Jalr if rd == 0 && rs1 == 1 => ("ret", ""),
        Jalr if rd == 0 && imm == 0 => ("jr", "s"),

        Csrrs if rs1 == 0 => match imm {
            1 => ("frflags", "d"),
            2 => ("frrm", "d"),
            3 => ("frcsr", "d"),
            0xc00 => ("rdcycle", "d"),
            0xc01 => ("rdtime", "d"),
            0xc02 => ("rdinstret", "d"),
            0xc80 => ("rdcycleh", "d"),
            0xc81 => ("rdtimeh", "d"),
            0xc82 => ("rdinstreth", "d"),
            _ => return None,
        },
        Csrrw => match imm {
            1 => ("fsflags", "d,s"),
            2 => ("fsrm", "d,s"),
            3 => ("fscsr", "d,s"),
            _ => return None,
        },
        Csrrwi => match imm {
            1 => ("fsflagsi", "d,Z"),
            2 => ("fsrmi", "d,Z"),
            _ => return None,
        },

        FsgnjS if rs1 == rs2 => ("fmv.s", "D,S"),
        FsgnjnS if rs1 == rs2 => ("fneg.s", "D,S"),
        FsgnjxS if rs1 == rs2 => ("fabs.s", "D,S"),
        FsgnjD if rs1 == rs2 => ("fmv.d", "D,S"),
        FsgnjnD if rs1 == rs2 => ("fneg.d", "D,S"),
        FsgnjxD if rs1 == rs2 => ("fabs.d", "D,S"),
        _ => return None,
    })
}
