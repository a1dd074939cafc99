//! Uninstall and reset: when they are over, and what has happened by then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;

use super::*;
use crate::callbacks;
use crate::registry::Request;

/// Writes to the file that it was loaded with when its library is closed.
const LAST_WORDS: &str = r#"
    #include <stdio.h>
    #include <string.h>
    #include <stdint.h>
    static char path[4096];
    int qemu_plugin_version = 7;
    int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
        strncpy(path, argv[0], sizeof path - 1);
        return 0;
    }
    static volatile int alive = 0x5eed;
    static unsigned long calls;
    void callback(unsigned vcpu, void *userdata) {
        if (alive != 0x5eed) __builtin_trap();
        __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    }
    void completion(void *userdata) {
        alive = 0;
        __atomic_add_fetch((unsigned long *)userdata, 1, __ATOMIC_RELAXED);
    }
    __attribute__((destructor)) static void last(void) {
        if (path[0]) { FILE *file = fopen(path, "a"); fputs("closed\n", file); fclose(file); }
    }
"#;

/// A function of a library that somebody else keeps open.
fn symbol(file: &File, name: &std::ffi::CStr) -> Function {
    // SAFETY: the library is open already: no code runs. It stays open as long as the test calls it.
    unsafe {
        let library = libloading::os::unix::Library::new(file.path()).unwrap();
        Some(*library.get::<unsafe extern "C" fn()>(name).unwrap())
    }
}

#[test]
fn the_end_comes_after_the_last_callback_and_then_the_library_is_closed() {
    let runtime = runtime();
    let (file, log) = (File::library(LAST_WORDS), File::new(".log"));
    let said = || std::fs::read_to_string(log.path()).unwrap_or_default();
    let id = runtime
        .load(&file.spec(&[log.path().to_str().unwrap()]))
        .unwrap();
    let on_init = callback(7, symbol(&file, c"callback"), 0);
    runtime.subscribe(id, |c| &mut c.init, on_init).unwrap();
    let mut vcpu = Vcpu::new(&runtime, 0);
    vcpu.instruments.init();

    let ends = AtomicUsize::new(0);
    let userdata = (&raw const ends).expose_provenance();
    let completion = callback(7, symbol(&file, c"completion"), userdata);
    assert_eq!(runtime.finish(id, Request::Uninstall, completion), Ok(true));
    assert_eq!(
        runtime.finish(id, Request::Uninstall, completion),
        Ok(false)
    );
    assert_eq!(runtime.finish(id, Request::Reset, completion), Ok(false));
    assert_eq!(
        (ends.load(Relaxed), said().as_str()),
        (0, ""),
        "the vCPU may be in a callback"
    );
    vcpu.quiesce();
    assert_eq!((ends.load(Relaxed), said().as_str()), (1, "closed\n"));
    assert!(
        runtime.finish(id, Request::Uninstall, completion).is_err(),
        "nobody has that id"
    );
    assert!(runtime.plugins().is_empty());
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains(file.path().to_str().unwrap()));
    vcpu.instruments.init();
}

static RESETS: Mutex<Vec<(PluginId, Arc<Runtime>)>> = Mutex::new(Vec::new());

extern "C" fn nothing(_: u32, _: usize) {}

/// Subscribes again.
extern "C" fn reset_is_over(_: usize) {
    let (id, runtime) = RESETS.lock().unwrap().pop().unwrap();
    let on_init: Option<callbacks::Vcpu> = callback(7, function!(nothing), 2);
    runtime.subscribe(id, |c| &mut c.init, on_init).unwrap();
}

#[test]
fn after_a_reset_a_plugin_subscribes_anew() {
    let runtime = runtime();
    let id = load(&runtime, 7);
    let on_init: Option<callbacks::Vcpu> = callback(7, function!(nothing), 1);
    runtime.subscribe(id, |c| &mut c.init, on_init).unwrap();
    RESETS.lock().unwrap().push((id, Arc::clone(&runtime)));
    let mut vcpu = Vcpu::new(&runtime, 0);
    let userdata = || {
        let callback = runtime.snapshots().callbacks.init.get(id);
        callback.map(|callback| match callback {
            Callback::Id(_) => 0,
            Callback::Userdata(_, userdata) => userdata,
        })
    };
    assert_eq!(userdata(), Some(1));
    let over = callback(7, function!(reset_is_over), 0);
    assert_eq!(runtime.finish(id, Request::Reset, over), Ok(true));
    assert_eq!(runtime.finish(id, Request::Reset, None), Ok(false));
    assert_eq!(userdata(), None);
    // What a callback that still runs subscribes to would be wiped.
    runtime.subscribe(id, |c| &mut c.init, on_init).unwrap();
    assert_eq!(userdata(), None);
    vcpu.quiesce();
    assert_eq!(userdata(), Some(2));
    assert!(runtime.uninstall(id));
}

#[test]
fn a_reset_and_an_uninstall_both_complete_in_order() {
    static ENDS: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    extern "C" fn over(which: usize) {
        ENDS.lock().unwrap().push(which);
    }
    let runtime = runtime();
    let id = load(&runtime, 7);
    let mut vcpu = Vcpu::new(&runtime, 0);
    let request = |request, which| runtime.finish(id, request, callback(7, function!(over), which));
    assert_eq!(request(Request::Reset, 1), Ok(true));
    assert_eq!(request(Request::Uninstall, 2), Ok(true));
    vcpu.quiesce();
    assert_eq!(*ENDS.lock().unwrap(), [1, 2]);
    assert!(runtime.plugins().is_empty());
}

#[test]
fn a_forked_child_ends_what_its_parent_has_begun() {
    let runtime = runtime();
    let id = load(&runtime, 7);
    let vcpu = Vcpu::new(&runtime, 0);
    assert!(runtime.uninstall(id));
    assert_eq!(runtime.plugins().len(), 1, "the vCPU is online");
    // As in a child, where the parent's vCPUs never pass a quiescent point.
    runtime.after_fork(Domain::new());
    assert!(runtime.plugins().is_empty());
    drop(vcpu);
}

#[test]
fn plugins_come_and_go_while_vcpus_call_them() {
    const CYCLES: usize = 300;
    let runtime = runtime();
    let (file, log) = (File::library(LAST_WORDS), File::new(".log"));
    let stop = AtomicBool::new(false);
    let ends = AtomicUsize::new(0);
    let events = AtomicUsize::new(0);
    thread::scope(|scope| {
        for index in 0..2 {
            let (runtime, stop, events) = (&runtime, &stop, &events);
            scope.spawn(move || {
                let mut vcpu = Vcpu::new(runtime, index);
                while !stop.load(Relaxed) {
                    for _ in 0..50 {
                        let _ = vcpu.instruments.idle();
                        let _ = vcpu.instruments.resume();
                    }
                    events.fetch_add(1, Relaxed);
                    vcpu.quiesce();
                    if events.load(Relaxed).is_multiple_of(7) {
                        vcpu.participant.offline();
                        vcpu.participant.online();
                        vcpu.instruments.refresh();
                    }
                }
            });
        }
        let spec = file.spec(&[log.path().to_str().unwrap()]);
        for cycle in 0..CYCLES {
            let id = runtime.load(&spec).unwrap();
            let on_event = callback(7, symbol(&file, c"callback"), 0);
            runtime.subscribe(id, |c| &mut c.idle, on_event).unwrap();
            runtime.subscribe(id, |c| &mut c.resume, on_event).unwrap();
            let before = events.load(Relaxed);
            while events.load(Relaxed) < before + 2 {
                thread::yield_now();
            }
            let userdata = (&raw const ends).expose_provenance();
            let completion = callback(7, symbol(&file, c"completion"), userdata);
            assert_eq!(runtime.finish(id, Request::Uninstall, completion), Ok(true));
            // The next one is to be a library of its own.
            while !runtime.plugins().is_empty() {
                thread::yield_now();
            }
            assert_eq!(ends.load(Relaxed), cycle + 1);
        }
        stop.store(true, Relaxed);
    });
    let said = std::fs::read_to_string(log.path()).unwrap();
    assert_eq!(said.lines().count(), CYCLES);
}
