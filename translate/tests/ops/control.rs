//! Ways out of a block: exits, polls, traps, faults, and what is sunk into them.

use std::sync::atomic::Ordering;

use translate::interp::BlockEnd;
use translate::ops::{Addr, AluOp, Cond, Size, SunkRange, Trap, Width};
use translate::{Access, Block, Cause, Fault, Op, Reg};

use crate::world::{BASE, LEN, World, block, x};

const END: u64 = BASE + LEN as u64;

fn insn(pc: u64) -> Op {
    Op::Insn { pc, len: 4 }
}

fn add_one(r: Reg) -> Op {
    Op::AluImm {
        op: AluOp::Add,
        w: Width::W64,
        rd: r,
        a: r,
        imm: 1,
    }
}

fn branch_eq(a: Reg, b: Reg, exit: u16) -> Op {
    Op::Branch {
        cond: Cond::Eq,
        w: Width::W64,
        a,
        b,
        exit,
    }
}

/// Two ops in `sunk_ops`: x5 += 1 and x6 += 1.
fn with_sunk(mut block: Block) -> Block {
    block.sunk_ops = vec![add_one(x(5)), add_one(x(6))];
    block
}

const SECOND_SUNK: SunkRange = SunkRange { start: 1, len: 1 };
const BOTH_SUNK: SunkRange = SunkRange { start: 0, len: 2 };

#[test]
fn a_branch_leaves_only_if_its_condition_holds() {
    let ops = [
        insn(0x1000),
        branch_eq(x(1), x(2), 0),
        insn(0x1004),
        add_one(x(3)),
        insn(0x1008),
        Op::BranchImm {
            cond: Cond::Ltu,
            w: Width::W64,
            a: x(3),
            imm: -1,
            exit: 1,
        },
        Op::Jump { exit: 2 },
    ];
    let block = block(&ops, 3);
    let run = |x2, x3| {
        let mut world = World::new();
        world.state.x[2] = x2;
        world.state.x[3] = x3;
        assert_eq!(world.run_block(&block), BlockEnd::Next);
        (world.state.pc, world.state.x[3])
    };
    assert_eq!(run(0, 7), (0x2000, 7));
    assert_eq!(run(1, 7), (0x2100, 8));
    // The immediate of an unsigned comparison is sign-extended first.
    assert_eq!(run(1, u64::MAX - 1), (0x2200, u64::MAX));
}

#[test]
fn ops_sunk_into_an_exit_run_on_that_exit_only() {
    let mut block = with_sunk(block(&[branch_eq(x(1), x(2), 0), Op::Jump { exit: 1 }], 2));
    block.exits[0].sunk = SECOND_SUNK;
    block.exits[1].sunk = BOTH_SUNK;

    let mut world = World::new();
    world.run_block(&block);
    assert_eq!(world.state.x[5..7], [0, 1]);
    world.state.x[2] = 1;
    world.run_block(&block);
    assert_eq!(world.state.x[5..7], [1, 2]);
}

#[test]
fn a_pending_request_is_seen_only_where_there_is_a_poll() {
    let jump = block(&[Op::Jump { exit: 0 }], 1);
    let mut polling_jump = with_sunk(jump.clone());
    polling_jump.exits[0].poll = true;
    polling_jump.exits[0].sunk = BOTH_SUNK;
    let poll = block(
        &[add_one(x(3)), Op::Poll { pc: 0x1234 }, Op::Jump { exit: 0 }],
        1,
    );
    let reg = block(
        &[Op::JumpReg {
            rd: x(1),
            a: x(1),
            disp: 0x7ff,
            link: 0x1004,
        }],
        0,
    );

    let run = |block: &Block, request| {
        let mut world = World::new();
        world.state.x[1] = 0x5000;
        world.state.request.store(request, Ordering::Relaxed);
        let end = world.run_block(block);
        (end, world.state.pc, world.state)
    };
    for (request, seen) in [
        (0, BlockEnd::Next),
        (1, BlockEnd::Request),
        (8, BlockEnd::Request),
    ] {
        let (end, pc, _) = run(&jump, request);
        assert_eq!((end, pc), (BlockEnd::Next, 0x2000));
        let (end, pc, state) = run(&polling_jump, request);
        assert_eq!((end, pc, state.x[5], state.x[6]), (seen, 0x2000, 1, 1));
        let (end, pc, state) = run(&poll, request);
        assert_eq!((end, state.x[3]), (seen, 1));
        assert_eq!(pc, if request == 0 { 0x2000 } else { 0x1234 });
        // The target is read before the link is written, and its lowest bit dropped.
        let (end, pc, state) = run(&reg, request);
        assert_eq!((end, pc, state.x[1]), (seen, 0x57fe, 0x1004));
    }
}

#[test]
fn a_trap_names_its_instruction() {
    let ops = [
        insn(0x1000),
        add_one(x(3)),
        insn(0x1004),
        Op::Trap(Trap::Ecall),
    ];
    let mut world = World::new();
    assert_eq!(
        world.run_block(&block(&ops, 0)),
        BlockEnd::Trap(Trap::Ecall)
    );
    assert_eq!((world.state.pc, world.state.x[3]), (0x1004, 1));
    // A block of which nothing could be fetched.
    assert_eq!(
        world.run_block(&block(&[Op::Trap(Trap::Fetch)], 0)),
        BlockEnd::Trap(Trap::Fetch)
    );
    assert_eq!(world.state.pc, 0x1000);
}

#[test]
fn a_fault_is_precise_and_runs_what_was_sunk_past_it() {
    let load = Op::Load {
        rd: x(3),
        addr: Addr::reg(x(1), 0),
        size: Size::B8,
        signed: false,
    };
    let ops = [
        insn(0x1000),
        add_one(x(4)),
        insn(0x1002),
        Op::Sunk(BOTH_SUNK),
        load,
        insn(0x1006),
        load,
        Op::Jump { exit: 0 },
    ];
    let first_faults = with_sunk(block(&ops, 1));
    let mut world = World::new();
    world.state.x[1] = END;
    let fault = Fault {
        addr: END,
        access: Access::Load,
        cause: Cause::Page,
    };
    assert_eq!(world.run_block(&first_faults), BlockEnd::Fault(fault));
    assert_eq!(world.state.pc, 0x1002);
    assert_eq!(world.state.x[3..7], [0, 1, 1, 1]);

    // The declaration reaches one op far: the second load's fault runs nothing.
    let mut world = World::new();
    world.state.x[1] = BASE;
    let ops = [
        Op::Sunk(BOTH_SUNK),
        load,
        insn(0x1006),
        Op::CboTouch { addr: x(3) },
    ];
    let second_faults = with_sunk(block(&ops, 0));
    assert!(matches!(
        world.run_block(&second_faults),
        BlockEnd::Fault(_)
    ));
    assert_eq!((world.state.pc, world.state.x[5]), (0x1006, 0));
}

#[test]
fn marks_do_nothing() {
    let ops = [
        Op::Point {
            pc: 0x1000,
            n_insns: 1,
        },
        insn(0x1000),
        Op::Sunk(BOTH_SUNK),
        Op::Fence,
        Op::Jump { exit: 0 },
    ];
    let block = with_sunk(block(&ops, 1));
    let mut world = World::new();
    assert_eq!(world.run_block(&block), BlockEnd::Next);
    assert!(world.state.x.iter().all(|&x| x == 0));
}
