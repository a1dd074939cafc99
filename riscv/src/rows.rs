//! The instruction table.
//!
//! Rules:
//!
//! 1. A pattern is the encoding as the manual draws it, most significant bit first: `0` and `1`
//!    are fixed, `.` is an operand bit, spaces separate fields.
//! 2. [`ROWS`] has exactly one row per [`Opcode`] except `Illegal`, in the order of the enum
//!    (checked at compile time).
//! 3. [`COMPRESSED`] maps 16-bit encodings to the instruction they expand to.
//! 4. Where several rows match, the one with the most fixed bits wins. Reserved encodings that a
//!    row would swallow have a more specific row of their own, with `Illegal`.
//! 5. HINTs need no rows: they are ordinary instructions whose result goes to `x0`.

use crate::Opcode::{self, *};
use crate::format::Format::{self, *};

/// The fixed bits of an encoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pattern {
    pub mask: u32,
    pub value: u32,
}

/// One line of the instruction table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub op: Opcode,
    pub mnemonic: &'static str,
    pub pattern: Pattern,
    pub format: Format,
    /// How the operands are printed; the letters are explained in `disassemble`.
    pub operands: &'static str,
}

/// Reads a pattern of `width` bits.
const fn pattern(text: &str, width: u32) -> Pattern {
    let text = text.as_bytes();
    let (mut mask, mut value, mut bits, mut at) = (0, 0, 0, 0);
    while at < text.len() {
        let (fixed, one) = match text[at] {
            b'0' => (1, 0),
            b'1' => (1, 1),
            b'.' => (0, 0),
            b' ' => {
                at += 1;
                continue;
            }
            _ => panic!("a pattern is made of 0, 1, dot and space"),
        };
        mask = mask << 1 | fixed;
        value = value << 1 | one;
        bits += 1;
        at += 1;
    }
    assert!(bits == width, "a pattern of the wrong length");
    Pattern { mask, value }
}

const fn row(
    op: Opcode,
    mnemonic: &'static str,
    text: &str,
    format: Format,
    operands: &'static str,
) -> Row {
    Row {
        op,
        mnemonic,
        pattern: pattern(text, 32),
        format,
        operands,
    }
}

/// A row of the C extension; its text is that of the instruction it expands to.
const fn c(op: Opcode, text: &str, format: Format) -> Row {
    Row {
        op,
        mnemonic: "",
        pattern: pattern(text, 16),
        format,
        operands: "",
    }
}

const COUNT: usize = SfenceInvalIr as usize;
const COMPRESSED_COUNT: usize = 42;

/// Whether `ROWS` is in the order of the opcodes.
const fn in_order(rows: &[Row]) -> bool {
    let mut at = 0;
    while at < rows.len() {
        if rows[at].op as usize != at + 1 {
            return false;
        }
        at += 1;
    }
    true
}

const _: () = assert!(in_order(&ROWS));

/// Every 32-bit instruction.
#[rustfmt::skip]
pub(crate) static ROWS: [Row; COUNT] = [
    // RV32I, RV64I
    row(Lui,       "lui",        ".................... ..... 0110111",        U,       "d,u"),
    row(Auipc,     "auipc",      ".................... ..... 0010111",        U,       "d,u"),
    row(Jal,       "jal",        ".................... ..... 1101111",        J,       "d,p"),
    row(Jalr,      "jalr",       "............ ..... 000 ..... 1100111",      I,       "d,o(s)"),
    row(Beq,       "beq",        "....... ..... ..... 000 ..... 1100011",     B,       "s,t,p"),
    row(Bne,       "bne",        "....... ..... ..... 001 ..... 1100011",     B,       "s,t,p"),
    row(Blt,       "blt",        "....... ..... ..... 100 ..... 1100011",     B,       "s,t,p"),
    row(Bge,       "bge",        "....... ..... ..... 101 ..... 1100011",     B,       "s,t,p"),
    row(Bltu,      "bltu",       "....... ..... ..... 110 ..... 1100011",     B,       "s,t,p"),
    row(Bgeu,      "bgeu",       "....... ..... ..... 111 ..... 1100011",     B,       "s,t,p"),
    row(Lb,        "lb",         "............ ..... 000 ..... 0000011",      I,       "d,o(s)"),
    row(Lh,        "lh",         "............ ..... 001 ..... 0000011",      I,       "d,o(s)"),
    row(Lw,        "lw",         "............ ..... 010 ..... 0000011",      I,       "d,o(s)"),
    row(Ld,        "ld",         "............ ..... 011 ..... 0000011",      I,       "d,o(s)"),
    row(Lbu,       "lbu",        "............ ..... 100 ..... 0000011",      I,       "d,o(s)"),
    row(Lhu,       "lhu",        "............ ..... 101 ..... 0000011",      I,       "d,o(s)"),
    row(Lwu,       "lwu",        "............ ..... 110 ..... 0000011",      I,       "d,o(s)"),
    row(Sb,        "sb",         "....... ..... ..... 000 ..... 0100011",     S,       "t,o(s)"),
    row(Sh,        "sh",         "....... ..... ..... 001 ..... 0100011",     S,       "t,o(s)"),
    row(Sw,        "sw",         "....... ..... ..... 010 ..... 0100011",     S,       "t,o(s)"),
    row(Sd,        "sd",         "....... ..... ..... 011 ..... 0100011",     S,       "t,o(s)"),
    row(Addi,      "addi",       "............ ..... 000 ..... 0010011",      I,       "d,s,i"),
    row(Slti,      "slti",       "............ ..... 010 ..... 0010011",      I,       "d,s,i"),
    row(Sltiu,     "sltiu",      "............ ..... 011 ..... 0010011",      I,       "d,s,i"),
    row(Xori,      "xori",       "............ ..... 100 ..... 0010011",      I,       "d,s,i"),
    row(Ori,       "ori",        "............ ..... 110 ..... 0010011",      I,       "d,s,i"),
    row(Andi,      "andi",       "............ ..... 111 ..... 0010011",      I,       "d,s,i"),
    row(Slli,      "slli",       "000000 ...... ..... 001 ..... 0010011",     Shamt6,  "d,s,h"),
    row(Srli,      "srli",       "000000 ...... ..... 101 ..... 0010011",     Shamt6,  "d,s,h"),
    row(Srai,      "srai",       "010000 ...... ..... 101 ..... 0010011",     Shamt6,  "d,s,h"),
    row(Add,       "add",        "0000000 ..... ..... 000 ..... 0110011",     R,       "d,s,t"),
    row(Sub,       "sub",        "0100000 ..... ..... 000 ..... 0110011",     R,       "d,s,t"),
    row(Sll,       "sll",        "0000000 ..... ..... 001 ..... 0110011",     R,       "d,s,t"),
    row(Slt,       "slt",        "0000000 ..... ..... 010 ..... 0110011",     R,       "d,s,t"),
    row(Sltu,      "sltu",       "0000000 ..... ..... 011 ..... 0110011",     R,       "d,s,t"),
    row(Xor,       "xor",        "0000000 ..... ..... 100 ..... 0110011",     R,       "d,s,t"),
    row(Srl,       "srl",        "0000000 ..... ..... 101 ..... 0110011",     R,       "d,s,t"),
    row(Sra,       "sra",        "0100000 ..... ..... 101 ..... 0110011",     R,       "d,s,t"),
    row(Or,        "or",         "0000000 ..... ..... 110 ..... 0110011",     R,       "d,s,t"),
    row(And,       "and",        "0000000 ..... ..... 111 ..... 0110011",     R,       "d,s,t"),
    row(Addiw,     "addiw",      "............ ..... 000 ..... 0011011",      I,       "d,s,i"),
    row(Slliw,     "slliw",      "0000000 ..... ..... 001 ..... 0011011",     Shamt5,  "d,s,h"),
    row(Srliw,     "srliw",      "0000000 ..... ..... 101 ..... 0011011",     Shamt5,  "d,s,h"),
    row(Sraiw,     "sraiw",      "0100000 ..... ..... 101 ..... 0011011",     Shamt5,  "d,s,h"),
    row(Addw,      "addw",       "0000000 ..... ..... 000 ..... 0111011",     R,       "d,s,t"),
    row(Subw,      "subw",       "0100000 ..... ..... 000 ..... 0111011",     R,       "d,s,t"),
    row(Sllw,      "sllw",       "0000000 ..... ..... 001 ..... 0111011",     R,       "d,s,t"),
    row(Srlw,      "srlw",       "0000000 ..... ..... 101 ..... 0111011",     R,       "d,s,t"),
    row(Sraw,      "sraw",       "0100000 ..... ..... 101 ..... 0111011",     R,       "d,s,t"),
    // Fences. Every encoding in the space of fence is one; fence.tso and pause are special cases.
    row(Fence,     "fence",      "............ ..... 000 ..... 0001111",      Sets,    "P,Q"),
    row(FenceTso,  "fence.tso",  "1000 0011 0011 ..... 000 ..... 0001111",    Bare,    ""),
    row(Pause,     "pause",      "0000 0001 0000 00000 000 00000 0001111",    Bare,    ""),
    row(FenceI,    "fence.i",    "............ ..... 001 ..... 0001111",      Bare,    ""),
    row(Ecall,     "ecall",      "000000000000 00000 000 00000 1110011",      Bare,    ""),
    row(Ebreak,    "ebreak",     "000000000001 00000 000 00000 1110011",      Bare,    ""),
    // Zicsr
    row(Csrrw,     "csrrw",      "............ ..... 001 ..... 1110011",      Csr,     "d,E,s"),
    row(Csrrs,     "csrrs",      "............ ..... 010 ..... 1110011",      Csr,     "d,E,s"),
    row(Csrrc,     "csrrc",      "............ ..... 011 ..... 1110011",      Csr,     "d,E,s"),
    row(Csrrwi,    "csrrwi",     "............ ..... 101 ..... 1110011",      Csr,     "d,E,Z"),
    row(Csrrsi,    "csrrsi",     "............ ..... 110 ..... 1110011",      Csr,     "d,E,Z"),
    row(Csrrci,    "csrrci",     "............ ..... 111 ..... 1110011",      Csr,     "d,E,Z"),
    // M
    row(Mul,       "mul",        "0000001 ..... ..... 000 ..... 0110011",     R,       "d,s,t"),
    row(Mulh,      "mulh",       "0000001 ..... ..... 001 ..... 0110011",     R,       "d,s,t"),
    row(Mulhsu,    "mulhsu",     "0000001 ..... ..... 010 ..... 0110011",     R,       "d,s,t"),
    row(Mulhu,     "mulhu",      "0000001 ..... ..... 011 ..... 0110011",     R,       "d,s,t"),
    row(Div,       "div",        "0000001 ..... ..... 100 ..... 0110011",     R,       "d,s,t"),
    row(Divu,      "divu",       "0000001 ..... ..... 101 ..... 0110011",     R,       "d,s,t"),
    row(Rem,       "rem",        "0000001 ..... ..... 110 ..... 0110011",     R,       "d,s,t"),
    row(Remu,      "remu",       "0000001 ..... ..... 111 ..... 0110011",     R,       "d,s,t"),
    row(Mulw,      "mulw",       "0000001 ..... ..... 000 ..... 0111011",     R,       "d,s,t"),
    row(Divw,      "divw",       "0000001 ..... ..... 100 ..... 0111011",     R,       "d,s,t"),
    row(Divuw,     "divuw",      "0000001 ..... ..... 101 ..... 0111011",     R,       "d,s,t"),
    row(Remw,      "remw",       "0000001 ..... ..... 110 ..... 0111011",     R,       "d,s,t"),
    row(Remuw,     "remuw",      "0000001 ..... ..... 111 ..... 0111011",     R,       "d,s,t"),
    // A
    row(LrW,       "lr.w",       "00010 . . 00000 ..... 010 ..... 0101111",   Lr,      "d,(s)"),
    row(ScW,       "sc.w",       "00011 . . ..... ..... 010 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmoswapW,  "amoswap.w",  "00001 . . ..... ..... 010 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmoaddW,   "amoadd.w",   "00000 . . ..... ..... 010 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmoxorW,   "amoxor.w",   "00100 . . ..... ..... 010 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmoandW,   "amoand.w",   "01100 . . ..... ..... 010 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmoorW,    "amoor.w",    "01000 . . ..... ..... 010 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmominW,   "amomin.w",   "10000 . . ..... ..... 010 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmomaxW,   "amomax.w",   "10100 . . ..... ..... 010 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmominuW,  "amominu.w",  "11000 . . ..... ..... 010 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmomaxuW,  "amomaxu.w",  "11100 . . ..... ..... 010 ..... 0101111",   Amo,     "d,t,(s)"),
    row(LrD,       "lr.d",       "00010 . . 00000 ..... 011 ..... 0101111",   Lr,      "d,(s)"),
    row(ScD,       "sc.d",       "00011 . . ..... ..... 011 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmoswapD,  "amoswap.d",  "00001 . . ..... ..... 011 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmoaddD,   "amoadd.d",   "00000 . . ..... ..... 011 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmoxorD,   "amoxor.d",   "00100 . . ..... ..... 011 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmoandD,   "amoand.d",   "01100 . . ..... ..... 011 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmoorD,    "amoor.d",    "01000 . . ..... ..... 011 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmominD,   "amomin.d",   "10000 . . ..... ..... 011 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmomaxD,   "amomax.d",   "10100 . . ..... ..... 011 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmominuD,  "amominu.d",  "11000 . . ..... ..... 011 ..... 0101111",   Amo,     "d,t,(s)"),
    row(AmomaxuD,  "amomaxu.d",  "11100 . . ..... ..... 011 ..... 0101111",   Amo,     "d,t,(s)"),
    // F
    row(Flw,       "flw",        "............ ..... 010 ..... 0000111",      I,       "D,o(s)"),
    row(Fsw,       "fsw",        "....... ..... ..... 010 ..... 0100111",     S,       "T,o(s)"),
    row(FmaddS,    "fmadd.s",    "..... 00 ..... ..... ... ..... 1000011",    R4Rm,    "D,S,T,R,m"),
    row(FmsubS,    "fmsub.s",    "..... 00 ..... ..... ... ..... 1000111",    R4Rm,    "D,S,T,R,m"),
    row(FnmsubS,   "fnmsub.s",   "..... 00 ..... ..... ... ..... 1001011",    R4Rm,    "D,S,T,R,m"),
    row(FnmaddS,   "fnmadd.s",   "..... 00 ..... ..... ... ..... 1001111",    R4Rm,    "D,S,T,R,m"),
    row(FaddS,     "fadd.s",     "00000 00 ..... ..... ... ..... 1010011",    RRm,     "D,S,T,m"),
    row(FsubS,     "fsub.s",     "00001 00 ..... ..... ... ..... 1010011",    RRm,     "D,S,T,m"),
    row(FmulS,     "fmul.s",     "00010 00 ..... ..... ... ..... 1010011",    RRm,     "D,S,T,m"),
    row(FdivS,     "fdiv.s",     "00011 00 ..... ..... ... ..... 1010011",    RRm,     "D,S,T,m"),
    row(FsqrtS,    "fsqrt.s",    "01011 00 00000 ..... ... ..... 1010011",    R1Rm,    "D,S,m"),
    row(FsgnjS,    "fsgnj.s",    "00100 00 ..... ..... 000 ..... 1010011",    R,       "D,S,T"),
    row(FsgnjnS,   "fsgnjn.s",   "00100 00 ..... ..... 001 ..... 1010011",    R,       "D,S,T"),
    row(FsgnjxS,   "fsgnjx.s",   "00100 00 ..... ..... 010 ..... 1010011",    R,       "D,S,T"),
    row(FminS,     "fmin.s",     "00101 00 ..... ..... 000 ..... 1010011",    R,       "D,S,T"),
    row(FmaxS,     "fmax.s",     "00101 00 ..... ..... 001 ..... 1010011",    R,       "D,S,T"),
    row(FcvtWS,    "fcvt.w.s",   "11000 00 00000 ..... ... ..... 1010011",    R1Rm,    "d,S,m"),
    row(FcvtWuS,   "fcvt.wu.s",  "11000 00 00001 ..... ... ..... 1010011",    R1Rm,    "d,S,m"),
    row(FcvtLS,    "fcvt.l.s",   "11000 00 00010 ..... ... ..... 1010011",    R1Rm,    "d,S,m"),
    row(FcvtLuS,   "fcvt.lu.s",  "11000 00 00011 ..... ... ..... 1010011",    R1Rm,    "d,S,m"),
    row(FmvXW,     "fmv.x.w",    "11100 00 00000 ..... 000 ..... 1010011",    R1,      "d,S"),
    row(FeqS,      "feq.s",      "10100 00 ..... ..... 010 ..... 1010011",    R,       "d,S,T"),
    row(FltS,      "flt.s",      "10100 00 ..... ..... 001 ..... 1010011",    R,       "d,S,T"),
    row(FleS,      "fle.s",      "10100 00 ..... ..... 000 ..... 1010011",    R,       "d,S,T"),
    row(FclassS,   "fclass.s",   "11100 00 00000 ..... 001 ..... 1010011",    R1,      "d,S"),
    row(FcvtSW,    "fcvt.s.w",   "11010 00 00000 ..... ... ..... 1010011",    R1Rm,    "D,s,m"),
    row(FcvtSWu,   "fcvt.s.wu",  "11010 00 00001 ..... ... ..... 1010011",    R1Rm,    "D,s,m"),
    row(FcvtSL,    "fcvt.s.l",   "11010 00 00010 ..... ... ..... 1010011",    R1Rm,    "D,s,m"),
    row(FcvtSLu,   "fcvt.s.lu",  "11010 00 00011 ..... ... ..... 1010011",    R1Rm,    "D,s,m"),
    row(FmvWX,     "fmv.w.x",    "11110 00 00000 ..... 000 ..... 1010011",    R1,      "D,s"),
    // D
    row(Fld,       "fld",        "............ ..... 011 ..... 0000111",      I,       "D,o(s)"),
    row(Fsd,       "fsd",        "....... ..... ..... 011 ..... 0100111",     S,       "T,o(s)"),
    row(FmaddD,    "fmadd.d",    "..... 01 ..... ..... ... ..... 1000011",    R4Rm,    "D,S,T,R,m"),
    row(FmsubD,    "fmsub.d",    "..... 01 ..... ..... ... ..... 1000111",    R4Rm,    "D,S,T,R,m"),
    row(FnmsubD,   "fnmsub.d",   "..... 01 ..... ..... ... ..... 1001011",    R4Rm,    "D,S,T,R,m"),
    row(FnmaddD,   "fnmadd.d",   "..... 01 ..... ..... ... ..... 1001111",    R4Rm,    "D,S,T,R,m"),
    row(FaddD,     "fadd.d",     "00000 01 ..... ..... ... ..... 1010011",    RRm,     "D,S,T,m"),
    row(FsubD,     "fsub.d",     "00001 01 ..... ..... ... ..... 1010011",    RRm,     "D,S,T,m"),
    row(FmulD,     "fmul.d",     "00010 01 ..... ..... ... ..... 1010011",    RRm,     "D,S,T,m"),
    row(FdivD,     "fdiv.d",     "00011 01 ..... ..... ... ..... 1010011",    RRm,     "D,S,T,m"),
    row(FsqrtD,    "fsqrt.d",    "01011 01 00000 ..... ... ..... 1010011",    R1Rm,    "D,S,m"),
    row(FsgnjD,    "fsgnj.d",    "00100 01 ..... ..... 000 ..... 1010011",    R,       "D,S,T"),
    row(FsgnjnD,   "fsgnjn.d",   "00100 01 ..... ..... 001 ..... 1010011",    R,       "D,S,T"),
    row(FsgnjxD,   "fsgnjx.d",   "00100 01 ..... ..... 010 ..... 1010011",    R,       "D,S,T"),
    row(FminD,     "fmin.d",     "00101 01 ..... ..... 000 ..... 1010011",    R,       "D,S,T"),
    row(FmaxD,     "fmax.d",     "00101 01 ..... ..... 001 ..... 1010011",    R,       "D,S,T"),
    row(FcvtSD,    "fcvt.s.d",   "01000 00 00001 ..... ... ..... 1010011",    R1Rm,    "D,S,m"),
    row(FcvtDS,    "fcvt.d.s",   "01000 01 00000 ..... ... ..... 1010011",    R1Rm,    "D,S,n"),
    row(FcvtWD,    "fcvt.w.d",   "11000 01 00000 ..... ... ..... 1010011",    R1Rm,    "d,S,m"),
    row(FcvtWuD,   "fcvt.wu.d",  "11000 01 00001 ..... ... ..... 1010011",    R1Rm,    "d,S,m"),
    row(FcvtLD,    "fcvt.l.d",   "11000 01 00010 ..... ... ..... 1010011",    R1Rm,    "d,S,m"),
    row(FcvtLuD,   "fcvt.lu.d",  "11000 01 00011 ..... ... ..... 1010011",    R1Rm,    "d,S,m"),
    row(FmvXD,     "fmv.x.d",    "11100 01 00000 ..... 000 ..... 1010011",    R1,      "d,S"),
    row(FeqD,      "feq.d",      "10100 01 ..... ..... 010 ..... 1010011",    R,       "d,S,T"),
    row(FltD,      "flt.d",      "10100 01 ..... ..... 001 ..... 1010011",    R,       "d,S,T"),
    row(FleD,      "fle.d",      "10100 01 ..... ..... 000 ..... 1010011",    R,       "d,S,T"),
    row(FclassD,   "fclass.d",   "11100 01 00000 ..... 001 ..... 1010011",    R1,      "d,S"),
    row(FcvtDW,    "fcvt.d.w",   "11010 01 00000 ..... ... ..... 1010011",    R1Rm,    "D,s,n"),
    row(FcvtDWu,   "fcvt.d.wu",  "11010 01 00001 ..... ... ..... 1010011",    R1Rm,    "D,s,n"),
    row(FcvtDL,    "fcvt.d.l",   "11010 01 00010 ..... ... ..... 1010011",    R1Rm,    "D,s,m"),
    row(FcvtDLu,   "fcvt.d.lu",  "11010 01 00011 ..... ... ..... 1010011",    R1Rm,    "D,s,m"),
    row(FmvDX,     "fmv.d.x",    "11110 01 00000 ..... 000 ..... 1010011",    R1,      "D,s"),
    // Zba
    row(AddUw,     "add.uw",     "0000100 ..... ..... 000 ..... 0111011",     R,       "d,s,t"),
    row(Sh1add,    "sh1add",     "0010000 ..... ..... 010 ..... 0110011",     R,       "d,s,t"),
    row(Sh2add,    "sh2add",     "0010000 ..... ..... 100 ..... 0110011",     R,       "d,s,t"),
    row(Sh3add,    "sh3add",     "0010000 ..... ..... 110 ..... 0110011",     R,       "d,s,t"),
    row(Sh1addUw,  "sh1add.uw",  "0010000 ..... ..... 010 ..... 0111011",     R,       "d,s,t"),
    row(Sh2addUw,  "sh2add.uw",  "0010000 ..... ..... 100 ..... 0111011",     R,       "d,s,t"),
    row(Sh3addUw,  "sh3add.uw",  "0010000 ..... ..... 110 ..... 0111011",     R,       "d,s,t"),
    row(SlliUw,    "slli.uw",    "000010 ...... ..... 001 ..... 0011011",     Shamt6,  "d,s,h"),
    // Zbb
    row(Andn,      "andn",       "0100000 ..... ..... 111 ..... 0110011",     R,       "d,s,t"),
    row(Orn,       "orn",        "0100000 ..... ..... 110 ..... 0110011",     R,       "d,s,t"),
    row(Xnor,      "xnor",       "0100000 ..... ..... 100 ..... 0110011",     R,       "d,s,t"),
    row(Clz,       "clz",        "011000000000 ..... 001 ..... 0010011",      R1,      "d,s"),
    row(Ctz,       "ctz",        "011000000001 ..... 001 ..... 0010011",      R1,      "d,s"),
    row(Cpop,      "cpop",       "011000000010 ..... 001 ..... 0010011",      R1,      "d,s"),
    row(Clzw,      "clzw",       "011000000000 ..... 001 ..... 0011011",      R1,      "d,s"),
    row(Ctzw,      "ctzw",       "011000000001 ..... 001 ..... 0011011",      R1,      "d,s"),
    row(Cpopw,     "cpopw",      "011000000010 ..... 001 ..... 0011011",      R1,      "d,s"),
    row(Max,       "max",        "0000101 ..... ..... 110 ..... 0110011",     R,       "d,s,t"),
    row(Maxu,      "maxu",       "0000101 ..... ..... 111 ..... 0110011",     R,       "d,s,t"),
    row(Min,       "min",        "0000101 ..... ..... 100 ..... 0110011",     R,       "d,s,t"),
    row(Minu,      "minu",       "0000101 ..... ..... 101 ..... 0110011",     R,       "d,s,t"),
    row(SextB,     "sext.b",     "011000000100 ..... 001 ..... 0010011",      R1,      "d,s"),
    row(SextH,     "sext.h",     "011000000101 ..... 001 ..... 0010011",      R1,      "d,s"),
    row(ZextH,     "zext.h",     "000010000000 ..... 100 ..... 0111011",      R1,      "d,s"),
    row(Rol,       "rol",        "0110000 ..... ..... 001 ..... 0110011",     R,       "d,s,t"),
    row(Ror,       "ror",        "0110000 ..... ..... 101 ..... 0110011",     R,       "d,s,t"),
    row(Rori,      "rori",       "011000 ...... ..... 101 ..... 0010011",     Shamt6,  "d,s,h"),
    row(Rolw,      "rolw",       "0110000 ..... ..... 001 ..... 0111011",     R,       "d,s,t"),
    row(Rorw,      "rorw",       "0110000 ..... ..... 101 ..... 0111011",     R,       "d,s,t"),
    row(Roriw,     "roriw",      "0110000 ..... ..... 101 ..... 0011011",     Shamt5,  "d,s,h"),
    row(OrcB,      "orc.b",      "001010000111 ..... 101 ..... 0010011",      R1,      "d,s"),
    row(Rev8,      "rev8",       "011010111000 ..... 101 ..... 0010011",      R1,      "d,s"),
    // Zbs
    row(Bclr,      "bclr",       "0100100 ..... ..... 001 ..... 0110011",     R,       "d,s,t"),
    row(Bclri,     "bclri",      "010010 ...... ..... 001 ..... 0010011",     Shamt6,  "d,s,h"),
    row(Bext,      "bext",       "0100100 ..... ..... 101 ..... 0110011",     R,       "d,s,t"),
    row(Bexti,     "bexti",      "010010 ...... ..... 101 ..... 0010011",     Shamt6,  "d,s,h"),
    row(Binv,      "binv",       "0110100 ..... ..... 001 ..... 0110011",     R,       "d,s,t"),
    row(Binvi,     "binvi",      "011010 ...... ..... 001 ..... 0010011",     Shamt6,  "d,s,h"),
    row(Bset,      "bset",       "0010100 ..... ..... 001 ..... 0110011",     R,       "d,s,t"),
    row(Bseti,     "bseti",      "001010 ...... ..... 001 ..... 0010011",     Shamt6,  "d,s,h"),
    // Zicond
    row(CzeroEqz,  "czero.eqz",  "0000111 ..... ..... 101 ..... 0110011",     R,       "d,s,t"),
    row(CzeroNez,  "czero.nez",  "0000111 ..... ..... 111 ..... 0110011",     R,       "d,s,t"),
    // Zicbom, Zicboz
    row(CboClean,  "cbo.clean",  "000000000001 ..... 010 00000 0001111",      Rs1,     "(s)"),
    row(CboFlush,  "cbo.flush",  "000000000010 ..... 010 00000 0001111",      Rs1,     "(s)"),
    row(CboInval,  "cbo.inval",  "000000000000 ..... 010 00000 0001111",      Rs1,     "(s)"),
    row(CboZero,   "cbo.zero",   "000000000100 ..... 010 00000 0001111",      Rs1,     "(s)"),
    // Privileged, Svinval
    row(Sret,      "sret",       "000100000010 00000 000 00000 1110011",      Bare,    ""),
    row(Mret,      "mret",       "001100000010 00000 000 00000 1110011",      Bare,    ""),
    row(Wfi,       "wfi",        "000100000101 00000 000 00000 1110011",      Bare,    ""),
    row(SfenceVma, "sfence.vma", "0001001 ..... ..... 000 00000 1110011",     Rs1Rs2,  "s,t"),
    row(SinvalVma, "sinval.vma", "0001011 ..... ..... 000 00000 1110011",     Rs1Rs2,  "s,t"),
    row(SfenceWInval,  "sfence.w.inval",  "000110000000 00000 000 00000 1110011", Bare, ""),
    row(SfenceInvalIr, "sfence.inval.ir", "000110000001 00000 000 00000 1110011", Bare, ""),
];

/// Every 16-bit instruction of RV64C.
#[rustfmt::skip]
pub(crate) static COMPRESSED: [Row; COMPRESSED_COUNT] = [
    // Quadrant 0
    c(Illegal, "000 00000000 ... 00",     Bare),
    c(Addi,    "000 ........ ... 00",     CAddi4spn),
    c(Fld,     "001 ... ... .. ... 00",   CLd),
    c(Lw,      "010 ... ... .. ... 00",   CLw),
    c(Ld,      "011 ... ... .. ... 00",   CLd),
    c(Fsd,     "101 ... ... .. ... 00",   CSd),
    c(Sw,      "110 ... ... .. ... 00",   CSw),
    c(Sd,      "111 ... ... .. ... 00",   CSd),
    // Quadrant 1
    c(Addi,    "000 . ..... ..... 01",    CI),
    c(Illegal, "001 . 00000 ..... 01",    Bare),
    c(Addiw,   "001 . ..... ..... 01",    CI),
    c(Addi,    "010 . ..... ..... 01",    CLi),
    c(Illegal, "011 0 ..... 00000 01",    Bare),
    c(Addi,    "011 . 00010 ..... 01",    CAddi16sp),
    c(Lui,     "011 . ..... ..... 01",    CLui),
    c(Srli,    "100 . 00 ... ..... 01",   CShift),
    c(Srai,    "100 . 01 ... ..... 01",   CShift),
    c(Andi,    "100 . 10 ... ..... 01",   CAndi),
    c(Sub,     "100 0 11 ... 00 ... 01",  CA),
    c(Xor,     "100 0 11 ... 01 ... 01",  CA),
    c(Or,      "100 0 11 ... 10 ... 01",  CA),
    c(And,     "100 0 11 ... 11 ... 01",  CA),
    c(Subw,    "100 1 11 ... 00 ... 01",  CA),
    c(Addw,    "100 1 11 ... 01 ... 01",  CA),
    c(Jal,     "101 ........... 01",      CJ),
    c(Beq,     "110 ... ... ..... 01",    CB),
    c(Bne,     "111 ... ... ..... 01",    CB),
    // Quadrant 2
    c(Slli,    "000 . ..... ..... 10",    CSlli),
    c(Fld,     "001 . ..... ..... 10",    CLdsp),
    c(Illegal, "010 . 00000 ..... 10",    Bare),
    c(Lw,      "010 . ..... ..... 10",    CLwsp),
    c(Illegal, "011 . 00000 ..... 10",    Bare),
    c(Ld,      "011 . ..... ..... 10",    CLdsp),
    c(Illegal, "100 0 00000 00000 10",    Bare),
    c(Jalr,    "100 0 ..... 00000 10",    CJr),
    c(Add,     "100 0 ..... ..... 10",    CMv),
    c(Ebreak,  "100 1 00000 00000 10",    Bare),
    c(Jalr,    "100 1 ..... 00000 10",    CJalr),
    c(Add,     "100 1 ..... ..... 10",    CAdd),
    c(Fsd,     "101 ...... ..... 10",     CSdsp),
    c(Sw,      "110 ...... ..... 10",     CSwsp),
    c(Sd,      "111 ...... ..... 10",     CSdsp),
];
