//! What instrumentation asks for, and how a block's points are filled with it.
//!
//! A superblock is several *plain blocks* glued: straight runs of instructions that are entered at
//! their start and left at their end. Instrumentation sees those only. [`plain_blocks`] shows them,
//! and [`fill`] puts [`Wishes`] for them into the ops:
//!
//! 1. What is asked for at a block's entry comes first, then what is asked for before its first
//!    instruction; each in the order asked.
//! 2. Hooks before an instruction run on each attempt to execute it. Hooks of a memory access run
//!    after it, if it did not fault: reads first, then writes.
//! 3. A block without wishes is as if nothing could be asked for.

use std::ptr::with_exposed_provenance;

use crate::ops::{AmoOp, Block, Fmt, Invocation, Op, Size};

/// What a callback does with the guest's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Regs {
    /// It does not look at them.
    None,
    /// It reads them.
    Read,
    /// It may change them, the pc apart, or leave by [`crate::escape::leave`].
    Write,
}

/// What a callback may change of the host's registers, apart from those that every function keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clobbers {
    /// Integer registers, by number.
    pub ints: u16,
    /// Vector registers, by number.
    pub vectors: u16,
    /// It may depend on the floating-point environment, or change it.
    pub environment: bool,
}

impl Clobbers {
    /// Nothing.
    pub const NONE: Clobbers = Clobbers {
        ints: 0,
        vectors: 0,
        environment: false,
    };

    /// All that the calling convention (System V, x86-64) lets a function change.
    pub const ALL: Clobbers = Clobbers {
        // rax, rcx, rdx, rsi, rdi, r8-r11
        ints: 0b0000_1111_1100_0111,
        vectors: 0xffff,
        environment: true,
    };
}

/// A callback: `extern "C" fn(vcpu_index: u32, userdata: u64)` before an instruction or a block,
/// `extern "C" fn(vcpu_index: u32, info: u32, vaddr: u64, userdata: u64)` after a memory access.
///
/// It is called with the vCPU's state in [`crate::CpuState`] as far as `regs` says. It must not
/// unwind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Call {
    /// Address of the function.
    pub function: usize,
    /// Its last argument.
    pub userdata: u64,
    /// What is in [`crate::CpuState::context`] while it runs; not 0.
    pub context: u32,
    /// Whether it looks at the guest's registers.
    pub regs: Regs,
    /// What it does to the host's.
    pub clobbers: Clobbers,
}

/// Unsigned comparisons.
#[allow(missing_docs, reason = "self-evident")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub enum Test { Eq, Ne, Lt, Le, Gt, Ge }

impl Test {
    /// Whether `a test b`.
    pub fn holds(self, a: u64, b: u64) -> bool {
        match self {
            Test::Eq => a == b,
            Test::Ne => a != b,
            Test::Lt => a < b,
            Test::Le => a <= b,
            Test::Gt => a > b,
            Test::Ge => a >= b,
        }
    }
}

/// A comparison of one of the vCPU's counters with a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The comparison: `counter test value`.
    pub test: Test,
    /// Where the counter is, in bytes from the start of the vCPU's state.
    pub offset: u32,
    /// What it is compared with.
    pub value: u64,
}

/// Something to do at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Call.
    Call(Call),
    /// Call if the condition holds.
    CallIf(Condition, Call),
    /// Add to a counter, wrapping.
    Add {
        /// In bytes from the start of the vCPU's state; a multiple of 8.
        offset: u32,
        /// What is added.
        value: u64,
    },
    /// Set a counter.
    Store {
        /// In bytes from the start of the vCPU's state; a multiple of 8.
        offset: u32,
        /// Its new value.
        value: u64,
    },
}

/// A value in memory that a wish relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    /// Where it is: readable for as long as anybody has the wish.
    pub addr: usize,
    /// Its size in bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// What it has to be, extended with zeros.
    pub value: u64,
}

impl Guard {
    /// Whether it still is.
    pub fn holds(&self) -> bool {
        let at = self.addr;
        // SAFETY: readable, as whoever made the guard says; another thread may write it meanwhile.
        let now = unsafe {
            match self.size {
                1 => u64::from(with_exposed_provenance::<u8>(at).read_volatile()),
                2 => u64::from(with_exposed_provenance::<u16>(at).read_unaligned()),
                4 => u64::from(with_exposed_provenance::<u32>(at).read_unaligned()),
                _ => with_exposed_provenance::<u64>(at).read_unaligned(),
            }
        };
        now == self.value
    }
}

/// Kinds of accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rw {
    /// Loads, and the reading half of read-modify-write instructions.
    pub reads: bool,
    /// Stores, and the writing half.
    pub writes: bool,
}

/// Something to do after a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemHook {
    /// Which accesses.
    pub on: Rw,
    /// What to do.
    pub hook: Hook,
}

/// What is asked for at one instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InsnWishes {
    /// Before it.
    pub before: Vec<Hook>,
    /// After each of its memory accesses.
    pub memory: Vec<MemHook>,
}

/// What is asked for in one plain block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlainWishes {
    /// At its entry.
    pub entry: Vec<Hook>,
    /// At its instructions, by position. May be shorter than the block: nothing for the rest.
    pub insns: Vec<InsnWishes>,
    /// What all this relies on: a block that finds it changed leaves before it has done anything.
    pub guards: Vec<Guard>,
}

/// What is asked for in a superblock, by plain block. May be shorter: nothing for the rest.
pub type Wishes = Vec<PlainWishes>;

/// An instruction of a plain block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainInsn<'a> {
    /// Its address.
    pub pc: u64,
    /// Its bytes: 2 or 4.
    pub bytes: &'a [u8],
}

/// Packs what there is to know about an access besides its address: bits 0–3 log2 of its size, bit
/// 4 whether the value is sign-extended, bit 6 whether it is a store. (Bit 5 would be big-endian.)
pub fn access_info(size: Size, signed: bool, store: bool) -> u32 {
    size as u32 | u32::from(signed) << 4 | u32::from(store) << 6
}

/// Calls `f` on each plain block of a block that has not been filled: its first pc, and its
/// instructions. Blocks in which nothing could be fetched are left out.
pub fn plain_blocks<'a>(block: &'a Block, mut f: impl FnMut(u64, &[PlainInsn<'a>])) {
    let mut bytes = block.bytes.as_slice();
    let mut insns: Vec<PlainInsn<'a>> = Vec::new();
    let mut entry = block.pc;
    for op in &block.ops {
        match *op {
            Op::Point { pc, .. } => {
                if !insns.is_empty() {
                    f(entry, &insns);
                    insns.clear();
                }
                entry = pc;
            }
            Op::Insn { pc, len } if len != 0 => {
                let (own, rest) = bytes.split_at(usize::from(len));
                bytes = rest;
                insns.push(PlainInsn { pc, bytes: own });
            }
            _ => {}
        }
    }
    if !insns.is_empty() {
        f(entry, &insns);
    }
}

static NOTHING_IN_BLOCK: PlainWishes = PlainWishes {
    entry: Vec::new(),
    insns: Vec::new(),
    guards: Vec::new(),
};

static NOTHING_AT_INSN: InsnWishes = InsnWishes {
    before: Vec::new(),
    memory: Vec::new(),
};

/// Whether a wish changes registers: then the block must have been translated without folding
/// ([`crate::frontend::Limits::fold`]).
pub fn changes_registers(wishes: &[PlainWishes]) -> bool {
    let changes = |hook: &Hook| match hook {
        Hook::Call(call) | Hook::CallIf(_, call) => call.regs == Regs::Write,
        Hook::Add { .. } | Hook::Store { .. } => false,
    };
    wishes.iter().any(|plain| {
        plain.entry.iter().any(changes)
            || plain.insns.iter().any(|insn| {
                insn.before.iter().any(changes) || insn.memory.iter().any(|m| changes(&m.hook))
            })
    })
}

/// Puts what is asked for into the points of `block`, and removes the points. `begun` says that the
/// block's first instruction is one whose hooks have been run already, apart from those of its
/// accesses: they are left out, and so are those of the block's entry.
pub fn fill(block: &mut Block, wishes: &[PlainWishes], begun: bool) {
    if wishes.iter().all(PlainWishes::is_empty) {
        block.ops.retain(|op| !matches!(op, Op::Point { .. }));
        return;
    }
    block.instrumented = true;
    let plain = std::mem::take(&mut block.ops);
    block.ops.reserve(2 * plain.len());
    for guard in wishes.iter().flat_map(|plain| &plain.guards) {
        // What has begun was looked at when the wishes were made, just now.
        if !begun && !block.guards.contains(guard) {
            block.ops.push(Op::Guard(block.guards.len() as u16));
            block.guards.push(*guard);
        }
    }
    let mut plain_blocks = wishes.iter();
    let mut filler = Filler { block, insns: &[] };
    let mut entry: &[Hook] = &[];
    let mut here = &NOTHING_AT_INSN;
    let mut skip = begun;
    // A hook of an access, or of the instruction at hand, may have written the rounding mode.
    let mut writes = false;
    for op in plain {
        match op {
            Op::Point { .. } => {
                let wishes = plain_blocks.next().unwrap_or(&NOTHING_IN_BLOCK);
                (entry, filler.insns) = (&wishes.entry, &wishes.insns);
            }
            // Where nothing could be fetched there is no instruction.
            Op::Insn { len: 0, .. } => filler.block.ops.push(op),
            Op::Insn { .. } => {
                filler.block.ops.push(op);
                here = filler.next_insn();
                if !std::mem::take(&mut skip) {
                    filler.hooks(entry, Invocation::EXECUTION);
                    filler.hooks(&here.before, Invocation::EXECUTION);
                    writes |= entry.iter().chain(&here.before).any(Hook::writes_registers);
                }
                entry = &[];
                if std::mem::take(&mut writes) {
                    filler.block.ops.push(Op::Rounding);
                }
            }
            _ if here.memory.is_empty() => filler.block.ops.push(op),
            _ => {
                filler.access(op, &here.memory);
                let mut hooks = here.memory.iter().map(|wish| &wish.hook);
                writes |= hooks.any(Hook::writes_registers);
            }
        }
    }
}

impl Hook {
    /// Whether it may change what the guest finds in its registers.
    fn writes_registers(&self) -> bool {
        match self {
            Hook::Call(call) | Hook::CallIf(_, call) => call.regs == Regs::Write,
            _ => false,
        }
    }
}

impl PlainWishes {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.entry.is_empty() && self.insns.iter().all(InsnWishes::is_empty)
    }
}

impl InsnWishes {
    fn is_empty(&self) -> bool {
        self.before.is_empty() && self.memory.is_empty()
    }
}

struct Filler<'a> {
    block: &'a mut Block,
    /// Of the plain block at hand, from its next instruction on.
    insns: &'a [InsnWishes],
}

impl<'a> Filler<'a> {
    fn next_insn(&mut self) -> &'a InsnWishes {
        match self.insns.split_first() {
            Some((first, rest)) => {
                self.insns = rest;
                first
            }
            None => &NOTHING_AT_INSN,
        }
    }

    fn hooks(&mut self, hooks: &[Hook], info: u32) {
        for hook in hooks {
            self.hook(hook, info);
        }
    }

    fn hook(&mut self, hook: &Hook, info: u32) {
        let op = match *hook {
            Hook::Call(call) => self.call(call, None, info),
            Hook::CallIf(condition, call) => self.call(call, Some(condition), info),
            Hook::Add { offset, value } => Op::Count {
                offset,
                value: value as i64,
            },
            Hook::Store { offset, value } => Op::SetCount {
                offset,
                value: value as i64,
            },
        };
        self.block.ops.push(op);
    }

    fn call(&mut self, call: Call, condition: Option<Condition>, info: u32) -> Op {
        let index = self.block.calls.len() as u16;
        self.block.calls.push(Invocation {
            call,
            info,
            condition,
        });
        Op::Call {
            call: index,
            regs: call.regs,
        }
    }

    /// An op that may be an access, and the hooks of it.
    fn access(&mut self, op: Op, hooks: &[MemHook]) {
        let signed = |size: Size| size == Size::B4;
        let float = |fmt: Fmt| match fmt {
            Fmt::S => Size::B4,
            Fmt::D => Size::B8,
        };
        match op {
            Op::Load {
                rd,
                addr,
                size,
                signed,
            } => {
                let info = access_info(size, signed, false);
                if rd.is_zero() {
                    return self.watched(op, &[(info, false)], hooks);
                }
                self.noted(
                    op,
                    Op::NoteAddr { addr },
                    Op::NoteLoaded { a: rd },
                    info,
                    hooks,
                );
            }
            Op::FLoad { fd, addr, fmt } => {
                let info = access_info(float(fmt), false, false);
                self.noted(
                    op,
                    Op::NoteAddr { addr },
                    Op::NoteFLoaded { a: fd },
                    info,
                    hooks,
                );
            }
            Op::Store { rs, addr, size } => {
                let info = access_info(size, false, true);
                self.noted(
                    op,
                    Op::NoteAddr { addr },
                    Op::NoteStored { a: rs },
                    info,
                    hooks,
                );
            }
            Op::FStore { fs, addr, fmt } => {
                let info = access_info(float(fmt), false, true);
                self.noted(
                    op,
                    Op::NoteAddr { addr },
                    Op::NoteFStored { a: fs },
                    info,
                    hooks,
                );
            }
            Op::Lr { size, .. } => {
                let info = access_info(size, signed(size), false);
                self.watched(op, &[(info, false)], hooks);
            }
            Op::Amo { size, op: amo, .. } => {
                let signed = signed(size) && !matches!(amo, AmoOp::Minu | AmoOp::Maxu);
                let (load, store) = (
                    access_info(size, signed, false),
                    access_info(size, false, true),
                );
                self.watched(op, &[(load, false), (store, true)], hooks);
            }
            Op::Sc { size, .. } => {
                let (load, store) = (
                    access_info(size, false, false),
                    access_info(size, false, true),
                );
                self.watched(op, &[(load, false), (store, true)], hooks);
            }
            _ => self.block.ops.push(op),
        }
    }

    /// An access whose address and value are in registers.
    fn noted(&mut self, op: Op, addr: Op, value: Op, info: u32, hooks: &[MemHook]) {
        let store = info & access_info(Size::B1, false, true) != 0;
        let wanted = |hook: &&MemHook| hook.on.includes(store);
        let calls = hooks.iter().filter(wanted).any(|hook| hook.hook.is_call());
        if calls {
            self.block.ops.push(addr);
        }
        self.block.ops.push(op);
        if calls {
            self.block.ops.push(value);
        }
        for hook in hooks.iter().filter(wanted) {
            self.hook(&hook.hook, info);
        }
    }

    /// An access that the interpreter makes.
    fn watched(&mut self, op: Op, halves: &[(u32, bool)], hooks: &[MemHook]) {
        let wanted = |store: bool| hooks.iter().filter(move |hook| hook.on.includes(store));
        let count: usize = halves.iter().map(|&(_, store)| wanted(store).count()).sum();
        if count == 0 {
            self.block.ops.push(op);
            return;
        }
        self.block
            .ops
            .push(Op::Watched(self.block.watched.len() as u16));
        self.block.watched.push(op);
        if matches!(op, Op::Sc { .. }) {
            self.block.ops.push(Op::UnlessDone { ops: count as u16 });
        }
        for &(info, store) in halves {
            for hook in wanted(store) {
                self.hook(&hook.hook, info);
            }
        }
    }
}

impl Rw {
    fn includes(self, store: bool) -> bool {
        match store {
            false => self.reads,
            true => self.writes,
        }
    }
}

impl Hook {
    fn is_call(&self) -> bool {
        matches!(self, Hook::Call(_) | Hook::CallIf(..))
    }
}
