//! The way out of a callback that will not return: instrumentation that sets the guest's pc.
//!
//! A callback that Rust calls runs inside [`catch`], and [`leave`] goes back there. One that
//! generated code calls has no `catch` of its own: `leave` goes back to the run loop, as any other
//! way out of generated code does. Frames in between are given up without being unwound: plugins'
//! frames, and our own that hold nothing with a destructor.

use std::ffi::c_void;

use crate::CpuState;

/// How [`catch`] ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// The closure returned.
    Returned,
    /// A callback in it left; `state.pc` is where the guest goes on.
    Left,
}

/// Calls `f`, out of which [`leave`] may be called with the same state. `f` must own nothing with a
/// destructor while it calls what may leave.
///
/// # Safety
///
/// The state is the calling thread's vCPU's, and lives.
pub unsafe fn catch<F: FnMut()>(state: *mut CpuState, mut f: F) -> Escape {
    extern "C" fn run<F: FnMut()>(f: *mut c_void) {
        // SAFETY: `catch` passes its closure, which lives until `enter` has returned.
        unsafe { (*f.cast::<F>())() }
    }
    // SAFETY: the caller's state, which lives; only this thread uses the field.
    let slot = unsafe { &raw mut (*state).escape };
    // SAFETY: as above.
    let before = unsafe { slot.read() };
    // SAFETY: `run` fits the closure; the slot is good until the call is over.
    let left = unsafe { enter(run::<F>, (&raw mut f).cast(), slot) };
    // SAFETY: as above.
    unsafe { slot.write(before) };
    match left {
        0 => Escape::Returned,
        _ => Escape::Left,
    }
}

/// Goes back to the innermost [`catch`] of `state`, or out of generated code.
///
/// # Safety
///
/// The calling thread is in a callback of the vCPU whose state this is: inside `catch`, or called
/// by generated code after a [`crate::hooks::Call`] with [`crate::hooks::Regs::Write`]. No frame in
/// between holds anything that must be dropped. `state.pc` is where the guest goes on.
pub unsafe fn leave(state: *mut CpuState) -> ! {
    // SAFETY: by the caller's promise the state is the running vCPU's.
    unsafe {
        match (*state).escape {
            0 => leave_generated_code(state, (*state).escape_stub()),
            frame => resume(frame),
        }
    }
}

/// Saves what a function keeps, notes the frame in `slot`, calls `f(data)`, and gives 0; or 1 if
/// [`resume`] came instead.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn enter(
    f: extern "C" fn(*mut c_void),
    data: *mut c_void,
    slot: *mut u64,
) -> u32 {
    std::arch::naked_asm!(
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "mov [rdx], rsp",
        "mov rax, rdi",
        "mov rdi, rsi",
        "call rax",
        "xor eax, eax",
        "jmp {}",
        sym restore,
    )
}

/// Returns 1 from the [`enter`] whose frame this is.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn resume(frame: u64) -> ! {
    std::arch::naked_asm!(
        "mov rsp, rdi",
        "mov eax, 1",
        "jmp {}",
        sym restore,
    )
}

/// The end of [`enter`]: gives `eax`.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn restore() {
    std::arch::naked_asm!(
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
    )
}

/// Goes to a stub of generated code, with the state register as it expects it.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn leave_generated_code(state: *mut CpuState, stub: u64) -> ! {
    std::arch::naked_asm!("lea rbp, [rdi + {bias}]", "jmp rsi", bias = const crate::x86::BIAS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_that_leaves_comes_back_at_its_catch() {
        let mut state = CpuState::new();
        let state = &raw mut *state;
        let mut steps = Vec::new();
        let steps_at = &raw mut steps;
        let outer = || {
            // SAFETY: one thread, and the vector outlives the closures.
            unsafe { (*steps_at).push(1) };
            // SAFETY: nothing to drop between here and the catch.
            let leaves = || unsafe { leave(state) };
            // SAFETY: the state lives.
            assert_eq!(unsafe { catch(state, leaves) }, Escape::Left);
            // SAFETY: as above.
            unsafe { (*steps_at).push(2) };
        };
        // SAFETY: the state lives.
        let outer = unsafe { catch(state, outer) };
        assert_eq!(outer, Escape::Returned);
        assert_eq!(steps, [1, 2]);
    }
}
