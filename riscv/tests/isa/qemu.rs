//! Text in columns against QEMU's: a file of texts that it gave once, and QEMU itself.
//!
//! `GOLDEN=write cargo test -p riscv --test isa qemu` writes the file anew (QEMU 10.0.2 made it).

use crate::support::qemu::{pc_of, qemu};
use crate::support::random::Random;
use riscv::{Opcode, decode, disassemble_columns, encodings};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/isa/qemu/golden.txt");

/// Why our text may differ from QEMU's; `None` if it must not.
fn reason_to_differ(raw: u32, ours: &str, theirs: &str) -> Option<&'static str> {
    let insn = decode(raw);
    match insn.op {
        Opcode::Illegal if ours.trim_end() == "illegal" => {
            Some("traps; QEMU shows the operands of reserved and of other encodings")
        }
        Opcode::CboClean | Opcode::CboFlush | Opcode::CboInval | Opcode::CboZero
            if theirs.starts_with("lq ") =>
        {
            Some("QEMU takes cache-block operations for loads of 128 bits")
        }
        Opcode::SinvalVma | Opcode::SfenceWInval | Opcode::SfenceInvalIr
            if theirs.trim_end() == "illegal" =>
        {
            Some("QEMU's text knows nothing of Svinval")
        }
        _ if insn.len == 2 && insn.imm == 0 && theirs.trim_end() == "illegal" => {
            Some("a compressed HINT, which both run")
        }
        _ => None,
    }
}

/// Compares our texts with QEMU's; how many differ for a reason.
fn compare(words: &[u32], theirs: &[String]) -> usize {
    assert_eq!(words.len(), theirs.len());
    let (mut excused, mut differences) = (0, Vec::new());
    for (at, (&raw, theirs)) in words.iter().zip(theirs).enumerate() {
        let ours = disassemble_columns(&decode(raw), pc_of(at));
        if ours == *theirs {
            continue;
        }
        match reason_to_differ(raw, &ours, theirs) {
            Some(_) => excused += 1,
            None => differences.push(format!("{raw:08x}: {ours}|\n    QEMU: {theirs}|")),
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        words.len(),
        differences[..differences.len().min(40)].join("\n")
    );
    excused
}

/// Some encodings of every instruction, with operands that special cases depend on.
fn some_of_each(seed: u64, count: usize) -> Vec<u32> {
    let mut random = Random::new(seed);
    let one = |pattern: riscv::Encoding| {
        let words: Vec<u32> = (0..count)
            .map(|_| pattern.value | random.operand_bits() & !pattern.mask)
            .map(|raw| if pattern.len == 2 { raw & 0xffff } else { raw })
            .collect();
        words
    };
    encodings().flat_map(one).collect()
}

/// Every CSR, read and written, and all ways to access those that have pseudoinstructions.
fn csr_accesses() -> Vec<u32> {
    let write = (0..4096).map(|csr| csr << 20 | 0x2_9073);
    let read = (0..4096).map(|csr| csr << 20 | 0x2573);
    let mut all: Vec<u32> = write.chain(read).collect();
    for csr in [0, 1, 2, 3, 4, 0xc00, 0xc01, 0xc02, 0xc03, 0xc80, 0x300] {
        for funct3 in [1, 2, 3, 5, 6, 7] {
            for (rs1, rd) in [(0, 0), (0, 5), (7, 0), (7, 5)] {
                all.push(csr << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x73);
            }
        }
    }
    all
}

#[test]
fn every_text_of_the_golden_file_agrees() {
    if std::env::var_os("GOLDEN").is_some_and(|what| what == "write") {
        write_golden();
    }
    let text = std::fs::read_to_string(GOLDEN).expect("read the golden file");
    let (words, theirs): (Vec<u32>, Vec<String>) = text
        .lines()
        .map(|line| {
            let (raw, text) = line.split_once(' ').expect("a word and its text");
            let text = text.strip_suffix('|').expect("the mark at the end");
            (u32::from_str_radix(raw, 16).expect("a word"), text.into())
        })
        .unzip();
    assert!(words.len() > 2000);
    compare(&words, &theirs);
}

/// The mark at the end keeps the blanks there alive.
fn write_golden() {
    let mut words = some_of_each(1, 8);
    words.extend(csr_accesses().iter().step_by(5));
    let lines = words.iter().zip(qemu(&words));
    let text: String = lines
        .map(|(raw, text)| format!("{raw:08x} {text}|\n"))
        .collect();
    std::fs::write(GOLDEN, text).expect("write the golden file");
}

#[test]
fn every_compressed_encoding_agrees_with_qemu() {
    let all: Vec<u32> = (0..=0xffff).filter(|low| low & 3 != 3).collect();
    let excused = compare(&all, &qemu(&all));
    // Zcb and may-be-operations, which we do not have (about 1000), reserved ones, HINTs.
    assert!(excused < 1300, "{excused} differ for a reason");
}

#[test]
fn random_operands_of_every_instruction_agree_with_qemu() {
    let words = some_of_each(2, 150);
    compare(&words, &qemu(&words));
}

#[test]
fn every_csr_agrees_with_qemu() {
    let words = csr_accesses();
    assert_eq!(compare(&words, &qemu(&words)), 0);
}

#[test]
fn columns_are_where_plugins_look_for_them() {
    let text = |raw, pc| disassemble_columns(&decode(raw), pc);
    assert_eq!(text(0x8082, 0), format!("{:24}", "ret"));
    assert_eq!(text(0x6582, 0), format!("{:24}a1,0(sp)", "ld"));
    assert_eq!(
        text(0xeca5_9fe3, 0x108fa),
        format!("{:24}{:24}# 0x107d8", "bne", "a1,a0,-290")
    );
    assert_eq!(text(0, 0), format!("{:24}", "illegal"));
}
