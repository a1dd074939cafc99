//! What the runtime does with plugins, without a guest.

mod collecting;
mod dispatch;
mod endings;
mod loading;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use epoch::{Domain, Participant};
use scoreboard::Areas;
use translate::CpuState;

use crate::callbacks::{Callback, Function};
use crate::plugin::PluginId;
use crate::runtime::{Config, Runtime};
use crate::{Instruments, NoLog, Spec, current};

/// A runtime that is not the process's.
fn runtime() -> Arc<Runtime> {
    Runtime::new(config(), Areas::new(1 << 17), Domain::new())
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
        self.instruments.refresh()
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
        Some(unsafe {
            // SAFETY: from one function pointer to another.
            std::mem::transmute::<*const (), unsafe extern "C" fn()>($function as *const ())
        })
    };
}
use function;

/// The callback that a plugin of a version means by a function.
fn callback<I, U>(version: i32, function: Function, userdata: usize) -> Option<Callback<I, U>>
where
    I: crate::callbacks::FromFunction,
    U: crate::callbacks::FromFunction,
{
    // SAFETY: tests pass functions of the right shape.
    function.map(|function| unsafe { Callback::of(version, function, userdata) })
}
