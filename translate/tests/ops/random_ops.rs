//! Random blocks whose memory accesses stay in the world's memory.

use translate::ops::{
    Addr, AluOp, AmoOp, Cond, Exit, FAluOp, FCmpOp, FReg, FmaOp, Fmt, IntFmt, Rm, Size, SunkRange,
    Trap, UnOp, Width,
};
use translate::softfloat::{Double, Single};
use translate::state::VCPU_COUNTERS;
use translate::{Block, CpuState, Mode, Op, Reg};

use crate::operands::Random;
use crate::world::{BASE, LEN, World, x};

#[rustfmt::skip]
const ALU: [AluOp; 33] = [
    AluOp::Add, AluOp::Sub, AluOp::And, AluOp::Or, AluOp::Xor, AluOp::Sll, AluOp::Srl, AluOp::Sra,
    AluOp::Slt, AluOp::Sltu, AluOp::Mul, AluOp::Mulh, AluOp::Mulhsu, AluOp::Mulhu, AluOp::Div,
    AluOp::Divu, AluOp::Rem, AluOp::Remu, AluOp::Andn, AluOp::Orn, AluOp::Xnor, AluOp::Min,
    AluOp::Max, AluOp::Minu, AluOp::Maxu, AluOp::Rol, AluOp::Ror, AluOp::Bclr, AluOp::Bext,
    AluOp::Binv, AluOp::Bset, AluOp::CzeroEqz, AluOp::CzeroNez,
];
/// What the instruction set has in 32 bits.
#[rustfmt::skip]
const ALU_W32: [AluOp; 12] = [
    AluOp::Add, AluOp::Sub, AluOp::Sll, AluOp::Srl, AluOp::Sra, AluOp::Mul, AluOp::Div,
    AluOp::Divu, AluOp::Rem, AluOp::Remu, AluOp::Rol, AluOp::Ror,
];
#[rustfmt::skip]
const UN: [UnOp; 12] = [
    UnOp::Mov, UnOp::SextB, UnOp::SextH, UnOp::SextW, UnOp::ZextB, UnOp::ZextH, UnOp::ZextW,
    UnOp::Clz, UnOp::Ctz, UnOp::Cpop, UnOp::OrcB, UnOp::Rev8,
];
#[rustfmt::skip]
const AMO: [AmoOp; 9] = [
    AmoOp::Swap, AmoOp::Add, AmoOp::Xor, AmoOp::And, AmoOp::Or, AmoOp::Min, AmoOp::Max,
    AmoOp::Minu, AmoOp::Maxu,
];
#[rustfmt::skip]
const F_ALU: [FAluOp; 9] = [
    FAluOp::Add, FAluOp::Sub, FAluOp::Mul, FAluOp::Div, FAluOp::Min, FAluOp::Max, FAluOp::Sgnj,
    FAluOp::Sgnjn, FAluOp::Sgnjx,
];
const FMA: [FmaOp; 4] = [FmaOp::Madd, FmaOp::Msub, FmaOp::Nmsub, FmaOp::Nmadd];
const F_CMP: [FCmpOp; 3] = [FCmpOp::Eq, FCmpOp::Lt, FCmpOp::Le];
const INT: [IntFmt; 4] = [IntFmt::I32, IntFmt::U32, IntFmt::I64, IntFmt::U64];
const COND: [Cond; 6] = [Cond::Eq, Cond::Ne, Cond::Lt, Cond::Ge, Cond::Ltu, Cond::Geu];
const SIZES: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];
const MODES: [Rm; 5] = [Rm::Rne, Rm::Rtz, Rm::Rdn, Rm::Rup, Rm::Rmm];

/// A vCPU state with likely troublemakers in its registers, in one of the rounding modes.
pub fn world(random: &mut Random) -> World {
    let mut world = World::new();
    for n in 1..32 {
        world.state.x[n] = match random.below(4) {
            // The same as another, for comparisons.
            0 => world.state.x[n / 2],
            _ => integer(random),
        };
    }
    // Neighbours are related, so that sums cancel and comparisons find equals.
    let (mut s, mut d) = (0, 0);
    for f in &mut world.state.f {
        s = random.partner::<Single>(s);
        d = random.partner::<Double>(d);
        *f = match random.below(8) {
            // Not boxed, or not quite.
            0 => random.bits(),
            1 => s | random.bits() << 32,
            2..=4 => s | 0xffff_ffff_0000_0000,
            _ => d,
        };
    }
    world.state.fflags = random.below(32) as u32;
    world.state.set_frm(random.below(5) as u8);
    world
}

fn integer(random: &mut Random) -> u64 {
    const CORNERS: [u64; 8] = [0, 1, 31, 32, 0x7fff_ffff, 0x8000_0000, 1 << 63, u64::MAX];
    match random.below(4) {
        0 => random.bits(),
        1 => random.bits() >> random.below(64),
        2 => (random.bits() as i64 >> random.below(64)) as u64,
        _ => CORNERS[random.below(8) as usize],
    }
}

/// What blocks look like.
#[derive(Clone, Copy, Debug)]
pub struct Flavor {
    /// Exits have ops sunk into them, as after the passes.
    pub sunk: bool,
    /// Some accesses go anywhere.
    pub wild: bool,
    /// Few registers and the sequences of compilers, for the passes to find.
    pub idioms: bool,
    /// Instrumented.
    pub hooked: bool,
}

/// Builds one block.
pub struct Builder<'a> {
    pub(super) random: &'a mut Random,
    pub(super) flavor: Flavor,
    block: Block,
}

impl<'a> Builder<'a> {
    pub fn new(random: &'a mut Random, mode: Mode, flavor: Flavor) -> Builder<'a> {
        let block = Block {
            pc: 0x1000,
            mode,
            ..Block::default()
        };
        Builder {
            random,
            flavor,
            block,
        }
    }

    /// A block of some random ops and a random end.
    pub fn build(mut self) -> Block {
        for _ in 0..1 + self.random.below(12) {
            match self.flavor.idioms && self.coin() {
                true => self.idiom(),
                false => self.any(),
            }
        }
        let exit = self.exit();
        let (rd, a) = (self.x(), self.x());
        let last = match self.random.below(4) {
            0 => Op::JumpReg {
                rd,
                a,
                disp: self.imm(),
                link: 0x1234_5678_9abc,
            },
            1 => Op::Trap(Trap::Ecall),
            _ => Op::Jump { exit },
        };
        self.push(last);
        if self.flavor.hooked {
            crate::hooked::instrument(&mut self.block, self.random);
        }
        self.block
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.below(choices.len() as u64) as usize]
    }

    pub(super) fn coin(&mut self) -> bool {
        self.random.below(2) == 0
    }

    /// Any register; a few of them, pinned ones and others, so often that they collide.
    pub(super) fn x(&mut self) -> Reg {
        match self.random.below(8) {
            0..=3 => self.of(&[x(0), x(10), x(11), x(18), x(5), x(6)]),
            4..=6 if self.flavor.idioms => self.of(&[x(10), x(11), x(5), x(6)]),
            _ => Reg(self.random.below(32) as u8),
        }
    }

    /// A register for an address: callbacks leave it alone.
    pub(super) fn pointer(&mut self) -> Reg {
        let r = self.x();
        match crate::hooked::CHANGED.contains(&r.index()) {
            true => x(12),
            false => r,
        }
    }

    pub(super) fn f(&mut self) -> FReg {
        match self.coin() {
            true => self.of(&[FReg(10), FReg(11), FReg(3), FReg(4)]),
            false => FReg(self.random.below(32) as u8),
        }
    }

    pub(super) fn imm(&mut self) -> i32 {
        match self.random.below(3) {
            0 => self.of(&[0, 1, -1, 127, -128, 128, 2047, -2048, i32::MIN, i32::MAX]),
            1 => self.random.bits() as i32 >> 20,
            _ => self.random.bits() as i32,
        }
    }

    /// Mostly the block's own rounding mode.
    pub(super) fn rm(&mut self) -> Rm {
        match self.random.below(4) {
            0 => self.of(&MODES),
            _ => Rm::from_bits(self.block.mode.frm()).expect("a valid mode"),
        }
    }

    pub(super) fn fmt(&mut self) -> Fmt {
        self.of(&[Fmt::S, Fmt::D])
    }

    pub(super) fn pc(&self) -> u64 {
        0x1000 + 4 * self.block.ops.len() as u64
    }

    /// One more op, as an instruction of its own.
    pub(super) fn push(&mut self, op: Op) {
        let pc = self.pc();
        self.block.ops.push(Op::Insn { pc, len: 4 });
        if self.flavor.idioms && self.random.below(4) == 0 {
            let count = self.count();
            self.block.ops.push(count);
        }
        self.block.ops.push(op);
    }

    fn count(&mut self) -> Op {
        let counter = 8 * self.random.below(VCPU_COUNTERS as u64) as usize;
        let offset = (std::mem::offset_of!(CpuState, counters) + counter) as u32;
        let value = self.random.bits() as i64 >> (self.random.below(2) * 40);
        Op::Count { offset, value }
    }

    /// One more exit, some with ops sunk into it.
    pub(super) fn exit(&mut self) -> u16 {
        let start = self.block.sunk_ops.len() as u32;
        let len = match self.random.below(3) {
            0 if self.flavor.sunk => 1 + self.random.below(2) as u32,
            _ => 0,
        };
        for _ in 0..len {
            let op = self.integer_op();
            self.block.sunk_ops.push(op);
        }
        let exit = Exit {
            target: 0x2000 + 16 * self.block.exits.len() as u64,
            sunk: SunkRange { start, len },
            poll: self.coin(),
        };
        self.block.exits.push(exit);
        (self.block.exits.len() - 1) as u16
    }

    fn any(&mut self) {
        match self.random.below(16) {
            0..=5 => {
                let op = self.integer_op();
                self.push(op);
            }
            6 | 7 => self.access(),
            8 => self.atomic(),
            9 => self.control(),
            _ => {
                let op = self.float_op();
                self.push(op);
            }
        }
    }

    pub(super) fn integer_op(&mut self) -> Op {
        let (rd, a, b) = (self.x(), self.x(), self.x());
        let (op, w) = match self.random.below(3) {
            0 => (self.of(&ALU_W32), Width::W32),
            _ => (self.of(&ALU), Width::W64),
        };
        match self.random.below(8) {
            0 => Op::Const {
                rd,
                value: integer(self.random) as i64,
            },
            1 => Op::Un {
                op: self.of(&UN),
                w: self.of(&[Width::W32, Width::W64]),
                rd,
                a,
            },
            2 | 3 => Op::AluImm {
                op,
                w,
                rd,
                a,
                imm: self.imm(),
            },
            4 => {
                let shift = match self.coin() {
                    true => self.random.below(4),
                    false => self.random.below(64),
                };
                Op::ShAdd {
                    rd,
                    a,
                    b,
                    shift: shift as u8,
                    uw: self.coin(),
                }
            }
            5 => {
                let (scale, disp) = (self.random.below(4) as u8, self.imm());
                Op::Lea {
                    rd,
                    addr: Addr {
                        base: a,
                        index: b,
                        scale,
                        disp,
                    },
                }
            }
            _ => Op::Alu { op, w, rd, a, b },
        }
    }

    /// Somewhere in memory, with room for the widest access.
    pub(super) fn place(&mut self) -> u64 {
        BASE + self.random.below(LEN as u64 - 8)
    }

    /// An address that lies in memory, after constants for its registers.
    fn addr(&mut self) -> Addr {
        if self.flavor.wild && self.random.below(4) == 0 {
            return Addr::reg(self.x(), self.imm());
        }
        let (base, index) = (self.pointer(), self.pointer());
        let scale = self.random.below(4) as u8;
        let mut value = [0i64; 32];
        for r in [base, index] {
            if r.is_zero() {
                continue;
            }
            let near = self.random.bits() as i64 >> self.of(&[40, 52]);
            value[r.index()] = near;
            self.push(Op::Const { rd: r, value: near });
        }
        let sum = value[base.index()] + (value[index.index()] << scale);
        let disp = (self.place() as i64 - sum) as i32;
        Addr {
            base,
            index,
            scale,
            disp,
        }
    }

    fn access(&mut self) {
        let addr = self.addr();
        let size = self.of(&SIZES);
        let op = match self.random.below(6) {
            0 | 1 => {
                let signed = self.coin();
                Op::Load {
                    rd: self.x(),
                    addr,
                    size,
                    signed,
                }
            }
            2 | 3 => Op::Store {
                rs: self.x(),
                addr,
                size,
            },
            4 => Op::FLoad {
                fd: self.f(),
                addr,
                fmt: self.fmt(),
            },
            _ => Op::FStore {
                fs: self.f(),
                addr,
                fmt: self.fmt(),
            },
        };
        self.push(op);
    }

    fn atomic(&mut self) {
        let (mut addr, rd, src) = (self.pointer(), self.x(), self.x());
        if addr.is_zero() {
            addr = Reg::RA;
        }
        let size = self.of(&[Size::B4, Size::B8]);
        // Few words, so that reservations meet stores; now and then a misaligned one.
        let place = match self.random.below(8) {
            0 => self.place(),
            n => BASE + 8 * (n / 4),
        };
        self.push(Op::Const {
            rd: addr,
            value: place as i64,
        });
        let op = match self.random.below(6) {
            0 => Op::Lr { rd, addr, size },
            1 => Op::Sc {
                rd,
                addr,
                src,
                size,
            },
            2 => Op::CboZero { addr },
            3 => Op::CboTouch { addr },
            _ => Op::Amo {
                op: self.of(&AMO),
                rd,
                addr,
                src,
                size,
            },
        };
        self.push(op);
        // A pair, so that some conditional stores succeed.
        if let Op::Lr { addr, size, .. } = op
            && self.coin()
        {
            self.push(Op::Const {
                rd: addr,
                value: place as i64,
            });
            let (rd, src) = (self.x(), self.x());
            self.push(Op::Sc {
                rd,
                addr,
                src,
                size,
            });
        }
    }

    fn control(&mut self) {
        let (a, b) = (self.x(), self.x());
        let (cond, w) = (self.of(&COND), self.of(&[Width::W32, Width::W64]));
        match self.random.below(6) {
            0 | 1 => {
                let exit = self.exit();
                self.push(Op::Branch {
                    cond,
                    w,
                    a,
                    b,
                    exit,
                });
            }
            2 => {
                let exit = self.exit();
                let imm = self.imm();
                self.push(Op::BranchImm {
                    cond,
                    w,
                    a,
                    imm,
                    exit,
                });
            }
            // A comparison and a branch on its result.
            3 => {
                let (rd, imm) = (self.x(), self.imm());
                let op = self.of(&[AluOp::Slt, AluOp::Sltu]);
                let compare = match self.random.below(3) {
                    0 => Op::Alu {
                        op,
                        w: Width::W64,
                        rd,
                        a,
                        b,
                    },
                    1 => Op::AluImm {
                        op,
                        w: Width::W64,
                        rd,
                        a,
                        imm,
                    },
                    _ => self.f_cmp(rd),
                };
                self.push(compare);
                let exit = self.exit();
                let cond = self.of(&[Cond::Eq, Cond::Ne]);
                let branch = match self.coin() {
                    true => Op::Branch {
                        cond,
                        w: Width::W64,
                        a: rd,
                        b: Reg::ZERO,
                        exit,
                    },
                    false => Op::BranchImm {
                        cond,
                        w: Width::W64,
                        a: rd,
                        imm: 0,
                        exit,
                    },
                };
                self.push(branch);
            }
            4 => {
                let count = self.count();
                self.push(count);
            }
            _ => {
                // Whoever leaves here has done nothing of the instruction.
                let pc = self.pc();
                self.block
                    .ops
                    .extend([Op::Insn { pc, len: 4 }, Op::Poll { pc }]);
                self.push(Op::Fence);
            }
        }
    }

    pub(super) fn f_cmp(&mut self, rd: Reg) -> Op {
        let (fmt, a, b) = (self.fmt(), self.f(), self.f());
        Op::FCmp {
            op: self.of(&F_CMP),
            fmt,
            quiet: self.coin(),
            rd,
            a,
            b,
        }
    }

    fn float_op(&mut self) -> Op {
        let (fmt, rm) = (self.fmt(), self.rm());
        let (rd, x) = (self.x(), self.x());
        let (fd, a, b, c) = (self.f(), self.f(), self.f(), self.f());
        match self.random.below(16) {
            0..=4 => Op::FAlu {
                op: self.of(&F_ALU),
                fmt,
                rm,
                fd,
                a,
                b,
            },
            5 => Op::FSqrt { fmt, rm, fd, a },
            6 | 7 => Op::FMa {
                op: self.of(&FMA),
                fmt,
                rm,
                fd,
                a,
                b,
                c,
            },
            8 => self.f_cmp(rd),
            9 => Op::FClass { fmt, rd, a },
            10 => Op::FToInt {
                fmt,
                to: self.of(&INT),
                rm,
                rd,
                a,
            },
            11 => Op::IntToF {
                fmt,
                from: self.of(&INT),
                rm,
                fd,
                a: x,
            },
            12 => Op::FCvt { fmt, rm, fd, a },
            13 => Op::FMvToX { fmt, rd, a },
            14 => Op::FMvFromX { fmt, fd, a: x },
            _ => match self.coin() {
                true => Op::FlagsRead { rd },
                false => Op::FlagsSwap { rd, a: x },
            },
        }
    }
}
