//! The architectural and run-time state of one vCPU, laid out for generated code.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::lanes::Lanes;
use crate::mem::{Access, Cause, Fault};
use crate::tlb::{PAGE_SIZE, TlbView};

/// Entries of one of a vCPU's own jump caches; a power of two.
pub const JUMP_CACHE_ENTRIES: usize = 4096;

/// Jump caches of a vCPU: one for each privilege, with floating point and without, so that what changes
/// with every trap leaves them as they are. Programs use but the first.
const JUMP_CACHES: usize = 6;

/// MXCSR with every exception masked, round to nearest, no flags.
pub const MXCSR_DEFAULT: u32 = 0x1f80;

/// The exceptions that are masked in MXCSR if others than the accrued ones are to trap. RISC-V has
/// no denormal exception: it is masked always.
const MASKS_OF_FFLAGS: [u16; 32] = {
    let mut masks = [0; 32];
    let mut fflags = 0;
    while fflags < masks.len() {
        let f = fflags as u16;
        masks[fflags] =
            1 << 8 | (f & 1) << 12 | (f & 2) << 10 | (f & 4) << 8 | (f & 8) << 6 | (f & 16) << 3;
        fflags += 1;
    }
    masks
};

/// One entry of the jump cache: where the host code for a guest pc begins.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct JumpEntry {
    /// Guest pc; of an empty entry, one that belongs to another entry.
    pub pc: u64,
    /// Host address of the block's indirect entry.
    pub code: u64,
}

impl JumpEntry {
    /// What is in entry `index` when it is empty: a pc, odd or even, that is looked for here never
    /// has these index bits. All zero where possible, so that a new table takes no memory yet.
    fn empty(index: usize) -> JumpEntry {
        let pc = if index == 0 { 1 << 1 } else { 0 };
        JumpEntry { pc, code: 0 }
    }
}

/// The static part of the execution state that blocks are specialised for: part of a block's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Mode(pub u32);

impl Mode {
    const FP_TRAPS: u32 = 8;
    const MACHINE: u32 = 16;
    const PRIVILEGE_SHIFT: u32 = 5;
    const FP_OFF: u32 = 128;
    const NO_CBO_ZERO: u32 = 256;
    const NO_CBO_CLEAN: u32 = 512;
    const NO_CBO_INVAL: u32 = 1024;

    /// The mode for a value of `frm` (0–7), with flags collected by MXCSR.
    pub fn from_frm(frm: u8) -> Mode {
        Mode(u32::from(frm & 7))
    }

    /// The same with flags collected by host traps: see [`CpuState::set_fp_traps`].
    pub fn with_fp_traps(self) -> Mode {
        Mode(self.0 | Mode::FP_TRAPS)
    }

    /// The `frm` field (0–7; 5–7 are reserved: instructions that use it are illegal).
    pub fn frm(self) -> u8 {
        (self.0 & 7) as u8
    }

    /// Whether raising a flag that has not accrued yet traps.
    pub fn fp_traps(self) -> bool {
        self.0 & Mode::FP_TRAPS != 0
    }

    /// The same on a machine's hart: see [`CpuState::become_hart`].
    pub fn on_hart(self, privilege: Privilege, fp_off: bool) -> Mode {
        let fp = if fp_off { Mode::FP_OFF } else { 0 };
        Mode(self.0 | Mode::MACHINE | (privilege as u32) << Mode::PRIVILEGE_SHIFT | fp)
    }

    /// The same where some cache-block instructions are illegal.
    pub fn without(self, illegal: CacheBlockOps) -> Mode {
        let bit = |illegal, bit| if illegal { bit } else { 0 };
        let zero = bit(illegal.zero, Mode::NO_CBO_ZERO);
        let clean = bit(illegal.clean, Mode::NO_CBO_CLEAN);
        let inval = bit(illegal.inval, Mode::NO_CBO_INVAL);
        Mode(self.0 | zero | clean | inval)
    }

    /// The cache-block instructions that are illegal.
    #[inline]
    pub fn illegal_cache_blocks(self) -> CacheBlockOps {
        CacheBlockOps {
            zero: self.0 & Mode::NO_CBO_ZERO != 0,
            clean: self.0 & Mode::NO_CBO_CLEAN != 0,
            inval: self.0 & Mode::NO_CBO_INVAL != 0,
        }
    }

    /// Whether this is a machine's hart: addresses are translated, and code may be mapped elsewhere
    /// at any moment but within its page.
    #[inline]
    pub fn is_hart(self) -> bool {
        self.0 & Mode::MACHINE != 0
    }

    /// Whether floating-point instructions are for the run loop ([`crate::ops::Trap::Float`]).
    #[inline]
    pub fn fp_off(self) -> bool {
        self.0 & Mode::FP_OFF != 0
    }

    /// Whether a jump from the page of `pc` to `target` has to look where that leads: its page may be
    /// another one the next time. (So may the second page of an instruction that straddles two.)
    #[inline]
    pub fn is_far(self, pc: u64, target: u64) -> bool {
        self.is_hart() && (pc ^ target >= PAGE_SIZE || target % PAGE_SIZE == PAGE_SIZE - 2)
    }

    /// Which jump cache blocks of this mode use.
    #[inline]
    pub(crate) fn jump_cache(self) -> usize {
        let privilege = (self.0 >> Mode::PRIVILEGE_SHIFT & 3).min(2) as usize;
        2 * privilege + usize::from(self.fp_off())
    }
}

/// A hart's privilege, numbered as in the privileged architecture.
#[allow(missing_docs, reason = "self-evident")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Privilege {
    #[default]
    User = 0,
    Supervisor = 1,
    Machine = 3,
}

/// Some of the cache-block instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheBlockOps {
    /// `cbo.zero`.
    pub zero: bool,
    /// `cbo.clean` and `cbo.flush`.
    pub clean: bool,
    /// `cbo.inval`.
    pub inval: bool,
}

/// Counters and scratch that plugins' inline operations reach by a fixed offset.
pub const VCPU_COUNTERS: usize = 8;

/// Constants that generated code reads off the state register.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct Consts {
    /// Everything but the sign of a double.
    pub abs_d: [u64; 2],
    /// The sign of a double.
    pub sign_d: [u64; 2],
    /// Everything but the sign of a boxed single.
    pub abs_s: [u64; 2],
    /// The sign of a single.
    pub sign_s: [u64; 2],
    /// The box of a single: upper half ones.
    pub box_s: [u64; 2],
    /// Canonical NaN, double.
    pub nan_d: u64,
    /// Canonical NaN, boxed single.
    pub nan_s: u64,
    /// 2^32, 2^63 and -1 as doubles: bounds of conversions.
    pub two32_d: u64,
    /// See above.
    pub two63_d: u64,
    /// See above.
    pub minus1_d: u64,
    /// The same bounds as singles.
    pub two32_s: u32,
    /// See above.
    pub two63_s: u32,
    /// See above.
    pub minus1_s: u32,
    /// An infinity shifted left by one: the largest non-NaN in that form.
    pub inf2_s: u32,
    /// The same for doubles.
    pub inf2_d: u64,
    /// RISC-V `fflags` for the six flag bits of MXCSR.
    pub flags_of_mxcsr: [u8; 64],
}

impl Consts {
    /// The values.
    pub const VALUES: Consts = Consts {
        abs_d: [0x7fff_ffff_ffff_ffff; 2],
        sign_d: [0x8000_0000_0000_0000; 2],
        abs_s: [0xffff_ffff_7fff_ffff; 2],
        sign_s: [0x8000_0000, 0],
        box_s: [0xffff_ffff_0000_0000, 0],
        nan_d: 0x7ff8_0000_0000_0000,
        nan_s: 0xffff_ffff_7fc0_0000,
        two32_d: 0x41f0_0000_0000_0000,
        two63_d: 0x43e0_0000_0000_0000,
        minus1_d: 0xbff0_0000_0000_0000,
        two32_s: 0x4f80_0000,
        two63_s: 0x5f00_0000,
        minus1_s: 0xbf80_0000,
        inf2_s: 0xff00_0000,
        inf2_d: 0xffe0_0000_0000_0000,
        flags_of_mxcsr: Consts::flag_table(),
    };

    /// MXCSR has invalid 0, denormal 1 (RISC-V has none), zero-divide 2, overflow 3, underflow 4
    /// and precision 5; `fflags` has NX 0, UF 1, OF 2, DZ 3 and NV 4.
    const fn flag_table() -> [u8; 64] {
        let mut table = [0; 64];
        let mut bits = 0;
        while bits < 64 {
            let b = bits as u8;
            table[bits] =
                (b & 1) << 4 | (b >> 2 & 1) << 3 | (b >> 3 & 1) << 2 | (b >> 4 & 1) << 1 | b >> 5;
            bits += 1;
        }
        table
    }
}

/// The memory access that hooks of it are about.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Accessed {
    /// Guest address of its first byte.
    pub addr: u64,
    /// What was read: as many low bytes count as the access has, the others are undefined.
    pub loaded: [u64; 2],
    /// What was written, likewise.
    pub stored: [u64; 2],
    /// 0 if a conditional store was not even tried: then there was no access.
    pub done: u32,
    /// 1 if the op that generated code hands over next is watched.
    pub(crate) watch: u32,
}

/// State of one vCPU. Generated code addresses every field off one host register.
///
/// While generated code runs, pinned registers and (without [`CpuState::set_fp_traps`]) the
/// floating-point flags live in the host's registers; everywhere else this struct is the truth. Only the owning thread touches it, apart
/// from `request`, which anybody may set.
#[repr(C, align(64))]
pub struct CpuState {
    /// Integer registers; `x[0]` stays 0.
    pub x: [u64; 32],
    /// The pending-request word: generated code leaves at its next poll when it is not 0.
    pub request: AtomicU32,
    /// Accrued floating-point exceptions (NX 1, UF 2, OF 4, DZ 8, NV 16). Complete whenever
    /// generated code is not running, and with [`CpuState::set_fp_traps`] always.
    pub fflags: u32,
    /// Guest pc: exact whenever generated code is not running.
    pub pc: u64,
    /// Host MXCSR value that generated code runs with: see [`CpuState::update_mxcsr`].
    pub mxcsr: u32,
    /// The dynamic rounding mode, `frm`, 0–7.
    pub frm: u32,
    /// Address of the LR reservation; `u64::MAX` when there is none.
    pub res_addr: u64,
    /// The value that LR loaded (zero-extended).
    pub res_value: u64,
    /// Host code address of the block that was left through an exit.
    pub exit_block: u64,
    /// Address of the last fault: a guest address after a helper's fault, a host address after a
    /// host signal.
    pub fault_addr: u64,
    /// What a helper's faulting access wanted, and why it failed: see [`CpuState::set_fault`].
    fault_kind: u32,
    /// 1 if raising a flag that is not in `fflags` yet traps on the host: see
    /// [`CpuState::set_fp_traps`].
    pub(crate) fp_traps: u32,
    /// Host stack pointer of the run loop while generated code runs.
    pub host_rsp: u64,
    /// Whether there may be anything in each jump cache.
    jump_cache_used: [bool; JUMP_CACHES],
    /// What a hart's mode has besides a program's: see [`Mode::on_hart`].
    hart_mode: u32,
    /// The translation of addresses in force on a hart.
    pub tlb: TlbView,
    /// Host MXCSR of the run loop while generated code runs.
    pub host_mxcsr: u32,
    /// Scratch of generated code, for reading MXCSR.
    pub mxcsr_now: u32,
    /// Host address of guest address 0 (user mode).
    pub guest_base: u64,
    /// Addresses of the common stubs, so that blocks are position independent.
    pub stubs: [u64; 8],
    /// 64-bit counters for inline operations.
    pub counters: [u64; VCPU_COUNTERS],
    /// The vCPU's number, for instrumentation.
    pub vcpu_index: u32,
    /// Whose callback generated code calls, or called last: see [`crate::hooks::Call::context`].
    pub context: u32,
    /// What callbacks of a memory access may ask for.
    pub access: Accessed,
    /// Which counters generated code keeps in lanes: those of the instrumentation set whose blocks run;
    /// null for none. Set while generated code is not running.
    pub lanes: *const Lanes,
    /// Stands for no counter.
    pub(crate) lane_sink: u64,
    /// Stack pointer of the innermost [`crate::escape::catch`]; 0 outside.
    pub(crate) escape: u64,
    /// Constants.
    pub consts: Consts,
    /// Floating-point registers, singles NaN-boxed.
    pub f: [u64; 32],
    /// By mode. Direct-mapped: pc bits 1–12 choose the entry.
    pub jump_caches: [[JumpEntry; JUMP_CACHE_ENTRIES]; JUMP_CACHES],
}

// SAFETY: `lanes` points to an atomic and `tlb` to a table of the vCPU's own; whoever set them keeps
// them alive.
unsafe impl Send for CpuState {}

impl CpuState {
    /// A zeroed state with an empty jump cache, on the heap (it is large).
    pub fn new() -> Box<CpuState> {
        let mut state: Box<std::mem::MaybeUninit<CpuState>> = Box::new_zeroed();
        // SAFETY: zeroed memory for a state.
        unsafe {
            CpuState::init_zeroed(state.as_mut_ptr());
            state.assume_init()
        }
    }

    /// Makes a state out of zeroed memory, touching no more of it than it must.
    ///
    /// # Safety
    ///
    /// `state` points to zeroed memory for a state, which nobody else uses.
    pub unsafe fn init_zeroed(state: *mut CpuState) {
        // SAFETY: every field is an integer, an array of integers, a bool, a pointer or an atomic
        // integer, for all of which zero is a valid value.
        let state = unsafe { &mut *state };
        state.mxcsr = MXCSR_DEFAULT;
        state.consts = Consts::VALUES;
        state.res_addr = u64::MAX;
        state.jump_caches[0][0] = JumpEntry::empty(0);
    }

    /// The vCPU is a hart of a machine from now on: its addresses go through [`CpuState::tlb`], its
    /// code may be mapped elsewhere, and it begins in machine mode without floating point.
    pub fn become_hart(&mut self) {
        for cache in &mut self.jump_caches {
            cache[0] = JumpEntry::empty(0);
        }
        self.set_hart_mode(Privilege::Machine, true, CacheBlockOps::default());
    }

    /// A hart's privilege; a program runs in user mode.
    pub fn privilege(&self) -> Privilege {
        match self.hart_mode >> Mode::PRIVILEGE_SHIFT & 3 {
            0 => Privilege::User,
            1 => Privilege::Supervisor,
            _ => Privilege::Machine,
        }
    }

    /// Sets a hart's privilege, whether its floating-point instructions are for the run loop, and which
    /// cache-block instructions are illegal. Who changes the last without the first clears the jump
    /// cache, which tells the others apart.
    #[inline]
    pub fn set_hart_mode(&mut self, privilege: Privilege, fp_off: bool, illegal: CacheBlockOps) {
        let mode = Mode::default().on_hart(privilege, fp_off);
        self.hart_mode = mode.without(illegal).0;
    }

    /// Forgets every jump target.
    pub fn clear_jump_cache(&mut self) {
        for cache in 0..JUMP_CACHES {
            self.clear_one_jump_cache(cache);
        }
    }

    /// Forgets the jump targets of a hart at one privilege.
    pub fn clear_jump_cache_of(&mut self, privilege: Privilege) {
        for fp_off in [false, true] {
            let mode = Mode::default().on_hart(privilege, fp_off);
            self.clear_one_jump_cache(mode.jump_cache());
        }
    }

    fn clear_one_jump_cache(&mut self, cache: usize) {
        if !std::mem::take(&mut self.jump_cache_used[cache]) {
            return;
        }
        for (index, entry) in self.jump_caches[cache].iter_mut().enumerate() {
            // Not to write to memory that has never been used.
            if entry.code != 0 {
                *entry = JumpEntry::empty(index);
            }
        }
    }

    /// Where generated code is left from a callback.
    pub(crate) fn escape_stub(&self) -> u64 {
        self.stubs[crate::x86::STUB_ESCAPE]
    }

    /// The entry that generated code looks at for `pc`.
    #[inline]
    pub fn jump_entry(&mut self, pc: u64) -> &mut JumpEntry {
        let cache = self.mode().jump_cache();
        self.jump_cache_used[cache] = true;
        &mut self.jump_caches[cache][(pc >> 1) as usize & (JUMP_CACHE_ENTRIES - 1)]
    }

    /// The mode blocks must have been translated for to run on this state.
    #[inline]
    pub fn mode(&self) -> Mode {
        let mode = Mode(Mode::from_frm(self.frm as u8).0 | self.hart_mode);
        match self.fp_traps {
            0 => mode,
            _ => mode.with_fp_traps(),
        }
    }

    /// Whether flags are collected by host traps: see [`CpuState::set_fp_traps`].
    pub fn fp_traps(&self) -> bool {
        self.fp_traps != 0
    }

    /// Chooses how generated code collects floating-point flags.
    ///
    /// * By traps: exceptions are masked on the host only if their flag has accrued. An instruction
    ///   that raises another one takes SIGFPE before it has done anything, and is to be run by the
    ///   interpreter. So each flag traps once, and `fflags` is always complete.
    /// * By MXCSR, the default: no exception traps, and whoever wants to know the flags has to wait
    ///   until the host's pipeline is empty.
    pub fn set_fp_traps(&mut self, traps: bool) {
        if traps == self.fp_traps() {
            return;
        }
        self.fp_traps = traps.into();
        self.update_mxcsr();
        self.clear_jump_cache();
    }

    /// Makes `mxcsr` agree with `frm`, `fflags` and the way flags are collected. Whoever lets
    /// generated code run after a change to them calls this.
    #[inline]
    pub fn update_mxcsr(&mut self) {
        // MXCSR.RC: 0 nearest, 1 down, 2 up, 3 zero. Modes that SSE lacks run in helpers.
        let rc = match self.frm {
            1 => 3,
            2 => 1,
            3 => 2,
            _ => 0,
        };
        let masks = match self.fp_traps {
            0 => MXCSR_DEFAULT,
            _ => u32::from(MASKS_OF_FFLAGS[(self.fflags & 0x1f) as usize]),
        };
        self.mxcsr = masks | rc << 13;
    }

    /// Sets `frm` (0–7) and the host rounding mode that goes with it.
    /// Blocks of another mode may be in the jump cache: it is emptied when the mode changes.
    pub fn set_frm(&mut self, frm: u8) {
        let frm = u32::from(frm & 7);
        if frm == self.frm {
            return;
        }
        self.frm = frm;
        self.update_mxcsr();
        self.clear_jump_cache();
    }

    /// Reads an integer register.
    #[inline]
    pub fn get(&self, r: crate::Reg) -> u64 {
        self.x[r.index()]
    }

    /// Writes an integer register; writes to `x0` are dropped.
    #[inline]
    pub fn set(&mut self, r: crate::Reg, value: u64) {
        if !r.is_zero() {
            self.x[r.index()] = value;
        }
    }

    /// Notes the fault of a helper's access.
    pub fn set_fault(&mut self, fault: Fault) {
        self.fault_addr = fault.addr;
        self.fault_kind = fault.access as u32 | (fault.cause as u32) << 8;
    }

    /// The fault of a helper's access (see [`CpuState::set_fault`]).
    pub fn fault(&self) -> Fault {
        let access = match self.fault_kind & 0xff {
            0 => Access::Fetch,
            1 => Access::Load,
            _ => Access::Store,
        };
        let cause = match self.fault_kind >> 8 {
            0 => Cause::Page,
            1 => Cause::Misaligned,
            _ => Cause::Bus,
        };
        Fault {
            addr: self.fault_addr,
            access,
            cause,
        }
    }

    /// Whether a request is pending.
    #[inline]
    pub fn request_pending(&self) -> bool {
        self.request.load(Ordering::Relaxed) != 0
    }
}
