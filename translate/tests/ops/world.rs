//! A small world to run ops in: one vCPU state and a few pages of flat memory.

use std::ops::Range;

use translate::interp::{BlockEnd, run_block, run_op};
use translate::ops::{AmoOp, Exit, Size, SunkRange};
use translate::{Access, Block, Cause, CpuState, Fault, GuestMemory, Op, Reg};

/// Guest memory that exists at one range of addresses only.
pub struct FlatMemory {
    pub base: u64,
    pub bytes: Vec<u8>,
}

impl FlatMemory {
    pub fn new(base: u64, len: usize) -> FlatMemory {
        let bytes = (0..len).map(|i| (i as u8).wrapping_mul(7)).collect();
        FlatMemory { base, bytes }
    }

    fn range(&self, addr: u64, size: Size, access: Access) -> Result<Range<usize>, Fault> {
        let start = addr.wrapping_sub(self.base);
        let end = start.checked_add(size.bytes());
        match end {
            Some(end) if end <= self.bytes.len() as u64 => Ok(start as usize..end as usize),
            _ => Err(Fault {
                addr,
                access,
                cause: Cause::Page,
            }),
        }
    }

    pub fn get(&self, addr: u64, size: Size) -> u64 {
        let range = self.range(addr, size, Access::Load).expect("in memory");
        let mut value = [0; 8];
        value[..range.len()].copy_from_slice(&self.bytes[range]);
        u64::from_le_bytes(value)
    }
}

impl GuestMemory for FlatMemory {
    fn load(&mut self, addr: u64, size: Size) -> Result<u64, Fault> {
        self.range(addr, size, Access::Load)?;
        Ok(self.get(addr, size))
    }

    fn store(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Fault> {
        let range = self.range(addr, size, Access::Store)?;
        let len = range.len();
        self.bytes[range].copy_from_slice(&value.to_le_bytes()[..len]);
        Ok(())
    }

    fn amo(&mut self, op: AmoOp, addr: u64, size: Size, src: u64) -> Result<u64, Fault> {
        self.range(addr, size, Access::Store)?;
        let old = self.get(addr, size);
        let signed = |v: u64| match size {
            Size::B4 => i64::from(v as i32),
            _ => v as i64,
        };
        let new = match op {
            AmoOp::Swap => src,
            AmoOp::Add => old.wrapping_add(src),
            AmoOp::Xor => old ^ src,
            AmoOp::And => old & src,
            AmoOp::Or => old | src,
            AmoOp::Min => signed(old).min(signed(src)) as u64,
            AmoOp::Max => signed(old).max(signed(src)) as u64,
            AmoOp::Minu => old.min(src),
            AmoOp::Maxu => old.max(src),
        };
        self.store(addr, size, new)?;
        Ok(old)
    }

    fn compare_exchange(
        &mut self,
        addr: u64,
        size: Size,
        expected: u64,
        new: u64,
    ) -> Result<u64, Fault> {
        self.range(addr, size, Access::Store)?;
        let old = self.get(addr, size);
        if old == expected {
            self.store(addr, size, new)?;
        }
        Ok(old)
    }
}

/// Where the memory of a [`World`] begins.
pub const BASE: u64 = 0x1_0000;
/// How long it is.
pub const LEN: usize = 0x400;

pub struct World {
    pub state: Box<CpuState>,
    pub mem: FlatMemory,
}

impl World {
    pub fn new() -> World {
        World {
            state: CpuState::new(),
            mem: FlatMemory::new(BASE, LEN),
        }
    }

    /// Runs one op that must not fault.
    pub fn run(&mut self, op: Op) {
        self.try_run(op)
            .unwrap_or_else(|fault| panic!("{op:?}: {fault:?}"));
    }

    pub fn try_run(&mut self, op: Op) -> Result<(), Fault> {
        run_op(&mut self.state, &mut self.mem, &op)
    }

    pub fn run_block(&mut self, block: &Block) -> BlockEnd {
        run_block(&mut self.state, &mut self.mem, block)
    }
}

pub const fn x(n: u8) -> Reg {
    Reg(n)
}

/// A block at 0x1000 of the ops given; exit `i` goes to `0x2000 + 0x100·i` without sunk ops.
pub fn block(ops: &[Op], exits: u64) -> Block {
    let exit = |i| Exit {
        target: 0x2000 + 0x100 * i,
        sunk: SunkRange::EMPTY,
        poll: false,
    };
    Block {
        pc: 0x1000,
        ops: ops.to_vec(),
        exits: (0..exits).map(exit).collect(),
        ..Block::default()
    }
}
