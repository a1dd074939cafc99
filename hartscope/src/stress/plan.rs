//! What a control thread does: a function of the seed and the thread's number.

use std::time::Duration;

/// One step. Slots are numbers, see [`Stage`](super::stage::Stage).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    /// Attach what the slot is for, unless it is attached.
    Attach(usize),
    /// Let it begin anew.
    Reset(usize),
    /// Detach it.
    Detach(usize),
    /// Wait until all that this thread has detached is gone.
    Await,
    /// Let the guest run.
    Pause(Duration),
}

/// A thread's actions, in order, for ever.
pub struct Plan {
    random: u64,
    slots: usize,
}

impl Plan {
    /// Of the thread with this number.
    pub fn new(seed: u64, thread: usize, slots: usize) -> Plan {
        Plan {
            random: mix(seed ^ mix(thread as u64 + 1)),
            slots,
        }
    }

    fn number(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random)
    }
}

/// Every bit of `x` changes half of the bits.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl Iterator for Plan {
    type Item = Action;

    fn next(&mut self) -> Option<Action> {
        let slot = (self.number() % self.slots as u64) as usize;
        let length = self.number() % 1500;
        Some(match self.number() % 20 {
            0..=6 => Action::Attach(slot),
            7..=9 => Action::Reset(slot),
            10..=15 => Action::Detach(slot),
            16 => Action::Await,
            _ => Action::Pause(Duration::from_micros(length)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(seed: u64, thread: usize) -> Vec<Action> {
        Plan::new(seed, thread, 3).take(500).collect()
    }

    #[test]
    fn seed_and_thread_say_it_all() {
        assert_eq!(actions(7, 1), actions(7, 1));
        assert_ne!(actions(7, 1), actions(8, 1));
        assert_ne!(actions(7, 1), actions(7, 2));
        for slot in 0..3 {
            for action in [
                Action::Attach(slot),
                Action::Reset(slot),
                Action::Detach(slot),
            ] {
                assert!(actions(7, 1).contains(&action), "{action:?}");
            }
        }
        assert!(actions(7, 1).contains(&Action::Await));
    }
}
