//! What an op does with the integer registers, and whether the block may be left at it.

use crate::hooks::Regs;
use crate::ops::{Addr, AluOp, Fmt, Op, Reg, UnOp, Width};

/// What there is to know of an op.
#[derive(Clone, Copy, Debug)]
pub struct Operands {
    /// The registers that it reads, as a mask; `x0` is never among them.
    pub sources: u32,
    /// The register that it writes; `x0` for none.
    pub dest: Reg,
    /// What it is otherwise.
    pub kind: Kind,
}

/// Kinds of ops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Kind {
    /// It has nothing to do with integer registers, and nobody can look at them.
    Apart,
    /// A pure computation, so cheap that it may be worth putting off.
    Cheap,
    /// Another op at which nobody can look at the registers.
    Works,
    /// It may be left before it has done anything: by a fault, or for the interpreter by a badly
    /// boxed single or a floating-point flag that traps. What is to be run then can be declared.
    MayLeave,
    /// A branch: what is to be run on the way out can be declared.
    SideExit,
    /// Somebody may look, once it has read its sources.
    Looks,
    /// Somebody may look, and it has no sources to speak of.
    LooksFirst,
}

impl Kind {
    /// Whether somebody may look at the registers there.
    #[inline]
    pub fn is_watched(self) -> bool {
        self >= Kind::MayLeave
    }
}

impl Operands {
    /// Of `op`, if floating-point flags trap or not.
    #[inline]
    pub fn of(op: &Op, fp_traps: bool) -> Operands {
        let bit = |r: Reg| 1_u32 << r.index();
        let of_addr = |addr: Addr| bit(addr.base) | bit(addr.index);
        let cheap = |yes| if yes { Kind::Cheap } else { Kind::Works };
        // Whether it may be left for a badly boxed operand; the flag is another question.
        let float = |leaves| match leaves || fp_traps && op.may_raise() {
            true => Kind::MayLeave,
            false => Kind::Works,
        };
        let none = Reg::ZERO;
        let (dest, sources, kind) = match *op {
            Op::Insn { .. }
            | Op::Point { .. }
            | Op::Guard(_)
            | Op::Count { .. }
            | Op::SetCount { .. }
            | Op::UnlessDone { .. }
            | Op::NoteFLoaded { .. }
            | Op::NoteFStored { .. }
            | Op::Sunk(_)
            | Op::Fence => (none, 0, Kind::Apart),
            Op::Const { rd, .. } => (rd, 0, Kind::Cheap),
            Op::Un { op, rd, a, .. } => {
                let moves = matches!(op, UnOp::Mov | UnOp::ZextW | UnOp::ZextH | UnOp::ZextB);
                (rd, bit(a), cheap(moves))
            }
            Op::Alu { op, w, rd, a, b } => {
                let sum = op == AluOp::Add && w == Width::W64;
                (rd, bit(a) | bit(b), cheap(sum))
            }
            Op::AluImm { op, w, rd, a, .. } => {
                let fuses = match op {
                    AluOp::Sll | AluOp::Srl | AluOp::Ror => true,
                    AluOp::Add => w == Width::W64,
                    _ => false,
                };
                (rd, bit(a), cheap(fuses))
            }
            Op::ShAdd { rd, a, b, .. } => (rd, bit(a) | bit(b), Kind::Cheap),
            Op::Lea { rd, addr } => (rd, of_addr(addr), Kind::Cheap),

            Op::Load { rd, addr, .. } => (rd, of_addr(addr), Kind::MayLeave),
            Op::Store { rs, addr, .. } => (none, bit(rs) | of_addr(addr), Kind::MayLeave),
            Op::StoreImm { addr, .. } | Op::FLoad { addr, .. } | Op::FStore { addr, .. } => {
                (none, of_addr(addr), Kind::MayLeave)
            }
            Op::Amo { rd, addr, src, .. } | Op::Sc { rd, addr, src, .. } => {
                (rd, bit(addr) | bit(src), Kind::Looks)
            }
            Op::Lr { rd, addr, .. } => (rd, bit(addr), Kind::Looks),
            Op::CboZero { addr } | Op::CboTouch { addr } => (none, bit(addr), Kind::Looks),

            Op::FAlu { fmt, .. } | Op::FSqrt { fmt, .. } | Op::FMa { fmt, .. } => {
                (none, 0, float(fmt == Fmt::S))
            }
            Op::FCmp { fmt, rd, .. } | Op::FToInt { fmt, rd, .. } => (rd, 0, float(fmt == Fmt::S)),
            Op::FCvt { fmt, .. } => (none, 0, float(fmt == Fmt::D)),
            Op::IntToF { a, .. } => (none, bit(a), float(false)),
            Op::FClass { rd, .. } | Op::FMvToX { rd, .. } | Op::FlagsRead { rd } => {
                (rd, 0, Kind::Works)
            }
            Op::FlagsSwap { rd, a } => (rd, bit(a), Kind::Works),
            Op::FMvFromX { a, .. } | Op::NoteLoaded { a } | Op::NoteStored { a } => {
                (none, bit(a), Kind::Works)
            }
            Op::NoteAddr { addr } => (none, of_addr(addr), Kind::Works),

            Op::Branch { a, b, .. } => (none, bit(a) | bit(b), Kind::SideExit),
            Op::BranchImm { a, .. } => (none, bit(a), Kind::SideExit),
            Op::JumpReg { rd, a, .. } => (rd, bit(a), Kind::Looks),
            Op::Call { regs, .. } => match regs {
                Regs::None => (none, 0, Kind::Apart),
                Regs::Read | Regs::Write => (none, 0, Kind::LooksFirst),
            },
            // It may be any access.
            Op::Watched(_) => (none, u32::MAX, Kind::LooksFirst),
            Op::Poll { .. } | Op::Rounding | Op::Jump { .. } | Op::Trap(_) => {
                (none, 0, Kind::LooksFirst)
            }
        };
        Operands {
            sources: sources & !1,
            dest,
            kind,
        }
    }
}

/// Calls `f` on the sources of an ALU op.
pub fn each_alu_source(op: &mut Op, mut f: impl FnMut(&mut Reg)) {
    match op {
        Op::Un { a, .. } | Op::AluImm { a, .. } => f(a),
        Op::Alu { a, b, .. } => {
            f(a);
            f(b);
        }
        _ => {}
    }
}
