//! Callbacks, and what they are told.
//!
//! A callback that leaves the guest's registers alone, and whose own code is known to touch few of
//! the host's, is called in line: only pinned registers that it may change are saved. Every other
//! one is called through a stub that puts the whole state in order.

use std::mem::offset_of;

use dynasmrt::DynasmApi;

use super::asm::{Cc, Fixup, asm};
use super::emit::{Cold, ColdKind, Emission};
use super::lanes;
use super::regs::{FLoc, Loc, PINNED, PINNED_F, RAX, RCX, X0, disp, loc_f, slot, slot_f};
use super::runtime::{STUB_CALL, VCPU_INDEX, stub_disp};
use crate::hooks::{Clobbers, Condition, Guard, Regs, Test};
use crate::ops::{Addr, FReg, Invocation, Op, Reg};
use crate::state::{Accessed, CpuState};

const CONTEXT: i32 = disp(offset_of!(CpuState, context));
const FRM: i32 = disp(offset_of!(CpuState, frm));
const ACCESS: usize = offset_of!(CpuState, access);
pub(super) const ACCESS_ADDR: i32 = disp(ACCESS + offset_of!(Accessed, addr));
const LOADED: i32 = disp(ACCESS + offset_of!(Accessed, loaded));
const STORED: i32 = disp(ACCESS + offset_of!(Accessed, stored));
const DONE: i32 = disp(ACCESS + offset_of!(Accessed, done));
const WATCH: i32 = disp(ACCESS + offset_of!(Accessed, watch));

const RSI: u8 = 6;

/// Host registers of a callback's arguments: rdi, rsi; rdx, rcx.
const EXECUTION_ARGS: u16 = 1 << 7 | 1 << 6;
const ACCESS_ARGS: u16 = EXECUTION_ARGS | 1 << 2 | 1 << 1;

impl Emission<'_> {
    /// May use rax.
    pub(super) fn count(&mut self, offset: u32, value: i64) {
        let m = disp(offset as usize);
        match i32::try_from(value) {
            Ok(value) => asm!(self.a; add QWORD [rbp + m], DWORD value),
            Err(_) => asm!(self.a; mov rax, QWORD value; add [rbp + m], rax),
        }
    }

    /// May use rax.
    pub(super) fn set_count(&mut self, offset: u32, value: i64) {
        self.flush_lanes();
        let m = disp(offset as usize);
        match i32::try_from(value) {
            Ok(value) => asm!(self.a; mov QWORD [rbp + m], DWORD value),
            Err(_) => asm!(self.a; mov rax, QWORD value; mov [rbp + m], rax),
        }
    }

    pub(super) fn note_addr(&mut self, addr: Addr) {
        let m = self.address(addr);
        self.a.lea(RAX, m);
        asm!(self.a; mov [rbp + ACCESS_ADDR], rax);
    }

    pub(super) fn note_loaded(&mut self, r: Reg) {
        let r = self.in_reg(r, RAX);
        asm!(self.a; mov [rbp + LOADED], Rq(r));
    }

    pub(super) fn note_stored(&mut self, r: Reg) {
        let r = self.in_reg(r, RAX);
        asm!(self.a; mov [rbp + STORED], Rq(r));
    }

    pub(super) fn note_float(&mut self, r: FReg, stored: bool) {
        let r = match loc_f(r) {
            FLoc::R(r) => r,
            FLoc::M(slot) => {
                asm!(self.a; vmovsd xmm0, QWORD [rbp + slot]);
                X0
            }
        };
        match stored {
            true => asm!(self.a; vmovsd QWORD [rbp + STORED], Rx(r)),
            false => asm!(self.a; vmovsd QWORD [rbp + LOADED], Rx(r)),
        }
    }

    pub(super) fn watched(&mut self, access: Op) {
        asm!(self.a; mov DWORD [rbp + WATCH], DWORD 1);
        self.helper(access);
    }

    /// A branch that is taken if the watched access did not take place.
    pub(super) fn unless_done(&mut self) -> Fixup {
        asm!(self.a; cmp DWORD [rbp + DONE], BYTE 0);
        self.a.jcc(Cc::E)
    }

    /// Leaves if a value is another now.
    pub(super) fn guard(&mut self, guard: Guard) {
        asm!(self.a; mov rax, QWORD guard.addr as i64);
        match guard.size {
            1 => asm!(self.a; cmp BYTE [rax], BYTE guard.value as i8),
            2 => asm!(self.a; cmp WORD [rax], WORD guard.value as i16),
            4 => asm!(self.a; cmp DWORD [rax], DWORD guard.value as i32),
            _ => match i32::try_from(guard.value as i64) {
                Ok(value) => asm!(self.a; cmp QWORD [rax], DWORD value),
                Err(_) => asm!(self.a; mov rcx, QWORD guard.value as i64; cmp [rax], rcx),
            },
        }
        let fixup = self.a.jcc(Cc::Ne);
        let kind = ColdKind::Changed;
        self.colds.push(Cold {
            fixup,
            back: 0,
            kind,
        });
    }

    /// Leaves for the interpreter if the rounding mode is another now.
    pub(super) fn check_rounding(&mut self) {
        self.settle_all();
        let made_for = i32::from(self.block.mode.frm());
        asm!(self.a; cmp DWORD [rbp + FRM], DWORD made_for);
        let fixup = self.a.jcc(Cc::Ne);
        let kind = ColdKind::Interpret {
            pc: self.pc,
            sunk: self.sunk_here,
            nans: self.nans,
        };
        self.colds.push(Cold {
            fixup,
            back: 0,
            kind,
        });
    }

    pub(super) fn call(&mut self, index: u16) {
        let invocation = self.block.calls[usize::from(index)];
        let call = &invocation.call;
        self.flush_lanes();
        let in_line = call.regs == Regs::None && !call.clobbers.environment;
        if !in_line {
            // Not behind the condition: what follows relies on it.
            self.settle_all();
        }
        let skip = invocation.condition.map(|condition| self.unless(condition));
        let context = call.context;
        if self.context != Some(context) {
            asm!(self.a; mov DWORD [rbp + CONTEXT], DWORD context as i32);
            self.context = match skip {
                None => Some(context),
                Some(_) => None,
            };
        }
        match in_line {
            true => self.call_in_line(&invocation),
            false => self.call_by_stub(index, &invocation),
        }
        if let Some(skip) = skip {
            self.a.bind(skip);
        }
    }

    /// A branch that is taken unless the condition holds; may use rax.
    fn unless(&mut self, condition: Condition) -> Fixup {
        let m = disp(condition.offset as usize);
        let value = condition.value as i64;
        match i32::try_from(value) {
            Ok(value) => asm!(self.a; cmp QWORD [rbp + m], DWORD value),
            Err(_) => asm!(self.a; mov rax, QWORD value; cmp [rbp + m], rax),
        }
        self.a.jcc(match condition.test {
            Test::Eq => Cc::Ne,
            Test::Ne => Cc::E,
            Test::Lt => Cc::Ae,
            Test::Le => Cc::A,
            Test::Gt => Cc::Be,
            Test::Ge => Cc::B,
        })
    }

    fn call_in_line(&mut self, invocation: &Invocation) {
        let call = &invocation.call;
        let args = match invocation.info {
            Invocation::EXECUTION => EXECUTION_ARGS,
            _ => ACCESS_ARGS,
        };
        let changed = (call.clobbers.ints & Clobbers::ALL.ints) | args;
        let saved = || {
            PINNED
                .into_iter()
                .filter(move |&(_, host)| changed >> host & 1 != 0)
        };
        let saved_f = || {
            PINNED_F
                .into_iter()
                .filter(move |&(_, host)| call.clobbers.vectors >> host & 1 != 0)
        };
        for (guest, host) in saved() {
            self.a.store(slot(Reg(guest)), host);
        }
        for (guest, host) in saved_f() {
            let m = slot_f(FReg(guest));
            asm!(self.a; vmovsd QWORD [rbp + m], Rx(host));
        }
        asm!(self.a; mov edi, [rbp + VCPU_INDEX]);
        match invocation.info {
            Invocation::EXECUTION => self.a.mov_imm(Loc::R(RSI), call.userdata as i64),
            info => {
                self.a.mov_imm(Loc::R(RSI), info.into());
                asm!(self.a; mov rdx, [rbp + ACCESS_ADDR]);
                self.a.mov_imm(Loc::R(RCX), call.userdata as i64);
            }
        }
        asm!(self.a; mov rax, QWORD call.function as i64; call rax);
        for (guest, host) in saved() {
            self.a.mov(host, slot(Reg(guest)));
        }
        for (guest, host) in saved_f() {
            let m = slot_f(FReg(guest));
            asm!(self.a; vmovsd Rx(host), QWORD [rbp + m]);
        }
        // The lanes are empty.
        if call.clobbers.vectors >> 15 != 0 {
            lanes::clear(&mut self.a);
        }
    }

    fn call_by_stub(&mut self, index: u16, invocation: &Invocation) {
        if invocation.call.regs != Regs::None {
            self.set_pc(self.pc);
        }
        asm!(self.a; mov rax, QWORD 0);
        self.call_fixups
            .push((self.a.code.len() - 8, usize::from(index)));
        asm!(self.a; call QWORD [rbp + stub_disp(STUB_CALL)]);
        if invocation.call.regs == Regs::Write {
            self.boxed = 0;
        }
    }
}
