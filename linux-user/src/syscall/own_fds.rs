//! Hartscope's own descriptors, in the same table as the guest's.
//!
//! Guest descriptors are the host's, so what hartscope itself has open must not get in the
//! guest's way: it lies high, is closed on `execve`, and the guest's `close`, `dup3` and
//! `close_range` leave it alone.

use crate::Errno;
use std::sync::atomic::{AtomicI32, Ordering};

/// Most descriptors of our own.
const MOST: usize = 32;
/// Lowest number that they get, if the limit of the process allows it.
const LOWEST: u64 = 1 << 16;

/// The numbers; -1 where there is none. No lock: `fork` may come at any time.
static OWN: [AtomicI32; MOST] = [const { AtomicI32::new(-1) }; MOST];

/// Makes a high, close-on-exec copy of `fd` that the guest cannot reach. It stays open until
/// [`close`] is called.
pub fn duplicate(fd: i32) -> Result<i32, Errno> {
    let own = high_copy(fd)?;
    for slot in &OWN {
        let free = slot.compare_exchange(-1, own, Ordering::Relaxed, Ordering::Relaxed);
        if free.is_ok() {
            return Ok(own);
        }
    }
    // SAFETY: the copy was made here and nobody else knows of it.
    unsafe { libc::close(own) };
    Err(Errno::EMFILE)
}

/// Closes a descriptor that [`duplicate`] has made.
pub fn close(own: i32) {
    let is_its = |slot: &&AtomicI32| slot.load(Ordering::Relaxed) == own;
    let slot = OWN.iter().find(is_its);
    // First: what the guest opens meanwhile does not get a number that is still ours.
    // SAFETY: the caller's, who does not use it any more.
    unsafe { libc::close(own) };
    if let Some(slot) = slot {
        slot.store(-1, Ordering::Relaxed);
    }
}

/// Whether `fd` is one of ours.
pub fn is_own(fd: i32) -> bool {
    fd >= 0 && OWN.iter().any(|slot| slot.load(Ordering::Relaxed) == fd)
}

/// Ours, in ascending order.
pub fn all() -> Vec<i32> {
    let mut all: Vec<i32> = OWN
        .iter()
        .map(|slot| slot.load(Ordering::Relaxed))
        .collect();
    all.retain(|&fd| fd >= 0);
    all.sort_unstable();
    all
}

fn high_copy(fd: i32) -> Result<i32, Errno> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a `rlimit` to be filled in.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    let lowest = LOWEST.min(limit.rlim_cur.saturating_sub(MOST as u64));
    // SAFETY: touches no memory.
    match unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest as libc::c_long) } {
        -1 => Err(Errno::last()),
        own => Ok(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_high_and_known() {
        let own = duplicate(2).expect("standard error is open");
        assert!(own > 100);
        assert!(is_own(own) && all().contains(&own));
        assert!(!is_own(2) && !is_own(-1));
    }
}
