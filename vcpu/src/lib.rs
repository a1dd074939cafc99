//! vCPU state, the run loop, exits, kicks, idle, pinning.
//!
//! Only the signatures that `linux-user` compiles against, until the run loop itself lands here.

use std::sync::Arc;
use tb_cache::{CodePages, TbCache};
use translate::{CpuState, Fault};

/// What runs blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Host code.
    #[default]
    X86_64,
    /// The op interpreter.
    Interp,
}

/// What an engine is made of.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Who runs blocks.
    pub backend: Backend,
    /// Bytes of host code, 0 for the default.
    pub tb_size: usize,
    /// Pin each vCPU thread to a core.
    pub pin: bool,
}

/// What all vCPUs of a guest share.
pub struct Engine {
    cache: Arc<TbCache>,
}

impl Engine {
    /// A fresh engine.
    pub fn new(_config: &Config, _code: Arc<dyn CodePages>) -> Result<Arc<Engine>, Error> {
        Err(Error)
    }
    /// The shared cache.
    pub fn cache(&self) -> &Arc<TbCache> {
        &self.cache
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
#[error("the run loop has not landed yet")]
pub struct Error;

/// Guest memory of a user-mode guest.
#[derive(Clone, Copy, Debug)]
pub struct UserMemory {
    /// Host address of guest address 0.
    pub base: u64,
}

/// Makes a vCPU leave `run`.
#[derive(Clone)]
pub struct Kicker;

impl Kicker {
    /// Async-signal-safe.
    pub fn kick(&self) {}
}

/// Why `run` returned.
#[allow(missing_docs, reason = "the owner documents them")]
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    Ecall,
    Ebreak,
    Illegal,
    Fault(Fault),
    Fetch,
    Request,
}

/// One vCPU.
pub struct Vcpu<M> {
    state: Box<CpuState>,
    _memory: M,
}

impl<M> Vcpu<M> {
    /// A vCPU of `engine`.
    pub fn new(_engine: &Arc<Engine>, memory: M) -> Self {
        Vcpu {
            state: CpuState::new(),
            _memory: memory,
        }
    }
    /// Registers.
    pub fn state(&mut self) -> &mut CpuState {
        &mut self.state
    }
    /// Runs guest code.
    pub fn run(&mut self) -> Stop {
        Stop::Illegal
    }
    /// Blocking work.
    pub fn while_offline<R>(&mut self, f: impl FnOnce() -> R) -> R {
        f()
    }
    /// Its kicker.
    pub fn kicker(&self) -> Kicker {
        Kicker
    }
}
