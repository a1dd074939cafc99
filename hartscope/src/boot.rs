//! `hartscope boot`.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use machine::board::{Board, Options};
use machine::plugins::Observed;
use machine::power::End;
use machine::remote::Remote;
use machine::symbols::{self, Symbols};
use plugin_rt::{Runtime, SystemInfo};

use crate::cli::BootOptions;
use crate::console::Console;
use crate::control::{self, Control};
use crate::fail;
use crate::plugins::Loaded;
use crate::profile::{self, Profile};
use crate::session::Session;

/// Runs a machine to its end; returns the exit status.
pub fn run(options: BootOptions) -> i32 {
    // There are never more harts than at first.
    let harts = i32::try_from(options.harts).unwrap_or(i32::MAX);
    let system = SystemInfo {
        smp_vcpus: harts,
        max_vcpus: harts,
    };
    let may_have_plugins = options.control.is_any() || options.profile.is_some();
    let mut session = match Session::begin(&options.engine, may_have_plugins, Some(system)) {
        Ok(session) => session,
        Err(status) => return status,
    };
    if let Some(runtime) = session.runtime() {
        match observed(&options) {
            Ok(observed) => runtime.set_guest(Arc::new(observed)),
            Err(error) => return fail(&error, 1),
        }
    }
    let profile = match profile(&options, session.runtime()) {
        Ok(profile) => profile,
        Err(error) => return fail(&error, 1),
    };
    let remote = Remote::default();
    let console = match Console::open(&options.serial, &remote) {
        Ok(console) => console,
        Err(error) => return fail(&error, 1),
    };
    // Last: whoever gives up from here on takes the socket away again.
    let control = match control(&options.control, &remote, session.take_plugins()) {
        Ok(control) => control,
        Err(error) => return fail(&error, 1),
    };
    let machine = Options {
        harts: options.harts,
        memory: options.memory,
        firmware: options.firmware,
        kernel: options.kernel,
        initrd: options.initrd,
        command_line: options.append,
        devices: options.devices,
    };
    let ended = loop {
        let ended = start(&machine, &console, session.config(), &remote);
        let restarts = matches!(&ended, Ok(ended) if ended.end == End::Reset);
        if !restarts || options.no_reboot {
            break ended;
        }
    };
    console.close();
    if let Some(control) = control {
        control.end();
    }
    if let Some(runtime) = session.runtime() {
        runtime.at_exit();
    }
    match ended {
        Ok(ended) => {
            session.report(&ended.engine);
            if let Some(Err(error)) = profile.as_ref().map(Profile::finish) {
                fail(&error, 0);
            }
            match ended.end {
                End::Off(status) => status,
                End::Reset => 0,
            }
        }
        Err(error) => fail(&error, 1),
    }
}

/// The machine as plugins ask about it.
fn observed(options: &BootOptions) -> Result<Observed, symbols::Error> {
    let symbols = match (&options.symbols, &options.kernel) {
        (Some(file), _) => Symbols::read(file)?,
        // An Image has none.
        (None, Some(kernel)) => Symbols::read(kernel).unwrap_or_default(),
        (None, None) => Symbols::default(),
    };
    let path = options.kernel.as_ref().map(|kernel| kernel.as_os_str());
    let kernel = path.and_then(|path| CString::new(path.as_bytes()).ok());
    Ok(Observed::new(kernel, symbols))
}

/// Begins with the profile, if one is wanted. (Then there is a plugin runtime.)
fn profile(
    options: &BootOptions,
    plugins: Option<&Runtime>,
) -> Result<Option<Profile>, profile::Error> {
    let wanted = options.profile.as_ref().zip(plugins);
    let title = options.kernel.as_deref().unwrap_or(Path::new("machine"));
    let profile =
        wanted.map(|(output, runtime)| Profile::start(output, title.as_os_str(), runtime));
    profile.transpose()
}

/// Listens for clients, if they are wanted. (Then there is a plugin runtime.)
fn control(
    wish: &control::Wish,
    machine: &Remote,
    loaded: Option<Loaded>,
) -> Result<Option<Control>, String> {
    let Some(Loaded { runtime, plugins }) = loaded else {
        return Ok(None);
    };
    let remote = control::Machine::new(machine.clone())
        .map_err(|error| format!("no control socket: the host refuses a signal: {error}"))?;
    control::start(wish, Box::new(remote), runtime, plugins)
}

/// Switches a machine on, and waits until it is off.
fn start(
    options: &Options,
    console: &Console,
    config: &vcpu::Config,
    remote: &Remote,
) -> Result<machine::run::Ended, String> {
    let board = Board::new(options, console.output()).map_err(|error| error.to_string())?;
    machine::run::run(&board, config, remote).map_err(|error| error.to_string())
}
