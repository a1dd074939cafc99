//! The ops: what a block is between decoding and host code.
//!
//! Rules that every producer and consumer of ops keeps:
//!
//! 1. An op works on *guest registers*, never on temporaries. After any prefix of the list, apart
//!    from what [`Op::Sunk`] and [`Exit::sunk`] declare, the registers hold what the guest expects.
//! 2. `Op::Insn` opens each guest instruction; its pc is the pc of every op up to the next one.
//! 3. Reading `Reg::ZERO` gives 0; a write to it is discarded (accesses and traps still happen).
//! 4. All sources are read before the destination is written.
//! 5. Control leaves a block only through `Branch` (taken), `Poll` (when a request is pending), a
//!    fault, or the last op, which is `Jump`, `JumpReg` or `Trap`.
//! 6. Hooks of a block's entry stand behind its first `Op::Insn`.
//! 7. Rounding modes are static: [`crate::Mode`] is part of a block's key and carries `frm`.

use crate::hooks::{Call, Condition, Guard, Regs};

/// An integer guest register, 0–31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Reg(pub u8);

impl Reg {
    /// `x0`.
    pub const ZERO: Reg = Reg(0);
    /// `x1`, the return address by convention.
    pub const RA: Reg = Reg(1);

    /// Index for arrays of 32.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0 & 31)
    }

    /// Whether this is `x0`.
    #[inline]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// A floating-point guest register, 0–31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct FReg(pub u8);

impl FReg {
    /// Index for arrays of 32.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0 & 31)
    }
}

/// Operation width. A 32-bit operation reads the low halves and sign-extends its result.
#[allow(missing_docs, reason = "self-evident")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    W32,
    W64,
}

/// Two-operand integer operations, with RISC-V semantics (division by zero and overflow included).
/// Shift and bit amounts are taken modulo the width.
#[allow(missing_docs, reason = "named after the instruction")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum AluOp {
    Add, Sub, And, Or, Xor, Sll, Srl, Sra, Slt, Sltu,
    Mul, Mulh, Mulhsu, Mulhu, Div, Divu, Rem, Remu,
    Andn, Orn, Xnor, Min, Max, Minu, Maxu, Rol, Ror,
    Bclr, Bext, Binv, Bset,
    /// `b == 0 ? 0 : a`
    CzeroEqz,
    /// `b != 0 ? 0 : a`
    CzeroNez,
}

/// One-operand integer operations. `Clz`, `Ctz` and `Cpop` exist in both widths; the others
/// ignore the width and give a full 64-bit result.
#[allow(missing_docs, reason = "named after the instruction")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum UnOp {
    Mov, SextB, SextH, SextW, ZextB, ZextH, ZextW, Clz, Ctz, Cpop, OrcB, Rev8,
}

/// Integer comparisons, for branches.
#[allow(missing_docs, reason = "self-evident")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum Cond { Eq, Ne, Lt, Ge, Ltu, Geu }

/// Size of a memory access.
#[allow(missing_docs, reason = "self-evident")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Size {
    B1 = 0,
    B2 = 1,
    B4 = 2,
    B8 = 3,
}

impl Size {
    /// 1, 2, 4 or 8.
    #[inline]
    pub fn bytes(self) -> u64 {
        1 << self as u8
    }
}

/// A guest address: `base + (index << scale) + disp`, wrapping at 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addr {
    /// Base register; `x0` for none.
    pub base: Reg,
    /// Index register; `x0` for none.
    pub index: Reg,
    /// Left shift of the index, 0–3.
    pub scale: u8,
    /// Displacement.
    pub disp: i32,
}

impl Addr {
    /// `base + disp`.
    pub fn reg(base: Reg, disp: i32) -> Addr {
        Addr {
            base,
            index: Reg::ZERO,
            scale: 0,
            disp,
        }
    }
}

/// Read-modify-write operations.
#[allow(missing_docs, reason = "named after the instruction")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum AmoOp { Swap, Add, Xor, And, Or, Min, Max, Minu, Maxu }

impl AmoOp {
    /// What the operation leaves in memory. Only the low `size` bytes of operands and result count.
    pub fn combine(self, size: Size, old: u64, src: u64) -> u64 {
        // Extended alike, they compare as they would in their own size, with signs and without.
        let (a, b) = (size.sign_extend(old), size.sign_extend(src));
        match self {
            AmoOp::Swap => src,
            AmoOp::Add => a.wrapping_add(b),
            AmoOp::Xor => a ^ b,
            AmoOp::And => a & b,
            AmoOp::Or => a | b,
            AmoOp::Min => (a as i64).min(b as i64) as u64,
            AmoOp::Max => (a as i64).max(b as i64) as u64,
            AmoOp::Minu => a.min(b),
            AmoOp::Maxu => a.max(b),
        }
    }
}

/// Floating-point format.
#[allow(missing_docs, reason = "self-evident")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fmt {
    S,
    D,
}

/// Rounding mode, numbered as in `frm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rm {
    /// To nearest, ties to even.
    Rne = 0,
    /// Towards zero.
    Rtz = 1,
    /// Down.
    Rdn = 2,
    /// Up.
    Rup = 3,
    /// To nearest, ties away from zero.
    Rmm = 4,
}

impl Rm {
    /// The mode of a 3-bit field, or `None` for the reserved 5–7.
    pub fn from_bits(bits: u8) -> Option<Rm> {
        Some(match bits {
            0 => Rm::Rne,
            1 => Rm::Rtz,
            2 => Rm::Rdn,
            3 => Rm::Rup,
            4 => Rm::Rmm,
            _ => return None,
        })
    }
}

/// Two-operand floating-point operations. `Min`, `Max` and the sign injections ignore the
/// rounding mode.
#[allow(missing_docs, reason = "named after the instruction")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum FAluOp { Add, Sub, Mul, Div, Min, Max, Sgnj, Sgnjn, Sgnjx }

/// Fused multiply-add: `Madd` = a·b+c, `Msub` = a·b−c, `Nmsub` = −a·b+c, `Nmadd` = −a·b−c.
#[allow(missing_docs, reason = "see above")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum FmaOp { Madd, Msub, Nmsub, Nmadd }

/// Floating-point comparisons. `Eq` is quiet; `Lt` and `Le` signal on any NaN.
#[allow(missing_docs, reason = "self-evident")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum FCmpOp { Eq, Lt, Le }

/// Integer formats of conversions. 32-bit results are sign-extended, the unsigned one too.
#[allow(missing_docs, reason = "self-evident")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum IntFmt { I32, U32, I64, U64 }

/// Why a block hands the guest instruction at its pc to the run loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// `ecall`.
    Ecall,
    /// `ebreak`.
    Ebreak,
    /// A reserved encoding, or an instruction not allowed here.
    Illegal,
    /// `fence.i`.
    FenceI,
    /// A CSR access that the block does not do itself.
    Csr,
    /// No instruction could be fetched at this pc.
    Fetch,
    /// `pause`: a spinning hart offers its time.
    Pause,
    /// An instruction of the privileged architecture, on a machine's hart.
    System,
    /// A floating-point instruction where [`crate::Mode::fp_off`] says that the run loop wants to know.
    Float,
}

/// A run of ops in [`Block::sunk_ops`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SunkRange {
    /// First op.
    pub start: u32,
    /// Number of ops.
    pub len: u32,
}

impl SunkRange {
    /// No ops.
    pub const EMPTY: SunkRange = SunkRange { start: 0, len: 0 };

    /// Indices into [`Block::sunk_ops`].
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.len) as usize
    }
}

/// Number of an exit: index into [`Block::exits`].
pub type ExitId = u16;

/// A direct way out of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Guest pc where execution goes on.
    pub target: u64,
    /// Pure register ops to run on this way out, before the target sees the registers.
    pub sunk: SunkRange,
    /// Whether a pending request is looked for on this way (it may close a guest loop).
    pub poll: bool,
}

/// One op.
#[derive(Clone, Copy, Debug, PartialEq)]
#[rustfmt::skip]
#[allow(missing_docs, reason = "field names are those of the instruction set manual")]
pub enum Op {
    /// A guest instruction of `len` bytes at `pc` begins.
    Insn { pc: u64, len: u8 },
    /// A place where instrumentation may be asked for, not yet filled: the entry, at `pc`, of a plain
    /// block (a straight run of instructions up to a branch) of `n_insns`. An unfilled point is
    /// removed and costs nothing. The point *before an instruction* is its `Op::Insn`, the one at a
    /// memory access is the access itself.
    Point { pc: u64, n_insns: u16 },
    /// `*(state + offset) += value` on a 64-bit counter of this vCPU.
    Count { offset: u32, value: i64 },
    /// `*(state + offset) = value` on a 64-bit counter of this vCPU.
    SetCount { offset: u32, value: i64 },
    /// Leave, before anything has been done, if the value of this index of [`Block::guards`] is
    /// another now.
    Guard(u16),
    /// A callback may have changed the rounding mode: if it is not [`Block::mode`]'s any more, leave, at
    /// the present instruction, whose hooks have run.
    Rounding,
    /// Call the callback at this index of [`Block::calls`], which says the same of registers.
    Call { call: u16, regs: Regs },
    /// Note the address of the access that the next op makes, for callbacks.
    NoteAddr { addr: Addr },
    /// Note what has been loaded.
    NoteLoaded { a: Reg },
    /// Note what has been stored.
    NoteStored { a: Reg },
    /// Note what has been loaded into a floating-point register.
    NoteFLoaded { a: FReg },
    /// Note what has been stored from a floating-point register.
    NoteFStored { a: FReg },
    /// Run the access at this index of [`Block::watched`] in the interpreter, and note all about it.
    Watched(u16),
    /// Skip the next `ops` ops (counts and calls only) if the watched access did not take place.
    UnlessDone { ops: u16 },
    /// If the next op faults, or leaves at its own pc before it has done anything, these ops must
    /// run before anyone looks at the registers or counters.
    Sunk(SunkRange),

    Const { rd: Reg, value: i64 },
    Un { op: UnOp, w: Width, rd: Reg, a: Reg },
    Alu { op: AluOp, w: Width, rd: Reg, a: Reg, b: Reg },
    AluImm { op: AluOp, w: Width, rd: Reg, a: Reg, imm: i32 },
    /// `rd = b + (a << shift)`, `a` zero-extended from 32 bits first if `uw`. `shift` 0–63.
    ShAdd { rd: Reg, a: Reg, b: Reg, shift: u8, uw: bool },
    /// `rd = base + (index << scale) + disp`.
    Lea { rd: Reg, addr: Addr },

    Load { rd: Reg, addr: Addr, size: Size, signed: bool },
    Store { rs: Reg, addr: Addr, size: Size },
    /// Stores the low bytes of the sign-extended constant.
    StoreImm { value: i32, addr: Addr, size: Size },
    /// Sizes B4 and B8 only; the address must be aligned (else a misaligned fault).
    Amo { op: AmoOp, rd: Reg, addr: Reg, src: Reg, size: Size },
    /// Load and make a reservation. Alignment as for `Amo`.
    Lr { rd: Reg, addr: Reg, size: Size },
    /// Store if the reservation holds; `rd` = 0 on success, 1 on failure. Always ends the reservation.
    Sc { rd: Reg, addr: Reg, src: Reg, size: Size },
    /// A fence that orders earlier stores before later loads; weaker ones emit no op.
    Fence,
    /// Zero the aligned 64-byte block that holds the address.
    CboZero { addr: Reg },
    /// Cache management: checks that the block that holds the address can be accessed.
    CboTouch { addr: Reg },

    FLoad { fd: FReg, addr: Addr, fmt: Fmt },
    FStore { fs: FReg, addr: Addr, fmt: Fmt },
    FAlu { op: FAluOp, fmt: Fmt, rm: Rm, fd: FReg, a: FReg, b: FReg },
    FSqrt { fmt: Fmt, rm: Rm, fd: FReg, a: FReg },
    FMa { op: FmaOp, fmt: Fmt, rm: Rm, fd: FReg, a: FReg, b: FReg, c: FReg },
    /// With `quiet`, raises no flag at all (a fused save-compare-restore of `fflags`).
    FCmp { op: FCmpOp, fmt: Fmt, quiet: bool, rd: Reg, a: FReg, b: FReg },
    FClass { fmt: Fmt, rd: Reg, a: FReg },
    FToInt { fmt: Fmt, to: IntFmt, rm: Rm, rd: Reg, a: FReg },
    IntToF { fmt: Fmt, from: IntFmt, rm: Rm, fd: FReg, a: Reg },
    /// Convert between formats: to `fmt` from the other one.
    FCvt { fmt: Fmt, rm: Rm, fd: FReg, a: FReg },
    FMvToX { fmt: Fmt, rd: Reg, a: FReg },
    FMvFromX { fmt: Fmt, fd: FReg, a: Reg },
    /// `rd = fflags`.
    FlagsRead { rd: Reg },
    /// `rd = fflags; fflags = a & 0x1f`.
    FlagsSwap { rd: Reg, a: Reg },

    /// Leave for the run loop, at `pc`, if a request is pending.
    Poll { pc: u64 },
    /// Leave through `exit` if the condition holds.
    Branch { cond: Cond, w: Width, a: Reg, b: Reg, exit: ExitId },
    /// The same against a constant.
    BranchImm { cond: Cond, w: Width, a: Reg, imm: i32, exit: ExitId },
    /// Leave through `exit`.
    Jump { exit: ExitId },
    /// `rd = link` and go to `(a + disp) & !1`.
    JumpReg { rd: Reg, a: Reg, disp: i32, link: u64 },
    /// Hand this instruction to the run loop.
    Trap(Trap),
}

// Every step of translation goes through all ops of a block.
const _: () = assert!(size_of::<Op>() == 16);

impl Op {
    /// Whether the op's memory access may fault.
    pub fn accesses_memory(&self) -> bool {
        matches!(
            self,
            Op::Load { .. }
                | Op::Store { .. }
                | Op::StoreImm { .. }
                | Op::Amo { .. }
                | Op::Lr { .. }
                | Op::Sc { .. }
                | Op::CboZero { .. }
                | Op::CboTouch { .. }
                | Op::FLoad { .. }
                | Op::FStore { .. }
        )
    }

    /// Whether the op may raise a floating-point flag.
    pub fn may_raise(&self) -> bool {
        match *self {
            Op::FAlu { op, .. } => !matches!(op, FAluOp::Sgnj | FAluOp::Sgnjn | FAluOp::Sgnjx),
            Op::FCmp { quiet, .. } => !quiet,
            Op::FSqrt { .. }
            | Op::FMa { .. }
            | Op::FToInt { .. }
            | Op::IntToF { .. }
            | Op::FCvt { .. } => true,
            _ => false,
        }
    }
}

/// A callback at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Invocation {
    /// The callback.
    pub call: Call,
    /// What it is told of a memory access ([`crate::hooks::access_info`]), or [`Invocation::EXECUTION`].
    pub info: u32,
    /// Whether to call at all.
    pub condition: Option<Condition>,
}

impl Invocation {
    /// `info` of a callback that is not about a memory access.
    pub const EXECUTION: u32 = u32::MAX;
}

/// A run of guest bytes that a block was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestRange {
    /// First byte.
    pub start: u64,
    /// Length in bytes.
    pub len: u32,
}

impl GuestRange {
    /// One past the last byte.
    pub fn end(self) -> u64 {
        self.start.wrapping_add(u64::from(self.len))
    }
}

/// A translated superblock, as ops.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Guest pc of the entry.
    pub pc: u64,
    /// The mode it was translated for.
    pub mode: crate::Mode,
    /// The ops, in order.
    pub ops: Vec<Op>,
    /// Ops that only run on ways out and in fault repair; pure register ops.
    pub sunk_ops: Vec<Op>,
    /// Callbacks that are called by [`Op::Call`].
    pub calls: Vec<Invocation>,
    /// What the instrumentation relies on: see [`Op::Guard`].
    pub guards: Vec<Guard>,
    /// Accesses that are made by [`Op::Watched`].
    pub watched: Vec<Op>,
    /// Whether points have been filled. Then somebody may count how often an instruction is begun:
    /// a request is not looked for between its point and the instruction, but where blocks are
    /// entered or left.
    pub instrumented: bool,
    /// Whether somebody may look at counters in the block.
    pub looked_at: bool,
    /// Which counters are in lanes: see [`crate::lanes`].
    pub lanes: crate::lanes::Offsets,
    /// Direct ways out.
    pub exits: Vec<Exit>,
    /// Where the guest bytes came from, in order of translation, adjacent runs merged.
    pub ranges: Vec<GuestRange>,
    /// The guest bytes themselves, range after range.
    pub bytes: Vec<u8>,
    /// Number of guest instructions.
    pub n_insns: u32,
}

impl Block {
    /// Empties the block for reuse, keeping its buffers.
    pub fn clear(&mut self) {
        self.ops.clear();
        self.sunk_ops.clear();
        self.calls.clear();
        self.guards.clear();
        self.watched.clear();
        self.instrumented = false;
        self.looked_at = false;
        self.lanes = crate::lanes::NONE;
        self.exits.clear();
        self.ranges.clear();
        self.bytes.clear();
        self.n_insns = 0;
    }
}
