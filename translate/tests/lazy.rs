//! What lazy evaluation makes of the sequences that compilers write. That it keeps their meaning is
//! the business of the differential tests; here it is that it does something.

use translate::ops::{Addr, AluOp, Exit, Op, Reg, Size, SunkRange, Trap, UnOp, Width};
use translate::{Block, passes};

const A: Reg = Reg(10);
const B: Reg = Reg(11);
const T: Reg = Reg(5);
const U: Reg = Reg(6);

fn imm(op: AluOp, rd: Reg, a: Reg, imm: i32) -> Op {
    Op::AluImm {
        op,
        w: Width::W64,
        rd,
        a,
        imm,
    }
}

fn alu(op: AluOp, rd: Reg, a: Reg, b: Reg) -> Op {
    Op::Alu {
        op,
        w: Width::W64,
        rd,
        a,
        b,
    }
}

fn load(rd: Reg, base: Reg, disp: i32) -> Op {
    Op::Load {
        rd,
        addr: Addr::reg(base, disp),
        size: Size::B8,
        signed: false,
    }
}

fn konst(rd: Reg, value: i64) -> Op {
    Op::Const { rd, value }
}

/// The block after the pass, with a trap at its end.
fn optimized(ops: &[Op]) -> Block {
    let mut block = Block {
        ops: ops.to_vec(),
        ..Block::default()
    };
    block.ops.push(Op::Trap(Trap::Ecall));
    passes::optimize(&mut block);
    assert_eq!(block.ops.pop(), Some(Op::Trap(Trap::Ecall)));
    block
}

fn ops(input: &[Op]) -> Vec<Op> {
    optimized(input).ops
}

#[test]
fn a_rotation_is_one_op_and_its_halves_disappear() {
    let got = ops(&[
        imm(AluOp::Srl, T, A, 7),
        imm(AluOp::Sll, A, A, 57),
        alu(AluOp::Or, A, A, T),
        konst(T, 1),
    ]);
    assert_eq!(got, [imm(AluOp::Ror, A, A, 7), konst(T, 1)]);
}

#[test]
fn a_half_of_a_rotation_that_is_used_again_is_computed() {
    let got = ops(&[
        imm(AluOp::Srl, T, A, 7),
        imm(AluOp::Sll, A, A, 57),
        alu(AluOp::Or, A, A, T),
        alu(AluOp::Xor, B, B, T),
        konst(T, 1),
    ]);
    assert!(got.contains(&imm(AluOp::Srl, T, A, 7)), "{got:?}");
}

#[test]
fn parts_of_different_registers_are_no_rotation() {
    let input = [
        imm(AluOp::Srl, T, A, 7),
        imm(AluOp::Sll, U, B, 57),
        alu(AluOp::Or, A, U, T),
    ];
    assert_eq!(ops(&input), input);
}

#[test]
fn a_scaled_index_goes_into_the_address() {
    let got = ops(&[
        imm(AluOp::Sll, T, T, 3),
        alu(AluOp::Add, T, A, T),
        load(T, T, 16),
    ]);
    let addr = Addr {
        base: A,
        index: T,
        scale: 3,
        disp: 16,
    };
    let access = Op::Load {
        rd: T,
        addr,
        size: Size::B8,
        signed: false,
    };
    assert_eq!(got.last(), Some(&access));
    // The address that the guest computed is there if the access faults.
    assert!(
        matches!(got[0], Op::Sunk(SunkRange { len: 1, .. })),
        "{got:?}"
    );
    assert_eq!(got.len(), 2);
}

#[test]
fn an_address_that_lives_on_is_computed() {
    let got = ops(&[
        imm(AluOp::Sll, T, T, 3),
        alu(AluOp::Add, T, A, T),
        load(B, T, 16),
    ]);
    let sum = Op::ShAdd {
        rd: T,
        a: T,
        b: A,
        shift: 3,
        uw: false,
    };
    assert_eq!(got, [sum, load(B, T, 16)]);
}

#[test]
fn two_shifts_are_an_extension() {
    for (right, bits, op) in [
        (AluOp::Srl, 32, UnOp::ZextW),
        (AluOp::Srl, 48, UnOp::ZextH),
        (AluOp::Sra, 48, UnOp::SextH),
        (AluOp::Sra, 56, UnOp::SextB),
    ] {
        let got = ops(&[imm(AluOp::Sll, T, A, bits), imm(right, T, T, bits)]);
        assert_eq!(
            got,
            [Op::Un {
                op,
                w: Width::W64,
                rd: T,
                a: A
            }]
        );
    }
    let got = ops(&[imm(AluOp::Sll, T, A, 32), imm(AluOp::Srl, T, T, 29)]);
    let scaled = Op::ShAdd {
        rd: T,
        a: A,
        b: Reg::ZERO,
        shift: 3,
        uw: true,
    };
    assert_eq!(got, [scaled]);
}

#[test]
fn a_constant_becomes_an_immediate() {
    let got = ops(&[konst(T, 100), alu(AluOp::Sub, A, A, T), konst(T, 5)]);
    assert_eq!(got, [imm(AluOp::Add, A, A, -100), konst(T, 5)]);
}

#[test]
fn a_constant_too_large_for_an_immediate_is_not_bent() {
    let input = [konst(T, 1 << 40), alu(AluOp::Add, A, A, T), konst(T, 5)];
    assert_eq!(ops(&input), input);
}

#[test]
fn what_a_side_exit_needs_is_computed_on_its_way_out_only() {
    let exit = Exit {
        target: 0x2000,
        sunk: SunkRange::EMPTY,
        poll: false,
    };
    let mut block = Block {
        ops: vec![
            konst(T, 100),
            Op::Branch {
                cond: translate::ops::Cond::Eq,
                w: Width::W64,
                a: A,
                b: B,
                exit: 0,
            },
            konst(T, 5),
            Op::Trap(Trap::Ecall),
        ],
        exits: vec![exit],
        ..Block::default()
    };
    passes::optimize(&mut block);
    assert!(!block.ops.contains(&konst(T, 100)));
    assert_eq!(block.sunk_ops[block.exits[0].sunk.range()], [konst(T, 100)]);
}

#[test]
fn a_polling_branch_finds_every_register_in_place() {
    let exit = Exit {
        target: 0x2000,
        sunk: SunkRange::EMPTY,
        poll: true,
    };
    let branch = Op::Branch {
        cond: translate::ops::Cond::Eq,
        w: Width::W64,
        a: A,
        b: B,
        exit: 0,
    };
    let mut block = Block {
        ops: vec![konst(T, 100), branch, konst(T, 5), Op::Trap(Trap::Ecall)],
        exits: vec![exit],
        ..Block::default()
    };
    passes::optimize(&mut block);
    assert_eq!(block.ops[..2], [konst(T, 100), branch]);
    assert_eq!(block.exits[0].sunk.len, 0);
}

#[test]
fn a_store_sees_the_value_and_the_address_of_the_same_register() {
    let got = ops(&[
        alu(AluOp::Add, T, A, B),
        Op::Store {
            rs: T,
            addr: Addr::reg(T, 0),
            size: Size::B8,
        },
        konst(T, 1),
    ]);
    assert_eq!(got[0], alu(AluOp::Add, T, A, B));
}
