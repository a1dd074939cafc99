//! A thin layer over dynasm: instructions whose operands are chosen at run time.

use dynasmrt::DynasmApi;

use super::regs::{Loc, RAX};
use super::template::{self, Template};
use crate::ops::Width;

/// No code ends there: an instruction has at least one byte.
const NOT_STORED: (i8, usize) = (0, 0);

/// The code of a block under construction.
#[derive(Debug, Default)]
pub struct Asm {
    /// The bytes so far.
    pub code: Vec<u8>,
    /// The slot that the last instruction stored `rax` to, and where that instruction ends; anywhere
    /// else if there is none.
    stored: (i8, usize),
}

/// `dynasm!` for x86-64 into an [`Asm`].
macro_rules! asm {
    ($asm:expr ; $($t:tt)*) => {
        $asm.template(|template| dynasmrt::dynasm!(template ; .arch x64 ; $($t)*))
    };
}
pub(super) use asm;

/// Two-operand integer instructions that exist in every operand form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum Bin { Add, Or, And, Sub, Xor, Cmp }

/// Shifts and rotates by a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum Sh { Shl, Shr, Sar, Ror }

/// x86 condition codes, as encoded in `jcc` and `setcc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(dead_code, reason = "the table of the codes, whole")]
#[rustfmt::skip]
pub enum Cc { O = 0, No, B, Ae, E, Ne, Be, A, S, Ns, P, Np, L, Ge, Le, G }

impl Cc {
    /// The opposite condition.
    pub fn not(self) -> Cc {
        use Cc::*;
        match self {
            O => No,
            No => O,
            B => Ae,
            Ae => B,
            E => Ne,
            Ne => E,
            Be => A,
            A => Be,
            S => Ns,
            Ns => S,
            P => Np,
            Np => P,
            L => Ge,
            Ge => L,
            Le => G,
            G => Le,
        }
    }
}

/// A forward branch whose 32-bit displacement is not yet known.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Fixup(pub u32);

/// A memory operand: `base + (index << scale) + disp`.
#[derive(Clone, Copy, Debug)]
pub struct Mem {
    pub base: Option<u8>,
    pub index: Option<u8>,
    pub scale: u8,
    pub disp: i32,
}

/// How an instruction with a register (or opcode digit) and a memory operand is encoded.
#[derive(Clone, Copy, Debug)]
pub struct Enc {
    pub opcode: u8,
    /// The opcode is one of the second map, behind 0x0f.
    pub second: bool,
    /// 64-bit operand.
    pub wide: bool,
    /// 16-bit operand.
    pub half: bool,
    /// The register operand is a byte: `spl`–`dil` need a prefix.
    pub byte: bool,
}

impl Enc {
    /// With the default, 32-bit operand.
    pub const fn new(opcode: u8) -> Enc {
        Enc {
            opcode,
            second: false,
            wide: false,
            half: false,
            byte: false,
        }
    }

    pub const fn second(self) -> Enc {
        Enc {
            second: true,
            ..self
        }
    }

    pub const fn wide(self) -> Enc {
        Enc { wide: true, ..self }
    }

    pub const fn half(self) -> Enc {
        Enc { half: true, ..self }
    }

    pub const fn byte(self) -> Enc {
        Enc { byte: true, ..self }
    }
}

impl Bin {
    /// In the opcode field of the register operand; also, times 8, the first of its opcodes.
    fn digit(self) -> u8 {
        match self {
            Bin::Add => 0,
            Bin::Or => 1,
            Bin::And => 4,
            Bin::Sub => 5,
            Bin::Xor => 6,
            Bin::Cmp => 7,
        }
    }
}

impl Asm {
    /// An assembler that reuses a buffer.
    pub fn reusing(mut code: Vec<u8>) -> Asm {
        code.clear();
        Asm {
            code,
            stored: NOT_STORED,
        }
    }

    /// Appends instructions.
    #[inline(always)]
    pub fn template(&mut self, write: impl FnOnce(&mut Template<'_>)) {
        template::append(&mut self.code, write);
    }

    /// Where the next instruction goes. Somebody may jump there: nothing is known of registers.
    #[inline]
    pub fn label(&mut self) -> usize {
        self.stored = NOT_STORED;
        self.code.len()
    }

    /// `rax` instead of the slot that it has just been stored to.
    fn fresh(&self, s: Loc) -> Loc {
        let (slot, end) = self.stored;
        let is_there = (s == Loc::M(slot)) & (end == self.code.len());
        if is_there { Loc::R(RAX) } else { s }
    }

    /// An instruction with a register (or opcode digit) and a location, without a branch: which
    /// registers are pinned is hard to predict.
    #[inline(always)]
    fn on_loc(&mut self, w: Width, opcode: u8, reg: u8, loc: Loc) {
        let (rm, disp, disp_len) = match loc {
            Loc::R(r) => (0xc0 | r, 0, 0),
            Loc::M(m) => (0x45, m as u8, 1),
        };
        let rex = 0x40 | u8::from(w == Width::W64) << 3 | (reg >> 3) << 2 | rm >> 3 & 1;
        self.template(|t| {
            t.byte_if(rex != 0x40, rex);
            t.push(opcode);
            t.push(rm & 0xc7 | (reg & 7) << 3);
            t.word([disp], disp_len);
        });
    }

    /// `op d, s`.
    pub fn bin(&mut self, op: Bin, w: Width, d: u8, s: Loc) {
        let s = if d == RAX { s } else { self.fresh(s) };
        self.on_loc(w, op.digit() << 3 | 3, d, s);
    }

    /// `op qword [BYTE rbp + d], s`.
    pub fn bin_to_slot(&mut self, op: Bin, d: i8, s: u8) {
        self.on_loc(Width::W64, op.digit() << 3 | 1, s, Loc::M(d));
    }

    /// `op d, imm`, with the shortest immediate (dynasm would choose the long one for some).
    pub fn bin_imm(&mut self, op: Bin, w: Width, d: Loc, imm: i32) {
        let digit = op.digit();
        let short = i8::try_from(imm).is_ok();
        let opcode = if short { 0x83 } else { 0x81 };
        let rex_w = if w == Width::W64 { 0x48 } else { 0x40 };
        self.template(|t| {
            match d {
                Loc::R(r) => {
                    let rex = rex_w | r >> 3;
                    t.byte_if(rex != 0x40, rex);
                    t.push(opcode);
                    t.push(0xc0 | digit << 3 | r & 7);
                }
                Loc::M(m) => {
                    t.byte_if(rex_w != 0x40, rex_w);
                    t.push(opcode);
                    t.push(0x45 | digit << 3);
                    t.push(m as u8);
                }
            }
            t.word(imm.to_le_bytes(), if short { 1 } else { 4 });
        });
    }

    /// `cmp dword [rbp + disp], 0`.
    pub fn cmp_zero_far(&mut self, disp: i32) {
        self.template(|t| {
            t.extend(&[0x83, 0xbd]);
            t.push_i32(disp);
            t.push(0);
        });
    }

    /// An instruction on guest memory, `gs:[m]`. Written by hand where dynasm's encodings of
    /// operands chosen at run time are longer than they need to be; code size is what counts here.
    pub fn guest(&mut self, enc: Enc, reg: u8, m: Mem) {
        self.template(|t| {
            t.push(0x65);
            with_mem(t, enc, reg, m);
        });
    }

    /// `lea d, [m]`.
    pub fn lea(&mut self, d: u8, m: Mem) {
        self.template(|t| with_mem(t, Enc::new(0x8d).wide(), d, m));
    }

    /// `lea` of which only the low 32 bits count.
    pub fn lea32(&mut self, d: u8, m: Mem) {
        self.template(|t| with_mem(t, Enc::new(0x8d), d, m));
    }

    /// The immediate operand of the instruction so far.
    pub fn imm(&mut self, value: i32, len: usize) {
        self.template(|t| t.word(value.to_le_bytes(), len));
    }

    /// `test r, r`.
    pub fn test(&mut self, w: Width, r: u8) {
        self.on_loc(w, 0x85, r, Loc::R(r));
    }

    /// `mov d, s` (64 bits), unless they are the same.
    pub fn mov(&mut self, d: u8, s: Loc) {
        let s = self.fresh(s);
        if !s.is(d) {
            self.on_loc(Width::W64, 0x8b, d, s);
        }
    }

    /// `mov d, s` of the low 32 bits, which clears the upper ones.
    pub fn mov32(&mut self, d: u8, s: Loc) {
        let s = self.fresh(s);
        self.on_loc(Width::W32, 0x8b, d, s);
    }

    /// `mov d, s` where `d` is a location, unless they are the same.
    pub fn store(&mut self, d: Loc, s: u8) {
        if d.is(s) {
            return;
        }
        self.on_loc(Width::W64, 0x89, s, d);
        if let Loc::M(slot) = d
            && s == RAX
        {
            self.stored = (slot, self.code.len());
        }
    }

    /// `d = value`, in the shortest form; may change the flags.
    pub fn mov_imm(&mut self, d: Loc, value: i64) {
        match d {
            Loc::R(d) if value == 0 => asm!(self; xor Rd(d), Rd(d)),
            Loc::R(d) => {
                if let Ok(v) = u32::try_from(value) {
                    asm!(self; mov Rd(d), DWORD v as i32);
                } else if let Ok(v) = i32::try_from(value) {
                    asm!(self; mov Rq(d), DWORD v);
                } else {
                    asm!(self; mov Rq(d), QWORD value);
                }
            }
            Loc::M(m) => match i32::try_from(value) {
                Ok(v) => asm!(self; mov QWORD [BYTE rbp + m], DWORD v),
                Err(_) => {
                    asm!(self; mov rax, QWORD value; mov [BYTE rbp + m], rax);
                }
            },
        }
    }

    /// `movsxd d, s`.
    pub fn sext32(&mut self, d: u8, s: Loc) {
        match self.fresh(s) {
            Loc::R(s) if s == RAX && d == RAX => asm!(self; cdqe),
            s => self.on_loc(Width::W64, 0x63, d, s),
        }
    }

    /// Shift or rotate by a constant.
    pub fn shift_imm(&mut self, op: Sh, w: Width, d: u8, n: u8) {
        let n = n as i8;
        match (op, w) {
            (Sh::Shl, Width::W64) => asm!(self; shl Rq(d), BYTE n),
            (Sh::Shl, Width::W32) => asm!(self; shl Rd(d), BYTE n),
            (Sh::Shr, Width::W64) => asm!(self; shr Rq(d), BYTE n),
            (Sh::Shr, Width::W32) => asm!(self; shr Rd(d), BYTE n),
            (Sh::Sar, Width::W64) => asm!(self; sar Rq(d), BYTE n),
            (Sh::Sar, Width::W32) => asm!(self; sar Rd(d), BYTE n),
            (Sh::Ror, Width::W64) => asm!(self; ror Rq(d), BYTE n),
            (Sh::Ror, Width::W32) => asm!(self; ror Rd(d), BYTE n),
        }
    }

    /// `setcc al; movzx d, al`. Keeps the flags.
    pub fn set(&mut self, cc: Cc, d: u8) {
        // setcc al = 0f 90+cc c0
        self.template(|t| t.extend(&[0x0f, 0x90 + cc as u8, 0xc0]));
        asm!(self; movzx Rd(d), al);
    }

    /// `jcc` with a 32-bit displacement to be fixed.
    pub fn jcc(&mut self, cc: Cc) -> Fixup {
        self.template(|t| t.extend(&[0x0f, 0x80 + cc as u8, 0, 0, 0, 0]));
        self.last_word()
    }

    /// `jmp` with a 32-bit displacement to be fixed.
    pub fn jmp(&mut self) -> Fixup {
        self.template(|t| t.extend(&[0xe9, 0, 0, 0, 0]));
        self.last_word()
    }

    fn last_word(&self) -> Fixup {
        Fixup(self.code.len() as u32 - 4)
    }

    /// Makes `fixup` lead to here.
    pub fn bind(&mut self, fixup: Fixup) {
        let target = self.label();
        self.bind_to(fixup, target);
    }

    /// Makes `fixup` lead to `target`.
    pub fn bind_to(&mut self, fixup: Fixup, target: usize) {
        let at = fixup.0 as usize;
        let rel = target as i64 - (at as i64 + 4);
        self.code[at..at + 4].copy_from_slice(&(rel as i32).to_le_bytes());
    }

    /// Pads with one nop so that a 4-byte field `skip` bytes ahead stays within 8 aligned bytes.
    pub fn pad_for_patch(&mut self, skip: usize) {
        let at = (self.code.len() + skip) & 7;
        if at > 4 {
            self.nop(8 - at);
        }
    }

    /// One nop of `n` bytes, 1–8.
    pub fn nop(&mut self, n: usize) {
        const NOPS: [u64; 9] = [
            0,
            0x90,
            0x90_66,
            0x00_1f_0f,
            0x00_40_1f_0f,
            0x00_00_44_1f_0f,
            0x00_00_44_1f_0f_66,
            0x00_00_00_00_80_1f_0f,
            0x00_00_00_00_00_84_1f_0f,
        ];
        self.template(|t| t.word(NOPS[n].to_le_bytes(), n));
    }
}

/// An instruction with a register (or opcode digit) and a memory operand. Few branches: what operands
/// there are is hard to predict.
#[inline(always)]
fn with_mem(t: &mut Template<'_>, enc: Enc, reg: u8, m: Mem) {
    let Mem {
        base,
        index,
        scale,
        disp,
    } = m;
    t.byte_if(enc.half, 0x66);
    let (base_bit, index_bit) = (base.unwrap_or(0) >> 3, index.unwrap_or(0) >> 3);
    let rex = 0x40 | u8::from(enc.wide) << 3 | (reg >> 3) << 2 | index_bit << 1 | base_bit;
    t.byte_if((rex != 0x40) | (enc.byte & (reg >= 4)), rex);
    t.byte_if(enc.second, 0x0f);
    t.push(enc.opcode);
    let reg = (reg & 7) << 3;
    let Some(base) = base else {
        // Mode 0 with base field 5 means a 32-bit displacement alone.
        t.push(reg | 4);
        t.push(index.map_or(4 << 3, |i| scale << 6 | (i & 7) << 3) | 5);
        return t.push_i32(disp);
    };
    let base = base & 7;
    let near = i8::try_from(disp).is_ok();
    let none = (disp == 0) & (base != 5);
    let (mode, disp_len) = match (none, near) {
        (true, _) => (0x00, 0),
        (false, true) => (0x40, 1),
        (false, false) => (0x80, 4),
    };
    match index {
        None => {
            t.push(mode | reg | base);
            t.byte_if(base == 4, 4 << 3 | 4);
        }
        Some(index) => {
            t.push(mode | reg | 4);
            t.push(scale << 6 | (index & 7) << 3 | base);
        }
    }
    t.word(disp.to_le_bytes(), disp_len);
}
