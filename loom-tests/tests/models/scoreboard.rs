//! Growth of a scoreboard against adding and summing.

use std::sync::Arc;

use epoch::sync::thread;
use scoreboard::Scoreboard;

use crate::support::explore;

/// A vCPU joins, makes room for itself and counts while another thread sums.
#[test]
fn board_grows() {
    explore(&["sum 0", "sum 1", "sum 2"], |coverage| {
        let board = Arc::new(Scoreboard::new(8));
        let vcpu = {
            let board = Arc::clone(&board);
            thread::spawn(move || {
                board.grow(2);
                board.slot(0).unwrap().add(0, 1);
                board.slot(1).unwrap().add(0, 1);
            })
        };
        coverage.reached(match board.sum(0).unwrap() {
            0 => "sum 0",
            1 => "sum 1",
            2 => "sum 2",
            more => panic!("{more} of 2 adds"),
        });
        vcpu.join().unwrap();
        assert_eq!(board.sum(0), Some(2), "an add was lost");
    });
}

/// Two vCPUs make room at the same time, and each finds its own.
#[test]
fn two_grow() {
    explore(&["found by the other", "not found"], |coverage| {
        let board = Arc::new(Scoreboard::new(8));
        let threads = [(1, 2), (2, 1)].map(|(vcpu, other)| {
            let (board, coverage) = (Arc::clone(&board), Arc::clone(coverage));
            thread::spawn(move || {
                board.grow(vcpu + 1);
                board.slot(vcpu).unwrap().add(0, 1);
                let seen = board.slot(other).unwrap().get(0);
                coverage.either(seen == 1, "found by the other", "not found");
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(board.sum(0), Some(2), "an add was lost");
    });
}
