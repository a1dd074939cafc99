//! One thread's side of the protocol.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::domain::Domain;
use crate::slots::{OFFLINE, Slot};
use crate::sync::atomic::{Ordering::Relaxed, fence};
use crate::{ordering, step};

/// A thread's membership in a [`Domain`]. Starts offline; dropping it ends the membership.
pub struct Participant {
    domain: Arc<Domain>,
    slot: NonNull<Slot>,
    /// Copy of `slot.seen`. The slot is never loaded by its owner, which is cheaper and keeps the
    /// models honest (loom would lose track of an earlier load by somebody else).
    seen: u64,
}

// SAFETY: the slot belongs to this participant alone and lives as long as `domain`; nothing is tied
// to a thread.
unsafe impl Send for Participant {}

impl Participant {
    pub(crate) fn new(domain: Arc<Domain>) -> Participant {
        let slot = domain.slots().claim();
        let participant = Participant {
            domain,
            slot,
            seen: OFFLINE,
        };
        participant.set_tag(0);
        participant
    }

    /// The domain this is a member of.
    pub fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    /// Labels this participant in stall reports (a vCPU number, a thread id).
    pub fn set_tag(&self, tag: u64) {
        self.slot().tag.store(tag, Relaxed);
    }

    /// This participant's index in stall reports.
    pub fn index(&self) -> u32 {
        self.slot().index
    }

    /// Whether references may be held.
    #[inline]
    pub fn is_online(&self) -> bool {
        self.seen != OFFLINE
    }

    /// From now on references may be held. Does nothing if online already.
    pub fn online(&mut self) {
        if self.is_online() {
            return;
        }
        // Any generation will do, an old one merely delays jobs. If it is new enough to let a job
        // run, the fence below acquires what happened before that job's `retire`.
        self.seen = self.domain.generation().load(Relaxed);
        // Release: pairs with the scan's Acquire. The scan may read this value and free what this
        // slot's former owner was reading before it left.
        step!(
            "participant.online.seen" => "vcpu_appears_meanwhile, idle_and_back",
            self.slot().seen.store(
                self.seen,
                ordering!(Release, "participant.online" => "slot_reuse"),
            )
        );
        // Pairs with the fence before the drainer's scan: either that scan sees this participant
        // online, or the loads after this fence see the object unreachable.
        fence(ordering!(SeqCst, "participant.online.fence" => "reader"));
    }

    /// No references are held until the next `online`. Runs jobs that waited only for this.
    pub fn offline(&mut self) {
        if self.leave() {
            self.domain.notice();
        }
    }

    /// Whether `quiesce` would have something to do: a relaxed hint for generated or inlined code.
    #[inline]
    pub fn needs_quiesce(&self) -> bool {
        self.domain.generation().load(Relaxed) != self.seen
    }

    /// States that no references are held at this moment. Runs jobs that waited only for this.
    ///
    /// One load and a compare unless something has been retired since the last time.
    #[inline]
    pub fn quiesce(&mut self) {
        let now = self.domain.generation().load(Relaxed);
        if now != self.seen {
            self.pass(now);
        }
    }

    #[cold]
    fn pass(&mut self, now: u64) {
        if !self.is_online() {
            return;
        }
        self.seen = now;
        // Release: pairs with the scan's Acquire; the accesses before this quiescent point happen
        // before the jobs it lets run.
        step!(
            "participant.quiesce.seen" => "retire_while_online",
            self.slot().seen.store(
                now,
                ordering!(Release, "participant.quiesce" => "scan_sees_quiescer"),
            )
        );
        // Pairs with itself in other participants and with the fences in `leave` and `retire`: the
        // last of those that a job waits for sees that it was the last. It also acquires what
        // happened before the `retire` of generation `now`: later loads find none of those objects.
        fence(ordering!(SeqCst, "participant.quiesce.fence" => "last_to_quiesce"));
        self.domain.notice();
    }

    /// Gives whether there was anything to leave; then the caller owes a `notice`.
    fn leave(&mut self) -> bool {
        if !self.is_online() {
            return false;
        }
        self.seen = OFFLINE;
        // Release: pairs with the scan's Acquire; the accesses of this online period happen before
        // the jobs that the scan lets run.
        self.slot().seen.store(
            OFFLINE,
            ordering!(Release, "participant.leave" => "scan_sees_leaver"),
        );
        // Pairs with the fence in `retire`: either that scan sees this participant gone, or
        // `notice` sees the job.
        fence(ordering!(SeqCst, "participant.leave.fence" => "reader"));
        true
    }

    fn slot(&self) -> &Slot {
        // SAFETY: slots live as long as the domain, which `self.domain` keeps alive.
        unsafe { self.slot.as_ref() }
    }
}

impl Drop for Participant {
    fn drop(&mut self) {
        let left = self.leave();
        self.domain.slots().release(self.slot);
        if left {
            self.domain.notice();
        }
    }
}
