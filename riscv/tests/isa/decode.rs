//! Directed tests of the decoder: fields, reserved encodings, HINTs. (That every encoding means
//! what it should, operands included, is checked against objdump.)

use crate::support::random::Random;
use riscv::{Insn, Opcode, decode, encodings, insn_len};

/// An instruction with no operands yet.
fn insn(op: Opcode, raw: u32) -> Insn {
    let len = insn_len(raw as u16) as u8;
    Insn {
        op,
        len,
        rd: 0,
        rs1: 0,
        rs2: 0,
        rs3: 0,
        rm: 0,
        imm: 0,
        raw,
    }
}

#[test]
fn every_encoding_decodes_to_its_opcode_or_a_special_case_of_it() {
    let mut random = Random::new(1);
    for encoding in encodings() {
        let mut hits = 0;
        for _ in 0..200 {
            let raw = encoding.value | random.next() as u32 & !encoding.mask;
            let insn = decode(raw);
            assert_eq!(insn.len, encoding.len);
            hits += usize::from(insn.op == encoding.op);
        }
        assert!(hits > 100, "{encoding:x?}: only {hits} of 200");
    }
}

#[test]
fn every_opcode_has_an_encoding() {
    for op in 1..=Opcode::SfenceInvalIr as u8 {
        assert!(encodings().any(|e| e.op as u8 == op), "opcode {op}");
    }
}

#[test]
fn fields_that_an_instruction_lacks_are_zero() {
    // sd a1, -8(sp): no rd, though bits 7–11 are set
    assert_eq!(
        decode(0xfeb1_3c23),
        Insn {
            rs1: 2,
            rs2: 11,
            imm: -8,
            ..insn(Opcode::Sd, 0xfeb1_3c23)
        }
    );
    // beq a0, a1, -2
    assert_eq!(
        decode(0xfeb5_0fe3),
        Insn {
            rs1: 10,
            rs2: 11,
            imm: -2,
            ..insn(Opcode::Beq, 0xfeb5_0fe3)
        }
    );
    // fence rw, w with rd, rs1 and fm set
    assert_eq!(
        decode(0x7315_858f),
        Insn {
            imm: 0x31,
            ..insn(Opcode::Fence, 0x7315_858f)
        }
    );
    // srai a0, a1, 63: funct6 is not part of the shift amount
    assert_eq!(
        decode(0x43f5_d513),
        Insn {
            rd: 10,
            rs1: 11,
            imm: 63,
            ..insn(Opcode::Srai, 0x43f5_d513)
        }
    );
}

#[test]
fn wide_immediates_are_shifted_and_sign_extended() {
    assert_eq!(decode(0x8000_0537).imm, i32::MIN);
    assert_eq!(decode(0xffff_f517).imm, -4096);
    // jal with the least and the greatest offset
    assert_eq!(decode(0x8000_00ef).imm, -0x10_0000);
    assert_eq!(decode(0x7fff_f0ef).imm, 0xf_fffe);
    // c.lui a0, 0xfffff
    assert_eq!(decode(0x757d).imm, -4096);
}

#[test]
fn atomics_carry_aq_and_rl() {
    // amoadd.w.aq, .rl, .aqrl a0, a1, (a2); lr.d.aq a0, (a1)
    assert_eq!(decode(0x04b6_252f).rm, 2);
    assert_eq!(decode(0x02b6_252f).rm, 1);
    assert_eq!(decode(0x06b6_252f).rm, 3);
    assert_eq!(
        decode(0x1405_b52f),
        Insn {
            rd: 10,
            rs1: 11,
            rm: 2,
            ..insn(Opcode::LrD, 0x1405_b52f)
        }
    );
}

#[test]
fn csr_numbers_are_unsigned_and_immediates_sit_in_rs1() {
    // csrrwi a0, 0xfff, 31
    assert_eq!(
        decode(0xffff_d573),
        Insn {
            rd: 10,
            rs1: 31,
            imm: 0xfff,
            ..insn(Opcode::Csrrwi, 0xffff_d573)
        }
    );
}

#[test]
fn the_upper_half_is_ignored_if_the_lower_is_compressed() {
    for upper in [0, 0xffff, 0x1234] {
        assert_eq!(decode(upper << 16 | 0x8082), decode(0x8082));
    }
    assert_eq!(decode(0xffff_8082).raw, 0x8082);
}

#[test]
fn reserved_encodings_are_illegal() {
    #[rustfmt::skip]
    let reserved = [
        0x0000, // all zero
        0xffff_ffff, // all one
        0x0004, // c.addi4spn with immediate 0
        0x2001, // c.addiw to x0
        0x6101, // c.addi16sp 0
        0x6501, // c.lui 0
        0x4002, // c.lwsp to x0
        0x6002, // c.ldsp to x0
        0x8002, // c.jr x0
        0x8000, // quadrant 0, funct3 4
        0x9c41, // quadrant 1, 100 1 11, funct2 2
        0x9c61, // and 3
        0x00c5_d553, // fadd.s with rounding mode 5
        0x00c5_e553, // and 6
        0xd205_5553, // fcvt.d.w with rounding mode 5
        0x68c5_d543, // fmadd.s with rounding mode 5
        0x04c5_7553, // fadd in half precision
        0x06c5_7553, // fadd in quad precision
        0x0205_951b, // slliw by 32
        0x0205_d51b, // srliw by 32
        0x5825_7553, // fsqrt.s with rs2 = 2
        0x1015_252f, // lr.w with rs2 = 1
        0x1005_152f, // atomic of 16 bits
        0x0005_4573, // SYSTEM, funct3 4
        0x0030_200f, // an unknown cache operation
        0x0010_20ff, // cbo.clean with rd = 1
        0x0000_7003, // LOAD, funct3 7
        0x0000_4023, // STORE, funct3 4
        0x0000_2063, // BRANCH, funct3 2
        0x0000_1067, // JALR, funct3 1
        0x0020_0073, // ecall with rs2 = 2
        0x0000_00f3, // ecall with rd = 1
        0x0000_000b, // custom-0
        0x0000_006b, // reserved major opcode
        0x0000_0077,
        0x0000_0057, // vectors
    ];
    for raw in reserved {
        assert_eq!(decode(raw).op, Opcode::Illegal, "{raw:#x}");
        assert_eq!(decode(raw), insn(Opcode::Illegal, raw));
    }
}

#[test]
fn hints_are_ordinary_instructions() {
    for (raw, op) in [
        (0x0005, Opcode::Addi),      // c.nop 1
        (0x4005, Opcode::Addi),      // c.li x0, 1
        (0x6005, Opcode::Lui),       // c.lui x0, 1
        (0x0502, Opcode::Slli),      // c.slli a0, 0
        (0x0006, Opcode::Slli),      // c.slli x0, 1
        (0x8101, Opcode::Srli),      // c.srli a0, 0
        (0x802a, Opcode::Add),       // c.mv x0, a0
        (0x900a, Opcode::Add),       // c.add x0, sp (ntl.p1)
        (0x0000_2013, Opcode::Slti), // slti x0, x0, 0
        (0x0000_6013, Opcode::Ori),  // prefetch.i
        (0x0000_0037, Opcode::Lui),  // lui x0
        (0x0000_0033, Opcode::Add),  // add x0, x0, x0
    ] {
        assert_eq!(decode(raw).op, op, "{raw:#x}");
    }
}

#[test]
fn fences_ignore_reserved_fields_and_pause_is_exact() {
    for (raw, op) in [
        (0x0ff0_000f, Opcode::Fence),
        (0xf005_850f, Opcode::Fence), // reserved fm, empty sets, rd and rs1
        (0x8330_000f, Opcode::FenceTso),
        (0x8310_000f, Opcode::Fence), // fm of fence.tso with other sets
        (0x0100_000f, Opcode::Pause),
        (0x0100_008f, Opcode::Fence), // pause with rd
        (0x0200_000f, Opcode::Fence),
        (0x0000_100f, Opcode::FenceI),
        (0x7ff5_958f, Opcode::FenceI),
    ] {
        assert_eq!(decode(raw).op, op, "{raw:#x}");
    }
}

#[test]
fn lengths() {
    assert_eq!(insn_len(0x0001), 2);
    assert_eq!(insn_len(0xfffe), 2);
    assert_eq!(insn_len(0x0003), 4);
    assert_eq!(insn_len(0xffff), 4);
}

#[test]
fn no_word_makes_the_decoder_or_the_disassembler_panic() {
    let mut random = Random::new(4);
    for low in 0..=0xffff {
        for raw in [low, low | (random.next() as u32) << 16] {
            let insn = decode(raw);
            assert_eq!(usize::from(insn.len), insn_len(raw as u16));
            assert!(!riscv::disassemble(&insn, u64::MAX - 1).is_empty());
        }
    }
}
