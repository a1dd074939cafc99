//! Several vCPUs, and requests from outside.

use std::sync::mpsc;
use std::time::Duration;

use vcpu::{Backend, Stop};

use crate::cache::{expected, load_many_functions, run_many_functions};
use crate::common::asm::*;
use crate::common::world::{World, on_both};

/// Longer than any of this takes.
const LONG: Duration = Duration::from_secs(30);

/// Code that never ends: in one block, over two blocks, and by indirect jumps.
const SPINS: [[u32; 3]; 3] = [
    [jal(ZERO, 0), NOP, NOP],
    [addi(A0, A0, 1), beq(ZERO, ZERO, -4), NOP],
    [addi(A0, A0, 1), jalr(ZERO, S0, 0), NOP],
];

#[test]
fn a_kick_stops_any_loop() {
    on_both(|backend| {
        for spin in SPINS {
            let world = World::new(backend);
            world.ram.load(0x1000, &spin);
            let mut vcpu = world.vcpu();
            vcpu.state().pc = 0x1000;
            vcpu.state().x[S0 as usize] = 0x1000;
            let kicker = vcpu.kicker();
            let (tell, told) = mpsc::channel();
            std::thread::scope(|scope| {
                let world = &world;
                scope.spawn(move || {
                    let first = world.run(&mut vcpu);
                    tell.send(first).unwrap();
                    tell.send(world.run(&mut vcpu)).unwrap();
                });
                // Before it runs, while it runs, or in between: each kick stops one run.
                for _ in 0..2 {
                    kicker.kick();
                    assert_eq!(told.recv_timeout(LONG), Ok(Stop::Request));
                }
            });
        }
    });
}

#[test]
fn a_kick_before_running_is_not_lost_and_stops_once() {
    on_both(|backend| {
        let world = World::new(backend);
        world.ram.load(0x1000, &[addi(A0, A0, 1), ECALL]);
        let mut vcpu = world.vcpu();
        vcpu.state().pc = 0x1000;
        vcpu.kicker().kick();
        vcpu.kicker().kick();
        assert_eq!(world.run(&mut vcpu), Stop::Request);
        assert_eq!(vcpu.state().pc, 0x1000);
        assert_eq!(world.run(&mut vcpu), Stop::Ecall);
    });
}

#[test]
fn a_kicker_outlives_its_vcpu() {
    let world = World::new(Backend::Interp);
    let vcpu = world.vcpu();
    let kicker = vcpu.kicker();
    drop(vcpu);
    kicker.kick();
}

#[test]
fn vcpus_share_what_they_translate() {
    const COUNT: u32 = 1_000;
    const VCPUS: u64 = 4;
    on_both(|backend| {
        let world = World::with_size(backend, 16 << 20);
        load_many_functions(&world, COUNT);
        std::thread::scope(|scope| {
            for _ in 0..VCPUS {
                scope.spawn(|| {
                    let mut vcpu = world.vcpu();
                    let sum = run_many_functions(&world, &mut vcpu, 20);
                    assert_eq!(sum, expected(COUNT, 20));
                });
            }
        });
        let stats = world.engine.stats();
        assert_eq!(stats.cache.inserted, stats.cache.blocks);
        assert!(stats.cache.blocks < u64::from(COUNT) + 10, "{stats:?}");
    });
}

#[test]
fn vcpus_that_fight_for_the_smallest_cache_get_done() {
    const COUNT: u32 = 1_000;
    on_both(|backend| {
        let world = World::with_size(backend, 1);
        load_many_functions(&world, COUNT);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let mut vcpu = world.vcpu();
                    let sum = run_many_functions(&world, &mut vcpu, 10);
                    assert_eq!(sum, expected(COUNT, 10));
                });
            }
        });
        assert_eq!(world.engine.domain().pending(), 0);
    });
}

/// One vCPU computes and never comes back by itself; another needs the room that it holds up.
#[test]
fn a_spinning_vcpu_does_not_hold_up_the_room_of_others() {
    const COUNT: u32 = 2_000;
    let world = World::with_size(Backend::X86_64, 1);
    load_many_functions(&world, COUNT);
    world.ram.load(0x1000, &SPINS[1]);
    let mut spinner = world.vcpu();
    let kicker = spinner.kicker();
    std::thread::scope(|scope| {
        let world = &world;
        let spinning = scope.spawn(move || {
            spinner.state().pc = 0x1000;
            world.run(&mut spinner)
        });
        let mut vcpu = world.vcpu();
        // While the host does not run the spinner, nor does it give anything up: more than once may be
        // needed.
        for _ in 0..1_000 {
            let sum = run_many_functions(world, &mut vcpu, 5);
            assert_eq!(sum, expected(COUNT, 5));
            if world.engine.stats().cache.evictions > 5 {
                break;
            }
        }
        kicker.kick();
        assert_eq!(spinning.join().unwrap(), Stop::Request);
    });
    let stats = world.engine.stats();
    assert!(stats.cache.evictions > 5, "{stats:?}");
}

/// Two vCPUs increment one counter, with `amoadd` and with `lr`/`sc`.
#[test]
fn atomics_of_two_vcpus_lose_nothing() {
    const TIMES: u64 = 50_000;
    on_both(|backend| {
        let world = World::new(backend);
        let code = [
            amoadd_d(A1, T1, S0),
            lr_d(A2, S0),
            add(A2, A2, T1),
            sc_d(A3, A2, S0),
            bne(A3, ZERO, -12),
            addi(T0, T0, -1),
            bne(T0, ZERO, -24),
            ECALL,
        ];
        world.ram.load(0x1000, &code);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut vcpu = world.vcpu();
                    vcpu.state().x[S0 as usize] = 0x8000;
                    vcpu.state().x[T0 as usize] = TIMES;
                    vcpu.state().x[T1 as usize] = 1;
                    world.call(&mut vcpu, 0x1000);
                });
            }
        });
        assert_eq!(world.ram.read(0x8000), 4 * TIMES);
    });
}

/// One vCPU keeps rewriting a function and says which version is in force; the other must never run
/// an older one than that.
#[test]
fn code_written_by_one_vcpu_reaches_another_by_its_fence_i() {
    const VERSIONS: u64 = 300;
    on_both(|backend| {
        let world = World::new(backend);
        // The writer: patch, fence, then publish t2 at s0.
        world
            .ram
            .load(0x1000, &[sw(T1, S1, 0), FENCE_I, sd(T2, S0, 0), ECALL]);
        // The reader: what is in force, then a fence, then what runs.
        world
            .ram
            .load(0x2000, &[ld(A5, S0, 0), FENCE_I, jalr(RA, S1, 0), ECALL]);
        world.ram.load(0x3000, &[addi(A0, ZERO, 0), RET]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = world.vcpu();
                for version in 1..=VERSIONS {
                    let state = writer.state();
                    state.x[S0 as usize] = 0x8000;
                    state.x[S1 as usize] = 0x3000;
                    state.x[T1 as usize] = u64::from(addi(A0, ZERO, version as i32));
                    state.x[T2 as usize] = version;
                    world.call(&mut writer, 0x1000);
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut reader = world.vcpu();
                    let mut in_force = 0;
                    while in_force < VERSIONS {
                        reader.state().x[S0 as usize] = 0x8000;
                        reader.state().x[S1 as usize] = 0x3000;
                        let ran = world.call(&mut reader, 0x2000);
                        in_force = reader.state().x[A5 as usize];
                        assert!(ran >= in_force, "ran {ran}, in force {in_force}");
                        std::thread::yield_now();
                    }
                });
            }
        });
    });
}
