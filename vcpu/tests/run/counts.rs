//! Counting instructions is exact, whatever interrupts the guest.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use vcpu::{Backend, Config, Stop};

use crate::common::asm::*;
use crate::common::world::{World, on_both};

const CODE: u64 = 0x1000;

fn counting(backend: Backend) -> World {
    World::with_config(Config {
        backend,
        tb_size: 1 << 20,
        count_insns: true,
        ..Config::default()
    })
}

/// Loops of `rounds` rounds that end in an `ecall`, and how many instructions they take. One closes
/// by a branch, one by an indirect jump behind a side exit, one by a jump.
fn loops(rounds: u64) -> [(Vec<u32>, u64); 3] {
    [
        (
            vec![addi(T0, T0, -1), add(A0, A0, T0), bne(T0, ZERO, -8), ECALL],
            3 * rounds + 1,
        ),
        (
            vec![addi(T0, T0, -1), beq(T0, ZERO, 8), jalr(ZERO, S0, 0), ECALL],
            3 * rounds,
        ),
        (
            vec![
                addi(T0, T0, -1),
                beq(T0, ZERO, 12),
                NOP,
                jal(ZERO, -12),
                ECALL,
            ],
            4 * rounds - 1,
        ),
    ]
}

#[test]
fn kicks_do_not_change_the_count() {
    const ROUNDS: u64 = 100_000;
    const KICKS: u32 = 50;
    on_both(|backend| {
        for (code, insns) in loops(ROUNDS) {
            let world = counting(backend);
            world.ram.load(CODE, &code);
            let mut vcpu = world.vcpu();
            vcpu.state().x[S0 as usize] = CODE;
            let kicker = vcpu.kicker();
            let done = AtomicBool::new(false);
            let (mut kicks, mut times) = (0, 0);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        kicker.kick();
                        std::thread::yield_now();
                    }
                });
                while kicks < KICKS {
                    times += 1;
                    vcpu.state().pc = CODE;
                    vcpu.state().x[T0 as usize] = ROUNDS;
                    let stop = loop {
                        match world.run(&mut vcpu) {
                            Stop::Request => kicks += 1,
                            stop => break stop,
                        }
                    };
                    assert_eq!(stop, Stop::Ecall);
                }
                done.store(true, Relaxed);
            });
            assert_eq!(world.engine.stats().executed, times * insns);
        }
    });
}

#[test]
fn an_instruction_that_is_tried_twice_counts_once() {
    const DATA: u64 = 0x8000;
    const ABSENT: u64 = 0x9000;
    on_both(|backend| {
        let world = counting(backend);
        world.ram.load(DATA, &[NOP, ECALL]);
        world.ram.set_present(ABSENT, false);
        // The page of the store holds code, and is watched by then.
        world.ram.load(
            CODE,
            &[NOP, sd(T0, S0, 16), lw(A0, S1, 0), addi(A0, A0, 1), ECALL],
        );
        let mut vcpu = world.vcpu();
        world.call(&mut vcpu, DATA);
        assert_eq!(world.engine.stats().executed, 2);
        vcpu.state().x[S0 as usize] = DATA;
        vcpu.state().x[S1 as usize] = ABSENT;
        vcpu.state().pc = CODE;
        for _ in 0..3 {
            assert!(matches!(world.run(&mut vcpu), Stop::Fault(_)));
            assert_eq!(vcpu.state().pc, CODE + 8);
            assert_eq!(world.engine.stats().executed, 2 + 2);
        }
        world.ram.set_present(ABSENT, true);
        assert_eq!(world.run(&mut vcpu), Stop::Ecall);
        assert_eq!(world.engine.stats().executed, 2 + 5);
    });
}

#[test]
fn without_being_asked_nothing_is_counted() {
    on_both(|backend| {
        let world = World::new(backend);
        world.ram.load(CODE, &[NOP, ECALL]);
        let mut vcpu = world.vcpu();
        world.call(&mut vcpu, CODE);
        assert_eq!(world.engine.stats().executed, 0);
    });
}

#[test]
fn counts_of_all_vcpus_are_summed_and_outlive_them() {
    const VCPUS: u64 = 4;
    const ROUNDS: u64 = 1_000;
    on_both(|backend| {
        let world = counting(backend);
        let [(code, insns), ..] = loops(ROUNDS);
        world.ram.load(CODE, &code);
        std::thread::scope(|scope| {
            for _ in 0..VCPUS {
                scope.spawn(|| {
                    let mut vcpu = world.vcpu();
                    vcpu.state().x[T0 as usize] = ROUNDS;
                    world.call(&mut vcpu, CODE);
                });
            }
        });
        assert_eq!(world.engine.stats().executed, VCPUS * insns);
    });
}
