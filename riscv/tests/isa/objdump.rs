//! Decoder and disassembler against GNU objdump, on random and exhaustive encodings.
//!
//! Needs `riscv64-linux-gnu-objdump` (Debian: binutils-riscv64-linux-gnu).

use crate::support::objdump::objdump;
use crate::support::random::Random;
use riscv::names::{X_NAMES, csr_name};
use riscv::{Insn, Opcode, decode, disassemble, encodings};

/// Whether our text for `raw` is right, given objdump's.
fn agrees(raw: u32, ours: &str, theirs: &str) -> bool {
    let insn = decode(raw);
    match insn.op {
        // Newer than the objdump of the day.
        Opcode::CzeroEqz | Opcode::CzeroNez => true,
        // Known there only if the extension is asked for.
        Opcode::SinvalVma | Opcode::SfenceWInval | Opcode::SfenceInvalIr
            if theirs.starts_with(".4byte") =>
        {
            true
        }
        // The manual: reserved fields of fences are to be ignored. They are unknown there.
        Opcode::Fence | Opcode::FenceTso | Opcode::FenceI if theirs.starts_with(".4byte") => true,
        // Exact conversions have a rounding mode field all the same; there only with 0.
        Opcode::FcvtDS | Opcode::FcvtDW | Opcode::FcvtDWu if theirs.starts_with(".4byte") => true,
        // Reserved rounding modes and the like are only an operand there.
        Opcode::Illegal if theirs.ends_with("unknown") => true,
        // Reserved by the manual: a stack adjustment by 0.
        Opcode::Illegal if insn.raw == 0x6101 => true,
        // Of extensions that we do not have: `uret`, and those of the hypervisor.
        Opcode::Illegal if insn.raw & 0xfff == 0x073 => true,
        // Compressed HINTs are printed in many ways there; here they must be legal.
        op if theirs.starts_with("c.") => op != Opcode::Illegal,
        _ => ours == theirs || ours == spelled_in_full(&insn, ours, theirs),
    }
}

/// Binutils 2.39 and 2.40, unlike those before and after, print instructions with an immediate
/// under the alias that the assembler accepts: `and a0,a0,1` for `andi a0,a0,1`.
///
/// And it knows more CSRs (of the hypervisor, of vectors, of RV32) by name.
fn spelled_in_full(insn: &Insn, ours: &str, theirs: &str) -> String {
    let full = ours.split(' ').next().unwrap_or_default();
    let alias = match full.strip_suffix("iw") {
        Some(stem) => format!("{stem}w"),
        None => full.strip_suffix('i').unwrap_or(full).to_owned(),
    };
    let theirs = match theirs.split_once(' ') {
        Some((name, operands)) if name == alias => format!("{full} {operands}"),
        _ => theirs.to_owned(),
    };
    if !is_csr_access(insn.op) || csr_name(insn.imm as u16).is_some() {
        return theirs;
    }
    let number = format!("0x{:x}", insn.imm);
    let is_csr = |operand: &&str| {
        !X_NAMES.contains(operand) && !operand.starts_with(|first: char| first.is_ascii_digit())
    };
    match theirs.split([' ', ',']).skip(1).find(is_csr) {
        Some(name) => theirs.replace(name, &number),
        None => theirs,
    }
}

fn is_csr_access(op: Opcode) -> bool {
    (Opcode::Csrrw as u8..=Opcode::Csrrci as u8).contains(&(op as u8))
}

/// Compares the text of every encoding, which covers legality: what is unknown is data.
fn compare(encodings: &[u32]) {
    let theirs = objdump(encodings);
    assert_eq!(theirs.len(), encodings.len());
    let mut differences = Vec::new();
    for (&raw, their_line) in encodings.iter().zip(&theirs) {
        let ours = disassemble(&decode(raw), their_line.pc);
        if !agrees(raw, &ours, &their_line.text) {
            differences.push(format!("{raw:08x}: {ours:30} objdump: {}", their_line.text));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        encodings.len(),
        differences[..differences.len().min(60)].join("\n")
    );
}

/// Encodings of more than 32 bits: there objdump takes more bytes than a slot has.
fn is_longer(raw: u32) -> bool {
    raw & 0x1f == 0x1f
}

#[test]
fn every_compressed_encoding_agrees() {
    let all: Vec<u32> = (0..=0xffff).filter(|low| low & 3 != 3).collect();
    compare(&all);
}

#[test]
fn random_words_agree() {
    let mut random = Random::new(1);
    let words: Vec<u32> = (0..60_000)
        .map(|_| random.next() as u32 | 3)
        .filter(|raw| !is_longer(*raw))
        .collect();
    compare(&words);
}

#[test]
fn random_operands_of_every_instruction_agree() {
    let mut random = Random::new(2);
    let mut words = Vec::new();
    for pattern in encodings() {
        for _ in 0..150 {
            words.push(pattern.value | random.operand_bits() & !pattern.mask);
        }
        // One fixed bit flipped: a neighbour in the encoding space, often a reserved one.
        for bit in (2..32).filter(|bit| pattern.mask >> bit & 1 == 1) {
            words.push((pattern.value | random.next() as u32 & !pattern.mask) ^ 1 << bit);
        }
    }
    words.retain(|raw| !is_longer(*raw));
    compare(&words);
}

#[test]
fn longer_encodings_are_illegal() {
    let mut random = Random::new(3);
    for _ in 0..10_000 {
        assert_eq!(decode(random.next() as u32 | 0x1f).op, Opcode::Illegal);
    }
}
