//! The shape of superblocks: what the front end follows, where it stops, and where it polls.

use translate::frontend::{Limits, translate};
use translate::ops::{Op, Trap};
use translate::{Block, GuestCode, Mode};

/// Guest code at 0x1000, nothing else.
struct Code(Vec<u8>);

const BASE: u64 = 0x1000;

impl GuestCode for Code {
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let Some(rest) = pc
            .checked_sub(BASE)
            .and_then(|at| self.0.get(at as usize..))
        else {
            return 0;
        };
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        n
    }
}

fn code(words: &[u32]) -> Code {
    Code(words.iter().flat_map(|w| w.to_le_bytes()).collect())
}

fn block_at(code: &Code, pc: u64, limits: &Limits) -> Block {
    let mut block = Block::default();
    translate(&mut block, pc, Mode::default(), code, limits);
    block
}

fn block(words: &[u32]) -> Block {
    block_at(&code(words), BASE, &Limits::default())
}

fn addi(rd: u32, rs: u32, imm: i32) -> u32 {
    (imm as u32) << 20 | rs << 15 | rd << 7 | 0x13
}

fn jal(rd: u32, offset: i32) -> u32 {
    let o = offset as u32;
    (o >> 20 & 1) << 31
        | (o >> 1 & 0x3ff) << 21
        | (o >> 11 & 1) << 20
        | (o >> 12 & 0xff) << 12
        | rd << 7
        | 0x6f
}

fn jalr(rd: u32, rs: u32) -> u32 {
    rs << 15 | rd << 7 | 0x67
}

fn bne(a: u32, b: u32, offset: i32) -> u32 {
    let o = offset as u32;
    (o >> 12 & 1) << 31
        | (o >> 5 & 0x3f) << 25
        | b << 20
        | a << 15
        | 1 << 12
        | (o >> 1 & 0xf) << 8
        | (o >> 11 & 1) << 7
        | 0x63
}

const RET: u32 = 1 << 15 | 0x67;
const ECALL: u32 = 0x73;

fn pcs(block: &Block) -> Vec<u64> {
    let insn = |op: &Op| match op {
        Op::Insn { pc, len } if *len != 0 => Some(*pc),
        _ => None,
    };
    block.ops.iter().filter_map(insn).collect()
}

#[test]
fn a_taken_branch_is_an_exit_and_the_block_goes_on_behind_it() {
    let b = block(&[bne(5, 6, 64), addi(5, 5, 1), ECALL]);
    assert_eq!(pcs(&b), [0x1000, 0x1004, 0x1008]);
    assert_eq!(b.exits.len(), 1);
    assert_eq!((b.exits[0].target, b.exits[0].poll), (0x1040, false));
    assert_eq!(b.ops.last(), Some(&Op::Trap(Trap::Ecall)));
}

#[test]
fn a_loop_is_closed_by_an_exit_that_polls() {
    let b = block(&[addi(5, 5, 1), bne(5, 6, -4), ECALL]);
    assert_eq!((b.exits[0].target, b.exits[0].poll), (0x1000, true));
}

#[test]
fn an_unconditional_loop_ends_at_its_own_code_and_polls() {
    let b = block(&[addi(5, 5, 1), jal(0, -4)]);
    assert_eq!(pcs(&b), [0x1000, 0x1004]);
    assert!(matches!(b.ops.last(), Some(Op::Jump { .. })));
    assert_eq!((b.exits[0].target, b.exits[0].poll), (0x1000, true));
}

#[test]
fn a_call_is_followed_and_its_return_folded() {
    // 1000: call 100c; 1004: addi; 1008: ecall; 100c: addi; 1010: ret
    let b = block(&[jal(1, 12), addi(5, 5, 1), ECALL, addi(6, 6, 1), RET]);
    assert_eq!(pcs(&b), [0x1000, 0x100c, 0x1010, 0x1004, 0x1008]);
    assert!(b.exits.is_empty());
    assert_eq!(b.ranges.len(), 3);
    assert!(!b.ops.iter().any(|op| matches!(op, Op::Poll { .. })));
}

#[test]
fn a_return_address_that_was_overwritten_is_not_folded() {
    let b = block(&[jal(1, 12), addi(5, 5, 1), ECALL, addi(1, 6, 0), RET]);
    assert!(matches!(b.ops.last(), Some(Op::JumpReg { .. })));
}

#[test]
fn a_backward_jump_that_is_followed_polls_at_its_target() {
    let c = code(&[addi(5, 5, 1), ECALL, addi(6, 6, 1), jal(0, -12)]);
    let b = block_at(&c, 0x1008, &Limits::default());
    assert_eq!(pcs(&b), [0x1008, 0x100c, 0x1000, 0x1004]);
    assert!(b.ops.contains(&Op::Poll { pc: 0x1000 }));
}

#[test]
fn every_guest_cycle_passes_a_poll() {
    // Two halves that jump to each other, entered at either: forward and backward.
    let c = code(&[addi(5, 5, 1), jal(0, 8), ECALL, addi(6, 6, 1), jal(0, -16)]);
    for entry in [0x1000, 0x100c] {
        let b = block_at(&c, entry, &Limits::default());
        let polls = b.ops.iter().any(|op| matches!(op, Op::Poll { .. }))
            || b.exits.iter().all(|exit| exit.poll);
        assert!(polls, "{b:?}");
    }
}

#[test]
fn plain_blocks_count_their_instructions() {
    let b = block(&[
        addi(5, 5, 1),
        bne(5, 6, 64),
        addi(5, 5, 1),
        addi(5, 5, 1),
        ECALL,
    ]);
    let points: Vec<_> = b
        .ops
        .iter()
        .filter_map(|op| match op {
            Op::Point { pc, n_insns } => Some((*pc, *n_insns)),
            _ => None,
        })
        .collect();
    assert_eq!(points, [(0x1000, 2), (0x1008, 3)]);
}

#[test]
fn the_limit_ends_a_block_with_an_exit_that_does_not_poll() {
    let limits = Limits {
        max_insns: 3,
        enough_insns: u32::MAX,
        superblocks: true,
        fold: true,
    };
    let b = block_at(&code(&[addi(5, 5, 1); 8]), BASE, &limits);
    assert_eq!(b.n_insns, 3);
    assert_eq!((b.exits[0].target, b.exits[0].poll), (0x100c, false));
}

#[test]
fn without_superblocks_a_branch_ends_the_block() {
    let limits = Limits {
        superblocks: false,
        fold: true,
        ..Limits::default()
    };
    let b = block_at(&code(&[bne(5, 6, 64), addi(5, 5, 1)]), BASE, &limits);
    assert_eq!(pcs(&b), [0x1000]);
    let targets: Vec<_> = b.exits.iter().map(|exit| exit.target).collect();
    assert_eq!(targets, [0x1040, 0x1004]);
}

#[test]
fn running_off_the_mapping_is_a_fetch_trap_at_that_pc() {
    let b = block(&[addi(5, 5, 1)]);
    let n = b.ops.len();
    assert_eq!(
        b.ops[n - 2..],
        [Op::Insn { pc: 0x1004, len: 0 }, Op::Trap(Trap::Fetch)]
    );
    assert_eq!(b.n_insns, 1);
    // Half an instruction is not one.
    let c = Code(vec![0x13, 0x05]);
    let b = block_at(&c, BASE, &Limits::default());
    assert_eq!(b.ops.last(), Some(&Op::Trap(Trap::Fetch)));
}

#[test]
fn an_odd_pc_cannot_be_fetched() {
    let b = block_at(&code(&[ECALL]), BASE + 1, &Limits::default());
    assert_eq!(b.ops.last(), Some(&Op::Trap(Trap::Fetch)));
}

#[test]
fn an_indirect_jump_to_a_known_address_is_direct() {
    // auipc x5, 0; jalr x0, 16(x5)
    let auipc = 5 << 7 | 0x17;
    let b = block(&[
        auipc,
        16 << 20 | jalr(0, 5),
        ECALL,
        ECALL,
        addi(7, 7, 1),
        ECALL,
    ]);
    assert_eq!(pcs(&b), [0x1000, 0x1004, 0x1010, 0x1014]);
}
