//! A memory access, while its callback runs.

use std::borrow::Cow;
use std::marker::PhantomData;

use crate::sys;
use crate::vcpu::text;

/// A memory access that has just succeeded.
pub struct MemoryAccess<'cb> {
    info: u32,
    address: u64,
    callback: PhantomData<*mut &'cb ()>,
}

/// What was loaded or stored, never sign-extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// One byte.
    U8(u8),
    /// Two bytes.
    U16(u16),
    /// Four bytes.
    U32(u32),
    /// Eight bytes.
    U64(u64),
    /// Sixteen bytes.
    U128(u128),
}

impl MemoryAccess<'_> {
    /// # Safety
    ///
    /// For the time of the callback that is given the access.
    pub(crate) unsafe fn new(info: u32, address: u64) -> Self {
        MemoryAccess {
            info,
            address,
            callback: PhantomData,
        }
    }

    /// The guest address of its first byte.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// How many bytes.
    pub fn size(&self) -> u64 {
        // SAFETY: an access whose callback runs.
        1 << unsafe { sys::qemu_plugin_mem_size_shift(self.info) }
    }

    /// Whether it stored; else it loaded.
    pub fn is_store(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::qemu_plugin_mem_is_store(self.info) }
    }

    /// Whether the load extends the sign.
    pub fn is_sign_extended(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::qemu_plugin_mem_is_sign_extended(self.info) }
    }

    /// What was loaded or stored.
    pub fn value(&self) -> Value {
        // SAFETY: as above.
        let value = unsafe { sys::qemu_plugin_mem_get_value(self.info) };
        let [low, high] = value.data;
        match value.kind {
            0 => Value::U8(low as u8),
            1 => Value::U16(low as u16),
            2 => Value::U32(low as u32),
            3 => Value::U64(low),
            _ => Value::U128(u128::from(high) << 64 | u128::from(low)),
        }
    }

    /// Where it went in the machine's physical memory. `None` for a Linux program.
    pub fn hardware(&self) -> Option<Hardware<'_>> {
        // SAFETY: as above.
        let hwaddr = unsafe { sys::qemu_plugin_get_hwaddr(self.info, self.address) };
        (!hwaddr.is_null()).then_some(Hardware(hwaddr, PhantomData))
    }
}

/// A place in a machine's physical memory.
pub struct Hardware<'cb>(*mut sys::Hwaddr, PhantomData<&'cb ()>);

impl Hardware<'_> {
    /// Whether it is a device, not memory.
    pub fn is_device(&self) -> bool {
        // SAFETY: valid as long as the access.
        unsafe { sys::qemu_plugin_hwaddr_is_io(self.0) }
    }

    /// The physical address.
    pub fn address(&self) -> u64 {
        // SAFETY: as above.
        unsafe { sys::qemu_plugin_hwaddr_phys_addr(self.0) }
    }

    /// The device's name, or `RAM`.
    pub fn device_name(&self) -> Cow<'static, str> {
        // SAFETY: as above; the text stays.
        unsafe { text(sys::qemu_plugin_hwaddr_device_name(self.0)) }.unwrap_or_default()
    }
}
