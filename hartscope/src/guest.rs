//! From the command line to a running guest.

use std::env;
use std::ffi::{OsStr, OsString};

use crate::cli::{Backend, EnvEdit, RunOptions};
use crate::fail;

/// `hartscope run`: ends the process as the guest ends; returns only if it could not be started.
pub fn run(options: RunOptions) -> i32 {
    let argv0 = options
        .argv0
        .clone()
        .unwrap_or_else(|| options.program.clone());
    let config = vcpu::Config {
        backend: engine_backend(options.backend),
        tb_size: options.tb_size.unwrap_or_default(),
        pin: options.pin,
        count_insns: options.count_insns,
    };
    start(linux_user::Options {
        reexec: reexec_words(&options),
        program: options.program.into(),
        args: [argv0].into_iter().chain(options.args).collect(),
        env: environment(&options.env),
        sysroot: options.prefix,
        engine: config,
        stack_size: options.stack_size.map(|bytes| bytes as u64),
        strace: options.strace,
        log_unimp: options.log.unimp,
    })
}

/// Runs a guest to its end and ends like it.
pub fn start(options: linux_user::Options) -> i32 {
    match linux_user::run(options) {
        Ok(status) => status.terminate(),
        Err(error) => fail(&error, i32::from(error.shell_status())),
    }
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
