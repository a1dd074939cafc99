//! A machine as plugins ask about it: what its addresses are, and what is there.
//!
//! Plugins ask in callbacks, on the thread of the hart that these are about. Each such thread knows how
//! its hart translates and what memory there is: [`see`] is told whenever that changes. So an answer takes
//! no lock, and is of this very moment.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use plugin_rt::{CodeBounds, Guest, Hardware, HwResult};
use translate::Access;
use translate::tlb::PAGE_SIZE;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

use crate::hart::memory::Physical;
use crate::hart::mmu::{Regime, Tables};
use crate::symbols::Symbols;

thread_local! {
    static HART: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// What the calling thread's hart sees.
struct Seen {
    data: Regime,
    physical: Physical,
}

/// The calling thread's hart translates like this from now on.
pub(crate) fn see(data: &Regime, physical: &Physical) {
    HART.with_borrow_mut(|hart| match hart {
        Some(seen) => seen.data = *data,
        None => {
            *hart = Some(Seen {
                data: *data,
                physical: physical.clone(),
            });
        }
    });
}

fn ask<R>(question: impl FnOnce(&Seen) -> R) -> Option<R> {
    HART.with_borrow(|hart| hart.as_ref().map(question))
}

/// A machine, for plugins. It stays the same when the machine is reset.
pub struct Observed {
    kernel: Option<CString>,
    symbols: Symbols,
}

impl Observed {
    /// A machine whose kernel is that file, and has those symbols.
    pub fn new(kernel: Option<CString>, symbols: Symbols) -> Observed {
        Observed { kernel, symbols }
    }
}

impl Guest for Observed {
    fn read(&self, addr: u64, buf: &mut [u8]) -> bool {
        ask(|seen| {
            seen.by_page(addr, buf.len(), |paddr, range| {
                seen.read(paddr, &mut buf[range])
            })
        })
        .unwrap_or(false)
    }

    fn write(&self, addr: u64, data: &[u8]) -> bool {
        ask(|seen| {
            seen.by_page(addr, data.len(), |paddr, range| {
                seen.write(paddr, &data[range])
            })
        })
        .unwrap_or(false)
    }

    fn read_physical(&self, addr: u64, buf: &mut [u8]) -> HwResult {
        outcome(ask(|seen| seen.read(addr, buf)))
    }

    fn write_physical(&self, addr: u64, data: &[u8]) -> HwResult {
        outcome(ask(|seen| seen.write(addr, data)))
    }

    fn translate(&self, addr: u64) -> Option<u64> {
        ask(|seen| seen.translate(addr))?
    }

    fn hardware(&self, addr: u64) -> Option<Hardware> {
        ask(|seen| {
            let physical = seen.translate(addr)?;
            let is_ram = seen.physical.ram.host(physical).is_some();
            Some(Hardware {
                addr: physical,
                device: (!is_ram).then(|| seen.physical.bus.name_of(physical).unwrap_or(c"")),
            })
        })?
    }

    fn host_address(&self, addr: u64) -> *const u8 {
        let host = ask(|seen| seen.physical.ram.host(seen.translate(addr)?));
        host.flatten()
            .map_or(std::ptr::null(), <*mut u8>::cast_const)
    }

    fn symbol(&self, addr: u64) -> Option<&'static CStr> {
        self.symbols.at(addr)
    }

    fn binary(&self) -> Option<CString> {
        self.kernel.clone()
    }

    /// Code may be anywhere.
    fn code(&self) -> CodeBounds {
        CodeBounds::default()
    }

    fn system_emulation(&self) -> bool {
        true
    }
}

fn outcome(done: Option<bool>) -> HwResult {
    match done {
        Some(true) => HwResult::Ok,
        Some(false) => HwResult::InvalidAddress,
        None => HwResult::Error,
    }
}

impl Seen {
    fn translate(&self, addr: u64) -> Option<u64> {
        // Whatever its protection: what may not be read may be executable.
        let mapping = [Access::Load, Access::Fetch, Access::Store]
            .into_iter()
            .find_map(|access| self.data.walk(self, addr, access).ok())?;
        Some(mapping.page + addr % PAGE_SIZE)
    }

    /// Does the parts of an access that lie in one page each. Gives whether all could be done.
    fn by_page(
        &self,
        addr: u64,
        len: usize,
        mut part: impl FnMut(u64, std::ops::Range<usize>) -> bool,
    ) -> bool {
        let mut done = 0;
        while done < len {
            let at = addr.wrapping_add(done as u64);
            let end = len.min(done + (PAGE_SIZE - at % PAGE_SIZE) as usize);
            match self.translate(at) {
                Some(paddr) if part(paddr, done..end) => done = end,
                _ => return false,
            }
        }
        true
    }

    fn read(&self, paddr: u64, buf: &mut [u8]) -> bool {
        let memory = self.physical.ram.device_view();
        memory.read_slice(buf, GuestAddress(paddr)).is_ok()
    }

    /// What is written may be code: the cache is told by the view, and looks at the next `fence.i`.
    fn write(&self, paddr: u64, data: &[u8]) -> bool {
        let memory = self.physical.ram.device_view();
        let is_memory = memory.check_range(GuestAddress(paddr), data.len());
        is_memory && memory.write_slice(data, GuestAddress(paddr)).is_ok()
    }
}

/// Page tables, for one who only looks.
impl Tables for Seen {
    fn load(&self, paddr: u64) -> Option<u64> {
        let entry = self.physical.ram.host(paddr)?;
        // SAFETY: an aligned word of the guest's memory, which is mapped as long as `Ram` is, and which all
        // of us access as atomics. Acquire: what was written before the entry is there (the next table).
        Some(unsafe { AtomicU64::from_ptr(entry.cast()) }.load(Acquire))
    }

    /// Looking leaves no traces: it is as if the bits had been set.
    fn exchange(&self, paddr: u64, old: u64, _new: u64) -> Option<bool> {
        let entry = self.physical.ram.host(paddr)?;
        // SAFETY: as above.
        Some(unsafe { AtomicU64::from_ptr(entry.cast()) }.load(Relaxed) == old)
    }
}
