//! What the runtime does with plugins, without a guest.

mod builtin;
mod collecting;
mod dispatch;
mod endings;
mod loading;
mod rfc2018;

use std::ffi::{CStr, CString, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use epoch::{Domain, Participant};
use scoreboard::Areas;
use translate::CpuState;

use crate::callbacks::{Callback, Function};
use crate::plugin::PluginId;
use crate::runtime::{Config, Runtime};
use crate::{CodeBounds, Guest, Instruments, NoLog, Spec, current};

/// A runtime that is not the process's.
fn runtime() -> Arc<Runtime> {
    Runtime::new(config(), Areas::new(1 << 17), Domain::new())
}

/// The process's runtime, in which exported functions find their plugins. Its guest is [`Program`].
fn global() -> &'static Arc<Runtime> {
    static GLOBAL: OnceLock<Arc<Runtime>> = OnceLock::new();
    GLOBAL.get_or_init(|| {
        let runtime = Runtime::start(config(), Areas::new(1 << 17), Domain::new());
        runtime.set_guest(Arc::new(Program));
        runtime
    })
}

/// A guest that has a few instructions, and no other memory.
struct Program;

impl Program {
    const START: u64 = 0x1000;
    /// `ld a0, 8(sp)`; `amoadd.w a2, a1, (a0)`; `c.nop`; `ecall`.
    const CODE: [u8; 14] = [
        0x03, 0x35, 0x81, 0x00, 0x2f, 0x26, 0xb5, 0x00, 0x01, 0x00, 0x73, 0x00, 0x00, 0x00,
    ];
}

impl Guest for Program {
    fn read(&self, addr: u64, buf: &mut [u8]) -> bool {
        let start = addr.wrapping_sub(Program::START) as usize;
        let code = Program::CODE.get(start..start.saturating_add(buf.len()));
        code.map(|code| buf.copy_from_slice(code)).is_some()
    }

    fn write(&self, _addr: u64, _data: &[u8]) -> bool {
        false
    }

    fn host_address(&self, _addr: u64) -> *const u8 {
        std::ptr::null()
    }

    fn symbol(&self, _addr: u64) -> Option<&'static CStr> {
        None
    }

    fn binary(&self) -> Option<CString> {
        None
    }

    fn code(&self) -> CodeBounds {
        CodeBounds::default()
    }
}

fn config() -> Config {
    Config {
        system: None,
        log: Arc::new(NoLog),
        check: false,
    }
}

/// A file with a name of its own that is deleted in the end.
struct File(PathBuf);

impl File {
    fn new(ending: &str) -> File {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!("plugin-rt-{}-{number}{ending}", std::process::id());
        File(std::env::temp_dir().join(name))
    }

    /// A library made from C.
    fn library(source: &str) -> File {
        let (library, text) = (File::new(".so"), File::new(".c"));
        std::fs::write(&text.0, source).unwrap();
        let status = Command::new("gcc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library.0, &text.0])
            .status()
            .expect("there is a C compiler");
        assert!(status.success());
        library
    }

    /// A plugin of a version that registers nothing.
    fn idle_plugin(version: i32) -> File {
        File::library(&format!(
            "int qemu_plugin_version = {version};
             int qemu_plugin_install() {{ return 0; }}"
        ))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn spec(&self, arguments: &[&str]) -> Spec {
        Spec {
            path: self.0.clone().into_os_string(),
            arguments: arguments.iter().map(OsString::from).collect(),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Loads a plugin of a version that registers nothing itself.
fn load(runtime: &Runtime, version: i32) -> PluginId {
    let file = File::idle_plugin(version);
    runtime.load(&file.spec(&[])).expect("it can be loaded")
}

/// A vCPU that runs nothing.
struct Vcpu {
    state: Box<CpuState>,
    participant: Participant,
    instruments: Instruments,
}

impl Vcpu {
    /// Makes the calling thread run this vCPU.
    fn new(runtime: &Arc<Runtime>, index: u32) -> Vcpu {
        let mut state = CpuState::new();
        state.vcpu_index = index;
        // SAFETY: cleared when the vCPU is dropped; used by this thread only.
        unsafe { current::set(&raw mut *state) };
        let mut vcpu = Vcpu {
            state,
            participant: runtime.domain().register(),
            instruments: Instruments::new(Some(runtime), index),
        };
        vcpu.participant.online();
        vcpu
    }

    /// Passes a quiescent point; gives whether the instrumentation set is another one.
    fn quiesce(&mut self) -> bool {
        self.participant.quiesce();
        self.instruments.refresh() == crate::Refreshed::OtherBlocks
    }
}

impl Drop for Vcpu {
    fn drop(&mut self) {
        current::clear();
    }
}

/// A function as a plugin passes it.
macro_rules! function {
    ($function:expr) => {
        // SAFETY: from one function pointer to another.
        Some(unsafe {
            std::mem::transmute::<*const (), unsafe extern "C" fn()>($function as *const ())
        })
    };
}
use function;

/// An exported function, as a plugin finds it.
macro_rules! exported {
    ($name:ident as $shape:ty) => {{
        let name = stringify!($name);
        let found = crate::abi::exports().find(|export| export.name == name);
        // SAFETY: the function has this shape.
        unsafe { std::mem::transmute::<*const (), $shape>(found.expect(name).address) }
    }};
}
use exported;

/// The callback that a plugin of a version means by a function.
fn callback<I, U>(version: i32, function: Function, userdata: usize) -> Option<Callback<I, U>>
where
    I: crate::callbacks::FromFunction,
    U: crate::callbacks::FromFunction,
{
    // SAFETY: tests pass functions of the right shape.
    function.map(|function| unsafe { Callback::of(version, function, userdata) })
}
