//! Floating-point flags: collected by host traps, and by MXCSR where they trap too often.

use translate::CpuState;
use vcpu::{Backend, Stop, UserMemory, Vcpu};

use crate::common::asm::*;
use crate::common::world::World;

const FFLAGS: u32 = 1;
const FRM: u32 = 2;
const NX: u64 = 1;
const UF: u64 = 2;
const NV: u64 = 16;

/// Traps after which a vCPU must have given up on them.
const MANY: u64 = 64;

fn interpreted(world: &World) -> u64 {
    world.engine.stats().leaves.interpreted
}

/// A vCPU with some doubles in `f0`…
fn with_doubles(world: &World, values: &[f64]) -> Vcpu<UserMemory> {
    let mut vcpu = world.vcpu();
    for (f, value) in vcpu.state().f.iter_mut().zip(values) {
        *f = value.to_bits();
    }
    vcpu
}

#[test]
fn a_flag_traps_once_and_is_then_seen_by_everybody() {
    let world = World::new(Backend::X86_64);
    let code = [
        // A loop, which a pending sum goes around.
        addi(A1, A0, 7),
        fdiv_d(2, 0, 1),
        addi(A1, A1, 1),
        addi(A0, A1, -7),
        csrrs(A2, FFLAGS, ZERO),
        addi(T0, T0, -1),
        bne(T0, ZERO, -24),
        csrrs(A3, FFLAGS, ZERO),
        ECALL,
    ];
    world.ram.load(0x1000, &code);
    let mut vcpu = with_doubles(&world, &[1.0, 3.0]);
    // What has not been met before is interpreted, and raises the flag there.
    vcpu.state().x[T0 as usize] = 4;
    world.call(&mut vcpu, 0x1000);
    vcpu.state().x[A0 as usize] = 0;
    vcpu.state().fflags = 0;
    for round in 1..=3 {
        vcpu.state().x[T0 as usize] = 10_000;
        assert_eq!(world.call(&mut vcpu, 0x1000), 10_000 * round);
        assert_eq!(vcpu.state().x[A2 as usize], NX);
        assert_eq!(vcpu.state().x[A3 as usize], NX);
        assert_eq!(vcpu.state().f[2], (1.0_f64 / 3.0).to_bits());
        assert_eq!(interpreted(&world), 1, "round {round}");
    }
    // From outside they are cleared for good.
    vcpu.state().fflags = 0;
    vcpu.state().x[T0 as usize] = 2;
    world.call(&mut vcpu, 0x1000);
    assert_eq!((vcpu.state().fflags, interpreted(&world)), (1, 2));
    assert!(vcpu.state().fp_traps());
}

#[test]
fn a_guest_that_clears_flags_all_the_time_does_not_trap_all_the_time() {
    let world = World::new(Backend::X86_64);
    let code = [
        fdiv_d(2, 0, 1),
        csrrw(A1, FFLAGS, ZERO),
        add(A0, A0, A1),
        addi(T0, T0, -1),
        bne(T0, ZERO, -16),
        ECALL,
    ];
    world.ram.load(0x1000, &code);
    let mut vcpu = with_doubles(&world, &[1.0, 3.0]);
    vcpu.state().x[T0 as usize] = 1000;
    assert_eq!(world.call(&mut vcpu, 0x1000), 1000 * NX);
    assert_eq!(vcpu.state().fflags, 0);
    assert_eq!(interpreted(&world), MANY);
    assert!(!vcpu.state().fp_traps());
}

#[test]
fn a_flag_that_a_helper_raises_traps_no_more() {
    let world = World::new(Backend::X86_64);
    let up = 3;
    let code = [
        // Not the mode that the host is in: done by the interpreter, out of the host code.
        fdiv_d(2, 0, 1) & !(7 << 12) | up << 12,
        fdiv_d(3, 0, 1),
        csrrs(A0, FFLAGS, ZERO),
        ECALL,
    ];
    world.ram.load(0x1000, &code);
    let mut vcpu = with_doubles(&world, &[1.0, 3.0]);
    assert_eq!(world.call(&mut vcpu, 0x1000), NX);
    assert_eq!(interpreted(&world), 0);
    let third = (1.0_f64 / 3.0).to_bits();
    assert_eq!(vcpu.state().f[2..4], [third + 1, third]);
}

#[test]
fn exact_denormals_raise_nothing_however_often_they_trap() {
    let world = World::new(Backend::X86_64);
    let code = [
        fmul_d(2, 0, 1),
        fadd_d(3, 3, 2),
        addi(T0, T0, -1),
        bne(T0, ZERO, -12),
        csrrs(A0, FFLAGS, ZERO),
        fmul_d(4, 2, 1),
        fmul_d(4, 4, 5),
        csrrs(A1, FFLAGS, ZERO),
        ECALL,
    ];
    world.ram.load(0x1000, &code);
    for loops in [1, 1000] {
        let mut vcpu = with_doubles(&world, &[f64::MIN_POSITIVE, 0.5, 0.0, 0.0, 0.0, 0.3]);
        vcpu.state().x[T0 as usize] = loops;
        assert_eq!(world.call(&mut vcpu, 0x1000), 0);
        let sum = f64::from_bits(vcpu.state().f[3]);
        assert_eq!(sum, f64::MIN_POSITIVE / 2.0 * loops as f64);
        assert_eq!(vcpu.state().x[A1 as usize], NX | UF);
        assert_eq!(vcpu.state().fp_traps(), loops < MANY);
    }
}

#[test]
fn the_quiet_comparison_of_compilers_raises_nothing_and_leaves_nothing() {
    let world = World::new(Backend::X86_64);
    let code = [
        csrrs(A2, FFLAGS, ZERO),
        flt_d(A1, 0, 1),
        csrrw(ZERO, FFLAGS, A2),
        add(A0, A0, A1),
        addi(T0, T0, -1),
        bne(T0, ZERO, -20),
        csrrs(A3, FFLAGS, ZERO),
        flt_d(A1, 0, 2),
        csrrs(A4, FFLAGS, ZERO),
        ECALL,
    ];
    world.ram.load(0x1000, &code);
    for (b, less) in [(2.0, 100), (f64::NAN, 0)] {
        let before = interpreted(&world);
        let mut vcpu = with_doubles(&world, &[1.0, b, f64::NAN]);
        vcpu.state().x[T0 as usize] = 100;
        assert_eq!(world.call(&mut vcpu, 0x1000), less);
        assert_eq!(vcpu.state().x[A3 as usize], 0);
        assert_eq!(vcpu.state().x[A4 as usize], NV, "the plain comparison");
        assert_eq!(interpreted(&world), before + 1);
    }
}

/// A generator of random numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u32 {
        (((self.next() >> 32) * n) >> 32) as u32
    }

    /// A floating-point register, pinned by the emitter or not.
    fn f(&mut self) -> u32 {
        [0, 2, 10, 11, 15, 28][self.below(6) as usize]
    }

    fn x(&mut self) -> u32 {
        [T1, A0, A1, A2, A5, S5][self.below(6) as usize]
    }

    fn value(&mut self) -> u64 {
        const DOUBLES: [f64; 14] = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.1,
            3.0,
            1e308,
            -1e308,
            5e-324,
            1e-310,
            2.2250738585072014e-308,
            4294967295.5,
            -9.3e18,
            f64::INFINITY,
        ];
        const SINGLES: [u32; 8] = [
            0x3f80_0000,
            0x0000_0001,
            0x0080_0000,
            0x7f7f_ffff,
            0xff80_0000,
            0x7fc0_0000,
            0x7f80_0001,
            0x3dcc_cccd,
        ];
        match self.below(8) {
            0 => 0x7ff8_0000_0000_0000,
            1 => 0x7ff0_0000_0000_0001,
            2 => self.next(),
            3..5 => !0 << 32 | u64::from(SINGLES[self.below(8) as usize]),
            _ => DOUBLES[self.below(14) as usize].to_bits(),
        }
    }

    fn insn(&mut self) -> u32 {
        let (fd, a, b, c) = (self.f(), self.f(), self.f(), self.f());
        let (rd, rs, rt) = (self.x(), self.x(), self.x());
        // Mostly the dynamic mode, sometimes one of the others.
        let rm = if self.below(6) == 0 { self.below(5) } else { 7 };
        let fmt = self.below(2);
        match self.below(24) {
            0..6 => fp(self.below(4) << 2 | fmt, fd, rm, a, b),
            6 => fp(0x2c | fmt, fd, rm, a, 0),
            7..9 => {
                self.below(4) << 2
                    | 0x43
                    | fd << 7
                    | rm << 12
                    | a << 15
                    | b << 20
                    | fmt << 25
                    | c << 27
            }
            9..11 => fp(0x50 | fmt, rd, self.below(3), a, b),
            11 => fp(0x14 | fmt, fd, self.below(2), a, b),
            12 => fp(0x10 | fmt, fd, self.below(3), a, b),
            13 => fp(0x60 | fmt, rd, rm, a, self.below(4)),
            14 => fp(0x68 | fmt, fd, rm, rs, self.below(4)),
            15 => fp(0x20 | fmt, fd, rm, a, 1 - fmt),
            // What passes hold back, and declare where a block is left.
            16..19 => [
                addi(rd, rs, self.below(2000) as i32),
                add(rd, rs, rt),
                slli(rd, rs, 2),
            ][self.below(3) as usize],
            19..21 => csrrs(rd, FFLAGS, ZERO),
            21 => csrrw(rd, FFLAGS, [rs, ZERO][self.below(2) as usize]),
            22 => fp(0x70 | fmt, rd, self.below(2), a, 0),
            _ => match self.below(4) {
                0 => csrrwi(ZERO, FRM, self.below(4)),
                1 => csrrs(rd, 3, ZERO),
                _ => addi(rd, ZERO, self.below(32) as i32),
            },
        }
    }
}

/// Runs the program at `pc` to its end.
fn outcome(world: &World, start: &CpuState, pc: u64, traps: bool) -> Box<CpuState> {
    let mut vcpu = world.vcpu();
    let state = vcpu.state();
    state.x = start.x;
    state.f = start.f;
    state.fflags = start.fflags;
    state.set_fp_traps(traps);
    state.pc = pc;
    assert_eq!(
        world.run(&mut vcpu),
        Stop::Ecall,
        "at {:#x}",
        vcpu.state().pc
    );
    let end = vcpu.state();
    let mut copy = CpuState::new();
    copy.x = end.x;
    copy.f = end.f;
    copy.fflags = end.fflags;
    copy.set_frm(end.frm as u8);
    copy
}

#[test]
fn random_programs_raise_the_flags_that_the_interpreter_raises() {
    const PROGRAMS: u64 = 1500;
    let host = World::with_size(Backend::X86_64, 8 << 20);
    let reference = World::with_size(Backend::Interp, 8 << 20);
    for seed in 1..=PROGRAMS {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let pc = 0x1000 * (1 + seed % 512);
        let len = 8 + random.below(32) as usize;
        let mut code: Vec<u32> = (0..len).map(|_| random.insn()).collect();
        code.push(addi(T0, T0, -1));
        code.push(bne(T0, ZERO, -4 * (len as i32 + 1)));
        code.extend([FENCE_I, ECALL]);
        let mut start = CpuState::new();
        start.f.fill_with(|| random.value());
        start.x.fill_with(|| random.value());
        start.x[0] = 0;
        // Some go round so often that the vCPU gives up on traps.
        start.x[T0 as usize] = if seed % 8 == 0 { 200 } else { 2 };
        start.fflags = random.below(32) & random.below(32);
        for world in [&host, &reference] {
            world.ram.load(pc, &code);
            let mut vcpu = world.vcpu();
            vcpu.fence_i();
        }
        let wanted = outcome(&reference, &start, pc, false);
        for traps in [true, false] {
            let found = outcome(&host, &start, pc, traps);
            let context = || format!("program {seed}, traps {traps}: {code:#010x?}");
            assert_eq!(found.x, wanted.x, "{}", context());
            assert_eq!(found.f, wanted.f, "{}", context());
            let fcsr = |state: &CpuState| (state.frm, state.fflags);
            assert_eq!(fcsr(&found), fcsr(&wanted), "{}", context());
        }
    }
    let stats = host.engine.stats();
    assert!(stats.leaves.interpreted > PROGRAMS, "{stats:?}");
}
