//! `mremap`, without ever leaving a hole in the window.
//!
//! The host's `mremap` unmaps what it moves away from, and another host thread's allocation could
//! land in the hole before it is reserved again. So memory is moved with `MREMAP_DONTUNMAP`, shared
//! memory is mapped a second time (old length 0), and the old place is then reserved over. What
//! neither can do, growing a private file mapping, is `ENOMEM`, which Linux may always answer.

use super::map::window_range;
use super::vma::{Backing, Vma};
use super::{AddressSpace, GUEST_END, PAGE_SIZE, page_up};
use crate::{Errno, SysResult};
use std::ops::Range;

const MAYMOVE: i32 = libc::MREMAP_MAYMOVE;
const FIXED: i32 = libc::MREMAP_FIXED;
const DONTUNMAP: i32 = libc::MREMAP_DONTUNMAP;

/// A checked request.
struct Move {
    old: Range<u64>,
    new_len: u64,
    /// `MREMAP_FIXED`: where to.
    target: Option<u64>,
    may_move: bool,
    keep_old: bool,
}

impl AddressSpace {
    /// The system call.
    pub fn remap(&self, addr: u64, old_len: u64, new_len: u64, flags: i32, to: u64) -> SysResult {
        let request = check(addr, old_len, new_len, flags, to)?;
        let old = request.old.clone();
        let shrunk = request.new_len.min(old.end - old.start);
        if old.is_empty() {
            return self.duplicate(&request);
        }
        self.whole_vma(&old)?;
        if old.start + shrunk < old.end {
            self.unmap(old.start + shrunk, old.end - old.start - shrunk)?;
        }
        let kept = old.start..old.start + shrunk;
        if request.target.is_none() && !request.keep_old {
            if request.new_len == shrunk {
                return Ok(old.start);
            }
            if self.grow_in_place(&kept, request.new_len)? {
                return Ok(old.start);
            }
        }
        if !request.may_move {
            return Err(Errno::ENOMEM);
        }
        self.relocate(&kept, &request)
    }

    /// `old` must lie in one mapping.
    fn whole_vma(&self, old: &Range<u64>) -> Result<Vma, Errno> {
        let layout = self.lock();
        match layout.vmas.find(old.start) {
            Some((range, vma)) if range.end >= old.end => Ok(vma.clone()),
            _ => Err(Errno::EFAULT),
        }
    }

    /// Private memory grows where it is if there is room behind it.
    fn grow_in_place(&self, old: &Range<u64>, new_len: u64) -> Result<bool, Errno> {
        let mut layout = self.lock();
        let Some((_, vma)) = layout.vmas.find(old.start) else {
            return Err(Errno::EFAULT);
        };
        let vma = vma.clone();
        let Some(grown) = window_range(old.start, new_len) else {
            return Ok(false);
        };
        let extension = old.end..grown.end;
        if !is_plain(&vma) || !layout.vmas.is_free(extension.clone()) {
            return Ok(false);
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        self.host_map(&extension, vma.prot.host(), flags, -1, 0)?;
        layout.vmas.insert(extension.clone(), vma);
        self.invalidate(layout, &[extension]);
        Ok(true)
    }

    /// Moves `old` to another place, where it may be longer.
    fn relocate(&self, old: &Range<u64>, request: &Move) -> SysResult {
        let len = old.end - old.start;
        // Pages protected for watching would split the host's mapping.
        self.prepare_write(old.start, len)?;
        let mut layout = self.lock();
        let vma = match layout.vmas.find(old.start) {
            Some((range, vma)) if range.end >= old.end => vma.clone(),
            _ => return Err(Errno::EFAULT),
        };
        let grows = request.new_len > len;
        if grows && !vma.shared && !is_plain(&vma) {
            return Err(Errno::ENOMEM);
        }
        let start = match request.target {
            Some(target) => target,
            None => layout
                .vmas
                .highest_gap(request.new_len, layout.mmap_area.clone())
                .ok_or(Errno::ENOMEM)?,
        };
        let new = start..start + request.new_len;
        let moved = start..start + len;
        if vma.shared && !request.keep_old {
            self.host_remap(old.start, 0, &new, MAYMOVE | FIXED)?;
        } else {
            self.host_remap(old.start, len, &moved, MAYMOVE | FIXED | DONTUNMAP)?;
            if grows {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                self.host_map(&(moved.end..new.end), vma.prot.host(), flags, -1, 0)?;
            }
        }
        self.watched.remove(&new);
        let backing = layout
            .vmas
            .pieces(old.clone())
            .pop()
            .map_or(Backing::Anonymous, |(_, piece)| piece.backing);
        if !request.keep_old {
            self.reserve(old)?;
            layout.vmas.remove(old.clone());
        }
        layout.vmas.insert(new.clone(), Vma { backing, ..vma });
        self.invalidate(layout, &[old.clone(), new]);
        Ok(start)
    }

    /// Old length 0: shared memory is mapped a second time.
    fn duplicate(&self, request: &Move) -> SysResult {
        let mut layout = self.lock();
        let from = request.old.start;
        let vma = layout
            .vmas
            .pieces(from..from + PAGE_SIZE)
            .pop()
            .ok_or(Errno::EFAULT)?
            .1;
        if !vma.shared || !request.may_move {
            return Err(Errno::EINVAL);
        }
        let start = match request.target {
            Some(target) => target,
            None => layout
                .vmas
                .highest_gap(request.new_len, layout.mmap_area.clone())
                .ok_or(Errno::ENOMEM)?,
        };
        let new = start..start + request.new_len;
        self.host_remap(from, 0, &new, MAYMOVE | FIXED)?;
        self.watched.remove(&new);
        layout.vmas.insert(new.clone(), vma);
        self.invalidate(layout, &[new]);
        Ok(start)
    }

    fn host_remap(&self, from: u64, len: u64, to: &Range<u64>, flags: i32) -> Result<(), Errno> {
        // SAFETY: both places lie in the window, which belongs to the guest alone.
        let at = unsafe {
            libc::mremap(
                self.host(from),
                len as usize,
                (to.end - to.start) as usize,
                flags,
                self.host(to.start),
            )
        };
        if at == libc::MAP_FAILED {
            let errno = std::io::Error::last_os_error().into();
            // The host may have unmapped the target before it failed.
            let _ = self.host_map(
                to,
                libc::PROT_NONE,
                libc::MAP_PRIVATE
                    | libc::MAP_ANONYMOUS
                    | libc::MAP_NORESERVE
                    | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            );
            return Err(errno);
        }
        Ok(())
    }
}

/// Private and without a file: an extension is simply more of it.
fn is_plain(vma: &Vma) -> bool {
    !vma.shared && !matches!(vma.backing, Backing::File(..) | Backing::Shm(..))
}

fn check(addr: u64, old_len: u64, new_len: u64, flags: i32, to: u64) -> Result<Move, Errno> {
    let fixed = flags & FIXED != 0;
    let keep_old = flags & DONTUNMAP != 0;
    let may_move = flags & MAYMOVE != 0;
    let old_len = page_up(old_len).ok_or(Errno::EINVAL)?;
    let new_len = page_up(new_len).ok_or(Errno::EINVAL)?;
    let bad = flags & !(MAYMOVE | FIXED | DONTUNMAP) != 0
        || (fixed || keep_old) && !may_move
        || keep_old && old_len != new_len
        || !addr.is_multiple_of(PAGE_SIZE)
        || new_len == 0;
    if bad {
        return Err(Errno::EINVAL);
    }
    if new_len > GUEST_END {
        return Err(Errno::ENOMEM);
    }
    let old = window_range(addr, old_len).ok_or(Errno::EFAULT)?;
    if fixed {
        let new = window_range(to, new_len).filter(|_| to.is_multiple_of(PAGE_SIZE));
        let new = new.ok_or(Errno::EINVAL)?;
        if old.start < new.end && new.start < old.end {
            return Err(Errno::EINVAL);
        }
    }
    Ok(Move {
        old,
        new_len,
        target: fixed.then_some(to),
        may_move,
        keep_old,
    })
}
