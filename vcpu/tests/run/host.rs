//! The host's side: signals, threads, engines.

use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use vcpu::{Backend, guarded};

use crate::common::asm::*;
use crate::common::world::{END, World, on_both};

#[test]
fn guarded_routines_report_where_they_failed() {
    let world = World::new(Backend::Interp);
    let end = world.ram.base() + END;
    let mut buffer = [1; 16];
    // SAFETY: guest memory, and what is reserved above it.
    unsafe {
        guarded::copy_in(end - 8, &[7; 8]).unwrap();
        guarded::copy_out(&mut buffer[..8], end - 8).unwrap();
        assert_eq!(buffer, [7, 7, 7, 7, 7, 7, 7, 7, 1, 1, 1, 1, 1, 1, 1, 1]);
        let fault = guarded::copy_out(&mut buffer, end - 8).unwrap_err();
        assert_eq!(fault.addr, Some(end));
        let fault = guarded::copy_in(end - 3, &buffer).unwrap_err();
        assert_eq!((fault.addr, fault.is_bus), (Some(end), false));
        guarded::fill(end - 4, 0x55, 4).unwrap();
        assert_eq!(guarded::fill(end - 4, 0, 5).unwrap_err().addr, Some(end));
        let fault = guarded::load(1 << 63, translate::ops::Size::B8).unwrap_err();
        assert_eq!(fault.addr, None, "the processor does not say");
    }
}

#[test]
fn strings_are_measured_up_to_their_end_a_limit_or_a_fault() {
    let world = World::new(Backend::Interp);
    let end = world.ram.base() + END;
    // SAFETY: guest memory, and what is reserved above it.
    unsafe {
        guarded::copy_in(end - 6, b"abc\0de").unwrap();
        assert_eq!(guarded::string_length(end - 6, 100), Ok(3));
        assert_eq!(guarded::string_length(end - 6, 2), Ok(2));
        assert_eq!(guarded::string_length(end - 2, 2), Ok(2));
        assert_eq!(
            guarded::string_length(end - 2, 3).unwrap_err().addr,
            Some(end)
        );
        assert_eq!(guarded::string_length(end, 0), Ok(0));
    }
}

static SENT: AtomicI32 = AtomicI32::new(0);

#[test]
fn a_sent_signal_is_not_taken_for_a_fault() {
    vcpu::fault::on_sent_signal(|signal, _, _| {
        SENT.fetch_add(signal, Relaxed);
    });
    let world = World::new(Backend::X86_64);
    world.ram.load(0x1000, &[addi(A0, A0, 1), ECALL]);
    let mut vcpu = world.vcpu();
    world.call(&mut vcpu, 0x1000);
    for signal in vcpu::fault::SIGNALS {
        // SAFETY: the signal has a handler.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), signal) };
    }
    assert_eq!(SENT.load(Relaxed), vcpu::fault::SIGNALS.iter().sum());
    assert_eq!(world.call(&mut vcpu, 0x1000), 2);
}

#[test]
fn a_vcpu_may_be_made_on_one_thread_and_run_on_others() {
    on_both(|backend| {
        let world = World::new(backend);
        world
            .ram
            .load(0x1000, &[addi(A0, A0, 1), sd(A0, S0, 0), ECALL]);
        let mut vcpu = world.vcpu();
        vcpu.state().x[S0 as usize] = 0x8000;
        for turn in 1..4 {
            std::thread::scope(|scope| {
                scope.spawn(|| assert_eq!(world.call(&mut vcpu, 0x1000), turn));
            });
            assert_eq!(world.ram.read(0x8000), turn);
        }
    });
}

#[test]
fn two_guests_on_one_thread_have_memories_of_their_own() {
    let worlds = [World::new(Backend::X86_64), World::new(Backend::X86_64)];
    let mut vcpus = worlds.each_ref().map(World::vcpu);
    for turn in 1..4 {
        for (world, vcpu) in worlds.iter().zip(&mut vcpus) {
            world.ram.load(
                0x1000,
                &[ld(A0, S0, 0), addi(A0, A0, 1), sd(A0, S0, 0), ECALL],
            );
            vcpu.state().x[S0 as usize] = 0x8000;
            assert_eq!(world.call(vcpu, 0x1000), turn);
        }
    }
}

#[test]
fn a_vcpu_goes_over_to_another_engine_with_all_registers() {
    on_both(|backend| {
        let world = World::new(backend);
        world.ram.load(0x1000, &[addi(A0, A0, 1), ECALL]);
        let mut vcpu = world.vcpu();
        world.call(&mut vcpu, 0x1000);
        let config = vcpu::Config {
            backend,
            ..vcpu::Config::default()
        };
        let fresh = vcpu.engine().after_fork(&config, world.ram.clone());
        let fresh = fresh.unwrap();
        vcpu.adopt(&fresh);
        assert_eq!(world.call(&mut vcpu, 0x1000), 2);
        assert_eq!(fresh.stats().translations, 1);
    });
}

#[test]
fn a_pinned_vcpu_runs_on_one_core() {
    let world = World::new(Backend::Interp);
    world.ram.load(0x1000, &[ECALL]);
    let config = vcpu::Config {
        backend: Backend::Interp,
        pin: true,
        ..vcpu::Config::default()
    };
    let engine = vcpu::Engine::new(&config, world.ram.clone()).unwrap();
    let base = world.ram.base();
    for _ in 0..3 {
        let mut vcpu = vcpu::Vcpu::new(&engine, vcpu::UserMemory { base }).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                world.call(&mut vcpu, 0x1000);
                assert_eq!(allowed_cores(), 1);
            });
        });
    }
}

fn allowed_cores() -> i32 {
    // SAFETY: the set is plain bits, which the call fills in.
    unsafe {
        let mut set = std::mem::zeroed::<libc::cpu_set_t>();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), &mut set), 0);
        libc::CPU_COUNT(&set)
    }
}
