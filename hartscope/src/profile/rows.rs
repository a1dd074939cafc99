//! What a profile consists of.

use super::places::Place;

/// How often one place was executed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The names of the functions on the stack, outermost first. So far there is one.
    pub frames: Vec<String>,
    /// Instructions, by vCPU.
    pub counts: Vec<u64>,
}

impl Row {
    pub fn new(place: &Place, counts: Vec<u64>) -> Row {
        Row {
            frames: vec![place.name()],
            counts,
        }
    }

    /// Instructions of all vCPUs.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}
