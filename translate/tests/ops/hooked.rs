//! Random wishes for a block, and callbacks that note what they can see.

use std::arch::naked_asm;
use std::cell::{Cell, RefCell};
use std::mem::offset_of;

use translate::hooks::{
    Call, Clobbers, Condition, Hook, InsnWishes, MemHook, PlainWishes, Regs, Rw, Test, fill,
};
use translate::lanes::Lanes;
use translate::state::VCPU_COUNTERS;
use translate::{Block, CpuState, Op};

use crate::operands::Random;

/// Integer registers that callbacks change: a pinned one and another.
pub const CHANGED: [usize; 2] = [17, 30];

/// What a callback has seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    userdata: u64,
    vcpu: u32,
    context: u32,
    counters: [u64; VCPU_COUNTERS],
    /// pc and registers, if it may look at them.
    registers: Option<(u64, [u64; 32], [u64; 32])>,
    /// Information, address, and what was read or written.
    access: Option<(u32, u64, u64)>,
}

thread_local! {
    static STATE: Cell<*mut CpuState> = const { Cell::new(std::ptr::null_mut()) };
    static LOG: RefCell<Vec<Seen>> = const { RefCell::new(Vec::new()) };
}

/// Callbacks are about `state` from now on; forgets what they have seen.
pub fn watch(state: *mut CpuState) {
    STATE.set(state);
    LOG.take();
}

/// What callbacks have seen.
pub fn seen() -> Vec<Seen> {
    LOG.take()
}

fn note(userdata: u64, vcpu: u32, access: Option<(u32, u64)>) {
    // SAFETY: the state of the block that runs, which leaves it alone meanwhile.
    let state = unsafe { &mut *STATE.get() };
    let regs = userdata & 3;
    let access = access.map(|(info, addr)| {
        let value = match info >> 6 & 1 {
            0 => state.access.loaded[0],
            _ => state.access.stored[0],
        };
        (info, addr, value & (u64::MAX >> (64 - (8 << (info & 3)))))
    });
    LOG.with_borrow_mut(|log| {
        log.push(Seen {
            userdata,
            vcpu,
            context: state.context,
            counters: state.counters,
            registers: (regs != 0).then_some((state.pc, state.x, state.f)),
            access,
        });
    });
    if regs == 2 {
        for changed in CHANGED {
            state.x[changed] = state.x[changed].rotate_left(9) ^ userdata;
        }
        state.f[11] = userdata;
    }
}

extern "C" fn on_execution(vcpu: u32, userdata: u64) {
    note(userdata, vcpu, None);
}

extern "C" fn on_access(vcpu: u32, info: u32, addr: u64, userdata: u64) {
    note(userdata, vcpu, Some((info, addr)));
}

/// Adds its number to a counter, and changes as many registers as its code shows.
#[unsafe(naked)]
extern "C" fn frugal(vcpu: u32, userdata: u64) {
    naked_asm!(
        "mov edi, edi",
        "add [rsi], rdi",
        "inc qword ptr [rsi]",
        "mov rsi, -2",
        "mov r9, -3",
        "movq xmm9, rsi",
        "pxor xmm15, xmm9",
        "mov eax, 4",
        "ret",
    )
}

/// The same of an access.
#[unsafe(naked)]
extern "C" fn frugal_access(vcpu: u32, info: u32, addr: u64, userdata: u64) {
    naked_asm!(
        "add [rcx], rdx",
        "rol qword ptr [rcx], 5",
        "add [rcx], rsi",
        "xor edx, edx",
        "xor ecx, ecx",
        "mov r11, -3",
        "ret",
    )
}

thread_local! {
    /// What frugal callbacks add to.
    static TALLY: Cell<u64> = const { Cell::new(0) };
}

/// What they have added.
pub fn tally() -> u64 {
    TALLY.take()
}

fn counter(random: &mut Random) -> u32 {
    let index = random.below(VCPU_COUNTERS as u64) as usize;
    (offset_of!(CpuState, counters) + 8 * index) as u32
}

fn call(random: &mut Random, access: bool) -> Call {
    if random.below(3) == 0 {
        let function = match access {
            false => frugal as *const () as usize,
            true => frugal_access as *const () as usize,
        };
        return Call {
            function,
            userdata: TALLY.with(Cell::as_ptr) as u64,
            context: 1 + random.below(3) as u32,
            regs: Regs::None,
            clobbers: Clobbers::of(function, |_| false),
        };
    }
    let (regs, mark) = match random.below(3) {
        0 => (Regs::None, 0),
        1 => (Regs::Read, 1),
        _ => (Regs::Write, 2),
    };
    let function = match access {
        false => on_execution as *const () as usize,
        true => on_access as *const () as usize,
    };
    Call {
        function,
        userdata: random.bits() >> random.below(60) << 2 | mark,
        context: 1 + random.below(3) as u32,
        regs,
        clobbers: Clobbers::ALL,
    }
}

fn hook(random: &mut Random, access: bool, counts_only: bool) -> Hook {
    let offset = counter(random);
    let value = random.bits() >> random.below(64);
    let kind = if counts_only { 0 } else { random.below(6) };
    match kind {
        0 | 1 => Hook::Add { offset, value },
        2 => Hook::Store { offset, value },
        3 => {
            let test = [Test::Eq, Test::Ne, Test::Lt, Test::Le, Test::Gt, Test::Ge]
                [random.below(6) as usize];
            let condition = Condition {
                test,
                offset,
                value,
            };
            Hook::CallIf(condition, call(random, access))
        }
        _ => Hook::Call(call(random, access)),
    }
}

fn hooks(random: &mut Random, counts_only: bool) -> Vec<Hook> {
    let count = random.below(6).saturating_sub(3);
    (0..count)
        .map(|_| hook(random, false, counts_only))
        .collect()
}

/// Lanes for blocks with such wishes, some of them in use already.
pub fn lanes(random: &mut Random) -> Lanes {
    let lanes = Lanes::new();
    if random.below(2) == 0 {
        let ops = vec![Op::Count {
            offset: counter(random),
            value: 1,
        }];
        lanes.plan(&mut Block {
            ops,
            ..Block::default()
        });
    }
    lanes
}

/// Fills `block`, all of it one plain block, with random wishes.
pub fn instrument(block: &mut Block, random: &mut Random) {
    let counts_only = random.below(3) == 0;
    let insns = block.ops.iter().filter(|op| matches!(op, Op::Insn { .. }));
    let insns = insns
        .map(|_| InsnWishes {
            before: hooks(random, counts_only),
            memory: (0..random.below(3))
                .map(|_| MemHook {
                    on: Rw {
                        reads: random.below(3) != 0,
                        writes: random.below(3) != 0,
                    },
                    hook: hook(random, true, counts_only),
                })
                .collect(),
        })
        .collect();
    let entry = hooks(random, counts_only);
    let pc = block.pc;
    block.ops.insert(0, Op::Point { pc, n_insns: 0 });
    let guards = Vec::new();
    fill(
        block,
        &[PlainWishes {
            entry,
            insns,
            guards,
        }],
        false,
    );
}
