//! Which guest register lives where in host code.
//!
//! Register allocation is fixed for all blocks: 12 integer and 12 floating-point guest registers
//! are pinned to host registers, the others stay in [`CpuState`]. So blocks chain without moves,
//! and the guest's state is known at every host instruction.
//!
//! Host registers with a role of their own: `rbp` points [`BIAS`] bytes into the state, `rsp` is
//! the host stack, `rax`, `rcx`, `xmm0`–`xmm2` are scratch, `xmm15` holds counters
//! ([`crate::lanes`]), `gs` the guest base.

use std::mem::offset_of;

use crate::ops::{FReg, Reg};
use crate::state::CpuState;

/// Offset of `rbp` from the start of the state, so that all integer registers are within a signed
/// byte of it.
pub const BIAS: i32 = 128;

pub const RAX: u8 = 0;
pub const RCX: u8 = 1;
pub const RDX: u8 = 2;

/// Scratch vector registers.
pub const X0: u8 = 0;
pub const X1: u8 = 1;
pub const X2: u8 = 2;

/// Host register numbers of the pinned set: the guest registers that minimise (instructions + half
/// the unpinned references) over the benchmark programs, hottest in the shortest encodings.
/// `rdx` holds the coldest, as multiplication and division have to save it.
pub const PINNED: [(u8, u8); 12] = [
    (15, 3),  // a5: rbx
    (14, 6),  // a4: rsi
    (10, 7),  // a0: rdi
    (13, 8),  // a3: r8
    (2, 9),   // sp: r9
    (11, 10), // a1: r10
    (12, 11), // a2: r11
    (8, 12),  // s0: r12
    (9, 13),  // s1: r13
    (16, 14), // a6: r14
    (17, 15), // a7: r15
    (18, 2),  // s2: rdx
];

/// Pinned floating-point registers: fa0-fa5, fs0-fs4, ft0.
pub const PINNED_F: [(u8, u8); 12] = [
    (15, 3),
    (14, 4),
    (13, 5),
    (12, 6),
    (11, 7),
    (10, 8),
    (8, 9),
    (9, 10),
    (18, 11),
    (19, 12),
    (20, 13),
    (0, 14),
];

/// Where an integer register lives: a host register, or a slot at a displacement from `rbp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loc {
    /// Host register number.
    R(u8),
    /// `[rbp + disp]`.
    M(i8),
}

/// Where a floating-point register lives: as [`Loc`], in a farther part of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FLoc {
    /// Host vector register number.
    R(u8),
    /// `[rbp + disp]`.
    M(i32),
}

impl Loc {
    /// Whether this is the host register `r`.
    pub fn is(self, r: u8) -> bool {
        self == Loc::R(r)
    }
}

/// Displacement from `rbp` of a byte offset into the state.
pub const fn disp(offset: usize) -> i32 {
    offset as i32 - BIAS
}

const X_DISP: i32 = disp(offset_of!(CpuState, x));
const _: () = assert!(X_DISP >= -128 && X_DISP + 8 * 31 <= 127);

const F_DISP: i32 = disp(offset_of!(CpuState, f));

const LOCS: [Loc; 32] = {
    let mut locs = [Loc::M(0); 32];
    let mut i = 0;
    while i < locs.len() {
        locs[i] = slot(Reg(i as u8));
        i += 1;
    }
    i = 0;
    while i < PINNED.len() {
        locs[PINNED[i].0 as usize] = Loc::R(PINNED[i].1);
        i += 1;
    }
    locs
};

const F_LOCS: [FLoc; 32] = {
    let mut locs = [FLoc::M(0); 32];
    let mut i = 0;
    while i < locs.len() {
        locs[i] = FLoc::M(slot_f(FReg(i as u8)));
        i += 1;
    }
    i = 0;
    while i < PINNED_F.len() {
        locs[PINNED_F[i].0 as usize] = FLoc::R(PINNED_F[i].1);
        i += 1;
    }
    locs
};

/// The slot of an integer register, pinned or not.
pub const fn slot(r: Reg) -> Loc {
    Loc::M((X_DISP + 8 * r.0 as i32) as i8)
}

/// Where an integer register lives. `x0` is the zero in its slot.
#[inline(always)]
pub fn loc(r: Reg) -> Loc {
    LOCS[r.index()]
}

/// Displacement of the slot of a floating-point register, pinned or not.
pub const fn slot_f(r: FReg) -> i32 {
    F_DISP + 8 * r.0 as i32
}

/// Where a floating-point register lives.
#[inline(always)]
pub fn loc_f(r: FReg) -> FLoc {
    F_LOCS[r.index()]
}
