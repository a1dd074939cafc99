//! A decoded instruction: one flat record, the same for 16- and 32-bit encodings.

/// Every instruction of RV64GC, Zicsr, Zifencei, Zba, Zbb, Zbs, Zicond, Zicbom, Zicboz,
/// Zihintpause and, of the privileged architecture, the machine and supervisor levels with Svinval.
/// A compressed instruction carries the opcode of the instruction it expands to.
#[allow(missing_docs, reason = "each variant is named after its mnemonic")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[rustfmt::skip]
pub enum Opcode {
    /// A reserved, unknown or all-zero/all-one encoding.
    Illegal,
    // RV32I / RV64I
    Lui, Auipc, Jal, Jalr,
    Beq, Bne, Blt, Bge, Bltu, Bgeu,
    Lb, Lh, Lw, Ld, Lbu, Lhu, Lwu, Sb, Sh, Sw, Sd,
    Addi, Slti, Sltiu, Xori, Ori, Andi, Slli, Srli, Srai,
    Add, Sub, Sll, Slt, Sltu, Xor, Srl, Sra, Or, And,
    Addiw, Slliw, Srliw, Sraiw, Addw, Subw, Sllw, Srlw, Sraw,
    Fence, FenceTso, Pause, FenceI, Ecall, Ebreak,
    // Zicsr
    Csrrw, Csrrs, Csrrc, Csrrwi, Csrrsi, Csrrci,
    // M
    Mul, Mulh, Mulhsu, Mulhu, Div, Divu, Rem, Remu,
    Mulw, Divw, Divuw, Remw, Remuw,
    // A
    LrW, ScW, AmoswapW, AmoaddW, AmoxorW, AmoandW, AmoorW, AmominW, AmomaxW, AmominuW, AmomaxuW,
    LrD, ScD, AmoswapD, AmoaddD, AmoxorD, AmoandD, AmoorD, AmominD, AmomaxD, AmominuD, AmomaxuD,
    // F
    Flw, Fsw, FmaddS, FmsubS, FnmsubS, FnmaddS, FaddS, FsubS, FmulS, FdivS, FsqrtS,
    FsgnjS, FsgnjnS, FsgnjxS, FminS, FmaxS, FcvtWS, FcvtWuS, FcvtLS, FcvtLuS, FmvXW,
    FeqS, FltS, FleS, FclassS, FcvtSW, FcvtSWu, FcvtSL, FcvtSLu, FmvWX,
    // D
    Fld, Fsd, FmaddD, FmsubD, FnmsubD, FnmaddD, FaddD, FsubD, FmulD, FdivD, FsqrtD,
    FsgnjD, FsgnjnD, FsgnjxD, FminD, FmaxD, FcvtSD, FcvtDS, FcvtWD, FcvtWuD, FcvtLD, FcvtLuD, FmvXD,
    FeqD, FltD, FleD, FclassD, FcvtDW, FcvtDWu, FcvtDL, FcvtDLu, FmvDX,
    // Zba
    AddUw, Sh1add, Sh2add, Sh3add, Sh1addUw, Sh2addUw, Sh3addUw, SlliUw,
    // Zbb
    Andn, Orn, Xnor, Clz, Ctz, Cpop, Clzw, Ctzw, Cpopw, Max, Maxu, Min, Minu,
    SextB, SextH, ZextH, Rol, Ror, Rori, Rolw, Rorw, Roriw, OrcB, Rev8,
    // Zbs
    Bclr, Bclri, Bext, Bexti, Binv, Binvi, Bset, Bseti,
    // Zicond
    CzeroEqz, CzeroNez,
    // Zicbom, Zicboz
    CboClean, CboFlush, CboInval, CboZero,
    // Privileged, Svinval
    Sret, Mret, Wfi, SfenceVma, SinvalVma, SfenceWInval, SfenceInvalIr,
}

impl Opcode {
    /// Whether this works on the system's registers: a CSR access, or an instruction of the privileged
    /// architecture.
    pub fn is_system(self) -> bool {
        use Opcode::*;
        matches!(
            self,
            Csrrw
                | Csrrs
                | Csrrc
                | Csrrwi
                | Csrrsi
                | Csrrci
                | Sret
                | Mret
                | Wfi
                | SfenceVma
                | SinvalVma
                | SfenceWInval
                | SfenceInvalIr
        )
    }

    /// Whether this is an instruction of F or D: one that needs the floating-point unit.
    pub fn is_float(self) -> bool {
        // Their rows stand together.
        (Opcode::Flw as u8..=Opcode::FmvDX as u8).contains(&(self as u8))
    }
}

/// One decoded instruction.
///
/// Fields that an instruction does not have are 0. Immediates are sign-extended and already
/// scaled: branch and jump offsets in bytes, `lui`/`auipc` shifted left by 12, shift amounts plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// What to do.
    pub op: Opcode,
    /// Length in bytes: 2 or 4.
    pub len: u8,
    /// Destination register number (integer or floating point, as `op` says).
    pub rd: u8,
    /// First source register; for `csrr?i` the 5-bit zero-extended immediate.
    pub rs1: u8,
    /// Second source register.
    pub rs2: u8,
    /// Third source register (fused multiply-add).
    pub rs3: u8,
    /// Floating point: the rounding-mode field (0–4, 7 = dynamic; 5 and 6 decode as illegal).
    /// Atomics: `aq << 1 | rl`.
    pub rm: u8,
    /// Immediate; CSR number (0–4095) for Zicsr; `pred << 4 | succ` for `fence`.
    pub imm: i32,
    /// The raw encoding, zero-extended from 16 bits if compressed.
    pub raw: u32,
}
