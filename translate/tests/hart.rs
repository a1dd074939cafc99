//! Superblocks of a machine's hart: pages, privileged instructions, floating point that is off.

use translate::frontend::{Limits, translate};
use translate::ops::{GuestRange, Trap};
use translate::{Block, CacheBlockOps, GuestCode, Mode, Op, Privilege};

const PAGE: u64 = 0x8000_0000;

/// Code at [`PAGE`]: words at offsets, `nop` elsewhere.
struct Code<'a>(&'a [(u64, u32)]);

impl GuestCode for Code<'_> {
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        const C_NOP: [u8; 2] = [0x01, 0x00];
        for (at, byte) in (pc..).zip(&mut *buf) {
            *byte = C_NOP[(at & 1) as usize];
            for &(offset, word) in self.0 {
                if let byte_at @ 0..4 = at.wrapping_sub(PAGE + offset) {
                    *byte = word.to_le_bytes()[byte_at as usize];
                }
            }
        }
        buf.len()
    }
}

const NOP: u32 = 0x0000_0013;
const FADD: u32 = 0x0020_81d3; // fadd.s ft3, ft1, ft2
const SRET: u32 = 0x1020_0073;
const FRCSR: u32 = 0x0030_2573; // csrr a0, fcsr

fn block(offset: u64, mode: Mode, code: &[(u64, u32)]) -> Block {
    let mut block = Block::default();
    let limits = Limits::default();
    translate(&mut block, PAGE + offset, mode, &Code(code), &limits);
    block
}

fn hart(fp_off: bool) -> Mode {
    Mode::default().on_hart(Privilege::Supervisor, fp_off)
}

#[test]
fn a_block_of_a_hart_ends_with_its_page() {
    let block = block(0xff0, hart(false), &[]);
    assert_eq!(block.n_insns, 7, "the one before the last could straddle");
    assert_eq!(block.exits[0].target, PAGE + 0xffe);
    assert!(hart(false).is_far(block.pc, block.exits[0].target));
}

#[test]
fn an_instruction_that_may_straddle_two_pages_has_a_block_of_its_own() {
    for (code, len) in [(&[][..], 2), (&[(0xffe, NOP)], 4)] {
        let block = block(0xffe, hart(false), code);
        let start = PAGE + 0xffe;
        assert_eq!(block.ranges, [GuestRange { start, len }]);
        assert_eq!(block.exits[0].target, start + u64::from(len));
    }
}

#[test]
fn a_jump_to_another_page_is_not_followed() {
    // jal x0, +0x1000; as a program it would be.
    let jump = [(0, 0x0000_106f)];
    assert_eq!(block(0, hart(false), &jump).n_insns, 1);
    assert!(block(0, Mode::default(), &jump).n_insns > 1);
}

#[test]
fn privileged_instructions_are_for_the_run_loop_and_to_programs_illegal() {
    let last = |mode| block(0, mode, &[(0, SRET)]).ops.pop();
    assert_eq!(last(hart(false)), Some(Op::Trap(Trap::System)));
    assert_eq!(last(Mode::default()), Some(Op::Trap(Trap::Illegal)));
}

#[test]
fn floating_point_that_is_off_is_for_the_run_loop() {
    for insn in [FADD, FRCSR] {
        let last = block(0, hart(true), &[(0, insn)]).ops.pop();
        assert_eq!(last, Some(Op::Trap(Trap::Float)), "{insn:#x}");
    }
    let ops = block(0, hart(false), &[(0, FADD)]).ops;
    assert!(!ops.contains(&Op::Trap(Trap::Float)));
}

#[test]
fn cache_block_instructions_are_illegal_one_by_one() {
    const ZERO: u32 = 0x0045_200f; // cbo.zero (a0)
    const CLEAN: u32 = 0x0015_200f;
    const FLUSH: u32 = 0x0025_200f;
    const INVAL: u32 = 0x0005_200f;
    let none = CacheBlockOps::default();
    for (illegal, expected) in [
        (none, [false; 4]),
        (
            CacheBlockOps { zero: true, ..none },
            [true, false, false, false],
        ),
        (
            CacheBlockOps {
                clean: true,
                ..none
            },
            [false, true, true, false],
        ),
        (
            CacheBlockOps {
                inval: true,
                ..none
            },
            [false, false, false, true],
        ),
    ] {
        let found = [ZERO, CLEAN, FLUSH, INVAL].map(|word| {
            let block = block(0, hart(false).without(illegal), &[(0, word)]);
            block.ops.last() == Some(&Op::Trap(Trap::Illegal)) && block.n_insns == 1
        });
        assert_eq!(found, expected, "{illegal:?}");
    }
}
