//! A block while plugins look at it.
//!
//! 1. Inside a `tb_trans` callback, and nowhere else, the calling thread has a translation: one plain
//!    block, and what the plugins so far have asked for in it.
//! 2. A handle of a block or an instruction is a number, not an address: which translation, which
//!    instruction. One from another translation is found out, whatever has become of that.
//! 3. Hooks are kept in the order in which they are asked for. Those of the block's entry and those of
//!    its instructions are lists of their own.

use std::cell::Cell;
use std::ptr;

use translate::hooks::{InsnWishes, PlainInsn, PlainWishes};

use crate::misuse;

/// An instruction of the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Insn {
    pub(crate) pc: u64,
    bytes: [u8; 4],
    len: u8,
}

impl Insn {
    /// In the order of memory.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// See the module's rules.
#[derive(Default)]
pub(crate) struct Translation {
    /// Tells this translation from the thread's others.
    serial: u32,
    pub(crate) pc: u64,
    pub(crate) insns: Vec<Insn>,
    pub(crate) wishes: PlainWishes,
}

thread_local! {
    static CURRENT: Cell<*mut Translation> = const { Cell::new(ptr::null_mut()) };
}

// A handle, from the top: 16 bits of kind, so that no address looks like one; 32 of the translation's
// serial number; 16 of the instruction's position.
const TB: u64 = 0x8b1c << 48;
const INSN: u64 = 0x8175 << 48;
const KIND: u64 = 0xffff << 48;

impl Translation {
    /// Begins with another block.
    pub(crate) fn begin(&mut self, pc: u64, insns: &[PlainInsn<'_>]) {
        self.serial = self.serial.wrapping_add(1);
        self.pc = pc;
        self.insns.clear();
        self.insns.extend(insns.iter().map(|insn| {
            let mut bytes = [0; 4];
            bytes[..insn.bytes.len()].copy_from_slice(insn.bytes);
            Insn {
                pc: insn.pc,
                bytes,
                len: insn.bytes.len() as u8,
            }
        }));
        self.wishes = PlainWishes::default();
    }

    /// Shows the block to plugins: while `f` runs, it is the thread's translation.
    pub(crate) fn show<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let outer = CURRENT.replace(self);
        let result = f();
        CURRENT.set(outer);
        result
    }

    /// The block's handle.
    pub(crate) fn tb(&self) -> u64 {
        TB | u64::from(self.serial) << 16
    }

    /// The handle of an instruction, if there is such a one.
    pub(crate) fn insn_handle(&self, index: usize) -> Option<u64> {
        let serial = u64::from(self.serial) << 16;
        (index < self.insns.len()).then_some(INSN | serial | index as u64)
    }

    /// What is asked for at an instruction.
    pub(crate) fn at(&mut self, index: usize) -> &mut InsnWishes {
        let insns = &mut self.wishes.insns;
        if insns.len() <= index {
            insns.resize_with(index + 1, InsnWishes::default);
        }
        &mut insns[index]
    }
}

/// Runs `f` on the block of a handle, if that is the one being shown on this thread.
pub(crate) fn with_tb<R>(
    function: &str,
    handle: u64,
    f: impl FnOnce(&mut Translation) -> R,
) -> Option<R> {
    with(function, handle, TB, f)
}

/// Runs `f` on the block, and the position in it, of an instruction's handle, if that block is the one
/// being shown on this thread.
pub(crate) fn with_insn<R>(
    function: &str,
    handle: u64,
    f: impl FnOnce(&mut Translation, usize) -> R,
) -> Option<R> {
    let index = (handle & 0xffff) as usize;
    with(function, handle, INSN, |translation| f(translation, index))
}

fn with<R>(
    function: &str,
    handle: u64,
    kind: u64,
    f: impl FnOnce(&mut Translation) -> R,
) -> Option<R> {
    // SAFETY: null, or borrowed for as long as `show` runs, by nobody but the one who looks here;
    // no reference leaves this function, and `f` calls no plugin.
    let translation = unsafe { CURRENT.get().as_mut() };
    let Some(translation) = translation else {
        misuse::questionable(
            function,
            "called outside of a tb_trans callback; handles of blocks and instructions are good \
             inside only",
        );
        return None;
    };
    let good = handle & KIND == kind && (handle >> 16) as u32 == translation.serial;
    if !good {
        misuse::questionable(
            function,
            format_args!(
                "{handle:#x} is no handle of the block that this tb_trans callback is about"
            ),
        );
        return None;
    }
    Some(f(translation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_good_while_their_block_is_shown() {
        let mut translation = Translation::default();
        let insns = [PlainInsn {
            pc: 0x1000,
            bytes: &[1, 0],
        }];
        translation.begin(0x1000, &insns);
        let tb = translation.tb();
        let insn = translation.insn_handle(0).unwrap();
        assert_eq!(translation.insn_handle(1), None);
        let pc = || with_tb("t", tb, |translation| translation.pc);
        let bytes = || with_insn("t", insn, |t, index| t.insns[index].bytes().to_vec());
        assert_eq!(pc(), None);
        translation.show(|| {
            assert_eq!(pc(), Some(0x1000));
            assert_eq!(bytes(), Some(vec![1, 0]));
            assert_eq!(with_tb("t", insn, |_| ()), None, "not a block's");
            assert_eq!(with_insn("t", tb, |_, _| ()), None, "not an instruction's");
        });
        translation.begin(0x2000, &insns);
        translation.show(|| assert_eq!((pc(), bytes()), (None, None)));
    }
}
