//! What runs a guest's code, as the command line wants it: the log, plugins, what is measured.

use std::io::{self, Write};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use plugin_rt::{Measured, Runtime, SystemInfo};
use vcpu::latency::Latencies;
use vcpu::{Dump, Engine, Stages};

use crate::cli::{Backend, EngineOptions, LogFile};
use crate::latency::{Wanted, Watch};
use crate::plugins::{self, Loaded};
use crate::{fail, latency, log, report};

/// From before a guest runs to the report on it.
pub struct Session {
    config: vcpu::Config,
    log_fd: Option<RawFd>,
    loaded: Option<Loaded>,
    watch: Option<Watch>,
    stats: bool,
}

impl Session {
    /// Opens the log, loads the plugins, begins to measure. `may_have_plugins`: plugins may come
    /// later. The error is the exit status of a hartscope that is done, which has said why.
    pub fn begin(
        options: &EngineOptions,
        may_have_plugins: bool,
        system: Option<SystemInfo>,
    ) -> Result<Session, i32> {
        check(options).map_err(|error| fail(&error, 1))?;
        // With a log for each thread there is no other.
        let log_file = options.log_file.as_ref().filter(|_| !options.log.tid);
        let log_fd = log_file.map(log::open).transpose();
        let log_fd = log_fd.map_err(|error| fail(&error, 1))?;
        let loaded = plugins::load(options, may_have_plugins, system, log_fd)?;
        let runtime = loaded.as_ref().map(|loaded| Arc::clone(&loaded.runtime));
        let watch = Watch::start(&wanted_latencies(options, log_fd), runtime.as_ref());
        let watch = watch.map_err(|error| fail(&error, 1))?;
        let latencies = watch.as_ref().map(Watch::latencies);
        Ok(Session {
            config: engine(options, log_fd, runtime, latencies),
            log_fd,
            loaded,
            watch,
            stats: options.stats,
        })
    }

    /// What an engine is to be.
    pub fn config(&self) -> &vcpu::Config {
        &self.config
    }

    /// The log, if it is a file.
    pub fn log_fd(&self) -> Option<RawFd> {
        self.log_fd
    }

    /// The plugins' runtime, if there may be plugins.
    pub fn runtime(&self) -> Option<&Runtime> {
        self.config.plugins.as_deref()
    }

    /// The plugins that were loaded.
    pub fn take_plugins(&mut self) -> Option<Loaded> {
        self.loaded.take()
    }

    /// Says what was asked for once the guest has ended.
    pub fn report(self, engine: &Engine) {
        if let Some(Err(error)) = self.watch.map(|watch| watch.finish(engine)) {
            fail(&error, 1);
        }
        let mut text = String::new();
        if self.config.count_insns {
            text.push_str(&report::instructions(engine));
        }
        if self.stats {
            text.push_str(&report::vcpus(engine));
            text.push_str(&report::cache(engine));
            text.push_str(&latency::table(engine));
        }
        // There is nobody left to tell if this cannot be written.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

/// Whether the log is where it can be.
fn check(options: &EngineOptions) -> Result<(), &'static str> {
    let has_place = |file: &LogFile| file.path.as_os_str().as_bytes().contains(&b'%');
    match &options.log_file {
        _ if !options.log.tid => Ok(()),
        _ if options.log.are_shared() => Err(
            "-d tid: only what plugins say goes to a file for each thread: leave all but plugin out",
        ),
        Some(file) if has_place(file) => Ok(()),
        _ => Err("-d tid: each thread needs a file: add -D FILE with %d in its name"),
    }
}

fn engine(
    options: &EngineOptions,
    log_fd: Option<RawFd>,
    plugins: Option<Arc<Runtime>>,
    latencies: Option<Arc<Latencies>>,
) -> vcpu::Config {
    let stages = Stages {
        in_asm: options.log.in_asm,
        op: options.log.op,
        op_plugin: options.log.op_plugin,
        op_opt: options.log.op_opt,
        out_asm: options.log.out_asm,
    };
    let dump = (stages != Stages::default()).then(|| Dump {
        stages,
        ranges: options.dump_ranges.clone(),
        fd: log_fd.unwrap_or(libc::STDERR_FILENO),
    });
    vcpu::Config {
        backend: engine_backend(options.backend),
        tb_size: options.tb_size.unwrap_or_default(),
        pin: options.pin,
        count_insns: options.count_insns,
        dump,
        plugins,
        latencies,
    }
}

/// What vCPUs are to record.
fn wanted_latencies(options: &EngineOptions, log_fd: Option<RawFd>) -> Wanted<'_> {
    Wanted {
        log: options.latency_log.as_deref(),
        stalls: options.log.stall || options.check_plugins,
        log_fd,
        record: options.stats || options.latency.is_some(),
        callbacks: options.latency.unwrap_or(match options.latency_log {
            Some(_) => Measured::Sampled,
            None => Measured::None,
        }),
    }
}

/// The back end in the engine's words.
pub fn engine_backend(backend: Backend) -> vcpu::Backend {
    match backend {
        Backend::X86_64 => vcpu::Backend::X86_64,
        Backend::Interp => vcpu::Backend::Interp,
    }
}
