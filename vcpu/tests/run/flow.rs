//! Loops, calls, traps, CSRs.

use vcpu::{Backend, Stop};

use crate::common::asm::*;
use crate::common::world::{World, on_both};

#[test]
fn a_loop_runs_to_its_end() {
    on_both(|backend| {
        let world = World::new(backend);
        let code = [
            // a0 += t0, t0 times.
            add(A0, A0, T0),
            addi(T0, T0, -1),
            bne(T0, ZERO, -8),
            ECALL,
        ];
        world.ram.load(0x1000, &code);
        let mut vcpu = world.vcpu();
        vcpu.state().x[T0 as usize] = 100_000;
        assert_eq!(world.call(&mut vcpu, 0x1000), 5_000_050_000);
        assert_eq!(vcpu.state().pc, 0x100c, "the ecall itself");
    });
}

/// A loop that calls a function through a pointer, in another page.
fn load_call_loop(world: &World) {
    let code = [
        jalr(RA, S0, 0),
        add(A0, A0, A1),
        addi(T0, T0, -1),
        bne(T0, ZERO, -12),
        ECALL,
    ];
    world.ram.load(0x1000, &code);
    world.ram.load(0x5000, &[mul(A1, T0, T0), RET]);
}

#[test]
fn calls_by_pointer_and_returns_stay_in_generated_code() {
    let world = World::new(Backend::X86_64);
    load_call_loop(&world);
    let mut vcpu = world.vcpu();
    for round in 0..2 {
        vcpu.state().x[T0 as usize] = 1000;
        vcpu.state().x[S0 as usize] = 0x5000;
        vcpu.state().x[A0 as usize] = 0;
        assert_eq!(world.call(&mut vcpu, 0x1000), 333_833_500, "round {round}");
    }
    let stats = world.engine.stats();
    // 4,000 blocks were run, but the loop was left only to find each of them once.
    assert!(
        stats.leaves.indirect <= 4 && stats.leaves.exits <= 4,
        "{stats:?}"
    );
    assert!(stats.cache.links >= 1, "{stats:?}");
    assert!(stats.translations <= 8, "{stats:?}");
}

#[test]
fn the_interpreter_agrees_about_calls() {
    let world = World::new(Backend::Interp);
    load_call_loop(&world);
    let mut vcpu = world.vcpu();
    vcpu.state().x[T0 as usize] = 1000;
    vcpu.state().x[S0 as usize] = 0x5000;
    assert_eq!(world.call(&mut vcpu, 0x1000), 333_833_500);
}

#[test]
fn the_loop_itself_does_csr_accesses_and_pauses() {
    on_both(|backend| {
        let world = World::new(backend);
        let code = [
            PAUSE,
            csrrw(ZERO, 3, T0),
            csrrs(A1, 2, ZERO),
            csrrs(A2, 0xc01, ZERO),
            csrrs(A3, 0xc00, ZERO),
            csrrs(A4, 0xc01, ZERO),
            csrrs(A5, 0xc00, ZERO),
            csrrs(A0, 1, ZERO),
            ECALL,
        ];
        world.ram.load(0x1000, &code);
        let mut vcpu = world.vcpu();
        vcpu.state().x[T0 as usize] = 0x75;
        assert_eq!(world.call(&mut vcpu, 0x1000), 0x15);
        let x = vcpu.state().x;
        assert_eq!(x[A1 as usize], 3);
        assert!(x[A4 as usize] >= x[A2 as usize], "time");
        assert!(x[A5 as usize] > x[A3 as usize], "cycle");
    });
}

#[test]
fn a_new_rounding_mode_takes_effect_in_code_translated_before() {
    on_both(|backend| {
        let world = World::new(backend);
        world
            .ram
            .load(0x1000, &[csrrw(ZERO, 2, T0), fadd_s(2, 0, 1), ECALL]);
        let mut vcpu = world.vcpu();
        let boxed = |value: f32| 0xffff_ffff_0000_0000 | u64::from(value.to_bits());
        vcpu.state().f[0] = boxed(1.0);
        vcpu.state().f[1] = boxed(f32::MIN_POSITIVE);
        let just_above_one = boxed(f32::from_bits(0x3f80_0001));
        for (frm, sum) in [
            (0, boxed(1.0)),
            (3, just_above_one),
            (2, boxed(1.0)),
            (3, just_above_one),
        ] {
            vcpu.state().x[T0 as usize] = frm;
            world.call(&mut vcpu, 0x1000);
            assert_eq!(vcpu.state().f[2], sum, "frm {frm}");
            assert_eq!(vcpu.state().fflags, 1, "inexact");
        }
    });
}

#[test]
fn traps_stop_at_their_own_instruction() {
    on_both(|backend| {
        let world = World::new(backend);
        let cases = [
            (EBREAK, Stop::Ebreak),
            (ILLEGAL, Stop::Illegal),
            (csrrs(A0, 0x300, ZERO), Stop::Illegal),
            (csrrw(A0, 0xc00, T0), Stop::Illegal),
            (ECALL, Stop::Ecall),
        ];
        let mut vcpu = world.vcpu();
        for (n, (insn, stop)) in cases.into_iter().enumerate() {
            let pc = 0x1000 + 0x100 * n as u64;
            world.ram.load(pc, &[addi(A0, ZERO, 7), insn, ECALL]);
            vcpu.state().pc = pc;
            assert_eq!(world.run(&mut vcpu), stop);
            assert_eq!(vcpu.state().pc, pc + 4);
            assert_eq!(vcpu.state().x[A0 as usize], 7);
            assert_eq!(world.run(&mut vcpu), stop, "and again");
        }
    });
}

#[test]
fn execution_may_start_in_the_middle_of_a_block() {
    on_both(|backend| {
        let world = World::new(backend);
        let code = [addi(A0, A0, 1), addi(A0, A0, 2), addi(A0, A0, 4), ECALL];
        world.ram.load(0x1000, &code);
        let mut vcpu = world.vcpu();
        assert_eq!(world.call(&mut vcpu, 0x1000), 7);
        assert_eq!(world.call(&mut vcpu, 0x1004), 13);
        assert_eq!(world.call(&mut vcpu, 0x1008), 17);
    });
}

#[test]
fn lr_and_sc_and_atomics_work_across_blocks() {
    on_both(|backend| {
        let world = World::new(backend);
        let code = [
            amoadd_d(A1, T0, S0),
            // Retry until the sc succeeds.
            lr_d(A2, S0),
            add(A2, A2, T0),
            sc_d(A3, A2, S0),
            bne(A3, ZERO, -12),
            ld(A0, S0, 0),
            ECALL,
        ];
        world.ram.load(0x1000, &code);
        let mut vcpu = world.vcpu();
        vcpu.state().x[S0 as usize] = 0x8000;
        vcpu.state().x[T0 as usize] = 21;
        assert_eq!(world.call(&mut vcpu, 0x1000), 42);
        assert_eq!(vcpu.state().x[A1 as usize], 0);
    });
}
