//! `hartscope boot`.

use machine::board::{Board, Options};
use machine::power::End;
use plugin_rt::SystemInfo;

use crate::cli::BootOptions;
use crate::console::Console;
use crate::fail;
use crate::session::Session;

/// Runs a machine to its end; returns the exit status.
pub fn run(options: BootOptions) -> i32 {
    // There are never more harts than at first.
    let harts = i32::try_from(options.harts).unwrap_or(i32::MAX);
    let system = SystemInfo {
        smp_vcpus: harts,
        max_vcpus: harts,
    };
    let session = match Session::begin(&options.engine, false, Some(system)) {
        Ok(session) => session,
        Err(status) => return status,
    };
    let console = match Console::open(&options.serial) {
        Ok(console) => console,
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
        let ended = start(&machine, &console, session.config());
        let restarts = matches!(&ended, Ok(ended) if ended.end == End::Reset);
        if !restarts || options.no_reboot {
            break ended;
        }
    };
    console.close();
    match ended {
        Ok(ended) => {
            session.report(&ended.engine);
            match ended.end {
                End::Off(status) => status,
                End::Reset => 0,
            }
        }
        Err(error) => fail(&error, 1),
    }
}

/// Switches a machine on, and waits until it is off.
fn start(
    options: &Options,
    console: &Console,
    config: &vcpu::Config,
) -> Result<machine::run::Ended, String> {
    let board = Board::new(options, console.output()).map_err(|error| error.to_string())?;
    console.connect(&board);
    let ended = machine::run::run(&board, config).map_err(|error| error.to_string());
    console.disconnect();
    ended
}
