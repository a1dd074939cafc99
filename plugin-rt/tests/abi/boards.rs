//! Scoreboards.

use std::ffi::c_void;

use super::world::*;

fn entry(score: *mut c_void, offset: usize) -> U64 {
    U64 { score, offset }
}

#[test]
fn every_vcpu_has_an_element_of_its_own() {
    let _world = world();
    // SAFETY: called as the header says.
    unsafe {
        assert_eq!(qemu_plugin_num_vcpus(), 2);
        let score = qemu_plugin_scoreboard_new(24);
        let elements = [0, 1].map(|vcpu| qemu_plugin_scoreboard_find(score, vcpu));
        assert!(elements[0].addr().abs_diff(elements[1].addr()) >= 128);
        for (vcpu, element) in (0..).zip(elements) {
            assert_eq!(
                qemu_plugin_scoreboard_find(score, vcpu),
                element,
                "it stays there"
            );
            assert_eq!(std::slice::from_raw_parts(element, 3), [0; 3]);
            element.add(2).write(100 + u64::from(vcpu));
        }
        let third = entry(score, 16);
        assert_eq!(qemu_plugin_u64_get(third, 0), 100);
        assert_eq!(qemu_plugin_u64_get(third, 1), 101);
        assert_eq!(qemu_plugin_u64_sum(third), 201);
        qemu_plugin_u64_add(third, 0, 11);
        qemu_plugin_u64_set(third, 1, 7);
        assert_eq!(
            (elements[0].add(2).read(), elements[1].add(2).read()),
            (111, 7)
        );
        assert_eq!(qemu_plugin_u64_sum(third), 118);
        assert_eq!(qemu_plugin_u64_sum(entry(score, 8)), 0);
        qemu_plugin_scoreboard_free(score);
    }
}

#[test]
fn adding_wraps_and_words_may_lie_anywhere() {
    let _world = world();
    // SAFETY: called as the header says.
    unsafe {
        let score = qemu_plugin_scoreboard_new(13);
        let odd = entry(score, 5);
        qemu_plugin_u64_set(odd, 0, u64::MAX);
        qemu_plugin_u64_add(odd, 0, 3);
        assert_eq!(qemu_plugin_u64_get(odd, 0), 2);
        qemu_plugin_u64_set(odd, 1, 0x0102_0304_0506_0708);
        let bytes = qemu_plugin_scoreboard_find(score, 1).cast::<u8>();
        assert_eq!(std::slice::from_raw_parts(bytes, 6), [0, 0, 0, 0, 0, 8]);
        assert_eq!(qemu_plugin_u64_sum(odd), 0x0102_0304_0506_070a);
        qemu_plugin_scoreboard_free(score);
    }
}

#[test]
fn a_new_board_is_zero_whoever_had_the_room_before() {
    let _world = world();
    // SAFETY: called as the header says.
    unsafe {
        for _ in 0..100 {
            let score = qemu_plugin_scoreboard_new(4096);
            for vcpu in 0..2 {
                let element = qemu_plugin_scoreboard_find(score, vcpu);
                let words = std::slice::from_raw_parts_mut(element, 512);
                assert!(words.iter().all(|word| *word == 0));
                words.fill(u64::MAX);
            }
            qemu_plugin_scoreboard_free(score);
        }
    }
}

#[test]
fn a_new_vcpu_changes_nothing_for_the_others() {
    let world = world();
    // SAFETY: called as the header says.
    unsafe {
        let score = qemu_plugin_scoreboard_new(8);
        let before = qemu_plugin_scoreboard_find(score, 1);
        before.write(5);
        // Another vCPU, without plugins being told of it: it does not count yet.
        let area = world.runtime.areas().claim().expect("there is room");
        assert_eq!(area.index(), 2);
        assert_eq!(qemu_plugin_scoreboard_find(score, 1), before);
        assert_eq!(qemu_plugin_u64_sum(entry(score, 0)), 5);
        qemu_plugin_scoreboard_free(score);
    }
}

#[test]
fn elements_may_be_large_or_nothing() {
    let _world = world();
    // SAFETY: called as the header says.
    unsafe {
        let large = qemu_plugin_scoreboard_new(16 << 20);
        let last = entry(large, (16 << 20) - 8);
        qemu_plugin_u64_add(last, 1, 9);
        assert_eq!(qemu_plugin_u64_sum(last), 9);
        let nothing = qemu_plugin_scoreboard_new(0);
        assert!(!qemu_plugin_scoreboard_find(nothing, 0).is_null());
        qemu_plugin_scoreboard_free(large);
        qemu_plugin_scoreboard_free(nothing);
    }
}
