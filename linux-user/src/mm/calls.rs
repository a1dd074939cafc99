//! The system calls about memory.

use super::map::{Place, Request, window_range};
use super::vma::{Backing, Prot, Vma};
use super::{AddressSpace, PAGE_SIZE, page_up};
use crate::{Args, Errno, SysResult, Thread};
use std::ops::Range;

/// `brk`
pub fn brk(thread: &mut Thread, args: &Args) -> SysResult {
    Ok(thread.process.mm.set_break(args[0]))
}

/// Bits of `prot` that mean something: read, write, execute, and `PROT_SEM`, which does nothing.
const PROT_BITS: u64 = 0xf;
/// Flags that are the host's business and the same there.
const HOST_FLAGS: i32 = libc::MAP_TYPE
    | libc::MAP_LOCKED
    | libc::MAP_NORESERVE
    | libc::MAP_POPULATE
    | libc::MAP_NONBLOCK
    | libc::MAP_STACK
    | libc::MAP_SYNC;

/// `mmap`
pub fn mmap(thread: &mut Thread, args: &Args) -> SysResult {
    let &[addr, len, prot, flags, fd, offset] = args;
    let flags = flags as i32;
    if offset % PAGE_SIZE != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & libc::MAP_HUGETLB != 0 {
        // As where no huge pages have been set aside.
        return Err(Errno::ENOMEM);
    }
    let place = if flags & libc::MAP_FIXED_NOREPLACE != 0 {
        Place::AtFree(addr)
    } else if flags & libc::MAP_FIXED != 0 {
        Place::At(addr)
    } else {
        Place::Near(addr)
    };
    let file = (flags & libc::MAP_ANONYMOUS == 0).then_some((fd as i32, offset));
    if file.is_some_and(|(fd, _)| fd < 0) {
        return Err(Errno::EBADF);
    }
    thread.process.mm.map(&Request {
        place,
        len,
        prot: Prot::from_bits(prot),
        flags: flags & HOST_FLAGS,
        file,
        kind: Backing::Anonymous,
    })
}

/// `munmap`
pub fn munmap(thread: &mut Thread, args: &Args) -> SysResult {
    thread.process.mm.unmap(args[0], args[1])
}

/// `mprotect`
pub fn mprotect(thread: &mut Thread, args: &Args) -> SysResult {
    if args[2] & !PROT_BITS != 0 {
        return Err(Errno::EINVAL);
    }
    let prot = Prot::from_bits(args[2]);
    thread.process.mm.protect(args[0], args[1], prot)
}

/// `pkey_mprotect`: RISC-V has no protection keys, so only key -1 (none) exists.
pub fn pkey_mprotect(thread: &mut Thread, args: &Args) -> SysResult {
    if args[3] as i32 != -1 {
        return Err(Errno::EINVAL);
    }
    mprotect(thread, args)
}

/// `mremap`
pub fn mremap(thread: &mut Thread, args: &Args) -> SysResult {
    let &[addr, old_len, new_len, flags, to, _] = args;
    let mm = &thread.process.mm;
    mm.remap(addr, old_len, new_len, flags as i32, to)
}

/// `madvise`
pub fn madvise(thread: &mut Thread, args: &Args) -> SysResult {
    let &[addr, len, advice, ..] = args;
    thread.process.mm.advise(addr, len, advice as i32)
}

/// `msync`
pub fn msync(thread: &mut Thread, args: &Args) -> SysResult {
    let &[addr, len, flags, ..] = args;
    let range = checked_range(addr, len)?;
    let (host, len) = thread.process.mm.mapped(&range)?;
    thread.blocking_syscall(libc::SYS_msync, [host, len, flags, 0, 0, 0])
}

/// `mlock`
pub fn mlock(thread: &mut Thread, args: &Args) -> SysResult {
    mlock2(thread, &[args[0], args[1], 0, 0, 0, 0])
}

/// `mlock2`
pub fn mlock2(thread: &mut Thread, args: &Args) -> SysResult {
    let &[addr, len, flags, ..] = args;
    let range = lock_range(addr, len)?;
    let (host, len) = thread.process.mm.mapped(&range)?;
    thread.blocking_syscall(libc::SYS_mlock2, [host, len, flags, 0, 0, 0])
}

/// `munlock`
pub fn munlock(thread: &mut Thread, args: &Args) -> SysResult {
    let range = lock_range(args[0], args[1])?;
    let (host, len) = thread.process.mm.mapped(&range)?;
    thread.blocking_syscall(libc::SYS_munlock, [host, len, 0, 0, 0, 0])
}

/// `mlockall`: of the guest's memory; hartscope's own stays as it is.
pub fn mlockall(thread: &mut Thread, args: &Args) -> SysResult {
    const CURRENT: u64 = libc::MCL_CURRENT as u64;
    const FUTURE: u64 = libc::MCL_FUTURE as u64;
    const ONFAULT: u64 = libc::MCL_ONFAULT as u64;
    let flags = args[0];
    if flags & !(CURRENT | FUTURE | ONFAULT) != 0 || flags & (CURRENT | FUTURE) == 0 {
        return Err(Errno::EINVAL);
    }
    let mm = thread.process.mm.clone();
    if flags & CURRENT != 0 {
        let lock = if flags & ONFAULT != 0 { 1 } else { 0 };
        for range in mm.mapped_ranges() {
            let len = range.end - range.start;
            let host = mm.host_range(range.start, len)?;
            thread.blocking_syscall(libc::SYS_mlock2, [host, len, lock, 0, 0, 0])?;
        }
    }
    mm.lock().lock_future = flags & FUTURE != 0;
    Ok(0)
}

/// `munlockall`
pub fn munlockall(thread: &mut Thread, _args: &Args) -> SysResult {
    thread.process.mm.lock().lock_future = false;
    // SAFETY: locks matter to performance only.
    match unsafe { libc::munlockall() } {
        0 => Ok(0),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

/// `mincore`
pub fn mincore(thread: &mut Thread, args: &Args) -> SysResult {
    let &[addr, len, vec, ..] = args;
    let mm = thread.process.mm.clone();
    let range = checked_range(addr, len)?;
    let (host, len) = mm.mapped(&range)?;
    let vec = mm.prepare_write(vec, len / PAGE_SIZE)?;
    thread.blocking_syscall(libc::SYS_mincore, [host, len, vec, 0, 0, 0])
}

/// `shmat`
pub fn shmat(thread: &mut Thread, args: &Args) -> SysResult {
    let &[id, addr, flags, ..] = args;
    thread.process.mm.attach(id as i32, addr, flags as i32)
}

/// `shmdt`
pub fn shmdt(thread: &mut Thread, args: &Args) -> SysResult {
    thread.process.mm.detach(args[0])
}

/// `riscv_flush_icache`: whatever range and threads it names, what has been written becomes
/// visible to every hart, which is what the call promises at least.
pub fn riscv_flush_icache(thread: &mut Thread, args: &Args) -> SysResult {
    const LOCAL: u64 = 1;
    if args[2] & !LOCAL != 0 {
        return Err(Errno::EINVAL);
    }
    thread.vcpu.fence_i();
    Ok(0)
}

/// The pages of `addr..addr + len`; `addr` must begin one.
fn checked_range(addr: u64, len: u64) -> Result<Range<u64>, Errno> {
    if !addr.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let len = page_up(len).ok_or(Errno::EINVAL)?;
    window_range(addr, len).ok_or(Errno::ENOMEM)
}

/// The pages that `addr..addr + len` touches.
fn lock_range(addr: u64, len: u64) -> Result<Range<u64>, Errno> {
    let start = super::page_down(addr);
    checked_range(start, len.checked_add(addr - start).ok_or(Errno::EINVAL)?)
}

impl AddressSpace {
    /// Host address and length of a range; `ENOMEM` unless all of it is mapped.
    fn mapped(&self, range: &Range<u64>) -> Result<(u64, u64), Errno> {
        if self.lock().vmas.covered_to(range.clone()) < range.end {
            return Err(Errno::ENOMEM);
        }
        Ok((self.host(range.start) as u64, range.end - range.start))
    }

    fn mapped_ranges(&self) -> Vec<Range<u64>> {
        self.lock().vmas.iter().map(|(range, _)| range).collect()
    }

    fn advise(&self, addr: u64, len: u64, advice: i32) -> SysResult {
        let range = checked_range(addr, len).map_err(|_| Errno::EINVAL)?;
        // A hole in the child's window would not be reserved: the child keeps the memory.
        if matches!(advice, libc::MADV_DONTFORK | libc::MADV_DOFORK) {
            return Ok(0);
        }
        let layout = self.lock();
        let pieces = layout.vmas.pieces(range.clone());
        let mut result = match layout.vmas.covered_to(range.clone()) {
            end if end < range.end => Err(Errno::ENOMEM),
            _ => Ok(0),
        };
        for (piece, _) in &pieces {
            let len = (piece.end - piece.start) as usize;
            // SAFETY: the range lies in the window, which belongs to the guest alone.
            if unsafe { libc::madvise(self.host(piece.start), len, advice) } != 0 {
                result = Err(std::io::Error::last_os_error().into());
                break;
            }
        }
        if matches!(
            advice,
            libc::MADV_DONTNEED | libc::MADV_REMOVE | libc::MADV_FREE
        ) {
            self.invalidate(layout, &[range]);
        }
        result
    }

    fn attach(&self, id: i32, addr: u64, flags: i32) -> SysResult {
        // SAFETY: all-zero is a valid `shmid_ds`, and the call fills it or fails.
        let (status, info) = unsafe {
            let mut info: libc::shmid_ds = std::mem::zeroed();
            (libc::shmctl(id, libc::IPC_STAT, &mut info), info)
        };
        if status != 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        let len = page_up(info.shm_segsz as u64).ok_or(Errno::ENOMEM)?;
        let mut layout = self.lock();
        let start = match addr {
            0 => layout.find_place(0, len).ok_or(Errno::ENOMEM)?,
            _ if addr.is_multiple_of(PAGE_SIZE) => addr,
            _ if flags & libc::SHM_RND != 0 => super::page_down(addr),
            _ => return Err(Errno::EINVAL),
        };
        let range = window_range(start, len).ok_or(Errno::EINVAL)?;
        if flags & libc::SHM_REMAP == 0 && !layout.vmas.is_free(range.clone()) {
            return Err(Errno::EINVAL);
        }
        let host_flags = (flags | libc::SHM_REMAP) & !(libc::SHM_EXEC | libc::SHM_RND);
        // SAFETY: the range lies in the window, which belongs to the guest alone.
        let at = unsafe { libc::shmat(id, self.host(start), host_flags) };
        if at as isize == -1 {
            return Err(std::io::Error::last_os_error().into());
        }
        let write = if flags & libc::SHM_RDONLY == 0 { 2 } else { 0 };
        let exec = if flags & libc::SHM_EXEC != 0 { 4 } else { 0 };
        self.watched.remove(&range);
        layout.vmas.insert(
            range.clone(),
            Vma {
                prot: Prot::from_bits(1 | write | exec),
                shared: true,
                backing: Backing::Shm(id, 0),
            },
        );
        self.invalidate(layout, &[range]);
        Ok(start)
    }

    /// Reserving over the segment detaches it.
    fn detach(&self, addr: u64) -> SysResult {
        let layout = self.lock();
        let segment = match layout.vmas.find(addr) {
            Some((range, vma)) if range.start == addr => match vma.backing {
                Backing::Shm(_, 0) => range,
                _ => return Err(Errno::EINVAL),
            },
            _ => return Err(Errno::EINVAL),
        };
        drop(layout);
        self.unmap(segment.start, segment.end - segment.start)
    }
}
