//! What a scoreboard promises.

#![cfg(not(hartscope_loom))]

use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;

use scoreboard::{MAX_VCPUS, Scoreboard};

#[test]
fn elements_start_zeroed_and_never_move() {
    let board = Scoreboard::new(24);
    board.grow(20);
    let before: Vec<_> = (0..20).map(|vcpu| board.slot(vcpu).unwrap()).collect();
    for (vcpu, slot) in before.iter().enumerate() {
        assert_eq!([slot.get(0), slot.get(1), slot.get(2)], [0; 3]);
        slot.add(2, vcpu as u64);
    }
    board.grow(5_001);
    board.slot(5_000).unwrap().add(2, 1);
    for (vcpu, slot) in before.iter().enumerate() {
        assert_eq!(board.slot(vcpu).unwrap().as_ptr(), slot.as_ptr());
    }
    assert_eq!(board.sum(2), Some((0..20).sum::<u64>() + 1));
    assert_eq!(board.sum(0), Some(0));
}

#[test]
fn elements_share_no_cache_line() {
    for size in [1, 8, 128, 129, 1000] {
        let board = Scoreboard::new(size);
        board.grow(100);
        let mut lines = HashSet::new();
        for vcpu in 0..100 {
            let start = board.slot(vcpu).unwrap().as_ptr() as usize;
            for line in start / 128..(start + board.element_size()).div_ceil(128) {
                assert!(lines.insert(line), "vCPU {vcpu}, size {size}");
            }
        }
    }
}

#[test]
fn words_are_the_elements_bytes() {
    let board = Scoreboard::new(200);
    board.grow(4);
    let slot = board.slot(3).unwrap();
    slot.add(24, 0x0102_0304);
    // SAFETY: word 24 is within the element of 200 bytes, and no other thread is here.
    let word = unsafe { slot.as_ptr().cast::<u64>().add(24).read() };
    assert_eq!(word, 0x0102_0304);
}

#[test]
fn sums_and_sizes_out_of_range_are_refused() {
    let board = Scoreboard::new(0);
    assert_eq!(board.element_size(), 8);
    assert_eq!(board.sum(0), Some(0));
    assert_eq!(board.sum(1), None);
    assert!(board.slot(0).is_none(), "no room was made");
    board.grow(1);
    assert!(board.slot(0).is_some());
    assert!(board.slot(MAX_VCPUS).is_none());
    assert!(board.slot(usize::MAX).is_none());
}

#[test]
#[should_panic(expected = "no word 1")]
fn a_word_beyond_the_element_is_a_bug_of_the_caller() {
    let board = Scoreboard::new(8);
    board.grow(1);
    board.slot(0).unwrap().get(1);
}

#[test]
fn sums_wrap() {
    let board = Scoreboard::new(8);
    board.grow(2);
    board.slot(0).unwrap().add(0, u64::MAX);
    board.slot(1).unwrap().add(0, 2);
    assert_eq!(board.sum(0), Some(1));
}

#[test]
fn nothing_is_lost_while_the_board_grows() {
    const THREADS: usize = 4;
    const ADDS: u64 = 20_000;
    let board = Scoreboard::new(8);
    let start = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (board, start) = (&board, &start);
            scope.spawn(move || {
                start.wait();
                // Far apart, so that each thread makes segments of its own, and some in common.
                for vcpu in [thread, thread + 60, (thread + 1) * 300] {
                    board.grow(vcpu + 1);
                    for _ in 0..ADDS {
                        board.slot(vcpu).unwrap().add(0, 1);
                    }
                }
            });
        }
        start.wait();
        let mut last = 0;
        for _ in 0..200 {
            let sum = board.sum(0).unwrap();
            assert!(sum >= last, "a sum went back");
            last = sum;
        }
    });
    assert_eq!(board.sum(0), Some(THREADS as u64 * 3 * ADDS));
}
