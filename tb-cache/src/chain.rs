//! Chaining: direct jumps between blocks, made and unmade while others run them.
//!
//! 1. There is one chain lock, and no lookup and no generated code ever takes it. It guards all
//!    links, every word of published code that changes, and the passage from live to dead.
//! 2. A link is recorded on both sides: `outgoing` of the block it leaves, `incoming` of the block
//!    it enters. The patched displacement and these records change in one critical section.
//! 3. A dead block has no links, and gets none: killing marks it first, and linking looks.
//!    So a jump in a living block leads to a living block, or to the exit's own stub.
//! 4. Making a link never waits. If the lock is taken the caller goes without; the exit will come
//!    by again.
//! 5. Pointers in links are valid under the lock: a block is retired only after it was killed, and
//!    being killed takes it out of all links (rule 3).
//!
//! Rejected: a lock per block. Linking takes two, in an order to be kept, against killing, which
//! takes one after the other; and all that contention on the one lock can cost is rule 4's retry.

use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Relaxed, Release};

use epoch::step;
use epoch::sync::cell::UnsafeCell;
use epoch::sync::{Mutex, MutexGuard};
use translate::ops::ExitId;

use crate::region::Region;
use crate::tb::Tb;

/// Proof that the chain lock is held.
pub(crate) struct Token(());

/// The chain lock of one cache.
pub(crate) struct Chains(Mutex<Token>);

impl Chains {
    pub(crate) fn new() -> Chains {
        Chains(Mutex::new(Token(())))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Token> {
        self.0.lock()
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, Token>> {
        self.0.try_lock()
    }
}

/// A value that belongs to whoever holds the chain lock of its cache.
pub(crate) struct Guarded<T>(UnsafeCell<T>);

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Guarded<T> {
        Guarded(UnsafeCell::new(value))
    }

    /// The value. The token is that of the cache that the value belongs to; there is one each.
    pub(crate) fn with<R>(&self, _token: &mut Token, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the token is borrowed exclusively for the call, so nobody else, `f` included,
        // can be in here.
        self.0.with_mut(|value| f(unsafe { &mut *value }))
    }
}

/// A block's links.
pub(crate) struct Links {
    incoming: Vec<Incoming>,
    /// By exit.
    outgoing: Box<[Option<Outgoing>]>,
}

/// Somebody's jump here.
#[derive(Clone, Copy)]
struct Incoming {
    from: NonNull<Tb>,
    exit: ExitId,
}

/// A jump from here, and its place in the target's `incoming`.
#[derive(Clone, Copy)]
struct Outgoing {
    to: NonNull<Tb>,
    slot: u32,
}

impl Links {
    pub(crate) fn new(exits: usize) -> Links {
        Links {
            incoming: Vec::new(),
            outgoing: vec![None; exits].into(),
        }
    }
}

/// Makes `exit` of `from` jump to `to`. Gives whether it does now because of this call.
pub(crate) fn link(token: &mut Token, region: &Region, from: &Tb, exit: ExitId, to: &Tb) -> bool {
    let one_is_dead = step!(
        "chain.link.alive" => "link_and_kill",
        from.is_dead() || to.is_dead()
    );
    if one_is_dead || !from.key().chains_to(to.key()) {
        return false;
    }
    let exit_index = usize::from(exit);
    let free = |links: &mut Links| matches!(links.outgoing.get(exit_index), Some(None));
    if !from.links.with(token, free) {
        return false;
    }
    let slot = to.links.with(token, |links| {
        links.incoming.push(Incoming {
            from: NonNull::from(from),
            exit,
        });
        links.incoming.len() as u32 - 1
    });
    from.links.with(token, |links| {
        links.outgoing[exit_index] = Some(Outgoing {
            to: NonNull::from(to),
            slot,
        });
    });
    let target = to.chain_address();
    patch_exit(token, region, from, exit, |site_end| {
        target.wrapping_sub(site_end) as i32
    });
    true
}

/// Takes a block that has just been killed out of all links, and leads jumps by its address to its
/// stale stub.
pub(crate) fn unlink(token: &mut Token, region: &Region, tb: &Tb) {
    let incoming = tb
        .links
        .with(token, |links| std::mem::take(&mut links.incoming));
    for Incoming { from, exit } in incoming {
        // SAFETY: rule 5.
        let from = unsafe { from.as_ref() };
        from.links
            .with(token, |links| links.outgoing[usize::from(exit)] = None);
        restore_exit(token, region, from, exit);
    }
    let exits = tb.links.with(token, |links| links.outgoing.len());
    for exit in 0..exits {
        // One by one: forgetting one may move the record of another.
        let outgoing = tb.links.with(token, |links| links.outgoing[exit].take());
        if let Some(Outgoing { to, slot }) = outgoing {
            // SAFETY: rule 5.
            forget_incoming(token, unsafe { to.as_ref() }, slot);
            restore_exit(token, region, tb, exit as ExitId);
        }
    }
    redirect_entry(token, region, tb);
}

/// Removes an entry of `incoming`; the last one takes its place.
fn forget_incoming(token: &mut Token, to: &Tb, slot: u32) {
    let moved = to.links.with(token, |links| {
        links.incoming.swap_remove(slot as usize);
        links.incoming.get(slot as usize).copied()
    });
    let Some(Incoming { from, exit }) = moved else {
        return;
    };
    // SAFETY: rule 5.
    let from = unsafe { from.as_ref() };
    from.links.with(token, |links| {
        if let Some(outgoing) = &mut links.outgoing[usize::from(exit)] {
            outgoing.slot = slot;
        }
    });
}

fn restore_exit(token: &mut Token, region: &Region, from: &Tb, exit: ExitId) {
    for site in from.sites().iter().filter(|site| site.exit == exit) {
        patch(
            token,
            region,
            from.code() + u64::from(site.disp),
            site.unlinked,
        );
    }
}

/// Sets the displacements of `exit`, as a function of the address that they count from.
fn patch_exit(
    token: &mut Token,
    region: &Region,
    from: &Tb,
    exit: ExitId,
    displacement: impl Fn(u64) -> i32,
) {
    for site in from.sites().iter().filter(|site| site.exit == exit) {
        let at = from.code() + u64::from(site.disp);
        patch(token, region, at, displacement(at + 4));
    }
}

/// Changes the 32-bit field at execute-view address `at`, which lies within 8 aligned bytes.
///
/// The store is of all eight, because Rust has no atomic access of unaligned fields. The other
/// bytes are written back as they were: under the lock nobody else changes them.
fn patch(_token: &mut Token, region: &Region, at: u64, value: i32) {
    let Some(offset) = region.offset_of(at) else {
        return;
    };
    let shift = 8 * (offset % 8);
    debug_assert!(shift <= 32, "a displacement crosses an 8-byte boundary");
    let word = region.word(offset - offset % 8);
    let others = word.load(Relaxed) & !(u64::from(u32::MAX) << shift);
    // Release: pairs with instruction fetch. Who jumps by the new displacement finds the code there
    // as it was copied in; x86 fetches see stores in order.
    word.store(others | u64::from(value as u32) << shift, Release);
}

/// Overwrites the indirect entry by a jump to the stale stub. The entry's other three bytes stay: a
/// thread may be about to execute them.
fn redirect_entry(_token: &mut Token, region: &Region, tb: &Tb) {
    const JMP: u64 = 0xe9;
    const JMP_LEN: u32 = 5;
    if tb.stale_stub() == 0 {
        return;
    }
    let Some(offset) = region.offset_of(tb.code()) else {
        return;
    };
    let displacement = u64::from(tb.stale_stub() - JMP_LEN);
    let entry = region.word(offset);
    let rest = entry.load(Relaxed) & !0xff_ffff_ffff;
    // Relaxed: there is nothing that the jump would have to find but code that has long been there.
    entry.store(rest | displacement << 8 | JMP, Relaxed);
}
