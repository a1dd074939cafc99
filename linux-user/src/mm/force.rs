//! Accesses that pass over what the guest has forbidden itself: for those who look on from outside.
//!
//! A page that the host has been told to protect is unprotected for the moment of the copy, under the
//! lock of the layout. Another guest thread that accesses it at that very moment gets through, too;
//! a copy by way of `/proc/self/mem` would not have that hole, but needs a descriptor, and the guest
//! must not find its own numbers taken.

use super::vma::Prot;
use super::{AddressSpace, Layout, PAGE_SIZE, map, page_down, page_up};
use std::ops::Range;
use vcpu::guarded;

impl AddressSpace {
    /// Reads guest memory, whatever its protection. False if any of it is not mapped, or if what is
    /// mapped there cannot be had (beyond the end of a file).
    pub fn peek(&self, addr: u64, buf: &mut [u8]) -> bool {
        if self.read(addr, buf).is_ok() {
            return true;
        }
        self.force(addr, buf.len(), Prot::R, |host| {
            // SAFETY: the range lies in the guest's window (`force`).
            unsafe { guarded::copy_out(buf, host) }.is_ok()
        })
    }

    /// Writes guest memory, whatever its protection, and drops what has been translated from it.
    /// False, with nothing written, if any of it is not mapped.
    pub fn poke(&self, addr: u64, bytes: &[u8]) -> bool {
        let written = self.force(addr, bytes.len(), Prot::RW, |host| {
            // SAFETY: the range lies in the guest's window (`force`).
            unsafe { guarded::copy_in(host, bytes) }.is_ok()
        });
        if written && let Some(pages) = pages_of(addr, bytes.len()) {
            self.invalidate(self.lock(), &[pages]);
        }
        written
    }

    /// Lets `copy` work on a range of which every page allows `least` meanwhile.
    fn force(&self, addr: u64, len: usize, least: Prot, copy: impl FnOnce(u64) -> bool) -> bool {
        let (Ok(host), Some(pages)) = (self.host_range(addr, len as u64), pages_of(addr, len))
        else {
            return false;
        };
        let layout = self.lock();
        if layout.vmas.covered_to(pages.clone()) != pages.end {
            return false;
        }
        let closed = self.closed_pages(&layout, &pages, least);
        let opened = closed
            .iter()
            .all(|(page, _)| self.host_protect(page, least.host()).is_ok());
        let copied = opened && copy(host);
        for (page, before) in closed {
            // It is what was in force before, so that the host has room for it.
            let _ = self.host_protect(&page, before.host());
        }
        copied
    }

    /// The pages that do not allow `least` on the host, with what they do allow.
    fn closed_pages(
        &self,
        layout: &Layout,
        pages: &Range<u64>,
        least: Prot,
    ) -> Vec<(Range<u64>, Prot)> {
        let mut closed = Vec::new();
        for (piece, vma) in layout.vmas.pieces(pages.clone()) {
            for page in piece.step_by(PAGE_SIZE as usize) {
                let now = match self.watched.contains(page) {
                    true => Prot::R,
                    false => vma.prot,
                };
                if now.host() & least.host() != least.host() {
                    closed.push((page..page + PAGE_SIZE, now));
                }
            }
        }
        closed
    }
}

/// The pages that a range touches; `None` if it is empty or leaves the window.
fn pages_of(addr: u64, len: usize) -> Option<Range<u64>> {
    let start = page_down(addr);
    let end = page_up(addr.checked_add(len as u64)?)?;
    map::window_range(start, end.checked_sub(start)?).filter(|pages| !pages.is_empty())
}
