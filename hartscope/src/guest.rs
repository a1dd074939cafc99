//! From the command line to a running guest.

use std::env;
use std::ffi::{OsStr, OsString};

use linux_user::Remote;
use plugin_rt::Runtime;
use vcpu::Engine;

use crate::cli::{EnvEdit, RunOptions};
use crate::control::{self, Control};
use crate::fail;
use crate::plugins::Loaded;
use crate::profile::{self, Profile};
use crate::session::Session;

/// `hartscope run`: ends the process as the guest ends; returns only if it could not be started.
pub fn run(options: RunOptions) -> i32 {
    let argv0 = options
        .argv0
        .clone()
        .unwrap_or_else(|| options.program.clone());
    let may_have_plugins = options.control.is_any() || options.profile.is_some();
    let mut session = match Session::begin(&options.engine, may_have_plugins, None) {
        Ok(session) => session,
        Err(status) => return status,
    };
    let profile = match profile(&options, session.runtime()) {
        Ok(profile) => profile,
        Err(error) => return fail(&error, 1),
    };
    // Last: whoever gives up from here on takes the socket away again.
    let remote = Remote::default();
    let control = match session.take_plugins() {
        None => Ok(None),
        Some(Loaded { runtime, plugins }) => {
            control::start(&options.control, Box::new(remote.clone()), runtime, plugins)
        }
    };
    let control = match control {
        Ok(control) => control,
        Err(error) => return fail(&error, 1),
    };
    let guest = linux_user::Options {
        engine: session.config().clone(),
        reexec: reexec_words(&options),
        program: options.program.into(),
        args: [argv0].into_iter().chain(options.args).collect(),
        env: environment(&options.env),
        sysroot: options.prefix,
        stack_size: options.stack_size.map(|bytes| bytes as u64),
        strace: options.strace,
        log_unimp: options.engine.log.unimp,
        log_fd: session.log_fd(),
        remote,
    };
    start(guest, control, |engine| {
        session.report(engine);
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

/// How a guest's `execve` starts us again: the rest of the line is the new program's.
fn reexec_words(options: &RunOptions) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["/proc/self/exe".into(), "run".into()];
    words.extend_from_slice(&options.kept_for_exec);
    words
}

/// The guest's environment: ours with the changes that `-E` and `-U` ask for.
pub fn environment(edits: &[EnvEdit]) -> Vec<OsString> {
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
