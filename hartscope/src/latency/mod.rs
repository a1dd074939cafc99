//! Latencies and stalls: who records them, and what becomes of them.
//!
//! The vCPUs record ([`vcpu::latency`]). A thread of our own, in which no signal is handled, copies
//! what they have recorded into the log once a second, and names those that hold up grace periods. A
//! child of the guest has neither recordings nor this thread.

mod log;
mod merge;
mod series;
mod table;

use std::fs::File;
use std::io::{self, Write};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, FromRawFd, RawFd};
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use plugin_rt::{Measured, Runtime};
use serde_json::{Value, json};
use vcpu::Engine;
use vcpu::latency::Latencies;

use log::IntervalLog;
use series::Series;

pub use merge::run as merge;
pub use table::print_answer;

/// The length of an interval in the log.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often grace periods are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A grace period that takes longer than this is reported.
const LIMIT: Duration = Duration::from_secs(1);

/// What is to be done with what is recorded.
#[derive(Default)]
pub struct Wanted<'a> {
    /// The interval log's name.
    pub log: Option<&'a Path>,
    /// Name stalls.
    pub stalls: bool,
    /// Where: in a log that stays open for ever, or on standard error.
    pub log_fd: Option<RawFd>,
    /// A table in the end, which somebody else prints ([`table`]), or answers to who asks ([`query`]).
    pub record: bool,
    /// Which callbacks of plugins are measured.
    pub callbacks: Measured,
}

/// Who records, and the thread that reads it.
pub struct Watch {
    latencies: Arc<Latencies>,
    thread: Option<(Sender<()>, JoinHandle<io::Result<()>>)>,
}

impl Watch {
    /// Begins, if there is anything to do.
    pub fn start(wanted: &Wanted, plugins: Option<&Arc<Runtime>>) -> Result<Option<Watch>, String> {
        if let Some(plugins) = plugins {
            plugins.measure_callbacks(wanted.callbacks);
        }
        if wanted.log.is_none() && !wanted.stalls && !wanted.record {
            return Ok(None);
        }
        let latencies = Latencies::new();
        let log = match wanted.log {
            None => None,
            Some(path) => Some(open(path).map_err(|error| {
                format!("cannot write the latency log: {}: {error}", path.display())
            })?),
        };
        let stalls = match wanted.stalls.then(|| stall_file(wanted.log_fd)) {
            None => None,
            Some(file) => Some(file.map_err(|error| {
                format!("cannot keep standard error for reports of stalls: {error}")
            })?),
        };
        let thread = if log.is_some() || stalls.is_some() {
            let (stop, stopped) = mpsc::channel();
            let (latencies, plugins) = (Arc::clone(&latencies), plugins.cloned());
            let thread = without_signals(|| {
                thread::Builder::new()
                    .name("latency".into())
                    .spawn(move || Reader::new(latencies, plugins, log, stalls).run(&stopped))
            });
            let thread =
                thread.map_err(|error| format!("cannot start the latency thread: {error}"))?;
            Some((stop, thread))
        } else {
            None
        };
        Ok(Some(Watch { latencies, thread }))
    }

    /// Where vCPUs record.
    pub fn latencies(&self) -> Arc<Latencies> {
        Arc::clone(&self.latencies)
    }

    /// Writes the last interval, when the guest that ran on `engine` is over.
    pub fn finish(self, engine: &Engine) -> Result<(), String> {
        let is_own = engine
            .latencies()
            .is_some_and(|latencies| Arc::ptr_eq(latencies, &self.latencies));
        // In a child of the guest there is no such thread.
        let Some((stop, thread)) = self.thread.filter(|_| is_own) else {
            return Ok(());
        };
        drop(stop);
        match thread.join() {
            Ok(written) => {
                written.map_err(|error| format!("cannot write the latency log: {error}"))
            }
            Err(_) => Err("the latency log is incomplete".into()),
        }
    }
}

/// Creates the log, out of the guest's way.
fn open(path: &Path) -> io::Result<IntervalLog<File>> {
    let fd = linux_user::own_descriptor(File::create(path)?)?;
    // SAFETY: a new descriptor, which nobody else closes. The thread does when the guest is over.
    IntervalLog::begin(unsafe { File::from_raw_fd(fd) })
}

/// Where stalls are named: a standard error that stays when the guest closes its own.
fn stall_file(log_fd: Option<RawFd>) -> io::Result<ManuallyDrop<File>> {
    let fd = match log_fd {
        Some(fd) => fd,
        None => {
            let stderr = io::stderr().as_fd().try_clone_to_owned()?;
            linux_user::own_descriptor(File::from(stderr))?
        }
    };
    // SAFETY: the descriptor stays open for ever, and is not closed here.
    Ok(ManuallyDrop::new(unsafe { File::from_raw_fd(fd) }))
}

/// Starts a thread in which signals are not handled: they are the guest's.
fn without_signals<R>(start: impl FnOnce() -> R) -> R {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first call fills `all` in, and the second one `before`.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let started = start();
    // SAFETY: filled in above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    started
}

/// What the thread does.
struct Reader {
    latencies: Arc<Latencies>,
    plugins: Option<Arc<Runtime>>,
    log: Option<IntervalLog<File>>,
    stalls: Option<ManuallyDrop<File>>,
    /// When a stall was reported last.
    reported: Option<Instant>,
}

impl Reader {
    fn new(
        latencies: Arc<Latencies>,
        plugins: Option<Arc<Runtime>>,
        log: Option<IntervalLog<File>>,
        stalls: Option<ManuallyDrop<File>>,
    ) -> Reader {
        Reader {
            latencies,
            plugins,
            log,
            stalls,
            reported: None,
        }
    }

    /// Works until the other end of `stopped` is gone.
    fn run(mut self, stopped: &mpsc::Receiver<()>) -> io::Result<()> {
        let mut written = Instant::now();
        let mut result = Ok(());
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            self.look_for_stalls();
            if written.elapsed() >= INTERVAL && result.is_ok() {
                result = self.write_interval();
                written = Instant::now();
            }
        }
        result.and_then(|()| self.write_interval())
    }

    fn write_interval(&mut self) -> io::Result<()> {
        match &mut self.log {
            Some(log) => log.write(series::read(&self.latencies, self.plugins.as_deref())),
            None => Ok(()),
        }
    }

    /// Names who holds a grace period up, and again after a while if that lasts.
    fn look_for_stalls(&mut self) {
        let Some(file) = &mut self.stalls else {
            return;
        };
        let Some(stalled) = self.latencies.stalled(LIMIT) else {
            self.reported = None;
            return;
        };
        let pause = 10 * LIMIT;
        if self.reported.is_some_and(|then| then.elapsed() < pause) {
            return;
        }
        self.reported = Some(Instant::now());
        // In one write. There is nobody left to tell if it fails.
        let _ = file.write_all(format!("hartscope: {stalled}\n").as_bytes());
    }
}

/// Which callbacks are measured, in a word.
pub fn measured(word: &str) -> Option<Measured> {
    match word {
        "none" => Some(Measured::None),
        "sampled" => Some(Measured::Sampled),
        "all" => Some(Measured::All),
        _ => None,
    }
}

/// What has been recorded, a row for each vCPU, by kind.
pub fn table(engine: &Engine) -> String {
    let Some(series) = recorded(engine) else {
        return String::new();
    };
    let rows: Vec<_> = series.iter().map(Series::row).collect();
    table::print(&rows)
}

/// The same for a client. Without an engine there is nothing.
pub fn query(engine: Option<&Engine>) -> Value {
    let series = engine.and_then(recorded);
    let rows: Value = series.iter().flatten().map(Series::json).collect();
    json!({ "recording": series.is_some(), "latencies": rows })
}

fn recorded(engine: &Engine) -> Option<Vec<Series>> {
    let latencies = engine.latencies()?;
    let plugins = engine.plugins().map(Arc::as_ref);
    Some(series::read(latencies, plugins))
}
