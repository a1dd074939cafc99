//! Who is called, when, and how.

use std::cell::RefCell;

use tb_cache::SetId;
use translate::escape::Escape;

use super::*;
use crate::Discon;
use crate::callbacks;

thread_local! {
    /// What callbacks on this thread have noted.
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn note(text: String) {
    NOTES.with_borrow_mut(|notes| notes.push(text));
}

fn notes() -> Vec<String> {
    NOTES.take()
}

extern "C" fn init_v7(vcpu: u32, userdata: usize) {
    note(format!("init {vcpu} {userdata}"));
}

extern "C" fn init_v2(id: u64, vcpu: u32) {
    note(format!("init {vcpu} of {id:x}"));
}

fn on_init(runtime: &Runtime, id: PluginId, callback: Option<callbacks::Vcpu>) {
    runtime
        .subscribe(id, |callbacks| &mut callbacks.init, callback)
        .unwrap();
}

#[test]
fn who_subscribed_last_is_called_first_and_keeps_its_place() {
    let runtime = runtime();
    let plugins = [1, 2, 3].map(|number| (number, load(&runtime, 7)));
    for (number, id) in plugins {
        on_init(&runtime, id, callback(7, function!(init_v7), number));
    }
    let mut vcpu = Vcpu::new(&runtime, 5);
    vcpu.instruments.init();
    assert_eq!(notes(), ["init 5 3", "init 5 2", "init 5 1"]);
    // Replaced, removed, and subscribed anew.
    on_init(&runtime, plugins[1].1, callback(7, function!(init_v7), 20));
    on_init(&runtime, plugins[2].1, None);
    vcpu.instruments.init();
    assert_eq!(notes(), ["init 5 20", "init 5 1"]);
    on_init(&runtime, plugins[2].1, callback(7, function!(init_v7), 30));
    vcpu.instruments.init();
    assert_eq!(notes(), ["init 5 30", "init 5 20", "init 5 1"]);
}

#[test]
fn each_version_is_called_its_own_way() {
    let runtime = runtime();
    let (old, new) = (load(&runtime, 2), load(&runtime, 7));
    on_init(&runtime, old, callback(2, function!(init_v2), 9));
    on_init(&runtime, new, callback(7, function!(init_v7), 9));
    let mut vcpu = Vcpu::new(&runtime, 1);
    vcpu.instruments.init();
    assert_eq!(
        notes(),
        ["init 1 9".to_owned(), format!("init 1 of {:x}", old.0)]
    );
}

#[rustfmt::skip]
extern "C" fn syscall_v4(
    id: u64, vcpu: u32, num: i64, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, h: u64,
) {
    note(format!("{} {vcpu} {num} {:?}", id != 0, [a, b, c, d, e, f, g, h]));
}

#[rustfmt::skip]
extern "C" fn syscall_v7(
    vcpu: u32, num: i64, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64, g: u64, h: u64, data: usize,
) {
    note(format!("{data} {vcpu} {num} {:?}", [a, b, c, d, e, f, g, h]));
}

#[rustfmt::skip]
extern "C" fn filter_v6(
    _: u64, _: u32, num: i64, _: u64, _: u64, _: u64, _: u64, _: u64, _: u64, _: u64, h: u64,
    ret: *mut u64,
) -> u8 {
    // SAFETY: the caller's cell.
    unsafe {
        note(format!("v6 {num} {h} {}", *ret));
        *ret = 100 + h;
    }
    // True, as a foreign compiler might have it.
    2
}

#[rustfmt::skip]
extern "C" fn filter_v7(
    _: u32, num: i64, _: u64, _: u64, _: u64, _: u64, _: u64, _: u64, _: u64, h: u64,
    ret: *mut i64, data: usize,
) -> u8 {
    // SAFETY: the caller's cell.
    unsafe {
        note(format!("v7 {num} {h} {} {data}", *ret));
        *ret = -5;
    }
    0
}

#[test]
fn arguments_on_the_stack_arrive() {
    let runtime = runtime();
    let (old, new) = (load(&runtime, 4), load(&runtime, 7));
    runtime
        .subscribe(
            old,
            |c| &mut c.syscall,
            callback(4, function!(syscall_v4), 0),
        )
        .unwrap();
    runtime
        .subscribe(
            new,
            |c| &mut c.syscall,
            callback(7, function!(syscall_v7), 6),
        )
        .unwrap();
    let mut vcpu = Vcpu::new(&runtime, 3);
    let args = [1, 2, 3, 4, 5, 6, 7, 8];
    assert!(vcpu.instruments.wants_syscalls());
    assert_eq!(vcpu.instruments.syscall(-64, &args), Escape::Returned);
    let shown = format!("{args:?}");
    assert_eq!(
        notes(),
        [format!("6 3 -64 {shown}"), format!("true 3 -64 {shown}")]
    );
}

#[test]
fn the_first_filter_that_says_so_makes_the_call() {
    let runtime = runtime();
    let args = [0, 0, 0, 0, 0, 0, 0, 8];
    let mut vcpu = Vcpu::new(&runtime, 0);
    assert_eq!(vcpu.instruments.filter(64, &args), (Escape::Returned, None));
    let (a, b, c) = (load(&runtime, 7), load(&runtime, 6), load(&runtime, 7));
    runtime
        .subscribe(a, |c| &mut c.filter, callback(7, function!(filter_v7), 1))
        .unwrap();
    assert_eq!(vcpu.instruments.filter(64, &args), (Escape::Returned, None));
    assert_eq!(notes(), ["v7 64 8 0 1"]);
    runtime
        .subscribe(b, |c| &mut c.filter, callback(6, function!(filter_v6), 0))
        .unwrap();
    runtime
        .subscribe(c, |c| &mut c.filter, callback(7, function!(filter_v7), 3))
        .unwrap();
    let (_, ret) = vcpu.instruments.filter(64, &args);
    assert_eq!(ret, Some(108));
    assert_eq!(
        notes(),
        [
            "v7 64 8 0 3".to_owned(),
            format!("v6 64 8 {}", -5_i64 as u64)
        ]
    );
}

extern "C" fn discon_v5(_id: u64, _vcpu: u32, kind: i32, from: u64, to: u64) {
    note(format!("{kind} {from:#x} {to:#x}"));
}

#[test]
fn discontinuities_of_the_kinds_asked_for() {
    let runtime = runtime();
    let id = load(&runtime, 5);
    let mut vcpu = Vcpu::new(&runtime, 0);
    for (kinds, expected) in [(-1, 2), (2, 1), (4, 1), (1, 0)] {
        let discon = callback(5, function!(discon_v5), 0)
            .map(|callback| callbacks::Discon { kinds, callback });
        runtime.subscribe(id, |c| &mut c.discon, discon).unwrap();
        let _ = vcpu
            .instruments
            .discontinuity(Discon::Exception, 0x10, 0x20);
        let _ = vcpu.instruments.discontinuity(Discon::HostCall, 0x30, 0x34);
        assert_eq!(notes().len(), expected, "{kinds}");
    }
}

extern "C" fn leaves(vcpu: u32, pc: usize) {
    note(format!("leaves {vcpu}"));
    let state = current::state().unwrap().as_ptr();
    // SAFETY: inside `catch`, and nothing is to be dropped.
    unsafe {
        (*state).pc = pc as u64;
        translate::escape::leave(state)
    }
}

extern "C" fn stays(vcpu: u32, _: usize) {
    note(format!("stays {vcpu}"));
}

#[test]
fn who_leaves_is_the_last() {
    let runtime = runtime();
    let (a, b, c) = (load(&runtime, 7), load(&runtime, 7), load(&runtime, 7));
    let callbacks = [
        (a, function!(stays)),
        (b, function!(leaves)),
        (c, function!(stays)),
    ];
    for (id, function) in callbacks {
        runtime
            .subscribe(id, |c| &mut c.resume, callback(7, function, 0x1234))
            .unwrap();
    }
    let mut vcpu = Vcpu::new(&runtime, 2);
    assert_eq!(vcpu.instruments.resume(), Escape::Left);
    assert_eq!(notes(), ["stays 2", "leaves 2"]);
    assert_eq!((vcpu.state.pc, vcpu.state.context), (0x1234, 0));
}

extern "C" fn on_block(_tb: usize, _: usize) {
    note(format!("block at {:#x}", current_pc()));
}

fn current_pc() -> u64 {
    // SAFETY: this thread's vCPU.
    unsafe { (*current::state().unwrap().as_ptr()).pc }
}

#[test]
fn the_set_changes_at_quiescent_points_and_an_old_one_comes_back() {
    let runtime = runtime();
    let (a, b) = (load(&runtime, 7), load(&runtime, 7));
    let mut vcpu = Vcpu::new(&runtime, 0);
    assert_eq!(vcpu.instruments.set(), SetId::EMPTY);
    let subscribe = |id, function| {
        runtime
            .subscribe(id, |c| &mut c.tb_trans, callback(7, function, 0))
            .unwrap();
    };
    subscribe(a, function!(on_block));
    let _ = vcpu.instruments.wants_syscalls();
    assert_eq!(
        vcpu.instruments.set(),
        SetId::EMPTY,
        "not before the vCPU is told"
    );
    assert!(vcpu.quiesce());
    let only_a = vcpu.instruments.set();
    assert_ne!(only_a, SetId::EMPTY);
    subscribe(b, function!(on_block));
    assert!(vcpu.quiesce());
    assert_ne!(vcpu.instruments.set(), only_a);
    assert_eq!(runtime.uninstall(b), Ok(()));
    assert!(vcpu.quiesce());
    assert_eq!(vcpu.instruments.set(), only_a);
    // Its old blocks go on calling it.
    subscribe(a, None);
    assert!(!vcpu.quiesce());
    runtime.show_anew(a);
    assert!(vcpu.quiesce());
    assert_eq!(runtime.uninstall(a), Ok(()));
    assert!(vcpu.quiesce());
    assert_eq!(vcpu.instruments.set(), SetId::EMPTY);
}

#[test]
fn nobody_is_called_before_it_is_loaded_or_after_the_end_of_the_process() {
    let runtime = runtime();
    let id = load(&runtime, 7);
    on_init(&runtime, id, callback(7, function!(init_v7), 1));
    extern "C" fn at_exit(userdata: usize) {
        note(format!("exit {userdata}"));
    }
    let callback = Some(Callback::Userdata(
        at_exit as callbacks::SimpleByUserdata,
        4,
    ));
    runtime.subscribe(id, |c| &mut c.at_exit, callback).unwrap();
    let mut vcpu = Vcpu::new(&runtime, 0);
    vcpu.participant.offline();
    runtime.at_exit();
    runtime.at_exit();
    assert_eq!(notes(), ["exit 4"], "once");
    vcpu.participant.online();
    vcpu.instruments.init();
    assert!(notes().is_empty());
}
