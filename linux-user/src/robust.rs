//! Robust futexes: what a thread holds when it ends is marked, so that the next one to lock it
//! learns of it.
//!
//! The host's kernel does this for host threads, but it cannot follow guest pointers. So it is done
//! here, at the end of a guest thread. (Not after SIGKILL: then other processes that share a lock
//! with the guest wait for ever.)

use crate::futex;
use crate::mm::AddressSpace;

/// Bytes of `struct robust_list_head`: the list, an offset, and an operation under way.
pub(crate) const HEAD_SIZE: u64 = 24;
/// A list that is longer is taken for a loop.
const MOST_ENTRIES: usize = 2048;

const WAITERS: u32 = 0x8000_0000;
const OWNER_DIED: u32 = 0x4000_0000;
const TID_MASK: u32 = 0x3fff_ffff;

/// Marks and wakes every futex on the list at `head` that belongs to thread `tid`. A list that is
/// not as it should be is left as it is.
pub(crate) fn release(mm: &AddressSpace, head: u64, tid: i32) {
    if head == 0 {
        return;
    }
    let word = |at: u64| mm.read_u64(head.wrapping_add(at)).ok();
    let (Some(mut entry), Some(offset), Some(under_way)) = (word(0), word(8), word(16)) else {
        return;
    };
    for _ in 0..MOST_ENTRIES {
        if entry & !1 == head {
            break;
        }
        // Read first: whoever takes the lock may change the list.
        let next = mm.read_u64(entry & !1);
        if entry != under_way {
            release_one(mm, entry, offset, tid);
        }
        match next {
            Ok(next) => entry = next,
            Err(_) => return,
        }
    }
    if under_way != 0 {
        release_one(mm, under_way, offset, tid);
    }
}

/// An entry's lowest bit says that its futex hands priority on: those the host has released.
fn release_one(mm: &AddressSpace, entry: u64, offset: u64, tid: i32) {
    let word = (entry & !1).wrapping_add(offset);
    let owned_by_us = |value: u32| value & TID_MASK == tid as u32 & TID_MASK;
    let died = mm.update_u32(word, |value| {
        owned_by_us(value).then_some(value & WAITERS | OWNER_DIED)
    });
    if let Ok(Some(old)) = died
        && old & WAITERS != 0
        && entry & 1 == 0
    {
        futex::wake(mm, word, 1);
    }
}
