//! A block while it is being translated.

use std::borrow::Cow;
use std::ffi::CStr;

use crate::Plugin;
use crate::instance::Live;
use crate::point::{MemoryPoint, Point, Rw};
use crate::sys;
use crate::vcpu::text;

/// A block that is about to be translated. It cannot be kept: what is needed later is copied out.
pub struct Block<'b, P> {
    tb: *mut sys::Tb,
    live: &'b Live<P>,
}

/// An instruction of such a block.
pub struct Insn<'b, P> {
    insn: *mut sys::Insn,
    live: &'b Live<P>,
}

impl<'b, P: Plugin> Block<'b, P> {
    /// # Safety
    ///
    /// For the time of the callback that is given the block.
    pub(crate) unsafe fn new(tb: *mut sys::Tb, live: &'b Live<P>) -> Block<'b, P> {
        Block { tb, live }
    }

    /// The guest address of the first instruction.
    pub fn address(&self) -> u64 {
        // SAFETY: a block that is being translated.
        unsafe { sys::qemu_plugin_tb_vaddr(self.tb) }
    }

    /// How many instructions it has: at least one.
    pub fn n_insns(&self) -> usize {
        // SAFETY: a block that is being translated.
        unsafe { sys::qemu_plugin_tb_n_insns(self.tb) }
    }

    /// One of its instructions.
    pub fn insn(&self, index: usize) -> Option<Insn<'b, P>> {
        // SAFETY: a block that is being translated; beyond the last there is null.
        let insn = unsafe { sys::qemu_plugin_tb_get_insn(self.tb, index) };
        (!insn.is_null()).then_some(Insn {
            insn,
            live: self.live,
        })
    }

    /// Its instructions, in order.
    pub fn insns(&self) -> impl Iterator<Item = Insn<'b, P>> + '_ {
        (0..self.n_insns()).map_while(|index| self.insn(index))
    }

    /// Each time it is entered, before its first instruction.
    pub fn entry(&self) -> Point<'b, P> {
        // SAFETY: a block that is being translated.
        unsafe { Point::block(self.tb, self.live) }
    }
}

impl<'b, P: Plugin> Insn<'b, P> {
    /// Its guest address.
    pub fn address(&self) -> u64 {
        // SAFETY: an instruction of a block that is being translated.
        unsafe { sys::qemu_plugin_insn_vaddr(self.insn) }
    }

    /// Its length in bytes.
    pub fn size(&self) -> usize {
        // SAFETY: as above.
        unsafe { sys::qemu_plugin_insn_size(self.insn) }
    }

    /// Its encoding, zero-extended.
    pub fn encoding(&self) -> u32 {
        let mut bytes = [0; 4];
        // SAFETY: as above; at most so many bytes are written.
        unsafe {
            sys::qemu_plugin_insn_data(self.insn, bytes.as_mut_ptr().cast(), bytes.len());
        }
        u32::from_le_bytes(bytes)
    }

    /// Assembly text.
    pub fn disassembly(&self) -> String {
        // SAFETY: as above; the text is ours to free.
        unsafe {
            let text = sys::qemu_plugin_insn_disas(self.insn);
            if text.is_null() {
                return String::new();
            }
            let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
            libc::free(text.cast());
            copy
        }
    }

    /// The function that it belongs to, as far as is known.
    pub fn symbol(&self) -> Option<Cow<'static, str>> {
        // SAFETY: as above; the text stays.
        unsafe { text(sys::qemu_plugin_insn_symbol(self.insn)) }
    }

    /// Before each execution of it.
    pub fn before(&self) -> Point<'b, P> {
        // SAFETY: as above.
        unsafe { Point::insn(self.insn, self.live) }
    }

    /// After each of its memory accesses that succeeded.
    pub fn accesses(&self, which: Rw) -> MemoryPoint<'b, P> {
        // SAFETY: as above.
        unsafe { MemoryPoint::new(self.insn, which, self.live) }
    }
}
