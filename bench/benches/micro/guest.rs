//! A real guest program for the micro-benchmarks to work on.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use riscv::{Insn, Opcode};
use translate::GuestCode;

/// The executable segment of a guest program.
pub struct Guest {
    start: u64,
    text: Vec<u8>,
}

impl Guest {
    /// Builds `guests/NAME.c` and reads its code. The benchmark's own flags, so that these are the
    /// blocks that `cargo run -p bench` runs.
    ///
    /// Panics if that fails: without a guest there is nothing to measure.
    pub fn build(name: &str) -> Guest {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("guests")
            .join(format!("{name}.c"));
        let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let status = Command::new("riscv64-linux-gnu-gcc")
            .args(["-O2", "-ffp-contract=off", "-static", "-pthread", "-o"])
            .args([&out, &source])
            .arg("-lm")
            .status();
        let built = status.is_ok_and(|status| status.success());
        assert!(built, "no guest: run ci/install-tools.sh first");
        let elf = fs::read(&out).expect("the compiler has written it");
        let (start, range) = executable_segment(&elf).expect("programs have code");
        Guest {
            start,
            text: elf[range].to_vec(),
        }
    }

    /// All instructions in address order, with their pc. Data between them decodes as something.
    pub fn insns(&self) -> Vec<(u64, Insn)> {
        let mut insns = Vec::new();
        let mut at = 0;
        while let Some(word) = self.text.get(at..at + 4) {
            let insn = riscv::decode(u32::from_le_bytes(word.try_into().expect("four bytes")));
            insns.push((self.start + at as u64, insn));
            at += usize::from(insn.len);
        }
        insns
    }

    /// The raw instruction words in address order.
    pub fn words(&self) -> Vec<u32> {
        self.insns().iter().map(|(_, insn)| insn.raw).collect()
    }

    /// Where blocks begin: targets of direct jumps and branches, and what follows a jump or call.
    pub fn block_starts(&self) -> Vec<u64> {
        let end = self.start + self.text.len() as u64;
        let mut starts = BTreeSet::new();
        for (pc, insn) in self.insns() {
            let next = pc + u64::from(insn.len);
            let target = pc.wrapping_add(insn.imm as u64);
            match insn.op {
                Opcode::Jal => starts.extend([target, next]),
                Opcode::Beq
                | Opcode::Bne
                | Opcode::Blt
                | Opcode::Bge
                | Opcode::Bltu
                | Opcode::Bgeu => starts.extend([target]),
                Opcode::Jalr | Opcode::Ecall => starts.extend([next]),
                _ => {}
            }
        }
        starts.retain(|pc| (self.start..end).contains(pc));
        starts.into_iter().collect()
    }
}

impl GuestCode for Guest {
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let bytes = pc
            .checked_sub(self.start)
            .and_then(|offset| self.text.get(usize::try_from(offset).ok()?..))
            .unwrap_or_default();
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        len
    }
}

/// Address and file range of the first executable segment.
fn executable_segment(elf: &[u8]) -> Option<(u64, Range<usize>)> {
    const LOAD: u64 = 1;
    const EXECUTABLE: u64 = 1;
    let field = |at: usize, size: usize| {
        let mut value = [0; 8];
        value[..size].copy_from_slice(elf.get(at..at + size)?);
        Some(u64::from_le_bytes(value))
    };
    let headers = field(32, 8)? as usize;
    let size = field(54, 2)? as usize;
    (0..field(56, 2)? as usize).find_map(|i| {
        let header = headers + i * size;
        let wanted = field(header, 4)? == LOAD && field(header + 4, 4)? & EXECUTABLE != 0;
        let offset = field(header + 8, 8)? as usize;
        let range = offset..offset + field(header + 32, 8)? as usize;
        wanted.then_some((field(header + 16, 8)?, range))
    })
}
