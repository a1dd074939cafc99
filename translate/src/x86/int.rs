//! Integer ops.

use super::asm::{Bin, Cc, Mem, Sh, asm};
use super::emit::Emission;
use super::regs::{Loc, RAX, RCX, RDX, loc};
use crate::ops::{Addr, AluOp, Op, Reg, UnOp, Width};
use dynasmrt::DynasmApi;

impl Emission<'_> {
    /// The register to compute `rd` in: its own if it is pinned, else `rax`.
    pub(super) fn dest(&self, rd: Reg) -> u8 {
        match loc(rd) {
            Loc::R(r) => r,
            Loc::M(_) => RAX,
        }
    }

    /// Completes a computation of `rd` in `d` (see [`Self::dest`]).
    pub(super) fn finish(&mut self, rd: Reg, d: u8) {
        if !rd.is_zero() {
            self.a.store(loc(rd), d);
        }
    }

    /// `r` in some host register, `scratch` if it is not pinned.
    pub(super) fn in_reg(&mut self, r: Reg, scratch: u8) -> u8 {
        match loc(r) {
            Loc::R(host) => host,
            slot => {
                self.a.mov(scratch, slot);
                scratch
            }
        }
    }

    /// The width's sign extension of a 32-bit result in `d`.
    pub(super) fn extend(&mut self, w: Width, d: u8) {
        if w == Width::W32 {
            self.a.sext32(d, Loc::R(d));
        }
    }

    pub(super) fn constant(&mut self, rd: Reg, value: i64) {
        self.a.mov_imm(loc(rd), value);
    }

    pub(super) fn un(&mut self, op: UnOp, w: Width, rd: Reg, ra: Reg) {
        let d = self.dest(rd);
        let s = loc(ra);
        let a = &mut self.a;
        macro_rules! rm {
            ($mn:ident, $fam:ident, $d:expr) => {
                match s {
                    Loc::R(s) => asm!(a; $mn $fam($d), $fam(s)),
                    Loc::M(m) => asm!(a; $mn $fam($d), [BYTE rbp + m]),
                }
            };
        }
        match (op, w) {
            (UnOp::Mov, _) => match (loc(rd), s) {
                (l @ Loc::M(_), Loc::R(s)) => {
                    a.store(l, s);
                    return;
                }
                _ => a.mov(d, s),
            },
            (UnOp::SextW, _) => a.sext32(d, s),
            (UnOp::ZextW, _) => a.mov32(d, s),
            (UnOp::SextB, _) => match s {
                Loc::R(s) => asm!(a; movsx Rq(d), Rb(s)),
                Loc::M(m) => asm!(a; movsx Rq(d), BYTE [BYTE rbp + m]),
            },
            (UnOp::SextH, _) => match s {
                Loc::R(s) => asm!(a; movsx Rq(d), Rw(s)),
                Loc::M(m) => asm!(a; movsx Rq(d), WORD [BYTE rbp + m]),
            },
            (UnOp::ZextB, _) => match s {
                Loc::R(s) => asm!(a; movzx Rd(d), Rb(s)),
                Loc::M(m) => asm!(a; movzx Rd(d), BYTE [BYTE rbp + m]),
            },
            (UnOp::ZextH, _) => match s {
                Loc::R(s) => asm!(a; movzx Rd(d), Rw(s)),
                Loc::M(m) => asm!(a; movzx Rd(d), WORD [BYTE rbp + m]),
            },
            (UnOp::Clz, Width::W64) => rm!(lzcnt, Rq, d),
            (UnOp::Clz, Width::W32) => rm!(lzcnt, Rd, d),
            (UnOp::Ctz, Width::W64) => rm!(tzcnt, Rq, d),
            (UnOp::Ctz, Width::W32) => rm!(tzcnt, Rd, d),
            (UnOp::Cpop, Width::W64) => rm!(popcnt, Rq, d),
            (UnOp::Cpop, Width::W32) => rm!(popcnt, Rd, d),
            (UnOp::Rev8, _) => {
                a.mov(d, s);
                asm!(a; bswap Rq(d));
            }
            (UnOp::OrcB, _) => {
                // A byte's zero test for all eight at once: only 0 is 0 and not greater than 0.
                match s {
                    Loc::R(s) => asm!(a; vmovq xmm0, Rq(s)),
                    Loc::M(m) => asm!(a; vmovq xmm0, [BYTE rbp + m]),
                }
                asm!(a
                    ; vpxor xmm1, xmm1, xmm1
                    ; vpcmpeqb xmm0, xmm0, xmm1
                    ; vmovq Rq(d), xmm0
                    ; not Rq(d)
                );
            }
        }
        self.finish(rd, d);
    }

    pub(super) fn alu(&mut self, op: AluOp, w: Width, rd: Reg, ra: Reg, rb: Reg) {
        if let Some(bin) = bin_of(op) {
            return self.commutative(bin, w, rd, ra, rb);
        }
        match op {
            AluOp::Add | AluOp::And | AluOp::Or | AluOp::Xor => {}
            AluOp::Sub => self.sub(w, rd, ra, rb),
            AluOp::Sll | AluOp::Srl | AluOp::Sra => self.shift(op, w, rd, ra, rb),
            AluOp::Slt | AluOp::Sltu => {
                let cc = self.less(op, rd, ra, rb);
                self.branch_after(cc, rd);
            }
            AluOp::Mul => self.mul(w, rd, ra, rb),
            AluOp::Mulh | AluOp::Mulhu => self.mul_high(op, rd, ra, rb),
            AluOp::Div | AluOp::Divu | AluOp::Rem | AluOp::Remu => {
                let op = Op::Alu {
                    op,
                    w,
                    rd,
                    a: ra,
                    b: rb,
                };
                self.division(&op);
            }
            AluOp::Andn => {
                let d = self.dest(rd);
                let b = self.in_reg(rb, RCX);
                match loc(ra) {
                    Loc::R(s) => asm!(self.a; andn Rq(d), Rq(b), Rq(s)),
                    Loc::M(m) => asm!(self.a; andn Rq(d), Rq(b), [BYTE rbp + m]),
                }
                self.finish(rd, d);
            }
            AluOp::Orn | AluOp::Xnor => {
                self.a.mov(RAX, loc(rb));
                asm!(self.a; not rax);
                let bin = if op == AluOp::Orn { Bin::Or } else { Bin::Xor };
                self.a.bin(bin, Width::W64, RAX, loc(ra));
                self.finish(rd, RAX);
            }
            AluOp::Min => self.select(Cc::G, rd, ra, rb),
            AluOp::Max => self.select(Cc::L, rd, ra, rb),
            AluOp::Minu => self.select(Cc::A, rd, ra, rb),
            AluOp::Maxu => self.select(Cc::B, rd, ra, rb),
            AluOp::CzeroEqz | AluOp::CzeroNez => {
                self.a.mov(RAX, loc(ra));
                asm!(self.a; xor ecx, ecx);
                self.a.bin_imm(Bin::Cmp, Width::W64, loc(rb), 0);
                match op {
                    AluOp::CzeroEqz => asm!(self.a; cmove rax, rcx),
                    _ => asm!(self.a; cmovne rax, rcx),
                }
                self.finish(rd, RAX);
            }
            AluOp::Rol | AluOp::Ror => {
                // The amount goes through cl; a pinned rcx does not exist.
                self.a.mov(RCX, loc(rb));
                self.a.mov(RAX, loc(ra));
                match (op, w) {
                    (AluOp::Rol, Width::W64) => asm!(self.a; rol rax, cl),
                    (AluOp::Rol, Width::W32) => asm!(self.a; rol eax, cl),
                    (_, Width::W64) => asm!(self.a; ror rax, cl),
                    (_, Width::W32) => asm!(self.a; ror eax, cl),
                }
                self.extend(w, RAX);
                self.finish(rd, RAX);
            }
            AluOp::Bclr | AluOp::Bset | AluOp::Binv | AluOp::Bext => {
                self.a.mov(RCX, loc(rb));
                self.a.mov(RAX, loc(ra));
                match op {
                    AluOp::Bclr => asm!(self.a; btr rax, rcx),
                    AluOp::Bset => asm!(self.a; bts rax, rcx),
                    AluOp::Binv => asm!(self.a; btc rax, rcx),
                    _ => asm!(self.a; shrx rax, rax, rcx; and eax, BYTE 1),
                }
                self.finish(rd, RAX);
            }
            AluOp::Mulhsu => self.helper(Op::Alu {
                op,
                w,
                rd,
                a: ra,
                b: rb,
            }),
        }
    }

    fn commutative(&mut self, op: Bin, w: Width, rd: Reg, ra: Reg, rb: Reg) {
        // Put the operand that shares rd's place first.
        let (ra, rb) = if loc(rb) == loc(rd) {
            (rb, ra)
        } else {
            (ra, rb)
        };
        let full = w == Width::W64;
        match (loc(rd), loc(ra), loc(rb)) {
            (Loc::M(d), Loc::M(a), _) if d == a && full => {
                let b = self.in_reg(rb, RAX);
                self.a.bin_to_slot(op, d, b);
            }
            (Loc::R(d), Loc::R(a), Loc::R(b)) if op == Bin::Add && d != a && full => {
                self.a.lea(d, indexed(a, b, 0));
            }
            (_, Loc::R(a), Loc::R(b)) if op == Bin::Add && !full && !loc(rd).is(a) => {
                self.a.lea32(RAX, indexed(a, b, 0));
                self.sext_to(rd);
            }
            (_, a, b) => {
                let d = self.dest(rd);
                if full {
                    self.a.mov(d, a);
                } else if a != Loc::R(d) {
                    self.a.mov32(d, a);
                }
                self.a.bin(op, w, d, b);
                self.extend(w, d);
                self.finish(rd, d);
            }
        }
    }

    /// `rd` = sign extension of `eax`.
    fn sext_to(&mut self, rd: Reg) {
        let d = self.dest(rd);
        self.a.sext32(d, Loc::R(RAX));
        self.finish(rd, d);
    }

    fn sub(&mut self, w: Width, rd: Reg, ra: Reg, rb: Reg) {
        let full = w == Width::W64;
        match (loc(rd), loc(ra), loc(rb)) {
            (Loc::M(d), Loc::M(a), _) if d == a && full => {
                let b = self.in_reg(rb, RAX);
                self.a.bin_to_slot(Bin::Sub, d, b);
            }
            (Loc::R(d), _, b) if ra.is_zero() => {
                if full {
                    self.a.mov(d, b);
                    asm!(self.a; neg Rq(d));
                } else {
                    self.a.mov32(d, b);
                    asm!(self.a; neg Rd(d));
                    self.extend(w, d);
                }
            }
            (Loc::R(d), a, Loc::R(b)) if d == b && !loc(ra).is(d) => {
                if full {
                    asm!(self.a; neg Rq(d));
                    self.a.bin(Bin::Add, w, d, a);
                } else {
                    asm!(self.a; neg Rd(d));
                    self.a.bin(Bin::Add, w, d, a);
                    self.extend(w, d);
                }
            }
            (_, a, b) => {
                let d = self.dest(rd);
                self.a.mov(d, a);
                self.a.bin(Bin::Sub, w, d, b);
                self.extend(w, d);
                self.finish(rd, d);
            }
        }
    }

    fn shift(&mut self, op: AluOp, w: Width, rd: Reg, ra: Reg, rb: Reg) {
        let d = self.dest(rd);
        let n = self.in_reg(rb, RCX);
        let a = &mut self.a;
        macro_rules! sh {
            ($mn:ident, $fam:ident) => {
                match loc(ra) {
                    Loc::R(s) => asm!(a; $mn $fam(d), $fam(s), $fam(n)),
                    Loc::M(m) => asm!(a; $mn $fam(d), [BYTE rbp + m], $fam(n)),
                }
            };
        }
        match (op, w) {
            (AluOp::Sll, Width::W64) => sh!(shlx, Rq),
            (AluOp::Sll, Width::W32) => sh!(shlx, Rd),
            (AluOp::Srl, Width::W64) => sh!(shrx, Rq),
            (AluOp::Srl, Width::W32) => sh!(shrx, Rd),
            (_, Width::W64) => sh!(sarx, Rq),
            (_, Width::W32) => sh!(sarx, Rd),
        }
        self.extend(w, d);
        self.finish(rd, d);
    }

    /// `rd = ra < rb`; the flags then hold the returned condition.
    pub(super) fn less(&mut self, op: AluOp, rd: Reg, ra: Reg, rb: Reg) -> Cc {
        let cc = if op == AluOp::Sltu && ra.is_zero() {
            self.compare_zero(Width::W64, rb);
            Cc::Ne
        } else {
            let a = self.in_reg(ra, RAX);
            self.a.bin(Bin::Cmp, Width::W64, a, loc(rb));
            if op == AluOp::Slt { Cc::L } else { Cc::B }
        };
        self.set_to(rd, cc);
        cc
    }

    /// Sets the flags for `r` against 0.
    pub(super) fn compare_zero(&mut self, w: Width, r: Reg) {
        match loc(r) {
            Loc::R(r) => self.a.test(w, r),
            m => self.a.bin_imm(Bin::Cmp, w, m, 0),
        }
    }

    /// `rd = cc ? 1 : 0`.
    pub(super) fn set_to(&mut self, rd: Reg, cc: Cc) {
        let d = self.dest(rd);
        self.a.set(cc, d);
        self.finish(rd, d);
    }

    /// `rd = ra`, or `rb` if `ra cc rb`.
    fn select(&mut self, cc: Cc, rd: Reg, ra: Reg, rb: Reg) {
        let b = self.in_reg(rb, RCX);
        self.a.mov(RAX, loc(ra));
        self.a.bin(Bin::Cmp, Width::W64, RAX, Loc::R(b));
        match cc {
            Cc::G => asm!(self.a; cmovg rax, Rq(b)),
            Cc::L => asm!(self.a; cmovl rax, Rq(b)),
            Cc::A => asm!(self.a; cmova rax, Rq(b)),
            _ => asm!(self.a; cmovb rax, Rq(b)),
        }
        self.finish(rd, RAX);
    }

    fn mul(&mut self, w: Width, rd: Reg, ra: Reg, rb: Reg) {
        let (ra, rb) = if loc(rb) == loc(rd) {
            (rb, ra)
        } else {
            (ra, rb)
        };
        let d = self.dest(rd);
        self.a.mov(d, loc(ra));
        match (w, loc(rb)) {
            (Width::W64, Loc::R(b)) => asm!(self.a; imul Rq(d), Rq(b)),
            (Width::W64, Loc::M(m)) => asm!(self.a; imul Rq(d), [BYTE rbp + m]),
            (Width::W32, Loc::R(b)) => asm!(self.a; imul Rd(d), Rd(b)),
            (Width::W32, Loc::M(m)) => asm!(self.a; imul Rd(d), [BYTE rbp + m]),
        }
        self.extend(w, d);
        self.finish(rd, d);
    }

    fn mul_high(&mut self, op: AluOp, rd: Reg, ra: Reg, rb: Reg) {
        // rdx, pinned, waits in rcx.
        asm!(self.a; mov rcx, rdx);
        self.a.mov(RAX, loc(ra));
        let b = match loc(rb) {
            Loc::R(RDX) => Loc::R(RCX),
            b => b,
        };
        match (op, b) {
            (AluOp::Mulh, Loc::R(b)) => asm!(self.a; imul Rq(b)),
            (AluOp::Mulh, Loc::M(m)) => asm!(self.a; imul QWORD [BYTE rbp + m]),
            (_, Loc::R(b)) => asm!(self.a; mul Rq(b)),
            (_, Loc::M(m)) => asm!(self.a; mul QWORD [BYTE rbp + m]),
        }
        self.high_to(rd);
    }

    /// `rd = rdx`, and the pinned rdx comes back from rcx.
    pub(super) fn high_to(&mut self, rd: Reg) {
        match loc(rd) {
            Loc::R(RDX) => {}
            l => {
                self.a.store(l, RDX);
                asm!(self.a; mov rdx, rcx);
            }
        }
    }

    pub(super) fn alu_imm(&mut self, op: AluOp, w: Width, rd: Reg, ra: Reg, imm: i32) {
        let Some(bin) = bin_of(op) else {
            return self.other_alu_imm(op, w, rd, ra, imm);
        };
        match (loc(rd), loc(ra)) {
            (Loc::M(d), Loc::M(a)) if d == a && w == Width::W64 => {
                self.a.bin_imm(bin, w, Loc::M(d), imm);
            }
            (Loc::R(d), Loc::R(a)) if d != a && bin == Bin::Add && w == Width::W64 => {
                self.a.lea(d, displaced(a, imm));
            }
            (_, Loc::R(a)) if !loc(rd).is(a) && bin == Bin::Add && w == Width::W32 => {
                self.a.lea32(RAX, displaced(a, imm));
                self.sext_to(rd);
            }
            (_, a) => {
                let d = self.dest(rd);
                self.a.mov(d, a);
                if bin == Bin::Xor && imm == -1 && w == Width::W64 {
                    asm!(self.a; not Rq(d));
                } else {
                    self.a.bin_imm(bin, w, Loc::R(d), imm);
                }
                self.extend(w, d);
                self.finish(rd, d);
            }
        }
    }

    fn other_alu_imm(&mut self, op: AluOp, w: Width, rd: Reg, ra: Reg, imm: i32) {
        match op {
            AluOp::Slt | AluOp::Sltu => {
                let cc = self.less_imm(op, rd, ra, imm);
                self.branch_after(cc, rd);
            }
            AluOp::Sll | AluOp::Srl | AluOp::Sra | AluOp::Ror => {
                self.shift_imm(op, w, rd, ra, imm);
            }
            AluOp::Bclr | AluOp::Bset | AluOp::Binv | AluOp::Bext => {
                self.bit_imm(op, rd, ra, (imm & 63) as i8);
            }
            _ => self.helper(Op::AluImm {
                op,
                w,
                rd,
                a: ra,
                imm,
            }),
        }
    }

    /// `rd = ra < imm`; the flags then hold the returned condition.
    pub(super) fn less_imm(&mut self, op: AluOp, rd: Reg, ra: Reg, imm: i32) -> Cc {
        let cc = if op == AluOp::Sltu && imm == 1 {
            self.compare_zero(Width::W64, ra);
            Cc::E
        } else {
            self.a.bin_imm(Bin::Cmp, Width::W64, loc(ra), imm);
            if op == AluOp::Slt { Cc::L } else { Cc::B }
        };
        self.set_to(rd, cc);
        cc
    }

    fn shift_imm(&mut self, op: AluOp, w: Width, rd: Reg, ra: Reg, imm: i32) {
        let n = (imm & if w == Width::W64 { 63 } else { 31 }) as u8;
        let d = self.dest(rd);
        let sh = match op {
            AluOp::Sll => Sh::Shl,
            AluOp::Srl => Sh::Shr,
            AluOp::Sra => Sh::Sar,
            _ => Sh::Ror,
        };
        match (loc(rd), loc(ra)) {
            (Loc::M(m), Loc::M(s)) if m == s && w == Width::W64 && sh != Sh::Ror => match sh {
                Sh::Shl => asm!(self.a; shl QWORD [BYTE rbp + m], BYTE n as i8),
                Sh::Shr => asm!(self.a; shr QWORD [BYTE rbp + m], BYTE n as i8),
                _ => asm!(self.a; sar QWORD [BYTE rbp + m], BYTE n as i8),
            },
            (_, s) => {
                if sh == Sh::Ror && !s.is(d) {
                    match (w, s) {
                        (Width::W64, Loc::R(s)) => asm!(self.a; rorx Rq(d), Rq(s), BYTE n as i8),
                        (Width::W64, Loc::M(m)) => {
                            asm!(self.a; rorx Rq(d), [BYTE rbp + m], BYTE n as i8)
                        }
                        (Width::W32, Loc::R(s)) => asm!(self.a; rorx Rd(d), Rd(s), BYTE n as i8),
                        (Width::W32, Loc::M(m)) => {
                            asm!(self.a; rorx Rd(d), [BYTE rbp + m], BYTE n as i8)
                        }
                    }
                } else {
                    if w == Width::W64 || s.is(d) {
                        self.a.mov(d, s);
                    } else {
                        self.a.mov32(d, s);
                    }
                    self.a.shift_imm(sh, w, d, n);
                }
                // A 32-bit right shift by 1 or more leaves a positive word.
                if !(sh == Sh::Shr && n > 0) {
                    self.extend(w, d);
                }
                self.finish(rd, d);
            }
        }
    }

    fn bit_imm(&mut self, op: AluOp, rd: Reg, ra: Reg, n: i8) {
        let d = self.dest(rd);
        self.a.mov(d, loc(ra));
        match op {
            AluOp::Bclr => asm!(self.a; btr Rq(d), BYTE n),
            AluOp::Bset => asm!(self.a; bts Rq(d), BYTE n),
            AluOp::Binv => asm!(self.a; btc Rq(d), BYTE n),
            _ => asm!(self.a; shr Rq(d), BYTE n; and Rd(d), BYTE 1),
        }
        self.finish(rd, d);
    }

    /// `rd = rb + (ra << shift)`.
    pub(super) fn sh_add(&mut self, rd: Reg, ra: Reg, rb: Reg, shift: u8, uw: bool) {
        let s = match (loc(ra), uw) {
            (Loc::R(s), false) => s,
            (s, false) => {
                self.a.mov(RAX, s);
                RAX
            }
            (s, true) => {
                self.a.mov32(RAX, s);
                RAX
            }
        };
        if rb.is_zero() {
            let d = self.dest(rd);
            self.a.mov(d, Loc::R(s));
            self.a.shift_imm(Sh::Shl, Width::W64, d, shift);
            return self.finish(rd, d);
        }
        if shift > 3 {
            self.a.mov(RAX, Loc::R(s));
            self.a.shift_imm(Sh::Shl, Width::W64, RAX, shift);
            self.a.bin(Bin::Add, Width::W64, RAX, loc(rb));
            return self.finish(rd, RAX);
        }
        let b = self.in_reg(rb, RCX);
        let d = self.dest(rd);
        self.a.lea(d, indexed(b, s, shift));
        self.finish(rd, d);
    }

    pub(super) fn lea(&mut self, rd: Reg, addr: Addr) {
        let d = self.dest(rd);
        let m = self.address(addr);
        self.a.lea(d, m);
        self.finish(rd, d);
    }
}

/// The host's instruction of the same meaning, of those that take operands in either order.
fn bin_of(op: AluOp) -> Option<Bin> {
    match op {
        AluOp::Add => Some(Bin::Add),
        AluOp::And => Some(Bin::And),
        AluOp::Or => Some(Bin::Or),
        AluOp::Xor => Some(Bin::Xor),
        _ => None,
    }
}

/// `[base + (index << scale)]`.
fn indexed(base: u8, index: u8, scale: u8) -> Mem {
    Mem {
        base: Some(base),
        index: Some(index),
        scale,
        disp: 0,
    }
}

/// `[base + disp]`.
pub(super) fn displaced(base: u8, disp: i32) -> Mem {
    Mem {
        base: Some(base),
        index: None,
        scale: 0,
        disp,
    }
}
