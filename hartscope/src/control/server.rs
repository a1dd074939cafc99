//! The server: all clients, on one thread that waits for all of them at once.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::commands::{self, Outcome};
use super::framing::Frame;
use super::qmp::{self, Answer, Event, Failure};
use super::session::Session;
use super::worker::{Job, Ticket};
use super::{KICK, Note, Shared, address, all_signals_but};

/// With so many clients, the oldest one that has not said `qmp_capabilities` makes room.
const MAX_CLIENTS: usize = 32;
/// Commands of one client before the others have their turn.
const TURN: usize = 16;
/// Nobody can wake the server before the guest has begun: it looks by itself.
const BEFORE_GUEST: Duration = Duration::from_millis(20);
/// How long to wait when there are no descriptors.
const WITHOUT_DESCRIPTORS: Duration = Duration::from_millis(100);
/// How long clients may take to hear of the end.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long they may take to fetch what they have made.
const LAST_FETCH: Duration = Duration::from_secs(2);
/// The end takes no longer than this.
pub const LONGEST_END: Duration = Duration::from_secs(3);

/// Serves clients until the guest has ended. Gives who waits for that.
pub fn run(
    listener: &UnixListener,
    shared: &Arc<Shared>,
    jobs: &Sender<Job>,
) -> Option<Sender<()>> {
    let mut server = Server {
        listener,
        may_accept: true,
        sessions: Vec::new(),
        last_number: 0,
        ended: None,
        quit: false,
        shared: shared.clone(),
        jobs: jobs.clone(),
    };
    if catch_unwind(AssertUnwindSafe(|| server.serve())).is_err() {
        let _ = jobs.send(Job::Failed);
    }
    server.ended.map(|end| end.told)
}

struct Server<'a> {
    listener: &'a UnixListener,
    /// There were descriptors for clients, the last time.
    may_accept: bool,
    sessions: Vec<Session>,
    last_number: u64,
    ended: Option<End>,
    /// A client has ended the guest.
    quit: bool,
    shared: Arc<Shared>,
    jobs: Sender<Job>,
}

/// The guest has ended.
struct End {
    at: Instant,
    /// Who waits until clients have been told.
    told: Sender<()>,
}

impl End {
    /// When the connection is given up.
    fn deadline(&self, session: &Session) -> Option<Instant> {
        let patience = match session.has_lingered {
            true => LAST_FETCH,
            false => LAST_WORDS,
        };
        session.has_outstanding().then(|| self.at + patience)
    }
}

impl Server<'_> {
    fn serve(&mut self) {
        while !self.is_over() {
            let timeout = self.timeout();
            self.wait(timeout);
            self.take_notes();
            if self.ended.is_none() {
                self.accept();
            }
            for at in 0..self.sessions.len() {
                self.sessions[at].receive();
                self.take_commands(at);
            }
            self.send();
        }
        self.sessions.clear();
    }

    /// How long the guest's end still has to wait for clients; `None` while it has not ended.
    fn left(&self) -> Option<Duration> {
        let end = self.ended.as_ref()?;
        let deadlines = self.sessions.iter();
        let last = deadlines.filter_map(|session| end.deadline(session)).max();
        let left = last.map(|last| last.saturating_duration_since(Instant::now()));
        Some(left.unwrap_or_default())
    }

    fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    fn send(&mut self) {
        for session in &mut self.sessions {
            session.send();
        }
        let jobs = &self.jobs;
        self.sessions.retain(|session| {
            let stays = !session.is_over();
            if !stays {
                // The worker ends with the guest, and what it holds with it.
                let _ = jobs.send(Job::Left(session.number));
            }
            stays
        });
    }

    fn timeout(&mut self) -> Option<Duration> {
        if self.sessions.iter().any(Session::has_commands) {
            Some(Duration::ZERO)
        } else if !self.may_accept {
            Some(WITHOUT_DESCRIPTORS)
        } else if !self.shared.remote.has_begun() {
            Some(BEFORE_GUEST)
        } else {
            self.left()
        }
    }

    /// Waits until a client or a note comes. The kick that announces a note is let in here only, so
    /// that none is missed.
    fn wait(&mut self, timeout: Option<Duration>) {
        let entry = |fd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let mut fds = Vec::with_capacity(1 + self.sessions.len());
        if std::mem::replace(&mut self.may_accept, true) {
            fds.push(entry(self.listener.as_raw_fd(), libc::POLLIN));
        }
        for session in &self.sessions {
            // One that is not waited for at all is left out: that it hangs up would wake us for ever.
            if let Some(events) = session.events() {
                fds.push(entry(session.fd(), events));
            }
        }
        let timeout = timeout.map(|time| libc::timespec {
            tv_sec: time.as_secs() as libc::time_t,
            tv_nsec: time.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        let mask = all_signals_but(&[KICK]);
        // SAFETY: all pointers are to values that live here. An interruption is as good as an event.
        unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout, &mask) };
    }

    fn take_notes(&mut self) {
        for note in self.shared.take() {
            match note {
                Note::Done(ticket, answer) => self.done(ticket, answer),
                Note::Event(event) => self.announce(&event),
                Note::Lingers(client, lingers) => {
                    if let Some(session) = self.session(client) {
                        session.lingers = lingers;
                        session.has_lingered |= lingers;
                    }
                }
                Note::End(told) => {
                    let reason = match self.quit {
                        true => "host-qmp-quit",
                        false => "guest-shutdown",
                    };
                    let data = serde_json::json!({ "guest": !self.quit, "reason": reason });
                    self.announce(&Event::with("SHUTDOWN", data));
                    self.ended = Some(End {
                        at: Instant::now(),
                        told,
                    });
                }
            }
        }
    }

    fn done(&mut self, ticket: Ticket, answer: Answer) {
        if let Some(session) = self.session(ticket.client) {
            session.is_busy = false;
            session.say(&qmp::answer(ticket.id, answer));
        }
    }

    fn session(&mut self, client: u64) -> Option<&mut Session> {
        let mut sessions = self.sessions.iter_mut();
        sessions.find(|session| session.number == client)
    }

    fn announce(&mut self, event: &Event) {
        let value = event.to_value();
        for session in self.sessions.iter_mut().filter(|session| session.is_ready) {
            session.say(&value);
        }
    }

    fn accept(&mut self) {
        // A few at a time: clients that are there have their turn.
        for _ in 0..TURN {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    self.may_accept = error.kind() == io::ErrorKind::WouldBlock;
                    return;
                }
            };
            if !address::is_own_user(&stream) || stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.sessions.len() >= MAX_CLIENTS {
                let mut sessions = self.sessions.iter();
                match sessions.position(|session| !session.is_ready) {
                    Some(oldest) => drop(self.sessions.remove(oldest)),
                    None => continue,
                }
            }
            self.last_number += 1;
            let mut session = Session::new(self.last_number, stream);
            session.say(&qmp::greeting());
            self.sessions.push(session);
        }
    }

    fn take_commands(&mut self, at: usize) {
        for _ in 0..TURN {
            match self.sessions[at].next() {
                None => return,
                Some(Frame::Message(message)) => self.command(at, &message),
                Some(Frame::Broken(why)) => {
                    let failure = Failure::generic(format!("JSON parse error: {why}"));
                    self.sessions[at].say(&qmp::answer(None, Err(failure)));
                }
                Some(Frame::TooLong) => {
                    let failure = Failure::generic("the command is too long");
                    self.sessions[at].say(&qmp::answer(None, Err(failure)));
                    self.sessions[at].close();
                }
            }
        }
    }

    fn command(&mut self, at: usize, message: &[u8]) {
        let (id, command) = qmp::parse(message);
        let outcome = match command {
            Ok(command) => self.outcome(at, &command),
            Err(failure) => Outcome::now(Err(failure)),
        };
        match outcome {
            Outcome::Now { answer, event } => {
                self.sessions[at].say(&qmp::answer(id, answer));
                if let Some(event) = event {
                    self.announce(&event);
                }
            }
            Outcome::Quit => {
                self.sessions[at].say(&qmp::answer(id, Ok(Value::Object(Default::default()))));
                self.sessions[at].send();
                self.quit = true;
                self.shared.remote.quit();
            }
            Outcome::Order(order) => {
                let session = &mut self.sessions[at];
                session.is_busy = true;
                let ticket = Ticket {
                    client: session.number,
                    id,
                };
                // The worker ends with the guest, and then there is nobody to be answered.
                let _ = self.jobs.send(Job::Order(ticket, order));
            }
        }
    }

    fn outcome(&mut self, at: usize, command: &qmp::Command) -> Outcome {
        let session = &mut self.sessions[at];
        let is_negotiation = command.name == commands::CAPABILITIES;
        match (session.is_ready, is_negotiation) {
            (false, true) => {
                let outcome = commands::run(&self.shared, command);
                session.is_ready = matches!(outcome, Outcome::Now { answer: Ok(_), .. });
                outcome
            }
            (false, false) => Outcome::now(Err(Failure::no_command(
                "Expecting capabilities negotiation with 'qmp_capabilities'",
            ))),
            (true, true) => Outcome::now(Err(Failure::no_command(
                "Capabilities negotiation is already complete, command ignored",
            ))),
            (true, false) => commands::run(&self.shared, command),
        }
    }
}
