//! Code that changes, and a cache that is too small.

use vcpu::{Backend, Stop};

use crate::common::asm::*;
use crate::common::world::{World, on_both};

/// Stores the word in t1 at s1, makes it visible, calls it, returns to an `ecall`.
const PATCH_AND_CALL: [u32; 4] = [sw(T1, S1, 0), FENCE_I, jalr(RA, S1, 0), ECALL];

#[test]
fn a_guest_sees_its_own_new_code_after_fence_i() {
    on_both(|backend| {
        let world = World::new(backend);
        world.ram.load(0x1000, &PATCH_AND_CALL);
        world.ram.load(0x3000, &[NOP, RET]);
        // In a page of its own, and in the page of the code that writes.
        for target in [0x3000, 0x1100] {
            world.ram.load(target + 4, &[RET]);
            let mut vcpu = world.vcpu();
            vcpu.state().x[S1 as usize] = target;
            for value in 1..20 {
                vcpu.state().x[T1 as usize] = u64::from(addi(A0, ZERO, value));
                assert_eq!(world.call(&mut vcpu, 0x1000), value as u64);
            }
        }
    });
}

#[test]
fn code_that_was_linked_and_is_rewritten_is_not_run_any_more() {
    let world = World::new(Backend::X86_64);
    // The loop's body is a direct call, so it is part of a superblock or linked.
    world.ram.load(
        0x1000,
        &[jal(RA, 0x2000), addi(T0, T0, -1), bne(T0, ZERO, -8), ECALL],
    );
    world.ram.load(0x2000, &[sw(T1, S1, 0), FENCE_I, ECALL]);
    world.ram.load(0x3000, &[addi(A0, A0, 1), RET]);
    let mut vcpu = world.vcpu();
    vcpu.state().x[T0 as usize] = 10;
    assert_eq!(world.call(&mut vcpu, 0x1000), 10);
    vcpu.state().x[T1 as usize] = u64::from(addi(A0, A0, 100));
    vcpu.state().x[S1 as usize] = 0x3000;
    world.call(&mut vcpu, 0x2000);
    vcpu.state().x[T0 as usize] = 10;
    assert_eq!(world.call(&mut vcpu, 0x1000), 1010);
    assert!(world.engine.stats().cache.invalidated >= 1);
}

#[test]
fn an_unmapped_page_is_not_run_from_the_cache() {
    on_both(|backend| {
        let world = World::new(backend);
        world.ram.load(0x1000, &[jal(ZERO, 0x2000)]);
        world.ram.load(0x3000, &[addi(A0, A0, 1), ECALL]);
        let mut vcpu = world.vcpu();
        world.call(&mut vcpu, 0x1000);
        world.call(&mut vcpu, 0x1000);
        world.ram.set_present(0x3000, false);
        vcpu.state().pc = 0x1000;
        assert_eq!(world.run(&mut vcpu), Stop::Fetch);
        assert_eq!(vcpu.state().pc, 0x3000);
        world.ram.set_present(0x3000, true);
        assert_eq!(world.call(&mut vcpu, 0x1000), 3);
    });
}

/// A chain of functions, each a page's part apart, that a loop runs through by pointer.
pub fn load_many_functions(world: &World, count: u32) {
    for n in 0..count {
        let pc = 0x10_000 + u64::from(n) * 64;
        let next = [
            addi(A0, A0, (n % 7) as i32),
            xor(A1, A1, A0),
            addi(S0, S0, 64),
            jalr(ZERO, S0, 0),
        ];
        world.ram.load(pc, &next);
    }
    let last = 0x10_000 + u64::from(count) * 64;
    let back = [
        addi(T0, T0, -1),
        beq(T0, ZERO, 12),
        add(S0, S5, ZERO),
        jalr(ZERO, S0, 0),
        ECALL,
    ];
    world.ram.load(last, &back);
}

pub fn run_many_functions(
    world: &World,
    vcpu: &mut vcpu::Vcpu<vcpu::UserMemory>,
    rounds: u64,
) -> u64 {
    let state = vcpu.state();
    state.x[S5 as usize] = 0x10_000;
    state.x[S0 as usize] = 0x10_000;
    state.x[T0 as usize] = rounds;
    state.x[A0 as usize] = 0;
    world.call(vcpu, 0x10_000)
}

pub fn expected(count: u32, rounds: u64) -> u64 {
    rounds * (0..count).map(|n| u64::from(n % 7)).sum::<u64>()
}

#[test]
fn the_smallest_cache_runs_everything() {
    on_both(|backend| {
        const COUNT: u32 = 2_000;
        let world = World::with_size(backend, 1);
        load_many_functions(&world, COUNT);
        let mut vcpu = world.vcpu();
        assert_eq!(run_many_functions(&world, &mut vcpu, 3), expected(COUNT, 3));
        let stats = world.engine.stats();
        assert!(stats.cache.evictions > 3, "{stats:?}");
        assert_eq!(world.engine.domain().pending(), 0);
    });
}

#[test]
fn a_cache_of_fair_size_translates_everything_once() {
    on_both(|backend| {
        const COUNT: u32 = 2_000;
        let world = World::with_size(backend, 16 << 20);
        load_many_functions(&world, COUNT);
        let mut vcpu = world.vcpu();
        assert_eq!(run_many_functions(&world, &mut vcpu, 5), expected(COUNT, 5));
        let stats = world.engine.stats();
        assert!(stats.translations < u64::from(COUNT) + 10, "{stats:?}");
        assert_eq!(stats.cache.evictions, 0);
        assert!(stats.translation_ns > 0);
    });
}
