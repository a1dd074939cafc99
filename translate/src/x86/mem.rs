//! Loads, stores and atomics. In a program, guest address `a` is host `gs:[a]`; a fault is a host
//! signal, mapped back through the block's fault points. On a machine's hart, `gs` has base 0, and the
//! host address comes from a probe (`probe`).

use std::mem::offset_of;

use dynasmrt::DynasmApi;

use super::asm::{Bin, Cc, Enc, Mem, asm};
use super::emit::Emission;
use super::probe::Wants;
use super::regs::{FLoc, Loc, RAX, RCX, X0, disp, loc, loc_f};
use crate::ops::{Addr, AmoOp, FReg, Fmt, Op, Reg, Size, Width};
use crate::state::{Consts, CpuState};

/// A vector move between `$x` and guest memory: `$pre` and `$post` are the operands around it.
macro_rules! guest_vector {
    ($a:expr, $m:expr, $mn:ident, [$($pre:tt)*], [$($post:tt)*]) => {{
        let Mem { base, index, scale, disp } = $m;
        match (base, index) {
            (None, None) => asm!($a; gs $mn $($pre)* [DWORD disp] $($post)*),
            (Some(b), None) => match i8::try_from(disp) {
                Ok(d) => asm!($a; gs $mn $($pre)* [BYTE Rq(b) + d] $($post)*),
                Err(_) => asm!($a; gs $mn $($pre)* [DWORD Rq(b) + disp] $($post)*),
            },
            (Some(b), Some(i)) => match scale {
                0 => asm!($a; gs $mn $($pre)* [DWORD Rq(b) + Rq(i) + disp] $($post)*),
                1 => asm!($a; gs $mn $($pre)* [DWORD Rq(b) + Rq(i) * 2 + disp] $($post)*),
                2 => asm!($a; gs $mn $($pre)* [DWORD Rq(b) + Rq(i) * 4 + disp] $($post)*),
                _ => asm!($a; gs $mn $($pre)* [DWORD Rq(b) + Rq(i) * 8 + disp] $($post)*),
            },
            (None, Some(i)) => match scale {
                0 => asm!($a; gs $mn $($pre)* [DWORD Rq(i) + disp] $($post)*),
                1 => asm!($a; gs $mn $($pre)* [NOSPLIT Rq(i) * 2 + disp] $($post)*),
                2 => asm!($a; gs $mn $($pre)* [Rq(i) * 4 + disp] $($post)*),
                _ => asm!($a; gs $mn $($pre)* [Rq(i) * 8 + disp] $($post)*),
            },
        }
    }};
}

pub(super) use guest_vector;

const RES_ADDR: i32 = disp(offset_of!(CpuState, res_addr));
const RES_VALUE: i32 = disp(offset_of!(CpuState, res_value));
const BOX_S: i32 = disp(offset_of!(CpuState, consts) + offset_of!(Consts, box_s));

/// Loads by size, without and with signs.
const LOADS: [[Enc; 4]; 2] = [
    [
        Enc::new(0xb6).second(),
        Enc::new(0xb7).second(),
        Enc::new(0x8b),
        Enc::new(0x8b).wide(),
    ],
    [
        Enc::new(0xbe).second().wide(),
        Enc::new(0xbf).second().wide(),
        Enc::new(0x63).wide(),
        Enc::new(0x8b).wide(),
    ],
];

/// Stores by size.
const STORES: [Enc; 4] = [
    Enc::new(0x88).byte(),
    Enc::new(0x89).half(),
    Enc::new(0x89),
    Enc::new(0x89).wide(),
];

impl Emission<'_> {
    /// The host operand of a guest address; loads an unpinned base into `rax`, an unpinned index
    /// into `rcx`.
    pub(super) fn address(&mut self, addr: Addr) -> Mem {
        let base = (!addr.base.is_zero()).then(|| self.in_reg(addr.base, RAX));
        let index = (!addr.index.is_zero()).then(|| self.in_reg(addr.index, RCX));
        Mem {
            base,
            index,
            scale: addr.scale,
            disp: addr.disp,
        }
    }

    pub(super) fn load(&mut self, rd: Reg, addr: Addr, size: Size, signed: bool) {
        let op = Op::Load {
            rd,
            addr,
            size,
            signed,
        };
        let (m, missed) = self.place(addr, size.bytes(), Wants::Load, op);
        self.load_point(&missed);
        let d = if rd.is_zero() { RAX } else { self.dest(rd) };
        let enc = LOADS[usize::from(signed)][size as usize];
        self.a.guest(enc, d, m);
        self.finish(rd, d);
        self.rejoin_missed(missed);
    }

    pub(super) fn store_imm(&mut self, value: i32, addr: Addr, size: Size) {
        let op = Op::StoreImm { value, addr, size };
        let (m, missed) = self.place(addr, size.bytes(), Wants::Store, op);
        self.fault_point();
        let (enc, bytes) = match size {
            Size::B1 => (Enc::new(0xc6), 1),
            Size::B2 => (Enc::new(0xc7).half(), 2),
            Size::B4 => (Enc::new(0xc7), 4),
            Size::B8 => (Enc::new(0xc7).wide(), 4),
        };
        self.a.guest(enc, 0, m);
        self.a.imm(value, bytes);
        self.rejoin_missed(missed);
    }

    pub(super) fn store(&mut self, rs: Reg, addr: Addr, size: Size) {
        if rs.is_zero() {
            return self.store_imm(0, addr, size);
        }
        let op = Op::Store { rs, addr, size };
        let (mut m, missed) = self.place(addr, size.bytes(), Wants::Store, op);
        self.fault_point();
        if m.base == Some(RAX) && m.index == Some(RCX) && matches!(loc(rs), Loc::M(_)) {
            // Both scratch registers hold the address: fold it into one.
            self.a.lea(RAX, Mem { disp: 0, ..m });
            m.index = None;
        }
        let scratch = if m.base == Some(RAX) { RCX } else { RAX };
        let s = self.in_reg(rs, scratch);
        let enc = STORES[size as usize];
        self.a.guest(enc, s, m);
        self.rejoin_missed(missed);
    }

    pub(super) fn f_load(&mut self, fd: FReg, addr: Addr, fmt: Fmt) {
        let op = Op::FLoad { fd, addr, fmt };
        let (m, missed) = self.place(addr, bytes_of(fmt), Wants::Load, op);
        self.load_point(&missed);
        let d = self.f_dest(fd);
        match fmt {
            Fmt::D => guest_vector!(self.a, m, vmovsd, [Rx(d), QWORD], []),
            Fmt::S => {
                guest_vector!(self.a, m, vmovss, [Rx(d), DWORD], []);
                asm!(self.a; vorps Rx(d), Rx(d), [rbp + BOX_S]);
            }
        }
        self.f_finish(fd, d, fmt);
        self.rejoin_missed(missed);
    }

    pub(super) fn f_store(&mut self, fs: FReg, addr: Addr, fmt: Fmt) {
        self.settle(fs);
        let op = Op::FStore { fs, addr, fmt };
        let (m, missed) = self.place(addr, bytes_of(fmt), Wants::Store, op);
        self.fault_point();
        let s = match loc_f(fs) {
            FLoc::R(s) => s,
            FLoc::M(slot) => {
                asm!(self.a; vmovsd xmm0, QWORD [rbp + slot]);
                X0
            }
        };
        match fmt {
            Fmt::D => guest_vector!(self.a, m, vmovsd, [QWORD], [, Rx(s)]),
            Fmt::S => guest_vector!(self.a, m, vmovss, [DWORD], [, Rx(s)]),
        }
        self.rejoin_missed(missed);
    }

    /// Leaves for the interpreter, which reports the fault, if the address in `r` is misaligned.
    fn check_aligned(&mut self, r: u8, size: Size, op: Op) -> super::emit::Cold {
        let mask = (size.bytes() - 1) as i8;
        asm!(self.a; test Rb(r), BYTE mask);
        let fixup = self.a.jcc(Cc::Ne);
        self.cold(fixup, op)
    }

    pub(super) fn amo(&mut self, op: AmoOp, rd: Reg, addr: Reg, src: Reg, size: Size) {
        let whole = Op::Amo {
            op,
            rd,
            addr,
            src,
            size,
        };
        let logic = match op {
            AmoOp::And => Some(Bin::And),
            AmoOp::Or => Some(Bin::Or),
            AmoOp::Xor => Some(Bin::Xor),
            _ => None,
        };
        let by_exchange = matches!(op, AmoOp::Add | AmoOp::Swap);
        let is_hart = self.block.mode.is_hart();
        // Nobody wants the old value: one locked instruction does. Its operand must be pinned, as the
        // address takes a scratch register, and a probe both.
        let is_blind = logic.is_some() && rd.is_zero() && matches!(loc(src), Loc::R(_));
        // A loop needs both scratch registers, so its address must be pinned.
        let by_loop = logic.is_some() && matches!(loc(addr), Loc::R(_)) && !is_hart;
        if !by_exchange && !is_blind && !by_loop {
            return self.helper(whole);
        }
        self.settle_all();
        let missed = self.place_word(addr, size, Wants::Store, whole);
        let p = match missed {
            Some(_) => RCX,
            None => self.in_reg(addr, RCX),
        };
        let cold = self.check_aligned(p, size, whole);
        if by_exchange {
            self.a.mov(RAX, loc(src));
            self.fault_point();
            match (op, size) {
                (AmoOp::Add, Size::B8) => asm!(self.a; gs lock xadd [Rq(p)], rax),
                (AmoOp::Add, _) => asm!(self.a; gs lock xadd [Rq(p)], eax),
                (_, Size::B8) => asm!(self.a; gs xchg [Rq(p)], rax),
                (_, _) => asm!(self.a; gs xchg [Rq(p)], eax),
            }
        } else if let (Some(logic), true, Loc::R(s)) = (logic, is_blind, loc(src)) {
            self.fault_point();
            self.locked(logic, size, p, s);
        } else if let Some(logic) = logic {
            self.fault_point();
            let w = match size {
                Size::B8 => Width::W64,
                _ => Width::W32,
            };
            match w {
                Width::W64 => asm!(self.a; gs mov rax, [Rq(p)]),
                Width::W32 => asm!(self.a; gs mov eax, [Rq(p)]),
            }
            let again = self.a.label();
            self.a.mov(RCX, Loc::R(RAX));
            self.a.bin(logic, w, RCX, loc(src));
            match w {
                Width::W64 => asm!(self.a; gs lock cmpxchg [Rq(p)], rcx),
                Width::W32 => asm!(self.a; gs lock cmpxchg [Rq(p)], ecx),
            }
            let retry = self.a.jcc(Cc::Ne);
            self.a.bind_to(retry, again);
        }
        if !rd.is_zero() {
            if size == Size::B4 {
                self.a.sext32(RAX, Loc::R(RAX));
            }
            self.finish(rd, RAX);
        }
        self.rejoin(cold);
        self.rejoin_missed(missed);
    }

    /// `lock op [p], s`.
    fn locked(&mut self, op: Bin, size: Size, p: u8, s: u8) {
        let enc = match op {
            Bin::And => Enc::new(0x21),
            Bin::Or => Enc::new(0x09),
            _ => Enc::new(0x31),
        };
        let enc = if size == Size::B8 { enc.wide() } else { enc };
        let m = Mem {
            base: Some(p),
            index: None,
            scale: 0,
            disp: 0,
        };
        const LOCK: u8 = 0xf0;
        self.a.template(|t| t.push(LOCK));
        self.a.guest(enc, s, m);
    }

    pub(super) fn lr(&mut self, rd: Reg, addr: Reg, size: Size) {
        self.settle_all();
        let whole = Op::Lr { rd, addr, size };
        let missed = self.place_word(addr, size, Wants::Load, whole);
        let p = match missed {
            Some(_) => RCX,
            None => self.in_reg(addr, RCX),
        };
        let cold = self.check_aligned(p, size, whole);
        self.fault_point();
        match size {
            Size::B8 => asm!(self.a; gs mov rax, [Rq(p)]),
            _ => asm!(self.a; gs mov eax, [Rq(p)]),
        }
        // The reservation is of the guest's address.
        let p = self.in_reg(addr, RCX);
        asm!(self.a
            ; mov [rbp + RES_ADDR], Rq(p)
            ; mov [rbp + RES_VALUE], rax
        );
        if !rd.is_zero() {
            if size == Size::B4 {
                self.a.sext32(RAX, Loc::R(RAX));
            }
            self.finish(rd, RAX);
        }
        self.rejoin(cold);
        self.rejoin_missed(missed);
    }

    pub(super) fn sc(&mut self, rd: Reg, addr: Reg, src: Reg, size: Size) {
        let whole = Op::Sc {
            rd,
            addr,
            src,
            size,
        };
        let in_slots = matches!(loc(addr), Loc::M(_)) || self.block.mode.is_hart();
        if in_slots && matches!(loc(src), Loc::M(_)) {
            return self.helper(whole);
        }
        self.settle_all();
        let missed = self.place_word(addr, size, Wants::Store, whole);
        // Where the word is, and the address that the reservation must be of.
        let (p, reserved) = match missed {
            Some(_) => (RCX, self.in_reg(addr, RAX)),
            None => {
                let p = self.in_reg(addr, RCX);
                (p, p)
            }
        };
        let cold = self.check_aligned(p, size, whole);
        let s = self.in_reg(src, RCX);
        // The mov between keeps the flags of the comparison: not equal means failure, below.
        asm!(self.a
            ; cmp [rbp + RES_ADDR], Rq(reserved)
            ; mov QWORD [rbp + RES_ADDR], DWORD -1
        );
        let fail = self.a.jcc(Cc::Ne);
        asm!(self.a; mov rax, [rbp + RES_VALUE]);
        self.fault_point();
        match size {
            Size::B8 => asm!(self.a; gs lock cmpxchg [Rq(p)], Rq(s)),
            _ => asm!(self.a; gs lock cmpxchg [Rq(p)], Rd(s)),
        }
        self.a.bind(fail);
        if !rd.is_zero() {
            self.set_to(rd, Cc::Ne);
        }
        self.rejoin(cold);
        self.rejoin_missed(missed);
    }

    pub(super) fn fence(&mut self) {
        // Cheaper than mfence, and the same order for ordinary memory.
        asm!(self.a; lock or DWORD [rsp], BYTE 0);
    }
}

fn bytes_of(fmt: Fmt) -> u64 {
    match fmt {
        Fmt::S => 4,
        Fmt::D => 8,
    }
}
