//! Counting instructions is exact wherever a block is left.
//!
//! The oracle executes one instruction at a time. What a filled and optimized superblock says it has
//! executed, the oracle executes too, and must then be in the same state.

#![cfg(not(hartscope_loom))]

use std::sync::atomic::Ordering::Relaxed;

use plugin_rt::{InstrumentationSet, fill};
use translate::frontend::{Limits, translate};
use translate::interp::{BlockEnd, run_block};
use translate::ops::{AmoOp, Size};
use translate::passes::optimize;
use translate::{Access, Block, Cause, CpuState, Fault, GuestCode, GuestMemory, Op};

const CODE: u64 = 0x1000;
const DATA: u64 = 0x2_0000;
const DATA_LEN: usize = 256;

/// Instruction encodings (unprivileged specification, "RV32/64G Instruction Set Listings").
mod asm {
    pub const NOP: u32 = 0x13;
    pub const ECALL: u32 = 0x73;
    pub const EBREAK: u32 = 0x10_0073;
    pub const ILLEGAL: u32 = 0;

    pub fn addi(rd: u32, rs1: u32, imm: i32) -> u32 {
        (imm as u32) << 20 | rs1 << 15 | rd << 7 | 0x13
    }

    pub fn add(rd: u32, rs1: u32, rs2: u32) -> u32 {
        rs2 << 20 | rs1 << 15 | rd << 7 | 0x33
    }

    pub fn ld(rd: u32, rs1: u32, imm: i32) -> u32 {
        (imm as u32) << 20 | rs1 << 15 | 3 << 12 | rd << 7 | 0x03
    }

    pub fn sd(rs2: u32, rs1: u32, imm: i32) -> u32 {
        let imm = imm as u32;
        (imm >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | 3 << 12 | (imm & 0x1f) << 7 | 0x23
    }

    pub fn amoadd_d(rd: u32, rs1: u32, rs2: u32) -> u32 {
        rs2 << 20 | rs1 << 15 | 3 << 12 | rd << 7 | 0x2f
    }

    pub fn fsqrt_s(fd: u32, fs: u32) -> u32 {
        0x2c << 25 | fs << 15 | fd << 7 | 0x53
    }

    /// `beq` (0), `bne` (1), `blt` (4), `bge` (5).
    pub fn branch(funct3: u32, rs1: u32, rs2: u32, offset: i32) -> u32 {
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

    pub fn jal(rd: u32, offset: i32) -> u32 {
        let imm = offset as u32;
        (imm >> 20 & 1) << 31
            | (imm >> 1 & 0x3ff) << 21
            | (imm >> 11 & 1) << 20
            | (imm >> 12 & 0xff) << 12
            | rd << 7
            | 0x6f
    }

    pub fn jalr(rd: u32, rs1: u32, imm: i32) -> u32 {
        (imm as u32) << 20 | rs1 << 15 | rd << 7 | 0x67
    }
}

/// A program at [`CODE`].
struct Program(Vec<u8>);

impl Program {
    fn new(insns: &[u32]) -> Program {
        Program(insns.iter().flat_map(|insn| insn.to_le_bytes()).collect())
    }
}

impl GuestCode for Program {
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let start = usize::try_from(pc.wrapping_sub(CODE)).unwrap_or(usize::MAX);
        let bytes = self.0.get(start..).unwrap_or(&[]);
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        len
    }
}

/// Words at [`DATA`]; nothing elsewhere.
#[derive(Clone, PartialEq, Debug)]
struct Memory(Vec<u8>);

impl Memory {
    fn at(&mut self, addr: u64, size: Size, access: Access) -> Result<&mut [u8], Fault> {
        let start = usize::try_from(addr.wrapping_sub(DATA)).unwrap_or(usize::MAX);
        let end = start.saturating_add(size.bytes() as usize);
        self.0.get_mut(start..end).ok_or(Fault {
            addr,
            access,
            cause: Cause::Page,
        })
    }
}

impl GuestMemory for Memory {
    fn load(&mut self, addr: u64, size: Size) -> Result<u64, Fault> {
        let bytes = self.at(addr, size, Access::Load)?;
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        Ok(u64::from_le_bytes(word))
    }

    fn store(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Fault> {
        let bytes = self.at(addr, size, Access::Store)?;
        bytes.copy_from_slice(&value.to_le_bytes()[..size.bytes() as usize]);
        Ok(())
    }

    fn amo(&mut self, op: AmoOp, addr: u64, size: Size, src: u64) -> Result<u64, Fault> {
        assert_eq!(op, AmoOp::Add, "the programs have no other");
        let old = self.load(addr, size)?;
        self.store(addr, size, old.wrapping_add(src))?;
        Ok(old)
    }

    fn compare_exchange(
        &mut self,
        _addr: u64,
        _size: Size,
        _expected: u64,
        _new: u64,
    ) -> Result<u64, Fault> {
        unreachable!("the programs have no store-conditional")
    }
}

/// Registers and memory of the guest.
struct Guest {
    state: Box<CpuState>,
    memory: Memory,
}

impl Guest {
    fn new() -> Guest {
        let mut state = CpuState::new();
        state.pc = CODE;
        Guest {
            state,
            memory: Memory(vec![0; DATA_LEN]),
        }
    }

    fn copy(&self) -> Guest {
        let mut state = CpuState::new();
        state.x = self.state.x;
        state.f = self.state.f;
        state.fflags = self.state.fflags;
        state.pc = self.state.pc;
        Guest {
            state,
            memory: self.memory.clone(),
        }
    }

    fn run(&mut self, program: &Program, limits: &Limits, set: &InstrumentationSet) -> BlockEnd {
        let mut block = Block::default();
        translate(
            &mut block,
            self.state.pc,
            self.state.mode(),
            program,
            limits,
        );
        fill(&mut block, set);
        optimize(&mut block);
        run_block(&mut self.state, &mut self.memory, &block)
    }

    /// One instruction; whether it completed.
    fn step(&mut self, program: &Program) -> BlockEnd {
        let one = Limits {
            max_insns: 1,
            enough_insns: u32::MAX,
            superblocks: false,
            fold: true,
        };
        self.run(program, &one, &InstrumentationSet::EMPTY)
    }

    fn counted(&self) -> u64 {
        InstrumentationSet::insns_counted(&self.state)
    }

    fn assert_same(&self, other: &Guest, context: &str) {
        assert_eq!(self.state.pc, other.state.pc, "pc, {context}");
        assert_eq!(self.state.x, other.state.x, "{context}");
        assert_eq!(self.state.f, other.state.f, "{context}");
        assert_eq!(self.memory, other.memory, "{context}");
    }
}

/// Runs a superblock from `guest` and checks its count against the oracle.
fn check_block(guest: &mut Guest, program: &Program, context: &str) -> BlockEnd {
    let mut oracle = guest.copy();
    let before = guest.counted();
    let end = guest.run(
        program,
        &Limits::default(),
        &InstrumentationSet::COUNT_INSNS,
    );
    let counted = guest.counted() - before;
    assert!(counted <= 64, "{counted} instructions, {context}");
    for n in 1..=counted {
        let stepped = oracle.step(program);
        match stepped {
            BlockEnd::Next | BlockEnd::Request => {}
            // Handed over to the run loop, which counts.
            BlockEnd::Trap(_) => assert_eq!((n, stepped), (counted, end), "{context}"),
            BlockEnd::Fault(_) => panic!("instruction {n} of {counted} faults, {context}"),
            BlockEnd::Changed | BlockEnd::Rest => {
                panic!("no instrumentation relies on anything, {context}")
            }
        }
    }
    if let BlockEnd::Fault(_) = end {
        assert_eq!(oracle.step(program), end, "{context}");
    }
    guest.assert_same(&oracle, context);
    end
}

/// Counts of a whole program of which nothing runs twice, block by block.
fn count(insns: &[u32], set_up: impl FnOnce(&mut CpuState)) -> (u64, BlockEnd) {
    let program = Program::new(insns);
    let mut guest = Guest::new();
    set_up(&mut guest.state);
    loop {
        let end = check_block(&mut guest, &program, "");
        if end != BlockEnd::Next {
            return (guest.counted(), end);
        }
    }
}

#[test]
fn without_instrumentation_no_point_is_left() {
    let program = Program::new(&[asm::NOP, asm::branch(0, 1, 2, 8), asm::NOP, asm::ECALL]);
    let mut block = Block::default();
    translate(
        &mut block,
        CODE,
        CpuState::new().mode(),
        &program,
        &Limits::default(),
    );
    assert!(block.ops.iter().any(|op| matches!(op, Op::Point { .. })));
    fill(&mut block, &InstrumentationSet::EMPTY);
    let marks = |op: &&Op| matches!(op, Op::Point { .. } | Op::Count { .. });
    assert_eq!(block.ops.iter().filter(marks).count(), 0);
}

#[test]
fn a_straight_run_is_one_addition() {
    let program = Program::new(&[asm::addi(5, 5, 1), asm::NOP, asm::add(6, 5, 5), asm::ECALL]);
    let mut block = Block::default();
    translate(
        &mut block,
        CODE,
        CpuState::new().mode(),
        &program,
        &Limits::default(),
    );
    fill(&mut block, &InstrumentationSet::COUNT_INSNS);
    optimize(&mut block);
    let counts: Vec<_> = block
        .ops
        .iter()
        .filter_map(|op| match op {
            Op::Count { value, .. } => Some(*value),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [4]);
}

#[test]
fn a_taken_side_branch_counts_up_to_itself() {
    let insns = [
        asm::NOP,
        asm::branch(0, 0, 6, 12),
        asm::NOP,
        asm::NOP,
        asm::ECALL,
    ];
    assert_eq!(count(&insns, |state| state.x[6] = 1).0, 5);
    assert_eq!(count(&insns, |_| ()).0, 3);
}

#[test]
fn an_access_that_faults_does_not_count() {
    let insns = [
        asm::addi(5, 0, 1),
        asm::ld(6, 10, 0),
        asm::ld(7, 11, 0),
        asm::NOP,
        asm::ECALL,
    ];
    let (counted, end) = count(&insns, |state| state.x[10] = DATA);
    assert!(matches!(end, BlockEnd::Fault(fault) if fault.access == Access::Load));
    assert_eq!(counted, 2);
}

#[test]
fn breakpoints_and_illegal_instructions_do_not_count() {
    for last in [asm::EBREAK, asm::ILLEGAL] {
        assert_eq!(count(&[asm::NOP, last], |_| ()).0, 1);
    }
    assert_eq!(count(&[asm::NOP], |_| ()).0, 1, "nothing to fetch behind");
    assert_eq!(count(&[asm::NOP, asm::ECALL], |_| ()).0, 2);
}

/// A small deterministic generator (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32) % bound
    }

    fn reg(&mut self) -> u32 {
        5 + self.below(5)
    }

    /// x10 holds the data's address, x11 a wild one, x12 the code's.
    fn insn(&mut self, at: u32, len: u32) -> u32 {
        let target = 4 * (self.below(len) as i32 - at as i32);
        let place = 8 * self.below(DATA_LEN as u32 / 8) as i32;
        match self.below(24) {
            0..=4 => asm::addi(self.reg(), self.reg(), self.below(64) as i32 - 32),
            5..=8 => asm::add(self.reg(), self.reg(), self.reg()),
            9..=10 => asm::ld(self.reg(), 10, place),
            11..=12 => asm::sd(self.reg(), 10, place),
            13 => asm::ld(self.reg(), 11, 0),
            14 => asm::sd(self.reg(), self.reg(), 0),
            15 => asm::amoadd_d(self.reg(), [10, 11][self.below(2) as usize], self.reg()),
            16 => asm::fsqrt_s(self.below(4), self.below(4)),
            17..=19 => {
                let funct3 = [0, 1, 4, 5][self.below(4) as usize];
                asm::branch(funct3, self.reg(), self.reg(), target)
            }
            20 => asm::jal([0, 1, 5][self.below(3) as usize], target),
            21 => asm::jalr(
                [0, 5][self.below(2) as usize],
                12,
                4 * self.below(len) as i32,
            ),
            22 => [asm::ECALL, asm::EBREAK, asm::ILLEGAL][self.below(3) as usize],
            _ => asm::NOP,
        }
    }
}

#[test]
fn random_programs_count_exactly() {
    const LEN: u32 = 24;
    let mut kinds = [0; 4];
    for seed in 1..=2_000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let insns: Vec<_> = (0..LEN).map(|at| random.insn(at, LEN)).collect();
        let program = Program::new(&insns);
        let mut guest = Guest::new();
        for register in 5..10 {
            guest.state.x[register] = u64::from(random.below(4));
        }
        guest.state.x[10] = DATA;
        guest.state.x[11] = 8;
        guest.state.x[12] = CODE;
        guest.state.f[..4].fill(0x4080_0000);
        for block in 0..20 {
            let requested = random.below(4) == 0;
            guest.state.request.store(requested.into(), Relaxed);
            let context = format!("seed {seed}, block {block}");
            let end = check_block(&mut guest, &program, &context);
            kinds[match end {
                BlockEnd::Next => 0,
                BlockEnd::Request => 1,
                BlockEnd::Trap(_) => 2,
                BlockEnd::Fault(_) => 3,
                BlockEnd::Changed | BlockEnd::Rest => {
                    panic!("no instrumentation relies on anything, {context}")
                }
            }] += 1;
            if matches!(end, BlockEnd::Trap(_) | BlockEnd::Fault(_)) {
                // As a signal handler would, or the run loop: behind the instruction.
                guest.state.pc += 4;
            }
        }
    }
    assert!(kinds.iter().all(|&n| n > 500), "{kinds:?}");
}
