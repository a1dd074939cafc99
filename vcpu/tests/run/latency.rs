//! What vCPUs record about how long they take, and reports on those who hold others up.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use vcpu::latency::{Doing, Kind, Latencies};
use vcpu::{Backend, Config, Stop, UserMemory, Vcpu};

use crate::common::asm::*;
use crate::common::world::{World, on_both};

const PAUSE: Duration = Duration::from_millis(20);

fn world(backend: Backend) -> (World, Arc<Latencies>) {
    let latencies = Latencies::new();
    let world = World::with_config(Config {
        backend,
        latencies: Some(Arc::clone(&latencies)),
        ..Config::default()
    });
    (world, latencies)
}

fn count(latencies: &Latencies, vcpu: usize, kind: Kind) -> u64 {
    let vcpus = latencies.vcpus();
    vcpus[vcpu].of(kind).histogram().len()
}

#[test]
fn nothing_is_recorded_unless_asked_for() {
    assert!(World::new(Backend::Interp).engine.latencies().is_none());
}

#[test]
fn each_vcpu_records_its_own() {
    on_both(|backend| {
        let (world, latencies) = world(backend);
        world.ram.load(0x1000, &[addi(A0, A0, 1), ECALL]);
        let (mut busy, mut lazy) = (world.vcpu(), world.vcpu());
        for _ in 0..3 {
            world.call(&mut busy, 0x1000);
        }
        world.call(&mut lazy, 0x1000);
        let translated = count(&latencies, 0, Kind::Translation);
        assert_eq!(translated, world.engine.stats().translations);
        assert_eq!(count(&latencies, 1, Kind::Translation), 0);
        let quiesced = |vcpu| count(&latencies, vcpu, Kind::Quiescence);
        assert!(quiesced(0) > quiesced(1) && quiesced(1) > 0);
        drop((busy, lazy));
        let before = quiesced(0);
        assert!(before > 0, "histograms outlive the vCPU");
        let mut next = world.vcpu();
        world.call(&mut next, 0x1000);
        assert!(quiesced(0) > before, "the next of that number goes on");
        assert_eq!(latencies.vcpus().len(), 2);
    });
}

#[test]
fn recording_begins_while_a_vcpu_runs() {
    on_both(|backend| {
        let world = World::new(backend);
        world.ram.load(0x1000, &[jal(ZERO, 0)]);
        world.ram.load(0x2000, &[ECALL]);
        let mut vcpu = world.vcpu();
        vcpu.state().pc = 0x1000;
        let kicker = vcpu.kicker();
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(world.run(&mut vcpu), Stop::Request));
            let latencies = world.engine.record_latencies();
            // It has been asked to: nobody kicks it.
            while latencies.vcpus().is_empty() {
                std::thread::yield_now();
            }
            kicker.kick();
        });
        let latencies = world.engine.latencies().expect("they are recorded");
        assert!(count(latencies, 0, Kind::Quiescence) > 0);
        assert_eq!(count(latencies, 0, Kind::Kick), 1);
        let mut next = world.vcpu();
        world.call(&mut next, 0x2000);
        assert_eq!(latencies.vcpus().len(), 2, "who comes later records, too");
    });
}

#[test]
fn a_system_call_is_busy_time_and_idle_time() {
    let (world, latencies) = world(Backend::Interp);
    world.ram.load(0x1000, &[ECALL, jal(ZERO, -4)]);
    let mut vcpu = world.vcpu();
    let mut call = |work: &dyn Fn(&mut _)| {
        vcpu.state().pc = 0x1000;
        assert_eq!(world.run(&mut vcpu), Stop::Ecall);
        work(&mut vcpu);
    };
    call(&|_| std::thread::sleep(PAUSE));
    call(&|vcpu: &mut Vcpu<UserMemory>| vcpu.while_offline(|| std::thread::sleep(50 * PAUSE)));
    call(&|_| ());
    let of = |kind| latencies.vcpus()[0].of(kind).histogram();
    let (busy, idle) = (of(Kind::Syscall), of(Kind::Idle));
    assert_eq!((busy.len(), idle.len()), (2, 1), "the third goes on");
    let pause = PAUSE.as_nanos() as u64;
    assert!(
        busy.max() >= pause && busy.max() < 50 * pause,
        "{}",
        busy.max()
    );
    assert!(idle.max() >= 49 * pause, "{}", idle.max());
}

#[test]
fn time_away_is_time_away_only() {
    let (world, latencies) = world(Backend::Interp);
    world.ram.load(0x1000, &[ECALL]);
    let mut vcpu = world.vcpu();
    world.call(&mut vcpu, 0x1000);
    vcpu.while_offline(|| std::thread::sleep(PAUSE));
    let idle = latencies.vcpus()[0].of(Kind::Idle).histogram();
    assert_eq!(idle.len(), 1);
    assert!(idle.max() >= PAUSE.as_nanos() as u64, "{}", idle.max());
    let before = count(&latencies, 0, Kind::Quiescence);
    vcpu.while_offline(|| ());
    assert_eq!(count(&latencies, 0, Kind::Quiescence), before + 1);
    assert_eq!(count(&latencies, 0, Kind::Idle), 2);
}

#[test]
fn a_kick_is_measured_until_it_is_taken_and_not_while_offline() {
    on_both(|backend| {
        let (world, latencies) = world(backend);
        world.ram.load(0x1000, &[jal(ZERO, 0)]);
        let mut vcpu = world.vcpu();
        vcpu.state().pc = 0x1000;
        let kicker = vcpu.kicker();
        kicker.kick();
        std::thread::sleep(10 * PAUSE);
        assert_eq!(world.run(&mut vcpu), Stop::Request);
        let kick = || latencies.vcpus()[0].of(Kind::Kick).histogram();
        assert_eq!(kick().len(), 1);
        let longest = kick().max();
        assert!(longest < (5 * PAUSE).as_nanos() as u64, "{longest} ns");
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(world.run(&mut vcpu), Stop::Request));
            kicker.kick();
        });
        assert_eq!(kick().len(), 2);
    });
}

#[test]
fn who_holds_a_grace_period_up_is_named() {
    on_both(|backend| {
        let (world, latencies) = world(backend);
        world.ram.load(0x1000, &[NOP, addi(A0, A0, 1), ECALL]);
        let (mut idle, mut stuck) = (world.vcpu(), world.vcpu());
        world.call(&mut idle, 0x1000);
        world.call(&mut stuck, 0x1000);
        idle.while_offline(|| {
            let (tell, told) = mpsc::channel();
            world.engine.domain().retire(Box::new(move || {
                let _ = tell.send(());
            }));
            std::thread::sleep(PAUSE);
            assert_eq!(latencies.stalled(Duration::from_secs(3600)), None);
            let stalled = latencies.stalled(PAUSE).expect("the other is online");
            assert_eq!((stalled.vcpu, stalled.pc), (1, 0x1008));
            assert_eq!((stalled.doing, stalled.pending), (Doing::Stopped, 1));
            assert!(stalled.age >= PAUSE && stalled.since >= PAUSE);
            let text = stalled.to_string();
            assert!(
                text.contains("vCPU 1 ") && text.contains("pc 0x1008"),
                "{text}"
            );
            stuck.while_offline(|| ());
            assert_eq!(told.try_recv(), Ok(()));
            assert_eq!(latencies.stalled(Duration::ZERO), None);
        });
    });
}
