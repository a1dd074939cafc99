//! Guest code by hand: an assembler of the instructions that these tests need.

#![allow(dead_code, reason = "a vocabulary, not all of which each test uses")]

pub const ZERO: u32 = 0;
pub const RA: u32 = 1;
pub const T0: u32 = 5;
pub const T1: u32 = 6;
pub const T2: u32 = 7;
pub const S0: u32 = 8;
pub const S1: u32 = 9;
pub const A0: u32 = 10;
pub const A1: u32 = 11;
pub const A2: u32 = 12;
pub const A3: u32 = 13;
pub const A4: u32 = 14;
pub const A5: u32 = 15;
pub const S5: u32 = 21;

pub const ECALL: u32 = 0x73;
pub const EBREAK: u32 = 0x0010_0073;
pub const FENCE_I: u32 = 0x100f;
pub const PAUSE: u32 = 0x0100_000f;
pub const RET: u32 = jalr(ZERO, RA, 0);
pub const NOP: u32 = addi(ZERO, ZERO, 0);
pub const ILLEGAL: u32 = 0xffff_ffff;

const fn i_type(opcode: u32, funct3: u32, rd: u32, rs1: u32, imm: i32) -> u32 {
    (imm as u32) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode
}

const fn r_type(funct7: u32, funct3: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x33
}

const fn s_type(funct3: u32, rs2: u32, rs1: u32, imm: i32) -> u32 {
    let imm = imm as u32;
    (imm >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (imm & 0x1f) << 7 | 0x23
}

const fn b_type(funct3: u32, rs1: u32, rs2: u32, offset: i32) -> u32 {
    let imm = offset as u32;
    (imm >> 12 & 1) << 31
        | (imm >> 5 & 0x3f) << 25
        | rs2 << 20
        | rs1 << 15
        | funct3 << 12
        | (imm >> 1 & 0xf) << 8
        | (imm >> 11 & 1) << 7
        | 0x63
}

pub const fn addi(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(0x13, 0, rd, rs1, imm)
}

pub const fn add(rd: u32, rs1: u32, rs2: u32) -> u32 {
    r_type(0, 0, rd, rs1, rs2)
}

pub const fn xor(rd: u32, rs1: u32, rs2: u32) -> u32 {
    r_type(0, 4, rd, rs1, rs2)
}

pub const fn mul(rd: u32, rs1: u32, rs2: u32) -> u32 {
    r_type(1, 0, rd, rs1, rs2)
}

pub const fn lui(rd: u32, value: u32) -> u32 {
    value & 0xffff_f000 | rd << 7 | 0x37
}

pub const fn lb(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(0x03, 0, rd, rs1, imm)
}

pub const fn lw(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(0x03, 2, rd, rs1, imm)
}

pub const fn ld(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(0x03, 3, rd, rs1, imm)
}

pub const fn sw(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s_type(2, rs2, rs1, imm)
}

pub const fn sd(rs2: u32, rs1: u32, imm: i32) -> u32 {
    s_type(3, rs2, rs1, imm)
}

pub const fn beq(rs1: u32, rs2: u32, offset: i32) -> u32 {
    b_type(0, rs1, rs2, offset)
}

pub const fn bne(rs1: u32, rs2: u32, offset: i32) -> u32 {
    b_type(1, rs1, rs2, offset)
}

pub const fn jal(rd: u32, offset: i32) -> u32 {
    let imm = offset as u32;
    (imm >> 20 & 1) << 31
        | (imm >> 1 & 0x3ff) << 21
        | (imm >> 11 & 1) << 20
        | (imm >> 12 & 0xff) << 12
        | rd << 7
        | 0x6f
}

pub const fn jalr(rd: u32, rs1: u32, imm: i32) -> u32 {
    i_type(0x67, 0, rd, rs1, imm)
}

pub const fn csrrw(rd: u32, csr: u32, rs1: u32) -> u32 {
    i_type(0x73, 1, rd, rs1, csr as i32)
}

pub const fn csrrs(rd: u32, csr: u32, rs1: u32) -> u32 {
    i_type(0x73, 2, rd, rs1, csr as i32)
}

const fn atomic(funct5: u32, funct3: u32, rd: u32, rs1: u32, rs2: u32) -> u32 {
    funct5 << 27 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x2f
}

pub const fn amoadd_d(rd: u32, rs2: u32, rs1: u32) -> u32 {
    atomic(0, 3, rd, rs1, rs2)
}

pub const fn lr_d(rd: u32, rs1: u32) -> u32 {
    atomic(2, 3, rd, rs1, 0)
}

pub const fn sc_d(rd: u32, rs2: u32, rs1: u32) -> u32 {
    atomic(3, 3, rd, rs1, rs2)
}

pub const fn slli(rd: u32, rs1: u32, shift: i32) -> u32 {
    i_type(0x13, 1, rd, rs1, shift)
}

pub const fn csrrwi(rd: u32, csr: u32, imm: u32) -> u32 {
    i_type(0x73, 5, rd, imm, csr as i32)
}

/// Floating-point instructions that are not fused.
pub const fn fp(funct7: u32, rd: u32, rm: u32, rs1: u32, rs2: u32) -> u32 {
    funct7 << 25 | rs2 << 20 | rs1 << 15 | rm << 12 | rd << 7 | 0x53
}

/// The dynamic rounding mode.
pub const DYN: u32 = 7;

pub const fn fadd_s(fd: u32, fs1: u32, fs2: u32) -> u32 {
    fp(0x00, fd, DYN, fs1, fs2)
}

pub const fn fadd_d(fd: u32, fs1: u32, fs2: u32) -> u32 {
    fp(0x01, fd, DYN, fs1, fs2)
}

pub const fn fmul_d(fd: u32, fs1: u32, fs2: u32) -> u32 {
    fp(0x09, fd, DYN, fs1, fs2)
}

pub const fn fdiv_d(fd: u32, fs1: u32, fs2: u32) -> u32 {
    fp(0x0d, fd, DYN, fs1, fs2)
}

pub const fn flt_d(rd: u32, fs1: u32, fs2: u32) -> u32 {
    fp(0x51, rd, 1, fs1, fs2)
}
