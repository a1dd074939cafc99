//! The serial port of a machine, at the user's end: the terminal, files, and what one may type to
//! hartscope itself.
//!
//! 1. What the guest writes is written by a thread of its own, in pieces as they come: a hart waits only
//!    if that thread is far behind.
//! 2. A thread reads what the user types and looks for commands. It hands the rest to a third one, which
//!    waits for the guest to read: so commands are heard however deaf the guest is.
//! 3. The terminal is as it was before when the console is closed or dropped.

mod keys;
mod monitor;
mod terminal;
mod writer;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use machine::power::End;
use machine::remote::Remote;
use machine::uart::Output;

use crate::cli::Serial;

use keys::{Key, Keys};
use monitor::{Monitor, Order};
use terminal::Terminal;
use writer::Writer;

/// The user's end of the serial port.
pub struct Console {
    writer: Writer,
    terminal: Option<Terminal>,
}

/// Bytes that the user may be ahead of the guest.
const AHEAD: usize = 64 << 10;

impl Console {
    /// Opens what the user wants the serial port to lead to. What is typed is for the machines that
    /// `machine` reaches.
    pub fn open(serial: &Serial, machine: &Remote) -> Result<Console, String> {
        let cannot = |error: io::Error| format!("cannot open the console: {error}");
        end_with_signals(machine.clone()).map_err(cannot)?;
        let (sink, terminal): (Box<dyn Write + Send>, _) = match serial {
            Serial::Null => (Box::new(io::sink()), None),
            Serial::File(path) => {
                let file = File::create(path);
                let file =
                    file.map_err(|error| format!("cannot write {}: {error}", path.display()));
                (Box::new(file?), None)
            }
            Serial::Terminal | Serial::Stdio => {
                let stdout = standard(libc::STDOUT_FILENO).map_err(cannot)?;
                let signals = *serial == Serial::Stdio;
                (Box::new(stdout), Terminal::raw(signals))
            }
        };
        let writer = Writer::start(sink).map_err(cannot)?;
        if matches!(serial, Serial::Terminal | Serial::Stdio) {
            let keys = Keys::new(*serial == Serial::Terminal);
            let waits = terminal.is_none();
            read_keys(keys, waits, machine.clone(), writer.output()).map_err(cannot)?;
        }
        Ok(Console { writer, terminal })
    }

    /// Where a machine's serial port is to write.
    pub fn output(&self) -> Arc<dyn Output> {
        self.writer.output()
    }

    /// Writes what is still to be written, and restores the terminal.
    pub fn close(self) {
        self.writer.finish();
        drop(self.terminal);
    }
}

/// A standard descriptor, unbuffered and for ourselves.
fn standard(fd: i32) -> io::Result<File> {
    // SAFETY: the standard descriptors are never closed here; if one is not open, cloning says so.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    Ok(File::from(borrowed.try_clone_to_owned()?))
}

/// Signals that end a process end the machine in good order.
fn end_with_signals(machine: Remote) -> io::Result<()> {
    // SAFETY: an empty set is filled, and blocked for this thread and those that it will make.
    let signals = unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            libc::sigaddset(&raw mut signals, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut());
        signals
    };
    let wait = move || {
        loop {
            let mut signal = 0;
            // SAFETY: waits for the blocked signals.
            let failed = unsafe { libc::sigwait(&raw const signals, &raw mut signal) };
            if failed == 0 {
                machine.end(End::Off(128 + signal));
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

/// Starts the threads that read what the user types. `waits`: who types faster than the guest reads is
/// kept waiting; else what is too much is lost.
fn read_keys(keys: Keys, waits: bool, machine: Remote, output: Arc<dyn Output>) -> io::Result<()> {
    let input = match standard(libc::STDIN_FILENO) {
        Ok(input) => input,
        // There is nobody to type.
        Err(_) => return Ok(()),
    };
    let (sender, receiver) = sync_channel(AHEAD);
    let fed = machine.clone();
    thread::Builder::new()
        .name("feeder".into())
        .spawn(move || feed(&receiver, &fed))?;
    let reader = Reader {
        keys,
        monitor: Monitor::default(),
        to_guest: sender,
        waits,
        machine,
        output,
    };
    thread::Builder::new()
        .name("keys".into())
        .spawn(move || reader.read(input))?;
    Ok(())
}

/// Gives bytes to whichever machine runs.
fn feed(bytes: &Receiver<u8>, machine: &Remote) {
    for byte in bytes {
        machine.wait_for_board().uart.feed(&[byte]);
    }
}

struct Reader {
    keys: Keys,
    monitor: Monitor,
    to_guest: SyncSender<u8>,
    waits: bool,
    machine: Remote,
    output: Arc<dyn Output>,
}

impl Reader {
    fn read(mut self, mut input: File) {
        // There is nobody to talk to before.
        self.machine.wait_for_board();
        let mut bytes = [0; 1024];
        loop {
            let count = match input.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            for &byte in &bytes[..count] {
                self.take(byte);
            }
        }
    }

    fn take(&mut self, byte: u8) {
        match self.keys.put(byte) {
            Key::None => {}
            Key::Quit => self.machine.end(End::Off(0)),
            Key::Help => self.output.put(keys::HELP),
            Key::Monitor => self.output.put(self.monitor.toggle().as_bytes()),
            Key::Byte(byte) if self.monitor.is_on() => self.order(byte),
            Key::Byte(byte) if self.waits => {
                // The feeder lives as long as this.
                let _ = self.to_guest.send(byte);
            }
            Key::Byte(byte) => {
                // The guest has not read for thousands of keys: it does not miss this one.
                let _ = self.to_guest.try_send(byte);
            }
        }
    }

    fn order(&mut self, byte: u8) {
        let (text, order) = self.monitor.put(byte, || {
            let status = match self.machine.is_stopped() {
                Some(true) => "paused",
                _ => "running",
            };
            format!("{status}, {} harts", self.machine.harts())
        });
        self.output.put(text.as_bytes());
        match order {
            Some(Order::Quit) => self.machine.end(End::Off(0)),
            Some(Order::Reset) => self.machine.end(End::Reset),
            None => {}
        }
    }
}

/// Whether a descriptor is a terminal.
fn is_terminal(file: &impl AsRawFd) -> bool {
    // SAFETY: a plain query.
    unsafe { libc::isatty(file.as_raw_fd()) == 1 }
}
