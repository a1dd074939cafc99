//! `hartscope stress`: plugins come and go at random while a guest runs, and all that must hold is
//! checked all the time.
//!
//! 1. The guest runs on the main thread and its own, as always. *Control threads* of ours each follow a
//!    [`plan`] on a common [`stage`]; they meet after each round, when one of them takes everything
//!    away and looks at what is left ([`watch::Quiet`]).
//! 2. What must hold is seen by [`witness`]es and [`references`], which are plugins themselves, by the
//!    stage, and by the [`watch`]. Whoever sees that it does not notes a violation ([`violations`]),
//!    and all go on.
//! 3. A forked child of the guest has the plugins that were attached, and no control threads. It checks
//!    what it sees, and ends as the guest's child.

mod plan;
mod references;
mod report;
mod slot;
mod stage;
mod violations;
mod watch;
mod witness;

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use linux_user::{Ended, ExitStatus, Remote};
use plugin_rt::{BuiltIn, NoLog, PluginId, Runtime, Shown, Spec, Specs};
use vcpu::latency::Latencies;

use crate::cli::{Length, StressOptions};
use crate::control::{KICK, block_signals};
use crate::guest::environment;
use crate::session::engine_backend;
use crate::{built_in, fail, plugin_check, print};

use plan::Plan;
use references::References;
use report::Summary;
use slot::{Slot, What};
use stage::{Actor, Done, Stage};
use violations::Violations;
use watch::{Quiet, Sizes};
use witness::Kind;

static GUEST: &[u8] = include_bytes!("../../stress/stress.elf");

/// Actions of a thread between two looks at what is left.
const ROUND: usize = 60;

/// Runs; gives the exit status: 0 without violations, else 1.
pub fn run(options: &StressOptions) -> i32 {
    match Stress::prepare(options) {
        Ok(stress) => stress.run(),
        Err(error) => fail(&error, 1),
    }
}

/// What is to be run.
struct Stress<'a> {
    options: &'a StressOptions,
    stage: Arc<Stage>,
    references: Option<References>,
    start: Arc<Start>,
    guest: linux_user::Options,
    latencies: Arc<Latencies>,
    files: Vec<PathBuf>,
}

type Error = Box<dyn std::error::Error>;

impl<'a> Stress<'a> {
    fn prepare(options: &'a StressOptions) -> Result<Stress<'a>, Error> {
        let specs = specs(&options.plugins)?;
        let files = files(&specs)?;
        let violations = Violations::new()?;
        let runtime = vcpu::start_plugins(plugin_rt::Config {
            system: None,
            log: Arc::new(NoLog),
            check: options.check_plugins,
        });
        let references = match options.references {
            true => Some(References::attach(&runtime)?),
            false => None,
        };
        let remote = Remote::default();
        let latencies = Latencies::new();
        let guest = guest(options, &runtime, &remote, &latencies)?;
        let slots = Kind::ALL.into_iter().map(What::Witness);
        Ok(Stress {
            options,
            references,
            start: Arc::default(),
            guest,
            latencies,
            files,
            stage: Arc::new(Stage {
                domain: runtime.domain(),
                runtime,
                remote,
                witnesses: witness::of_process(violations),
                violations,
                slots: slots
                    .chain(specs.into_iter().map(What::Plugin))
                    .map(|what| Arc::new(Slot::new(what)))
                    .collect(),
                done: Done::default(),
                over: AtomicBool::new(false),
            }),
        })
    }

    fn run(self) -> i32 {
        let owner = process::id();
        let Stress {
            options,
            stage,
            references,
            start,
            guest,
            latencies,
            files,
        } = self;
        let starter = match stage.runtime.add(Arc::new(Starter(start.clone()))) {
            Ok(id) => id,
            Err(error) => return fail(&error, 1),
        };
        let control = Control {
            stage: stage.clone(),
            barrier: Arc::new(Barrier::new(options.threads)),
            stop: Arc::default(),
            seed: options.seed,
        };
        let leader = Leader {
            start: start.clone(),
            starter,
            length: options.length,
            others: references.as_ref().map_or(0, |_| references::COUNT),
            quiet: Quiet::new(files),
        };
        let (stop, stopped) = mpsc::channel();
        let threads = spawn(options.threads, control, leader);
        let watch = {
            let (stage, latencies) = (stage.clone(), latencies.clone());
            thread::Builder::new()
                .name("hartscope-watch".into())
                .spawn(move || {
                    block_signals(&[]);
                    let Stage {
                        domain, violations, ..
                    } = &*stage;
                    watch::grace_periods(domain, &latencies, violations, &stopped)
                })
        };
        let (leader, others, watch) = match (threads, watch) {
            (Ok((leader, others)), Ok(watch)) => (leader, others, watch),
            (Err(error), _) | (_, Err(error)) => {
                return fail(&format!("cannot start a thread: {error}"), 1);
            }
        };
        start.tell(leader.thread().clone());

        let began = Instant::now();
        let ended = linux_user::run(guest);
        if process::id() != owner {
            // A child, which the guest's main thread has forked.
            match ended {
                Ok(ended) => ended.status.terminate(),
                Err(_) => unreachable!("a child has begun already"),
            }
        }
        stage.over.store(true, Ordering::Relaxed);
        start.begin();
        let quiet = leader.join();
        let are_well = others.into_iter().all(|thread| thread.join().is_ok());
        let time = began.elapsed();
        drop(stop);
        let longest_grace_period = watch.join().unwrap_or_default();
        let violations = stage.violations;
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => return fail(&error, i32::from(error.shell_status())),
        };
        let Ok((quiet, has_ended_it)) = quiet else {
            return fail(&"a control thread has panicked", 1);
        };
        if !are_well {
            return fail(&"a control thread has panicked", 1);
        }
        quiet.check_growth(violations);
        if let Some(references) = &references {
            references.check(violations);
        }
        let is_as_ordered = has_ended_it && ended.status == ExitStatus::Exited(0);
        let guest = (!is_as_ordered).then(|| end_of(&ended));
        if options.program.is_none()
            && let Some(guest) = &guest
        {
            violations.note(format_args!("the built-in guest {guest}"));
        }
        let (first, last) = quiet.first_and_last();
        let summary = summary(options, &stage, &ended, first, last);
        let summary = Summary {
            time,
            guest,
            rounds: quiet.count(),
            reference: references.map(|references| references.count()),
            longest_grace_period,
            ..summary
        };
        let text = match options.json {
            true => format!("{}\n", summary.to_json()),
            false => summary.to_string(),
        };
        match (print(&text), summary.violations) {
            (0, 0) => 0,
            _ => 1,
        }
    }
}

fn summary(
    options: &StressOptions,
    stage: &Stage,
    ended: &Ended,
    first: Sizes,
    last: Sizes,
) -> Summary {
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let Done {
        attached,
        reset,
        detached,
        in_vain,
        longest_detach,
    } = &stage.done;
    Summary {
        seed: options.seed,
        threads: options.threads,
        time: Duration::ZERO,
        guest: None,
        rounds: 0,
        attached: of(attached),
        reset: of(reset),
        detached: of(detached),
        in_vain: of(in_vain),
        callbacks: stage.witnesses.called(),
        reference: None,
        translated: ended.engine.stats().translations,
        longest_detach: Duration::from_nanos(of(longest_detach)),
        longest_grace_period: Duration::ZERO,
        first,
        last,
        violations: stage.violations.count(),
        list: stage.violations.list(),
    }
}

fn end_of(ended: &Ended) -> String {
    match ended.status {
        ExitStatus::Exited(code) => format!("ended by itself, with status {code}"),
        ExitStatus::Signaled(signal) => format!("was killed by signal {signal}"),
    }
}

fn specs(plugins: &[OsString]) -> Result<Vec<Spec>, plugin_rt::SpecError> {
    let mut specs = Specs::default();
    for plugin in plugins {
        specs.add(plugin)?;
    }
    for warning in specs.warnings() {
        fail(warning, 0);
    }
    Ok(specs.specs().to_vec())
}

/// The plugins' files, by the names under which they will be mapped.
fn files(specs: &[Spec]) -> Result<Vec<PathBuf>, String> {
    let file = |spec: &Spec| {
        let path = Path::new(&spec.path);
        let file = plugin_check::loadable(path)
            .map_err(|refusal| format!("{}: cannot be loaded: {refusal}", path.display()))?;
        Ok(fs::canonicalize(&file).unwrap_or(file))
    };
    specs.iter().map(file).collect()
}

fn guest(
    options: &StressOptions,
    runtime: &Arc<Runtime>,
    remote: &Remote,
    latencies: &Arc<Latencies>,
) -> Result<linux_user::Options, Error> {
    let (program, args) = match &options.program {
        Some(program) => {
            let words = [program].into_iter().chain(&options.args);
            (PathBuf::from(program), words.cloned().collect())
        }
        None => {
            let file = built_in::file(c"hartscope-stress", GUEST)?;
            let fd = linux_user::own_descriptor(file)?;
            let harts = options.vcpus.to_string();
            let args = ["stress".into(), harts, options.seed.to_string()];
            (
                format!("/proc/self/fd/{}", fd.as_raw_fd()).into(),
                args.map(OsString::from).into(),
            )
        }
    };
    Ok(linux_user::Options {
        program,
        args,
        env: environment(&[]),
        reexec: ["/proc/self/exe", "run"].map(OsString::from).into(),
        remote: remote.clone(),
        engine: vcpu::Config {
            backend: engine_backend(options.backend),
            tb_size: options.tb_size,
            plugins: Some(runtime.clone()),
            latencies: Some(latencies.clone()),
            ..vcpu::Config::default()
        },
        ..linux_user::Options::default()
    })
}

/// Says when the guest has begun.
#[derive(Default)]
struct Start {
    has_come: AtomicBool,
    waiter: std::sync::OnceLock<Thread>,
}

impl Start {
    fn tell(&self, waiter: Thread) {
        let _ = self.waiter.set(waiter);
    }

    fn begin(&self) {
        // Release: pairs with the Acquire in `wait`.
        if !self.has_come.swap(true, Ordering::Release)
            && let Some(waiter) = self.waiter.get()
        {
            waiter.unpark();
        }
    }

    fn wait(&self) {
        // Acquire: pairs with the Release in `begin`.
        while !self.has_come.load(Ordering::Acquire) {
            thread::park();
        }
    }
}

/// A subscriber that is shown the guest's first blocks, and nothing else.
struct Starter(Arc<Start>);

impl BuiltIn for Starter {
    fn name(&self) -> &str {
        "starter"
    }

    fn translated(&self, _block: &mut Shown<'_>) {
        self.0.begin();
    }
}

/// What control threads have in common.
#[derive(Clone)]
struct Control {
    stage: Arc<Stage>,
    barrier: Arc<Barrier>,
    /// There is no other round.
    stop: Arc<AtomicBool>,
    seed: u64,
}

/// What the first control thread does besides.
struct Leader {
    start: Arc<Start>,
    starter: PluginId,
    length: Length,
    /// How many are attached that are in no slot.
    others: usize,
    quiet: Quiet,
}

/// What there was to see, and whether the guest was there until the end.
type Seen = (Quiet, bool);

fn spawn(
    threads: usize,
    control: Control,
    leader: Leader,
) -> std::io::Result<(JoinHandle<Seen>, Vec<JoinHandle<()>>)> {
    let name = || thread::Builder::new().name("hartscope-ctl".into());
    let others = (1..threads).map(|thread| {
        let control = control.clone();
        name().spawn(move || control.follow(thread))
    });
    let others = others.collect::<Result<_, _>>()?;
    Ok((name().spawn(move || control.lead(leader))?, others))
}

impl Control {
    fn follow(&self, thread: usize) {
        // A plugin's code runs here: its faults are reported, and who kicks is answered.
        block_signals(&[libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, KICK]);
        let mut plan = Plan::new(self.seed, thread, self.stage.slots.len());
        let mut actor = Actor::new(self.stage.clone());
        while self.begins() {
            self.round(&mut plan, &mut actor);
        }
    }

    fn lead(&self, leader: Leader) -> Seen {
        block_signals(&[libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, KICK]);
        let Leader {
            start,
            starter,
            length,
            others,
            mut quiet,
        } = leader;
        let mut plan = Plan::new(self.seed, 0, self.stage.slots.len());
        let mut actor = Actor::new(self.stage.clone());
        start.wait();
        let began = Instant::now();
        let Stage {
            remote,
            runtime,
            done,
            violations,
            ..
        } = &*self.stage;
        // Nobody else knows it.
        let _ = remote.inside(|| runtime.uninstall(starter));
        loop {
            let is_enough = match length {
                Length::Time(time) => began.elapsed() >= time,
                Length::Attachments(count) => done.attached.load(Ordering::Relaxed) >= count,
            };
            // The barrier orders it.
            let stop = is_enough || self.stage.is_over();
            self.stop.store(stop, Ordering::Relaxed);
            if !self.begins() {
                break;
            }
            self.round(&mut plan, &mut actor);
            actor.clear(others);
            quiet.look(violations);
        }
        let was_there = !self.stage.is_over();
        if was_there {
            remote.quit(0);
        }
        (quiet, was_there)
    }

    /// Waits for the others; gives whether there is another round.
    fn begins(&self) -> bool {
        self.barrier.wait();
        !self.stop.load(Ordering::Relaxed)
    }

    fn round(&self, plan: &mut Plan, actor: &mut Actor) {
        for action in plan.take(ROUND) {
            // The sequence stays what it is: nobody is there any more who would see the rest of it.
            if !self.stage.is_over() {
                actor.act(action);
            }
        }
        actor.wait();
        self.barrier.wait();
    }
}
