//! Grace periods: when may something that vCPUs still read be freed?
//!
//! A [`Domain`] answers by quiescent states. Each thread that reads shared objects without locks
//! owns a [`Participant`], which is *online* while the thread may hold references and *offline*
//! while it cannot (a halted vCPU, one blocked in a system call). Now and then an online
//! participant [`quiesce`](Participant::quiesce)s: it holds no reference at that moment. Whoever
//! makes an object unreachable hands the rest of its life to [`Domain::retire`] as a *job*, which
//! runs once every participant that might hold a reference has quiesced or gone offline. Nobody
//! waits for anybody.
//!
//! # Rules for users
//!
//! 1. Dereference a shared object only while online, and forget the reference before the next
//!    `quiesce` or `offline`.
//! 2. Make an object unreachable first, then retire it.
//! 3. A job runs exactly once, on any thread, with none of the domain's locks held, never nested in
//!    another job, in the order of the `retire` calls. It may call `retire`.
//! 4. `retire` by a thread whose own participant is online never runs a job: the caller itself is
//!    what the new job waits for. So instrumentation callbacks and code that holds locks may
//!    retire. A thread that is offline or has no participant must hold no lock that a job takes.
//! 5. A fork leaves the child a domain whose other participants never move: the child makes a new
//!    domain and leaks the old one.
//!
//! The protocol behind this, with its memory orderings, is in [`domain`].

pub mod domain;
mod participant;
mod slots;
pub mod sync;

pub use domain::{Domain, Holder, Job, Stall};
pub use participant::Participant;
