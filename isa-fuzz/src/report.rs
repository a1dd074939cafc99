//! A failing program, for people.

use riscv::names::{f_name, x_name};
use riscv::{decode, disassemble, insn_len};

use crate::program::{Program, assemble_items};

/// Lines of a description; more help nobody.
const MOST_LINES: usize = 150;

/// The register contents and the instructions of `program`.
pub fn describe(program: &Program) -> String {
    let lines = lines(program);
    let mut text = String::new();
    for line in lines.iter().take(MOST_LINES) {
        text += &format!("  {line}\n");
    }
    if lines.len() > MOST_LINES {
        text += &format!("  and {} more lines\n", lines.len() - MOST_LINES);
    }
    text
}

fn lines(program: &Program) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |line: String| lines.push(line);
    line(format!("base register {}", x_name(program.base)));
    for (reg, value) in (0..).zip(program.x) {
        if value != 0 && reg != 0 && reg != program.base {
            line(format!("{:5} = {value:#018x}", x_name(reg)));
        }
    }
    for (reg, value) in (0..).zip(program.f) {
        if value != 0 {
            line(format!("{:5} = {value:#018x}", f_name(reg)));
        }
    }
    line(format!("fcsr  = {:#04x}", program.fcsr));
    for (number, chunk) in program.chunks.iter().enumerate() {
        line(format!("chunk {number}:"));
        let code = assemble_items(chunk, program.base);
        let mut at = 0;
        while at < code.len() {
            let mut bytes = [0; 4];
            let len = insn_len(u16::from_le_bytes([code[at], code[at + 1]]));
            bytes[..len].copy_from_slice(&code[at..at + len]);
            let bits = u32::from_le_bytes(bytes);
            let insn = decode(bits);
            let digits = 2 * len;
            let shown = format!("{bits:0digits$x}");
            line(format!(
                "{at:4x}: {shown:8}  {}",
                disassemble(&insn, at as u64)
            ));
            at += len;
        }
    }
    if program.rounds > 1 {
        line(format!("{} rounds", program.rounds));
    }
    lines
}
