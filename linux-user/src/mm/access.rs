//! Copies between hartscope and guest memory that cannot crash hartscope.

use super::{AddressSpace, GUEST_END};
use crate::Errno;
use translate::GuestMemory;
use translate::ops::Size;
use vcpu::UserMemory;
use vcpu::guarded::{self, HostFault};

impl AddressSpace {
    /// Reads guest memory; `EFAULT` if any of it cannot be read.
    pub fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Errno> {
        let host = self.host_range(addr, buf.len() as u64)?;
        // SAFETY: the range lies in the guest's window.
        unsafe { guarded::copy_out(buf, host) }.map_err(|_| Errno::EFAULT)
    }

    /// Writes guest memory; `EFAULT` if any of it cannot be written.
    pub fn write(&self, addr: u64, bytes: &[u8]) -> Result<(), Errno> {
        let host = self.host_range(addr, bytes.len() as u64)?;
        loop {
            // SAFETY: the range lies in the guest's window.
            match unsafe { guarded::copy_in(host, bytes) } {
                Ok(()) => return Ok(()),
                Err(HostFault { addr: Some(at), .. }) if self.store_fault(at - self.base) => (),
                Err(_) => return Err(Errno::EFAULT),
            }
        }
    }

    /// Reads a little-endian word.
    pub fn read_u64(&self, addr: u64) -> Result<u64, Errno> {
        let mut bytes = [0; 8];
        self.read(addr, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads a little-endian half word.
    pub fn read_u32(&self, addr: u64) -> Result<u32, Errno> {
        let mut bytes = [0; 4];
        self.read(addr, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Replaces an aligned half word, atomically, by what `change` makes of it, unless that is
    /// `None`; gives what was there if it was replaced.
    pub fn update_u32(
        &self,
        addr: u64,
        change: impl Fn(u32) -> Option<u32>,
    ) -> Result<Option<u32>, Errno> {
        if !addr.is_multiple_of(4) {
            return Err(Errno::EFAULT);
        }
        let mut memory = UserMemory { base: self.base };
        let mut old = self.read_u32(addr)?;
        while let Some(new) = change(old) {
            match memory.compare_exchange(addr, Size::B4, old.into(), new.into()) {
                Ok(found) if found == u64::from(old) => return Ok(Some(old)),
                Ok(found) => old = found as u32,
                Err(_) if self.store_fault(addr) => (),
                Err(_) => return Err(Errno::EFAULT),
            }
        }
        Ok(None)
    }

    /// Reads a string that ends with a NUL (not included), of at most `limit` bytes;
    /// `ENAMETOOLONG` if there is no NUL in these.
    pub fn read_c_string(&self, addr: u64, limit: usize) -> Result<Vec<u8>, Errno> {
        let host = self.host_range(addr, 1)?;
        let most = (limit as u64 + 1).min(GUEST_END - addr);
        // SAFETY: the range lies in the guest's window.
        let len = unsafe { guarded::string_length(host, most) }.map_err(|_| Errno::EFAULT)?;
        if len == most {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut string = vec![0; len as usize];
        self.read(addr, &mut string)?;
        Ok(string)
    }
}
