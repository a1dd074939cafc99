//! One pass over a block's ops: hot code in order, then the cold code that it branches to.

use dynasmrt::DynasmApi;

use super::asm::{Asm, Fixup, asm};
use super::control::PC;
use super::lanes::Literals;
use super::runtime::{
    EXIT_BLOCK, LEAVE_CHANGED, LEAVE_INTERPRET, LEAVE_STALE, STUB_EXIT, STUB_HELPER, stub_disp,
};
use super::{FaultPoint, HostCode, Nans, Site};
use crate::ops::{Block, ExitId, FAluOp, FReg, Fmt, Op, Reg, Size, SunkRange};

/// Out-of-line code to come.
pub(super) struct Cold {
    /// The branch that leads there.
    pub fixup: Fixup,
    /// Where it comes back to, for the kinds that do.
    pub back: usize,
    pub kind: ColdKind,
}

pub(super) enum ColdKind {
    /// Settle, run one or two ops in the interpreter, come back. If the first one's access fails, the
    /// sunk ops are run by whoever reports it.
    Helper {
        op: Op,
        also: Option<Op>,
        pc: u64,
        sunk: SunkRange,
        nans: Nans,
    },
    /// Run the sunk ops, and leave: the interpreter goes on at `pc`.
    Interpret {
        pc: u64,
        sunk: SunkRange,
        nans: Nans,
    },
    /// Leave: what the instrumentation relies on has changed.
    Changed,
    /// The result of a quiet comparison with a NaN, come back.
    Unordered { rd: Reg },
    /// Put the canonical NaN for those of `a` and `b` that are NaNs, come back.
    Nan { a: u8, b: u8, fmt: Fmt },
    /// Run the sunk ops, and leave with `pc` because a request is pending.
    Poll { pc: u64, sunk: SunkRange },
    /// The jump cache missed the pc in `target`.
    Indirect { target: u8 },
    /// Settle, run the exit's sunk ops, then its jump.
    SunkExit {
        exit: ExitId,
        sunk: SunkRange,
        nans: Nans,
    },
}

/// Buffers that live from block to block.
#[derive(Default)]
pub(super) struct Buffers {
    colds: Vec<Cold>,
    helper_ops: Vec<Op>,
    helper_fixups: Vec<(usize, usize)>,
    call_fixups: Vec<(usize, usize)>,
    literals: Literals,
}

/// The state of one emission.
pub(super) struct Emission<'a> {
    pub(super) a: Asm,
    pub(super) block: &'a Block,
    /// Guest pc of the instruction whose ops are being emitted.
    pub(super) pc: u64,
    /// What must run if the current op leaves the block by a fault.
    pub(super) sunk_here: SunkRange,
    /// The ops to come, from the current one on.
    pub(super) ahead: &'a [Op],
    /// Those of them that are not emitted together with the current one.
    pub(super) rest: &'a [Op],
    /// Floating-point registers known to hold a boxed single.
    pub(super) boxed: u32,
    /// Registers whose NaNs may not be canonical.
    pub(super) nans: Nans,
    /// Whether this superblock has looked for requests.
    pub(super) polled: bool,
    pub(super) colds: Vec<Cold>,
    pub(super) sites: Vec<Site>,
    faults: Vec<FaultPoint>,
    helper_ops: Vec<Op>,
    /// Where the address of a helper's op goes, and which.
    helper_fixups: Vec<(usize, usize)>,
    /// The same of calls.
    pub(super) call_fixups: Vec<(usize, usize)>,
    pub(super) literals: Literals,
    /// What `CpuState::context` is known to be.
    pub(super) context: Option<u32>,
    /// A branch over so many more ops.
    pub(super) skip: Option<(Fixup, u16)>,
}

/// Size of the patchable slot at the indirect entry.
const ENTRY_SLOT: usize = 8;

pub(super) fn emit(block: &Block, buffers: &mut Buffers, out: &mut HostCode) {
    let mut e = Emission {
        a: Asm::reusing(std::mem::take(&mut out.bytes)),
        block,
        pc: block.pc,
        sunk_here: SunkRange::EMPTY,
        ahead: &[],
        rest: &[],
        boxed: 0,
        nans: Nans::default(),
        polled: false,
        colds: std::mem::take(&mut buffers.colds),
        sites: std::mem::take(&mut out.sites),
        faults: std::mem::take(&mut out.faults),
        helper_ops: std::mem::take(&mut buffers.helper_ops),
        helper_fixups: std::mem::take(&mut buffers.helper_fixups),
        call_fixups: std::mem::take(&mut buffers.call_fixups),
        literals: std::mem::take(&mut buffers.literals),
        context: None,
        skip: None,
    };
    e.sites.clear();
    e.faults.clear();
    e.helper_ops.clear();
    e.helper_fixups.clear();
    e.call_fixups.clear();
    e.literals.clear();
    e.a.nop(ENTRY_SLOT);
    out.chain_entry = e.a.label() as u32;
    if block.instrumented {
        e.poll(block.pc);
    }
    e.run(&block.ops);
    out.stale_stub = e.a.label() as u32;
    e.stale_stub();
    e.cold_code();
    e.exit_stubs();
    e.colds.clear();
    e.literals.place(&mut e.a);

    out.helper_ops = e.helper_ops.as_slice().into();
    for &(at, index) in &e.helper_fixups {
        let address = std::ptr::from_ref(&out.helper_ops[index]) as u64;
        e.a.code[at..at + 8].copy_from_slice(&address.to_le_bytes());
    }
    out.calls = block.calls.as_slice().into();
    for &(at, index) in &e.call_fixups {
        let address = std::ptr::from_ref(&out.calls[index]) as u64;
        e.a.code[at..at + 8].copy_from_slice(&address.to_le_bytes());
    }
    out.bytes = e.a.code;
    out.sites = e.sites;
    out.faults = e.faults;
    buffers.colds = e.colds;
    buffers.helper_ops = e.helper_ops;
    buffers.helper_fixups = e.helper_fixups;
    buffers.call_fixups = e.call_fixups;
    buffers.literals = e.literals;
}

impl<'a> Emission<'a> {
    /// Emits `ops`, in order.
    pub(super) fn run(&mut self, ops: &'a [Op]) {
        let mut ops = ops;
        while let [op, rest @ ..] = ops {
            (self.ahead, self.rest) = (ops, rest);
            self.op(op);
            if !matches!(op, Op::Insn { .. } | Op::Sunk(_)) {
                self.sunk_here = SunkRange::EMPTY;
                if self.skip.is_some() {
                    self.end_skip(op);
                }
            }
            ops = self.rest;
        }
    }

    /// Ends a branch over ops of which `op` was the last.
    fn end_skip(&mut self, op: &Op) {
        self.skip = match self.skip.take() {
            Some(skip) if matches!(op, Op::UnlessDone { .. }) => Some(skip),
            Some((fixup, 1)) => {
                self.a.bind(fixup);
                // Not known on both ways.
                self.context = None;
                None
            }
            Some((fixup, left)) => Some((fixup, left - 1)),
            None => None,
        };
    }

    /// What comes may raise a floating-point flag: says what is to be done where that traps.
    fn raising(&mut self) {
        if self.block.mode.fp_traps() {
            self.fault_point();
        }
    }

    #[inline(always)]
    fn op(&mut self, op: &Op) {
        match *op {
            // x0 takes no value, and these do nothing else.
            Op::Const { rd: Reg::ZERO, .. }
            | Op::Un { rd: Reg::ZERO, .. }
            | Op::Alu { rd: Reg::ZERO, .. }
            | Op::AluImm { rd: Reg::ZERO, .. }
            | Op::ShAdd { rd: Reg::ZERO, .. }
            | Op::Lea { rd: Reg::ZERO, .. } => {}
            Op::Insn { pc, .. } => self.pc = pc,
            Op::Sunk(range) => self.sunk_here = range,
            Op::Point { .. } => {}
            Op::Count { offset, value } => self.counts(op, offset, value),
            Op::SetCount { offset, value } => self.set_count(offset, value),
            Op::Rounding => self.check_rounding(),
            Op::Guard(guard) => self.guard(self.block.guards[usize::from(guard)]),
            Op::Call { call, .. } => self.call(call),
            Op::NoteAddr { addr } => self.note_addr(addr),
            Op::NoteLoaded { a } => self.note_loaded(a),
            Op::NoteStored { a } => self.note_stored(a),
            Op::NoteFLoaded { a } => self.note_float(a, false),
            Op::NoteFStored { a } => self.note_float(a, true),
            Op::Watched(access) => self.watched(self.block.watched[usize::from(access)]),
            Op::UnlessDone { ops } => {
                let fixup = self.unless_done();
                self.skip = Some((fixup, ops));
            }
            Op::Const { rd, value } => self.constant(rd, value),
            Op::Un { op, w, rd, a } => self.un(op, w, rd, a),
            Op::Alu { op, w, rd, a, b } => self.alu(op, w, rd, a, b),
            Op::AluImm { op, w, rd, a, imm } => self.alu_imm(op, w, rd, a, imm),
            Op::ShAdd {
                rd,
                a,
                b,
                shift,
                uw,
            } => self.sh_add(rd, a, b, shift, uw),
            Op::Lea { rd, addr } => self.lea(rd, addr),
            Op::Load {
                rd,
                addr,
                size,
                signed,
            } => self.load(rd, addr, size, signed),
            Op::Store {
                rs,
                addr,
                size: Size::B1,
            } => self.byte_stores(op, rs, addr),
            Op::Store { rs, addr, size } => self.store(rs, addr, size),
            Op::StoreImm { value, addr, size } => self.store_imm(value, addr, size),
            Op::Amo {
                op,
                rd,
                addr,
                src,
                size,
            } => self.amo(op, rd, addr, src, size),
            Op::Lr { rd, addr, size } => self.lr(rd, addr, size),
            Op::Sc {
                rd,
                addr,
                src,
                size,
            } => self.sc(rd, addr, src, size),
            Op::Fence => self.fence(),
            Op::CboZero { .. } | Op::CboTouch { .. } | Op::FClass { .. } => self.helper(*op),
            Op::FLoad { fd, addr, fmt } => self.f_load(fd, addr, fmt),
            Op::FStore { fs, addr, fmt } => self.f_store(fs, addr, fmt),
            Op::FAlu {
                op,
                fmt,
                rm,
                fd,
                a,
                b,
            } => {
                if !matches!(op, FAluOp::Sgnj | FAluOp::Sgnjn | FAluOp::Sgnjx) {
                    self.raising();
                }
                self.f_alu(op, fmt, rm, fd, a, b);
            }
            Op::FSqrt { fmt, rm, fd, a } => {
                self.raising();
                self.f_sqrt(fmt, rm, fd, a);
            }
            Op::FMa {
                op,
                fmt,
                rm,
                fd,
                a,
                b,
                c,
            } => {
                self.raising();
                self.f_ma(op, fmt, rm, fd, a, b, c);
            }
            Op::FCmp {
                op,
                fmt,
                quiet,
                rd,
                a,
                b,
            } => {
                if !quiet {
                    self.raising();
                }
                let cc = self.f_cmp(op, fmt, quiet, rd, a, b);
                self.branch_after(cc, rd);
            }
            Op::FToInt { fmt, to, rm, rd, a } => {
                self.raising();
                self.f_to_int(fmt, to, rm, rd, a);
            }
            Op::IntToF {
                fmt,
                from,
                rm,
                fd,
                a,
            } => {
                self.raising();
                self.int_to_f(fmt, from, rm, fd, a);
            }
            Op::FCvt { fmt, rm, fd, a } => {
                self.raising();
                self.f_cvt(fmt, rm, fd, a);
            }
            Op::FMvToX { fmt, rd, a } => self.f_to_x(fmt, rd, a),
            Op::FMvFromX { fmt, fd, a } => self.f_from_x(fmt, fd, a),
            Op::FlagsRead { rd } => self.flags_read(rd),
            Op::FlagsSwap { rd, a } => self.flags_swap(rd, a),
            Op::Poll { pc } => self.poll(pc),
            Op::Branch {
                cond,
                w,
                a,
                b,
                exit,
            } => self.branch(cond, w, a, b, exit),
            Op::BranchImm {
                cond,
                w,
                a,
                imm,
                exit,
            } => self.branch_imm(cond, w, a, imm, exit),
            Op::Jump { exit } => self.jump(exit),
            Op::JumpReg { rd, a, disp, link } => self.jump_reg(rd, a, disp, link),
            Op::Trap(trap) => self.trap(trap),
        }
    }

    /// What follows is host code that may fault: an access of the instruction at the current pc, or
    /// its floating-point exception. Until it has faulted it changes no register of the guest.
    pub(super) fn fault_point(&mut self) {
        self.push_point(false);
    }

    /// The same for code that does several instructions: see [`FaultPoint::retry`].
    pub(super) fn retry_point(&mut self) {
        self.push_point(true);
    }

    fn push_point(&mut self, retry: bool) {
        self.faults.push(FaultPoint {
            offset: self.a.code.len() as u32,
            pc: self.pc,
            sunk: self.sunk_here,
            nans: self.nans,
            retry,
        });
    }

    /// Runs `op` in the interpreter, in line.
    pub(super) fn helper(&mut self, op: Op) {
        self.settle_all();
        self.call_helper(op, self.pc, self.sunk_here);
    }

    /// The same for a floating-point op, whose result is a boxed single if `fmt` says so.
    pub(super) fn helper_f(&mut self, op: Op, result: Option<(FReg, Fmt)>) {
        self.helper(op);
        if let Some((fd, fmt)) = result {
            self.nans.remove(fd);
            match fmt {
                Fmt::S => self.boxed |= 1 << fd.index(),
                Fmt::D => self.boxed &= !(1 << fd.index()),
            }
        }
    }

    fn call_helper(&mut self, op: Op, pc: u64, sunk: SunkRange) {
        if op.accesses_memory() {
            self.faults.push(FaultPoint {
                offset: self.a.code.len() as u32,
                pc,
                sunk,
                nans: Nans::default(),
                retry: false,
            });
        }
        match i32::try_from(pc as i64) {
            Ok(pc) => asm!(self.a; mov QWORD [rbp + PC], DWORD pc),
            Err(_) => asm!(self.a; mov rax, QWORD pc as i64; mov [rbp + PC], rax),
        }
        asm!(self.a; mov rax, QWORD 0);
        self.helper_fixups
            .push((self.a.code.len() - 8, self.helper_ops.len()));
        self.helper_ops.push(op);
        asm!(self.a; call QWORD [rbp + stub_disp(STUB_HELPER)]);
    }

    /// Out of line, `op` is run by the interpreter; [`Self::rejoin`] says where it comes back.
    pub(super) fn cold(&mut self, fixup: Fixup, op: Op) -> Cold {
        let kind = ColdKind::Helper {
            op,
            also: None,
            pc: self.pc,
            sunk: self.sunk_here,
            nans: self.nans,
        };
        Cold {
            fixup,
            back: 0,
            kind,
        }
    }

    /// `cold` comes back here.
    pub(super) fn rejoin(&mut self, cold: Cold) {
        let back = self.a.label();
        self.colds.push(Cold { back, ..cold });
    }

    /// Where the indirect entry leads once the block is invalid.
    fn stale_stub(&mut self) {
        let pc = self.block.pc as i64;
        asm!(self.a; mov rax, QWORD pc; mov [rbp + PC], rax);
        self.leave(LEAVE_STALE);
    }

    fn leave(&mut self, code: u32) {
        asm!(self.a; mov eax, DWORD code as i32; jmp QWORD [rbp + stub_disp(STUB_EXIT)]);
    }

    fn cold_code(&mut self) {
        // Cold code may add more of it (the jump of a sunk exit).
        let mut i = 0;
        while i < self.colds.len() {
            let Cold { fixup, back, .. } = self.colds[i];
            self.a.bind(fixup);
            match self.colds[i].kind {
                ColdKind::Helper {
                    op,
                    also,
                    pc,
                    sunk,
                    nans,
                } => {
                    self.cold_settle(nans);
                    self.call_helper(op, pc, sunk);
                    if let Some(op) = also {
                        self.call_helper(op, pc, SunkRange::EMPTY);
                    }
                    self.jump_back(back);
                }
                ColdKind::Interpret { pc, sunk, nans } => {
                    self.cold_settle(nans);
                    self.sunk(sunk);
                    asm!(self.a; mov rax, QWORD pc as i64; mov [rbp + PC], rax);
                    // Where the block begins; so far this is 7 bytes.
                    let start = -(self.a.label() as i32 + 7);
                    asm!(self.a; lea rax, [rip + start]; mov [rbp + EXIT_BLOCK], rax);
                    self.leave(LEAVE_INTERPRET);
                }
                ColdKind::Changed => {
                    self.set_pc(self.block.pc);
                    self.leave(LEAVE_CHANGED);
                }
                ColdKind::Unordered { rd } => {
                    self.cold_unordered(rd);
                    self.jump_back(back);
                }
                ColdKind::Nan { a, b, fmt } => {
                    self.cold_nan(a, b, fmt);
                    self.jump_back(back);
                }
                ColdKind::Poll { pc, sunk } => self.cold_poll(pc, sunk),
                ColdKind::Indirect { target } => self.cold_indirect(target),
                ColdKind::SunkExit { exit, sunk, nans } => self.cold_sunk_exit(exit, sunk, nans),
            }
            i += 1;
        }
    }

    fn jump_back(&mut self, back: usize) {
        let fixup = self.a.jmp();
        self.a.bind_to(fixup, back);
    }
}
