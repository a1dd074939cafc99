//! Built-in subscribers that count, each event twice: by an addition in the block's code and by a call.
//!
//! 1. When an attachment is over, or is reset, its two counts are equal: an event was not seen by one
//!    of them only, nor is any still on its way.
//! 2. A call carries a *ticket*: which record it is for, and which generation of that. A record begins a
//!    new generation at each attachment and reset. So a call that comes late is found out, and finds
//!    memory that is there: records stay for ever.
//! 3. Here too a forked child has what its parent had, and checks it.

use std::array;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use plugin_rt::{BuiltIn, Entered, PluginId, Runtime, Shown};
use scoreboard::{Areas, Board, Full};
use translate::hooks::Hook;

use super::slot::Slot;
use super::violations::Violations;

/// Attachments that may be there, or on their way out, at a time.
const RECORDS: usize = 512;
/// So many vCPUs count without meeting.
const SHARDS: usize = 8;
/// How often a [`Kind::Leaver`] counts before it acts.
const LEAVES_AFTER: u64 = 20_000;
/// The same for a [`Kind::Renewer`], which acts again and again.
const RENEWS_AFTER: u64 = 500_000;

/// What a witness does besides counting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Nothing: it counts blocks.
    Blocks,
    /// The same for instructions.
    Insns,
    /// It uninstalls itself in a callback.
    Leaver,
    /// It resets itself in a callback, now and then.
    Renewer,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Blocks, Kind::Insns, Kind::Leaver, Kind::Renewer];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Blocks => "block counter",
            Kind::Insns => "instruction counter",
            Kind::Leaver => "counter that leaves",
            Kind::Renewer => "counter that begins anew",
        }
    }
}

/// The records, and where violations are noted.
pub struct Witnesses {
    violations: &'static Violations,
    records: Box<[Record]>,
    generations: AtomicU64,
    /// Calls of records that are not in use any more.
    called: AtomicU64,
}

#[repr(align(64))]
struct Shard(AtomicU64);

/// What stays of an attachment.
struct Record {
    taken: AtomicBool,
    /// 0 between two attachments.
    generation: AtomicU64,
    /// Whose it is, once that is known.
    id: AtomicU64,
    called: [Shard; SHARDS],
}

impl Record {
    fn called(&self) -> u64 {
        self.called.iter().map(|shard| shard.0.load(Relaxed)).sum()
    }
}

/// A record and its generation in one word.
#[derive(Clone, Copy)]
struct Ticket(u64);

impl Ticket {
    fn new(record: usize, generation: u64) -> Ticket {
        Ticket(generation * RECORDS as u64 + record as u64)
    }

    fn record(self) -> usize {
        (self.0 % RECORDS as u64) as usize
    }

    fn generation(self) -> u64 {
        self.0 / RECORDS as u64
    }
}

impl Witnesses {
    pub fn new(violations: &'static Violations) -> Witnesses {
        let record = |_| Record {
            taken: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            id: AtomicU64::new(0),
            called: array::from_fn(|_| Shard(AtomicU64::new(0))),
        };
        Witnesses {
            violations,
            records: (0..RECORDS).map(record).collect(),
            generations: AtomicU64::new(1),
            called: AtomicU64::new(0),
        }
    }

    /// How often any of them has been called.
    pub fn called(&self) -> u64 {
        let now: u64 = self.records.iter().map(Record::called).sum();
        self.called.load(Relaxed) + now
    }

    fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Relaxed)
    }

    /// Counts a call; gives how many there have been on vCPUs like this one.
    fn call(&self, vcpu: u32, ticket: Ticket) -> u64 {
        let record = &self.records[ticket.record()];
        let generation = record.generation.load(Relaxed);
        if generation != ticket.generation() {
            self.violations.note(format_args!(
                "vCPU {vcpu} called a counter of generation {} after its end (now {generation})",
                ticket.generation()
            ));
            return 0;
        }
        let shard = &record.called[vcpu as usize % SHARDS].0;
        shard.fetch_add(1, Relaxed) + 1
    }
}

/// A witness that is attached. Belongs to the runtime, which drops it when its last callback has
/// returned.
pub struct Witness {
    all: &'static Witnesses,
    kind: Kind,
    record: usize,
    inlined: Board,
    slot: Arc<Slot>,
}

impl Witness {
    /// One that is to be attached; `None` if too many are on their way out.
    pub fn new(
        all: &'static Witnesses,
        kind: Kind,
        slot: Arc<Slot>,
        areas: &Arc<Areas>,
    ) -> Result<Option<Witness>, Full> {
        let mut records = all.records.iter();
        // Acquire would pair with nothing: what a record was before is of no interest.
        let Some(record) = records.position(|record| !record.taken.swap(true, Relaxed)) else {
            return Ok(None);
        };
        let inlined = match areas.new_board(size_of::<u64>()) {
            Ok(board) => board,
            Err(full) => {
                all.records[record].taken.store(false, Relaxed);
                return Err(full);
            }
        };
        let generation = all.next_generation();
        all.records[record].generation.store(generation, Relaxed);
        Ok(Some(Witness {
            all,
            kind,
            record,
            inlined,
            slot,
        }))
    }

    /// Where it is to be told its id, once it is in its slot: only then may it act for itself.
    pub fn identity(&self) -> Identity {
        Identity {
            all: self.all,
            ticket: Ticket::new(self.record, self.record().generation.load(Relaxed)),
        }
    }

    fn record(&self) -> &Record {
        &self.all.records[self.record]
    }

    /// Both counts, at a time when nobody counts.
    fn check(&self, when: &str) {
        let (inlined, called) = (self.inlined.sum(0), self.record().called());
        if inlined != called {
            self.all.violations.note(format_args!(
                "a {} counted {inlined} by additions and {called} by calls when it {when}",
                self.kind.name()
            ));
        }
    }
}

/// See [`Witness::identity`].
pub struct Identity {
    all: &'static Witnesses,
    ticket: Ticket,
}

impl Identity {
    /// The witness's id. If it has gone already, nobody is told.
    pub fn tell(&self, id: PluginId) {
        let record = &self.all.records[self.ticket.record()];
        if record.generation.load(Relaxed) == self.ticket.generation() {
            record.id.store(id.0, Relaxed);
        }
    }
}

impl BuiltIn for Witness {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn translated(&self, block: &mut Shown<'_>) {
        let offset = self.inlined.offset();
        let ticket = Ticket::new(self.record, self.record().generation.load(Relaxed));
        let function: Entered = match self.kind {
            Kind::Blocks | Kind::Insns => counted,
            Kind::Leaver => leaves,
            Kind::Renewer => begins_anew,
        };
        let hooks = [
            Hook::Add { offset, value: 1 },
            block.call(function, ticket.0),
        ];
        match self.kind {
            Kind::Insns => {
                let insns = block.pcs().len();
                for insn in 0..insns {
                    for hook in hooks {
                        block.before(insn, hook);
                    }
                }
            }
            _ => {
                for hook in hooks {
                    block.at_entry(hook);
                }
            }
        }
    }

    fn begins_anew(&self) {
        self.check("began anew");
        let generation = self.all.next_generation();
        self.record().generation.store(generation, Relaxed);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.check("had gone");
        let record = self.record();
        record.generation.store(0, Relaxed);
        self.slot.clear(PluginId(record.id.swap(0, Relaxed)));
        let called = record.called.iter().map(|shard| shard.0.swap(0, Relaxed));
        self.all.called.fetch_add(called.sum(), Relaxed);
        record.taken.store(false, Relaxed);
    }
}

/// Callbacks find the records here.
static ALL: std::sync::OnceLock<Witnesses> = std::sync::OnceLock::new();

/// The process's records.
pub fn of_process(violations: &'static Violations) -> &'static Witnesses {
    ALL.get_or_init(|| Witnesses::new(violations))
}

fn count(vcpu: u32, ticket: u64) -> (u64, PluginId) {
    let ticket = Ticket(ticket);
    match ALL.get() {
        Some(all) => (
            all.call(vcpu, ticket),
            PluginId(all.records[ticket.record()].id.load(Relaxed)),
        ),
        None => (0, PluginId(0)),
    }
}

extern "C" fn counted(vcpu: u32, ticket: u64) {
    count(vcpu, ticket);
}

extern "C" fn leaves(vcpu: u32, ticket: u64) {
    act(count(vcpu, ticket), LEAVES_AFTER, |runtime, id| {
        // Somebody else may have done it.
        let _ = runtime.uninstall(id);
    });
}

extern "C" fn begins_anew(vcpu: u32, ticket: u64) {
    act(count(vcpu, ticket), RENEWS_AFTER, |runtime, id| {
        // A control thread does the rest, when it resets or detaches the witness.
        let _ = runtime.reset(id, || ());
    });
}

fn act((calls, id): (u64, PluginId), after: u64, what: impl FnOnce(&Runtime, PluginId)) {
    if calls % after == after - 1
        && id.0 != 0
        && let Some(runtime) = Runtime::global()
    {
        what(runtime, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stress::slot::What;

    fn witness() -> (&'static Violations, Witness) {
        let violations = Violations::new().expect("there is memory");
        let all = Box::leak(Box::new(Witnesses::new(violations)));
        let areas = Areas::new(1 << 12);
        let _vcpu = areas.claim().expect("there is memory");
        let slot = Arc::new(Slot::new(What::Witness(Kind::Blocks)));
        let witness = Witness::new(all, Kind::Blocks, slot, &areas);
        let witness = witness.expect("there is room").expect("none is taken");
        (violations, witness)
    }

    fn add(witness: &Witness) {
        witness.inlined.slot(0).expect("there is a vCPU").add(0, 1);
    }

    #[test]
    fn counts_that_agree_are_no_violation() {
        let (violations, witness) = witness();
        let all = witness.all;
        let ticket = witness.identity().ticket;
        for _ in 0..3 {
            add(&witness);
            all.call(0, ticket);
        }
        witness.begins_anew();
        drop(witness);
        assert_eq!((violations.count(), all.called()), (0, 3));
    }

    #[test]
    fn a_count_that_is_lost_is_found() {
        let (violations, witness) = witness();
        add(&witness);
        drop(witness);
        let list = violations.list();
        assert_eq!(
            list,
            ["a block counter counted 1 by additions and 0 by calls when it had gone"]
        );
    }

    #[test]
    fn a_call_after_the_end_or_a_reset_is_found() {
        let (violations, witness) = witness();
        let all = witness.all;
        let first = witness.identity().ticket;
        witness.begins_anew();
        all.call(5, first);
        let second = witness.identity().ticket;
        drop(witness);
        all.call(6, second);
        let list = violations.list();
        assert!(
            list[0].starts_with("vCPU 5 called a counter of generation 1 after its end (now 2)")
        );
        assert!(
            list[1].starts_with("vCPU 6 called a counter of generation 2 after its end (now 0)")
        );
    }
}
