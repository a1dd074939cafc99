//! What the runtime asks of its surroundings: the guest's memory and program, and the log.

use std::ffi::{CStr, CString};

/// Where `-d plugin` goes.
pub trait Log: Send + Sync {
    /// Whether anybody wants the text.
    fn is_on(&self) -> bool;
    /// Writes the text as it is, in one piece.
    fn write(&self, text: &[u8]);
}

/// A log that nobody reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl Log for NoLog {
    fn is_on(&self) -> bool {
        false
    }

    fn write(&self, _text: &[u8]) {}
}

/// Where the guest program's code lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CodeBounds {
    /// Lowest address of an executable segment.
    pub start: u64,
    /// One past the highest.
    pub end: u64,
    /// Where execution began.
    pub entry: u64,
}

/// How an access to physical memory ended; the numbers are the interface's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum HwResult {
    /// Done.
    Ok = 0,
    /// It makes no sense here.
    Error = 1,
    /// A device refused.
    DeviceError = 2,
    /// The memory refused.
    AccessDenied = 3,
    /// Nothing is mapped there.
    InvalidAddress = 4,
    /// There is no such address space.
    InvalidAddressSpace = 5,
}

/// What is at a physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// The physical address.
    pub addr: u64,
    /// The name of the device there; `None` for memory.
    pub device: Option<&'static CStr>,
}

/// The guest. Any thread may ask.
pub trait Guest: Send + Sync {
    /// Reads memory whatever its protection; `false`, and nothing promised of `buf`, if a page is
    /// not mapped.
    fn read(&self, addr: u64, buf: &mut [u8]) -> bool;
    /// Writes memory whatever its protection, and drops the translations of what it overwrites.
    fn write(&self, addr: u64, data: &[u8]) -> bool;
    /// Reads physical memory.
    fn read_physical(&self, _addr: u64, _buf: &mut [u8]) -> HwResult {
        HwResult::Error
    }
    /// Writes physical memory.
    fn write_physical(&self, _addr: u64, _data: &[u8]) -> HwResult {
        HwResult::Error
    }
    /// The physical address of a virtual one, as the calling vCPU sees it.
    fn translate(&self, _addr: u64) -> Option<u64> {
        None
    }
    /// What is at a virtual address, as the calling vCPU sees it. `None` in a program.
    fn hardware(&self, _addr: u64) -> Option<Hardware> {
        None
    }
    /// Where guest code lies in the host's memory; null if it does not lie in memory.
    fn host_address(&self, addr: u64) -> *const u8;
    /// Name of the function that the address lies in; the text lives for ever.
    fn symbol(&self, addr: u64) -> Option<&'static CStr>;
    /// The program's path.
    fn binary(&self) -> Option<CString>;
    /// Where its code lies.
    fn code(&self) -> CodeBounds;
    /// Whether the guest is a machine rather than a program.
    fn system_emulation(&self) -> bool {
        false
    }
}
