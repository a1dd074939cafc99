//! What it costs to leave generated code and to come back: per trip through the run loop, and per
//! indirect jump, with and without an entry in the vCPU's jump cache.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use tb_cache::{CodePages, Watch};
use translate::GuestCode;
use translate::state::JUMP_CACHE_ENTRIES;
use vcpu::{Backend, Config, Engine, Stop, UserMemory, Vcpu};

use crate::cpu_time::CpuTime;

/// Where the code begins.
const START: u64 = 0x1_0000;
/// Trips per measurement.
const TRIPS: u64 = 1000;
/// How far apart two pcs are that share an entry of the jump cache.
const ALIAS: u64 = 2 * JUMP_CACHE_ENTRIES as u64;

const A0: usize = 10;
const A1: usize = 11;
const A2: usize = 12;

const ECALL: u32 = 0x0000_0073;
const J_BACK_4: u32 = 0xffdf_f06f;
const CSRR_A0_TIME: u32 = 0xc010_2573;
const ADDI_A2_MINUS_1: u32 = 0xfff6_0613;
const BEQZ_A2_8: u32 = 0x0006_0463;
const JR_A0: u32 = 0x0005_0067;
const JR_A1: u32 = 0x0005_8067;

/// Some code at [`START`], and more further on.
struct Code {
    first: Vec<u32>,
    second: (u64, u32),
}

impl GuestCode for Code {
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let (at, second) = self.second;
        let index = pc.wrapping_sub(START) / 4;
        let first = usize::try_from(index).ok().and_then(|i| self.first.get(i));
        let word = first.copied().or((pc == at).then_some(second));
        match (word, buf) {
            (Some(word), [a, b, c, d, ..]) => {
                [*a, *b, *c, *d] = word.to_le_bytes();
                4
            }
            _ => 0,
        }
    }
}

impl CodePages for Code {
    fn watch(&self, _page: u64) -> Watch {
        Watch::Immutable
    }
}

fn vcpu(backend: Backend, code: Code) -> Vcpu<UserMemory> {
    let config = Config {
        backend,
        tb_size: 1 << 20,
        ..Config::default()
    };
    let engine = Engine::new(&config, Arc::new(code)).expect("there is memory for a cache");
    Vcpu::new(&engine, UserMemory { base: 0 }).expect("there is memory for a vCPU")
}

/// Runs from [`START`] to the next `ecall`.
fn run(vcpu: &mut Vcpu<UserMemory>) {
    vcpu.state().pc = START;
    assert_eq!(vcpu.run(), Stop::Ecall);
}

/// Two pieces of code that jump to each other by `jr`.
fn ping_pong(distance: u64) -> Code {
    Code {
        first: vec![ADDI_A2_MINUS_1, BEQZ_A2_8, JR_A1, ECALL],
        second: (START + distance, JR_A0),
    }
}

/// On both back ends.
pub fn dispatch(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("dispatch");
    for (name, backend) in [("x86-64", Backend::X86_64), ("interp", Backend::Interp)] {
        group.throughput(Throughput::Elements(1));
        let mut ecalls = vcpu(
            backend,
            Code {
                first: vec![ECALL, J_BACK_4],
                second: (0, 0),
            },
        );
        group.bench_function(format!("{name}: run to an ecall"), |b| {
            b.iter(|| run(&mut ecalls));
        });

        group.throughput(Throughput::Elements(TRIPS));
        let mut first = vec![CSRR_A0_TIME; TRIPS as usize];
        first.push(ECALL);
        let mut csrs = vcpu(
            backend,
            Code {
                first,
                second: (0, 0),
            },
        );
        group.bench_function(format!("{name}: csrr time"), |b| b.iter(|| run(&mut csrs)));

        for (what, distance) in [("", ALIAS / 2), (", not in the jump cache", ALIAS)] {
            let mut jumps = vcpu(backend, ping_pong(distance));
            group.bench_function(format!("{name}: indirect jump{what}"), |b| {
                b.iter(|| {
                    let x = &mut jumps.state().x;
                    x[A0] = START;
                    x[A1] = START + distance;
                    x[A2] = TRIPS / 2;
                    run(&mut jumps);
                });
            });
        }
    }
    group.finish();
}
