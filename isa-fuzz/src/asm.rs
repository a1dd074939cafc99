//! An assembler for the code that surrounds the random instructions.

use std::sync::OnceLock;

use riscv::{Encoding, Opcode};

/// One encoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The encoding.
    pub bits: u32,
    /// 2 or 4 bytes.
    pub len: u8,
}

impl Word {
    /// An instruction from its encoding, whose length is in its low bits.
    pub fn new(bits: u32) -> Word {
        Word {
            bits,
            len: riscv::insn_len(bits as u16) as u8,
        }
    }

    /// Appends the instruction to `code`.
    pub fn put(self, code: &mut Vec<u8>) {
        code.extend_from_slice(&self.bits.to_le_bytes()[..usize::from(self.len)]);
    }
}

/// Every encoding of the decoder's table.
pub fn all_encodings() -> &'static [Encoding] {
    static ALL: OnceLock<Vec<Encoding>> = OnceLock::new();
    ALL.get_or_init(|| riscv::encodings().collect())
}

/// The fixed bits of the 32-bit encoding of `op`.
fn fixed(op: Opcode) -> u32 {
    // Rows of 32-bit instructions come first, in the order of the opcodes.
    all_encodings()[op as usize - 1].value
}

fn rd(r: u8) -> u32 {
    u32::from(r) << 7
}

fn rs1(r: u8) -> u32 {
    u32::from(r) << 15
}

fn rs2(r: u8) -> u32 {
    u32::from(r) << 20
}

/// Checks that an immediate fits a signed field of `bits` bits.
fn check(imm: i32, bits: u32) {
    let reach = 1 << (bits - 1);
    assert!(
        (-reach..reach).contains(&imm),
        "immediate {imm} in {bits} bits"
    );
}

/// Register–register.
pub fn r(op: Opcode, d: u8, a: u8, b: u8) -> Word {
    Word::new(fixed(op) | rd(d) | rs1(a) | rs2(b))
}

/// Fused multiply-add, dynamic rounding unless `rm` says otherwise.
pub fn r4(op: Opcode, d: u8, [a, b, c]: [u8; 3], rm: u8) -> Word {
    let rs3 = u32::from(c) << 27;
    Word::new(fixed(op) | rd(d) | rs1(a) | rs2(b) | rs3 | u32::from(rm) << 12)
}

/// Accesses to a CSR; the immediate forms take their immediate as `a`.
pub fn csr(op: Opcode, d: u8, a: u8, number: i32) -> Word {
    assert!((0..4096).contains(&number), "there is no CSR {number}");
    Word::new(fixed(op) | rd(d) | rs1(a) | (number as u32) << 20)
}

/// Register–immediate, loads, `jalr`, shifts by an immediate.
pub fn i(op: Opcode, d: u8, a: u8, imm: i32) -> Word {
    check(imm, 12);
    Word::new(fixed(op) | rd(d) | rs1(a) | (imm as u32) << 20)
}

/// Stores.
pub fn s(op: Opcode, base: u8, src: u8, imm: i32) -> Word {
    check(imm, 12);
    let imm = imm as u32;
    Word::new(fixed(op) | rs1(base) | rs2(src) | (imm & 31) << 7 | imm >> 5 << 25)
}

/// Branches.
pub fn b(op: Opcode, x: u8, y: u8, offset: i32) -> Word {
    check(offset, 13);
    let o = offset as u32;
    let imm = (o >> 12 & 1) << 31 | (o >> 5 & 63) << 25 | (o >> 1 & 15) << 8 | (o >> 11 & 1) << 7;
    Word::new(fixed(op) | rs1(x) | rs2(y) | imm)
}

/// `lui` and `auipc`; the low 12 bits of `imm` do not count.
pub fn u(op: Opcode, d: u8, imm: i32) -> Word {
    Word::new(fixed(op) | rd(d) | imm as u32 & !0xfff)
}

/// `jal`.
pub fn jal(d: u8, offset: i32) -> Word {
    check(offset, 21);
    let o = offset as u32;
    let imm =
        (o >> 20 & 1) << 31 | (o >> 1 & 0x3ff) << 21 | (o >> 11 & 1) << 20 | (o >> 12 & 0xff) << 12;
    Word::new(fixed(Opcode::Jal) | rd(d) | imm)
}

/// `c.beqz` and `c.bnez` on x8–x15.
pub fn c_branch(op: Opcode, x: u8, offset: i32) -> Word {
    check(offset, 9);
    let o = offset as u32;
    let funct3 = if op == Opcode::Beq { 0xc001 } else { 0xe001 };
    let imm = (o >> 8 & 1) << 12
        | (o >> 3 & 3) << 10
        | (o >> 6 & 3) << 5
        | (o >> 1 & 3) << 3
        | (o >> 5 & 1) << 2;
    Word::new(funct3 | (u32::from(x) - 8) << 7 | imm)
}

/// `c.j`.
pub fn c_j(offset: i32) -> Word {
    check(offset, 12);
    let o = offset as u32;
    let imm = (o >> 11 & 1) << 12
        | (o >> 4 & 1) << 11
        | (o >> 8 & 3) << 9
        | (o >> 10 & 1) << 8
        | (o >> 6 & 1) << 7
        | (o >> 7 & 1) << 6
        | (o >> 1 & 7) << 3
        | (o >> 5 & 1) << 2;
    Word::new(0xa001 | imm)
}

/// `c.jr` (`link` false) and `c.jalr`.
pub fn c_jr(x: u8, link: bool) -> Word {
    Word::new(0x8002 | u32::from(link) << 12 | u32::from(x) << 7)
}

/// `d = value`, in one or two instructions.
pub fn li(d: u8, value: i32) -> Vec<Word> {
    if (-2048..2048).contains(&value) {
        return vec![i(Opcode::Addi, d, 0, value)];
    }
    let upper = value.wrapping_add(0x800) & !0xfff;
    let low = value.wrapping_sub(upper);
    vec![u(Opcode::Lui, d, upper), i(Opcode::Addiw, d, d, low)]
}

/// `ecall`.
pub fn ecall() -> Word {
    Word::new(fixed(Opcode::Ecall))
}

#[cfg(test)]
mod tests {
    use super::*;
    use riscv::{decode, disassemble};

    fn text(word: Word) -> String {
        disassemble(&decode(word.bits), 0x1000)
    }

    #[test]
    fn assembles_what_it_says() {
        assert_eq!(text(r(Opcode::Add, 10, 11, 12)), "add a0,a1,a2");
        assert_eq!(text(i(Opcode::Addi, 2, 2, -16)), "addi sp,sp,-16");
        assert_eq!(text(csr(Opcode::Csrrs, 10, 0, 3)), "frcsr a0");
        assert_eq!(text(s(Opcode::Sd, 2, 8, -2048)), "sd s0,-2048(sp)");
        assert_eq!(text(b(Opcode::Bne, 8, 9, -4096)), "bne s0,s1,0x0");
        assert_eq!(text(b(Opcode::Bne, 8, 9, 4094)), "bne s0,s1,0x1ffe");
        assert_eq!(text(jal(1, -0x1000)), "jal 0x0");
        assert_eq!(text(jal(0, 0xf_f7fe)), "j 0x1007fe");
        assert_eq!(text(c_j(-2048)), "j 0x800");
        assert_eq!(text(c_j(0x55e)), "j 0x155e");
        assert_eq!(text(c_branch(Opcode::Beq, 8, -256)), "beqz s0,0xf00");
        assert_eq!(text(c_branch(Opcode::Bne, 15, 0xaa)), "bnez a5,0x10aa");
        assert_eq!(text(c_jr(1, false)), "ret");
        assert_eq!(text(c_jr(10, true)), "jalr a0");
        assert_eq!(
            text(r4(Opcode::FmaddD, 1, [2, 3, 4], 1)),
            "fmadd.d ft1,ft2,ft3,ft4,rtz"
        );
    }

    #[test]
    fn li_reaches_every_value() {
        for value in [0, 1, -1, 2047, -2048, 2048, i32::MAX, i32::MIN, 0x1234_5fff] {
            let mut x = 0i64;
            for word in li(5, value) {
                let insn = decode(word.bits);
                x = match insn.op {
                    Opcode::Lui => insn.imm.into(),
                    Opcode::Addi => insn.imm.into(),
                    _ => (x as i32).wrapping_add(insn.imm).into(),
                };
            }
            assert_eq!(x, i64::from(value));
        }
    }
}
