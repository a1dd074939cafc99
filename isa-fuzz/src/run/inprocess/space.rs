//! Guest memory: a reservation of host memory with the image's segments mapped in it.

use std::io;
use std::ptr;

use translate::ops::{AmoOp, Size};
use translate::{Access, Cause, Fault, GuestCode, GuestMemory};

use crate::layout::{CODE, DATA, SIGNAL_STACK, SIGNAL_STACK_BYTES};
use crate::program::Image;

/// Nothing is mapped so far below and above the guest: small negative and large addresses fault.
const GUARD: usize = 1 << 20;
/// Guest addresses that are reserved.
const GUEST: usize = 1 << 27;
const PAGE: u64 = 4096;

/// A mapped segment; `end` is the end of its last page.
#[derive(Clone, Copy)]
struct Segment {
    start: u64,
    end: u64,
    writable: bool,
}

/// The guest's memory.
pub struct Space {
    reservation: *mut u8,
    segments: [Segment; 3],
}

// SAFETY: the pointer is to memory that this value owns; it is only reached through `&mut self`,
// or read.
unsafe impl Send for Space {}
// SAFETY: as above: `&self` only reads, and nobody writes through it.
unsafe impl Sync for Space {}

impl Space {
    /// Maps `image`.
    pub fn new(image: &Image) -> io::Result<Space> {
        // SAFETY: a fresh mapping wherever the kernel wants it.
        let reservation = unsafe {
            libc::mmap(
                ptr::null_mut(),
                GUEST + 2 * GUARD,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if reservation == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let segment = |start: u64, len: u64, writable| Segment {
            start,
            end: (start + len).next_multiple_of(PAGE),
            writable,
        };
        let space = Space {
            reservation: reservation.cast(),
            segments: [
                segment(CODE, image.code.len() as u64, false),
                segment(DATA, image.data.len() as u64, true),
                segment(SIGNAL_STACK, SIGNAL_STACK_BYTES, true),
            ],
        };
        for (segment, bytes) in space
            .segments
            .iter()
            .zip([&image.code[..], &image.data, &[]])
        {
            space.fill(segment, bytes)?;
        }
        Ok(space)
    }

    fn fill(&self, segment: &Segment, bytes: &[u8]) -> io::Result<()> {
        let at = self.host(segment.start);
        let len = (segment.end - segment.start) as usize;
        let protect = |protection| {
            // SAFETY: the range is inside the reservation, which nobody else uses.
            match unsafe { libc::mprotect(at.cast(), len, protection) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        protect(libc::PROT_READ | libc::PROT_WRITE)?;
        // SAFETY: the range was just made writable and is at least as long as `bytes`.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
        if segment.writable {
            Ok(())
        } else {
            protect(libc::PROT_READ)
        }
    }

    /// Host address of guest address 0.
    pub fn base(&self) -> u64 {
        self.reservation as u64 + GUARD as u64
    }

    fn host(&self, addr: u64) -> *mut u8 {
        self.reservation.wrapping_add(GUARD + addr as usize)
    }

    fn segment(&self, addr: u64) -> Option<&Segment> {
        let holds = |segment: &&Segment| (segment.start..segment.end).contains(&addr);
        self.segments.iter().find(holds)
    }

    /// Whether anything is mapped at `addr`.
    pub fn is_mapped(&self, addr: u64) -> bool {
        self.segment(addr).is_some()
    }

    /// Guest memory that the program itself wants written out.
    pub fn bytes(&self, addr: u64, len: u64) -> &[u8] {
        match self.segment(addr) {
            // SAFETY: the range is in a mapped segment, and nobody writes while `self` is
            // borrowed.
            Some(segment) if len <= segment.end - addr => unsafe {
                std::slice::from_raw_parts(self.host(addr), len as usize)
            },
            _ => &[],
        }
    }

    /// Host address of an access that is allowed. Otherwise the fault of the first byte that is
    /// not.
    fn access(&self, addr: u64, size: Size, access: Access) -> Result<*mut u8, Fault> {
        let fault = |addr| Fault {
            addr,
            access,
            cause: Cause::Page,
        };
        let segment = self.segment(addr).ok_or(fault(addr))?;
        if access == Access::Store && !segment.writable {
            return Err(fault(addr));
        }
        if segment.end - addr < size.bytes() {
            return Err(fault(segment.end));
        }
        Ok(self.host(addr))
    }

    fn read(at: *const u8, size: Size) -> u64 {
        // SAFETY: `access` found so many bytes to be mapped and readable.
        unsafe {
            match size {
                Size::B1 => at.read().into(),
                Size::B2 => at.cast::<u16>().read_unaligned().into(),
                Size::B4 => at.cast::<u32>().read_unaligned().into(),
                Size::B8 => at.cast::<u64>().read_unaligned(),
            }
        }
    }

    fn write(at: *mut u8, size: Size, value: u64) {
        // SAFETY: `access` found so many bytes to be mapped and writable.
        unsafe {
            match size {
                Size::B1 => at.write(value as u8),
                Size::B2 => at.cast::<u16>().write_unaligned(value as u16),
                Size::B4 => at.cast::<u32>().write_unaligned(value as u32),
                Size::B8 => at.cast::<u64>().write_unaligned(value),
            }
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: the reservation is this value's own, and no reference into it outlives it.
        unsafe { libc::munmap(self.reservation.cast(), GUEST + 2 * GUARD) };
    }
}

impl GuestMemory for Space {
    fn load(&mut self, addr: u64, size: Size) -> Result<u64, Fault> {
        Ok(Space::read(self.access(addr, size, Access::Load)?, size))
    }

    fn store(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Fault> {
        Space::write(self.access(addr, size, Access::Store)?, size, value);
        Ok(())
    }

    fn amo(&mut self, op: AmoOp, addr: u64, size: Size, src: u64) -> Result<u64, Fault> {
        let at = self.access(addr, size, Access::Store)?;
        let old = Space::read(at, size);
        let signed = |value: u64| match size {
            Size::B4 => i64::from(value as i32),
            _ => value as i64,
        };
        let choose = |ours: bool| if ours { src } else { old };
        let new = match op {
            AmoOp::Swap => src,
            AmoOp::Add => old.wrapping_add(src),
            AmoOp::Xor => old ^ src,
            AmoOp::And => old & src,
            AmoOp::Or => old | src,
            AmoOp::Min => choose(signed(src) < signed(old)),
            AmoOp::Max => choose(signed(src) > signed(old)),
            AmoOp::Minu => choose(src < old),
            AmoOp::Maxu => choose(src > old),
        };
        Space::write(at, size, new);
        Ok(old)
    }

    fn compare_exchange(
        &mut self,
        addr: u64,
        size: Size,
        expected: u64,
        new: u64,
    ) -> Result<u64, Fault> {
        let at = self.access(addr, size, Access::Store)?;
        let old = Space::read(at, size);
        if old == expected {
            Space::write(at, size, new);
        }
        Ok(old)
    }
}

impl GuestCode for Space {
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let code = &self.segments[0];
        if !(code.start..code.end).contains(&pc) {
            return 0;
        }
        let len = buf.len().min((code.end - pc) as usize);
        buf[..len].copy_from_slice(self.bytes(pc, len as u64));
        len
    }
}
