//! Registers and memory, by the rules of each version.

use std::ffi::{CStr, c_char, c_void};

use plugin_rt::abi::context::{Kind, NO_REGS, R_REGS, RW_REGS, RW_REGS_PC};
use translate::CpuState;

use super::world::*;

/// An element of the list, and whether it is read-only where versions say so.
struct Entry {
    handle: *mut c_void,
    name: &'static CStr,
    feature: &'static CStr,
    is_readonly: Option<bool>,
}

/// The list, as a plugin of that version sees it.
fn list(version: i32) -> Vec<Entry> {
    // SAFETY: called as the header says; the array is of that version's elements.
    unsafe {
        let array = qemu_plugin_get_registers();
        let stride = if version < 6 { 24 } else { 32 };
        let entries = (0..(*array).len as usize).map(|index| {
            let element = (*array).data.add(index * stride);
            let text = |at: usize| CStr::from_ptr(element.add(at).cast::<*const c_char>().read());
            Entry {
                handle: element.cast::<*mut c_void>().read(),
                name: text(8),
                feature: text(16),
                is_readonly: (version >= 6).then(|| element.add(24).read() != 0),
            }
        });
        let entries: Vec<Entry> = entries.collect();
        // Zero-terminated.
        let end = (*array).data.add(entries.len() * stride);
        assert_eq!(std::slice::from_raw_parts(end, stride), vec![0; stride]);
        (glib().array_free)(array, 1);
        entries
    }
}

fn handle(entries: &[Entry], name: &CStr) -> *mut c_void {
    let entry = entries.iter().find(|entry| entry.name == name);
    entry.expect("it is in the list").handle
}

#[test]
fn the_list_is_that_of_a_debugger() {
    let world = world();
    for version in PLUGINS {
        world.callback(version, Kind::Init, RW_REGS, |_| {
            let entries = list(version);
            assert_eq!(entries.len(), 72);
            assert_eq!((entries[8].name, entries[32].name), (c"fp", c"pc"));
            assert_eq!((entries[33].name, entries[65].name), (c"ft0", c"priv"));
            assert_eq!(entries[0].feature, c"org.gnu.gdb.riscv.cpu");
            assert_eq!(entries[33].feature, c"org.gnu.gdb.riscv.fpu");
            assert_eq!(entries[65].feature, c"org.gnu.gdb.riscv.virtual");
            assert_eq!(entries[71].feature, c"org.gnu.gdb.riscv.csr");
            assert!(entries.iter().all(|entry| !entry.handle.is_null()));
            for entry in &entries {
                let expected = (version >= 6).then_some(entry.name == c"pc");
                assert_eq!(entry.is_readonly, expected, "{:?}", entry.name);
            }
            let again = list(version);
            assert!(
                again
                    .iter()
                    .zip(&entries)
                    .all(|(a, b)| { a.handle == b.handle && std::ptr::eq(a.name, b.name) })
            );
        });
    }
}

#[test]
fn every_listed_register_can_be_read() {
    let world = world();
    for version in PLUGINS {
        world.callback(version, Kind::Exec, R_REGS, |_| {
            for entry in list(version) {
                let bytes = Bytes::new(b"");
                // SAFETY: called as the header says.
                let result = unsafe { qemu_plugin_read_register(entry.handle, bytes.0) };
                assert_eq!(result, if version < 6 { 8 } else { 1 }, "{:?}", entry.name);
                assert_eq!(bytes.get().len(), 8);
            }
        });
    }
}

/// A value in the state, and its register.
fn set_some(state: *mut CpuState) {
    // SAFETY: the vCPU's state, which nobody uses meanwhile.
    let state = unsafe { &mut *state };
    state.x[10] = 0x1122_3344_5566_7788;
    state.pc = 0x1_0504;
    state.f[10] = 0x3ff0_0000_0000_0000;
    state.frm = 0;
    state.fflags = 0x11;
}

#[test]
fn reading_appends_the_value() {
    let world = world();
    for version in PLUGINS {
        world.callback(version, Kind::Exec, R_REGS, |state| {
            set_some(state);
            let entries = list(version);
            let values = [
                (c"a0", 0x1122_3344_5566_7788u64),
                (c"pc", 0x1_0504),
                (c"fa0", 0x3ff0_0000_0000_0000),
                (c"fcsr", 0x11),
                (c"priv", 0),
                (c"zero", 0),
            ];
            for (name, value) in values {
                let bytes = Bytes::new(b"before");
                // SAFETY: called as the header says.
                unsafe { qemu_plugin_read_register(handle(&entries, name), bytes.0) };
                assert_eq!(bytes.get(), [&b"before"[..], &value.to_le_bytes()].concat());
            }
        });
    }
}

#[test]
fn rights_are_looked_at() {
    let world = world();
    // What reading and writing come to with given rights.
    let access = |version, kind, flags| {
        let entries = world.callback(version, Kind::Init, RW_REGS, |_| list(version));
        world.callback(version, kind, flags, |_| {
            let a0 = handle(&entries, c"a0");
            let (read, written) = (Bytes::new(b""), Bytes::new(&[1; 8]));
            // SAFETY: called as the header says.
            unsafe {
                let outcomes = (
                    qemu_plugin_read_register(a0, read.0),
                    qemu_plugin_write_register(a0, written.0),
                );
                assert_eq!(read.get().len(), if outcomes.0 > 0 { 8 } else { 0 });
                outcomes
            }
        })
    };
    for kind in [Kind::Exec, Kind::Memory] {
        assert_eq!(access(5, kind, NO_REGS), (-1, -1));
        assert_eq!(access(5, kind, R_REGS), (8, -1));
        assert_eq!(access(5, kind, RW_REGS), (8, 8));
        assert_eq!(access(7, kind, NO_REGS), (0, 0));
        assert_eq!(access(7, kind, R_REGS), (1, 0));
        assert_eq!(access(7, kind, RW_REGS), (1, 1));
        assert_eq!(access(6, kind, RW_REGS_PC), (1, 1));
    }
    assert_eq!(access(5, Kind::AtExit, NO_REGS), (-1, -1));
    assert_eq!(access(7, Kind::Flush, NO_REGS), (0, 0));
}

#[test]
fn writing_is_seen_by_the_vcpu() {
    let world = world();
    for version in [5, 6, 7] {
        world.callback(version, Kind::Exec, RW_REGS, |state| {
            set_some(state);
            let entries = list(version);
            let (size, no) = if version < 6 { (8, -1) } else { (1, 0) };
            let write = |name, bytes: &[u8]| {
                let bytes = Bytes::new(bytes);
                // SAFETY: called as the header says.
                unsafe { qemu_plugin_write_register(handle(&entries, name), bytes.0) }
            };
            assert_eq!(write(c"a0", &[0xff; 8]), size);
            assert_eq!(write(c"a1", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), size);
            assert_eq!(write(c"a2", &[1]), size);
            assert_eq!(write(c"zero", &[0xff; 8]), size);
            assert_eq!(write(c"fa1", &[7; 8]), size);
            assert_eq!(write(c"fcsr", &[0x61, 0, 0, 0, 0, 0, 0, 0]), size);
            assert_eq!(write(c"a3", &[]), no);
            assert_eq!(write(c"cycle", &[0; 8]), 0);
            // SAFETY: the vCPU's state, which nobody uses meanwhile.
            let state = unsafe { &*state };
            assert_eq!(state.x[10], u64::MAX);
            assert_eq!(state.x[11], 0x0807_0605_0403_0201);
            assert_eq!((state.x[12], state.x[0]), (1, 0));
            assert_eq!(state.f[11], 0x0707_0707_0707_0707);
            assert_eq!((state.frm, state.fflags), (3, 1));
        });
    }
}

#[test]
fn a_handle_from_nowhere_is_no_register() {
    let world = world();
    for version in PLUGINS {
        world.callback(version, Kind::Exec, RW_REGS, |_| {
            for handle in [0usize, 1, 33, 0x1234_5678, usize::MAX] {
                let bytes = Bytes::new(b"");
                let handle = std::ptr::without_provenance_mut(handle);
                // SAFETY: called as the header says, with a handle that is none.
                unsafe {
                    assert_eq!(qemu_plugin_read_register(handle, bytes.0), 0);
                }
                assert_eq!(bytes.get(), b"");
            }
        });
    }
}

#[test]
fn memory_is_read_and_written_by_address() {
    let world = world();
    world.callback(5, Kind::Exec, NO_REGS, |_| {
        let start = TestGuest::START;
        let data = Bytes::new(b"some bytes");
        let read = Bytes::new(b"what was there");
        // SAFETY: called as the header says.
        unsafe {
            assert!(qemu_plugin_write_memory_vaddr(start + 3, data.0));
            assert!(qemu_plugin_read_memory_vaddr(start + 3, read.0, 10));
            assert_eq!(read.get(), b"some bytes");
            assert!(qemu_plugin_read_memory_vaddr(start, read.0, 5));
            assert_eq!(read.get(), b"\0\0\0so");
            // Resized first, and then found out of reach.
            assert!(!qemu_plugin_read_memory_vaddr(start + 60, read.0, 8));
            assert_eq!(read.get().len(), 8);
            assert!(!qemu_plugin_read_memory_vaddr(start, read.0, 0));
            assert!(!qemu_plugin_read_memory_vaddr(start, read.0, usize::MAX));
            assert!(!qemu_plugin_write_memory_vaddr(0, data.0));
            assert!(!qemu_plugin_write_memory_vaddr(start, Bytes::new(b"").0));
        }
    });
}

#[test]
fn a_program_has_no_physical_memory() {
    let world = world();
    world.callback(5, Kind::Exec, NO_REGS, |_| {
        let bytes = Bytes::new(b"1234");
        let mut hwaddr = 77;
        // SAFETY: called as the header says.
        unsafe {
            assert_eq!(
                qemu_plugin_read_memory_hwaddr(TestGuest::START, bytes.0, 4),
                1
            );
            assert_eq!(
                qemu_plugin_write_memory_hwaddr(TestGuest::START, bytes.0),
                1
            );
            assert!(!qemu_plugin_translate_vaddr(TestGuest::START, &mut hwaddr));
        }
        assert_eq!(hwaddr, 77);
    });
}

#[test]
fn the_program_is_known() {
    let _world = world();
    // SAFETY: called as the header says; the path is to be freed.
    unsafe {
        let path = qemu_plugin_path_to_binary();
        assert_eq!(CStr::from_ptr(path), c"/bin/guest");
        libc::free(path.cast_mut().cast());
        assert_eq!(qemu_plugin_start_code(), 0x1_0000);
        assert_eq!(qemu_plugin_end_code(), 0x2_0000);
        assert_eq!(qemu_plugin_entry_code(), 0x1_2345);
        LOGGED.lock().unwrap().clear();
        qemu_plugin_outs(c"one".as_ptr());
        qemu_plugin_outs(c"".as_ptr());
        qemu_plugin_outs(c"two\n".as_ptr());
        assert_eq!(*LOGGED.lock().unwrap(), b"onetwo\n");
    }
}
