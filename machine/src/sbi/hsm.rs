//! Which harts run, by the guest's word.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Error;

/// Where a hart begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The pc, which is physical.
    pub(super) entry: u64,
    /// What it finds in a1.
    pub(super) opaque: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Stopped,
    StartPending(Start),
    Started,
}

/// The state of every hart.
pub(super) struct Hsm(Mutex<Vec<State>>);

impl Hsm {
    /// All harts stopped.
    pub(super) fn new(harts: usize) -> Hsm {
        Hsm(Mutex::new(vec![State::Stopped; harts]))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a stopped hart start. The caller calls it then.
    pub(super) fn start(&self, hart: usize, start: Start) -> Result<(), Error> {
        let mut states = self.lock();
        let state = states.get_mut(hart).ok_or(Error::InvalidParam)?;
        match state {
            State::Stopped => *state = State::StartPending(start),
            _ => return Err(Error::AlreadyAvailable),
        }
        Ok(())
    }

    /// If hart `me` is to start: where. From here on it has started.
    pub(super) fn take_start(&self, me: usize) -> Option<Start> {
        let state = &mut self.lock()[me];
        match *state {
            State::StartPending(start) => {
                *state = State::Started;
                Some(start)
            }
            _ => None,
        }
    }

    /// Hart `me` stops.
    pub(super) fn stop(&self, me: usize) {
        self.lock()[me] = State::Stopped;
    }

    /// A hart's state by its number in the standard.
    pub(super) fn status(&self, hart: usize) -> Result<u64, Error> {
        match self.lock().get(hart).ok_or(Error::InvalidParam)? {
            State::Started => Ok(0),
            State::Stopped => Ok(1),
            State::StartPending(_) => Ok(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harts_start_once_and_can_stop_again() {
        let hsm = Hsm::new(2);
        let start = Start {
            entry: 0x8000_0000,
            opaque: 7,
        };
        assert_eq!(hsm.status(1), Ok(1));
        assert_eq!(hsm.take_start(1), None);
        assert_eq!(hsm.start(1, start), Ok(()));
        assert_eq!(hsm.status(1), Ok(2));
        assert_eq!(hsm.start(1, start), Err(Error::AlreadyAvailable));
        assert_eq!(hsm.take_start(1), Some(start));
        assert_eq!(hsm.take_start(1), None);
        assert_eq!(hsm.status(1), Ok(0));
        hsm.stop(1);
        assert_eq!(hsm.start(1, start), Ok(()));
        assert_eq!(hsm.start(2, start), Err(Error::InvalidParam));
        assert_eq!(hsm.status(2), Err(Error::InvalidParam));
    }
}
