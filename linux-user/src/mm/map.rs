//! Mapping, unmapping, protecting, the program break.

use super::vma::{Backing, File, Prot, Vma};
use super::{AddressSpace, GUEST_END, LOWEST, Layout, PAGE_SIZE, page_down, page_up};
use crate::{Errno, SysResult};
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::{Arc, MutexGuard};

/// Where a mapping is to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// At the page of this address if there is room, or else anywhere.
    Near(u64),
    /// There, in place of whatever is there.
    At(u64),
    /// There, if nothing is there.
    AtFree(u64),
}

/// What to map.
#[derive(Debug)]
pub struct Request {
    /// Where.
    pub place: Place,
    /// Bytes, rounded up to pages.
    pub len: u64,
    /// What the guest may do.
    pub prot: Prot,
    /// `MAP_SHARED` or `MAP_PRIVATE`, and flags that only the host cares for.
    pub flags: i32,
    /// A file and the offset in it.
    pub file: Option<(RawFd, u64)>,
    /// What memory without a file is for.
    pub kind: Backing,
}

impl Request {
    /// Private zeroed memory.
    pub fn anonymous(place: Place, len: u64, prot: Prot) -> Request {
        Request {
            place,
            len,
            prot,
            flags: libc::MAP_PRIVATE,
            file: None,
            kind: Backing::Anonymous,
        }
    }

    /// A private view of a file.
    pub fn file(place: Place, len: u64, prot: Prot, fd: RawFd, offset: u64) -> Request {
        Request {
            file: Some((fd, offset)),
            ..Request::anonymous(place, len, prot)
        }
    }
}

impl Layout {
    /// A free place for `len` bytes, at `hint` if that is free.
    pub(super) fn find_place(&self, hint: u64, len: u64) -> Option<u64> {
        if let Some(hint) = page_up(hint).filter(|&hint| hint >= LOWEST)
            && hint.checked_add(len).is_some_and(|end| end <= GUEST_END)
            && self.vmas.is_free(hint..hint + len)
        {
            return Some(hint);
        }
        self.vmas
            .highest_gap(len, self.mmap_area.clone())
            .or_else(|| self.vmas.highest_gap(len, LOWEST..GUEST_END - PAGE_SIZE))
    }
}

impl AddressSpace {
    /// Sets the highest address of mappings without a wish of their own.
    pub(crate) fn set_mmap_top(&self, top: u64) {
        self.lock().mmap_area.end = page_down(top);
    }

    /// Whether nothing is mapped there.
    pub(crate) fn is_free(&self, range: Range<u64>) -> bool {
        range.end <= GUEST_END && self.lock().vmas.is_free(range)
    }

    /// Where `len` bytes without a wish would go.
    pub(crate) fn free_place(&self, len: u64) -> Option<u64> {
        self.lock().find_place(0, len)
    }

    /// Puts the (still empty) heap at `start`.
    pub(crate) fn set_heap(&self, start: u64) {
        self.lock().heap = start..start;
    }

    /// Maps, and gives the address.
    pub fn map(&self, request: &Request) -> SysResult {
        if request.len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = page_up(request.len).ok_or(Errno::ENOMEM)?;
        if len > GUEST_END {
            return Err(Errno::ENOMEM);
        }
        let mut layout = self.lock();
        let start = match request.place {
            Place::Near(hint) => layout.find_place(hint, len).ok_or(Errno::ENOMEM)?,
            Place::At(addr) | Place::AtFree(addr) => addr,
        };
        if start % PAGE_SIZE != 0 {
            return Err(Errno::EINVAL);
        }
        let range = window_range(start, len).ok_or(Errno::ENOMEM)?;
        if matches!(request.place, Place::AtFree(_)) && !layout.vmas.is_free(range.clone()) {
            return Err(Errno::EEXIST);
        }
        let (fd, offset, anonymous) = match request.file {
            Some((fd, offset)) => (fd, offset, 0),
            None => (-1, 0, libc::MAP_ANONYMOUS),
        };
        let locked = if layout.lock_future {
            libc::MAP_LOCKED
        } else {
            0
        };
        let flags = request.flags | anonymous | locked;
        if let Err(errno) = self.host_map(&range, request.prot.host(), flags, fd, offset) {
            self.recover(layout, range);
            return Err(errno);
        }
        let backing = match request.file {
            Some((fd, offset)) => Backing::File(Arc::new(describe(fd)), offset),
            None => request.kind.clone(),
        };
        let shared = request.flags & libc::MAP_TYPE != libc::MAP_PRIVATE;
        let vma = Vma {
            prot: request.prot,
            shared,
            backing,
        };
        self.watched.remove(&range);
        layout.vmas.insert(range.clone(), vma);
        self.invalidate(layout, &[range]);
        Ok(start)
    }

    /// After the host refused to map over `range`: it may have unmapped what was there, or not.
    /// If it has, the guest finds nothing there, and the reservation is put back.
    fn recover(&self, mut layout: MutexGuard<'_, Layout>, range: Range<u64>) {
        let unmapped = self
            .host_map(
                &range,
                libc::PROT_NONE,
                libc::MAP_PRIVATE
                    | libc::MAP_ANONYMOUS
                    | libc::MAP_NORESERVE
                    | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
            .is_ok();
        if unmapped {
            self.watched.remove(&range);
            layout.vmas.remove(range.clone());
            self.invalidate(layout, &[range]);
        }
    }

    /// Unmaps whatever is mapped in a range.
    pub fn unmap(&self, addr: u64, len: u64) -> SysResult {
        if !addr.is_multiple_of(PAGE_SIZE) || len == 0 {
            return Err(Errno::EINVAL);
        }
        let len = page_up(len).ok_or(Errno::EINVAL)?;
        let range = window_range(addr, len).ok_or(Errno::EINVAL)?;
        let mut layout = self.lock();
        if layout.vmas.is_free(range.clone()) {
            return Ok(0);
        }
        self.reserve(&range)?;
        self.watched.remove(&range);
        layout.vmas.remove(range.clone());
        self.invalidate(layout, &[range]);
        Ok(0)
    }

    /// Changes the protection of a range. Like Linux it does so up to the first hole, and then
    /// says `ENOMEM`.
    pub fn protect(&self, addr: u64, len: u64, prot: Prot) -> SysResult {
        if !addr.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(0);
        }
        let range = page_up(len)
            .and_then(|len| window_range(addr, len))
            .ok_or(Errno::ENOMEM)?;
        let mut layout = self.lock();
        let covered = range.start..layout.vmas.covered_to(range.clone());
        let mut result = if covered.end < range.end {
            Err(Errno::ENOMEM)
        } else {
            Ok(0)
        };
        for (piece, _) in layout.vmas.pieces(covered.clone()) {
            if let Err(errno) = self.host_protect(&piece, prot.host()) {
                result = Err(errno);
                break;
            }
            self.watched.remove(&piece);
            layout.vmas.protect(piece, prot);
        }
        self.invalidate(layout, &[covered]);
        result
    }

    /// Moves the program break, if it can be; gives where it is.
    pub fn set_break(&self, wanted: u64) -> u64 {
        let layout = self.lock();
        let heap = layout.heap.clone();
        let (Some(old), Some(new)) = (page_up(heap.end), page_up(wanted)) else {
            return heap.end;
        };
        if wanted < heap.start || new > GUEST_END {
            return heap.end;
        }
        if new > old {
            self.grow_heap(layout, old..new, wanted).unwrap_or(heap.end)
        } else {
            self.shrink_heap(layout, new..old, wanted)
                .unwrap_or(heap.end)
        }
    }

    fn grow_heap(
        &self,
        mut layout: MutexGuard<'_, Layout>,
        range: Range<u64>,
        wanted: u64,
    ) -> SysResult {
        // One page stays free between the heap and what lies above.
        if !layout.vmas.is_free(range.start..range.end + PAGE_SIZE) {
            return Err(Errno::ENOMEM);
        }
        let locked = if layout.lock_future {
            libc::MAP_LOCKED
        } else {
            0
        };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | locked;
        self.host_map(&range, Prot::RW.host(), flags, -1, 0)?;
        let vma = Vma {
            prot: Prot::RW,
            shared: false,
            backing: Backing::Heap,
        };
        layout.vmas.insert(range.clone(), vma);
        layout.heap.end = wanted;
        self.invalidate(layout, &[range]);
        Ok(wanted)
    }

    fn shrink_heap(
        &self,
        mut layout: MutexGuard<'_, Layout>,
        range: Range<u64>,
        wanted: u64,
    ) -> SysResult {
        if !range.is_empty() {
            self.reserve(&range)?;
            self.watched.remove(&range);
            layout.vmas.remove(range.clone());
        }
        layout.heap.end = wanted;
        self.invalidate(layout, &[range]);
        Ok(wanted)
    }
}

/// `len` bytes from `start`, if they lie in the window.
pub(super) fn window_range(start: u64, len: u64) -> Option<Range<u64>> {
    let end = start.checked_add(len)?;
    (end <= GUEST_END).then_some(start..end)
}

/// The file behind a descriptor, for `/proc/self/maps`. It shows what can be found out.
fn describe(fd: RawFd) -> File {
    let path = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    // SAFETY: all-zero is a valid `stat`, and the call fills it or leaves it.
    let stat = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::fstat(fd, &mut stat);
        stat
    };
    File {
        path,
        device: stat.st_dev,
        inode: stat.st_ino,
    }
}
