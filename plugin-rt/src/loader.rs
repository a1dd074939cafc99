//! Loading a plugin's library.

use std::ffi::{OsStr, OsString, c_char, c_int};
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::lifecycle::Refused;
use crate::plugin::{Interface, Plugin, PluginId, VERSIONS};
use crate::rfc2018;
use crate::runtime::SystemInfo;
use crate::spec::Spec;

/// Why a plugin was not loaded.
#[derive(Debug, thiserror::Error)]
#[error("Could not load plugin {path}: {reason}", path = path.display())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is the matter.
    pub reason: Reason,
}

impl LoadError {
    pub(crate) fn of(spec: &Spec, reason: Reason) -> LoadError {
        LoadError {
            path: PathBuf::from(&spec.path),
            reason,
        }
    }
}

/// Why a plugin that was reset has not begun anew.
#[derive(Debug, thiserror::Error)]
pub enum NotReset {
    /// It was not for the caller to say.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be loaded again, and is gone.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// What is the matter with a plugin.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The dynamic linker's words.
    #[error("{0}")]
    Linker(String),
    /// No `qemu_plugin_install`.
    #[error("plugin does not declare qemu_plugin_install")]
    NoInstall,
    /// No `qemu_plugin_version`.
    #[error("plugin does not declare API version (qemu_plugin_version)")]
    NoVersion,
    /// Built for an interface that is too old.
    #[error(
        "plugin requires API version {0}, but this hartscope supports only a minimum version of {min}",
        min = VERSIONS.start()
    )]
    TooOld(i32),
    /// Built for an interface that is too new.
    #[error(
        "plugin requires API version {0}, but this hartscope supports only up to version {max}",
        max = VERSIONS.end()
    )]
    TooNew(i32),
    /// There are too many plugins.
    #[error("there are {0} plugins already")]
    TooMany(usize),
    /// `qemu_plugin_install` did not want to. What it has registered stays: its `atexit` callback
    /// is called.
    #[error("qemu_plugin_install returned error code {code}")]
    Install {
        /// What it returned.
        code: i32,
        /// The plugin, which is still there.
        id: PluginId,
    },
    /// `plugin_init` did not want to.
    #[error("plugin_init returned false")]
    Init {
        /// The plugin, which is still there.
        id: PluginId,
    },
}

/// `qemu_info_t`, which lives as long as `qemu_plugin_install` runs.
#[repr(C)]
pub(crate) struct Info {
    target_name: *const c_char,
    version: [c_int; 2],
    system_emulation: bool,
    smp_vcpus: c_int,
    max_vcpus: c_int,
}

impl Info {
    pub(crate) fn new(system: Option<SystemInfo>) -> Info {
        Info {
            target_name: c"riscv64".as_ptr(),
            version: [*VERSIONS.start(), *VERSIONS.end()],
            system_emulation: system.is_some(),
            smp_vcpus: system.map_or(0, |system| system.smp_vcpus),
            max_vcpus: system.map_or(0, |system| system.max_vcpus),
        }
    }
}

type InstallFn =
    unsafe extern "C" fn(id: u64, *const Info, argc: c_int, argv: *mut *mut c_char) -> c_int;

/// A library that is a plugin, as far as can be seen without running it.
pub(crate) struct Candidate {
    pub(crate) library: Library,
    pub(crate) interface: Interface,
    pub(crate) begin: Begin,
}

/// How to let a plugin begin.
#[derive(Clone, Copy)]
pub(crate) enum Begin {
    /// `qemu_plugin_install`
    Install(InstallFn),
    /// `plugin_init`
    Init(rfc2018::Functions),
}

impl Candidate {
    /// Opens a library, and checks that it is a plugin of a version that is known.
    pub(crate) fn open(path: &OsStr) -> Result<Candidate, Reason> {
        // SAFETY: the user wants the library's code to run in this process.
        let library = unsafe { Library::open(Some(file_for(path)), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|error| Reason::Linker(linker_says(&error)))?;
        // SAFETY: by the interface, the symbol is a function of this type.
        let install = unsafe { library.get::<InstallFn>(c"qemu_plugin_install") }
            .map(|symbol| *symbol)
            .ok();
        let (interface, begin) = match (install, rfc2018::Functions::of(&library)) {
            (Some(install), _) => {
                let version = version_of(&library)?;
                (Interface::Qemu { version }, Begin::Install(install))
            }
            (None, Some(functions)) => (Interface::Rfc2018(functions), Begin::Init(functions)),
            (None, None) => return Err(Reason::NoInstall),
        };
        Ok(Candidate {
            library,
            interface,
            begin,
        })
    }
}

/// The version that a library says it was built for, if that is a known one.
fn version_of(library: &Library) -> Result<i32, Reason> {
    // SAFETY: by the interface, the symbol is an `int`.
    let version = unsafe { library.get::<*const c_int>(c"qemu_plugin_version") }
        .map_err(|_| Reason::NoVersion)?;
    // SAFETY: as above.
    let version = unsafe { **version };
    match version {
        _ if version < *VERSIONS.start() => Err(Reason::TooOld(version)),
        _ if version > *VERSIONS.end() => Err(Reason::TooNew(version)),
        _ => Ok(version),
    }
}

impl Begin {
    /// Lets the plugin begin, whose library is open; gives what speaks against it.
    pub(crate) fn run(self, plugin: &Plugin, info: &Info) -> Result<(), Reason> {
        let (id, arguments) = (plugin.id(), plugin.arguments());
        match self {
            Begin::Install(install) => {
                // SAFETY: by the interface; the information lives during the call, the arguments as
                // long as the plugin.
                match unsafe { install(id.0, info, arguments.argc(), arguments.argv()) } {
                    0 => Ok(()),
                    code => Err(Reason::Install { code, id }),
                }
            }
            Begin::Init(functions) => match functions.init(&plugin.spec().arguments) {
                true => Ok(()),
                false => Err(Reason::Init { id }),
            },
        }
    }
}

/// A name that is not a file's may lack its ending. One without a slash that is not completed is the
/// dynamic linker's to find.
fn file_for(path: &OsStr) -> OsString {
    let mut completed = path.to_owned();
    completed.push(".so");
    match !Path::new(path).is_file() && Path::new(&completed).is_file() {
        true => completed,
        false => path.to_owned(),
    }
}

fn linker_says(error: &libloading::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}
