//! The vCPU that a callback runs for, and what may be done with its registers.

use std::borrow::Cow;
use std::ffi::{CStr, c_uint};
use std::marker::PhantomData;

use crate::instance;
use crate::{glib, sys};

/// What a callback may do with registers.
pub trait Access: sealed::Sealed + 'static {
    /// As the interface numbers it.
    #[doc(hidden)]
    const FLAGS: c_uint;
}

/// Access that includes reading.
pub trait CanRead: Access {}

/// Access that includes writing.
pub trait CanWrite: CanRead {}

/// Nothing: the cheapest kind of callback.
pub enum NoRegs {}
/// Registers may be read.
pub enum ReadRegs {}
/// Registers may be read and written.
pub enum WriteRegs {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::NoRegs {}
    impl Sealed for super::ReadRegs {}
    impl Sealed for super::WriteRegs {}
    impl<A: super::Access> Sealed for super::Vcpu<'_, A> {}
    impl Sealed for crate::Exit<'_> {}
}

impl Access for NoRegs {
    const FLAGS: c_uint = 0;
}
impl Access for ReadRegs {
    const FLAGS: c_uint = 1;
}
impl Access for WriteRegs {
    const FLAGS: c_uint = 2;
}
impl CanRead for ReadRegs {}
impl CanRead for WriteRegs {}
impl CanWrite for WriteRegs {}

/// Whoever has one is in a callback, so that scoreboards stay where they are.
pub trait InCallback: sealed::Sealed {}

impl<A: Access> InCallback for Vcpu<'_, A> {}
impl InCallback for crate::Exit<'_> {}

/// The vCPU that a callback runs for, on that vCPU's own thread.
pub struct Vcpu<'cb, A: Access = NoRegs> {
    index: c_uint,
    /// Of this callback, and of this thread.
    callback: PhantomData<(*mut &'cb (), A)>,
}

impl<A: Access> Vcpu<'_, A> {
    /// # Safety
    ///
    /// For the time of a callback of that vCPU, with such access.
    pub(crate) unsafe fn new(index: c_uint) -> Self {
        Vcpu {
            index,
            callback: PhantomData,
        }
    }

    /// Its number. Used again for another vCPU after this one is gone.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// All registers. They are the same for each vCPU: one look is enough.
    pub fn registers(&self) -> Vec<Register> {
        glib::load();
        // SAFETY: this vCPU's callback is running.
        let array = unsafe { sys::qemu_plugin_get_registers() };
        if array.is_null() {
            return Vec::new();
        }
        // SAFETY: an array of descriptors, ours to read and to free.
        let registers = unsafe {
            let data = (*array).data.cast::<sys::RegDescriptor>();
            let len = (*array).len as usize;
            (0..len).map(|i| Register(data.add(i).read())).collect()
        };
        // SAFETY: as above; descriptors were copied, and their texts stay.
        unsafe { glib::free_array(array) };
        registers
    }

    /// The guest's memory at an address, whatever its protection. `None` if a page is not mapped.
    pub fn read_memory(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        glib::with_bytes(|bytes| {
            // SAFETY: a byte array, in a callback of a vCPU.
            let done = unsafe { sys::qemu_plugin_read_memory_vaddr(address, bytes.raw(), len) };
            done.then(|| bytes.as_slice().to_vec())
        })
    }

    /// Puts data into the guest's memory, also where the guest may not write.
    #[cfg(api_5)]
    pub fn write_memory(&self, address: u64, data: &[u8]) -> bool {
        glib::with_bytes(|bytes| {
            bytes.set(data);
            // SAFETY: a byte array, in a callback of a vCPU.
            unsafe { sys::qemu_plugin_write_memory_vaddr(address, bytes.raw()) }
        })
    }

    /// The physical address behind an address. `None` for a Linux program.
    #[cfg(api_5)]
    pub fn translate(&self, address: u64) -> Option<u64> {
        let mut physical = 0;
        // SAFETY: in a callback of a vCPU.
        unsafe { sys::qemu_plugin_translate_vaddr(address, &mut physical) }.then_some(physical)
    }

    /// Asks for the plugin to be taken out. Callbacks go on for a while; after the last one the
    /// plugin is dropped.
    pub fn uninstall(&self) {
        instance::uninstall();
    }
}

impl<A: CanRead> Vcpu<'_, A> {
    /// A register's value, little-endian; appended to `value`. False if it cannot be read.
    pub fn read_register_into(&self, register: Register, value: &mut Vec<u8>) -> bool {
        glib::with_bytes(|bytes| {
            // SAFETY: a handle, and a byte array, in a callback that may read registers.
            let _ = unsafe { sys::qemu_plugin_read_register(register.0.handle, bytes.raw()) };
            value.extend_from_slice(bytes.as_slice());
            !bytes.as_slice().is_empty()
        })
    }

    /// A register's value, or the low half of a wide one. `None` if it cannot be read.
    pub fn read_register(&self, register: Register) -> Option<u64> {
        let mut value = Vec::with_capacity(16);
        self.read_register_into(register, &mut value).then(|| {
            value.resize(8, 0);
            u64::from_le_bytes([
                value[0], value[1], value[2], value[3], value[4], value[5], value[6], value[7],
            ])
        })
    }
}

#[cfg(api_5)]
impl<A: CanWrite> Vcpu<'_, A> {
    /// Gives a register a value, little-endian and of the register's size. False if that cannot be.
    pub fn write_register(&self, register: Register, value: &[u8]) -> bool {
        if register.is_readonly() || value.is_empty() {
            return false;
        }
        glib::with_bytes(|bytes| {
            bytes.set(value);
            // SAFETY: a handle that may be written, and a byte array, in a callback that may write.
            let done = unsafe { sys::qemu_plugin_write_register(register.0.handle, bytes.raw()) };
            written(done)
        })
    }
}

#[cfg(all(api_5, not(api_6)))]
fn written(done: sys::Done) -> bool {
    done > 0
}

#[cfg(api_6)]
fn written(done: sys::Done) -> bool {
    done
}

/// A register of the guest.
#[derive(Clone, Copy)]
pub struct Register(sys::RegDescriptor);

// SAFETY: a handle without state and two constant texts.
unsafe impl Send for Register {}
// SAFETY: as above.
unsafe impl Sync for Register {}

impl Register {
    /// As a debugger spells it.
    pub fn name(&self) -> Cow<'static, str> {
        // SAFETY: the emulator's texts stay.
        unsafe { text(self.0.name) }.unwrap_or_default()
    }

    /// The group that it belongs to.
    pub fn feature(&self) -> Cow<'static, str> {
        // SAFETY: as above.
        unsafe { text(self.0.feature) }.unwrap_or_default()
    }

    /// Whether it must not be written. Known since version 6.
    pub fn is_readonly(&self) -> bool {
        #[cfg(api_6)]
        return self.0.is_readonly;
        #[cfg(not(api_6))]
        false
    }
}

/// # Safety
///
/// Null, or a text that stays.
pub(crate) unsafe fn text(pointer: *const std::ffi::c_char) -> Option<Cow<'static, str>> {
    // SAFETY: the caller's promise.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy())
}
