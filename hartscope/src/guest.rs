//! From the command line to a running guest.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::{env, io, process};

use linux_user::Remote;
use plugin_rt::{Measured, Runtime};
use vcpu::latency::Latencies;
use vcpu::{Dump, Engine, Stages};

use crate::cli::{Backend, EnvEdit, LogFile, RunOptions};
use crate::control::{self, Control};
use crate::latency::{Wanted, Watch};
use crate::plugins::{self, Loaded};
use crate::profile::{self, Profile};
use crate::{fail, latency, report};

/// `hartscope run`: ends the process as the guest ends; returns only if it could not be started.
pub fn run(options: RunOptions) -> i32 {
    let argv0 = options
        .argv0
        .clone()
        .unwrap_or_else(|| options.program.clone());
    let log_fd = match options.log_file.as_ref().map(open_log).transpose() {
        Ok(log_fd) => log_fd,
        Err(error) => return fail(&error, 1),
    };
    let plugins = match plugins::load(&options, log_fd) {
        Ok(plugins) => plugins,
        Err(status) => return status,
    };
    let (runtime, plugins) = match plugins {
        None => (None, Vec::new()),
        Some(Loaded { runtime, plugins }) => (Some(runtime), plugins),
    };
    let profile = match profile(&options, runtime.as_deref()) {
        Ok(profile) => profile,
        Err(error) => return fail(&error, 1),
    };
    let watch = match Watch::start(&wanted_latencies(&options, log_fd), runtime.as_ref()) {
        Ok(watch) => watch,
        Err(error) => return fail(&error, 1),
    };
    // Last: whoever gives up from here on takes the socket away again.
    let remote = Remote::default();
    let control = match &runtime {
        None => Ok(None),
        Some(runtime) => {
            let runtime = Arc::clone(runtime);
            control::start(&options.control, remote.clone(), runtime, plugins)
        }
    };
    let control = match control {
        Ok(control) => control,
        Err(error) => return fail(&error, 1),
    };
    let latencies = watch.as_ref().map(Watch::latencies);
    let guest = linux_user::Options {
        engine: engine(&options, log_fd, runtime, latencies),
        reexec: reexec_words(&options),
        program: options.program.into(),
        args: [argv0].into_iter().chain(options.args).collect(),
        env: environment(&options.env),
        sysroot: options.prefix,
        stack_size: options.stack_size.map(|bytes| bytes as u64),
        strace: options.strace,
        log_unimp: options.log.unimp,
        log_fd,
        remote,
    };
    let (count_insns, stats) = (options.count_insns, options.stats);
    start(guest, control, |engine| {
        if let Some(Err(error)) = watch.map(|watch| watch.finish(engine)) {
            fail(&error, 1);
        }
        let mut text = String::new();
        if count_insns {
            text.push_str(&report::instructions(engine));
        }
        if stats {
            text.push_str(&report::vcpus(engine));
            text.push_str(&report::cache(engine));
            text.push_str(&latency::table(engine));
        }
        // There is nobody left to tell if this cannot be written.
        let _ = io::stderr().write_all(text.as_bytes());
        if let Some(Err(error)) = profile.as_ref().map(Profile::finish) {
            fail(&error, 0);
        }
    })
}

/// Begins with the profile, if one is wanted. (Then there is a plugin runtime.)
fn profile(
    options: &RunOptions,
    plugins: Option<&Runtime>,
) -> Result<Option<Profile>, profile::Error> {
    let wanted = options.profile.as_ref().zip(plugins);
    let profile = wanted.map(|(output, runtime)| Profile::start(output, &options.program, runtime));
    profile.transpose()
}

/// Runs a guest to its end, reports, and ends like it.
pub fn start(
    options: linux_user::Options,
    control: Option<Control>,
    report: impl FnOnce(&Engine),
) -> i32 {
    let ended = linux_user::run(options);
    if let Some(control) = control {
        control.end();
    }
    match ended {
        Ok(ended) => {
            report(&ended.engine);
            ended.status.terminate()
        }
        Err(error) => fail(&error, i32::from(error.shell_status())),
    }
}

fn engine(
    options: &RunOptions,
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
fn wanted_latencies(options: &RunOptions, log_fd: Option<RawFd>) -> Wanted<'_> {
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

/// How a guest's `execve` starts us again: the rest of the line is the new program's.
fn reexec_words(options: &RunOptions) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["/proc/self/exe".into(), "run".into()];
    words.extend_from_slice(&options.kept_for_exec);
    words
}

/// The back end in the engine's words.
pub fn engine_backend(backend: Backend) -> vcpu::Backend {
    match backend {
        Backend::X86_64 => vcpu::Backend::X86_64,
        Backend::Interp => vcpu::Backend::Interp,
    }
}

/// The guest's environment: ours with the changes that `-E` and `-U` ask for.
fn environment(edits: &[EnvEdit]) -> Vec<OsString> {
    let mut variables: Vec<(OsString, OsString)> = env::vars_os().collect();
    for edit in edits {
        let (EnvEdit::Set(name, _) | EnvEdit::Unset(name)) = edit;
        variables.retain(|(other, _)| other != name);
        if let EnvEdit::Set(name, value) = edit {
            variables.push((name.clone(), value.clone()));
        }
    }
    variables
        .iter()
        .map(|(name, value)| assignment(name, value))
        .collect()
}

fn assignment(name: &OsStr, value: &OsStr) -> OsString {
    let mut text = name.to_os_string();
    text.push("=");
    text.push(value);
    text
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
