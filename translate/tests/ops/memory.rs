//! Loads, stores, atomics and cache-block ops.

use translate::ops::{Addr, AmoOp, Fmt, Size};
use translate::{Access, Cause, FReg, Fault, Op, Reg};

use crate::world::{BASE, LEN, World, x};

const END: u64 = BASE + LEN as u64;
const SIZES: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];
/// The words that can be accessed atomically.
const WORDS: [Size; 2] = [Size::B4, Size::B8];

/// A world with `value` in memory at `BASE + 0x40`, whose address is in x1.
fn world_with(value: u64) -> World {
    let mut world = World::new();
    world.state.x[1] = BASE + 0x40;
    world.state.x[2] = value;
    world.run(Op::Store {
        rs: x(2),
        addr: Addr::reg(x(1), 0),
        size: Size::B8,
    });
    world
}

fn fault(addr: u64, access: Access, cause: Cause) -> Result<(), Fault> {
    Err(Fault {
        addr,
        access,
        cause,
    })
}

#[test]
fn loads_extend_as_asked() {
    let mut world = world_with(0x8182_8384_8586_8788);
    let mut load = |size, signed| {
        world.run(Op::Load {
            rd: x(3),
            addr: Addr::reg(x(1), 0),
            size,
            signed,
        });
        world.state.x[3]
    };
    assert_eq!(load(Size::B1, false), 0x88);
    assert_eq!(load(Size::B1, true), 0xffff_ffff_ffff_ff88);
    assert_eq!(load(Size::B2, false), 0x8788);
    assert_eq!(load(Size::B2, true), 0xffff_ffff_ffff_8788);
    assert_eq!(load(Size::B4, false), 0x8586_8788);
    assert_eq!(load(Size::B4, true), 0xffff_ffff_8586_8788);
    assert_eq!(load(Size::B8, true), 0x8182_8384_8586_8788);
}

#[test]
fn stores_write_only_their_bytes() {
    for size in SIZES {
        let mut world = world_with(0);
        world.mem.bytes.fill(0);
        world.state.x[2] = u64::MAX;
        // Misaligned on purpose.
        world.run(Op::Store {
            rs: x(2),
            addr: Addr::reg(x(1), 1),
            size,
        });
        let at = 0x41..0x41 + size.bytes() as usize;
        for i in 0x40..0x50 {
            let touched = world.mem.bytes[i] == 0xff;
            assert_eq!(touched, at.contains(&i), "{size:?} {i:#x}");
        }
    }
}

#[test]
fn addresses_use_base_index_scale_and_displacement() {
    let mut world = world_with(0x1122);
    world.state.x[5] = BASE + 0x100;
    world.state.x[6] = (-0x10i64) as u64;
    let addr = Addr {
        base: x(5),
        index: x(6),
        scale: 3,
        disp: -0x40,
    };
    world.run(Op::Load {
        rd: x(3),
        addr,
        size: Size::B8,
        signed: false,
    });
    assert_eq!(world.state.x[3], 0x1122);
}

#[test]
fn a_load_into_x0_still_faults_and_a_faulting_load_changes_nothing() {
    let mut world = World::new();
    world.state.x[1] = END;
    world.state.x[3] = 77;
    for rd in [Reg::ZERO, x(3), x(1)] {
        let result = world.try_run(Op::Load {
            rd,
            addr: Addr::reg(x(1), -4),
            size: Size::B8,
            signed: true,
        });
        assert_eq!(result, fault(END - 4, Access::Load, Cause::Page));
    }
    assert_eq!((world.state.x[1], world.state.x[3]), (END, 77));
}

#[test]
fn amos_give_the_old_word_sign_extended() {
    let old = 0xdead_beef_8000_0001;
    let rows = [
        (AmoOp::Swap, 5),
        (AmoOp::Add, 0x8000_0006),
        (AmoOp::Xor, 0x8000_0004),
        (AmoOp::And, 1),
        (AmoOp::Or, 0x8000_0005),
        (AmoOp::Min, 0x8000_0001),
        (AmoOp::Max, 5),
        (AmoOp::Minu, 5),
        (AmoOp::Maxu, 0x8000_0001),
    ];
    for (op, want) in rows {
        let mut world = world_with(old);
        // The upper half of the source of a word operation has no say.
        world.state.x[2] = 0x7777_0000_0000_0005;
        world.run(Op::Amo {
            op,
            rd: x(3),
            addr: x(1),
            src: x(2),
            size: Size::B4,
        });
        assert_eq!(world.state.x[3], 0xffff_ffff_8000_0001, "{op:?}");
        let new = world.mem.get(BASE + 0x40, Size::B8);
        assert_eq!(new, 0xdead_beef_0000_0000 | want, "{op:?}");
    }
    let mut world = world_with(old);
    world.state.x[2] = 1;
    let r = x(2);
    world.run(Op::Amo {
        op: AmoOp::Min,
        rd: r,
        addr: x(1),
        src: r,
        size: Size::B8,
    });
    assert_eq!(world.state.x[2], old);
    assert_eq!(world.mem.get(BASE + 0x40, Size::B8), old);
}

#[test]
fn misaligned_atomics_fault_before_they_touch_memory() {
    for size in WORDS {
        let (rd, addr, src) = (x(3), x(1), x(2));
        let rows = [
            (Op::Lr { rd, addr, size }, Access::Load),
            (
                Op::Sc {
                    rd,
                    addr,
                    src,
                    size,
                },
                Access::Store,
            ),
            (
                Op::Amo {
                    op: AmoOp::Add,
                    rd,
                    addr,
                    src,
                    size,
                },
                Access::Store,
            ),
        ];
        for (op, access) in rows {
            let mut world = World::new();
            // Beyond the end, where an access would fault otherwise.
            let at = END + size.bytes() / 2;
            world.state.x[1] = at;
            assert_eq!(world.try_run(op), fault(at, access, Cause::Misaligned));
            world.state.x[1] = END;
            if !matches!(op, Op::Sc { .. }) {
                assert_eq!(world.try_run(op), fault(END, access, Cause::Page));
            }
            assert_eq!(world.state.x[3], 0);
        }
    }
}

fn lr(size: Size) -> Op {
    Op::Lr {
        rd: x(3),
        addr: x(1),
        size,
    }
}

fn sc(size: Size) -> Op {
    Op::Sc {
        rd: x(4),
        addr: x(1),
        src: x(2),
        size,
    }
}

#[test]
fn a_reservation_lets_one_store_through() {
    for size in WORDS {
        let mut world = world_with(0x8000_0000_8000_0000);
        world.run(lr(size));
        assert_eq!(world.state.x[3], size_extended(size, 0x8000_0000_8000_0000));
        assert_eq!(world.state.res_addr, BASE + 0x40);
        world.state.x[2] = 0x1234;
        world.run(sc(size));
        assert_eq!(world.state.x[4], 0, "{size:?}");
        assert_eq!(world.mem.get(BASE + 0x40, size), 0x1234);
        assert_eq!(world.state.res_addr, u64::MAX);

        world.state.x[2] = 0x5678;
        world.run(sc(size));
        assert_eq!(
            world.state.x[4], 1,
            "a second store needs a second reservation"
        );
        assert_eq!(world.mem.get(BASE + 0x40, size), 0x1234);
    }
}

fn size_extended(size: Size, value: u64) -> u64 {
    match size {
        Size::B4 => value as i32 as u64,
        _ => value,
    }
}

#[test]
fn a_store_conditional_fails_elsewhere_and_after_a_change() {
    for size in WORDS {
        let mut world = world_with(7);
        world.run(lr(size));
        world.state.x[1] += 8;
        world.run(sc(size));
        assert_eq!((world.state.x[4], world.state.res_addr), (1, u64::MAX));

        let mut world = world_with(7);
        world.run(lr(size));
        world.mem.bytes[0x40] = 8;
        world.run(sc(size));
        assert_eq!((world.state.x[4], world.state.res_addr), (1, u64::MAX));
        assert_eq!(world.mem.get(BASE + 0x40, Size::B8), 8);
    }
}

#[test]
fn a_failing_store_conditional_without_a_reservation_touches_no_memory() {
    let mut world = World::new();
    world.state.x[1] = END;
    world.run(sc(Size::B8));
    assert_eq!(world.state.x[4], 1);
}

#[test]
fn cbo_zero_clears_the_aligned_block() {
    let mut world = World::new();
    world.mem.bytes.fill(0xee);
    world.state.x[1] = BASE + 0x7f;
    world.run(Op::CboZero { addr: x(1) });
    for (i, byte) in world.mem.bytes.iter().enumerate() {
        assert_eq!(*byte == 0, (0x40..0x80).contains(&i), "{i:#x}");
    }
}

#[test]
fn cache_block_ops_blame_the_address_they_were_given_as_a_store() {
    let mut world = World::new();
    world.state.x[1] = END + 13;
    for op in [Op::CboZero { addr: x(1) }, Op::CboTouch { addr: x(1) }] {
        let result = world.try_run(op);
        assert_eq!(result, fault(END + 13, Access::Store, Cause::Page));
    }
    world.state.x[1] = END - 1;
    world.run(Op::CboTouch { addr: x(1) });
    // At the very end of the address space nothing may overflow.
    world.state.x[1] = u64::MAX;
    let result = world.try_run(Op::CboZero { addr: x(1) });
    assert_eq!(result, fault(u64::MAX, Access::Store, Cause::Page));
}

#[test]
fn float_loads_box_and_float_stores_do_not_look() {
    let mut world = world_with(0x1122_3344_5566_7788);
    let (fd, addr) = (FReg(7), Addr::reg(x(1), 0));
    world.run(Op::FLoad {
        fd,
        addr,
        fmt: Fmt::S,
    });
    assert_eq!(world.state.f[7], 0xffff_ffff_5566_7788);
    world.run(Op::FLoad {
        fd,
        addr,
        fmt: Fmt::D,
    });
    assert_eq!(world.state.f[7], 0x1122_3344_5566_7788);

    // Not boxed: stored all the same.
    world.state.f[7] = 0x9999_9999_aaaa_aaaa;
    world.run(Op::FStore {
        fs: fd,
        addr,
        fmt: Fmt::S,
    });
    assert_eq!(world.mem.get(BASE + 0x40, Size::B8), 0x1122_3344_aaaa_aaaa);
    world.run(Op::FStore {
        fs: fd,
        addr,
        fmt: Fmt::D,
    });
    assert_eq!(world.mem.get(BASE + 0x40, Size::B8), 0x9999_9999_aaaa_aaaa);

    world.state.x[1] = END;
    let result = world.try_run(Op::FLoad {
        fd,
        addr,
        fmt: Fmt::D,
    });
    assert_eq!(result, fault(END, Access::Load, Cause::Page));
    assert_eq!(world.state.f[7], 0x9999_9999_aaaa_aaaa);
}
