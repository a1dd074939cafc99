//! Faults of the guest: precise, and retried by running on.

use tb_cache::PAGE_SIZE;
use translate::{Access, Cause, Fault};
use vcpu::Stop;

use crate::common::asm::*;
use crate::common::world::{END, World, on_both};

fn fault(addr: u64, access: Access) -> Stop {
    Stop::Fault(Fault {
        addr,
        access,
        cause: Cause::Page,
    })
}

const HOLE: u64 = 0x20_000;

#[test]
fn a_load_fault_leaves_the_registers_as_before_it_and_is_retried() {
    on_both(|backend| {
        let world = World::new(backend);
        let code = [
            addi(A0, ZERO, 1),
            addi(S0, S0, 16),
            lui(A1, 0x1234_5000),
            addi(A1, A1, 0x678),
            ld(A1, S0, 8),
            addi(A0, A0, 1),
            add(A1, A1, A0),
            ECALL,
        ];
        world.ram.load(0x1000, &code);
        world.ram.set_present(HOLE, false);
        let mut vcpu = world.vcpu();
        vcpu.state().pc = 0x1000;
        vcpu.state().x[S0 as usize] = HOLE;
        for _ in 0..2 {
            assert_eq!(world.run(&mut vcpu), fault(HOLE + 24, Access::Load));
            let state = vcpu.state();
            assert_eq!(state.pc, 0x1010);
            assert_eq!(state.x[A0 as usize], 1);
            assert_eq!(state.x[A1 as usize], 0x1234_5678);
            assert_eq!(state.x[S0 as usize], HOLE + 16);
        }
        world.ram.set_present(HOLE, true);
        world.ram.load(HOLE + 24, &[40, 0]);
        assert_eq!(world.run(&mut vcpu), Stop::Ecall);
        assert_eq!(vcpu.state().x[A1 as usize], 42);
    });
}

#[test]
fn a_faulting_atomic_leaves_undone_what_waits_at_the_next_access() {
    on_both(|backend| {
        let world = World::new(backend);
        // amomin.d t1, t1, (s0): the host has no such instruction, so it is called.
        let amomin = amoadd_d(T1, T1, S0) | 1 << 31;
        // t0 = 1 is nothing but a declaration at the load.
        let waiting = [addi(T0, ZERO, 1), ld(A1, S0, 0), addi(T0, ZERO, 2)];
        world
            .ram
            .load(0x1000, &[&[amomin], &waiting[..], &[ECALL]].concat());
        world.ram.set_present(HOLE, false);
        let mut vcpu = world.vcpu();
        vcpu.state().pc = 0x1000;
        vcpu.state().x[S0 as usize] = HOLE;
        vcpu.state().x[T0 as usize] = 7;
        for _ in 0..3 {
            assert_eq!(world.run(&mut vcpu), fault(HOLE, Access::Store));
            assert_eq!(vcpu.state().x[T0 as usize], 7);
        }
    });
}

/// Runs one instruction with s0 as given; it must fault.
fn faults(backend: vcpu::Backend, insn: u32, s0: u64, expected: Stop) {
    let world = World::new(backend);
    world.ram.load(0x1000, &[addi(A0, A0, 1), insn, ECALL]);
    world.ram.set_present(HOLE, false);
    let mut vcpu = world.vcpu();
    vcpu.state().pc = 0x1000;
    vcpu.state().x[S0 as usize] = s0;
    vcpu.state().x[T0 as usize] = 5;
    vcpu.state().x[T1 as usize] = 6;
    assert_eq!(world.run(&mut vcpu), expected, "{insn:#x} {s0:#x}");
    let state = vcpu.state();
    assert_eq!((state.pc, state.x[A0 as usize]), (0x1004, 1));
    assert_eq!((state.x[T0 as usize], state.x[T1 as usize]), (5, 6));
}

#[test]
fn every_kind_of_access_tells_its_kind_and_address() {
    on_both(|backend| {
        let cases = [
            (lb(T0, S0, -4), HOLE + 4, HOLE, Access::Load),
            (lw(T0, S0, 0), HOLE, HOLE, Access::Load),
            (sw(T0, S0, 4), HOLE, HOLE + 4, Access::Store),
            (sd(ZERO, S0, 8), HOLE, HOLE + 8, Access::Store),
            (amoadd_d(T0, T1, S0), HOLE + 8, HOLE + 8, Access::Store),
            (lr_d(T0, S0), HOLE + 8, HOLE + 8, Access::Load),
            // fld ft0, 16(s0); fsw ft0, 20(s0)
            (0x0104_3007, HOLE, HOLE + 16, Access::Load),
            (0x0004_2a27, HOLE, HOLE + 20, Access::Store),
            // cbo.zero (s0)
            (0x0044_200f, HOLE + 70, HOLE + 70, Access::Store),
        ];
        for (insn, s0, addr, access) in cases {
            faults(backend, insn, s0, fault(addr, access));
        }
    });
}

#[test]
fn an_access_that_straddles_pages_names_the_page_that_is_missing() {
    on_both(|backend| {
        faults(backend, ld(T0, S0, 0), HOLE - 4, fault(HOLE, Access::Load));
        let last = HOLE + PAGE_SIZE - 4;
        faults(backend, ld(T0, S0, 0), last, fault(last, Access::Load));
        faults(backend, sd(T0, S0, 0), HOLE - 1, fault(HOLE, Access::Store));
    });
}

#[test]
fn wild_addresses_fault_as_what_they_are() {
    on_both(|backend| {
        for addr in [
            END,
            END + 0x12_345,
            0x7fff_0000_0000_0000,
            1 << 63,
            u64::MAX - 7,
        ] {
            faults(backend, ld(T0, S0, 0), addr, fault(addr, Access::Load));
            faults(backend, sd(T0, S0, 0), addr, fault(addr, Access::Store));
        }
        let addr = 0x8000_0000_0000_0008;
        faults(
            backend,
            amoadd_d(T0, T1, S0),
            addr,
            fault(addr, Access::Store),
        );
        faults(backend, lr_d(T0, S0), addr, fault(addr, Access::Load));
    });
}

#[test]
fn a_misaligned_atomic_says_so() {
    on_both(|backend| {
        let misaligned = |addr, access| {
            Stop::Fault(Fault {
                addr,
                access,
                cause: Cause::Misaligned,
            })
        };
        let stop = misaligned(0x8004, Access::Store);
        faults(backend, amoadd_d(T0, T1, S0), 0x8004, stop);
        faults(
            backend,
            lr_d(T0, S0),
            0x8001,
            misaligned(0x8001, Access::Load),
        );
    });
}

#[test]
fn a_file_that_got_shorter_is_a_bus_error() {
    on_both(|backend| {
        let world = World::new(backend);
        // SAFETY: an anonymous file of one page, mapped over guest memory and then cut.
        unsafe {
            let fd = libc::memfd_create(c"shorter".as_ptr(), libc::MFD_CLOEXEC);
            assert_eq!(libc::ftruncate(fd, PAGE_SIZE as i64), 0);
            let at = libc::mmap(
                std::ptr::with_exposed_provenance_mut((world.ram.base() + HOLE) as usize),
                PAGE_SIZE as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_FIXED,
                fd,
                0,
            );
            assert_ne!(at, libc::MAP_FAILED);
            assert_eq!(libc::ftruncate(fd, 0), 0);
            libc::close(fd);
        }
        world.ram.load(0x1000, &[lw(T0, S0, 8), ECALL]);
        let mut vcpu = world.vcpu();
        vcpu.state().pc = 0x1000;
        vcpu.state().x[S0 as usize] = HOLE;
        let expected = Stop::Fault(Fault {
            addr: HOLE + 8,
            access: Access::Load,
            cause: Cause::Bus,
        });
        assert_eq!(world.run(&mut vcpu), expected);
    });
}

#[test]
fn a_jump_to_nowhere_stops_there_and_is_retried() {
    on_both(|backend| {
        let world = World::new(backend);
        world
            .ram
            .load(0x1000, &[addi(A0, A0, 1), jalr(ZERO, S0, 0)]);
        world.ram.set_present(HOLE, false);
        let mut vcpu = world.vcpu();
        vcpu.state().pc = 0x1000;
        vcpu.state().x[S0 as usize] = HOLE;
        for _ in 0..2 {
            assert_eq!(world.run(&mut vcpu), Stop::Fetch);
            assert_eq!(vcpu.state().pc, HOLE);
        }
        world.ram.set_present(HOLE, true);
        world.ram.load(HOLE, &[ECALL]);
        assert_eq!(world.run(&mut vcpu), Stop::Ecall);
        for wild in [END, 1 << 63, u64::MAX - 1] {
            vcpu.state().pc = 0x1000;
            vcpu.state().x[S0 as usize] = wild;
            assert_eq!(world.run(&mut vcpu), Stop::Fetch);
            assert_eq!(vcpu.state().pc, wild & !1);
        }
    });
}

#[test]
fn running_off_the_end_of_a_page_stops_at_the_first_missing_instruction() {
    on_both(|backend| {
        let world = World::new(backend);
        let pc = HOLE - 8;
        world.ram.load(pc, &[addi(A0, A0, 1), addi(A0, A0, 1)]);
        world.ram.set_present(HOLE, false);
        let mut vcpu = world.vcpu();
        vcpu.state().pc = pc;
        assert_eq!(world.run(&mut vcpu), Stop::Fetch);
        assert_eq!((vcpu.state().pc, vcpu.state().x[A0 as usize]), (HOLE, 2));
        // The block before has been translated with the hole; it must not stop there for ever.
        world.ram.set_present(HOLE, true);
        world.ram.load(HOLE, &[addi(A0, A0, 1), ECALL]);
        assert_eq!(world.call(&mut vcpu, pc), 5);
    });
}
