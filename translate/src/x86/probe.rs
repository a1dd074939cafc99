//! Where a guest address is on the host: in a program an operand as it stands, on a machine's hart a
//! probe of the TLB in force ([`crate::tlb`]).
//!
//! The probe needs both scratch registers and leaves the host address in `rax`. What it misses, be it
//! a page not known, a device or an access that straddles pages, is done by the interpreter out of
//! line, as a whole; its memory makes the entry for the next time.

use std::mem::offset_of;

use dynasmrt::DynasmApi;

use super::asm::{Cc, Mem, asm};
use super::emit::{Cold, Emission};
use super::regs::{Loc, RAX, RCX, disp};
use crate::ops::{Addr, Op, Reg, Size};
use crate::state::CpuState;
use crate::tlb::{INDEX_SHIFT, PAGE_SIZE, TlbEntry, TlbView};

const TLB: usize = offset_of!(CpuState, tlb);
const MASK: i32 = disp(TLB + offset_of!(TlbView, mask));
const TABLE: i32 = disp(TLB + offset_of!(TlbView, table));
const LOAD: i8 = offset_of!(TlbEntry, load) as i8;
const STORE: i8 = offset_of!(TlbEntry, store) as i8;
const HOST: i8 = offset_of!(TlbEntry, host) as i8;

/// What an access wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Load,
    Store,
}

impl Emission<'_> {
    /// The operand of `op`'s access of `bytes` at `addr`, and what is to be handed to
    /// [`Self::rejoin_missed`] behind the access. May use `rax` and `rcx`; the operand uses none but
    /// `rax` on a hart.
    #[inline(always)]
    pub(super) fn place(
        &mut self,
        addr: Addr,
        bytes: u64,
        wants: Wants,
        op: Op,
    ) -> (Mem, Option<Cold>) {
        let m = self.address(addr);
        if !self.block.mode.is_hart() {
            return (m, None);
        }
        let (host, missed) = self.probe(m, bytes, wants, op);
        (host, Some(missed))
    }

    #[inline(never)]
    fn probe(&mut self, m: Mem, bytes: u64, wants: Wants, op: Op) -> (Mem, Cold) {
        match m {
            Mem {
                base: Some(base),
                index: None,
                disp: 0,
                ..
            } => self.a.mov(RAX, Loc::R(base)),
            m => self.a.lea(RAX, m),
        }
        let tag = match wants {
            Wants::Load => LOAD,
            Wants::Store => STORE,
        };
        let last = (PAGE_SIZE - bytes) as i32;
        asm!(self.a
            ; mov rcx, rax
            ; shr rcx, BYTE INDEX_SHIFT as i8
            ; and rcx, [rbp + MASK]
            ; add rcx, [rbp + TABLE]
            ; xor rax, [BYTE rcx + tag]
            ; cmp rax, DWORD last
        );
        let fixup = self.a.jcc(Cc::A);
        let cold = self.cold(fixup, op);
        asm!(self.a; add rax, [BYTE rcx + HOST]);
        let host = Mem {
            base: Some(RAX),
            index: None,
            scale: 0,
            disp: 0,
        };
        (host, cold)
    }

    /// The same of the word at the address in a register: on a hart, its host address is in `rcx`.
    pub(super) fn place_word(
        &mut self,
        addr: Reg,
        size: Size,
        wants: Wants,
        op: Op,
    ) -> Option<Cold> {
        if !self.block.mode.is_hart() {
            return None;
        }
        let (_, missed) = self.place(Addr::reg(addr, 0), size.bytes(), wants, op);
        self.a.mov(RCX, Loc::R(RAX));
        missed
    }

    /// A load follows. What a probe has found can be read.
    pub(super) fn load_point(&mut self, missed: &Option<Cold>) {
        if missed.is_none() {
            self.fault_point();
        }
    }

    /// The interpreter has done what missed: it comes back here.
    pub(super) fn rejoin_missed(&mut self, cold: Option<Cold>) {
        if let Some(cold) = cold {
            self.rejoin(cold);
        }
    }
}
