//! The plugins that are there, and the truth of who is subscribed to what.
//!
//! 1. All of it changes under one lock, which is never held while a plugin's code runs: plugins may
//!    register, reset and uninstall from wherever they are.
//! 2. Each change that vCPUs are to know of ends with a publication, under the same lock, so that
//!    publications come in the order of the changes.
//! 3. What a plugin registers while it installs itself is published when it is done, at once.

use std::sync::Arc;

use epoch::step;
use tb_cache::SetId;

use crate::builtin::Code;
use crate::callbacks::{Callbacks, List, Simple, Subscriber, TbTrans};
use crate::lifecycle::{Phase, Refused};
use crate::plugin::{Plugin, PluginId};
use crate::published::Published;
use crate::sets::{Member, Sets};
use crate::skew::{Attach, Change, Flip, Record};

/// What vCPUs see.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) callbacks: Callbacks,
    /// What blocks are instrumented for.
    pub(crate) set: SetId,
    /// Who has seen it, and when.
    pub(crate) flip: Arc<Flip>,
}

/// A plugin that is there.
struct Entry {
    plugin: Arc<Plugin>,
    phase: Phase,
    /// `None` when it is being closed.
    code: Option<Code>,
    /// How often what it has put into blocks was to be forgotten.
    generation: u32,
    /// Whether it is in the instrumentation set.
    instruments: bool,
    /// What it waits for: the ends of its reset and of its uninstall.
    reset: Option<Ending>,
    uninstall: Option<Ending>,
}

impl Entry {
    fn member(&self) -> Member {
        Member {
            plugin: self.plugin.id(),
            generation: self.generation,
        }
    }
}

/// What is called when a plugin's last callback has returned.
pub(crate) struct Ending {
    /// It was subscribed to `flush`: its blocks are gone.
    pub(crate) flush: Option<Simple>,
    /// Who wants to know.
    pub(crate) completion: Completion,
}

/// Who has asked for an ending, and is told of it.
pub(crate) enum Completion {
    /// The plugin. After a reset it goes on by itself.
    Plugin(Option<Simple>),
    /// Somebody else, who lets it install itself anew after a reset.
    Other(Box<dyn FnOnce() + Send>),
}

/// Which of its two endings a plugin waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Reset,
    Uninstall,
}

/// See the module's rules.
pub(crate) struct Registry {
    /// In the order in which they were loaded.
    entries: Vec<Entry>,
    callbacks: Callbacks,
    sets: Sets,
    /// Sets that will never come back, see [`Registry::dead_sets`].
    dead: Vec<SetId>,
    last_attach: Option<Record>,
}

/// No plugin has this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unknown;

impl From<Unknown> for Refused {
    fn from(_: Unknown) -> Refused {
        Refused::Unknown
    }
}

impl Registry {
    pub(crate) fn new() -> Registry {
        Registry {
            entries: Vec::new(),
            callbacks: Callbacks::default(),
            sets: Sets::new(),
            dead: Vec::new(),
            last_attach: None,
        }
    }

    pub(crate) fn add(&mut self, plugin: Arc<Plugin>, code: Code) {
        self.entries.push(Entry {
            plugin,
            phase: Phase::Loading,
            code: Some(code),
            generation: 0,
            instruments: false,
            reset: None,
            uninstall: None,
        });
    }

    pub(crate) fn plugins(&self) -> impl Iterator<Item = (&Arc<Plugin>, Phase)> {
        let entries = self.entries.iter();
        entries.map(|entry| (&entry.plugin, entry.phase))
    }

    fn entry(&mut self, id: PluginId) -> Result<&mut Entry, Unknown> {
        let mut entries = self.entries.iter_mut();
        entries.find(|entry| entry.plugin.id() == id).ok_or(Unknown)
    }

    pub(crate) fn plugin(&self, id: PluginId) -> Result<&Arc<Plugin>, Unknown> {
        let mut plugins = self.plugins();
        plugins
            .find_map(|(plugin, _)| (plugin.id() == id).then_some(plugin))
            .ok_or(Unknown)
    }

    /// Publishes the present state. Gives what will be noted about that.
    fn publish(&mut self, flip: Flip, to: &Published<Snapshot>) -> Arc<Flip> {
        let members: Vec<Member> = self
            .entries
            .iter()
            .filter(|entry| entry.instruments && entry.phase == Phase::Live)
            .map(Entry::member)
            .collect();
        let set = self.sets.id(&members);
        let flip = Arc::new(flip);
        to.publish(Snapshot {
            callbacks: self.callbacks.clone(),
            set,
            flip: Arc::clone(&flip),
        });
        flip
    }

    /// A plugin has installed itself: now it counts, on all of `vcpus` vCPUs. Gives what will be noted
    /// about that.
    pub(crate) fn installed(
        &mut self,
        id: PluginId,
        vcpus: u32,
        to: &Published<Snapshot>,
    ) -> Arc<Flip> {
        if let Ok(entry) = self.entry(id) {
            entry.phase.installed();
        }
        let flip = step!(
            "registry.installed.publish" => "another_is_added, reset_beside_an_attach",
            self.publish(Flip::new(Change::Attach, Some(id)), to)
        );
        self.last_attach = Some(Record {
            plugin: id,
            vcpus,
            flip: Arc::clone(&flip),
        });
        flip
    }

    /// How the last attachment has come about.
    pub(crate) fn last_attach(&self) -> Option<Attach> {
        self.last_attach.as_ref().map(Record::read)
    }

    /// The sets that no publication will name any more: what was made for them may go after a grace
    /// period. Given once.
    pub(crate) fn dead_sets(&mut self) -> Vec<SetId> {
        std::mem::take(&mut self.dead)
    }

    /// Subscribes a plugin that is being loaded to `tb_trans`.
    pub(crate) fn subscribes_to_blocks(&mut self, id: PluginId, callback: TbTrans) {
        if let Ok(entry) = self.entry(id) {
            entry.instruments = true;
            let subscriber = Subscriber::of(&entry.plugin);
            self.callbacks.tb_trans.set(subscriber, Some(callback));
        }
    }

    /// What a plugin has put into blocks so far is to be forgotten.
    pub(crate) fn renew(&mut self, id: PluginId, to: &Published<Snapshot>) {
        let Ok(entry) = self.entry(id) else {
            return;
        };
        let old = entry.member();
        entry.generation += 1;
        self.dead.extend(self.sets.forget(old));
        self.publish(Flip::default(), to);
    }

    /// A plugin would not install itself. It is called at the end of the program, and for nothing else.
    pub(crate) fn install_failed(&mut self, id: PluginId) {
        let at_exit = self.callbacks.at_exit.clone();
        self.callbacks.forget(id);
        self.callbacks.at_exit = at_exit;
        if let Ok(entry) = self.entry(id) {
            entry.instruments = false;
            entry.phase.installed();
        }
    }

    /// Subscribes a plugin to an event, gives it another callback, or ends its subscription. Gives
    /// whether anything was published.
    pub(crate) fn subscribe<C: Copy>(
        &mut self,
        id: PluginId,
        event: impl FnOnce(&mut Callbacks) -> &mut List<C>,
        callback: Option<C>,
        to: &Published<Snapshot>,
    ) -> Result<bool, Unknown> {
        let entry = self.entry(id)?;
        if !entry.phase.may_subscribe() {
            return Ok(false);
        }
        let is_live = entry.phase == Phase::Live;
        let subscriber = Subscriber::of(&entry.plugin);
        event(&mut self.callbacks).set(subscriber, callback);
        let instruments = self.callbacks.tb_trans.get(id).is_some();
        self.entry(id)?.instruments |= instruments;
        if is_live {
            self.publish(Flip::default(), to);
        }
        Ok(is_live)
    }

    /// Forgets what a plugin that is being loaded has subscribed to; gives whether it is. Nobody has
    /// seen any of it yet.
    pub(crate) fn start_over(&mut self, id: PluginId) -> Result<bool, Unknown> {
        let entry = self.entry(id)?;
        let is_loading = entry.phase == Phase::Loading;
        if is_loading {
            entry.instruments = false;
            self.callbacks.forget(id);
        }
        Ok(is_loading)
    }

    /// Ends all subscriptions of a plugin that is to begin anew or to end. If that is granted,
    /// [`Registry::ending`] is due after a grace period.
    pub(crate) fn end(
        &mut self,
        id: PluginId,
        request: Request,
        completion: Completion,
        to: &Published<Snapshot>,
    ) -> Result<(), Refused> {
        let flush = self.callbacks.flush.get(id);
        let entry = self.entry(id)?;
        let ending = Some(Ending { flush, completion });
        match request {
            Request::Reset => {
                entry.phase.reset()?;
                entry.reset = ending;
            }
            Request::Uninstall => {
                entry.phase.uninstall()?;
                entry.uninstall = ending;
            }
        }
        let old = entry.member();
        entry.generation += 1;
        entry.instruments = false;
        self.dead.extend(self.sets.forget(old));
        self.callbacks.forget(id);
        // Before the grace period: from now on nobody else finds it.
        step!(
            "registry.end.publish" => "added_called_uninstalled, reset_beside_an_attach",
            self.publish(Flip::new(Change::Detach, None), to)
        );
        Ok(())
    }

    /// Ends the subscribers that are built in.
    pub(crate) fn end_built_ins(&mut self, to: &Published<Snapshot>) {
        let is_built_in = |entry: &&Entry| matches!(entry.code, Some(Code::BuiltIn(_)));
        let built_in = self.entries.iter().filter(is_built_in);
        let ids: Vec<PluginId> = built_in.map(|entry| entry.plugin.id()).collect();
        for id in ids {
            // One that is ending already goes on with that.
            let _ = self.end(id, Request::Uninstall, Completion::Plugin(None), to);
        }
    }

    /// What is to be called now that the last callback has returned; given once. A plugin that has
    /// reset itself may subscribe again.
    pub(crate) fn ending(&mut self, id: PluginId, request: Request) -> Option<Ending> {
        let entry = self.entry(id).ok()?;
        match request {
            Request::Reset => {
                let ending = entry.reset.take()?;
                if let Completion::Plugin(_) = ending.completion {
                    entry.phase.reset_is_over();
                }
                Some(ending)
            }
            Request::Uninstall => entry.uninstall.take(),
        }
    }

    /// A plugin that somebody else has reset, and whose last callback has returned, is to install
    /// itself anew. Gives its code of before.
    pub(crate) fn installs_anew(&mut self, id: PluginId) -> Result<(Arc<Plugin>, Code), Refused> {
        let entry = self.entry(id)?;
        if entry.reset.is_some() {
            return Err(Refused::Resetting);
        }
        entry.phase.install_anew()?;
        // A plugin that has code is resetting; one that is closed is gone.
        let code = entry.code.take().ok_or(Refused::Ending)?;
        Ok((Arc::clone(&entry.plugin), code))
    }

    /// The code that a plugin begins anew with.
    pub(crate) fn has_code_again(&mut self, plugin: Arc<Plugin>, code: Code) {
        if let Ok(entry) = self.entry(plugin.id()) {
            entry.plugin = plugin;
            entry.code = Some(code);
        }
    }

    /// The code of a plugin that has been told of its end, to be closed.
    pub(crate) fn gone(&mut self, id: PluginId) -> Option<Code> {
        let entry = self.entry(id).ok()?;
        entry.phase.gone().then(|| entry.code.take())?
    }

    /// Takes a plugin out whose library has been closed.
    pub(crate) fn remove(&mut self, id: PluginId) {
        self.entries.retain(|entry| entry.plugin.id() != id);
    }

    /// In the child of a fork: who is not a plugin and wants to be told of the end of a reset is in
    /// the parent.
    pub(crate) fn leave_to_parent(&mut self) {
        let other = |ending: &mut Ending| matches!(ending.completion, Completion::Other(_));
        for entry in &mut self.entries {
            // Leaked: what it owns may have been in use by another thread at the fork.
            std::mem::forget(entry.reset.take_if(other));
        }
    }

    /// The requests whose ends are still to come, in the order in which they were made.
    pub(crate) fn pending(&self) -> Vec<(PluginId, Request)> {
        let pending = self.entries.iter().flat_map(|entry| {
            let reset = entry.reset.as_ref().map(|_| Request::Reset);
            let uninstall = entry.uninstall.as_ref().map(|_| Request::Uninstall);
            let requests = reset.into_iter().chain(uninstall);
            requests.map(|request| (entry.plugin.id(), request))
        });
        pending.collect()
    }

    /// Ends all subscriptions but those to the end of the program, which it gives.
    pub(crate) fn keep_only_at_exit(&mut self, to: &Published<Snapshot>) -> Callbacks {
        self.callbacks = self.callbacks.only_at_exit();
        self.publish(Flip::default(), to);
        self.callbacks.clone()
    }
}
