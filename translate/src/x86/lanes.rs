//! Counters in the lanes of a vector register: see [`crate::lanes`].

use std::mem::offset_of;

use dynasmrt::DynasmApi;

use super::asm::{Asm, Cc, asm};
use super::emit::Emission;
use super::regs::{BIAS, disp};
use crate::lanes::{NONE, Offsets};
use crate::ops::Op;
use crate::state::CpuState;

const LANES: i32 = disp(offset_of!(CpuState, lanes));

/// Constants that a block adds to the lanes, and where their displacements are to be put.
#[derive(Default)]
pub(super) struct Literals {
    values: Vec<[i64; 2]>,
    /// Offset of the field, which value.
    fixups: Vec<(usize, usize)>,
}

impl Literals {
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.fixups.clear();
    }

    /// Puts the constants behind the code.
    pub(super) fn place(&self, a: &mut Asm) {
        const SIZE: usize = 16;
        if self.values.is_empty() {
            return;
        }
        let start = a.label().next_multiple_of(SIZE);
        a.code.resize(start, 0);
        for value in self.values.iter().flatten() {
            a.code.extend_from_slice(&value.to_le_bytes());
        }
        for &(at, index) in &self.fixups {
            let disp = (start + SIZE * index) as i32 - (at as i32 + 4);
            a.code[at..at + 4].copy_from_slice(&disp.to_le_bytes());
        }
    }
}

/// What the additions at the beginning of `ops` add to the lanes, and how many ops they are.
pub(super) fn additions(ops: &[Op], lanes: Offsets) -> Option<([i64; 2], usize)> {
    if lanes == NONE {
        return None;
    }
    let mut values = [0_i64; 2];
    let mut len = 0;
    while let Some(&Op::Count { offset, value }) = ops.get(len) {
        let Some(lane) = lanes.iter().position(|&lane| lane == offset) else {
            break;
        };
        values[lane] = values[lane].wrapping_add(value);
        len += 1;
    }
    (len != 0).then_some((values, len))
}

impl Emission<'_> {
    pub(super) fn add_to_lanes(&mut self, values: [i64; 2]) {
        asm!(self.a; vpaddq xmm15, xmm15, [rip + 0]);
        let at = self.a.code.len() - 4;
        let literals = &mut self.literals;
        let index = literals.values.iter().position(|&known| known == values);
        let index = index.unwrap_or_else(|| {
            literals.values.push(values);
            literals.values.len() - 1
        });
        literals.fixups.push((at, index));
    }

    /// Adds the lanes to memory, as somebody is about to look; may use rax.
    pub(super) fn flush_lanes(&mut self) {
        let [first, second] = self.block.lanes;
        if first != 0 {
            asm!(self.a; vmovq rax, xmm15; add [rbp + disp(first as usize)], rax);
        }
        if second != 0 {
            asm!(self.a; vpextrq rax, xmm15, 1; add [rbp + disp(second as usize)], rax);
        }
        if self.block.lanes != NONE {
            clear(&mut self.a);
        }
    }
}

/// Begins with nothing in the lanes.
pub(super) fn clear(a: &mut Asm) {
    asm!(a; vpxor xmm15, xmm15, xmm15);
}

/// Adds the lanes to memory on the way out of generated code; changes rcx, rdx and rsi. If the state
/// says nothing of lanes, nothing is in them.
pub(super) fn flush(a: &mut Asm) {
    asm!(a; mov rcx, [rbp + LANES]; test rcx, rcx);
    let none = a.jcc(Cc::E);
    asm!(a
        ; mov edx, [rcx]
        ; vmovq rsi, xmm15
        ; add [rbp + rdx - BIAS], rsi
        ; mov edx, [rcx + 4]
        ; vpextrq rsi, xmm15, 1
        ; add [rbp + rdx - BIAS], rsi
    );
    a.bind(none);
}
