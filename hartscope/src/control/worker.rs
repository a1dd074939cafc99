//! The worker: attaches, detaches and resets plugins.
//!
//! 1. A plugin's code runs on this thread only (and on vCPUs'), so that no client waits for another
//!    one's plugin, and `stop` and `quit` work whatever a plugin does.
//! 2. Plugins have small numbers here, which are never given twice.
//! 3. A profile is made for one client, and taken down when that client goes.
//! 4. A detach is granted at once. That the library is closed is an event: it comes when the last
//!    callback has returned. A reset is answered when the plugin has installed itself anew, which it
//!    does here: the thread that finds its last callback returned merely says so.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use plugin_rt::{Measured, NotReset, PluginId, Refused, Spec, Spread, Work};
use serde_json::{Value, json};
use vcpu::Engine;

use super::monitor;
use super::profiles::Profiles;
use super::qmp::{Answer, Event, Failure};
use super::{Note, Shared};
use crate::latency;

/// How often to look whether a plugin's last callback has returned, or its first ones have come.
const SOON: Duration = Duration::from_millis(2);
/// How long to wait for first events where an attachment has been taken notice of.
const EVENTS: Duration = Duration::from_millis(20);
/// How long to wait for it to be taken notice of.
const REACH: Duration = Duration::from_secs(1);

/// Which client's command a job is.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// The client.
    pub client: u64,
    /// The id that it gave its command.
    pub id: Option<Value>,
}

/// What is to be done.
pub enum Job {
    /// For a client.
    Order(Ticket, Order),
    /// This client is gone.
    Left(u64),
    /// The last callback of the plugin of this number has returned, which is being reset.
    Quiet(u64),
    /// What is due after a grace period: the end of a plugin, for one.
    Due(Work),
    /// The server is out of order.
    Failed,
    /// The guest has ended. Clients may fetch what is theirs; nothing else is done from here on.
    End(mpsc::Sender<()>),
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// A plugin with its arguments.
    Attach(Spec),
    /// The plugin of this number.
    Detach(u64),
    /// The plugin of this number.
    Reset(u64),
    /// The plugins.
    List,
    /// The same to read.
    Print,
    /// A profile of the client's own.
    StartProfile,
    /// Its end.
    StopProfile,
    /// What it consists of, from this part on.
    ReadProfile(usize),
    /// How long things take, recorded from now on, and that of these callbacks.
    Record(Measured),
}

/// A plugin.
struct Entry {
    number: u64,
    id: PluginId,
    spec: Spec,
    state: State,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Live,
    /// Until its last callback has returned.
    Draining,
    /// The same, and then it begins anew, which answers a command.
    Resetting(Ticket),
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            State::Live => "live",
            State::Draining => "draining",
            State::Resetting(_) => "resetting",
        }
    }
}

/// See the module.
pub struct Worker {
    shared: Arc<Shared>,
    /// Where it finds its own jobs.
    own: mpsc::Sender<Job>,
    entries: Vec<Entry>,
    last_number: u64,
    profiles: Profiles,
    guest_has_ended: bool,
    /// The plugin whose reach is to be told, attached then.
    reaching: Option<(u64, Instant)>,
}

impl Worker {
    /// With the plugins that are there from the start.
    pub fn new(
        shared: Arc<Shared>,
        own: mpsc::Sender<Job>,
        loaded: Vec<(PluginId, Spec)>,
    ) -> Worker {
        let due = own.clone();
        shared.runtime.set_helper(move |work| {
            due.send(Job::Due(work))
                .map_err(|mpsc::SendError(job)| match job {
                    Job::Due(work) => work,
                    _ => unreachable!("that is what was sent"),
                })
        });
        let mut worker = Worker {
            shared,
            own,
            entries: Vec::new(),
            last_number: 0,
            profiles: Profiles::default(),
            guest_has_ended: false,
            reaching: None,
        };
        for (id, spec) in loaded {
            worker.enter(id, spec);
        }
        worker
    }

    /// Works until nobody has anything to be done.
    pub fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        loop {
            let job = match self.waits() {
                false => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                true => jobs.recv_timeout(SOON),
            };
            match job {
                Ok(Job::Order(ticket, order)) => self.order(ticket, order),
                Ok(Job::Left(client)) => self.profiles.leave(&self.shared, client),
                Ok(Job::Quiet(number)) => self.begin_anew(number),
                Ok(Job::Due(work)) => self.shared.remote.inside(work),
                Ok(Job::Failed) => eprintln!("hartscope: the control socket has failed"),
                Ok(Job::End(done)) => {
                    self.guest_has_ended = true;
                    self.profiles.guest_has_ended(&self.shared);
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_after();
            self.look_how_far();
        }
    }

    /// Whether there is something whose end is near.
    fn waits(&self) -> bool {
        let mut entries = self.entries.iter();
        let ends = self.reaching.is_some()
            || self.profiles.are_ending()
            || entries.any(|entry| entry.state == State::Draining);
        ends && !self.guest_has_ended
    }

    fn order(&mut self, ticket: Ticket, order: Order) {
        let answer = match order {
            Order::StopProfile => return self.profiles.stop(&self.shared, ticket),
            Order::ReadProfile(from) => self.profiles.read(&self.shared, ticket.client, from),
            _ if self.guest_has_ended => Err(Failure::generic("the guest has ended")),
            Order::StartProfile => self.profiles.start(&self.shared, ticket.client),
            Order::Attach(spec) => self.attach(spec),
            Order::Detach(number) => self.detach(number).map(|()| json!({})),
            Order::Reset(number) => match self.reset(number, &ticket) {
                // Answered when it is done.
                Ok(()) => return,
                Err(failure) => Err(failure),
            },
            Order::List => {
                self.look_after();
                Ok(self.list())
            }
            Order::Record(callbacks) => self.record(callbacks),
            Order::Print => {
                self.look_after();
                Ok(monitor::plugins(&self.list()).into())
            }
        };
        self.shared.tell(Note::Done(ticket, answer));
    }

    fn record(&self, callbacks: Measured) -> Answer {
        let Shared {
            remote, runtime, ..
        } = &*self.shared;
        let begun = remote.inside(|| {
            let records = |engine: Option<&Engine>| engine.map(Engine::record_latencies).is_some();
            let begun = remote.engine(records);
            if begun {
                runtime.measure_callbacks(callbacks);
            }
            begun
        });
        match begun {
            true => Ok(remote.engine(latency::query)),
            false => Err(Failure::generic("there is no guest that runs")),
        }
    }

    fn attach(&mut self, spec: Spec) -> Answer {
        self.tell_reach();
        let id = self.load(&spec)?;
        let number = self.enter(id, spec);
        self.announce("PLUGIN_ATTACHED", number);
        self.reaching = Some((number, Instant::now()));
        Ok(json!({ "id": number }))
    }

    /// Tells how an attachment has reached the vCPUs, if it has.
    fn look_how_far(&mut self) {
        let Some((_, since)) = self.reaching else {
            return;
        };
        let attach = self.shared.runtime.last_attach();
        let is_over = attach.is_none_or(|attach| {
            let all_events = attach.events.vcpus >= attach.taken.vcpus;
            let is_settled = attach.vcpus == 0 || attach.settled.is_some();
            is_settled && (all_events || since.elapsed() >= EVENTS)
        });
        if is_over || since.elapsed() >= REACH {
            self.tell_reach();
        }
    }

    /// Tells how far the last attachment has got. There is no later time for that: another plugin may
    /// come, or this one go.
    fn tell_reach(&mut self) {
        let Some((number, _)) = self.reaching.take() else {
            return;
        };
        let mut data = json!({ "id": number });
        let entry = self.entries.iter().find(|entry| entry.number == number);
        let attach = self.shared.runtime.last_attach();
        if let Some(attach) = attach.filter(|a| entry.is_some_and(|entry| entry.id == a.plugin)) {
            data["vcpus"] = attach.vcpus.into();
            data["settled-ns"] = nanoseconds(attach.settled);
            data["taken"] = spread(attach.taken);
            data["first-events"] = spread(attach.events);
        }
        self.shared
            .tell(Note::Event(Event::with("PLUGIN_REACHED", data)));
    }

    fn load(&self, spec: &Spec) -> Result<PluginId, Failure> {
        let Shared {
            remote, runtime, ..
        } = &*self.shared;
        let ids = || runtime.plugins().into_iter().map(|plugin| plugin.id());
        let before: Vec<PluginId> = ids().collect();
        remote.inside(|| {
            runtime.load(spec).map_err(|error| {
                // One that would not install itself is of no use to anybody.
                for id in ids().filter(|id| !before.contains(id)) {
                    let _ = runtime.uninstall(id);
                }
                Failure::generic(error.to_string())
            })
        })
    }

    fn enter(&mut self, id: PluginId, spec: Spec) -> u64 {
        self.last_number += 1;
        self.entries.push(Entry {
            number: self.last_number,
            id,
            spec,
            state: State::Live,
        });
        self.last_number
    }

    fn entry(&mut self, number: u64) -> Result<&mut Entry, Failure> {
        let mut entries = self.entries.iter_mut();
        entries
            .find(|entry| entry.number == number)
            .ok_or_else(|| Failure::no_plugin(number))
    }

    fn detach(&mut self, number: u64) -> Result<(), Failure> {
        let reaching = self
            .reaching
            .is_some_and(|(reaching, _)| reaching == number);
        if reaching {
            self.tell_reach();
        }
        let shared = Arc::clone(&self.shared);
        let entry = self.entry(number)?;
        let granted = shared.remote.inside(|| shared.runtime.uninstall(entry.id));
        granted.map_err(|refused| no(number, refused))?;
        if let State::Resetting(ticket) = std::mem::replace(&mut entry.state, State::Draining) {
            let answer = Err(no(number, Refused::Ending));
            self.shared.tell(Note::Done(ticket, answer));
        }
        Ok(())
    }

    fn reset(&mut self, number: u64, ticket: &Ticket) -> Result<(), Failure> {
        self.tell_reach();
        let (shared, own) = (Arc::clone(&self.shared), self.own.clone());
        let entry = self.entry(number)?;
        let told = move || {
            // Nobody listens any more when the guest has ended.
            let _ = own.send(Job::Quiet(number));
        };
        let granted = shared
            .remote
            .inside(|| shared.runtime.reset(entry.id, told));
        granted.map_err(|refused| no(number, refused))?;
        entry.state = State::Resetting(ticket.clone());
        Ok(())
    }

    /// The rest of a reset.
    fn begin_anew(&mut self, number: u64) {
        let shared = Arc::clone(&self.shared);
        let guest = match self.guest_has_ended {
            true => Err(Failure::generic("the guest has ended")),
            false => Ok(()),
        };
        let Ok(entry) = self.entry(number) else {
            return;
        };
        let State::Resetting(ticket) = &entry.state else {
            // A detach has overtaken it.
            return;
        };
        let ticket = ticket.clone();
        entry.state = State::Live;
        let begun = guest.and_then(|()| {
            let begun = shared.remote.inside(|| shared.runtime.begin_anew(entry.id));
            begun.map_err(|error| match error {
                NotReset::Refused(refused) => no(number, refused),
                NotReset::Load(error) => Failure::generic(error.to_string()),
            })
        });
        if begun.is_ok() {
            self.announce("PLUGIN_RESET", number);
        }
        shared.tell(Note::Done(ticket, begun.map(|()| json!({}))));
    }

    /// Finds out which plugins are gone, and which profiles are complete.
    fn look_after(&mut self) {
        if self.guest_has_ended {
            return;
        }
        let Shared {
            remote, runtime, ..
        } = &*self.shared;
        if self.waits() {
            remote.inside(|| runtime.domain().poll());
        }
        self.profiles.look_after(&self.shared);
        let there = runtime.plugins();
        let is_gone = |entry: &Entry| !there.iter().any(|plugin| plugin.id() == entry.id);
        // Also those that have uninstalled themselves; not one whose reset is to be answered yet.
        let gone: Vec<Entry> = self
            .entries
            .extract_if(.., |entry| {
                !matches!(entry.state, State::Resetting(_)) && is_gone(entry)
            })
            .collect();
        for entry in gone {
            self.detached(entry.number, &entry.spec);
        }
    }

    fn list(&self) -> Value {
        let plugins = self.shared.runtime.plugins();
        let version = |id| {
            let plugin = plugins.iter().find(|plugin| plugin.id() == id);
            plugin.map(|plugin| plugin.version())
        };
        let shown = self.entries.iter().map(|entry| {
            json!({
                "id": entry.number,
                "file": entry.spec.path.to_string_lossy(),
                "args": texts(&entry.spec.arguments),
                "version": version(entry.id),
                "state": entry.state.name(),
            })
        });
        shown.collect()
    }

    fn announce(&self, event: &'static str, number: u64) {
        let entry = self.entries.iter().find(|entry| entry.number == number);
        let file = entry.map(|entry| entry.spec.path.to_string_lossy());
        let data = json!({ "id": number, "file": file });
        self.shared.tell(Note::Event(Event::with(event, data)));
    }

    fn detached(&self, number: u64, spec: &Spec) {
        let data = json!({ "id": number, "file": spec.path.to_string_lossy() });
        let event = Event::with("PLUGIN_DETACHED", data);
        self.shared.tell(Note::Event(event));
    }
}

/// What vCPUs have done each at its time, since the publication.
fn spread(spread: Spread) -> Value {
    json!({
        "vcpus": spread.vcpus,
        "first-ns": nanoseconds(spread.first),
        "last-ns": nanoseconds(spread.last),
        "skew-ns": nanoseconds(spread.skew()),
    })
}

/// Null if there is no time.
fn nanoseconds(time: Option<Duration>) -> Value {
    let nanoseconds = time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    nanoseconds.into()
}

fn no(number: u64, refused: Refused) -> Failure {
    match refused {
        Refused::Unknown => Failure::no_plugin(number),
        refused => Failure::generic(format!("plugin {number}: {refused}")),
    }
}

fn texts(words: &[OsString]) -> Vec<String> {
    let texts = words.iter().map(|word| word.to_string_lossy().into_owned());
    texts.collect()
}
