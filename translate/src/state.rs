//! The architectural and run-time state of one vCPU, laid out for generated code.

use std::sync::atomic::{AtomicU32, Ordering};

/// Entries of a vCPU's own jump cache; a power of two.
pub const JUMP_CACHE_ENTRIES: usize = 4096;

/// One entry of the jump cache: where the host code for a guest pc begins.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct JumpEntry {
    /// Guest pc; [`JumpEntry::NO_PC`] if the entry is empty.
    pub pc: u64,
    /// Host address of the block's indirect entry.
    pub code: u64,
}

impl JumpEntry {
    /// No instruction has an odd address.
    pub const NO_PC: u64 = 1;
    /// Matches no pc.
    pub const EMPTY: JumpEntry = JumpEntry {
        pc: JumpEntry::NO_PC,
        code: 0,
    };
}

/// The static part of the execution state that blocks are specialised for: part of a block's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Mode(pub u32);

impl Mode {
    /// The mode for a value of `frm` (0–7).
    pub fn from_frm(frm: u8) -> Mode {
        Mode(u32::from(frm & 7))
    }

    /// The `frm` field (0–7; 5–7 are reserved: instructions that use it are illegal).
    pub fn frm(self) -> u8 {
        (self.0 & 7) as u8
    }
}

/// Counters and scratch that plugins' inline operations reach by a fixed offset.
pub const VCPU_COUNTERS: usize = 8;

/// State of one vCPU. Generated code addresses every field off one host register.
///
/// While generated code runs, pinned registers and the floating-point flags live in the host's
/// registers; everywhere else this struct is the truth. Only the owning thread touches it, apart
/// from `request`, which anybody may set.
#[repr(C, align(64))]
pub struct CpuState {
    /// Integer registers; `x[0]` stays 0.
    pub x: [u64; 32],
    /// The pending-request word: generated code leaves at its next poll when it is not 0.
    pub request: AtomicU32,
    /// Accrued floating-point exceptions (NX 1, UF 2, OF 4, DZ 8, NV 16). Complete whenever
    /// generated code is not running.
    pub fflags: u32,
    /// Guest pc: exact whenever generated code is not running.
    pub pc: u64,
    /// Host MXCSR value that generated code runs with (its flag bits are scratch).
    pub mxcsr: u32,
    /// The dynamic rounding mode, `frm`, 0–7.
    pub frm: u32,
    /// Address of the LR reservation; `u64::MAX` when there is none.
    pub res_addr: u64,
    /// The value that LR loaded (zero-extended).
    pub res_value: u64,
    /// Host code address of the block that was left through an exit.
    pub exit_block: u64,
    /// Fault address, for exits by fault.
    pub fault_addr: u64,
    /// Host stack pointer of the run loop while generated code runs.
    pub host_rsp: u64,
    /// Host MXCSR of the run loop while generated code runs.
    pub host_mxcsr: u32,
    /// 1 while generated code (or a helper called from it) runs.
    pub in_code: u32,
    /// Host address of guest address 0 (user mode).
    pub guest_base: u64,
    /// Addresses of the common stubs, so that blocks are position independent.
    pub stubs: [u64; 8],
    /// 64-bit counters for inline operations.
    pub counters: [u64; VCPU_COUNTERS],
    /// Floating-point registers, singles NaN-boxed.
    pub f: [u64; 32],
    /// Direct-mapped: pc bits 1–12 choose the entry.
    pub jump_cache: [JumpEntry; JUMP_CACHE_ENTRIES],
}

impl CpuState {
    /// A zeroed state with an empty jump cache, on the heap (it is large).
    pub fn new() -> Box<CpuState> {
        // SAFETY: every field is an integer, an array of integers or an atomic integer, for all of
        // which zero is a valid value.
        let mut state: Box<CpuState> = unsafe { Box::new_zeroed().assume_init() };
        state.mxcsr = 0x1f80;
        state.res_addr = u64::MAX;
        state.clear_jump_cache();
        state
    }

    /// Forgets every jump target.
    pub fn clear_jump_cache(&mut self) {
        self.jump_cache.fill(JumpEntry::EMPTY);
    }

    /// The entry that generated code looks at for `pc`.
    #[inline]
    pub fn jump_entry(&mut self, pc: u64) -> &mut JumpEntry {
        &mut self.jump_cache[(pc >> 1) as usize & (JUMP_CACHE_ENTRIES - 1)]
    }

    /// The mode blocks must have been translated for to run on this state.
    #[inline]
    pub fn mode(&self) -> Mode {
        Mode::from_frm(self.frm as u8)
    }

    /// Sets `frm` (0–7) and the host rounding mode that goes with it.
    /// Blocks of another mode may be in the jump cache: it is emptied when the mode changes.
    pub fn set_frm(&mut self, frm: u8) {
        let frm = u32::from(frm & 7);
        if frm == self.frm {
            return;
        }
        self.frm = frm;
        // MXCSR.RC: 0 nearest, 1 down, 2 up, 3 zero. Modes that SSE lacks run in helpers.
        let rc = match frm {
            1 => 3,
            2 => 1,
            3 => 2,
            _ => 0,
        };
        self.mxcsr = 0x1f80 | rc << 13;
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

    /// Whether a request is pending.
    #[inline]
    pub fn request_pending(&self) -> bool {
        self.request.load(Ordering::Relaxed) != 0
    }
}
