//! What translation and the interpreter need of guest memory.

use crate::ops::{AmoOp, Size};

/// What a faulting access wanted to do.
#[allow(missing_docs, reason = "self-evident")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Fetch,
    Load,
    Store,
}

/// Why an access faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing there, or not allowed.
    Page,
    /// An atomic access to an address that is not a multiple of its size.
    Misaligned,
    /// The memory behind the mapping is gone (a truncated file).
    Bus,
}

/// A guest memory access that could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Guest address.
    pub addr: u64,
    /// What was tried.
    pub access: Access,
    /// Why it failed.
    pub cause: Cause,
}

/// Data accesses of one vCPU. Values are zero-extended.
///
/// `Amo` and `compare_exchange` are sequentially consistent host atomics, so that all vCPUs and
/// both back ends agree; plain accesses may be misaligned and are as ordered as x86 orders them.
pub trait GuestMemory {
    /// Loads.
    fn load(&mut self, addr: u64, size: Size) -> Result<u64, Fault>;
    /// Stores the low `size` bytes.
    fn store(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Fault>;
    /// Read-modify-write of an aligned word (B4, B8); gives the old value. The caller checked the alignment.
    fn amo(&mut self, op: AmoOp, addr: u64, size: Size, src: u64) -> Result<u64, Fault> {
        // A first guess; if it is wrong the exchange tells what is there.
        let mut old = self.load(addr, size).map_err(|fault| Fault {
            access: Access::Store,
            ..fault
        })?;
        loop {
            let new = op.combine(size, old, src);
            let now = self.compare_exchange(addr, size, old, new)?;
            if now == old {
                return Ok(old);
            }
            old = now;
        }
    }
    /// Stores `new` if memory holds `expected`; gives what memory held. The caller checked the alignment.
    fn compare_exchange(
        &mut self,
        addr: u64,
        size: Size,
        expected: u64,
        new: u64,
    ) -> Result<u64, Fault>;
}

/// Where guest code is fetched from.
pub trait GuestCode: Sync {
    /// Copies executable guest memory from `pc` on into `buf` and returns how many bytes could be
    /// had (0 if there is nothing executable at `pc`). Never faults.
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize;
}
