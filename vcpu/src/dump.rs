//! What translation makes of guest code, stage by stage, as text (`-d in_asm,op,op_plugin,op_opt,out_asm`).
//!
//! Each stage of a block goes out in one write, so that vCPUs that translate at once do not mix
//! their lines.

use std::fmt::{self, Write};
use std::ops::Range;
use std::os::fd::RawFd;

use translate::Block;
use translate::ops::Op;
use translate::x86::HostCode;

/// What to dump, and where to.
#[derive(Clone, Debug, Default)]
pub struct Dump {
    /// The stages.
    pub stages: Stages,
    /// Only blocks that begin in one of these; all if there is none.
    pub ranges: Vec<Range<u64>>,
    /// Where the text goes.
    pub fd: RawFd,
}

/// The stages of translation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Guest instructions.
    pub in_asm: bool,
    /// Ops as the front end made them.
    pub op: bool,
    /// Ops after instrumentation.
    pub op_plugin: bool,
    /// Ops after instrumentation and passes.
    pub op_opt: bool,
    /// Host code, in hexadecimal.
    pub out_asm: bool,
}

impl Dump {
    /// Whether blocks that begin at `pc` are dumped.
    pub(crate) fn wants(&self, pc: u64) -> bool {
        self.ranges.is_empty() || self.ranges.iter().any(|range| range.contains(&pc))
    }

    /// A block as it comes from the front end.
    pub(crate) fn translated(&self, block: &Block) {
        if self.stages.in_asm {
            self.write("IN", block.pc, |text| guest_code(text, block));
        }
        if self.stages.op {
            self.write("OP", block.pc, |text| ops(text, block));
        }
    }

    /// The same block with its points filled.
    pub(crate) fn filled(&self, block: &Block) {
        if self.stages.op_plugin {
            self.write("OP with plugins", block.pc, |text| ops(text, block));
        }
    }

    /// The same block as the back end gets it.
    pub(crate) fn optimized(&self, block: &Block) {
        if self.stages.op_opt {
            self.write("OP after passes", block.pc, |text| ops(text, block));
        }
    }

    /// Its host code.
    pub(crate) fn emitted(&self, block: &Block, host: &HostCode) {
        if self.stages.out_asm {
            self.write("OUT", block.pc, |text| hexadecimal(text, &host.bytes));
        }
    }

    fn write(&self, title: &str, pc: u64, body: impl FnOnce(&mut String) -> fmt::Result) {
        let mut text = format!("----------------\n{title}: {pc:#x}\n");
        // Writing to a string cannot fail.
        let _ = body(&mut text);
        text.push('\n');
        // SAFETY: the bytes are alive for the call. Text that cannot be written is lost.
        unsafe { libc::write(self.fd, text.as_ptr().cast(), text.len()) };
    }
}

fn guest_code(text: &mut String, block: &Block) -> fmt::Result {
    let mut bytes = block.bytes.as_slice();
    for range in &block.ranges {
        let (mut run, rest) = bytes.split_at(bytes.len().min(range.len as usize));
        bytes = rest;
        let mut pc = range.start;
        while let &[a, b, ..] = run {
            let upper = match run {
                &[_, _, c, d, ..] => [c, d],
                _ => [0; 2],
            };
            let insn = riscv::decode(u32::from_le_bytes([a, b, upper[0], upper[1]]));
            let len = usize::from(insn.len).min(run.len());
            let encoding = format!("{:0digits$x}", insn.raw, digits = 2 * len);
            let shown = riscv::disassemble(&insn, pc);
            writeln!(text, "{pc:#018x}:  {encoding:8}  {shown}")?;
            run = &run[len..];
            pc += len as u64;
        }
    }
    Ok(())
}

fn ops(text: &mut String, block: &Block) -> fmt::Result {
    for op in &block.ops {
        match op {
            Op::Insn { pc, .. } => writeln!(text, "{pc:#x}:")?,
            op => writeln!(text, "    {op:?}")?,
        }
    }
    for (number, exit) in block.exits.iter().enumerate() {
        writeln!(text, "exit {number}: {exit:?}")?;
    }
    for (number, op) in block.sunk_ops.iter().enumerate() {
        writeln!(text, "sunk {number}: {op:?}")?;
    }
    Ok(())
}

fn hexadecimal(text: &mut String, bytes: &[u8]) -> fmt::Result {
    for (line, chunk) in bytes.chunks(16).enumerate() {
        write!(text, "{:#06x}: ", line * 16)?;
        for byte in chunk {
            write!(text, " {byte:02x}")?;
        }
        text.push('\n');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use translate::ops::GuestRange;

    #[test]
    fn guest_code_shows_addresses_bytes_and_text() {
        // c.addi sp, -16; addi a0, zero, 7 elsewhere
        let block = Block {
            bytes: vec![0x41, 0x11, 0x13, 0x05, 0x70, 0x00],
            ranges: vec![
                GuestRange {
                    start: 0x1000,
                    len: 2,
                },
                GuestRange {
                    start: 0x2000,
                    len: 4,
                },
            ],
            ..Block::default()
        };
        let mut text = String::new();
        guest_code(&mut text, &block).expect("strings take anything");
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().take(3).collect())
            .collect();
        assert_eq!(
            lines,
            [
                ["0x0000000000001000:", "1141", "addi"],
                ["0x0000000000002000:", "00700513", "li"]
            ]
        );
    }

    #[test]
    fn ranges_choose_blocks() {
        let all = Dump::default();
        let some = Dump {
            ranges: vec![0x1000..0x2000, 0x5000..0x5001],
            ..Dump::default()
        };
        assert!(all.wants(0) && some.wants(0x1fff) && some.wants(0x5000));
        assert!(!some.wants(0x2000) && !some.wants(0));
    }
}
