//! The runtime: what all plugins of the process and all vCPUs share.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::hash::{BuildHasher, RandomState};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak, mpsc};
use std::time::Duration;

use epoch::sync::{Mutex, MutexGuard};
use epoch::{Domain, Participant, step};
use scoreboard::Areas;
use tb_cache::SetId;

use crate::abi::boards;
use crate::abi::context::{self, Kind};
use crate::builtin::{BuiltIn, Code, Own};
use crate::callbacks::{Callback, Callbacks, List, Simple};
use crate::called;
use crate::current;
use crate::guest::{Guest, Log};
use crate::lifecycle::Refused;
use crate::loader::{Begin, Candidate, Info, LoadError, NotReset, Reason};
use crate::misuse::Named;
use crate::plugin::{Plugin, PluginId};
use crate::published::{Published, Reader};
use crate::registry::{Completion, Registry, Request, Snapshot, Unknown};
use crate::skew::Attach;
use crate::spec::Spec;
use crate::table::{MAX_PLUGINS, Table};
use crate::timing::{CallbackTimes, Measured, Timing};

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

type Nudge = Arc<dyn Fn() + Send + Sync>;
type Forget = Arc<dyn Fn(SetId) + Send + Sync>;

/// What is due after a grace period: a plugin's end, the end of an instrumentation set.
pub type Work = Box<dyn FnOnce() + Send>;
type Helper = Arc<dyn Fn(Work) -> Result<(), Work> + Send + Sync>;

/// How long the end of the process waits for callbacks that are running on other threads.
const PATIENCE: Duration = Duration::from_secs(1);

/// Plugins and those who are called by them. One per process.
pub struct Runtime {
    this: Weak<Runtime>,
    config: Config,
    areas: Arc<Areas>,
    domain: Mutex<Arc<Domain>>,
    guest: OnceLock<Arc<dyn Guest>>,
    nudge: Mutex<Option<Nudge>>,
    forget: Mutex<Option<Forget>>,
    helper: Mutex<Option<Helper>>,
    registry: Mutex<Registry>,
    table: Table,
    published: Arc<Published<Snapshot>>,
    /// The vCPUs that have begun and not ended.
    vcpus: Mutex<BTreeSet<u32>>,
    /// Whether plugins have been told that the process ends.
    exited: AtomicBool,
    named: Named,
    timing: Timing,
}

static GLOBAL: OnceLock<Arc<Runtime>> = OnceLock::new();

impl Runtime {
    /// A runtime. The first one is the process's: plugins find it without being told.
    pub fn start(config: Config, areas: Arc<Areas>, domain: Arc<Domain>) -> Arc<Runtime> {
        let runtime = Runtime::new(config, areas, domain);
        if GLOBAL.set(Arc::clone(&runtime)).is_ok() {
            // SAFETY: the function may be called at any time.
            unsafe { libc::atexit(on_exit) };
        }
        runtime
    }

    /// A runtime for a model, which makes many.
    #[cfg(hartscope_loom)]
    pub fn for_model(areas: Arc<Areas>, domain: Arc<Domain>) -> Arc<Runtime> {
        let config = Config {
            system: None,
            log: Arc::new(crate::NoLog),
            check: false,
        };
        Runtime::new(config, areas, domain)
    }

    pub(crate) fn new(config: Config, areas: Arc<Areas>, domain: Arc<Domain>) -> Arc<Runtime> {
        Arc::new_cyclic(|this| Runtime {
            this: Weak::clone(this),
            config,
            areas,
            domain: Mutex::new(domain),
            guest: OnceLock::new(),
            nudge: Mutex::new(None),
            forget: Mutex::new(None),
            helper: Mutex::new(None),
            registry: Mutex::new(Registry::new()),
            table: Table::new(),
            published: Arc::new(Published::new(Snapshot::default())),
            vcpus: Mutex::new(BTreeSet::new()),
            exited: AtomicBool::new(false),
            named: Named::default(),
            timing: Timing::default(),
        })
    }

    /// The process's runtime, if it has one.
    #[inline]
    pub fn global() -> Option<&'static Arc<Runtime>> {
        GLOBAL.get()
    }

    /// What it was made of.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The vCPUs' own memory, where boards lie.
    pub fn areas(&self) -> &Arc<Areas> {
        &self.areas
    }

    /// The domain whose grace periods plugins live by.
    pub fn domain(&self) -> Arc<Domain> {
        Arc::clone(&self.domain.lock())
    }

    /// The guest, once there is one.
    pub fn guest(&self) -> Option<&Arc<dyn Guest>> {
        self.guest.get()
    }

    /// There is a guest. The first one stays.
    pub fn set_guest(&self, guest: Arc<dyn Guest>) {
        let _ = self.guest.set(guest);
    }

    /// How to make every vCPU pass a quiescent point soon. In the child of a fork there is a new way.
    pub fn set_nudge(&self, nudge: impl Fn() + Send + Sync + 'static) {
        *self.nudge.lock() = Some(Arc::new(nudge));
    }

    /// How to give back what was made for an instrumentation set that no vCPU runs any more, nor ever
    /// will. Called by jobs of the domain, so on any thread and wherever it passes a quiescent point. In
    /// the child of a fork there is a new way.
    pub fn set_forget(&self, forget: impl Fn(SetId) + Send + Sync + 'static) {
        *self.forget.lock() = Some(Arc::new(forget));
    }

    /// Measures how long callbacks take from now on, or no longer does. Blocks are shown to plugins
    /// anew.
    pub fn measure_callbacks(&self, wish: Measured) {
        if self.timing.measure(wish) {
            for plugin in self.plugins() {
                self.show_anew(plugin.id());
            }
        }
    }

    /// How long callbacks have taken so far, by plugin.
    pub fn callback_times(&self) -> Vec<CallbackTimes> {
        self.timing.read()
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Who does what is due after a grace period, in the order given, on a thread without a vCPU: to close
    /// a library takes a hundred microseconds, which a vCPU has other uses for. One who will not do a
    /// piece of work gives it back. Without a helper whoever ends the grace period does it.
    pub fn set_helper(&self, helper: impl Fn(Work) -> Result<(), Work> + Send + Sync + 'static) {
        *self.helper.lock() = Some(Arc::new(helper));
    }

    /// Has work done after a grace period.
    fn after_grace_period(&self, work: impl FnOnce(&Runtime) + Send + 'static) {
        let this = Weak::clone(&self.this);
        self.domain().retire(Box::new(move || {
            let Some(runtime) = this.upgrade() else {
                return;
            };
            let helper = runtime.helper.lock().clone();
            let Some(helper) = helper else {
                return work(&runtime);
            };
            if let Err(work) = helper(Box::new(move || work(&runtime))) {
                work();
            }
        }));
    }

    /// How the last load has reached the vCPUs.
    pub fn last_attach(&self) -> Option<Attach> {
        self.registry.lock().last_attach()
    }

    /// Loads a plugin and lets it install itself. That may be at any time, and takes effect at once for
    /// each vCPU that passes a quiescent point. In a program that runs already, one that will not
    /// install itself is gone again; before that it stays, to be told of the end.
    pub fn load(&self, spec: &Spec) -> Result<PluginId, LoadError> {
        let refused = |reason| LoadError::of(spec, reason);
        let candidate = Candidate::open(&spec.path).map_err(refused)?;
        let interface = candidate.interface;
        let make = |id, slot| Plugin::new(id, slot, spec.clone(), interface, &self.timing);
        let plugin = self
            .enter(make, candidate.library.into())
            .map_err(refused)?;
        let id = plugin.id();
        self.install(&plugin, candidate.begin).map_err(|reason| {
            if self.runs() {
                // Not by anybody else: it has only now become known.
                let _ = self.uninstall(id);
            }
            refused(reason)
        })?;
        Ok(id)
    }

    /// Lets a plugin install itself; from then on it counts.
    fn install(&self, plugin: &Plugin, begin: Begin) -> Result<(), Reason> {
        let id = plugin.id();
        let info = Info::new(self.config.system);
        let begun = self
            .visit(|| context::run_own(plugin.slot(), Kind::Install, || begin.run(plugin, &info)));
        let mut registry = self.registry.lock();
        if begun.is_err() {
            registry.install_failed(id);
            return begun;
        }
        if let Some(functions) = plugin.rfc2018() {
            registry.subscribes_to_blocks(id, functions.subscription());
        }
        self.goes_live(registry, id);
        Ok(())
    }

    /// Shows all blocks to a built-in subscriber from now on.
    pub fn add(&self, built_in: Arc<dyn BuiltIn>) -> Result<PluginId, LoadError> {
        let own = Own::new(built_in);
        let subscription = own.subscription();
        let spec = Spec {
            path: OsString::from(own.name()),
            arguments: Vec::new(),
        };
        let make = |id, slot| Plugin::new(id, slot, spec.clone(), Own::INTERFACE, &self.timing);
        let entered = self.enter(make, Code::BuiltIn(own));
        let id = entered.map_err(|reason| LoadError::of(&spec, reason))?.id();
        let mut registry = self.registry.lock();
        registry.subscribes_to_blocks(id, subscription);
        self.goes_live(registry, id);
        Ok(id)
    }

    /// Whether there are vCPUs.
    fn runs(&self) -> bool {
        !self.vcpus.lock().is_empty()
    }

    /// A plugin has installed itself: it counts from now on.
    fn goes_live(&self, mut registry: MutexGuard<'_, Registry>, id: PluginId) {
        let vcpus = self.vcpus().len() as u32;
        let flip = registry.installed(id, vcpus, &self.published);
        drop(registry);
        if vcpus != 0 {
            self.domain().retire(Box::new(move || flip.settled()));
        }
        self.nudge();
    }

    /// Gives a plugin to be an id and a slot, and enters it.
    fn enter(
        &self,
        make: impl FnOnce(PluginId, u16) -> Plugin,
        code: Code,
    ) -> Result<Arc<Plugin>, Reason> {
        let mut registry = self.registry.lock();
        let id = new_id(&registry);
        let plugin = self
            .table
            .insert(|slot| Arc::new(make(id, slot)))
            .ok_or(Reason::TooMany(MAX_PLUGINS))?;
        registry.add(Arc::clone(&plugin), code);
        Ok(plugin)
    }

    /// All translations have been dropped.
    pub fn flushed(&self) {
        self.visit(|| {
            for (subscriber, callback) in self.published.load().callbacks.flush.iter() {
                context::run_own(subscriber.slot, Kind::Flush, || {
                    callback.call(subscriber.id)
                });
            }
        });
    }

    /// The process ends: plugins are told, once. Waits a moment for callbacks that are running on
    /// other threads; the calling thread must be offline, or have no vCPU.
    pub fn at_exit(&self) {
        self.end(true);
    }

    fn end(&self, may_wait: bool) {
        if self.exited.swap(true, Relaxed) {
            return;
        }
        let callbacks = self.registry.lock().keep_only_at_exit(&self.published);
        if may_wait {
            let (done, wait) = mpsc::channel();
            self.domain().retire(Box::new(move || {
                let _ = done.send(());
            }));
            self.nudge();
            let _ = wait.recv_timeout(PATIENCE);
        }
        self.visit(|| {
            for (subscriber, callback) in callbacks.at_exit.iter() {
                let id = subscriber.id.0;
                context::run_own(subscriber.slot, Kind::AtExit, || {
                    // SAFETY: registered for this, by a plugin that is still there.
                    unsafe {
                        match callback {
                            Callback::Id((function, userdata)) => function(id, userdata),
                            Callback::Userdata(function, userdata) => function(userdata),
                        }
                    }
                });
            }
        });
    }

    /// Holds the locks that the child of a fork will need. The calling thread must be offline already:
    /// going offline may run jobs, which take these locks.
    pub fn hold(&self) -> impl Sized + '_ {
        let registry = self.registry.lock();
        (
            registry,
            self.vcpus.lock(),
            self.nudge.lock(),
            self.forget.lock(),
            self.helper.lock(),
            self.domain.lock(),
            self.timing.hold(),
        )
    }

    /// In the child of a fork: vCPUs belong to `domain` from now on, and only the calling thread's is
    /// there. The child has an end of its own. What is built in was for the parent, and ends.
    pub fn after_fork(&self, domain: Arc<Domain>) {
        // The parent's is leaked: its other participants will never move.
        std::mem::forget(std::mem::replace(&mut *self.domain.lock(), domain));
        self.exited.store(false, Relaxed);
        // The helper is a thread of the parent's.
        *self.helper.lock() = None;
        // A vCPU's own times may be locked for ever.
        self.timing.measure(Measured::None);
        let own = current::index();
        self.vcpus.lock().retain(|&vcpu| Some(vcpu) == own);
        let mut registry = self.registry.lock();
        registry.leave_to_parent();
        registry.end_built_ins(&self.published);
        // Grace periods of before will never end here. They begin again.
        let pending = registry.pending();
        drop(registry);
        for (id, request) in pending {
            self.retire(id, request);
        }
    }

    /// The plugins that are there.
    pub fn plugins(&self) -> Vec<Arc<Plugin>> {
        let registry = self.registry.lock();
        registry
            .plugins()
            .map(|(plugin, _)| Arc::clone(plugin))
            .collect()
    }

    /// Ends a plugin: it is not called any more, and its library is closed when its last callback has
    /// returned. At any time, on any thread, also in a callback.
    pub fn uninstall(&self, id: PluginId) -> Result<(), Refused> {
        self.finish(id, Request::Uninstall, Completion::Plugin(None))
    }

    /// Takes a plugin back to its beginning: it is not called any more, and when its last callback has
    /// returned, `told` is called, once and on any thread, perhaps a vCPU's. From then on, and not
    /// before, [`Runtime::begin_anew`] will do the rest. At any time, on any thread, also in a callback.
    ///
    /// An uninstall overtakes a reset; `told` is called all the same. In the child of a fork it is not,
    /// and the plugin stays as it is: who has asked is in the parent.
    pub fn reset(&self, id: PluginId, told: impl FnOnce() + Send + 'static) -> Result<(), Refused> {
        self.finish(id, Request::Reset, Completion::Other(Box::new(told)))
    }

    /// Lets a plugin begin anew that has been [reset](Runtime::reset): its library is closed, opened
    /// again and installed with the same arguments, so that nothing of before is left in it. It keeps
    /// its id and its place among the plugins. One that cannot be loaded again is gone.
    ///
    /// Runs the plugin's code, so no vCPU's thread should do it; others that call it must hold no lock,
    /// and are offline or have no vCPU.
    pub fn begin_anew(&self, id: PluginId) -> Result<(), NotReset> {
        let (plugin, code) = self.registry.lock().installs_anew(id)?;
        if let Code::BuiltIn(own) = code {
            own.begins_anew();
            let subscription = own.subscription();
            let mut registry = self.registry.lock();
            registry.has_code_again(plugin, Code::BuiltIn(own));
            registry.subscribes_to_blocks(id, subscription);
            self.goes_live(registry, id);
            return Ok(());
        }
        self.close(&plugin, Some(code));
        let refused = |reason| LoadError::of(plugin.spec(), reason);
        let candidate = Candidate::open(&plugin.spec().path).map_err(|reason| {
            self.remove(&plugin);
            refused(reason)
        })?;
        let spec = plugin.spec().clone();
        let anew = Arc::new(Plugin::new(
            id,
            plugin.slot(),
            spec,
            candidate.interface,
            &self.timing,
        ));
        let mut registry = self.registry.lock();
        self.table.replace(&anew);
        registry.has_code_again(Arc::clone(&anew), candidate.library.into());
        drop(registry);
        self.install(&anew, candidate.begin).map_err(|reason| {
            // Not by anybody else: nothing ends while it begins.
            let _ = self.uninstall(id);
            refused(reason)
        })?;
        Ok(())
    }

    /// A plugin that is being loaded begins anew. Gives whether it is being loaded.
    pub(crate) fn start_over(&self, id: PluginId) -> Result<bool, Unknown> {
        self.registry.lock().start_over(id)
    }

    /// Ends all subscriptions of a plugin; `completion` is told when its last callback has returned.
    pub(crate) fn finish(
        &self,
        id: PluginId,
        request: Request,
        completion: Completion,
    ) -> Result<(), Refused> {
        let mut registry = self.registry.lock();
        registry.end(id, request, completion, &self.published)?;
        let dead = registry.dead_sets();
        drop(registry);
        self.retire(id, request);
        self.retire_sets(dead);
        // Last: who takes it has passed all that is to be waited for.
        self.nudge();
        Ok(())
    }

    /// After a grace period nobody runs blocks of these sets any more. (In the child of a fork there
    /// are no blocks of before.)
    fn retire_sets(&self, sets: Vec<SetId>) {
        if sets.is_empty() {
            return;
        }
        self.after_grace_period(|runtime| {
            let forget = runtime.forget.lock().clone();
            if let Some(forget) = forget {
                sets.into_iter().for_each(|set| forget(set));
            }
        });
    }

    /// After a grace period a plugin's last callback has returned.
    fn retire(&self, id: PluginId, request: Request) {
        self.after_grace_period(move |runtime| runtime.complete(id, request));
    }

    /// A plugin's last callback has returned.
    fn complete(&self, id: PluginId, request: Request) {
        if request == Request::Uninstall {
            // The job of a reset that was granted before may be queued behind this one.
            step!("runtime.complete.reset" => "reset_by_itself", {
                self.complete(id, Request::Reset);
            });
        }
        let (plugin, ending) = {
            let mut registry = self.registry.lock();
            let Ok(plugin) = registry.plugin(id).cloned() else {
                return;
            };
            let Some(ending) = registry.ending(id, request) else {
                return;
            };
            (plugin, ending)
        };
        let call = |kind, callback: Option<Simple>| {
            if let Some(callback) = callback {
                context::run_own(plugin.slot(), kind, || callback.call(id));
            }
        };
        boards::code_has_ended(id);
        call(Kind::Flush, ending.flush);
        match ending.completion {
            Completion::Plugin(completion) => call(Kind::Completion, completion),
            Completion::Other(told) => told(),
        }
        if request == Request::Uninstall {
            let code = self.registry.lock().gone(id);
            self.close(&plugin, code);
            self.remove(&plugin);
        }
    }

    /// Closes the library of a plugin that is not called any more.
    fn close(&self, plugin: &Plugin, code: Option<Code>) {
        called::library_closes();
        // Its destructors may still log something.
        context::run_own(plugin.slot(), Kind::Completion, || drop(code));
        boards::forget(plugin.id());
    }

    /// Takes a plugin out whose library has been closed.
    fn remove(&self, plugin: &Plugin) {
        let mut registry = self.registry.lock();
        self.table.remove(plugin);
        registry.remove(plugin.id());
    }

    /// Subscribes a plugin to an event; from now on this thread's vCPU, and soon the others, call it.
    pub(crate) fn subscribe<C: Copy>(
        &self,
        id: PluginId,
        event: impl FnOnce(&mut Callbacks) -> &mut List<C>,
        callback: Option<C>,
    ) -> Result<(), Unknown> {
        let mut registry = self.registry();
        let published = registry.subscribe(id, event, callback, &self.published)?;
        drop(registry);
        if published {
            self.nudge();
        }
        Ok(())
    }

    /// Blocks are shown to the plugin again.
    pub(crate) fn show_anew(&self, id: PluginId) {
        let mut registry = self.registry();
        registry.renew(id, &self.published);
        let dead = registry.dead_sets();
        drop(registry);
        self.retire_sets(dead);
        self.nudge();
    }

    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock()
    }

    /// The plugin that a callback's context speaks of.
    #[inline]
    pub(crate) fn plugin_at(&self, slot: u16) -> Option<NonNull<Plugin>> {
        self.table.get(slot)
    }

    pub(crate) fn snapshots(&self) -> Reader<Snapshot> {
        self.published.reader()
    }

    pub(crate) fn named(&self) -> &Named {
        &self.named
    }

    /// A vCPU has begun.
    pub(crate) fn vcpu_begins(&self, index: u32) {
        boards::vcpu_begins(&self.areas, index);
        self.vcpus.lock().insert(index);
    }

    /// A vCPU has ended.
    pub(crate) fn vcpu_ends(&self, index: u32) {
        self.vcpus.lock().remove(&index);
    }

    /// The vCPUs that have begun and not ended.
    pub(crate) fn vcpus(&self) -> Vec<u32> {
        self.vcpus.lock().iter().copied().collect()
    }

    fn nudge(&self) {
        let nudge = self.nudge.lock().clone();
        if let Some(nudge) = nudge {
            nudge();
        }
    }

    /// Runs plugins' callbacks on a thread that need not be a vCPU's: no plugin in a snapshot that `f`
    /// takes goes away meanwhile, and jobs that become ready wait until it is over.
    fn visit<R>(&self, f: impl FnOnce() -> R) -> R {
        let mut visitor: Participant = self.domain().register();
        visitor.online();
        f()
    }
}

impl Simple {
    /// Calls it.
    pub(crate) fn call(self, id: PluginId) {
        // SAFETY: registered for this, by a plugin that is still there.
        unsafe {
            match self {
                Callback::Id(function) => function(id.0),
                Callback::Userdata(function, userdata) => function(userdata),
            }
        }
    }
}

/// Random, so that nobody guesses another's id.
fn new_id(registry: &Registry) -> PluginId {
    loop {
        let id = PluginId(RandomState::new().hash_one(0));
        if id.0 != 0 && registry.plugin(id).is_err() {
            return id;
        }
    }
}

/// The process ends by `exit`, called by whomever: perhaps by a callback, which nobody can wait for.
extern "C" fn on_exit() {
    if let Some(runtime) = Runtime::global() {
        runtime.end(false);
    }
}
