//! Many counters: one for each block or instruction.

use std::sync::Mutex;

use crate::board::{Counter, Scoreboard, U64};

const CHUNK: usize = 512;

/// Makes counters that share scoreboards: one of its own would take whole cache lines for 8 bytes.
#[derive(Default)]
pub struct Counters {
    /// The chunk that has room, and how much of it is used.
    open: Mutex<(Option<Scoreboard<[U64; CHUNK]>>, usize)>,
}

impl Counters {
    /// None yet.
    pub const fn new() -> Counters {
        Counters {
            open: Mutex::new((None, 0)),
        }
    }

    /// One more.
    pub fn allocate(&self) -> Counter {
        let mut open = self
            .open
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        if open.1 == CHUNK {
            // Counters keep pointing into the old one, which lives as long as the plugin.
            *open = (None, 0);
        }
        let index = open.1;
        open.1 += 1;
        open.0
            .get_or_insert_default()
            .counter(|chunk| &chunk[index])
    }
}
