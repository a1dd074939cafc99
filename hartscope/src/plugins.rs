//! The plugins that the command line and the environment name, and their log.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, FromRawFd, RawFd};
use std::sync::Arc;

use plugin_rt::{Log, PluginId, Runtime, Spec, SpecError, Specs, SystemInfo};

use crate::cli::EngineOptions;
use crate::{fail, print};

/// One more plugin, which is loaded first.
const ENVIRONMENT: &str = "QEMU_PLUGIN";

/// A runtime and the plugins that are in it, in order.
pub struct Loaded {
    /// The process's.
    pub runtime: Arc<Runtime>,
    /// The plugins.
    pub plugins: Vec<(PluginId, Spec)>,
}

/// Loads the plugins. There is a runtime also if more may come later. `system` is about the machine, if the
/// guest is one. The error is the exit status of a
/// hartscope that is done, which has said why.
pub fn load(
    options: &EngineOptions,
    may_come_later: bool,
    system: Option<SystemInfo>,
    log_fd: Option<RawFd>,
) -> Result<Option<Loaded>, i32> {
    let specs =
        specs(env::var_os(ENVIRONMENT).as_deref(), options).map_err(|error| match error {
            SpecError::Help => print(&format!("{error}\n")),
            _ => fail(&error, 1),
        })?;
    for warning in specs.warnings() {
        fail(warning, 0);
    }
    if specs.specs().is_empty() && !may_come_later {
        return Ok(None);
    }
    let log = PluginLog::new(options.log.plugin, log_fd).map_err(|error| {
        fail(
            &format!("cannot keep standard error for the log: {error}"),
            1,
        )
    })?;
    let runtime = vcpu::start_plugins(plugin_rt::Config {
        system,
        log: Arc::new(log),
        check: options.check_plugins,
    });
    let mut plugins = Vec::new();
    for spec in specs.specs() {
        match runtime.load(spec) {
            Ok(id) => plugins.push((id, spec.clone())),
            Err(error) => return Err(fail(&error, 1)),
        }
    }
    Ok(Some(Loaded { runtime, plugins }))
}

/// What is to be loaded, in order.
fn specs(environment: Option<&OsStr>, options: &EngineOptions) -> Result<Specs, SpecError> {
    let mut specs = Specs::default();
    let line = options.plugins.iter().map(|option| option.as_os_str());
    for option in environment.into_iter().chain(line) {
        specs.add(option)?;
    }
    Ok(specs)
}

/// Where plugins' output goes: `-d plugin` turns it on.
struct PluginLog {
    fd: Option<RawFd>,
}

impl PluginLog {
    /// By way of `fd`, or of a standard error that stays when the guest closes its own.
    fn new(on: bool, fd: Option<RawFd>) -> io::Result<PluginLog> {
        let fd = match fd {
            _ if !on => None,
            Some(fd) => Some(fd),
            None => {
                let stderr = io::stderr().as_fd().try_clone_to_owned()?;
                Some(linux_user::own_descriptor(File::from(stderr))?)
            }
        };
        Ok(PluginLog { fd })
    }
}

impl Log for PluginLog {
    fn is_on(&self) -> bool {
        self.fd.is_some()
    }

    fn write(&self, text: &[u8]) {
        if let Some(fd) = self.fd {
            // SAFETY: the descriptor stays open for ever, and is not closed here.
            let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
            // Text that cannot be written is lost.
            let _ = file.write_all(text);
        }
    }
}
