//! Branches, exits, polls and indirect jumps.
//!
//! A way out is a *site*: a `jmp` or `jcc` whose 32-bit displacement leads to the exit's own stub
//! until the cache links it to a block, and never crosses 8 aligned bytes, so that one plain store
//! patches it while other vCPUs run over it. Only a *far* exit, which leads to another page of a hart's
//! address space, is no site but an indirect jump: who knows where that page is the next time.

use std::mem::offset_of;

use dynasmrt::DynasmApi;

use super::asm::{Bin, Cc, Fixup, Mem, asm};
use super::emit::{Cold, ColdKind, Emission};
use super::regs::{Loc, RAX, disp, loc};
use super::runtime::{LEAVE_TRAP, STUB_EXIT, STUB_INDIRECT, STUB_LINK, STUB_POLL, stub_disp};
use super::{Nans, Site};
use crate::ops::{Cond, ExitId, Op, Reg, SunkRange, Trap, Width};
use crate::state::{CpuState, JUMP_CACHE_ENTRIES, JumpEntry};

const REQUEST: i32 = disp(offset_of!(CpuState, request));
pub(super) const PC: i32 = disp(offset_of!(CpuState, pc));
/// Selects the pc bits that index the jump cache; an entry's offset is 8 times that.
const JUMP_MASK: i32 = (JUMP_CACHE_ENTRIES as i32 - 1) << 1;

fn cc(cond: Cond) -> Cc {
    match cond {
        Cond::Eq => Cc::E,
        Cond::Ne => Cc::Ne,
        Cond::Lt => Cc::L,
        Cond::Ge => Cc::Ge,
        Cond::Ltu => Cc::B,
        Cond::Geu => Cc::Ae,
    }
}

/// The condition with its operands exchanged.
fn mirrored(cc: Cc) -> Cc {
    match cc {
        Cc::L => Cc::G,
        Cc::Ge => Cc::Le,
        Cc::B => Cc::A,
        Cc::Ae => Cc::Be,
        same => same,
    }
}

impl Emission<'_> {
    /// Where the jump cache of this block's mode begins.
    fn jump_cache(&self) -> i32 {
        const CACHES: usize = offset_of!(CpuState, jump_caches);
        const SIZE: usize = JUMP_CACHE_ENTRIES * size_of::<JumpEntry>();
        disp(CACHES + SIZE * self.block.mode.jump_cache())
    }

    fn is_far(&self, exit: ExitId) -> bool {
        let target = self.block.exits[usize::from(exit)].target;
        self.block.mode.is_far(self.block.pc, target)
    }

    /// `[rbp + PC] = pc`; may use rax.
    pub(super) fn set_pc(&mut self, pc: u64) {
        match i32::try_from(pc as i64) {
            Ok(pc) => asm!(self.a; mov QWORD [rbp + PC], DWORD pc),
            Err(_) => asm!(self.a; mov rax, QWORD pc as i64; mov [rbp + PC], rax),
        }
    }

    /// Leaves at `pc` if a request is pending. Apart from the sunk ops here, the registers must be as
    /// the guest expects them.
    ///
    /// The first poll of a superblock does for all: every later way out has passed it, and so has
    /// every guest cycle through one. Of an instrumented block it is the first thing of all.
    pub(super) fn poll(&mut self, pc: u64) {
        self.settle_all();
        if std::mem::replace(&mut self.polled, true) {
            return;
        }
        self.a.cmp_zero_far(REQUEST);
        let fixup = self.a.jcc(Cc::Ne);
        self.colds.push(Cold {
            fixup,
            back: 0,
            kind: ColdKind::Poll {
                pc,
                sunk: self.sunk_here,
            },
        });
    }

    pub(super) fn cold_poll(&mut self, pc: u64, sunk: SunkRange) {
        self.sunk(sunk);
        self.set_pc(pc);
        asm!(self.a; jmp QWORD [rbp + stub_disp(STUB_POLL)]);
    }

    pub(super) fn branch(&mut self, cond: Cond, w: Width, ra: Reg, rb: Reg, exit: ExitId) {
        self.poll_before(exit);
        let cc = if rb.is_zero() && matches!(cond, Cond::Eq | Cond::Ne | Cond::Lt | Cond::Ge) {
            self.compare_zero(w, ra);
            cc(cond)
        } else if ra.is_zero() && matches!(cond, Cond::Eq | Cond::Ne | Cond::Lt | Cond::Ge) {
            self.compare_zero(w, rb);
            mirrored(cc(cond))
        } else {
            match (loc(ra), loc(rb)) {
                (Loc::M(_), Loc::R(b)) => {
                    self.a.bin(Bin::Cmp, w, b, loc(ra));
                    mirrored(cc(cond))
                }
                (_, b) => {
                    let a = self.in_reg(ra, RAX);
                    self.a.bin(Bin::Cmp, w, a, b);
                    cc(cond)
                }
            }
        };
        self.branch_on(cc, exit);
    }

    pub(super) fn branch_imm(&mut self, cond: Cond, w: Width, ra: Reg, imm: i32, exit: ExitId) {
        self.poll_before(exit);
        if imm == 0 {
            self.compare_zero(w, ra);
        } else {
            self.a.bin_imm(Bin::Cmp, w, loc(ra), imm);
        }
        self.branch_on(cc(cond), exit);
    }

    /// A branch that may close a loop looks for requests first, at its own pc: taken or not, that
    /// is where the guest goes on.
    pub(super) fn poll_before(&mut self, exit: ExitId) {
        if self.block.exits[usize::from(exit)].poll {
            self.poll(self.pc);
        }
    }

    /// Leaves through `exit` if the flags say `cc`.
    pub(super) fn branch_on(&mut self, cc: Cc, exit: ExitId) {
        let sunk = self.block.exits[usize::from(exit)].sunk;
        if sunk.len != 0 || !self.nans.is_empty() || self.is_far(exit) {
            let fixup = self.a.jcc(cc);
            let nans = self.nans;
            let kind = ColdKind::SunkExit { exit, sunk, nans };
            self.colds.push(Cold {
                fixup,
                back: 0,
                kind,
            });
            return;
        }
        self.a.pad_for_patch(2);
        let fixup = self.a.jcc(cc);
        self.site(exit, fixup);
    }

    /// Registers the branch at `fixup` as a site of `exit`, with a stub to follow.
    fn site(&mut self, exit: ExitId, fixup: Fixup) {
        self.sites.push(Site {
            exit,
            disp: fixup.0,
            unlinked: 0,
        });
    }

    pub(super) fn jump(&mut self, exit: ExitId) {
        let e = self.block.exits[usize::from(exit)];
        self.sunk(e.sunk);
        self.settle_all();
        if e.poll {
            self.poll(e.target);
        }
        self.jump_site(exit);
    }

    fn jump_site(&mut self, exit: ExitId) {
        if self.is_far(exit) {
            return self.jump_far(self.block.exits[usize::from(exit)].target);
        }
        self.a.pad_for_patch(1);
        let fixup = self.a.jmp();
        self.site(exit, fixup);
    }

    /// Jumps to where the jump cache says that `target` is.
    fn jump_far(&mut self, target: u64) {
        let offset = (target as i32 & JUMP_MASK) * 8;
        let entry = self.jump_cache() + offset;
        asm!(self.a; mov rax, QWORD target as i64; cmp rax, [rbp + entry]);
        let fixup = self.a.jcc(Cc::Ne);
        self.colds.push(Cold {
            fixup,
            back: 0,
            kind: ColdKind::Indirect { target: RAX },
        });
        asm!(self.a; jmp QWORD [rbp + entry + 8]);
    }

    pub(super) fn cold_sunk_exit(&mut self, exit: ExitId, sunk: SunkRange, nans: Nans) {
        self.cold_settle(nans);
        self.sunk(sunk);
        self.jump_site(exit);
    }

    /// The stubs of the exits, for while they are not linked.
    pub(super) fn exit_stubs(&mut self) {
        for i in 0..self.sites.len() {
            let Site { exit, disp, .. } = self.sites[i];
            let start = self.a.label();
            self.sites[i].unlinked = (start as i64 - (i64::from(disp) + 4)) as i32;
            self.a.bind_to(Fixup(disp), start);
            self.set_pc(self.block.exits[usize::from(exit)].target);
            // The return address of the call and its distance from here tell where the block begins.
            const CALL: usize = 5 + 6;
            let after = self.a.label() + CALL;
            match u16::try_from(after) {
                Ok(after) => {
                    let code = u32::from(after) << 16 | u32::from(exit);
                    asm!(self.a; mov eax, DWORD code as i32; call QWORD [rbp + stub_disp(STUB_LINK)]);
                    debug_assert_eq!(self.a.label(), after.into());
                }
                // So far into a block, exits are not linked.
                Err(_) => asm!(self.a; jmp QWORD [rbp + stub_disp(STUB_INDIRECT)]),
            }
        }
    }

    /// Ops of a way out.
    pub(super) fn sunk(&mut self, range: SunkRange) {
        if range.len != 0 {
            let here = (self.rest, self.sunk_here);
            self.run(&self.block.sunk_ops[range.range()]);
            (self.rest, self.sunk_here) = here;
        }
    }

    pub(super) fn jump_reg(&mut self, rd: Reg, ra: Reg, disp: i32, link: u64) {
        self.poll(self.pc);
        let target = match (loc(ra), disp) {
            (Loc::R(a), 0) if rd != ra => a,
            (a, 0) => {
                self.a.mov(RAX, a);
                RAX
            }
            (Loc::R(a), _) => {
                let m = Mem {
                    base: Some(a),
                    index: None,
                    scale: 0,
                    disp,
                };
                self.a.lea(RAX, m);
                RAX
            }
            (a, _) => {
                self.a.mov(RAX, a);
                self.a.bin_imm(Bin::Add, Width::W64, Loc::R(RAX), disp);
                RAX
            }
        };
        if !rd.is_zero() {
            match i32::try_from(link) {
                Ok(_) => self.constant(rd, link as i64),
                Err(_) => {
                    // rax may be taken by the target.
                    asm!(self.a; mov rcx, QWORD link as i64);
                    self.a.store(loc(rd), super::regs::RCX);
                }
            }
        }
        // Bit 0 of the target does not count; an odd one is never in the cache, and is cleared on
        // the way out.
        self.a.mov32(super::regs::RCX, Loc::R(target));
        let cache = self.jump_cache();
        asm!(self.a; and ecx, DWORD JUMP_MASK; cmp Rq(target), [rbp + rcx * 8 + cache]);
        let fixup = self.a.jcc(Cc::Ne);
        self.colds.push(Cold {
            fixup,
            back: 0,
            kind: ColdKind::Indirect { target },
        });
        asm!(self.a; jmp QWORD [rbp + rcx * 8 + cache + 8]);
    }

    pub(super) fn cold_indirect(&mut self, target: u8) {
        self.a.mov(RAX, Loc::R(target));
        asm!(self.a; and rax, BYTE -2; mov [rbp + PC], rax; jmp QWORD [rbp + stub_disp(STUB_INDIRECT)]);
    }

    pub(super) fn trap(&mut self, trap: Trap) {
        self.settle_all();
        self.set_pc(self.pc);
        let code = LEAVE_TRAP + trap as u32;
        asm!(self.a; mov eax, DWORD code as i32; jmp QWORD [rbp + stub_disp(STUB_EXIT)]);
    }

    /// Emits the branch `next` off the flags, if it depends on `rd`, which `cc` says is 1. Gives
    /// whether it did.
    pub(super) fn fused_branch(&mut self, cc: Cc, rd: Reg, next: &Op) -> bool {
        let (on_true, exit) = match *next {
            Op::Branch {
                cond: Cond::Ne,
                a,
                b: Reg::ZERO,
                exit,
                ..
            } if a == rd => (true, exit),
            Op::Branch {
                cond: Cond::Eq,
                a,
                b: Reg::ZERO,
                exit,
                ..
            } if a == rd => (false, exit),
            Op::BranchImm {
                cond: Cond::Ne,
                a,
                imm: 0,
                exit,
                ..
            } if a == rd => (true, exit),
            Op::BranchImm {
                cond: Cond::Eq,
                a,
                imm: 0,
                exit,
                ..
            } if a == rd => (false, exit),
            _ => return false,
        };
        if self.block.exits[usize::from(exit)].poll {
            return false;
        }
        self.branch_on(if on_true { cc } else { cc.not() }, exit);
        true
    }
}
