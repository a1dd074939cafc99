//! Instructions by what the generator must mind.

use std::sync::OnceLock;

use riscv::{Encoding, Opcode};

use crate::asm::all_encodings;

/// What an instruction does, apart from computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Integer registers to integer register.
    Integer,
    /// Floating point, without memory.
    Float,
    /// Loads, of both register files.
    Load,
    /// Stores.
    Store,
    /// Read-modify-write, LR and SC.
    Atomic,
    /// Branches and jumps.
    Control,
    /// Zicsr.
    Csr,
    /// `fence`, `fence.tso`, `fence.i`, `pause`.
    Fence,
    /// Cache blocks.
    CacheBlock,
    /// `ecall`, `ebreak` and what is illegal.
    Trap,
}

/// The class of `op`.
pub fn class(op: Opcode) -> Class {
    use Opcode::*;
    let within = |first: Opcode, last: Opcode| (first as u8..=last as u8).contains(&(op as u8));
    match op {
        Illegal | Ecall | Ebreak => Class::Trap,
        // Illegal to a program.
        _ if within(Sret, SfenceInvalIr) => Class::Trap,
        Flw | Fld => Class::Load,
        Fsw | Fsd => Class::Store,
        _ if within(Jal, Bgeu) => Class::Control,
        _ if within(Lb, Lwu) => Class::Load,
        _ if within(Sb, Sd) => Class::Store,
        _ if within(Fence, FenceI) => Class::Fence,
        _ if within(Csrrw, Csrrci) => Class::Csr,
        _ if within(LrW, AmomaxuD) => Class::Atomic,
        _ if within(FmaddS, FmvDX) => Class::Float,
        _ if within(CboClean, CboZero) => Class::CacheBlock,
        _ => Class::Integer,
    }
}

/// Whether `op`, which does not jump, writes an integer register.
pub fn writes_integer(op: Opcode) -> bool {
    use Opcode::*;
    let within = |first: Opcode, last: Opcode| (first as u8..=last as u8).contains(&(op as u8));
    match class(op) {
        Class::Integer | Class::Atomic | Class::Csr | Class::Control => true,
        Class::Float => within(FcvtWS, FclassS) || within(FcvtWD, FclassD),
        Class::Load => !matches!(op, Flw | Fld),
        _ => false,
    }
}

/// The encodings of a class.
pub fn encodings_of(wanted: Class) -> &'static [Encoding] {
    const CLASSES: usize = Class::Trap as usize + 1;
    static BY_CLASS: OnceLock<[Vec<Encoding>; CLASSES]> = OnceLock::new();
    let by_class = BY_CLASS.get_or_init(|| {
        let mut by_class: [Vec<Encoding>; CLASSES] = Default::default();
        for encoding in all_encodings() {
            by_class[class(encoding.op) as usize].push(*encoding);
        }
        by_class
    });
    &by_class[wanted as usize]
}
