//! The front end: guest bytes → ops of one superblock.
//!
//! A superblock starts at its entry pc, follows unconditional jumps and calls, falls through
//! conditional branches and returns to known addresses, and stops at anything it cannot see
//! through, at its own instructions (a loop is closed by an exit) or at the limit.
//!
//! On a machine's hart it stays in its page, as the next one may be mapped elsewhere at any moment. An
//! instruction that may straddle two pages has a block of its own, which depends on both.
//!
//! Every guest cycle passes a poll: an exit that may close a loop polls, and so does a backward
//! jump that is followed. Forward moves and folded returns alone cannot form a cycle.

use riscv::{Insn, Opcode};

use crate::mem::GuestCode;
use crate::ops::{
    Addr, AluOp, AmoOp, Block, Cond, Exit, ExitId, FAluOp, FCmpOp, FReg, FmaOp, Fmt, GuestRange,
    IntFmt, Op, Reg, Rm, Size, SunkRange, Trap, UnOp, Width,
};
use crate::state::Mode;

/// Bounds of a superblock.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most guest instructions in one superblock; at least 1.
    pub max_insns: u32,
    /// How many are enough: no jump or branch is followed from there on.
    pub enough_insns: u32,
    /// Whether jumps are followed at all; without, a block is a plain block.
    pub superblocks: bool,
    /// Whether registers whose value is known are constants. Not where callbacks change registers.
    pub fold: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_insns: 200,
            enough_insns: 24,
            superblocks: true,
            fold: true,
        }
    }
}

/// CSR numbers that the front end knows (unprivileged specification, "Zicsr" and "F").
const CSR_FFLAGS: i32 = 0x001;
const CSR_FRM: i32 = 0x002;
const CSR_FCSR: i32 = 0x003;

/// Translates the guest code at `pc` into `block` (cleared first). Where nothing can be fetched,
/// the block ends in `Trap::Fetch`.
pub fn translate(block: &mut Block, pc: u64, mode: Mode, code: &dyn GuestCode, limits: &Limits) {
    block.clear();
    block.pc = pc;
    block.mode = mode;
    let mut front = Front {
        block,
        mode,
        limits,
        known: Known {
            fold: limits.fold,
            mask: 0,
            values: [0; 32],
        },
        window: Window::new(code),
        pc,
        entry_point: 0,
        plain_start: 0,
        most_insns: 0,
        run: pc,
        end: pc,
        noted: pc,
        room: u64::MAX,
    };
    front.open_plain_block();
    loop {
        let closes_loop = front.closes_loop();
        let is_far = front.block.n_insns != 0 && mode.is_far(pc, front.pc);
        if closes_loop || is_far || front.block.n_insns >= front.most_insns {
            front.jump_out(front.pc, closes_loop);
            break;
        }
        let Some(bits) = front.fetch() else {
            front.push(Op::Insn {
                pc: front.pc,
                len: 0,
            });
            front.push(Op::Trap(Trap::Fetch));
            break;
        };
        let insn = riscv::decode(bits);
        front.begin(insn.len);
        match front.insn(&insn) {
            Flow::Next => front.pc = front.end,
            Flow::Follow(target) => front.follow(target),
            Flow::End => break,
        }
    }
    front.close_plain_block();
    front.close_run();
}

/// What an instruction means for the rest of the superblock.
enum Flow {
    Next,
    Follow(u64),
    End,
}

/// Guest bytes ahead of the decoder, fetched some at a time.
struct Window<'a> {
    code: &'a dyn GuestCode,
    start: u64,
    len: usize,
    buf: [u8; 128],
}

impl<'a> Window<'a> {
    fn new(code: &'a dyn GuestCode) -> Window<'a> {
        Window {
            code,
            start: 0,
            len: 0,
            buf: [0; 128],
        }
    }

    /// The four bytes at `pc`, if they have been fetched.
    fn word(&self, pc: u64) -> Option<u32> {
        let offset = usize::try_from(pc.wrapping_sub(self.start)).ok()?;
        let bytes = self.buf[..self.len].get(offset..)?;
        bytes.first_chunk().copied().map(u32::from_le_bytes)
    }

    /// The bytes of the instruction at `pc`, which become the first of the window.
    fn fetch(&mut self, pc: u64) -> Option<u32> {
        self.start = pc;
        self.len = self.code.fetch(pc, &mut self.buf);
        self.word(pc).or_else(|| {
            // The last instruction before a gap.
            let half = self.buf[..self.len].first_chunk().copied();
            let half = half.map(u16::from_le_bytes)?;
            (riscv::insn_len(half) == 2).then_some(half.into())
        })
    }

    /// The `len` bytes at `pc`, which have been fetched.
    fn bytes(&self, pc: u64, len: u64) -> &[u8] {
        let at = pc.wrapping_sub(self.start) as usize;
        &self.buf[at..at + len as usize]
    }
}

/// Registers whose value the translator knows, for folding addresses and returns.
struct Known {
    fold: bool,
    mask: u32,
    values: [u64; 32],
}

impl Known {
    fn get(&self, r: u8) -> Option<u64> {
        if r == 0 {
            Some(0)
        } else if self.mask >> r & 1 != 0 {
            Some(self.values[usize::from(r)])
        } else {
            None
        }
    }

    fn set(&mut self, r: u8, value: u64) {
        if r != 0 && self.fold {
            self.mask |= 1 << r;
            self.values[usize::from(r)] = value;
        }
    }

    fn forget(&mut self, r: u8) {
        self.mask &= !(1 << r);
    }
}

struct Front<'a> {
    block: &'a mut Block,
    mode: Mode,
    limits: &'a Limits,
    known: Known,
    window: Window<'a>,
    pc: u64,
    /// Index of the open plain block's entry point among the ops.
    entry_point: usize,
    /// How many instructions there were before it.
    plain_start: u32,
    /// How many instructions the superblock may have here.
    most_insns: u32,
    /// Where the run of straight code began that is not among the ranges yet.
    run: u64,
    /// Where the instruction at hand ends, and with it the run.
    end: u64,
    /// Up to where the run's bytes are among the block's.
    noted: u64,
    /// How long the run may become before it meets a range.
    room: u64,
}

impl Front<'_> {
    fn push(&mut self, op: Op) {
        self.block.ops.push(op);
    }

    /// The bits of the instruction at `self.pc`.
    fn fetch(&mut self) -> Option<u32> {
        if self.pc & 1 != 0 {
            return None;
        }
        match self.window.word(self.pc) {
            Some(word) => Some(word),
            None => {
                self.note_bytes();
                self.window.fetch(self.pc)
            }
        }
    }

    /// Begins the instruction at `self.pc`, of `len` bytes.
    fn begin(&mut self, len: u8) {
        let pc = self.pc;
        self.end = pc.wrapping_add(u64::from(len));
        self.most_insns = self.limits.max_insns;
        self.block.n_insns += 1;
        self.push(Op::Insn { pc, len });
    }

    fn open_plain_block(&mut self) {
        self.entry_point = self.block.ops.len();
        self.plain_start = self.block.n_insns;
        let Limits {
            max_insns,
            enough_insns,
            ..
        } = *self.limits;
        self.most_insns = max_insns.min(enough_insns).max(1);
        let pc = self.pc;
        self.push(Op::Point { pc, n_insns: 0 });
    }

    fn plain_insns(&self) -> u32 {
        self.block.n_insns - self.plain_start
    }

    fn close_plain_block(&mut self) {
        let plain = self.plain_insns() as u16;
        if let Some(Op::Point { n_insns, .. }) = self.block.ops.get_mut(self.entry_point) {
            *n_insns = plain;
        }
    }

    /// Ends the plain block at an instruction that continues at `next` in this superblock.
    fn next_plain_block(&mut self, next: u64) {
        self.close_plain_block();
        self.pc = next;
        self.open_plain_block();
    }

    /// Goes on at `target`, which has not been visited.
    fn follow(&mut self, target: u64) {
        self.pc = target;
        if target != self.end {
            self.close_run();
            (self.run, self.end, self.noted) = (target, target, target);
            let ranges = self.block.ranges.iter();
            let distances = ranges.map(|range| range.start.wrapping_sub(target));
            self.room = distances.min().unwrap_or(u64::MAX);
        }
    }

    /// Copies what is missing of the run's bytes, all of which are in the window.
    fn note_bytes(&mut self) {
        let len = self.end.wrapping_sub(self.noted);
        if len != 0 {
            let bytes = self.window.bytes(self.noted, len);
            self.block.bytes.extend_from_slice(bytes);
            self.noted = self.end;
        }
    }

    fn close_run(&mut self) {
        self.note_bytes();
        let (start, len) = (self.run, self.end.wrapping_sub(self.run) as u32);
        if len != 0 {
            self.block.ranges.push(GuestRange { start, len });
        }
    }

    /// Whether `pc` lies in code that this superblock already holds.
    fn visited(&self, pc: u64) -> bool {
        let within = |start, len| pc.wrapping_sub(start) < len;
        let mut ranges = self.block.ranges.iter();
        within(self.run, self.end.wrapping_sub(self.run))
            || ranges.any(|range| within(range.start, u64::from(range.len)))
    }

    /// The same of `self.pc`. What is followed has not been visited, and straight code that meets no
    /// range takes no search.
    fn closes_loop(&self) -> bool {
        self.pc.wrapping_sub(self.run) >= self.room && self.visited(self.pc)
    }

    fn exit(&mut self, target: u64, poll: bool) -> ExitId {
        let id = self.block.exits.len() as ExitId;
        self.block.exits.push(Exit {
            target,
            sunk: SunkRange::EMPTY,
            poll,
        });
        id
    }

    fn jump_out(&mut self, target: u64, poll: bool) {
        let exit = self.exit(target, poll);
        self.push(Op::Jump { exit });
    }

    fn trap(&mut self, trap: Trap) -> Flow {
        self.push(Op::Trap(trap));
        Flow::End
    }

    /// Emits an op that writes `rd`, unless `rd` is x0.
    fn def(&mut self, rd: u8, op: Op) -> Flow {
        if rd != 0 {
            self.known.forget(rd);
            self.push(op);
        }
        Flow::Next
    }

    fn constant(&mut self, rd: u8, value: u64) -> Flow {
        if rd != 0 {
            self.known.set(rd, value);
            self.push(Op::Const {
                rd: Reg(rd),
                value: value as i64,
            });
        }
        Flow::Next
    }

    fn alu(&mut self, i: &Insn, op: AluOp, w: Width) -> Flow {
        let (rd, a, b) = (Reg(i.rd), Reg(i.rs1), Reg(i.rs2));
        let full = w == Width::W64;
        let simpler = match op {
            AluOp::Add | AluOp::Or | AluOp::Xor if full && a.is_zero() => Some(mov(rd, b)),
            AluOp::Add | AluOp::Or | AluOp::Xor | AluOp::Sub if full && b.is_zero() => {
                Some(mov(rd, a))
            }
            _ => None,
        };
        self.def(i.rd, simpler.unwrap_or(Op::Alu { op, w, rd, a, b }))
    }

    fn alu_imm(&mut self, i: &Insn, op: AluOp, w: Width) -> Flow {
        let (rd, a, imm) = (Reg(i.rd), Reg(i.rs1), i.imm);
        if let Some(value) = self.known.get(i.rs1) {
            let value = match (op, w) {
                (AluOp::Add, Width::W64) => Some(value.wrapping_add(imm as u64)),
                (AluOp::Add, Width::W32) => Some((value as i32).wrapping_add(imm) as u64),
                (AluOp::Sll, Width::W64) => Some(value << (imm & 63)),
                _ => None,
            };
            if let Some(value) = value {
                return self.constant(i.rd, value);
            }
        }
        let op = match (op, w, imm) {
            (AluOp::Add, Width::W64, 0) => mov(rd, a),
            (AluOp::Add, Width::W32, 0) => un(UnOp::SextW, rd, a),
            (AluOp::And, Width::W64, 255) => un(UnOp::ZextB, rd, a),
            _ => Op::AluImm { op, w, rd, a, imm },
        };
        self.def(i.rd, op)
    }

    fn un(&mut self, i: &Insn, op: UnOp, w: Width) -> Flow {
        let (rd, a) = (Reg(i.rd), Reg(i.rs1));
        self.def(i.rd, Op::Un { op, w, rd, a })
    }

    fn sh_add(&mut self, i: &Insn, shift: u8, uw: bool) -> Flow {
        let (rd, a, b) = (Reg(i.rd), Reg(i.rs1), Reg(i.rs2));
        if shift == 0 && b.is_zero() {
            return self.def(i.rd, un(UnOp::ZextW, rd, a));
        }
        self.def(
            i.rd,
            Op::ShAdd {
                rd,
                a,
                b,
                shift,
                uw,
            },
        )
    }

    /// The address `rs1 + imm`, absolute if rs1 is known and the sum fits.
    fn addr(&self, i: &Insn) -> Addr {
        if let Some(base) = self.known.get(i.rs1)
            && let Ok(disp) = i32::try_from(base.wrapping_add(i.imm as u64) as i64)
        {
            return Addr::reg(Reg::ZERO, disp);
        }
        Addr::reg(Reg(i.rs1), i.imm)
    }

    fn load(&mut self, i: &Insn, size: Size, signed: bool) -> Flow {
        let addr = self.addr(i);
        self.known.forget(i.rd);
        self.push(Op::Load {
            rd: Reg(i.rd),
            addr,
            size,
            signed,
        });
        Flow::Next
    }

    fn store(&mut self, i: &Insn, size: Size) -> Flow {
        let addr = self.addr(i);
        self.push(Op::Store {
            rs: Reg(i.rs2),
            addr,
            size,
        });
        Flow::Next
    }

    fn amo(&mut self, i: &Insn, op: AmoOp, size: Size) -> Flow {
        self.known.forget(i.rd);
        self.push(Op::Amo {
            op,
            rd: Reg(i.rd),
            addr: Reg(i.rs1),
            src: Reg(i.rs2),
            size,
        });
        Flow::Next
    }

    fn branch(&mut self, i: &Insn, cond: Cond) -> Flow {
        let target = self.pc.wrapping_add(i.imm as u64);
        let next = self.pc.wrapping_add(u64::from(i.len));
        let (a, b) = (Reg(i.rs1), Reg(i.rs2));
        if a == b {
            // Decided already: `beq x,x`, `bge x,x`, `bgeu x,x` always jump, the others never.
            return if matches!(cond, Cond::Eq | Cond::Ge | Cond::Geu) {
                self.transfer(target)
            } else {
                Flow::Next
            };
        }
        let exit = self.exit(target, target <= self.pc);
        let w = Width::W64;
        self.push(Op::Branch {
            cond,
            w,
            a,
            b,
            exit,
        });
        if !self.limits.superblocks {
            self.jump_out(next, false);
            return Flow::End;
        }
        self.next_plain_block(next);
        Flow::Follow(next)
    }

    /// An unconditional transfer to a known target.
    fn transfer(&mut self, target: u64) -> Flow {
        let backward = target <= self.pc;
        if !self.limits.superblocks || self.visited(target) {
            self.jump_out(target, true);
            return Flow::End;
        }
        if backward {
            self.push(Op::Poll { pc: target });
        }
        self.next_plain_block(target);
        Flow::Follow(target)
    }

    fn jal(&mut self, i: &Insn) -> Flow {
        let target = self.pc.wrapping_add(i.imm as u64);
        self.constant(i.rd, self.pc.wrapping_add(u64::from(i.len)));
        self.transfer(target)
    }

    fn jalr(&mut self, i: &Insn) -> Flow {
        let link = self.pc.wrapping_add(u64::from(i.len));
        if let Some(base) = self.known.get(i.rs1)
            && self.limits.superblocks
        {
            let target = base.wrapping_add(i.imm as u64) & !1;
            self.constant(i.rd, link);
            let is_return = i.rd == 0;
            if is_return && !self.visited(target) {
                // A folded return needs no poll: see the module's header.
                self.next_plain_block(target);
                return Flow::Follow(target);
            }
            return self.transfer(target);
        }
        self.push(Op::JumpReg {
            rd: Reg(i.rd),
            a: Reg(i.rs1),
            disp: i.imm,
            link,
        });
        Flow::End
    }

    /// The rounding mode of an instruction, `None` if it is reserved (then illegal).
    fn rm(&self, i: &Insn) -> Option<Rm> {
        Rm::from_bits(if i.rm == 7 { self.mode.frm() } else { i.rm })
    }

    fn fp(&mut self, i: &Insn, op: impl FnOnce(Rm) -> Op) -> Flow {
        match self.rm(i) {
            Some(rm) => {
                let op = op(rm);
                self.push(op);
                Flow::Next
            }
            None => self.trap(Trap::Illegal),
        }
    }

    fn f_alu(&mut self, i: &Insn, op: FAluOp, fmt: Fmt) -> Flow {
        let (fd, a, b) = (FReg(i.rd), FReg(i.rs1), FReg(i.rs2));
        if !matches!(op, FAluOp::Add | FAluOp::Sub | FAluOp::Mul | FAluOp::Div) {
            let rm = Rm::Rne;
            self.push(Op::FAlu {
                op,
                fmt,
                rm,
                fd,
                a,
                b,
            });
            return Flow::Next;
        }
        self.fp(i, |rm| Op::FAlu {
            op,
            fmt,
            rm,
            fd,
            a,
            b,
        })
    }

    fn f_ma(&mut self, i: &Insn, op: FmaOp, fmt: Fmt) -> Flow {
        let (fd, a, b, c) = (FReg(i.rd), FReg(i.rs1), FReg(i.rs2), FReg(i.rs3));
        self.fp(i, |rm| Op::FMa {
            op,
            fmt,
            rm,
            fd,
            a,
            b,
            c,
        })
    }

    fn f_to_int(&mut self, i: &Insn, fmt: Fmt, to: IntFmt) -> Flow {
        let (rd, a) = (Reg(i.rd), FReg(i.rs1));
        self.known.forget(i.rd);
        self.fp(i, |rm| Op::FToInt { fmt, to, rm, rd, a })
    }

    fn int_to_f(&mut self, i: &Insn, fmt: Fmt, from: IntFmt) -> Flow {
        let (fd, a) = (FReg(i.rd), Reg(i.rs1));
        self.fp(i, |rm| Op::IntToF {
            fmt,
            from,
            rm,
            fd,
            a,
        })
    }

    fn f_cmp(&mut self, i: &Insn, op: FCmpOp, fmt: Fmt) -> Flow {
        let (rd, a, b) = (Reg(i.rd), FReg(i.rs1), FReg(i.rs2));
        self.known.forget(i.rd);
        self.push(Op::FCmp {
            op,
            fmt,
            quiet: false,
            rd,
            a,
            b,
        });
        Flow::Next
    }

    fn csr(&mut self, i: &Insn) -> Flow {
        let (rd, a) = (Reg(i.rd), Reg(i.rs1));
        let reads_only = matches!(
            i.op,
            Opcode::Csrrs | Opcode::Csrrc | Opcode::Csrrsi | Opcode::Csrrci
        ) && i.rs1 == 0;
        let writes_reg = i.op == Opcode::Csrrw || (i.op == Opcode::Csrrwi && i.rs1 == 0);
        self.known.forget(i.rd);
        match i.imm {
            CSR_FFLAGS | CSR_FRM | CSR_FCSR if self.mode.fp_off() => self.trap(Trap::Float),
            CSR_FFLAGS if reads_only => {
                self.push(Op::FlagsRead { rd });
                Flow::Next
            }
            CSR_FFLAGS if writes_reg => {
                self.push(Op::FlagsSwap { rd, a });
                Flow::Next
            }
            CSR_FRM if reads_only => {
                let frm = u64::from(self.mode.frm());
                self.constant(i.rd, frm)
            }
            _ => self.trap(Trap::Csr),
        }
    }

    fn fence(&mut self, i: &Insn) -> Flow {
        // Only store→load order is missing on x86; a store is W (1) or O (4), a load R (2) or I (8).
        let (pred, succ) = (i.imm >> 4 & 15, i.imm & 15);
        if pred & 0b0101 != 0 && succ & 0b1010 != 0 {
            self.push(Op::Fence);
        }
        Flow::Next
    }

    #[rustfmt::skip]
    fn insn(&mut self, i: &Insn) -> Flow {
        if self.mode.fp_off() && i.op.is_float() {
            return self.trap(Trap::Float);
        }
        use AluOp as A;
        use Fmt::{D, S};
        use IntFmt::{I32, I64, U32, U64};
        use Opcode as O;
        use Size::{B1, B2, B4, B8};
        use Width::{W32, W64};
        let link = self.pc.wrapping_add(i.imm as u64);
        match i.op {
            O::Illegal => self.trap(Trap::Illegal),
            // Not there in user mode.
            O::Sret | O::Mret | O::Wfi | O::SfenceVma | O::SinvalVma | O::SfenceWInval | O::SfenceInvalIr => {
                self.trap(if self.mode.is_hart() { Trap::System } else { Trap::Illegal })
            }
            O::Lui => self.constant(i.rd, i.imm as u64),
            O::Auipc => self.constant(i.rd, link),
            O::Jal => self.jal(i),
            O::Jalr => self.jalr(i),
            O::Beq => self.branch(i, Cond::Eq),
            O::Bne => self.branch(i, Cond::Ne),
            O::Blt => self.branch(i, Cond::Lt),
            O::Bge => self.branch(i, Cond::Ge),
            O::Bltu => self.branch(i, Cond::Ltu),
            O::Bgeu => self.branch(i, Cond::Geu),
            O::Lb => self.load(i, B1, true),
            O::Lh => self.load(i, B2, true),
            O::Lw => self.load(i, B4, true),
            O::Ld => self.load(i, B8, true),
            O::Lbu => self.load(i, B1, false),
            O::Lhu => self.load(i, B2, false),
            O::Lwu => self.load(i, B4, false),
            O::Sb => self.store(i, B1),
            O::Sh => self.store(i, B2),
            O::Sw => self.store(i, B4),
            O::Sd => self.store(i, B8),
            O::Addi => self.alu_imm(i, A::Add, W64),
            O::Slti => self.alu_imm(i, A::Slt, W64),
            O::Sltiu => self.alu_imm(i, A::Sltu, W64),
            O::Xori => self.alu_imm(i, A::Xor, W64),
            O::Ori => self.alu_imm(i, A::Or, W64),
            O::Andi => self.alu_imm(i, A::And, W64),
            O::Slli => self.alu_imm(i, A::Sll, W64),
            O::Srli => self.alu_imm(i, A::Srl, W64),
            O::Srai => self.alu_imm(i, A::Sra, W64),
            O::Addiw => self.alu_imm(i, A::Add, W32),
            O::Slliw => self.alu_imm(i, A::Sll, W32),
            O::Srliw => self.alu_imm(i, A::Srl, W32),
            O::Sraiw => self.alu_imm(i, A::Sra, W32),
            O::Rori => self.alu_imm(i, A::Ror, W64),
            O::Roriw => self.alu_imm(i, A::Ror, W32),
            O::Bclri => self.alu_imm(i, A::Bclr, W64),
            O::Bexti => self.alu_imm(i, A::Bext, W64),
            O::Binvi => self.alu_imm(i, A::Binv, W64),
            O::Bseti => self.alu_imm(i, A::Bset, W64),
            O::Add => self.alu(i, A::Add, W64),
            O::Sub => self.alu(i, A::Sub, W64),
            O::Sll => self.alu(i, A::Sll, W64),
            O::Slt => self.alu(i, A::Slt, W64),
            O::Sltu => self.alu(i, A::Sltu, W64),
            O::Xor => self.alu(i, A::Xor, W64),
            O::Srl => self.alu(i, A::Srl, W64),
            O::Sra => self.alu(i, A::Sra, W64),
            O::Or => self.alu(i, A::Or, W64),
            O::And => self.alu(i, A::And, W64),
            O::Addw => self.alu(i, A::Add, W32),
            O::Subw => self.alu(i, A::Sub, W32),
            O::Sllw => self.alu(i, A::Sll, W32),
            O::Srlw => self.alu(i, A::Srl, W32),
            O::Sraw => self.alu(i, A::Sra, W32),
            O::Mul => self.alu(i, A::Mul, W64),
            O::Mulh => self.alu(i, A::Mulh, W64),
            O::Mulhsu => self.alu(i, A::Mulhsu, W64),
            O::Mulhu => self.alu(i, A::Mulhu, W64),
            O::Div => self.alu(i, A::Div, W64),
            O::Divu => self.alu(i, A::Divu, W64),
            O::Rem => self.alu(i, A::Rem, W64),
            O::Remu => self.alu(i, A::Remu, W64),
            O::Mulw => self.alu(i, A::Mul, W32),
            O::Divw => self.alu(i, A::Div, W32),
            O::Divuw => self.alu(i, A::Divu, W32),
            O::Remw => self.alu(i, A::Rem, W32),
            O::Remuw => self.alu(i, A::Remu, W32),
            O::Andn => self.alu(i, A::Andn, W64),
            O::Orn => self.alu(i, A::Orn, W64),
            O::Xnor => self.alu(i, A::Xnor, W64),
            O::Max => self.alu(i, A::Max, W64),
            O::Maxu => self.alu(i, A::Maxu, W64),
            O::Min => self.alu(i, A::Min, W64),
            O::Minu => self.alu(i, A::Minu, W64),
            O::Rol => self.alu(i, A::Rol, W64),
            O::Ror => self.alu(i, A::Ror, W64),
            O::Rolw => self.alu(i, A::Rol, W32),
            O::Rorw => self.alu(i, A::Ror, W32),
            O::Bclr => self.alu(i, A::Bclr, W64),
            O::Bext => self.alu(i, A::Bext, W64),
            O::Binv => self.alu(i, A::Binv, W64),
            O::Bset => self.alu(i, A::Bset, W64),
            O::CzeroEqz => self.alu(i, A::CzeroEqz, W64),
            O::CzeroNez => self.alu(i, A::CzeroNez, W64),
            O::Clz => self.un(i, UnOp::Clz, W64),
            O::Ctz => self.un(i, UnOp::Ctz, W64),
            O::Cpop => self.un(i, UnOp::Cpop, W64),
            O::Clzw => self.un(i, UnOp::Clz, W32),
            O::Ctzw => self.un(i, UnOp::Ctz, W32),
            O::Cpopw => self.un(i, UnOp::Cpop, W32),
            O::SextB => self.un(i, UnOp::SextB, W64),
            O::SextH => self.un(i, UnOp::SextH, W64),
            O::ZextH => self.un(i, UnOp::ZextH, W64),
            O::OrcB => self.un(i, UnOp::OrcB, W64),
            O::Rev8 => self.un(i, UnOp::Rev8, W64),
            O::AddUw => self.sh_add(i, 0, true),
            O::Sh1add => self.sh_add(i, 1, false),
            O::Sh2add => self.sh_add(i, 2, false),
            O::Sh3add => self.sh_add(i, 3, false),
            O::Sh1addUw => self.sh_add(i, 1, true),
            O::Sh2addUw => self.sh_add(i, 2, true),
            O::Sh3addUw => self.sh_add(i, 3, true),
            O::SlliUw => self.sh_add(&Insn { rs2: 0, ..*i }, (i.imm & 63) as u8, true),
            O::Fence => self.fence(i),
            O::FenceTso => Flow::Next,
            O::Pause => self.trap(Trap::Pause),
            O::FenceI => self.trap(Trap::FenceI),
            O::Ecall => self.trap(Trap::Ecall),
            O::Ebreak => self.trap(Trap::Ebreak),
            O::Csrrw | O::Csrrs | O::Csrrc | O::Csrrwi | O::Csrrsi | O::Csrrci => self.csr(i),
            O::CboZero if self.mode.illegal_cache_blocks().zero => self.trap(Trap::Illegal),
            O::CboClean | O::CboFlush if self.mode.illegal_cache_blocks().clean => self.trap(Trap::Illegal),
            O::CboInval if self.mode.illegal_cache_blocks().inval => self.trap(Trap::Illegal),
            O::CboZero => { self.push(Op::CboZero { addr: Reg(i.rs1) }); Flow::Next }
            O::CboClean | O::CboFlush | O::CboInval => { self.push(Op::CboTouch { addr: Reg(i.rs1) }); Flow::Next }
            O::LrW | O::LrD => {
                self.known.forget(i.rd);
                let size = if i.op == O::LrW { B4 } else { B8 };
                self.push(Op::Lr { rd: Reg(i.rd), addr: Reg(i.rs1), size });
                Flow::Next
            }
            O::ScW | O::ScD => {
                self.known.forget(i.rd);
                let size = if i.op == O::ScW { B4 } else { B8 };
                self.push(Op::Sc { rd: Reg(i.rd), addr: Reg(i.rs1), src: Reg(i.rs2), size });
                Flow::Next
            }
            O::AmoswapW => self.amo(i, AmoOp::Swap, B4),
            O::AmoaddW => self.amo(i, AmoOp::Add, B4),
            O::AmoxorW => self.amo(i, AmoOp::Xor, B4),
            O::AmoandW => self.amo(i, AmoOp::And, B4),
            O::AmoorW => self.amo(i, AmoOp::Or, B4),
            O::AmominW => self.amo(i, AmoOp::Min, B4),
            O::AmomaxW => self.amo(i, AmoOp::Max, B4),
            O::AmominuW => self.amo(i, AmoOp::Minu, B4),
            O::AmomaxuW => self.amo(i, AmoOp::Maxu, B4),
            O::AmoswapD => self.amo(i, AmoOp::Swap, B8),
            O::AmoaddD => self.amo(i, AmoOp::Add, B8),
            O::AmoxorD => self.amo(i, AmoOp::Xor, B8),
            O::AmoandD => self.amo(i, AmoOp::And, B8),
            O::AmoorD => self.amo(i, AmoOp::Or, B8),
            O::AmominD => self.amo(i, AmoOp::Min, B8),
            O::AmomaxD => self.amo(i, AmoOp::Max, B8),
            O::AmominuD => self.amo(i, AmoOp::Minu, B8),
            O::AmomaxuD => self.amo(i, AmoOp::Maxu, B8),
            O::Flw | O::Fld => {
                let (addr, fmt) = (self.addr(i), if i.op == O::Flw { S } else { D });
                self.push(Op::FLoad { fd: FReg(i.rd), addr, fmt });
                Flow::Next
            }
            O::Fsw | O::Fsd => {
                let (addr, fmt) = (self.addr(i), if i.op == O::Fsw { S } else { D });
                self.push(Op::FStore { fs: FReg(i.rs2), addr, fmt });
                Flow::Next
            }
            O::FmaddS => self.f_ma(i, FmaOp::Madd, S),
            O::FmsubS => self.f_ma(i, FmaOp::Msub, S),
            O::FnmsubS => self.f_ma(i, FmaOp::Nmsub, S),
            O::FnmaddS => self.f_ma(i, FmaOp::Nmadd, S),
            O::FmaddD => self.f_ma(i, FmaOp::Madd, D),
            O::FmsubD => self.f_ma(i, FmaOp::Msub, D),
            O::FnmsubD => self.f_ma(i, FmaOp::Nmsub, D),
            O::FnmaddD => self.f_ma(i, FmaOp::Nmadd, D),
            O::FaddS => self.f_alu(i, FAluOp::Add, S),
            O::FsubS => self.f_alu(i, FAluOp::Sub, S),
            O::FmulS => self.f_alu(i, FAluOp::Mul, S),
            O::FdivS => self.f_alu(i, FAluOp::Div, S),
            O::FaddD => self.f_alu(i, FAluOp::Add, D),
            O::FsubD => self.f_alu(i, FAluOp::Sub, D),
            O::FmulD => self.f_alu(i, FAluOp::Mul, D),
            O::FdivD => self.f_alu(i, FAluOp::Div, D),
            O::FminS => self.f_alu(i, FAluOp::Min, S),
            O::FmaxS => self.f_alu(i, FAluOp::Max, S),
            O::FminD => self.f_alu(i, FAluOp::Min, D),
            O::FmaxD => self.f_alu(i, FAluOp::Max, D),
            O::FsgnjS => self.f_alu(i, FAluOp::Sgnj, S),
            O::FsgnjnS => self.f_alu(i, FAluOp::Sgnjn, S),
            O::FsgnjxS => self.f_alu(i, FAluOp::Sgnjx, S),
            O::FsgnjD => self.f_alu(i, FAluOp::Sgnj, D),
            O::FsgnjnD => self.f_alu(i, FAluOp::Sgnjn, D),
            O::FsgnjxD => self.f_alu(i, FAluOp::Sgnjx, D),
            O::FsqrtS | O::FsqrtD => {
                let fmt = if i.op == O::FsqrtS { S } else { D };
                self.fp(i, |rm| Op::FSqrt { fmt, rm, fd: FReg(i.rd), a: FReg(i.rs1) })
            }
            O::FcvtSD | O::FcvtDS => {
                let fmt = if i.op == O::FcvtSD { S } else { D };
                self.fp(i, |rm| Op::FCvt { fmt, rm, fd: FReg(i.rd), a: FReg(i.rs1) })
            }
            O::FcvtWS => self.f_to_int(i, S, I32),
            O::FcvtWuS => self.f_to_int(i, S, U32),
            O::FcvtLS => self.f_to_int(i, S, I64),
            O::FcvtLuS => self.f_to_int(i, S, U64),
            O::FcvtWD => self.f_to_int(i, D, I32),
            O::FcvtWuD => self.f_to_int(i, D, U32),
            O::FcvtLD => self.f_to_int(i, D, I64),
            O::FcvtLuD => self.f_to_int(i, D, U64),
            O::FcvtSW => self.int_to_f(i, S, I32),
            O::FcvtSWu => self.int_to_f(i, S, U32),
            O::FcvtSL => self.int_to_f(i, S, I64),
            O::FcvtSLu => self.int_to_f(i, S, U64),
            O::FcvtDW => self.int_to_f(i, D, I32),
            O::FcvtDWu => self.int_to_f(i, D, U32),
            O::FcvtDL => self.int_to_f(i, D, I64),
            O::FcvtDLu => self.int_to_f(i, D, U64),
            O::FeqS => self.f_cmp(i, FCmpOp::Eq, S),
            O::FltS => self.f_cmp(i, FCmpOp::Lt, S),
            O::FleS => self.f_cmp(i, FCmpOp::Le, S),
            O::FeqD => self.f_cmp(i, FCmpOp::Eq, D),
            O::FltD => self.f_cmp(i, FCmpOp::Lt, D),
            O::FleD => self.f_cmp(i, FCmpOp::Le, D),
            O::FclassS => self.def(i.rd, Op::FClass { fmt: S, rd: Reg(i.rd), a: FReg(i.rs1) }),
            O::FclassD => self.def(i.rd, Op::FClass { fmt: D, rd: Reg(i.rd), a: FReg(i.rs1) }),
            O::FmvXW => self.def(i.rd, Op::FMvToX { fmt: S, rd: Reg(i.rd), a: FReg(i.rs1) }),
            O::FmvXD => self.def(i.rd, Op::FMvToX { fmt: D, rd: Reg(i.rd), a: FReg(i.rs1) }),
            O::FmvWX => { self.push(Op::FMvFromX { fmt: S, fd: FReg(i.rd), a: Reg(i.rs1) }); Flow::Next }
            O::FmvDX => { self.push(Op::FMvFromX { fmt: D, fd: FReg(i.rd), a: Reg(i.rs1) }); Flow::Next }
        }
    }
}

fn mov(rd: Reg, a: Reg) -> Op {
    un(UnOp::Mov, rd, a)
}

fn un(op: UnOp, rd: Reg, a: Reg) -> Op {
    let w = Width::W64;
    Op::Un { op, w, rd, a }
}
