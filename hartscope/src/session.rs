//! What runs a guest's code, as the command line wants it: the log, plugins, what is measured.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process;
use std::sync::Arc;

use plugin_rt::{Measured, Runtime, SystemInfo};
use vcpu::latency::Latencies;
use vcpu::{Dump, Engine, Stages};

use crate::cli::{Backend, EngineOptions, LogFile};
use crate::latency::{Wanted, Watch};
use crate::plugins::{self, Loaded};
use crate::{fail, latency, report};

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
        let log_fd = options.log_file.as_ref().map(open_log).transpose();
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

/// Opens the log, out of the guest's way.
fn open_log(log: &LogFile) -> Result<RawFd, String> {
    let path = log_path(log)?;
    OpenOptions::new()
        .create(true)
        .write(true)
        .append(log.append)
        .truncate(!log.append)
        .open(&path)
        .and_then(linux_user::own_descriptor)
        .map_err(|error| format!("cannot write the log: {}: {error}", path.display()))
}

/// The log's name, in which `%d` stands for the process id.
fn log_path(log: &LogFile) -> Result<PathBuf, String> {
    let name = log.path.as_os_str().as_bytes();
    let Some(at) = name.iter().position(|&byte| byte == b'%') else {
        return Ok(log.path.clone());
    };
    let behind = name[at..].strip_prefix(b"%d");
    let Some(behind) = behind.filter(|rest| !rest.contains(&b'%')) else {
        let shown = log.path.display();
        return Err(format!(
            "bad name for a log: {shown}: only one %d may be in it"
        ));
    };
    let mut path = OsString::from_vec(name[..at].to_vec());
    path.push(process::id().to_string());
    path.push(OsStr::from_bytes(behind));
    Ok(path.into())
}

/// The back end in the engine's words.
pub fn engine_backend(backend: Backend) -> vcpu::Backend {
    match backend {
        Backend::X86_64 => vcpu::Backend::X86_64,
        Backend::Interp => vcpu::Backend::Interp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_named_as_in_qemu() {
        let named = |path: &str| {
            log_path(&LogFile {
                path: path.into(),
                append: false,
            })
        };
        assert_eq!(named("a.log"), Ok("a.log".into()));
        let own = format!("a{}.log", process::id());
        assert_eq!(named("a%d.log"), Ok(own.into()));
        for wrong in ["%s", "%d%d", "100%", "%%"] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }
}
