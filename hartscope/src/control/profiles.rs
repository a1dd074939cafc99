//! Profiles that clients have made.
//!
//! 1. A connection has one profile at most, and a profile ends with its connection: it is a client's
//!    own job, unlike a plugin, which stays.
//! 2. What has been counted is read when no vCPU counts any more, and goes out in pieces as the client
//!    asks for them: what waits for a slow client are rows, not vCPUs.
//! 3. The end of the guest ends the counting, not the profile: what there is can still be fetched.

use std::path::Path;

use serde_json::{Value, json};

use super::qmp::{Answer, Event, Failure};
use super::worker::Ticket;
use super::{Note, Shared};
use crate::profile::{Counting, Row};

/// About so many bytes of rows are sent at a time.
const PIECE: usize = 32 << 10;
/// Counts of a row that are sent together.
const COUNTS: usize = 256;
/// Bytes of a count in JSON, about.
const COUNT: usize = 24;

/// See the module.
#[derive(Default)]
pub struct Profiles(Vec<Profile>);

struct Profile {
    client: u64,
    state: State,
}

enum State {
    Live(Counting),
    /// Until no vCPU counts any more. Then the client is told, if it is still there.
    Ending(Counting, Option<Ticket>),
    Done(Rows),
}

/// What has been counted.
#[derive(Debug, Default)]
struct Rows {
    rows: Vec<Row>,
    /// What is sent together: a row, and some of the vCPUs that executed anything there.
    parts: Vec<(usize, Vec<usize>)>,
}

impl Profiles {
    /// Whether some are ending.
    pub fn are_ending(&self) -> bool {
        let mut states = self.0.iter().map(|profile| &profile.state);
        states.any(|state| matches!(state, State::Ending(..)))
    }

    /// Begins a client's profile. An earlier one of it that is complete is dropped.
    pub fn start(&mut self, shared: &Shared, client: u64) -> Answer {
        self.0
            .retain(|profile| profile.client != client || !profile.is_done());
        if self.of(client).is_some() {
            return Err(Failure::generic("there is a profile of this client"));
        }
        let counting = shared.remote.inside(|| Counting::begin(&shared.runtime));
        let counting = counting.map_err(|error| Failure::generic(error.to_string()))?;
        self.0.push(Profile {
            client,
            state: State::Live(counting),
        });
        shared.tell(Note::Lingers(client, true));
        shared.tell(Note::Event(Event::plain("PROFILE_STARTED")));
        Ok(json!({}))
    }

    /// Ends a client's profile; it is answered when no vCPU counts any more.
    pub fn stop(&mut self, shared: &Shared, ticket: Ticket) {
        let answer = match self.of(ticket.client) {
            Some(Profile {
                state: State::Done(rows),
                ..
            }) => Ok(rows.summary(shared)),
            Some(profile) => return profile.end(shared, Some(ticket)),
            None => Err(Failure::generic("there is no profile of this client")),
        };
        shared.tell(Note::Done(ticket, answer));
    }

    /// A piece of a client's profile; behind the last one there are none.
    pub fn read(&mut self, shared: &Shared, client: u64, from: usize) -> Answer {
        match self.of(client).map(|profile| &profile.state) {
            Some(State::Done(rows)) => {
                shared.tell(Note::Lingers(client, from < rows.parts.len()));
                Ok(rows.piece(from))
            }
            _ => Err(Failure::generic("no profile has been stopped")),
        }
    }

    /// A client is gone.
    pub fn leave(&mut self, shared: &Shared, client: u64) {
        if let Some(profile) = self.of(client) {
            profile.end(shared, None);
        }
        self.0
            .retain(|profile| profile.client != client || !profile.is_done());
    }

    /// Finds out which of those that are ending are complete.
    pub fn look_after(&mut self, shared: &Shared) {
        if !self.are_ending() {
            return;
        }
        let there = shared.runtime.plugins();
        self.0.retain_mut(|profile| {
            let State::Ending(counting, _) = &profile.state else {
                return true;
            };
            let own = counting.subscription();
            if there.iter().any(|plugin| plugin.id() == own) {
                return true;
            }
            let is_wanted = profile.complete(shared);
            shared.tell(Note::Event(Event::plain("PROFILE_STOPPED")));
            is_wanted
        });
    }

    /// The guest has ended: nobody counts any more.
    pub fn guest_has_ended(&mut self, shared: &Shared) {
        for profile in &mut self.0 {
            profile.complete(shared);
        }
    }

    fn of(&mut self, client: u64) -> Option<&mut Profile> {
        let mut profiles = self.0.iter_mut();
        profiles.find(|profile| profile.client == client)
    }
}

impl Profile {
    fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    /// Nobody counts any more, soon; then `ticket` is answered.
    fn end(&mut self, shared: &Shared, ticket: Option<Ticket>) {
        self.state = match self.take() {
            State::Live(counting) => {
                let id = counting.subscription();
                // One that is ending already goes on with that.
                let _ = shared.remote.inside(|| shared.runtime.uninstall(id));
                State::Ending(counting, ticket)
            }
            State::Ending(counting, _) => State::Ending(counting, ticket),
            done @ State::Done(_) => done,
        };
    }

    /// Nobody counts any more. Gives whether the client has been told.
    fn complete(&mut self, shared: &Shared) -> bool {
        let (rows, ticket) = match self.take() {
            State::Live(counting) => (Rows::new(counting.rows()), None),
            State::Ending(counting, ticket) => (Rows::new(counting.rows()), ticket),
            State::Done(rows) => (rows, None),
        };
        let summary = rows.summary(shared);
        self.state = State::Done(rows);
        let is_wanted = ticket.is_some();
        if let Some(ticket) = ticket {
            shared.tell(Note::Done(ticket, Ok(summary)));
        }
        is_wanted
    }

    fn take(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Done(Rows::default()))
    }
}

impl Rows {
    fn new(mut rows: Vec<Row>) -> Rows {
        rows.retain(|row| row.total() != 0);
        let parts = rows.iter().enumerate().flat_map(|(number, row)| {
            let vcpus: Vec<usize> = (0..row.counts.len())
                .filter(|&vcpu| row.counts[vcpu] != 0)
                .collect();
            let parts = vcpus
                .chunks(COUNTS)
                .map(move |part| (number, part.to_vec()));
            parts.collect::<Vec<_>>()
        });
        Rows {
            parts: parts.collect(),
            rows,
        }
    }

    /// What a client is told when its profile is complete.
    fn summary(&self, shared: &Shared) -> Value {
        let binary = shared.runtime.guest().and_then(|guest| guest.binary());
        let path = binary.as_ref().map(|path| path.to_string_lossy());
        let name = path.as_deref().map(Path::new).and_then(Path::file_name);
        json!({
            "program": name.map(|name| name.to_string_lossy()),
            "parts": self.parts.len(),
        })
    }

    /// Some parts, as many as make a piece.
    fn piece(&self, from: usize) -> Value {
        let mut shown: Vec<Value> = Vec::new();
        let mut bytes = 0;
        let left = self.parts.get(from..).unwrap_or_default();
        for (number, vcpus) in left {
            let row = &self.rows[*number];
            bytes += row.frames.iter().map(String::len).sum::<usize>() + COUNT * vcpus.len();
            if bytes > PIECE && !shown.is_empty() {
                break;
            }
            let counts = vcpus.iter().map(|&vcpu| json!([vcpu, row.counts[vcpu]]));
            shown.push(json!({
                "row": number,
                "frames": row.frames,
                "counts": counts.collect::<Value>(),
            }));
        }
        json!({ "parts": shown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_small_and_miss_nothing() {
        let row = |number: usize, vcpus: usize| Row {
            frames: vec![format!("f{number}")],
            counts: (0..vcpus as u64).collect(),
        };
        let rows = Rows::new((0..300).map(|number| row(number, number * 10)).collect());
        let (mut from, mut counted) = (0, 0);
        loop {
            let piece = rows.piece(from);
            assert!(piece.to_string().len() < 2 * PIECE);
            let parts = piece["parts"].as_array().expect("it is a list");
            if parts.is_empty() {
                break;
            }
            from += parts.len();
            for part in parts {
                let counts = part["counts"].as_array().expect("it is a list");
                let counts = counts.iter().map(|count| count[1].as_u64());
                counted += counts.map(Option::unwrap_or_default).sum::<u64>();
            }
        }
        assert_eq!(from, rows.parts.len());
        assert_eq!(counted, rows.rows.iter().map(Row::total).sum::<u64>());
        assert_eq!(rows.piece(usize::MAX), json!({ "parts": [] }));
    }
}
