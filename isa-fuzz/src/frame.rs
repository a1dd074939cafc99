//! The code around the random instructions: start, trap handler, dumps, rounds, exit.

use riscv::Opcode::{Add, Addi, Andi, Bne, Csrrs, Csrrw, Fld, Fsd, Jalr, Ld, Lhu, Sd, Slli, Sltiu};

use crate::asm::{self, Word, ecall, i, jal, li, r, s};
use crate::layout::*;

/// System calls of riscv64 Linux.
const SYS_WRITE: i32 = 64;
const SYS_EXIT_GROUP: i32 = 94;
const SYS_SIGALTSTACK: i32 = 132;
const SYS_RT_SIGACTION: i32 = 134;

/// The signals of guest faults: SIGILL, SIGTRAP, SIGBUS, SIGSEGV.
pub const TRAP_SIGNALS: [i32; 4] = [4, 5, 7, 11];

/// `SA_SIGINFO | SA_ONSTACK | SA_NODEFER`.
const SIGACTION_FLAGS: u64 = 4 | 0x0800_0000 | 0x4000_0000;

const FCSR: i32 = 3;
const S0: u8 = 8;
const S1: u8 = 9;
const A0: u8 = 10;
const A1: u8 = 11;
const A2: u8 = 12;
const A3: u8 = 13;
const A7: u8 = 17;
const T0: u8 = 5;
const T1: u8 = 6;

/// Registers that the frame may not disturb.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Always holds [`BASE`].
    pub base: u8,
    /// Links to the dump routines; saved around them.
    pub link: u8,
}

/// The trap handler's address: it is the first subroutine.
const HANDLER: u64 = CODE + 4;

/// Code under construction.
pub struct Code {
    /// What there is so far.
    pub bytes: Vec<u8>,
    dump: usize,
    dump_memory: usize,
}

/// An address as an immediate.
fn absolute(address: u64) -> i32 {
    i32::try_from(address).expect("the layout is below 2 GiB")
}

/// Writes what the start-up code hands to the signal system calls.
pub fn put_signal_data(mut put: impl FnMut(u64, u64)) {
    put(SIGACTION, HANDLER);
    put(SIGACTION + 8, SIGACTION_FLAGS);
    put(SIGACTION + 16, 0);
    put(STACK_T, SIGNAL_STACK);
    put(STACK_T + 8, 0);
    put(STACK_T + 16, SIGNAL_STACK_BYTES);
}

impl Code {
    /// The start-up code and the subroutines; the chunks follow.
    pub fn start(frame: &Frame) -> Code {
        let mut code = Code {
            bytes: Vec::new(),
            dump: 0,
            dump_memory: 0,
        };
        // Patched below: a jump over the subroutines.
        code.put(jal(0, 0));
        debug_assert_eq!(CODE + code.len() as u64, HANDLER);
        code.handler();
        code.dump = code.len();
        code.dump_routine(frame);
        code.dump_memory = code.len();
        code.dump_memory_routine(frame);
        let over = jal(0, code.len() as i32).bits;
        code.bytes[..4].copy_from_slice(&over.to_le_bytes());
        code.set_up(frame);
        code
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no code yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn put(&mut self, word: Word) {
        word.put(&mut self.bytes);
    }

    fn li(&mut self, reg: u8, value: i32) {
        li(reg, value).into_iter().for_each(|word| self.put(word));
    }

    fn call(&mut self, link: u8, routine: usize) {
        let back = routine as i32 - self.len() as i32;
        self.put(jal(link, back));
    }

    fn system_call(&mut self, number: i32) {
        self.li(A7, number);
        self.put(ecall());
    }

    /// Writes out the trap and steps over the instruction. Arguments as for any `sa_sigaction`.
    fn handler(&mut self) {
        self.put(i(Addi, S0, A1, 0));
        self.put(i(Addi, S1, A2, 0));
        self.li(A0, 1);
        self.li(A2, SIGINFO_BYTES as i32);
        self.system_call(SYS_WRITE);
        self.li(A0, 1);
        self.put(i(Addi, A1, S1, UC_MCONTEXT));
        self.li(A2, MCONTEXT_BYTES as i32);
        self.system_call(SYS_WRITE);
        // Length of the instruction: 4 if its two low bits are set, else 2.
        self.put(i(Ld, T0, S1, UC_MCONTEXT));
        self.put(i(Lhu, T1, T0, 0));
        self.put(i(Andi, T1, T1, 3));
        self.put(i(Addi, T1, T1, -3));
        self.put(i(Sltiu, T1, T1, 1));
        self.put(i(Slli, T1, T1, 1));
        self.put(i(Addi, T1, T1, 2));
        self.put(r(Add, T0, T0, T1));
        self.put(s(Sd, S1, T0, UC_MCONTEXT));
        self.put(i(Jalr, 0, 1, 0));
    }

    /// Writes out all registers; the caller saved the link register in its place.
    fn dump_routine(&mut self, frame: &Frame) {
        let Frame { base, link } = *frame;
        for reg in (0..32).filter(|reg| *reg != link) {
            self.put(s(Sd, base, reg, DUMP + 8 * i32::from(reg)));
        }
        for reg in 0..32 {
            self.put(s(Fsd, base, reg, DUMP + 256 + 8 * i32::from(reg)));
        }
        self.put(asm::csr(Csrrs, A0, 0, FCSR));
        self.put(s(Sd, base, A0, DUMP + 512));
        self.write(base, DUMP, STATE_BYTES);
        self.restore(base);
        self.put(i(Jalr, 0, link, 0));
    }

    /// Writes out pool and scratch memory; registers were dumped right before.
    fn dump_memory_routine(&mut self, frame: &Frame) {
        self.write(frame.base, POOL, MEMORY_BYTES);
        self.restore(frame.base);
        self.put(i(Jalr, 0, frame.link, 0));
    }

    fn write(&mut self, base: u8, offset: i32, bytes: usize) {
        self.li(A0, 1);
        self.put(i(Addi, A1, base, offset));
        self.li(A2, bytes as i32);
        self.system_call(SYS_WRITE);
    }

    /// Reloads the registers that [`Code::write`] used from the dump.
    fn restore(&mut self, base: u8) {
        for reg in [A0, A1, A2, A7] {
            self.put(i(Ld, reg, base, DUMP + 8 * i32::from(reg)));
        }
    }

    /// Installs the trap handler and loads the registers.
    fn set_up(&mut self, frame: &Frame) {
        self.li(A0, absolute(STACK_T));
        self.li(A1, 0);
        self.system_call(SYS_SIGALTSTACK);
        for signal in TRAP_SIGNALS {
            self.li(A0, signal);
            self.li(A1, absolute(SIGACTION));
            self.li(A2, 0);
            self.li(A3, 8);
            self.system_call(SYS_RT_SIGACTION);
        }
        let base = frame.base;
        self.li(base, absolute(INIT));
        self.put(i(Ld, A0, base, 512));
        self.put(asm::csr(Csrrw, 0, A0, FCSR));
        for reg in 0..32 {
            self.put(i(Fld, reg, base, 256 + 8 * i32::from(reg)));
        }
        for reg in (1..32).filter(|reg| *reg != base) {
            self.put(i(Ld, reg, base, 8 * i32::from(reg)));
        }
        self.li(base, absolute(BASE));
    }

    /// Calls the state dump.
    pub fn dump_state(&mut self, frame: &Frame) {
        let Frame { base, link } = *frame;
        let slot = DUMP + 8 * i32::from(link);
        self.put(s(Sd, base, link, slot));
        self.call(link, self.dump);
        self.put(i(Ld, link, base, slot));
    }

    /// After the chunks: writes out memory, then goes back to `body` or exits. The number of
    /// rounds is in the data, at [`ROUND`].
    pub fn end_round(&mut self, frame: &Frame, body: usize) {
        let Frame { base, link } = *frame;
        self.put(s(Sd, base, link, SAVED_LINK));
        self.call(link, self.dump_memory);
        self.put(i(Ld, link, base, ROUND));
        self.put(i(Addi, link, link, -1));
        self.put(s(Sd, base, link, ROUND));
        let exit = li(A0, 0).len() as i32 * 4 + li(A7, SYS_EXIT_GROUP).len() as i32 * 4 + 8;
        self.put(asm::b(Bne, link, 0, exit));
        self.li(A0, 0);
        self.system_call(SYS_EXIT_GROUP);
        self.put(i(Ld, link, base, SAVED_LINK));
        self.call(0, body);
    }
}
