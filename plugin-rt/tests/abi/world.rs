//! One runtime for all tests of the process, with a guest, two plugins, and vCPUs to run callbacks on.

use std::ffi::{CStr, CString, OsString, c_void};
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use libloading::Library;
use plugin_rt::abi::context::Kind;
use plugin_rt::{CodeBounds, Config, Guest, Instruments, Log, Runtime, Spec, current};
use scoreboard::{Area, Areas};
use translate::CpuState;

/// C's `qemu_plugin_u64`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct U64 {
    pub score: *mut c_void,
    pub offset: usize,
}

/// `GArray` and `GByteArray`.
#[repr(C)]
pub struct Array {
    pub data: *mut u8,
    pub len: u32,
}

// The functions as the header declares them; what returns `bool` from version 6 on is `int` here.
unsafe extern "C" {
    pub fn qemu_plugin_num_vcpus() -> i32;
    pub fn qemu_plugin_scoreboard_new(size: usize) -> *mut c_void;
    pub fn qemu_plugin_scoreboard_free(score: *mut c_void);
    pub fn qemu_plugin_scoreboard_find(score: *mut c_void, vcpu: u32) -> *mut u64;
    pub fn qemu_plugin_u64_add(entry: U64, vcpu: u32, added: u64);
    pub fn qemu_plugin_u64_set(entry: U64, vcpu: u32, value: u64);
    pub fn qemu_plugin_u64_get(entry: U64, vcpu: u32) -> u64;
    pub fn qemu_plugin_u64_sum(entry: U64) -> u64;
    pub fn qemu_plugin_get_registers() -> *mut Array;
    pub fn qemu_plugin_read_register(handle: *mut c_void, array: *mut Array) -> i32;
    pub fn qemu_plugin_write_register(handle: *mut c_void, array: *mut Array) -> i32;
    pub fn qemu_plugin_read_memory_vaddr(addr: u64, array: *mut Array, len: usize) -> bool;
    pub fn qemu_plugin_write_memory_vaddr(addr: u64, array: *mut Array) -> bool;
    pub fn qemu_plugin_read_memory_hwaddr(addr: u64, array: *mut Array, len: usize) -> i32;
    pub fn qemu_plugin_write_memory_hwaddr(addr: u64, array: *mut Array) -> i32;
    pub fn qemu_plugin_translate_vaddr(vaddr: u64, hwaddr: *mut u64) -> bool;
    pub fn qemu_plugin_outs(text: *const std::ffi::c_char);
    pub fn qemu_plugin_path_to_binary() -> *const std::ffi::c_char;
    pub fn qemu_plugin_start_code() -> u64;
    pub fn qemu_plugin_end_code() -> u64;
    pub fn qemu_plugin_entry_code() -> u64;
}

/// What was logged.
pub static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct TestLog;

impl Log for TestLog {
    fn is_on(&self) -> bool {
        true
    }

    fn write(&self, text: &[u8]) {
        LOGGED.lock().unwrap().extend(text);
    }
}

/// Memory at [`TestGuest::START`], and nothing elsewhere.
pub struct TestGuest(Mutex<[u8; 64]>);

impl TestGuest {
    pub const START: u64 = 0x1000;

    fn range(addr: u64, len: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(addr.checked_sub(Self::START)?).ok()?;
        (start.checked_add(len)? <= 64).then(|| start..start + len)
    }
}

impl Guest for TestGuest {
    fn read(&self, addr: u64, buf: &mut [u8]) -> bool {
        match Self::range(addr, buf.len()) {
            Some(range) => buf.copy_from_slice(&self.0.lock().unwrap()[range]),
            None => return false,
        }
        true
    }

    fn write(&self, addr: u64, data: &[u8]) -> bool {
        match Self::range(addr, data.len()) {
            Some(range) => self.0.lock().unwrap()[range].copy_from_slice(data),
            None => return false,
        }
        true
    }

    fn host_address(&self, _addr: u64) -> *const u8 {
        std::ptr::null()
    }

    fn symbol(&self, _addr: u64) -> Option<&'static CStr> {
        None
    }

    fn binary(&self) -> Option<CString> {
        Some(c"/bin/guest".into())
    }

    fn code(&self) -> CodeBounds {
        CodeBounds {
            start: 0x1_0000,
            end: 0x2_0000,
            entry: 0x1_2345,
        }
    }
}

/// Versions of the plugins that are loaded, in the order of their slots.
pub const PLUGINS: [i32; 6] = [2, 3, 4, 5, 6, 7];

/// The process's runtime.
pub struct World {
    pub runtime: Arc<Runtime>,
    vcpus: Mutex<Vec<Vcpu>>,
}

/// A vCPU that runs no code.
struct Vcpu {
    area: Area,
    _instruments: Instruments,
}

// SAFETY: `Instruments` of a vCPU that is never run are not used after they are made.
unsafe impl Send for Vcpu {}

/// Plugins that do nothing, one of each version. They have been built already if this is a process
/// that another one has started.
pub fn plugins() -> &'static [PathBuf] {
    static BUILT: OnceLock<Vec<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let is_child = std::env::var_os(super::misuse::CASE).is_some();
        let path = |version| {
            let name = format!("nothing-{version}.so");
            std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
        };
        let built = PLUGINS.into_iter().map(|version| {
            let path = path(version);
            if !is_child {
                build(version, &path);
            }
            path
        });
        built.collect()
    })
}

fn build(version: i32, path: &std::path::Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c/nothing.c");
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
    let output = Command::new("gcc")
        .args(["-Wall", "-Wextra", "-Werror"])
        .args(["-shared", "-fPIC", "-I", include])
        .args([
            &format!("-DQEMU_PLUGIN_API_VERSION={version}"),
            source,
            "-o",
        ])
        .arg(path)
        .output()
        .expect("run gcc");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

/// The runtime, for one test at a time. There are two vCPUs.
pub fn world() -> MutexGuard<'static, World> {
    static WORLD: OnceLock<Mutex<World>> = OnceLock::new();
    let world = WORLD.get_or_init(|| {
        let areas = Areas::new(size_of::<CpuState>());
        let config = Config {
            system: None,
            log: Arc::new(TestLog),
            check: true,
        };
        let runtime = Runtime::start(config, Arc::clone(&areas), epoch::Domain::new());
        // SAFETY: each of these is called as the header says.
        assert_eq!(unsafe { qemu_plugin_num_vcpus() }, 0);
        for file in plugins() {
            let spec = Spec {
                path: OsString::from(file),
                arguments: Vec::new(),
            };
            runtime.load(&spec).expect("it installs itself");
        }
        runtime.set_guest(Arc::new(TestGuest(Mutex::new([0; 64]))));
        let vcpus = (0..2).map(|_| {
            let area = areas.claim().expect("there is room");
            let mut instruments = Instruments::new(Some(&runtime), area.index());
            let state = area.head().cast::<CpuState>();
            // SAFETY: zeroed memory, large enough, that nobody else uses.
            unsafe {
                CpuState::init_zeroed(state);
                (*state).vcpu_index = area.index();
                current::set(state);
            }
            instruments.init();
            current::clear();
            Vcpu {
                area,
                _instruments: instruments,
            }
        });
        let vcpus = Mutex::new(vcpus.collect());
        Mutex::new(World { runtime, vcpus })
    });
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// Runs `callback` as a callback of the plugin of that version, on the first vCPU.
    pub fn callback<R>(
        &self,
        version: i32,
        kind: Kind,
        flags: u8,
        callback: impl FnOnce(*mut CpuState) -> R,
    ) -> R {
        let vcpus = self.vcpus.lock().unwrap_or_else(PoisonError::into_inner);
        let state = vcpus[0].area.head().cast::<CpuState>();
        let slot = PLUGINS.iter().position(|other| *other == version);
        let slot = slot.expect("it is loaded") as u32;
        // SAFETY: a vCPU's state, which this thread has while it has the lock.
        unsafe {
            (*state).context = (slot + 1) << 8 | (kind as u32) << 4 | u32::from(flags);
            current::set(state);
            let result = callback(state);
            current::clear();
            result
        }
    }
}

/// glib, as a plugin has it.
pub struct Glib {
    pub bytes_new: unsafe extern "C" fn() -> *mut Array,
    pub bytes_append: unsafe extern "C" fn(*mut Array, *const u8, u32) -> *mut Array,
    pub bytes_free: unsafe extern "C" fn(*mut Array, i32) -> *mut u8,
    pub array_free: unsafe extern "C" fn(*mut Array, i32) -> *mut u8,
}

pub fn glib() -> &'static Glib {
    static GLIB: OnceLock<Glib> = OnceLock::new();
    GLIB.get_or_init(|| {
        // SAFETY: the library is glib, whose functions have these types; it is never closed.
        unsafe {
            let library = Library::new("libglib-2.0.so.0").expect("QEMU has brought it along");
            let library = ManuallyDrop::new(library);
            let missing = "a function of glib";
            Glib {
                bytes_new: *library.get(c"g_byte_array_new").expect(missing),
                bytes_append: *library.get(c"g_byte_array_append").expect(missing),
                bytes_free: *library.get(c"g_byte_array_free").expect(missing),
                array_free: *library.get(c"g_array_free").expect(missing),
            }
        }
    })
}

/// A `GByteArray`.
pub struct Bytes(pub *mut Array);

impl Bytes {
    pub fn new(bytes: &[u8]) -> Bytes {
        let glib = glib();
        // SAFETY: as glib wants it.
        unsafe {
            let array = (glib.bytes_new)();
            (glib.bytes_append)(array, bytes.as_ptr(), bytes.len() as u32);
            Bytes(array)
        }
    }

    pub fn get(&self) -> &[u8] {
        // SAFETY: a `GByteArray`.
        unsafe {
            let Array { data, len } = &*self.0;
            match data.is_null() {
                true => &[],
                false => std::slice::from_raw_parts(*data, *len as usize),
            }
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: made by `new`.
        unsafe { (glib().bytes_free)(self.0, 1) };
    }
}
