//! Runs `riscv64-linux-gnu-objdump` on a list of encodings.

use std::process::Command;

use super::elf_object::object;

/// The extensions under test, as objdump 2.40 knows them (Zicond came later).
const ARCH: &str = "rv64i2p1_m2p0_a2p1_f2p2_d2p2_c2p0_zicsr2p0_zifencei2p0_zba1p0_zbb1p0_zbs1p0\
                    _zicbom1p0_zicboz1p0_zihintpause2p0";

pub struct Line {
    pub pc: u64,
    /// Mnemonic and operands, one space between them, without comments.
    pub text: String,
}

/// One line per encoding. Each lies at a multiple of 8, so that lines cannot get out of step.
pub fn objdump(encodings: &[u32]) -> Vec<Line> {
    let mut code = Vec::with_capacity(encodings.len() * 8);
    for &raw in encodings {
        let insn = if raw & 3 == 3 {
            u64::from(raw)
        } else {
            u64::from(raw as u16) | 0x0001_0000
        };
        // The rest of the slot: nops.
        code.extend((insn | 0x0001_0001 << 32).to_le_bytes());
    }
    let path = std::env::temp_dir().join(format!(
        "riscv-objdump-{}-{:?}.o",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&path, object(code, ARCH)).expect("write the object for objdump");
    let output = Command::new("riscv64-linux-gnu-objdump")
        .args(["-d", "-z"])
        .arg(&path)
        .output()
        .expect("run riscv64-linux-gnu-objdump (Debian: binutils-riscv64-linux-gnu)");
    std::fs::remove_file(&path).expect("remove the object");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("objdump prints ASCII")
        .lines()
        .filter_map(parse)
        .filter(|line| line.pc % 8 == 0)
        .collect()
}

/// Parses `   a8:<tab>00a05063          <tab>blez<tab>a0,0xa8 <.text+0xa8>  # comment`.
fn parse(line: &str) -> Option<Line> {
    let mut columns = line.splitn(3, '\t');
    let pc = u64::from_str_radix(columns.next()?.trim().strip_suffix(':')?, 16).ok()?;
    columns.next()?;
    let text = columns.next()?;
    let text = text.split(" <").next()?.split(" #").next()?;
    let text = text.trim_end().replacen('\t', " ", 1);
    Some(Line { pc, text })
}
