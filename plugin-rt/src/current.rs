//! The vCPU that the calling thread runs.
//!
//! `vcpu` says which state is the thread's own before it runs guest code or fires events, and takes
//! that back when the vCPU goes away. Callbacks find the vCPU here, whoever called them.

use std::cell::Cell;
use std::ptr::{self, NonNull};

use translate::CpuState;

thread_local! {
    static STATE: Cell<*mut CpuState> = const { Cell::new(ptr::null_mut()) };
}

/// Makes `state` the calling thread's vCPU.
///
/// # Safety
///
/// `state` lives until [`clear`], or the next `set`, on this thread; while it is set no other thread
/// uses it, and no reference to it is held across a callback or an event.
#[inline]
pub unsafe fn set(state: *mut CpuState) {
    STATE.set(state);
}

/// The calling thread has no vCPU any more.
#[inline]
pub fn clear() {
    STATE.set(ptr::null_mut());
}

/// The calling thread's vCPU, if it has one.
#[inline]
pub fn state() -> Option<NonNull<CpuState>> {
    NonNull::new(STATE.get())
}

/// The number of the calling thread's vCPU.
pub fn index() -> Option<u32> {
    // SAFETY: `set` promised that the state lives, and that only this thread uses it.
    state().map(|state| unsafe { (*state.as_ptr()).vcpu_index })
}
