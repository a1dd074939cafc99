//! The quiescence domain.
//!
//! # Protocol
//!
//! `generation` counts the calls of `retire`; a job carries the generation that its call made. Each
//! participant's `seen` says from which generation on it cannot hold a reference to anything that
//! was retired before (offline counts as later than everything).
//!
//! 1. **Ready.** The job of generation *g* may run when every slot has `seen >= g`. This is decided
//!    by a scan under the queue's lock, after a `SeqCst` fence.
//! 2. **Retire.** Under the lock: advance `generation` (Release), append the job. Then unlock,
//!    `SeqCst` fence, and look whether the job is ready already.
//! 3. **Online.** Store some generation to `seen`, then a `SeqCst` fence, then read shared objects.
//!    Against rule 1's fence this is Dekker's pattern: either the scan sees the participant, or the
//!    participant sees the object gone. In the second case the object was made unreachable before
//!    `retire`, whose lock the scanner has held since.
//! 4. **Quiesce.** Load `generation`; if it has moved, store it to `seen` (Release), then a `SeqCst`
//!    fence, which also acquires what happened before *g* was made. No Dekker is needed here: a
//!    participant that saw *g* finds nothing that was retired before, and one that did not see *g*
//!    is waited for. The hot path has neither fence nor read-modify-write.
//! 5. **Leaving** (offline, drop): store to `seen` (Release).
//! 6. **Nobody forgets a job.** Retire, leaving, and a quiesce that moved `seen` each end with a
//!    `SeqCst` fence and a look at the queue. Of all the threads whose step the job was waiting for
//!    (its `retire` included), the one whose fence is last in the total order sees the steps of the
//!    others, and so sees that the job is ready. One that gets ahead by coming online with an old
//!    generation is waited for, and looks in its turn.
//! 7. **One drainer.** Who sees a ready job becomes the drainer, unless there is one, and runs all
//!    that is ready, in order, the lock released around each job. A drainer stops only after a scan
//!    that found nothing ready, in the critical section in which it resigns: whoever found it busy
//!    did so before that scan, which therefore sees everything the other saw.
//! 8. **The horizon** of a scan, the oldest `seen`, never exceeds the newest generation at the time:
//!    with everybody offline it says nothing about jobs to come.
//!
//! Each ordering's comment names its partner, and [`crate::ordering!`] the model in `loom-tests`
//! that fails without it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::participant::Participant;
use crate::slots::SlotList;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed, fence};
use crate::{ordering, step};

/// What is to be done after a grace period.
pub type Job = Box<dyn FnOnce() + Send>;

/// Grace periods for one set of participants. See the crate's documentation.
pub struct Domain {
    clock: Clock,
    slots: SlotList,
    queue: Mutex<Queue>,
}

/// The words that every participant reads often, and that change only with the queue. On lines of
/// their own, away from the lock.
#[repr(align(128))]
struct Clock {
    /// Number of the newest generation; the first is 1.
    generation: AtomicU64,
    /// Generation of the oldest job in the queue, or [`NO_JOB`].
    oldest: AtomicU64,
}

/// [`Clock::oldest`] of an empty queue.
const NO_JOB: u64 = u64::MAX;

struct Queue {
    /// The truth of `Clock::generation`, whose copy there only readers load.
    generation: u64,
    /// Generations ascend.
    waiting: VecDeque<Waiting>,
    /// Whether some thread is running jobs.
    draining: bool,
    /// Jobs waiting or running.
    unfinished: usize,
}

struct Waiting {
    generation: u64,
    since: Instant,
    job: Job,
}

/// The oldest grace period that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// How long ago its job was retired.
    pub age: Duration,
    /// How many jobs have not run to their end.
    pub pending: usize,
    /// Who holds it up. Empty if the job is ready and waits for an earlier one that is running.
    pub holders: Vec<Holder>,
}

/// A participant that holds up a grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its index in the domain.
    pub index: u32,
    /// Its label, see [`Participant::set_tag`].
    pub tag: u64,
}

impl Domain {
    /// A domain without participants.
    pub fn new() -> Arc<Domain> {
        Arc::new(Domain {
            clock: Clock {
                generation: AtomicU64::new(1),
                oldest: AtomicU64::new(NO_JOB),
            },
            slots: SlotList::new(),
            queue: Mutex::new(Queue {
                generation: 1,
                waiting: VecDeque::new(),
                draining: false,
                unfinished: 0,
            }),
        })
    }

    /// Adds a participant, offline.
    pub fn register(self: &Arc<Self>) -> Participant {
        Participant::new(Arc::clone(self))
    }

    /// Runs `job` once no participant can hold a reference any more to what became unreachable
    /// before this call. Returns at once; rule 4 of the crate says when jobs may run inside it.
    pub fn retire(&self, job: Job) {
        let generation = {
            let mut queue = self.queue.lock();
            queue.generation += 1;
            let generation = queue.generation;
            // Release: pairs with the load in `quiesce` and `online` and the fence after it; who
            // passes this generation no longer finds what became unreachable before.
            self.clock.generation.store(
                generation,
                ordering!(Release, "domain.retire" => "reader_quiesces"),
            );
            if queue.waiting.is_empty() {
                self.clock.oldest.store(generation, Relaxed);
            }
            queue.waiting.push_back(Waiting {
                generation,
                since: Instant::now(),
                job,
            });
            queue.unfinished += 1;
            generation
        };
        // Pairs with the fences of leaving and quiescing participants (rule 6).
        fence(ordering!(SeqCst, "domain.retire.fence" => "reader"));
        if self.passed(generation) {
            self.drain();
        }
    }

    /// Number of jobs that have not run to their end.
    pub fn pending(&self) -> usize {
        self.queue.lock().unfinished
    }

    /// Runs what is ready. Jobs find their thread without this; it is for one who has reason to
    /// doubt that, as after a job has panicked.
    pub fn poll(&self) {
        self.drain();
    }

    /// The oldest grace period still open, and who holds it up.
    pub fn oldest(&self) -> Option<Stall> {
        let queue = self.queue.lock();
        let oldest = queue.waiting.front()?;
        let holders = self
            .slots
            .iter()
            .filter(|slot| slot.seen.load(Relaxed) < oldest.generation)
            .map(|slot| Holder {
                index: slot.index,
                tag: slot.tag.load(Relaxed),
            })
            .collect();
        Some(Stall {
            age: oldest.since.elapsed(),
            pending: queue.unfinished,
            holders,
        })
    }

    pub(crate) fn slots(&self) -> &SlotList {
        &self.slots
    }

    #[inline]
    pub(crate) fn generation(&self) -> &AtomicU64 {
        &self.clock.generation
    }

    /// Runs what is ready, if anything looks so. The caller has moved its `seen` and put a `SeqCst`
    /// fence after that (rule 6).
    pub(crate) fn notice(&self) {
        let oldest = self.clock.oldest.load(Relaxed);
        if oldest != NO_JOB && self.passed(oldest) {
            self.drain();
        }
    }

    /// Whether nobody holds up `generation`. A hint, hence no ordering: `Drainer::next` decides.
    fn passed(&self, generation: u64) -> bool {
        let mut slots = self.slots.iter();
        slots.all(|slot| slot.seen.load(Relaxed) >= generation)
    }

    fn drain(&self) {
        let mut queue = self.queue.lock();
        if step!("domain.drain.alone" => "jobs_in_order", queue.draining) {
            return;
        }
        queue.draining = true;
        drop(queue);
        let mut drainer = Drainer {
            domain: self,
            horizon: 0,
            unfinished: 0,
            resigned: false,
        };
        while let Some(job) = drainer.next() {
            job();
        }
    }
}

/// The thread that runs jobs (rule 7).
struct Drainer<'a> {
    domain: &'a Domain,
    /// Jobs up to this generation are ready.
    horizon: u64,
    /// 1 while a job runs, which then has to be counted as finished.
    unfinished: usize,
    resigned: bool,
}

impl Drainer<'_> {
    /// Ends the job before; gives the next one, or resigns.
    fn next(&mut self) -> Option<Job> {
        let mut queue = self.domain.queue.lock();
        queue.unfinished -= std::mem::take(&mut self.unfinished);
        let front = queue.waiting.front().map(|waiting| waiting.generation);
        if let Some(front) = front
            && front > self.horizon
        {
            // Pairs with the fence in `online` (rule 3), for every job in the queue: the lock
            // orders the fence after the step that made its object unreachable.
            fence(ordering!(SeqCst, "domain.drain.fence" => "two_vcpus"));
            self.horizon = self.scan().min(queue.generation);
        }
        match queue
            .waiting
            .pop_front_if(|waiting| waiting.generation <= self.horizon)
        {
            Some(waiting) => {
                let oldest = queue.waiting.front().map_or(NO_JOB, |next| next.generation);
                self.domain.clock.oldest.store(oldest, Relaxed);
                self.unfinished = 1;
                Some(waiting.job)
            }
            None => {
                queue.draining = false;
                self.resigned = true;
                None
            }
        }
    }

    /// The oldest `seen` of all.
    fn scan(&self) -> u64 {
        // Acquire: pairs with every store to `seen`; the owner's accesses before that store happen
        // before the jobs that this scan lets run.
        let slots = self.domain.slots.iter();
        slots
            .map(|slot| {
                slot.seen
                    .load(ordering!(Acquire, "domain.scan" => "scan_sees_leaver"))
            })
            .min()
            .unwrap_or(u64::MAX)
    }
}

impl Drop for Drainer<'_> {
    /// A job that panics must not keep the others from running later.
    fn drop(&mut self) {
        if !self.resigned {
            let mut queue = self.domain.queue.lock();
            queue.unfinished -= self.unfinished;
            queue.draining = false;
        }
    }
}

impl Drop for Domain {
    /// Without participants everything is ready.
    fn drop(&mut self) {
        for waiting in std::mem::take(&mut self.queue.get_mut().waiting) {
            (waiting.job)();
        }
    }
}
