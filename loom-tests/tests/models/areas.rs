//! Areas that are claimed and boards that are made and freed, while others find elements and sum.

use std::sync::Arc;

use epoch::Domain;
use epoch::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use epoch::sync::thread;
use scoreboard::{Area, Areas, Board};

use crate::support::explore;

/// A word: the size of all heads and elements here.
const WORD: usize = 8;

fn word(area: &Area) -> &AtomicU64 {
    // SAFETY: in models, too, an area begins with an atomic word, and `area` keeps it alive.
    unsafe { &*area.head().cast::<AtomicU64>() }
}

/// Makes boards until there is no room.
fn fill(areas: &Arc<Areas>) -> Vec<Board> {
    std::iter::from_fn(|| areas.new_board(WORD).ok()).collect()
}

fn assert_zero(board: &Board) {
    for vcpu in 0..board.count() {
        let slot = board.slot(vcpu).expect("an area that is counted is found");
        assert_eq!(slot.get(0), 0, "left over in vCPU {vcpu}'s element");
    }
    assert_eq!(board.sum(0), 0);
}

/// A vCPU joins and counts, while another thread looks for it and sums.
#[test]
fn area_found() {
    explore(&["none", "found", "sum 1", "sum 2"], |coverage| {
        let areas = Areas::new(WORD);
        let board = Arc::new(areas.new_board(WORD).unwrap());
        let _first = areas.claim().unwrap();
        let vcpu = {
            let (areas, board) = (Arc::clone(&areas), Arc::clone(&board));
            thread::spawn(move || {
                let area = areas.claim().unwrap();
                let slot = board.slot(area.index()).unwrap();
                slot.add(0, 1);
                slot.add(0, 1);
            })
        };
        coverage.reached(match areas.count() {
            2 => {
                assert!(board.slot(1).is_some(), "counted, and not found");
                "found"
            }
            _ => "none",
        });
        let first = board.sum(0);
        let second = board.sum(0);
        assert!(first <= second, "a sum went back");
        match second {
            0 => {}
            1 => coverage.reached("sum 1"),
            2 => coverage.reached("sum 2"),
            more => panic!("{more} of 2 adds"),
        }
        vcpu.join().unwrap();
        assert_eq!(board.sum(0), 2, "an add was lost");
    });
}

/// Two vCPUs join at the same time, and each finds its own area.
#[test]
fn two_claim() {
    explore(&["found by the other", "not found"], |coverage| {
        let areas = Areas::new(WORD);
        let board = Arc::new(areas.new_board(WORD).unwrap());
        let threads = [(); 2].map(|()| {
            let (areas, board, coverage) =
                (Arc::clone(&areas), Arc::clone(&board), Arc::clone(coverage));
            thread::spawn(move || {
                let area = areas.claim().unwrap();
                board.slot(area.index()).unwrap().add(0, 1);
                let other = board.slot(1 - area.index());
                let seen = other.is_some_and(|slot| slot.get(0) == 1);
                coverage.either(seen, "found by the other", "not found");
                // So that the other does not get this index again.
                area
            })
        });
        let claimed = threads.map(|thread| thread.join().unwrap());
        assert_ne!(claimed[0].index(), claimed[1].index());
        assert_eq!(board.sum(0), 2, "an add was lost");
    });
}

/// An index is used again: the head is as new, and what the board counted stays.
#[test]
fn index_reused() {
    explore(&["the same index", "another"], |coverage| {
        let areas = Areas::new(WORD);
        let board = Arc::new(areas.new_board(WORD).unwrap());
        let count = |area: &Area, board: &Board| {
            assert_eq!(word(area).load(Relaxed), 0, "a head is not as new");
            word(area).store(7, Relaxed);
            board.slot(area.index()).unwrap().add(0, 1);
        };
        let former = areas.claim().unwrap();
        let vcpu = {
            let board = Arc::clone(&board);
            thread::spawn(move || count(&former, &board))
        };
        let area = areas.claim().unwrap();
        coverage.either(area.index() == 0, "the same index", "another");
        count(&area, &board);
        vcpu.join().unwrap();
        assert_eq!(board.sum(0), 2, "an add was lost");
    });
}

/// A board is freed, which zeroes its elements, while an area appears.
#[test]
fn board_freed_while_claimed() {
    free_while_claimed(2);
}

/// The same, and the table of areas grows by the new one.
#[test]
fn board_freed_while_table_grows() {
    free_while_claimed(1);
}

fn free_while_claimed(former: u32) {
    explore(&["before the claim", "after the claim"], move |coverage| {
        let areas = Areas::new(WORD);
        let _former: Vec<_> = (0..former).map(|_| areas.claim().unwrap()).collect();
        let board = areas.new_board(WORD).unwrap();
        board.slot(0).unwrap().add(0, 1);
        let vcpu = {
            let areas = Arc::clone(&areas);
            thread::spawn(move || areas.claim().unwrap())
        };
        drop(board);
        coverage.either(
            areas.count() == former,
            "before the claim",
            "after the claim",
        );
        for board in fill(&areas) {
            assert_zero(&board);
        }
        vcpu.join().unwrap();
        for board in fill(&areas) {
            assert_eq!(board.count(), former + 1);
            assert_zero(&board);
        }
    });
}

/// A board is freed by its last user, while its room is wanted for another, and an area appears.
#[test]
fn room_reused() {
    explore(&["full", "reused by 1", "reused by 2"], |coverage| {
        let areas = Areas::new(WORD);
        let _first = areas.claim().unwrap();
        let mut boards = fill(&areas);
        let user = {
            let board = boards.pop().unwrap();
            thread::spawn(move || {
                board.slot(0).unwrap().add(0, 1);
                drop(board);
            })
        };
        let vcpu = {
            let areas = Arc::clone(&areas);
            thread::spawn(move || areas.claim().unwrap())
        };
        match areas.new_board(WORD) {
            Ok(board) => {
                assert_zero(&board);
                coverage.either(board.count() == 1, "reused by 1", "reused by 2");
            }
            Err(full) => {
                assert_eq!((full.asked, full.left), (WORD, 0));
                coverage.reached("full");
            }
        }
        user.join().unwrap();
        let _second = vcpu.join().unwrap();
        let board = areas.new_board(WORD).expect("there is room by now");
        assert_eq!(board.count(), 2);
        assert_zero(&board);
    });
}

/// Two threads want the last room.
#[test]
fn last_room() {
    explore(&["main", "other"], |coverage| {
        let areas = Areas::new(WORD);
        let mut boards = fill(&areas);
        drop(boards.pop());
        let other = {
            let areas = Arc::clone(&areas);
            thread::spawn(move || areas.new_board(WORD))
        };
        let mine = areas.new_board(WORD);
        let others = other.join().unwrap();
        assert_ne!(mine.is_ok(), others.is_ok(), "room for one");
        coverage.either(mine.is_ok(), "main", "other");
    });
}

/// A board is retired while generated code, which has an offset and no [`Board`], counts in it.
#[test]
fn board_retired() {
    explore(
        &["counted", "not counted", "freed", "not yet"],
        |coverage| {
            let (areas, domain) = (Areas::new(WORD), Domain::new());
            let area = areas.claim().unwrap();
            let mut boards = fill(&areas);
            let board = boards.pop().unwrap();
            let counting = Arc::new(AtomicBool::new(true));
            let vcpu = {
                let (domain, counting, coverage) = (
                    Arc::clone(&domain),
                    Arc::clone(&counting),
                    Arc::clone(coverage),
                );
                let element = board.element(0).unwrap().expose_provenance();
                thread::spawn(move || {
                    let mut vcpu = domain.register();
                    vcpu.online();
                    let found = counting.load(Relaxed);
                    if found {
                        let element = std::ptr::with_exposed_provenance::<AtomicU64>(element);
                        // SAFETY: `area` is alive; whether the board is, is what this is about.
                        unsafe { &*element }.store(1, Relaxed);
                    }
                    coverage.either(found, "counted", "not counted");
                })
            };
            counting.store(false, Relaxed);
            domain.retire(Box::new(move || drop(board)));
            match areas.new_board(WORD) {
                Ok(board) => {
                    coverage.reached("freed");
                    assert_zero(&board);
                    vcpu.join().unwrap();
                    assert_zero(&board);
                }
                Err(_) => {
                    coverage.reached("not yet");
                    vcpu.join().unwrap();
                    assert_zero(&areas.new_board(WORD).expect("the job was forgotten"));
                }
            }
            drop(area);
        },
    );
}
