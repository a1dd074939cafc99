//! The frame that a riscv64 Linux kernel puts onto the stack for a signal handler.
//!
//! ```text
//!    0  siginfo_t                     128
//!  128  ucontext_t: uc_flags            8
//!  136              uc_link             8
//!  144              uc_stack           24
//!  168              uc_sigmask          8, padded to 128
//!  304              uc_mcontext: pc, x1 … x31        256   (16-byte aligned)
//!  560                           f0 … f31            256
//!  816                           fcsr                  4
//! 1080                           end of extensions     8   (zero)
//! ```

use super::{AltStack, SigInfo, SigSet};
use translate::CpuState;

/// Bytes of the frame.
pub const SIZE: u64 = 1088;
/// Where the ucontext is in the frame.
pub const UCONTEXT: u64 = 128;

const STACK: usize = 144;
const MASK: usize = 168;
const GREGS: usize = 304;
const FREGS: usize = 560;
const FCSR: usize = 816;

/// The frame's bytes.
pub type Bytes = [u8; SIZE as usize];

/// What to come back to.
pub fn encode(state: &CpuState, info: &SigInfo, mask: SigSet, altstack: &AltStack) -> Bytes {
    let mut frame = [0; SIZE as usize];
    let mut put = |at: usize, bytes: &[u8]| frame[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &info.bytes);
    put(STACK, &altstack.encode(state.x[2]));
    put(MASK, &mask.to_le_bytes());
    put(GREGS, &state.pc.to_le_bytes());
    for (index, value) in state.x.iter().enumerate().skip(1) {
        put(GREGS + 8 * index, &value.to_le_bytes());
    }
    for (index, value) in state.f.iter().enumerate() {
        put(FREGS + 8 * index, &value.to_le_bytes());
    }
    let fcsr = (state.fflags & 0x1f) | (state.frm & 7) << 5;
    put(FCSR, &fcsr.to_le_bytes());
    frame
}

/// What a handler came back with.
pub struct Restored {
    /// The mask to go on with.
    pub mask: SigSet,
    /// The alternate stack, as a `stack_t`.
    pub altstack: [u8; AltStack::SIZE],
}

/// Puts the registers back.
pub fn decode(frame: &Bytes, state: &mut CpuState) -> Restored {
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&frame[at..at + 8]);
        u64::from_le_bytes(word)
    };
    // An odd pc cannot be: the hart ignores the bit.
    state.pc = word(GREGS) & !1;
    for index in 1..32 {
        state.x[index] = word(GREGS + 8 * index);
    }
    for index in 0..32 {
        state.f[index] = word(FREGS + 8 * index);
    }
    let fcsr = word(FCSR) as u32;
    state.fflags = fcsr & 0x1f;
    state.set_frm((fcsr >> 5 & 7) as u8);
    let mut altstack = [0; AltStack::SIZE];
    altstack.copy_from_slice(&frame[STACK..STACK + AltStack::SIZE]);
    Restored {
        mask: word(MASK),
        altstack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_into_a_frame_comes_out_of_it() {
        let mut state = CpuState::new();
        state.pc = 0x1234;
        for index in 0..32_u64 {
            state.x[index as usize] = index * 0x0101_0101;
            state.f[index as usize] = !index;
        }
        state.fflags = 0x15;
        state.set_frm(3);
        let altstack = AltStack {
            sp: 0x9000,
            size: 0x4000,
            flags: 0,
        };
        let info = SigInfo::fault(libc::SIGSEGV, 2, 0xdead_beef_f00d);
        let frame = encode(&state, &info, 0x8000_0000_0000_0001, &altstack);

        assert_eq!(frame[0..4], 11_i32.to_le_bytes());
        assert_eq!(frame[16..24], 0xdead_beef_f00d_u64.to_le_bytes());
        assert_eq!(frame[304..312], 0x1234_u64.to_le_bytes());
        assert_eq!(frame[304 + 80..312 + 80], 0x0a0a_0a0a_u64.to_le_bytes());
        assert_eq!(frame[816], 0x75);

        let mut other = CpuState::new();
        let restored = decode(&frame, &mut other);
        assert_eq!(restored.mask, 0x8000_0000_0000_0001);
        assert_eq!(AltStack::NONE.change(&restored.altstack, 0), Ok(altstack));
        assert_eq!((other.pc, other.x, other.f), (state.pc, state.x, state.f));
        assert_eq!((other.fflags, other.frm), (0x15, 3));
        assert_eq!(other.mxcsr, state.mxcsr);
    }
}
