//! What a host thread needs before it runs a vCPU: a stack for signal handlers, and the base of the
//! `gs` segment, through which generated code reaches guest memory.
//!
//! Both are set on first use and remembered in thread-local storage: a vCPU may be made on one
//! thread and run on another.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::{self, NonNull};

thread_local! {
    static SIGNAL_STACK: RefCell<Option<SignalStack>> = const { RefCell::new(None) };
    /// What `gs` was set to; 0 at first, as on a new process.
    static GS_BASE: Cell<Option<u64>> = const { Cell::new(None) };
    static PREPARED: Cell<bool> = const { Cell::new(false) };
}

/// Prepares the calling thread to run generated code with guest memory at `gs_base`. Gives whether
/// this was the first time on this thread.
#[inline]
pub(crate) fn prepare(gs_base: u64) -> bool {
    if GS_BASE.get() != Some(gs_base) {
        set_gs_base(gs_base);
        GS_BASE.set(Some(gs_base));
    }
    if PREPARED.replace(true) {
        return false;
    }
    SIGNAL_STACK.set(SignalStack::install());
    true
}

fn set_gs_base(base: u64) {
    /// In `AT_HWCAP2`: user code may use the `wrgsbase` instruction.
    const FSGSBASE: u64 = 1 << 1;
    const ARCH_SET_GS: i32 = 0x1001;
    // SAFETY: nothing but generated code uses gs on this platform.
    unsafe {
        if libc::getauxval(libc::AT_HWCAP2) & FSGSBASE != 0 {
            std::arch::asm!("wrgsbase {}", in(reg) base, options(nomem, nostack, preserves_flags));
        } else {
            libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, base);
        }
    }
}

/// An alternate signal stack with a guard page below.
struct SignalStack {
    mapping: NonNull<c_void>,
    len: usize,
}

const GUARD: usize = 4096;

/// For the handlers themselves, beyond the frame that the kernel writes.
const HANDLER_ROOM: usize = 64 << 10;

impl SignalStack {
    /// `None` if the host is out of memory: then handlers run on the thread's own stack.
    fn install() -> Option<SignalStack> {
        // SAFETY: plain query; 0 if the kernel does not know.
        let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
        let size = (frame + HANDLER_ROOM).next_multiple_of(GUARD);
        let len = GUARD + size;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let mapping = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if mapping == libc::MAP_FAILED {
            return None;
        }
        let stack = libc::stack_t {
            ss_sp: mapping.wrapping_byte_add(GUARD),
            ss_flags: 0,
            ss_size: size,
        };
        // SAFETY: the mapping is ours, and given to the kernel until `drop`.
        unsafe {
            libc::mprotect(mapping, GUARD, libc::PROT_NONE);
            libc::sigaltstack(&stack, ptr::null_mut());
        }
        NonNull::new(mapping).map(|mapping| SignalStack { mapping, len })
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let none = libc::stack_t {
            ss_sp: ptr::null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: 0,
        };
        // SAFETY: the thread ends, in no handler; the kernel forgets the stack before it goes.
        unsafe {
            libc::sigaltstack(&none, ptr::null_mut());
            libc::munmap(self.mapping.as_ptr(), self.len);
        }
    }
}
