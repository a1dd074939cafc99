//! The common stubs: into generated code, out of it, and from it into Rust.
//!
//! Generated code reaches them through pointers in the state, so that blocks are position
//! independent and hold no addresses.

use std::mem::offset_of;

use dynasmrt::DynasmApi;

use super::asm::{Asm, Cc, asm};
use super::call::ACCESS_ADDR;
use super::lanes;
use super::regs::{PINNED, PINNED_F, disp};
use crate::hooks::Call;
use crate::ops::{ExitId, Invocation, Op, Trap};
use crate::state::{Consts, CpuState};

/// `eax` on the way out: below, an exit's number.
const LEAVE_OTHER: u32 = 0x1_0000;
const LEAVE_POLL: u32 = LEAVE_OTHER;
const LEAVE_INDIRECT: u32 = LEAVE_OTHER + 1;
pub(super) const LEAVE_STALE: u32 = LEAVE_OTHER + 2;
const LEAVE_HOST_FAULT: u32 = LEAVE_OTHER + 3;
const LEAVE_HELPER_FAULT: u32 = LEAVE_OTHER + 4;
pub(super) const LEAVE_INTERPRET: u32 = LEAVE_OTHER + 5;
const LEAVE_ESCAPED: u32 = LEAVE_OTHER + 6;
pub(super) const LEAVE_CHANGED: u32 = LEAVE_OTHER + 7;
pub(super) const LEAVE_TRAP: u32 = LEAVE_OTHER + 0x100;

/// Indices into `CpuState::stubs`.
pub(super) const STUB_EXIT: usize = 0;
pub(super) const STUB_INDIRECT: usize = 1;
pub(super) const STUB_HELPER: usize = 2;
pub(super) const STUB_LINK: usize = 3;
pub(super) const STUB_POLL: usize = 4;
pub(super) const STUB_CALL: usize = 5;
/// Left for by [`crate::escape::leave`].
pub(crate) const STUB_ESCAPE: usize = 6;
const STUBS: usize = 7;
/// Where the helper's own address is kept.
const HELPER: usize = STUBS;

pub(super) const fn stub_disp(index: usize) -> i32 {
    disp(offset_of!(CpuState, stubs) + 8 * index)
}

/// Runs one op on the state; gives 0, or 1 if its access faulted (the fault is in the state). Keeps
/// `CpuState::mxcsr` up to date.
pub type HelperFn = unsafe extern "C" fn(*mut CpuState, *const Op) -> u32;

/// Why generated code came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Through an exit that is not linked, of the block whose code begins at `state.exit_block`;
    /// `state.pc` is the target.
    Exit(ExitId),
    /// `state.pc` was not in the jump cache.
    Indirect,
    /// A request is pending; `state.pc` is where to go on.
    Request,
    /// The block at `state.pc` was invalidated.
    Stale,
    /// The instruction at `state.pc` is one for the run loop.
    Trap(Trap),
    /// A memory access of generated code faulted at host address `state.exit_block`, or an
    /// instruction there raised a floating-point flag that traps.
    HostFault,
    /// The access of a helper called from host address `state.exit_block` faulted; `state.pc` is the
    /// instruction, the fault is in the state.
    HelperFault,
    /// The instruction at `state.pc`, of the block whose code begins at `state.exit_block`, needs the
    /// interpreter.
    Interpret,
    /// A callback has set `state.pc`.
    Escaped,
    /// What the instrumentation of the block at `state.pc` relies on has changed.
    Changed,
}

impl Leave {
    fn from_code(code: u32) -> Leave {
        const TRAPS: [Trap; 9] = [
            Trap::Ecall,
            Trap::Ebreak,
            Trap::Illegal,
            Trap::FenceI,
            Trap::Csr,
            Trap::Fetch,
            Trap::Pause,
            Trap::System,
            Trap::Float,
        ];
        match code {
            LEAVE_POLL => Leave::Request,
            LEAVE_INDIRECT => Leave::Indirect,
            LEAVE_STALE => Leave::Stale,
            LEAVE_HOST_FAULT => Leave::HostFault,
            LEAVE_HELPER_FAULT => Leave::HelperFault,
            LEAVE_INTERPRET => Leave::Interpret,
            LEAVE_ESCAPED => Leave::Escaped,
            LEAVE_CHANGED => Leave::Changed,
            code if code < LEAVE_OTHER => Leave::Exit(code as ExitId),
            code => Leave::Trap(TRAPS[(code - LEAVE_TRAP) as usize]),
        }
    }
}

/// The stubs as bytes, to be placed in executable memory at any address.
#[derive(Debug)]
pub struct StubCode {
    /// Position-independent code.
    pub bytes: Vec<u8>,
    enter: usize,
    fault: usize,
    stubs: [usize; STUBS],
}

/// The stubs at their place.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    enter: extern "C" fn(*mut CpuState, *const u8) -> u32,
    fault: *const u8,
    stubs: [u64; STUBS],
}

// SAFETY: the pointers lead to code, which nobody writes after it was placed.
unsafe impl Send for Runtime {}
// SAFETY: as above.
unsafe impl Sync for Runtime {}

const HOST_RSP: i32 = disp(offset_of!(CpuState, host_rsp));
const HOST_MXCSR: i32 = disp(offset_of!(CpuState, host_mxcsr));
pub(super) const EXIT_BLOCK: i32 = disp(offset_of!(CpuState, exit_block));
const MXCSR: i32 = disp(offset_of!(CpuState, mxcsr));
pub(super) const MXCSR_NOW: i32 = disp(offset_of!(CpuState, mxcsr_now));
pub(super) const FFLAGS: i32 = disp(offset_of!(CpuState, fflags));
const FP_TRAPS: i32 = disp(offset_of!(CpuState, fp_traps));
pub(super) const FLAG_TABLE: i32 =
    disp(offset_of!(CpuState, consts) + offset_of!(Consts, flags_of_mxcsr));

pub(super) const VCPU_INDEX: i32 = disp(offset_of!(CpuState, vcpu_index));
const CALL_FUNCTION: i32 = (offset_of!(Invocation, call) + offset_of!(Call, function)) as i32;
const CALL_USERDATA: i32 = (offset_of!(Invocation, call) + offset_of!(Call, userdata)) as i32;
const CALL_INFO: i32 = offset_of!(Invocation, info) as i32;

impl StubCode {
    /// Assembles the stubs.
    pub fn assemble() -> StubCode {
        let mut a = Asm::default();
        let enter = a.label();
        asm!(a
            ; push rbx ; push rbp ; push r12 ; push r13 ; push r14 ; push r15
            ; sub rsp, BYTE 8
            ; lea rbp, [rdi + super::regs::BIAS]
            ; mov rax, rsi
            ; mov [rbp + HOST_RSP], rsp
            ; stmxcsr [rbp + HOST_MXCSR]
        );
        load_pinned(&mut a);
        asm!(a; jmp rax);

        // A host fault: every register is as the faulting instruction left it.
        let fault = a.label();
        asm!(a; mov eax, DWORD LEAVE_HOST_FAULT as i32);
        let exit = a.label();
        save_pinned(&mut a);
        let leave = a.label();
        asm!(a
            ; mov rsp, [rbp + HOST_RSP]
            ; add rsp, BYTE 8
            ; pop r15 ; pop r14 ; pop r13 ; pop r12 ; pop rbp ; pop rbx
            ; ret
        );

        let indirect = a.label();
        asm!(a; mov eax, DWORD LEAVE_INDIRECT as i32);
        let to_exit = a.jmp();
        a.bind_to(to_exit, exit);

        let poll = a.label();
        asm!(a; mov eax, DWORD LEAVE_POLL as i32);
        let to_exit = a.jmp();
        a.bind_to(to_exit, exit);

        // Called from an exit's stub with its number and, above, how far the call is into the block.
        let link = a.label();
        asm!(a
            ; pop rcx
            ; mov [rbp + EXIT_BLOCK], rcx
            ; movzx ecx, ax
            ; shr eax, BYTE 16
            ; sub [rbp + EXIT_BLOCK], rax
            ; mov eax, ecx
        );
        let to_exit = a.jmp();
        a.bind_to(to_exit, exit);

        // Called with the op in rax. Registers go through the state, where the helper works.
        let helper = a.label();
        save_pinned(&mut a);
        asm!(a
            ; lea rdi, [rbp - super::regs::BIAS]
            ; mov rsi, rax
            ; sub rsp, BYTE 8
            ; call QWORD [rbp + stub_disp(HELPER)]
            ; add rsp, BYTE 8
            ; test eax, eax
        );
        let faulted = a.jcc(Cc::Ne);
        load_pinned(&mut a);
        asm!(a; ret);
        a.bind(faulted);
        // The state is complete already, but for what is sunk there: the return address tells.
        asm!(a
            ; mov rcx, [rsp]
            ; mov [rbp + EXIT_BLOCK], rcx
            ; mov eax, DWORD LEAVE_HELPER_FAULT as i32
        );
        let to_leave = a.jmp();
        a.bind_to(to_leave, leave);

        // Called with the call's description in rax.
        let call = a.label();
        save_pinned(&mut a);
        asm!(a
            ; mov edi, [rbp + VCPU_INDEX]
            ; mov rsi, [rax + CALL_USERDATA]
            ; mov ecx, [rax + CALL_INFO]
            ; cmp ecx, BYTE -1
        );
        let execution = a.jcc(Cc::E);
        asm!(a; xchg rsi, rcx; mov rdx, [rbp + ACCESS_ADDR]);
        a.bind(execution);
        asm!(a; sub rsp, BYTE 8; call QWORD [rax + CALL_FUNCTION]; add rsp, BYTE 8);
        load_pinned(&mut a);
        asm!(a; ret);

        let escape = a.label();
        asm!(a; mov eax, DWORD LEAVE_ESCAPED as i32);
        let to_leave = a.jmp();
        a.bind_to(to_leave, leave);

        StubCode {
            bytes: a.code,
            enter,
            fault,
            stubs: [exit, indirect, helper, link, poll, call, escape],
        }
    }

    /// The stubs, placed at `base`.
    ///
    /// # Safety
    /// `bytes` must be at `base`, executable, and stay there as long as the result is used.
    pub unsafe fn placed_at(&self, base: *const u8) -> Runtime {
        let at = |offset: usize| base.wrapping_add(offset);
        Runtime {
            // SAFETY: the caller placed the code; its signature is the stub's contract.
            enter: unsafe {
                std::mem::transmute::<*const u8, extern "C" fn(*mut CpuState, *const u8) -> u32>(
                    at(self.enter),
                )
            },
            fault: at(self.fault),
            stubs: self.stubs.map(|s| at(s) as u64),
        }
    }
}

impl Runtime {
    /// Makes generated code run on `state` find the stubs and the helper.
    pub fn install(&self, state: &mut CpuState, helper: HelperFn) {
        state.stubs[..STUBS].copy_from_slice(&self.stubs);
        state.stubs[HELPER] = helper as usize as u64;
    }

    /// Runs generated code until it leaves.
    ///
    /// # Safety
    /// `state` must be this thread's, with these stubs installed; `code` must be the entry of a
    /// block for the state's mode that cannot be freed before this returns; the `gs` base must be
    /// the guest's.
    #[inline]
    pub unsafe fn enter(&self, state: *mut CpuState, code: *const u8) -> Leave {
        // SAFETY: this thread's, by the caller's promise.
        unsafe { (*state).update_mxcsr() };
        Leave::from_code((self.enter)(state, code))
    }

    /// Where a signal handler sends a faulting block.
    pub fn fault_stub(&self) -> *const u8 {
        self.fault
    }
}

/// Pinned registers and the rounding mode, from the state; empty lanes.
fn load_pinned(a: &mut Asm) {
    asm!(a; ldmxcsr [rbp + MXCSR]);
    lanes::clear(a);
    for (guest, host) in PINNED_F {
        let m = disp(offset_of!(CpuState, f) + 8 * usize::from(guest));
        asm!(a; vmovsd Rx(host), QWORD [rbp + m]);
    }
    for (guest, host) in PINNED {
        let m = disp(offset_of!(CpuState, x) + 8 * usize::from(guest));
        asm!(a; mov Rq(host), [rbp + m]);
    }
}

/// Pinned registers, lanes and accrued flags, to the state; keeps rax. Then the host's own MXCSR.
fn save_pinned(a: &mut Asm) {
    for (guest, host) in PINNED {
        let m = disp(offset_of!(CpuState, x) + 8 * usize::from(guest));
        asm!(a; mov [rbp + m], Rq(host));
    }
    for (guest, host) in PINNED_F {
        let m = disp(offset_of!(CpuState, f) + 8 * usize::from(guest));
        asm!(a; vmovsd QWORD [rbp + m], Rx(host));
    }
    lanes::flush(a);
    // Where flags trap, all that MXCSR may have collected has accrued already.
    a.cmp_zero_far(FP_TRAPS);
    let complete = a.jcc(Cc::Ne);
    asm!(a
        ; stmxcsr [rbp + MXCSR_NOW]
        ; mov ecx, [rbp + MXCSR_NOW]
        ; and ecx, BYTE 0x3f
        ; movzx ecx, BYTE [rbp + rcx + FLAG_TABLE]
        ; or [rbp + FFLAGS], ecx
    );
    a.bind(complete);
    asm!(a; ldmxcsr [rbp + HOST_MXCSR]);
}
