//! Uninstall and reset: when they are over, and what has happened by then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;

use super::*;
use crate::callbacks;
use crate::registry::{Completion, Request};
use crate::{NotReset, Refused};

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
    let completion = symbol(&file, c"completion");
    let completion = || Completion::Plugin(callback(7, completion, userdata));
    let request = |request| runtime.finish(id, request, completion());
    assert_eq!(request(Request::Uninstall), Ok(()));
    assert_eq!(request(Request::Uninstall), Err(Refused::Ending));
    assert_eq!(request(Request::Reset), Err(Refused::Ending));
    assert_eq!(
        (ends.load(Relaxed), said().as_str()),
        (0, ""),
        "the vCPU may be in a callback"
    );
    vcpu.quiesce();
    assert_eq!((ends.load(Relaxed), said().as_str()), (1, "closed\n"));
    assert_eq!(request(Request::Uninstall), Err(Refused::Unknown));
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
    let over = Completion::Plugin(callback(7, function!(reset_is_over), 0));
    assert_eq!(runtime.finish(id, Request::Reset, over), Ok(()));
    assert_eq!(runtime.reset(id, || ()), Err(Refused::Resetting));
    assert_eq!(userdata(), None);
    // What a callback that still runs subscribes to would be wiped.
    runtime.subscribe(id, |c| &mut c.init, on_init).unwrap();
    assert_eq!(userdata(), None);
    vcpu.quiesce();
    assert_eq!(userdata(), Some(2));
    assert_eq!(runtime.uninstall(id), Ok(()));
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
    let request = |request, which| {
        let completion = callback(7, function!(over), which);
        runtime.finish(id, request, Completion::Plugin(completion))
    };
    assert_eq!(request(Request::Reset, 1), Ok(()));
    assert_eq!(request(Request::Uninstall, 2), Ok(()));
    vcpu.quiesce();
    assert_eq!(*ENDS.lock().unwrap(), [1, 2]);
    assert!(runtime.plugins().is_empty());
}

/// Appends the number of its installation, by its own count, to the file that it was loaded with.
const BEGINNER: &str = r#"
    #include <stdio.h>
    #include <stdint.h>
    int qemu_plugin_version = 7;
    static int installed;
    int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv) {
        FILE *file = fopen(argv[0], "a");
        fprintf(file, "%llx %d\n", (unsigned long long)id, ++installed);
        fclose(file);
        return argc - 1;
    }
    __attribute__((destructor)) static void last(void) { installed = -1; }
"#;

/// Asks for a reset; gives how often that is told.
fn reset(runtime: &Runtime, id: PluginId) -> (Result<(), Refused>, Arc<AtomicUsize>) {
    let told = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&told);
    let granted = runtime.reset(id, move || {
        counted.fetch_add(1, Relaxed);
    });
    (granted, told)
}

#[test]
fn after_a_reset_from_outside_a_plugin_is_as_new() {
    let runtime = runtime();
    let (file, log) = (File::library(BEGINNER), File::new(".log"));
    let spec = file.spec(&[log.path().to_str().unwrap()]);
    let id = runtime.load(&spec).unwrap();
    let other = load(&runtime, 7);
    let on_init: Option<callbacks::Vcpu> = callback(7, function!(nothing), 0);
    runtime.subscribe(id, |c| &mut c.init, on_init).unwrap();
    let is_subscribed = || runtime.snapshots().callbacks.init.get(id).is_some();
    let mut vcpu = Vcpu::new(&runtime, 0);
    let not_reset = |expected| match runtime.begin_anew(id) {
        Err(NotReset::Refused(refused)) => assert_eq!(refused, expected),
        other => panic!("{other:?}"),
    };
    not_reset(Refused::Running);
    let (granted, told) = reset(&runtime, id);
    assert_eq!((granted, is_subscribed()), (Ok(()), false));
    assert_eq!(reset(&runtime, id).0, Err(Refused::Resetting));
    not_reset(Refused::Resetting);
    assert_eq!(told.load(Relaxed), 0, "the vCPU may be in a callback");
    vcpu.quiesce();
    assert_eq!(told.load(Relaxed), 1);
    assert_eq!(reset(&runtime, id).0, Err(Refused::Resetting));
    assert!(runtime.begin_anew(id).is_ok());
    not_reset(Refused::Running);
    let there: Vec<PluginId> = runtime.plugins().iter().map(|plugin| plugin.id()).collect();
    assert_eq!(there, [id, other], "its place is what it was");
    let line = format!("{:x} 1\n", id.0);
    let said = std::fs::read_to_string(log.path()).unwrap();
    assert_eq!(said, line.repeat(2), "its own variables are as new");
    assert_eq!(runtime.uninstall(id), Ok(()));
    assert_eq!(reset(&runtime, id).0, Err(Refused::Ending));
    vcpu.quiesce();
    assert_eq!(reset(&runtime, id).0, Err(Refused::Unknown));
    assert_eq!(runtime.uninstall(other), Ok(()));
}

#[test]
fn an_uninstall_overtakes_a_reset_from_outside() {
    let runtime = runtime();
    let id = load(&runtime, 7);
    let mut vcpu = Vcpu::new(&runtime, 0);
    let (granted, told) = reset(&runtime, id);
    assert_eq!((granted, runtime.uninstall(id)), (Ok(()), Ok(())));
    assert_eq!(runtime.uninstall(id), Err(Refused::Ending));
    vcpu.quiesce();
    assert_eq!(told.load(Relaxed), 1);
    assert!(runtime.plugins().is_empty());
    assert!(matches!(
        runtime.begin_anew(id),
        Err(NotReset::Refused(Refused::Unknown))
    ));
}

#[test]
fn a_plugin_that_cannot_begin_anew_is_gone() {
    let runtime = runtime();
    for file_is_there in [false, true] {
        let (file, log) = (File::library(BEGINNER), File::new(".log"));
        let spec = file.spec(&[log.path().to_str().unwrap()]);
        let id = runtime.load(&spec).unwrap();
        let (granted, told) = reset(&runtime, id);
        assert_eq!((granted, told.load(Relaxed)), (Ok(()), 1), "nobody runs");
        std::fs::remove_file(file.path()).unwrap();
        if file_is_there {
            let refuses = File::library(&BEGINNER.replace("argc - 1", "argc"));
            std::fs::copy(refuses.path(), file.path()).unwrap();
        }
        let error = runtime.begin_anew(id).unwrap_err().to_string();
        assert!(error.starts_with("Could not load plugin "), "{error}");
        assert!(error.ends_with("error code 1") == file_is_there, "{error}");
        assert!(runtime.plugins().is_empty());
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        assert!(!maps.contains(file.path().to_str().unwrap()));
    }
}

#[test]
fn a_forked_child_leaves_to_its_parent_what_was_asked_for_there() {
    let runtime = runtime();
    let id = load(&runtime, 7);
    let vcpu = Vcpu::new(&runtime, 0);
    let (granted, told) = reset(&runtime, id);
    assert_eq!(granted, Ok(()));
    runtime.after_fork(Domain::new());
    assert_eq!(told.load(Relaxed), 0);
    drop(vcpu);
}

#[test]
fn a_forked_child_ends_what_its_parent_has_begun() {
    let runtime = runtime();
    let id = load(&runtime, 7);
    let vcpu = Vcpu::new(&runtime, 0);
    assert_eq!(runtime.uninstall(id), Ok(()));
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
            let completion = Completion::Plugin(completion);
            assert_eq!(runtime.finish(id, Request::Uninstall, completion), Ok(()));
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
