//! Structures and pointers that pass between the guest and hartscope or the host kernel.
//!
//! Two ways lead to guest memory:
//!
//! 1. *Copies* ([`AddressSpace::read_struct`] and friends) for what must be looked at or changed
//!    on the way. They cannot crash: a bad address is `EFAULT`.
//! 2. *Host pointers* ([`AddressSpace::pointer`], [`AddressSpace::output`]) for memory that only
//!    the host kernel looks at. A bad guest address becomes a host address that no kernel accepts,
//!    so that the kernel finds it in its own order of checks: `write(-1, bad, 1)` is `EBADF`.
//!    NULL stays NULL, for the calls in which it means something.

use crate::Errno;
use crate::mm::{AddressSpace, GUEST_END};

/// More than this no call reads or writes at once (the kernel's `MAX_RW_COUNT` is below it).
const MOST_BYTES: u64 = 1 << 31;

/// A host address that is never a user address: every host call answers `EFAULT` for it.
const NOWHERE: u64 = 1 << 63;

/// Types that are any bytes of their size: no padding, no invalid values.
///
/// # Safety
///
/// Every bit pattern must be a valid value and every byte of a value must be initialized.
pub unsafe trait Plain: Copy + 'static {}

/// Declares a `#[repr(C)]` structure of `Plain` fields and checks that it has no padding.
macro_rules! plain {
    (
        $(#[$doc:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_doc:meta])* $field_vis:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        $vis struct $name {
            $($(#[$field_doc])* $field_vis $field: $type,)*
        }
        const _: () = {
            const fn is_plain<T: $crate::copy::Plain>() {}
            $(is_plain::<$type>();)*
            assert!(size_of::<$name>() == 0 $(+ size_of::<$type>())*, "padding");
        };
        // SAFETY: all fields are plain, and there is no padding between them (checked above).
        unsafe impl $crate::copy::Plain for $name {}
    };
}
pub(crate) use plain;

macro_rules! integers {
    ($($type:ty)*) => {
        // SAFETY: integers have neither padding nor invalid values.
        $(unsafe impl Plain for $type {})*
    };
}
integers!(u8 u16 u32 u64 i8 i16 i32 i64);

// SAFETY: an array has no padding between its items.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

plain! {
    /// `struct iovec`: the guest's has guest addresses, the host's host addresses.
    pub struct IoVec {
        /// Where the bytes are.
        pub base: u64,
        /// How many there are.
        pub len: u64,
    }
}

/// Most items that an iovec array may have.
const IOV_MAX: u64 = 1024;

/// What a call does with the memory that an iovec array names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The kernel reads it.
    Input,
    /// The kernel writes it.
    Output,
}

/// The bytes of a value.
pub fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: a plain value is initialized bytes without padding, as long as it is borrowed.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The value whose bytes these are; `None` unless there are exactly as many as it has.
pub fn from_bytes<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: the size is right, every bit pattern is a valid value, and the read may be unaligned.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

impl AddressSpace {
    /// The host pointer for a guest pointer to memory that the host kernel reads.
    ///
    /// How much it will read does not matter: what runs over the end of the window meets the
    /// guard behind it, as it would meet the kernel's half on a riscv64 machine.
    pub fn pointer(&self, addr: u64) -> u64 {
        match addr {
            0 => 0,
            _ => self.host_range(addr, 1).unwrap_or(NOWHERE),
        }
    }

    /// The host pointer for a guest pointer to memory of which the host kernel writes up to `len`
    /// bytes.
    pub fn output(&self, addr: u64, len: u64) -> u64 {
        if addr == 0 || addr >= GUEST_END {
            return self.pointer(addr);
        }
        let len = len.min(MOST_BYTES).min(GUEST_END - addr);
        self.prepare_write(addr, len).unwrap_or(NOWHERE)
    }

    /// Reads a structure; `EFAULT` if it is not all there.
    pub fn read_struct<T: Plain>(&self, addr: u64) -> Result<T, Errno> {
        let mut value = std::mem::MaybeUninit::<T>::zeroed();
        // SAFETY: the bytes are initialized (zeroed), and belong to `value` alone.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>())
        };
        self.read(addr, bytes)?;
        // SAFETY: every bit pattern is a valid `T`.
        Ok(unsafe { value.assume_init() })
    }

    /// Reads a structure unless the pointer is NULL.
    pub fn read_optional<T: Plain>(&self, addr: u64) -> Result<Option<T>, Errno> {
        match addr {
            0 => Ok(None),
            _ => self.read_struct(addr).map(Some),
        }
    }

    /// Writes a structure.
    pub fn write_struct<T: Plain>(&self, addr: u64, value: &T) -> Result<(), Errno> {
        self.write(addr, bytes_of(value))
    }

    /// Reads `count` items. The caller has bounded `count`.
    pub fn read_array<T: Plain>(&self, addr: u64, count: usize) -> Result<Vec<T>, Errno> {
        let mut bytes = vec![0; count * size_of::<T>()];
        self.read(addr, &mut bytes)?;
        Ok(bytes
            .chunks_exact(size_of::<T>())
            .filter_map(from_bytes)
            .collect())
    }

    /// Writes items one after the other.
    pub fn write_array<T: Plain>(&self, addr: u64, items: &[T]) -> Result<(), Errno> {
        let bytes: Vec<u8> = items.iter().flat_map(bytes_of).copied().collect();
        self.write(addr, &bytes)
    }

    /// Copies an iovec array and makes host pointers of its addresses: what the host's vectored
    /// calls take.
    pub fn io_vectors(
        &self,
        addr: u64,
        count: u64,
        direction: Direction,
    ) -> Result<Vec<IoVec>, Errno> {
        if count > IOV_MAX {
            return Err(Errno::EINVAL);
        }
        let mut vectors = self.read_array::<IoVec>(addr, count as usize)?;
        for vector in &mut vectors {
            vector.base = match direction {
                Direction::Input => self.pointer(vector.base),
                Direction::Output => self.output(vector.base, vector.len),
            };
        }
        Ok(vectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    plain! {
        struct Pair {
            a: u32,
            b: [u8; 4],
        }
    }

    #[test]
    fn pointers_out_of_the_window_are_refused_by_the_host_kernel() {
        let mm = AddressSpace::new().expect("reserving the window");
        assert_eq!(mm.pointer(0), 0);
        assert_eq!(mm.pointer(0x1000), mm.base() + 0x1000);
        for bad in [GUEST_END, u64::MAX, 1 << 63, mm.base() + 0x1000] {
            let mut pipe = [0; 2];
            // SAFETY: `pipe` takes two descriptors; the addresses given to `write` are no memory
            // of this process, which is what the kernel is to find out.
            let (piped, written) = unsafe {
                let piped = libc::pipe(pipe.as_mut_ptr());
                (
                    piped,
                    libc::write(pipe[1], mm.pointer(bad) as *const libc::c_void, 1),
                )
            };
            assert_eq!(
                (piped, written, Errno::last()),
                (0, -1, Errno::EFAULT),
                "{bad:#x}"
            );
        }
    }

    #[test]
    fn structures_are_their_bytes() {
        let pair = Pair {
            a: 0x0403_0201,
            b: [5, 6, 7, 8],
        };
        assert_eq!(bytes_of(&pair), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(from_bytes::<Pair>(&[1, 2, 3, 4, 5, 6, 7, 8]), Some(pair));
        assert_eq!(from_bytes::<Pair>(&[1, 2, 3]), None);
    }
}
