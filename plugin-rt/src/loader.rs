//! Loading a plugin's library.

use std::path::PathBuf;

use crate::plugin::{PluginId, VERSIONS};

/// Why a plugin was not loaded.
#[derive(Debug, thiserror::Error)]
#[error("Could not load plugin {path}: {reason}", path = path.display())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is the matter.
    pub reason: Reason,
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
}
