//! The address space against the host's memory.

use super::map::{Place, Request};
use super::vma::{Backing, Prot};
use super::{AddressSpace, Denied, GUEST_END, PAGE_SIZE};
use crate::Errno;
use std::io::Write;
use std::os::fd::AsRawFd;
use tb_cache::{CodePages, Watch};
use translate::{Access, GuestCode};

const P: u64 = PAGE_SIZE;
const A: u64 = 0x10_0000;
const MAYMOVE: i32 = libc::MREMAP_MAYMOVE;
const FIXED: i32 = libc::MREMAP_FIXED;

fn space() -> AddressSpace {
    AddressSpace::new().unwrap()
}

fn anonymous(mm: &AddressSpace, addr: u64, pages: u64, prot: Prot) {
    let request = Request::anonymous(Place::At(addr), pages * P, prot);
    assert_eq!(mm.map(&request), Ok(addr));
}

fn shared(mm: &AddressSpace, addr: u64, pages: u64) {
    let request = Request {
        flags: libc::MAP_SHARED,
        ..Request::anonymous(Place::At(addr), pages * P, Prot::RW)
    };
    assert_eq!(mm.map(&request), Ok(addr));
}

/// Every page of the window must be mapped by somebody: `msync` says `ENOMEM` for a hole.
fn assert_no_holes(mm: &AddressSpace, from: u64, pages: u64) {
    for page in 0..pages {
        let host = mm.host(from + page * P);
        // SAFETY: asks about a page.
        let status = unsafe { libc::msync(host, P as usize, libc::MS_ASYNC) };
        assert_eq!(status, 0, "hole at {:#x}", from + page * P);
    }
}

#[test]
fn mapped_memory_can_be_used_and_nothing_else() {
    let mm = space();
    assert_eq!(mm.write(A, b"x"), Err(Errno::EFAULT));
    anonymous(&mm, A, 2, Prot::RW);
    mm.write(A + P - 1, b"xyz").unwrap();
    let mut text = [0; 4];
    mm.read(A + P - 2, &mut text).unwrap();
    assert_eq!(&text, b"\0xyz");
    assert_eq!(mm.write(A + 2 * P - 1, b"xy"), Err(Errno::EFAULT));
    assert_eq!(mm.read(GUEST_END - 1, &mut text), Err(Errno::EFAULT));
    assert_eq!(mm.read(u64::MAX, &mut text), Err(Errno::EFAULT));
    assert_eq!(mm.check_access(A, Access::Store), Ok(()));
    assert_eq!(mm.check_access(A, Access::Fetch), Err(Denied::Protected));
    assert_eq!(mm.check_access(A - 1, Access::Load), Err(Denied::Unmapped));
    assert_eq!(mm.unmap(A, 2 * P), Ok(0));
    assert_eq!(mm.read(A, &mut text), Err(Errno::EFAULT));
    assert_no_holes(&mm, A, 2);
}

#[test]
fn those_who_look_on_see_and_change_what_the_guest_may_not() {
    let mm = space();
    anonymous(&mm, A, 1, Prot::RW);
    mm.write(A + P - 2, b"ab").unwrap();
    mm.protect(A, P, Prot::NONE).unwrap();
    anonymous(&mm, A + P, 1, Prot::R);
    let mut text = [0; 3];
    assert_eq!(mm.read(A + P - 2, &mut text), Err(Errno::EFAULT));
    assert!(mm.peek(A + P - 2, &mut text) && &text == b"ab\0");
    assert!(mm.poke(A + P - 1, b"xyz"));
    assert!(mm.peek(A + P - 2, &mut text) && &text == b"axy");
    // What was forbidden still is.
    assert_eq!(mm.read(A + P - 1, &mut text), Err(Errno::EFAULT));
    assert_eq!(mm.write(A + P, b"q"), Err(Errno::EFAULT));
    // All or nothing.
    assert!(!mm.poke(A + 2 * P - 1, b"no"));
    assert!(!mm.peek(A + 2 * P - 1, &mut text) && !mm.peek(u64::MAX, &mut text));
    assert!(mm.peek(A + 2 * P - 1, &mut text[..1]) && text[0] == 0);
}

#[test]
fn a_watched_page_is_watched_after_a_change_from_outside() {
    let mm = space();
    anonymous(&mm, A, 1, Prot::from_bits(7));
    assert_eq!(mm.watch(A), Watch::Protected);
    assert!(mm.poke(A, b"new"));
    // The guest's next store is noticed.
    assert!(mm.store_fault(A));
    mm.write(A, b"own").unwrap();
}

#[test]
fn wishes_are_granted_where_there_is_room() {
    let mm = space();
    let near = |addr| mm.map(&Request::anonymous(Place::Near(addr), P, Prot::RW));
    assert_eq!(near(A + 1), Ok(A + P));
    let elsewhere = near(A + P).unwrap();
    assert!(elsewhere != A + P && elsewhere > A);
    assert_eq!(near(0), Ok(elsewhere - P), "downwards");
    assert!(near(GUEST_END).is_ok() && near(u64::MAX).is_ok());
    let at = |place| mm.map(&Request::anonymous(place, P, Prot::RW));
    assert_eq!(at(Place::AtFree(A + P)), Err(Errno::EEXIST));
    assert_eq!(at(Place::At(A + 1)), Err(Errno::EINVAL));
    assert_eq!(at(Place::At(GUEST_END)), Err(Errno::ENOMEM));
    let huge = |len| mm.map(&Request::anonymous(Place::Near(0), len, Prot::RW));
    assert_eq!(huge(0), Err(Errno::EINVAL));
    assert_eq!(huge(GUEST_END), Err(Errno::ENOMEM));
    assert_eq!(huge(u64::MAX), Err(Errno::ENOMEM));
}

#[test]
fn a_failed_fixed_mapping_leaves_what_was_there() {
    let mm = space();
    anonymous(&mm, A, 1, Prot::RW);
    mm.write(A, b"kept").unwrap();
    let bad = Request::file(Place::At(A), P, Prot::R, 9999, 0);
    assert_eq!(mm.map(&bad), Err(Errno::EBADF));
    let mut text = [0; 4];
    mm.read(A, &mut text).unwrap();
    assert_eq!(&text, b"kept");
}

#[test]
fn protection_changes_up_to_the_first_hole() {
    let mm = space();
    anonymous(&mm, A, 1, Prot::RW);
    anonymous(&mm, A + 2 * P, 1, Prot::RW);
    assert_eq!(mm.protect(A, 3 * P, Prot::R), Err(Errno::ENOMEM));
    assert_eq!(mm.write(A, b"x"), Err(Errno::EFAULT));
    assert_eq!(mm.write(A + 2 * P, b"x"), Ok(()));
    assert_eq!(mm.protect(A + 1, P, Prot::R), Err(Errno::EINVAL));
    assert_eq!(mm.protect(A + P, P, Prot::R), Err(Errno::ENOMEM));
    assert_eq!(mm.protect(A, 0, Prot::R), Ok(0));
}

#[test]
fn the_heap_grows_and_shrinks_until_something_is_in_the_way() {
    let mm = space();
    mm.set_heap(A + 8);
    assert_eq!(mm.set_break(0), A + 8);
    assert_eq!(mm.set_break(A + 3 * P), A + 3 * P);
    mm.write(A + 3 * P - 1, b"x").unwrap();
    assert_eq!(mm.set_break(A + P), A + P);
    assert_eq!(mm.write(A + 2 * P, b"x"), Err(Errno::EFAULT));
    assert_eq!(mm.set_break(A + 2 * P), A + 2 * P);
    let mut byte = [1];
    mm.read(A + P, &mut byte).unwrap();
    assert_eq!(byte, [0], "fresh again");
    anonymous(&mm, A + 4 * P, 1, Prot::RW);
    assert_eq!(mm.set_break(A + 4 * P), A + 2 * P);
    assert_eq!(mm.set_break(u64::MAX), A + 2 * P);
    assert_eq!(mm.set_break(GUEST_END), A + 2 * P);
}

#[test]
fn private_memory_grows_in_place_or_moves_with_its_contents() {
    let mm = space();
    anonymous(&mm, A, 2, Prot::RW);
    mm.write(A + P, b"two").unwrap();
    assert_eq!(mm.remap(A, 2 * P, 3 * P, 0, 0), Ok(A));
    anonymous(&mm, A + 3 * P, 1, Prot::R);
    assert_eq!(mm.remap(A, 3 * P, 4 * P, 0, 0), Err(Errno::ENOMEM));
    let moved = mm.remap(A, 3 * P, 5 * P, MAYMOVE, 0).unwrap();
    let mut text = [0; 3];
    mm.read(moved + P, &mut text).unwrap();
    assert_eq!(&text, b"two");
    mm.write(moved + 5 * P - 1, b"x").unwrap();
    assert_eq!(mm.write(A, b"x"), Err(Errno::EFAULT));
    assert_no_holes(&mm, A, 4);
    assert_eq!(mm.remap(moved, 5 * P, P, 0, 0), Ok(moved));
    assert_eq!(mm.write(moved + P, b"x"), Err(Errno::EFAULT));
    assert_no_holes(&mm, moved, 5);
}

#[test]
fn memory_moves_to_where_it_is_told() {
    let mm = space();
    anonymous(&mm, A, 1, Prot::RW);
    mm.write(A, b"one").unwrap();
    let to = A + 16 * P;
    assert_eq!(
        mm.remap(A, P, P, MAYMOVE | FIXED, to + 1),
        Err(Errno::EINVAL)
    );
    assert_eq!(mm.remap(A, P, P, FIXED, to), Err(Errno::EINVAL));
    assert_eq!(mm.remap(A, P, P, MAYMOVE | FIXED, A), Err(Errno::EINVAL));
    assert_eq!(mm.remap(A + P, P, P, MAYMOVE, 0), Err(Errno::EFAULT));
    assert_eq!(mm.remap(A, P, P, MAYMOVE | FIXED, to), Ok(to));
    let mut text = [0; 3];
    mm.read(to, &mut text).unwrap();
    assert_eq!(&text, b"one");
    assert_no_holes(&mm, A, 20);
    let keep = libc::MREMAP_DONTUNMAP;
    let copy = mm.remap(to, P, P, MAYMOVE | keep, 0).unwrap();
    mm.read(copy, &mut text).unwrap();
    assert_eq!(&text, b"one");
    mm.read(to, &mut text).unwrap();
    assert_eq!(text, [0; 3]);
}

#[test]
fn shared_memory_stays_shared_when_it_moves_or_is_mapped_twice() {
    let mm = space();
    shared(&mm, A, 1);
    mm.write(A, b"old").unwrap();
    let twin = mm.remap(A, 0, P, MAYMOVE, 0).unwrap();
    let moved = mm.remap(A, P, P, MAYMOVE | FIXED, A + 8 * P).unwrap();
    mm.write(moved, b"new").unwrap();
    let mut text = [0; 3];
    mm.read(twin, &mut text).unwrap();
    assert_eq!(&text, b"new");
    assert_no_holes(&mm, A, 10);
    anonymous(&mm, A, 1, Prot::RW);
    assert_eq!(mm.remap(A, 0, P, MAYMOVE, 0), Err(Errno::EINVAL));
}

#[test]
fn the_maps_file_reads_as_on_linux() {
    let mm = space();
    anonymous(&mm, A, 1, Prot::RX);
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let name = std::fs::read_link("/proc/self/exe").unwrap();
    let request = Request::file(Place::At(A + P), P, Prot::R, file.as_raw_fd(), 2 * P);
    mm.map(&request).unwrap();
    mm.map(&Request {
        kind: Backing::Stack,
        ..Request::anonymous(Place::At(A + 2 * P), P, Prot::RW)
    })
    .unwrap();
    let text = String::from_utf8(mm.proc_maps()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "00100000-00101000 r-xp 00000000 00:00 0 ");
    assert!(lines[1].starts_with("00101000-00102000 r--p 00002000 "));
    assert_eq!(&lines[1][73..], name.to_str().unwrap());
    assert_eq!(&lines[2][73..], "[stack]");
}

#[test]
fn code_is_fetched_only_from_executable_memory() {
    let mm = space();
    anonymous(&mm, A, 1, Prot::RW);
    mm.write(A + P - 2, &[0x82, 0x80]).unwrap();
    let mut code = [0; 4];
    assert_eq!(mm.fetch(A + P - 2, &mut code), 0);
    mm.protect(A, P, Prot::RX).unwrap();
    assert_eq!(mm.fetch(A + P - 2, &mut code), 2);
    assert_eq!(code[..2], [0x82, 0x80]);
    assert_eq!(mm.fetch(A + P, &mut code), 0);
    for pc in [GUEST_END - 2, GUEST_END, u64::MAX - 1] {
        assert_eq!(mm.fetch(pc, &mut code), 0);
    }
}

#[test]
fn a_watched_page_can_be_written_after_its_fault_or_when_prepared() {
    let mm = space();
    let rwx = Prot::from_bits(7);
    anonymous(&mm, A, 3, rwx);
    assert_eq!(mm.watch(A), Watch::Protected);
    assert_eq!(mm.watch(A + P), Watch::Protected);
    let host = mm.host(A + 8) as u64;
    // SAFETY: guest memory.
    let store = || unsafe { vcpu::guarded::store(host, translate::ops::Size::B8, 1) };
    assert!(store().is_err());
    assert!(mm.store_fault(A + 8));
    assert!(store().is_ok());
    assert!(!mm.store_fault(A + 8));
    assert!(!mm.store_fault(A + 2 * P) && !mm.store_fault(GUEST_END + 5));
    mm.write(A + P, b"x").unwrap();
    assert_eq!(mm.watch(A), Watch::Protected);
    mm.protect(A, P, Prot::RX).unwrap();
    assert_eq!(mm.watch(A), Watch::Immutable);
    assert!(!mm.store_fault(A));
    shared(&mm, A, 1);
    assert_eq!(mm.watch(A), Watch::Unwatchable);
}

#[test]
fn a_file_that_shrinks_is_an_error_and_not_a_crash() {
    let path = std::env::temp_dir().join(format!("hartscope-shrink-{}", std::process::id()));
    let mut file = std::fs::File::create_new(&path).unwrap();
    file.write_all(&[7; 2 * P as usize]).unwrap();
    let readable = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let mm = space();
    let request = Request::file(Place::At(A), 2 * P, Prot::RX, readable.as_raw_fd(), 0);
    mm.map(&request).unwrap();
    let mut byte = [0; 4];
    assert_eq!(mm.fetch(A + P, &mut byte), 4);
    file.set_len(P).unwrap();
    assert_eq!(mm.fetch(A + P, &mut byte), 0);
    assert_eq!(mm.read(A + P, &mut byte), Err(Errno::EFAULT));
}
