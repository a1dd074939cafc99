//! What is run for each encoding, and on what.

use riscv::Opcode::{self, *};
use riscv::{Encoding, decode};

use super::build::{MEMORY, is_free};
use super::{File, Step, is_single};
use crate::asm::{self, Word};
use crate::generate::{Class, access_size, class, writes_integer};
use crate::rng::Rng;
use crate::values::{self, DOUBLES, INTEGERS, SINGLES};

/// Branches, which have a result here: whether they jumped.
pub const BRANCHES: [Opcode; 6] = [Beq, Bne, Blt, Bge, Bltu, Bgeu];

/// CSR number of `frm`.
const FRM: i32 = 2;
/// Variants of an instruction without a rounding mode.
const VARIANTS: usize = 8;
/// Values of each operand if there are three.
const FEW: usize = 26;

/// Rounding modes: the five static ones, and the dynamic one with each of the five in `frm`.
const ROUNDINGS: [(u32, Option<u8>); 10] = [
    (0, None),
    (1, None),
    (2, None),
    (3, None),
    (4, None),
    (7, Some(0)),
    (7, Some(1)),
    (7, Some(2)),
    (7, Some(3)),
    (7, Some(4)),
];

/// The steps for `encoding`.
pub fn steps(rng: &mut Rng, encoding: &Encoding) -> Vec<Step> {
    match class(encoding.op) {
        Class::Float if encoding.mask >> 12 & 7 == 0 => ROUNDINGS
            .iter()
            .map(|&(rm, frm)| rounding(rng, encoding, rm, frm))
            .collect(),
        class => (0..VARIANTS)
            .map(|_| match class {
                Class::Control => branch(rng, encoding.op),
                Class::Load | Class::Store => access(rng, encoding),
                Class::Atomic => atomic(rng, encoding.op),
                Class::Csr => csr(rng, encoding.op),
                _ => plain(rng, encoding),
            })
            .collect(),
    }
}

/// The values of each of `count` operands of `op`, or every `stride`-th of them.
pub fn tables(op: Opcode, count: usize, stride: usize) -> Vec<Vec<u64>> {
    let from_float = class(op) == Class::Float && !from_integer(op);
    let table: Vec<u64> = if from_float && is_single(op) {
        let mut rng = Rng::new(1);
        let mut table: Vec<u64> = SINGLES.iter().map(|&bits| values::boxed(bits)).collect();
        table.extend((0..6).map(|_| values::badly_boxed(&mut rng, 0x3f80_0000)));
        table
    } else if from_float {
        DOUBLES.to_vec()
    } else {
        INTEGERS.to_vec()
    };
    // All kinds of values, if not all of them.
    let few = if count == 3 {
        table.len().div_ceil(FEW)
    } else {
        1
    };
    let stride = stride * few;
    (0..count)
        .map(|at| {
            table
                .iter()
                .copied()
                .skip(at % stride)
                .step_by(stride)
                .collect()
        })
        .collect()
}

fn from_integer(op: Opcode) -> bool {
    matches!(
        op,
        FcvtSW | FcvtSWu | FcvtSL | FcvtSLu | FmvWX | FcvtDW | FcvtDWu | FcvtDL | FcvtDLu | FmvDX
    )
}

/// Whether the data of a load or store is in a floating-point register.
fn is_floating(op: Opcode) -> bool {
    matches!(op, Flw | Fld | Fsw | Fsd)
}

/// A random word of `encoding`, with the bits in `mask` set to `fixed`, whose integer registers are
/// free.
fn word(rng: &mut Rng, encoding: &Encoding, fixed: u32, mask: u32) -> Word {
    loop {
        let random = rng.bits() as u32 & !mask | fixed;
        let insn = decode(encoding.value | random & !encoding.mask);
        let integers: &[u8] = match class(insn.op) {
            Class::Float if from_integer(insn.op) => &[insn.rs1],
            Class::Float if writes_integer(insn.op) => &[insn.rd],
            Class::Float => &[],
            Class::Load | Class::Store if is_floating(insn.op) => &[insn.rs1],
            _ => &[insn.rd, insn.rs1, insn.rs2],
        };
        if insn.op == encoding.op && integers.iter().all(|&reg| is_free(reg)) {
            return Word::new(insn.raw);
        }
    }
}

/// One instruction on registers.
fn plain(rng: &mut Rng, encoding: &Encoding) -> Step {
    let word = word(rng, encoding, 0, 0);
    let insn = decode(word.bits);
    let source = match class(insn.op) {
        Class::Float if !from_integer(insn.op) => File::F,
        _ => File::X,
    };
    let count = sources(encoding);
    let operands = [insn.rs1, insn.rs2, insn.rs3];
    Step {
        operands: operands[..count].iter().map(|&reg| (source, reg)).collect(),
        before: Vec::new(),
        words: vec![word],
        result: (
            if writes_integer(insn.op) {
                File::X
            } else {
                File::F
            },
            insn.rd,
        ),
    }
}

/// How many registers a computing instruction reads.
fn sources(encoding: &Encoding) -> usize {
    use Opcode as O;
    let fixed = |low: u32| encoding.mask >> low & 31 == 31;
    match encoding.op {
        O::Lui | O::Auipc => 1,
        _ if encoding.len == 2 => 2,
        O::FmaddS | O::FmsubS | O::FnmsubS | O::FnmaddS => 3,
        O::FmaddD | O::FmsubD | O::FnmsubD | O::FnmaddD => 3,
        // `rs2` is a register unless its bits are fixed, or there is no `funct7`.
        _ if encoding.mask >> 25 & 127 == 127 && !fixed(20) && !is_shift5(encoding.op) => 2,
        _ => 1,
    }
}

fn is_shift5(op: Opcode) -> bool {
    matches!(op, Slliw | Srliw | Sraiw | Roriw)
}

fn rounding(rng: &mut Rng, encoding: &Encoding, rm: u32, frm: Option<u8>) -> Step {
    let word = word(rng, encoding, rm << 12, 7 << 12);
    let mut step = plain(rng, encoding);
    let insn = decode(word.bits);
    let registers = [insn.rs1, insn.rs2, insn.rs3];
    for (operand, reg) in step.operands.iter_mut().zip(registers) {
        operand.1 = reg;
    }
    // A static mode must not depend on the dynamic one, so that is another.
    let frm = frm.unwrap_or((rm as u8 + 2) % 5);
    Step {
        before: vec![asm::csr(Csrrwi, 0, frm, FRM)],
        words: vec![word],
        result: (step.result.0, insn.rd),
        ..step
    }
}

/// A free register other than those in `taken`, and not x0.
fn fresh(rng: &mut Rng, taken: &[u8]) -> u8 {
    loop {
        let reg = rng.range(1, 31) as u8;
        if is_free(reg) && !taken.contains(&reg) {
            return reg;
        }
    }
}

/// 1 if the branch is taken, else 0.
fn branch(rng: &mut Rng, op: Opcode) -> Step {
    let a = fresh(rng, &[]);
    let b = fresh(rng, &[a]);
    let result = fresh(rng, &[a, b]);
    Step {
        operands: vec![(File::X, a), (File::X, b)],
        before: Vec::new(),
        words: vec![
            asm::i(Addi, result, 0, 1),
            asm::b(op, a, b, 8),
            asm::i(Addi, result, 0, 0),
        ],
        result: (File::X, result),
    }
}

/// Memory holds the first operand; a load gives it, a store puts the second there.
fn access(rng: &mut Rng, encoding: &Encoding) -> Step {
    let is_store = class(encoding.op) == Class::Store;
    loop {
        let word = word(rng, encoding, 0, 0);
        let insn = decode(word.bits);
        let data = if is_store { insn.rs2 } else { insn.rd };
        let floating = is_floating(insn.op);
        let address = insn.rs1;
        if address == 0 || is_store && !floating && (data == address || data == 0) {
            continue;
        }
        let first = fresh(rng, &[address, data]);
        // Some byte of the word, so that accesses are misaligned and cross its ends.
        let offset = rng.range(-7, 7);
        let mut words = vec![asm::s(Sd, MEMORY, first, 0)];
        words.extend(asm::li(address, offset - insn.imm));
        words.push(asm::r(Add, address, address, MEMORY));
        words.push(word);
        let file = if floating { File::F } else { File::X };
        let second = if is_store {
            (file, data)
        } else {
            (File::X, first)
        };
        let mut operands = vec![(File::X, first), second];
        if !is_store {
            operands.truncate(1);
        }
        return Step {
            operands,
            before: Vec::new(),
            words,
            result: if is_store { (File::X, 0) } else { (file, data) },
        };
    }
}

/// Memory holds the first operand, the second is the source.
fn atomic(rng: &mut Rng, op: Opcode) -> Step {
    let old = fresh(rng, &[]);
    let source = fresh(rng, &[old]);
    let address = fresh(rng, &[old, source]);
    let other = fresh(rng, &[]);
    let result = rng.pick(&[old, source, address, other]);
    let ordering = rng.below(4) << 25;
    let atomic = |op, d, source| Word::new(asm::r(op, d, address, source).bits | ordering);
    // The upper or the lower half of the word.
    let half = if access_size(op) == 4 {
        4 * rng.range(0, 1)
    } else {
        0
    };
    let mut words = vec![
        asm::s(Sd, MEMORY, old, 0),
        asm::i(Addi, address, MEMORY, half),
    ];
    match op {
        LrW | LrD => words.push(atomic(op, result, 0)),
        ScW => words.extend([atomic(LrW, old, 0), atomic(ScW, result, source)]),
        ScD => words.extend([atomic(LrD, old, 0), atomic(ScD, result, source)]),
        _ => words.push(atomic(op, result, source)),
    }
    Step {
        operands: vec![(File::X, old), (File::X, source)],
        before: Vec::new(),
        words,
        result: (File::X, result),
    }
}

/// A CSR with some contents, accessed; the result is old and new together.
fn csr(rng: &mut Rng, op: Opcode) -> Step {
    let contents = fresh(rng, &[]);
    let source = fresh(rng, &[contents]);
    let result = fresh(rng, &[contents, source]);
    let immediate = matches!(op, Csrrwi | Csrrsi | Csrrci);
    let a = if immediate {
        rng.below(32) as u8
    } else {
        rng.pick(&[source, 0])
    };
    let number = rng.pick(&[1, 2, 3]);
    Step {
        operands: vec![(File::X, contents), (File::X, source)],
        before: Vec::new(),
        words: vec![
            asm::csr(Csrrw, 0, contents, 3),
            asm::csr(op, result, a, number),
            asm::csr(Csrrs, contents, 0, 3),
            asm::i(Slli, contents, contents, 8),
            asm::r(Or, result, result, contents),
        ],
        result: (File::X, result),
    }
}
