//! The loops around the steps.

use riscv::Opcode::{Addi, Beq, Csrrs, Csrrw, Fld, Fsd, Ld, Sd, Sub};

use super::{File, NOTE, Step};
use crate::asm::{self, Word, csr, ecall, i, jal, li, r, s};
use crate::layout::DATA;
use crate::program::Image;

/// Registers of the loops, which no step uses: pointers into the tables and their ends, where the
/// next note goes, where notes begin, the memory that steps access, and a temporary.
const POINTERS: [u8; 3] = [18, 19, 20];
const ENDS: [u8; 3] = [21, 22, 23];
const OUT: u8 = 24;
const NOTES: u8 = 25;
/// Points at the word of memory that a step may access; 64 bytes around it are its own.
pub const MEMORY: u8 = 26;
const TEMP: u8 = 27;

/// Whether a step may use integer register `reg`.
pub fn is_free(reg: u8) -> bool {
    !(18..=27).contains(&reg)
}

const SYS_WRITE: i32 = 64;
const SYS_EXIT_GROUP: i32 = 94;
const FFLAGS: i32 = 1;
const A0: u8 = 10;
const A1: u8 = 11;
const A2: u8 = 12;
const A7: u8 = 17;
const PAGE: usize = 0x1000;

/// The program that runs `steps` on all combinations of `tables`.
pub fn image(steps: &[Step], tables: &[Vec<u64>]) -> Image {
    let mut data = Vec::new();
    let mut bounds = Vec::new();
    for table in tables {
        let start = data.len();
        table
            .iter()
            .for_each(|value| data.extend(value.to_le_bytes()));
        bounds.push((address(start), address(data.len())));
    }
    let memory = data.len() + 64;
    let notes = memory + 64;
    let innermost = tables.last().map_or(1, Vec::len);
    data.resize(
        (notes + innermost * steps.len() * NOTE).next_multiple_of(PAGE),
        0,
    );

    let mut code = Code::default();
    code.li(NOTES, address(notes));
    code.li(MEMORY, address(memory));
    code.put(i(Addi, OUT, NOTES, 0));
    code.nest(steps, &bounds, 0);
    code.li(A0, 0);
    code.system_call(SYS_EXIT_GROUP);
    Image {
        code: code.bytes,
        data,
        body: 0,
    }
}

fn address(offset: usize) -> i32 {
    DATA as i32 + offset as i32
}

#[derive(Default)]
struct Code {
    bytes: Vec<u8>,
}

impl Code {
    fn put(&mut self, word: Word) {
        word.put(&mut self.bytes);
    }

    fn li(&mut self, reg: u8, value: i32) {
        li(reg, value).into_iter().for_each(|word| self.put(word));
    }

    fn system_call(&mut self, number: i32) {
        self.li(A7, number);
        self.put(ecall());
    }

    /// The loops from `depth` inwards.
    fn nest(&mut self, steps: &[Step], bounds: &[(i32, i32)], depth: usize) {
        let Some(&(start, end)) = bounds.get(depth) else {
            steps.iter().for_each(|step| self.step(step));
            return;
        };
        let (pointer, limit) = (POINTERS[depth], ENDS[depth]);
        self.li(pointer, start);
        self.li(limit, end);
        let top = self.bytes.len();
        self.nest(steps, bounds, depth + 1);
        self.put(i(Addi, pointer, pointer, 8));
        // Over the way out, which may be far from the top.
        self.put(r(Sub, TEMP, limit, pointer));
        self.put(asm::b(Beq, TEMP, 0, 8));
        let back = top as i32 - self.bytes.len() as i32;
        self.put(jal(0, back));
        if depth + 1 == bounds.len() {
            self.write_notes();
        }
    }

    fn write_notes(&mut self) {
        self.li(A0, 1);
        self.put(i(Addi, A1, NOTES, 0));
        self.put(r(Sub, A2, OUT, NOTES));
        self.system_call(SYS_WRITE);
        self.put(i(Addi, OUT, NOTES, 0));
    }

    /// Loads the operands, runs the step, notes what came of it.
    fn step(&mut self, step: &Step) {
        for (&(file, reg), pointer) in step.operands.iter().zip(POINTERS) {
            self.put(match file {
                File::X => i(Ld, reg, pointer, 0),
                File::F => i(Fld, reg, pointer, 0),
            });
        }
        step.before.iter().for_each(|&word| self.put(word));
        self.put(csr(Csrrw, 0, 0, FFLAGS));
        step.words.iter().for_each(|&word| self.put(word));
        let (file, reg) = step.result;
        self.put(match file {
            File::X => s(Sd, OUT, reg, 0),
            File::F => s(Fsd, OUT, reg, 0),
        });
        self.put(csr(Csrrs, TEMP, 0, FFLAGS));
        self.put(s(Sd, OUT, TEMP, 8));
        self.put(i(Ld, TEMP, MEMORY, 0));
        self.put(s(Sd, OUT, TEMP, 16));
        self.put(i(Addi, OUT, OUT, NOTE as i32));
    }
}
