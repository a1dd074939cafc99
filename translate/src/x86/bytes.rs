//! Bytes stored side by side, as one word.
//!
//! Compilers for riscv64 copy unaligned words byte by byte and then load the copy as a word. A host
//! that has just done eight byte stores cannot forward them to the load, which waits for all of them
//! to reach the cache. So four or eight byte stores in a row, to ascending addresses off the same
//! registers, are gathered in a vector register and stored at once.
//!
//! If the wide store faults, nothing has been stored, and the state is that of the first byte's
//! instruction: its fault point says `retry`, the interpreter runs that one instruction, and the
//! byte that really faults comes to do so alone.

use dynasmrt::DynasmApi;

use super::asm::{Mem, asm};
use super::emit::Emission;
use super::mem::guest_vector;
use super::regs::{Loc, X0, loc};
use crate::ops::{Addr, Block, Op, Reg, Size, SunkRange};

/// The longest run.
const MOST: usize = 8;

/// Byte stores in a row.
pub(super) struct Run<'a> {
    addr: Addr,
    values: [Reg; MOST],
    len: usize,
    /// The ops behind it.
    pub rest: &'a [Op],
    /// Guest pc of its last instruction.
    pub pc: u64,
}

/// The run of four or eight byte stores that begins with `op`, at `pc`, whose fault would declare
/// `sunk`.
pub(super) fn run<'a>(
    block: &Block,
    op: &Op,
    pc: u64,
    mut rest: &'a [Op],
    sunk: SunkRange,
) -> Option<Run<'a>> {
    let Op::Store {
        rs,
        addr,
        size: Size::B1,
    } = *op
    else {
        return None;
    };
    // A hart would have to probe for both.
    if block.mode.is_hart() {
        return None;
    }
    let mut run = Run {
        addr,
        values: [rs; MOST],
        len: 1,
        rest,
        pc,
    };
    let mut half = None;
    let mut at = pc;
    while run.len < MOST {
        let (op, behind) = rest.split_first()?;
        rest = behind;
        match *op {
            Op::Insn { pc, .. } => at = pc,
            // Nothing became pending since, for only stores lie between, but for what is counted: if
            // the run faults, its first instruction is the one that matters.
            Op::Sunk(range) if range == sunk || same_but_for_counts(block, range, sunk) => {}
            Op::Store {
                rs,
                addr: next,
                size: Size::B1,
            } if Some(next.disp) == addr.disp.checked_add(run.len as i32)
                && Addr {
                    disp: addr.disp,
                    ..next
                } == addr =>
            {
                run.values[run.len] = rs;
                run.len += 1;
                run.rest = rest;
                run.pc = at;
                if run.len == MOST / 2 {
                    half = Some((rest, at));
                }
            }
            _ => break,
        }
    }
    if run.len < MOST {
        (run.rest, run.pc) = half?;
        run.len = MOST / 2;
    }
    Some(run)
}

impl Emission<'_> {
    /// Emits the run.
    pub(super) fn store_bytes(&mut self, run: &Run<'_>) {
        for (i, &value) in run.values[..run.len].iter().enumerate() {
            let i = i as i8;
            match loc(value) {
                Loc::R(r) if i == 0 => asm!(self.a; vmovd xmm0, Rd(r)),
                Loc::M(m) if i == 0 => asm!(self.a; vmovd xmm0, DWORD [BYTE rbp + m]),
                Loc::R(r) => asm!(self.a; vpinsrb xmm0, xmm0, Rd(r), BYTE i),
                Loc::M(m) => asm!(self.a; vpinsrb xmm0, xmm0, BYTE [BYTE rbp + m], BYTE i),
            }
        }
        self.retry_point();
        let m = self.address(run.addr);
        if run.len == MOST {
            guest_vector!(self.a, m, vmovsd, [QWORD], [, Rx(X0)]);
        } else {
            guest_vector!(self.a, m, vmovss, [DWORD], [, Rx(X0)]);
        }
    }
}

fn same_but_for_counts(block: &Block, a: SunkRange, b: SunkRange) -> bool {
    let registers = |range: SunkRange| {
        let ops = block.sunk_ops[range.range()].iter();
        ops.filter(|op| !matches!(op, Op::Count { .. }))
    };
    registers(a).eq(registers(b))
}
