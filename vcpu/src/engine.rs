//! What all vCPUs of a guest share.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use epoch::Domain;
use epoch::sync::Mutex;
use plugin_rt::InstrumentationSet;
use plugin_rt::Runtime as Plugins;
use scoreboard::{Areas, Board, Slot};
use tb_cache::{CodePages, SetId, TbCache};
use translate::CpuState;
use translate::lanes::Lanes;
use translate::x86::{self, Runtime, StubCode};

use crate::dump::Dump;
use crate::latency::Latencies;
use crate::state::{Kicker, NUDGE, OwnState};
use crate::stats::{Stats, TscScale, VcpuStats, WORDS};

/// Bytes of host code unless the user says otherwise.
pub const DEFAULT_TB_SIZE: usize = 256 << 20;

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
#[derive(Clone, Default)]
pub struct Config {
    /// Who runs blocks.
    pub backend: Backend,
    /// Bytes of host code; 0 for [`DEFAULT_TB_SIZE`]. However small, it will do.
    pub tb_size: usize,
    /// Pin each vCPU thread to a core.
    pub pin: bool,
    /// Count executed instructions: [`Stats::executed`].
    pub count_insns: bool,
    /// Show what translation does.
    pub dump: Option<Dump>,
    /// The process's plugins: see [`start_plugins`].
    pub plugins: Option<Arc<Plugins>>,
    /// Record how long things take. Only one engine at a time may have these.
    pub latencies: Option<Arc<Latencies>>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("backend", &self.backend)
            .field("tb_size", &self.tb_size)
            .field("pin", &self.pin)
            .field("count_insns", &self.count_insns)
            .field("dump", &self.dump)
            .field("plugins", &self.plugins.is_some())
            .field("latencies", &self.latencies.is_some())
            .finish()
    }
}

/// A plugin runtime for an engine to come.
pub fn start_plugins(config: plugin_rt::Config) -> Arc<Plugins> {
    Plugins::start(config, areas(), Domain::new())
}

/// Memory for vCPUs.
fn areas() -> Arc<Areas> {
    Areas::new(size_of::<CpuState>())
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No code memory.
    #[error(transparent)]
    Cache(#[from] tb_cache::Error),
    /// No memory for counting.
    #[error(transparent)]
    Board(#[from] scoreboard::Full),
}

/// What all vCPUs of a guest share.
pub struct Engine {
    cache: Arc<TbCache>,
    domain: Arc<Domain>,
    code: Arc<dyn CodePages>,
    /// What blocks are instrumented for.
    set: InstrumentationSet,
    dump: Option<Dump>,
    /// The stubs of generated code; `None` if the interpreter runs blocks.
    runtime: Option<Runtime>,
    /// The cores to pin to, by vCPU; empty if not wanted.
    cores: Vec<core_affinity::CoreId>,
    vcpus: Mutex<Vec<Kicker>>,
    /// Which counters are lanes, by instrumentation set.
    lanes: Mutex<HashMap<SetId, Arc<Lanes>>>,
    areas: Arc<Areas>,
    board: Board,
    plugins: Option<Arc<Plugins>>,
    /// Empty until they are wanted.
    latencies: OnceLock<Arc<Latencies>>,
    tsc: TscScale,
}

impl Engine {
    /// An engine whose guest code comes from `code`.
    pub fn new(config: &Config, code: Arc<dyn CodePages>) -> Result<Arc<Engine>, Error> {
        let (areas, domain) = match &config.plugins {
            Some(plugins) => (Arc::clone(plugins.areas()), plugins.domain()),
            None => (areas(), Domain::new()),
        };
        let latencies = config.latencies.clone();
        Engine::with(config, code, areas, domain, latencies)
    }

    /// An engine for the child of a fork, in which the vCPU that forked goes on: see
    /// [`Vcpu::while_forking`](crate::Vcpu::while_forking) and [`Vcpu::adopt`](crate::Vcpu::adopt). It
    /// records no latencies.
    pub fn after_fork(
        &self,
        config: &Config,
        code: Arc<dyn CodePages>,
    ) -> Result<Arc<Engine>, Error> {
        let domain = Domain::new();
        if let Some(plugins) = &config.plugins {
            plugins.after_fork(Arc::clone(&domain));
        }
        Engine::with(config, code, Arc::clone(&self.areas), domain, None)
    }

    fn with(
        config: &Config,
        code: Arc<dyn CodePages>,
        areas: Arc<Areas>,
        domain: Arc<Domain>,
        latencies: Option<Arc<Latencies>>,
    ) -> Result<Arc<Engine>, Error> {
        let stubs = match config.backend {
            Backend::X86_64 if x86::host_supported() => Some(StubCode::assemble()),
            Backend::X86_64 => {
                eprintln!(
                    "hartscope: this host lacks AVX, FMA or BMI2, which generated code needs; \
                     going on with the interpreter"
                );
                None
            }
            Backend::Interp => None,
        };
        let cache = TbCache::new(
            tb_cache::Config {
                tb_size: match config.tb_size {
                    0 => DEFAULT_TB_SIZE,
                    size => size,
                },
                stubs: stubs.as_ref().map_or(&[], |stubs| &stubs.bytes),
            },
            Arc::clone(&domain),
        )?;
        // SAFETY: the cache holds these bytes there, executable, as long as it lives, and so longer
        // than `runtime`.
        let runtime = stubs.map(|stubs| unsafe { stubs.placed_at(cache.stubs()) });
        // Asked once, now: a thread that has been pinned knows of one core only.
        let cores = if config.pin {
            core_affinity::get_core_ids().unwrap_or_default()
        } else {
            Vec::new()
        };
        let board = areas.new_board(8 * WORDS)?;
        let latencies = latencies.map_or_else(OnceLock::new, |latencies| {
            latencies.watch(&domain);
            OnceLock::from(latencies)
        });
        let engine = Arc::new(Engine {
            cache: Arc::new(cache),
            domain,
            code,
            set: match config.count_insns {
                true => InstrumentationSet::COUNT_INSNS,
                false => InstrumentationSet::EMPTY,
            },
            dump: config.dump.clone(),
            runtime,
            cores,
            vcpus: Mutex::new(Vec::new()),
            lanes: Mutex::default(),
            areas,
            board,
            plugins: config.plugins.clone(),
            latencies,
            tsc: TscScale::start(),
        });
        if let Some(plugins) = &engine.plugins {
            let nudged = Arc::downgrade(&engine);
            plugins.set_nudge(move || {
                if let Some(engine) = nudged.upgrade() {
                    engine.nudge();
                }
            });
            let forgetting = Arc::downgrade(&engine);
            plugins.set_forget(move |set| {
                if let Some(engine) = forgetting.upgrade() {
                    engine.forget_set(set);
                }
            });
        }
        Ok(engine)
    }

    /// The shared cache.
    pub fn cache(&self) -> &Arc<TbCache> {
        &self.cache
    }

    /// The domain whose grace periods the cache, and everything else that vCPUs read, lives by.
    pub fn domain(&self) -> &Arc<Domain> {
        &self.domain
    }

    /// The vCPUs' own memory.
    pub(crate) fn areas(&self) -> &Arc<Areas> {
        &self.areas
    }

    /// The process's plugins.
    pub fn plugins(&self) -> Option<&Arc<Plugins>> {
        self.plugins.as_ref()
    }

    /// How long things take, if that is recorded.
    pub fn latencies(&self) -> Option<&Arc<Latencies>> {
        self.latencies.get()
    }

    /// Has each vCPU record how long things take, from its next quiescent point on, if they do not do
    /// so already.
    pub fn record_latencies(&self) -> &Arc<Latencies> {
        self.latencies.get_or_init(|| {
            let latencies = Latencies::new();
            latencies.watch(&self.domain);
            latencies
        });
        // Whoever takes the request finds them.
        self.nudge();
        let Some(latencies) = self.latencies.get() else {
            unreachable!("they have been put there");
        };
        latencies
    }

    /// What runs blocks.
    pub fn backend(&self) -> Backend {
        match self.runtime {
            Some(_) => Backend::X86_64,
            None => Backend::Interp,
        }
    }

    /// What all vCPUs have done so far, those that are gone included.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.board, &self.tsc, self.cache.stats())
    }

    /// What each vCPU has done so far, by number.
    pub fn vcpu_stats(&self) -> Vec<VcpuStats> {
        (0..)
            .map_while(|vcpu| self.board.slot(vcpu))
            .map(VcpuStats::of)
            .take_while(|stats| *stats != VcpuStats::default())
            .collect()
    }

    pub(crate) fn code(&self) -> &dyn CodePages {
        &*self.code
    }

    #[inline]
    pub(crate) fn set(&self) -> &InstrumentationSet {
        &self.set
    }

    /// Whether a block that a vCPU has not met before is interpreted. Who wants to see translations
    /// wants to see all.
    #[inline]
    pub(crate) fn interprets_first(&self) -> bool {
        self.runtime.is_some() && self.dump.is_none()
    }

    /// No vCPU runs blocks of `set` any more, nor ever will. (One that has been asked to go over to
    /// another set holds on to the lanes until it has.)
    fn forget_set(&self, set: SetId) {
        self.lanes.lock().remove(&set);
        if self.cache.forget_set(set) {
            // The memory waits for a grace period.
            self.nudge();
        }
    }

    /// The lanes of blocks of `set`. They are the same as long as there may be such blocks.
    pub(crate) fn lanes(&self, set: SetId) -> Option<Arc<Lanes>> {
        let has_lanes = set != SetId::EMPTY && self.runtime.is_some();
        has_lanes.then(|| Arc::clone(self.lanes.lock().entry(set).or_default()))
    }

    /// Where to show the translation of the block at `pc`, if that is wanted.
    pub(crate) fn dump(&self, pc: u64) -> Option<&Dump> {
        self.dump.as_ref().filter(|dump| dump.wants(pc))
    }

    pub(crate) fn runtime(&self) -> Option<Runtime> {
        self.runtime
    }

    /// Where a vCPU counts.
    #[inline]
    pub(crate) fn counts(&self, vcpu: u32) -> Option<Slot<'_>> {
        self.board.slot(vcpu)
    }

    /// Where to pin a vCPU.
    pub(crate) fn core(&self, vcpu: usize) -> Option<core_affinity::CoreId> {
        let turn = vcpu.checked_rem(self.cores.len())?;
        self.cores.get(turn).copied()
    }

    pub(crate) fn enlist(&self, kicker: Kicker) {
        self.vcpus.lock().push(kicker);
    }

    pub(crate) fn dismiss(&self, state: &OwnState) {
        self.vcpus.lock().retain(|kicker| !kicker.is_of(state));
    }

    /// Makes every vCPU pass a quiescent point soon: somebody waits for memory, and a vCPU that
    /// computes without ever leaving generated code would hold it up forever.
    pub(crate) fn nudge(&self) {
        for kicker in &*self.vcpus.lock() {
            kicker.set(NUDGE);
        }
    }
}
