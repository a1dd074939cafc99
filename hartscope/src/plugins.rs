//! The plugins that the command line and the environment name, and their log.

use std::env;
use std::ffi::OsStr;
use std::os::fd::RawFd;
use std::sync::Arc;

use plugin_rt::{PluginId, Runtime, Spec, SpecError, Specs, SystemInfo};

use crate::cli::EngineOptions;
use crate::log::{PluginLog, ThreadLog};
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
    let log = log(options, log_fd).map_err(|error| fail(&error, 1))?;
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

/// Where plugins' output goes: `-d plugin` turns it on.
fn log(options: &EngineOptions, log_fd: Option<RawFd>) -> Result<PluginLog, String> {
    match &options.log_file {
        _ if !options.log.plugin => Ok(PluginLog::Off),
        Some(file) if options.log.tid => ThreadLog::new(file).map(PluginLog::Threads),
        _ => PluginLog::on(log_fd)
            .map_err(|error| format!("cannot keep standard error for the log: {error}")),
    }
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
