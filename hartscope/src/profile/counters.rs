//! The subscriber: a counter for each place where code lies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plugin_rt::{BuiltIn, Runtime, Shown};
use scoreboard::{Areas, Board, Full};
use translate::hooks::Hook;

use super::places::{Place, Places};
use super::rows::Row;

/// Counters of a board: a page of each vCPU's area.
const CHUNK: usize = 512;

/// Bytes of a counter.
const WORD: usize = 8;

/// Counts instructions by place.
pub struct Counters {
    areas: Arc<Areas>,
    given: Mutex<Given>,
}

/// The counters that have been given.
struct Given {
    places: Places,
    numbers: HashMap<Place, usize>,
    /// What a counter is for, by number.
    counted: Vec<Place>,
    /// Where the counters are: [`CHUNK`] on each.
    boards: Vec<Board>,
}

impl Counters {
    pub fn new(areas: &Arc<Areas>, places: Places) -> Result<Counters, Full> {
        let mut given = Given {
            places,
            numbers: HashMap::new(),
            counted: Vec::new(),
            boards: vec![areas.new_board(CHUNK * WORD)?],
        };
        // The first counter is for what has none.
        given.give(areas, Place::Unknown);
        Ok(Counters {
            areas: Arc::clone(areas),
            given: Mutex::new(given),
        })
    }

    /// What has been counted, by place.
    pub fn rows(&self) -> Vec<Row> {
        let given = self.given();
        let vcpus = self.areas.count();
        let places = given.counted.iter().enumerate();
        places
            .map(|(number, place)| {
                let board = &given.boards[number / CHUNK];
                let counts = (0..vcpus).map(|vcpu| {
                    let slot = board.slot(vcpu);
                    slot.map_or(0, |slot| slot.get(number % CHUNK))
                });
                Row::new(place, counts.collect())
            })
            .collect()
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        // No step of any change can panic.
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BuiltIn for Counters {
    fn name(&self) -> &str {
        "profile"
    }

    fn translated(&self, block: &mut Shown<'_>) {
        let guest = Runtime::global().and_then(|runtime| runtime.guest());
        let symbol = |pc| guest.and_then(|guest| guest.symbol(pc));
        // Before the lock: the first one reads symbol tables.
        let insns: Vec<_> = block.pcs().map(|pc| (pc, symbol(pc))).collect();
        let mut given = self.given();
        for (insn, &(pc, symbol)) in insns.iter().enumerate() {
            let place = match symbol {
                Some(name) => Place::function(name),
                None => given.places.mapping(guest.map(|guest| &**guest), pc),
            };
            let offset = given.offset(&self.areas, place);
            block.before(insn, Hook::Add { offset, value: 1 });
        }
    }
}

impl Given {
    /// Where a place's counter is, from the start of a vCPU's area.
    fn offset(&mut self, areas: &Arc<Areas>, place: Place) -> u32 {
        let number = match self.numbers.get(&place) {
            Some(&number) => number,
            None => self.give(areas, place),
        };
        self.boards[number / CHUNK].offset() + (number % CHUNK * WORD) as u32
    }

    /// Gives a counter to a place. When there is no room for any more, that is the first one.
    #[cold]
    fn give(&mut self, areas: &Arc<Areas>, place: Place) -> usize {
        let mut number = self.counted.len();
        if number == self.boards.len() * CHUNK {
            match areas.new_board(CHUNK * WORD) {
                Ok(board) => self.boards.push(board),
                Err(Full { .. }) => number = 0,
            }
        }
        if number != 0 || self.counted.is_empty() {
            self.counted.push(place.clone());
        }
        self.numbers.insert(place, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_one_counter_however_many_there_are() {
        let areas = Areas::new(1 << 17);
        let _vcpus = [areas.claim(), areas.claim()].map(|area| area.expect("there is memory"));
        let counters = Counters::new(&areas, Places::default()).expect("there is room");
        let mut given = counters.given();
        let place = |number: usize| Place::Mapping(format!("{number:04}").into());
        let offsets: Vec<u32> = (0..2 * CHUNK)
            .map(|number| given.offset(&areas, place(number)))
            .collect();
        for (number, offset) in offsets.iter().enumerate() {
            assert_eq!(given.offset(&areas, place(number)), *offset);
            let board = &given.boards[(number + 1) / CHUNK];
            let slot = board.slot(1).expect("there are two");
            slot.add((offset - board.offset()) as usize / WORD, number as u64);
        }
        assert_eq!(given.boards.len(), 3);
        drop(given);
        let rows = counters.rows();
        assert_eq!(rows.len(), 2 * CHUNK + 1);
        for (number, row) in rows[1..].iter().enumerate() {
            assert_eq!(row.counts, [0, number as u64]);
            assert_eq!(row.frames, [format!("{number:04}")]);
        }
    }
}
