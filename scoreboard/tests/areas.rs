//! What areas and boards promise.

#![cfg(not(hartscope_loom))]

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::{Arc, Barrier};
use std::thread;

use scoreboard::{Area, Areas, Board};

const HEAD: usize = 70_000;
const MIB: usize = 1 << 20;

fn claim(areas: &Arc<Areas>, count: u32) -> Vec<Area> {
    (0..count).map(|_| areas.claim().unwrap()).collect()
}

/// A vCPU's element as bytes. No other thread is at it.
fn bytes(board: &Board, vcpu: u32) -> &'static mut [u8] {
    memory(board.element(vcpu).unwrap(), board.element_size())
}

/// A head as bytes. No other thread is at it.
fn head(area: &Area) -> &'static mut [u8] {
    memory(area.head(), HEAD)
}

fn memory(start: *mut u8, len: usize) -> &'static mut [u8] {
    // SAFETY: an element or a head has that many bytes; tests drop the result before the areas, and
    // use it when nobody else uses the bytes.
    unsafe { std::slice::from_raw_parts_mut(start, len) }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[test]
fn the_lowest_free_index_is_claimed() {
    let areas = Areas::new(HEAD);
    assert_eq!(areas.count(), 0);
    assert!(areas.base(0).is_none());
    let mut claimed = claim(&areas, 4);
    let indexes: Vec<_> = claimed.iter().map(Area::index).collect();
    assert_eq!(indexes, [0, 1, 2, 3]);
    drop(claimed.remove(2));
    drop(claimed.remove(1));
    assert_eq!(areas.count(), 4, "highest ever claimed");
    let again = claim(&areas, 3);
    let indexes: Vec<_> = again.iter().map(Area::index).collect();
    assert_eq!(indexes, [1, 2, 4]);
    assert_eq!(areas.count(), 5);
    assert!(areas.base(4).is_some());
    assert!(areas.base(5).is_none());
    assert!(areas.base(u32::MAX).is_none());
}

#[test]
fn a_certain_index_can_be_claimed() {
    let areas = Areas::new(HEAD);
    let board = areas.new_board(8).unwrap();
    let third = areas.claim_index(3).unwrap();
    assert_eq!((third.index(), areas.count()), (3, 4));
    let refused = areas.claim_index(3).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    board.slot(3).unwrap().add(0, 5);
    // Skipped so far: nobody has had them.
    assert!(areas.base(1).is_none() && board.element(1).is_none());
    assert_eq!(board.sum(0), 5);
    let others = claim(&areas, 4);
    let indexes: Vec<_> = others.iter().map(Area::index).collect();
    assert_eq!(indexes, [0, 1, 2, 4]);
    drop(third);
    assert_eq!(areas.claim_index(3).unwrap().index(), 3);
    assert!(areas.claim_index(u32::MAX).is_err());
    assert_eq!(areas.count(), 5);
}

#[test]
fn elements_start_zeroed_and_never_move() {
    let areas = Areas::new(HEAD);
    let early = areas.new_board(24).unwrap();
    let _some = claim(&areas, 20);
    let before: Vec<_> = (0..20).map(|vcpu| early.element(vcpu).unwrap()).collect();
    for vcpu in 0..20 {
        assert!(is_zero(bytes(&early, vcpu)));
        early.slot(vcpu).unwrap().add(2, vcpu.into());
    }
    let _more = claim(&areas, 1000);
    let late = areas.new_board(24).unwrap();
    for (vcpu, element) in (0..).zip(before) {
        assert_eq!(early.element(vcpu), Some(element));
        assert!(is_zero(bytes(&late, vcpu)));
    }
    assert_eq!(early.sum(16), (0..20).sum::<u64>());
    assert_eq!((early.sum(0), late.sum(16)), (0, 0));
    assert!(early.element(1020).is_none());
}

#[test]
fn generated_code_finds_an_element_by_its_offset() {
    let areas = Areas::new(HEAD);
    let boards = [8, 200, 5 * MIB].map(|size| areas.new_board(size).unwrap());
    for area in claim(&areas, 9) {
        assert_eq!(areas.base(area.index()), Some(area.head()));
        assert!(area.head().addr().is_multiple_of(4096));
        for board in &boards {
            assert!(board.offset() as usize >= HEAD && board.offset() < 1 << 31);
            let at = area.head().addr() + board.offset() as usize;
            assert_eq!(board.element(area.index()).unwrap().addr(), at);
            board.slot(area.index()).unwrap().add(0, 0x0102_0304);
            assert_eq!(bytes(board, area.index())[..4], [4, 3, 2, 1]);
        }
    }
}

#[test]
fn elements_share_no_cache_line() {
    let areas = Areas::new(HEAD);
    let mut lines = HashSet::new();
    let claimed = claim(&areas, 20);
    for area in &claimed {
        let start = area.head().addr();
        lines.extend(start / 128..(start + HEAD).div_ceil(128));
    }
    let boards = [1, 8, 128, 129, 1000, 0].map(|size| areas.new_board(size).unwrap());
    for board in &boards {
        for vcpu in 0..20 {
            let start = board.element(vcpu).unwrap().addr();
            for line in start / 128..(start + board.element_size()).div_ceil(128) {
                assert!(lines.insert(line), "vCPU {vcpu}, {}", board.element_size());
            }
        }
    }
}

#[test]
fn values_survive_a_vcpu_and_the_reuse_of_its_index() {
    let areas = Areas::new(HEAD);
    let board = areas.new_board(MIB).unwrap();
    let first = areas.claim().unwrap();
    head(&first).fill(0xaa);
    bytes(&board, 0).fill(0x55);
    let element = board.element(0);
    drop(first);
    assert!(bytes(&board, 0).iter().all(|byte| *byte == 0x55));
    let second = areas.claim().unwrap();
    assert_eq!((second.index(), board.element(0)), (0, element));
    assert!(is_zero(head(&second)), "the head is zeroed");
    assert!(bytes(&board, 0).iter().all(|byte| *byte == 0x55));
}

#[test]
fn a_freed_range_is_zeroed_and_used_again() {
    let areas = Areas::new(HEAD);
    let mut claimed = claim(&areas, 3);
    // Within a page, across the end of one, whole pages, whole pages and parts of two.
    for size in [8, 40, 4096 + 8, 3 * 4096, 1 << 16, MIB + 24] {
        let keep = areas.new_board(8).unwrap();
        let board = areas.new_board(size).unwrap();
        let offset = board.offset();
        let after = areas.new_board(8).unwrap();
        for area in &claimed {
            let vcpu = area.index();
            bytes(&board, vcpu).fill(0xff);
            keep.slot(vcpu).unwrap().add(0, 1);
            after.slot(vcpu).unwrap().add(0, 1);
        }
        // Also in the area of a vCPU that is gone, and in one that has joined since.
        claimed.pop();
        drop(board);
        claimed.push(areas.claim().unwrap());
        let board = areas.new_board(size).unwrap();
        assert_eq!(board.offset(), offset);
        for vcpu in 0..areas.count() {
            assert!(is_zero(bytes(&board, vcpu)), "vCPU {vcpu}, {size}");
        }
        let vcpus = u64::from(areas.count());
        assert_eq!((keep.sum(0), after.sum(0)), (vcpus, vcpus), "{size}");
    }
}

#[test]
fn a_freed_range_is_zeroed_in_locked_memory_too() {
    let areas = Areas::new(HEAD);
    let _area = areas.claim().unwrap();
    let board = areas.new_board(4 * 4096).unwrap();
    bytes(&board, 0).fill(0xff);
    let element = board.element(0).unwrap();
    // SAFETY: locks pages that exist; their contents stay.
    let locked = unsafe { libc::mlock(element.cast(), board.element_size()) };
    assert_eq!(locked, 0);
    drop(board);
    let board = areas.new_board(4 * 4096).unwrap();
    assert_eq!(board.element(0), Some(element));
    assert!(is_zero(bytes(&board, 0)));
}

/// Of the pages of an element, how many have memory.
fn resident(board: &Board, vcpu: u32) -> usize {
    let start = board.element(vcpu).unwrap().addr() & !4095;
    let len = board.element_size();
    let mut pages = vec![0_u8; len.div_ceil(4096)];
    // SAFETY: one byte for each page.
    let done = unsafe { libc::mincore(start as *mut _, len, pages.as_mut_ptr()) };
    assert_eq!(done, 0);
    pages.iter().filter(|page| **page & 1 != 0).count()
}

#[test]
fn big_elements_cost_what_is_used_of_them() {
    let areas = Areas::new(HEAD);
    let boards = [64 * MIB, MIB, 64 * MIB, MIB].map(|size| areas.new_board(size).unwrap());
    let _claimed = claim(&areas, 4);
    for board in &boards {
        let last = board.element_size() / 8 - 1;
        for vcpu in 0..4 {
            assert!(resident(board, vcpu) <= 1, "a neighbour's page");
            board.slot(vcpu).unwrap().add(last, 3);
            assert_eq!(board.slot(vcpu).unwrap().get(0), 0);
        }
        assert_eq!(board.sum(last * 8), 12);
        assert!(resident(board, 3) <= 4);
    }
    let [first, ..] = boards;
    let (offset, pages) = (first.offset(), resident(&first, 0));
    assert!(pages > 0);
    drop(first);
    let again = areas.new_board(64 * MIB).unwrap();
    assert_eq!(again.offset(), offset);
    assert!(resident(&again, 0) <= 1, "memory is given back");
    assert_eq!(again.sum(64 * MIB - 8), 0);
}

#[test]
fn full_says_what_is_left() {
    let areas = Areas::new(HEAD);
    let total = areas.new_board(usize::MAX).err().unwrap().left;
    assert!(total > 255 * MIB);
    for asked in [usize::MAX, usize::MAX - 6, total + 1] {
        let full = areas.new_board(asked).err().unwrap();
        assert_eq!((full.asked, full.left, full.largest), (asked, total, total));
    }
    let boards = [(); 3].map(|()| areas.new_board(64 * MIB).unwrap());
    let left = total - 192 * MIB;
    let full = areas.new_board(64 * MIB).err().unwrap();
    assert_eq!((full.left, full.largest), (left, left));
    assert_eq!(
        full.to_string(),
        format!(
            "no room for 67108864 bytes per vCPU: of 268435456, {left} are left, \
             at most {left} in one piece"
        )
    );
    let [first, _second, third] = boards;
    drop(first);
    let full = areas.new_board(100 * MIB).err().unwrap();
    assert_eq!((full.left, full.largest), (left + 64 * MIB, 64 * MIB));
    drop(third);
    areas.new_board(100 * MIB).unwrap();
    // What `largest` says can be had.
    areas.new_board(left + 64 * MIB).unwrap();
}

#[test]
fn elements_are_whole_words() {
    let areas = Areas::new(HEAD);
    let _area = areas.claim().unwrap();
    for (asked, got) in [(0, 8), (1, 8), (8, 8), (9, 16), (1000, 1000)] {
        let board = areas.new_board(asked).unwrap();
        assert_eq!(board.element_size(), got);
        assert_eq!(board.sum(got - 8), 0);
    }
}

#[test]
fn sums_wrap_and_take_any_offset() {
    let areas = Areas::new(HEAD);
    let board = areas.new_board(24).unwrap();
    assert_eq!(board.sum(0), 0, "no vCPU");
    let _claimed = claim(&areas, 2);
    board.slot(0).unwrap().add(1, u64::MAX);
    board.slot(1).unwrap().add(1, 2);
    assert_eq!(board.sum(8), 1);
    for (at, byte) in (1_u8..).zip(bytes(&board, 0).iter_mut()) {
        *byte = at;
    }
    bytes(&board, 1).fill(0);
    for offset in 0..=16 {
        let element: &[u8] = bytes(&board, 0);
        let value = element[offset..offset + 8].try_into().unwrap();
        assert_eq!(board.sum(offset), u64::from_le_bytes(value));
    }
}

#[test]
#[should_panic(expected = "no value at 17")]
fn a_value_beyond_the_element_is_a_bug_of_the_caller() {
    let areas = Areas::new(HEAD);
    areas.new_board(24).unwrap().sum(17);
}

#[test]
fn boards_and_areas_keep_what_they_lie_in() {
    let areas = Areas::new(HEAD);
    let area = areas.claim().unwrap();
    let board = areas.new_board(8).unwrap();
    drop(areas);
    drop(area);
    board.slot(0).unwrap().add(0, 1);
    assert_eq!(board.sum(0), 1);
}

#[test]
fn nothing_is_lost_while_vcpus_and_boards_come_and_go() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 300;
    let areas = Areas::new(HEAD);
    let total = areas.new_board(16).unwrap();
    let start = Barrier::new(THREADS as usize + 1);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (areas, total, start) = (&areas, &total, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..ROUNDS {
                    let area = areas.claim().unwrap();
                    assert!(is_zero(head(&area)));
                    head(&area)[HEAD - 1] = 1;
                    // Big ones are zeroed by another way.
                    let size = if round % 16 == thread { 3 * 4096 } else { 72 };
                    let own = areas.new_board(size).unwrap();
                    assert_eq!(own.sum(size - 8), 0);
                    total.slot(area.index()).unwrap().add(1, 1);
                    own.slot(area.index()).unwrap().add(size / 8 - 1, 7);
                    assert_eq!(own.sum(size - 8), 7);
                    // Kept for a while, so that others get higher indexes.
                    drop(own);
                }
            });
        }
        start.wait();
        let mut last = 0;
        for _ in 0..1000 {
            let sum = total.sum(8);
            assert!(sum >= last, "a sum went back");
            last = sum;
        }
    });
    assert_eq!(total.sum(8), THREADS * ROUNDS);
    assert!(u64::from(areas.count()) <= THREADS);
}

#[test]
fn a_fork_keeps_one_vcpu_and_all_values() {
    let areas = Areas::new(HEAD);
    let board = areas.new_board(8).unwrap();
    let claimed = claim(&areas, 3);
    for area in &claimed {
        board.slot(area.index()).unwrap().add(0, 10);
    }
    head(&claimed[1])[0] = 9;
    let mut held = areas.hold();
    // SAFETY: the child uses nothing that another thread of this process may have locked.
    let child = unsafe { libc::fork() };
    if child == 0 {
        held.keep_only(&claimed[1]);
        drop(held);
        board.slot(1).unwrap().add(0, 1);
        let good = head(&claimed[1])[0] == 9
            && board.sum(0) == 31
            && areas.claim().is_ok_and(|area| area.index() == 0)
            && areas.count() == 3;
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    drop(held);
    let mut status = 0;
    // SAFETY: `status` is an integer to be filled in.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    assert_eq!(areas.claim().unwrap().index(), 3);
    assert_eq!(board.sum(0), 30);
}
