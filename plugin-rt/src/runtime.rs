//! The runtime: what all plugins of the process and all vCPUs share.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, OnceLock};

use epoch::Domain;
use epoch::sync::Mutex;
use scoreboard::Areas;

use crate::guest::{Guest, Log};
use crate::loader::LoadError;
use crate::plugin::{Plugin, PluginId};
use crate::spec::Spec;

/// How many processors a machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemInfo {
    /// To begin with.
    pub smp_vcpus: i32,
    /// At most.
    pub max_vcpus: i32,
}

/// What a runtime is made of.
pub struct Config {
    /// The machine; `None` for a program.
    pub system: Option<SystemInfo>,
    /// Where plugins' output goes.
    pub log: Arc<dyn Log>,
    /// Name every misuse, also those that would pass in silence (`--check-plugins`).
    pub check: bool,
}

/// Plugins and those who are called by them. One per process.
pub struct Runtime {
    config: Config,
    areas: Arc<Areas>,
    domain: Mutex<Arc<Domain>>,
    guest: OnceLock<Arc<dyn Guest>>,
    nudge: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

static GLOBAL: AtomicPtr<Arc<Runtime>> = AtomicPtr::new(ptr::null_mut());

impl Runtime {
    /// The process's runtime from now on: plugins find it without being told.
    pub fn start(config: Config, areas: Arc<Areas>, domain: Arc<Domain>) -> Arc<Runtime> {
        let runtime = Arc::new(Runtime {
            config,
            areas,
            domain: Mutex::new(domain),
            guest: OnceLock::new(),
            nudge: OnceLock::new(),
        });
        // Leaked: plugins may look for it for as long as the process lives.
        let global = Box::leak(Box::new(Arc::clone(&runtime)));
        // Release: pairs with the Acquire in `global`.
        GLOBAL.store(global, Ordering::Release);
        runtime
    }

    /// The process's runtime, if it has one.
    #[inline]
    pub fn global() -> Option<&'static Arc<Runtime>> {
        // Acquire: pairs with the Release in `start`.
        let global = GLOBAL.load(Ordering::Acquire);
        // SAFETY: null, or leaked by `start`.
        unsafe { global.as_ref() }
    }

    /// What it was made of.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The vCPUs' own memory, where boards lie.
    pub fn areas(&self) -> &Arc<Areas> {
        &self.areas
    }

    /// The guest, once there is one.
    pub fn guest(&self) -> Option<&Arc<dyn Guest>> {
        self.guest.get()
    }

    /// There is a guest. The first one stays.
    pub fn set_guest(&self, guest: Arc<dyn Guest>) {
        let _ = self.guest.set(guest);
    }

    /// How to make every vCPU pass a quiescent point soon. The first way stays.
    pub fn set_nudge(&self, nudge: Box<dyn Fn() + Send + Sync>) {
        let _ = self.nudge.set(nudge);
    }

    /// Loads a plugin and lets it install itself.
    pub fn load(&self, _spec: &Spec) -> Result<PluginId, LoadError> {
        todo!()
    }

    /// All translations have been dropped.
    pub fn flushed(&self) {}

    /// The process ends: plugins are told, once. The calling thread holds up no grace period.
    pub fn at_exit(&self) {}

    /// In the child of a fork: vCPUs belong to `domain` from now on.
    pub fn after_fork(&self, domain: Arc<Domain>) {
        *self.domain.lock() = domain;
    }

    pub(crate) fn plugin_at(&self, _slot: u16) -> Option<NonNull<Plugin>> {
        None
    }
}
