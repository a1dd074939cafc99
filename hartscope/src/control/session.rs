//! One client's connection: bytes in, bytes out, both bounded.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::framing::{Frame, Framer};

/// Bytes taken from a client at a time.
const CHUNK: usize = 16 << 10;
/// With more answers than this outstanding, nothing is read from a client.
const ENOUGH: usize = 64 << 10;
/// A client with more answers and events than this outstanding is cut off.
const MAX_OUTSTANDING: usize = 1 << 20;

/// See the module.
pub struct Session {
    /// Never given twice.
    pub number: u64,
    /// The client has said `qmp_capabilities`.
    pub is_ready: bool,
    /// A command of the client is being done elsewhere; the next ones wait.
    pub is_busy: bool,
    /// The client has something to fetch, also when the guest has ended.
    pub lingers: bool,
    /// The client has had something to fetch.
    pub has_lingered: bool,
    stream: UnixStream,
    framer: Framer,
    /// What has come in and has not been looked at.
    input: Vec<u8>,
    output: Vec<u8>,
    /// Nothing more comes in, or is to.
    is_closing: bool,
    is_dead: bool,
}

impl Session {
    pub fn new(number: u64, stream: UnixStream) -> Session {
        Session {
            number,
            is_ready: false,
            is_busy: false,
            lingers: false,
            has_lingered: false,
            stream,
            framer: Framer::default(),
            input: Vec::new(),
            output: Vec::new(),
            is_closing: false,
            is_dead: false,
        }
    }

    pub fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// What to wait for; nothing at all while the client has to wait itself.
    pub fn events(&self) -> Option<i16> {
        let mut events = 0;
        if self.wants_input() {
            events |= libc::POLLIN;
        }
        if !self.output.is_empty() {
            events |= libc::POLLOUT;
        }
        (events != 0).then_some(events)
    }

    fn wants_input(&self) -> bool {
        !self.is_closing && self.takes_commands() && self.input.is_empty()
    }

    fn takes_commands(&self) -> bool {
        !self.is_busy && self.output.len() < ENOUGH
    }

    /// Whether there is something that the client has not taken yet.
    pub fn has_outstanding(&self) -> bool {
        self.lingers || self.is_busy || !self.output.is_empty()
    }

    /// Whether the connection has come to its end.
    pub fn is_over(&self) -> bool {
        let nothing_left = !self.is_busy && self.input.is_empty() && self.output.is_empty();
        self.is_dead || self.is_closing && nothing_left
    }

    /// Reads what there is, up to a limit.
    pub fn receive(&mut self) {
        if !self.wants_input() {
            return;
        }
        let mut chunk = [0; CHUNK];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.is_closing = true,
            Ok(len) => self.input.extend_from_slice(&chunk[..len]),
            Err(error) => self.note(&error),
        }
    }

    /// The next command, if the client may have another one done now.
    pub fn next(&mut self) -> Option<Frame> {
        if !self.takes_commands() || self.is_dead {
            return None;
        }
        let mut rest = self.input.as_slice();
        let frame = self.framer.next(&mut rest);
        let taken = self.input.len() - rest.len();
        self.input.drain(..taken);
        frame
    }

    /// Whether there are commands to be looked at although nothing has come in.
    pub fn has_commands(&self) -> bool {
        !self.input.is_empty() && self.takes_commands() && !self.is_dead
    }

    /// Takes no more commands; what is to be said is said.
    pub fn close(&mut self) {
        self.is_closing = true;
        self.input.clear();
    }

    /// Says something, as soon as the client listens.
    pub fn say(&mut self, value: &Value) {
        let text = format!("{value}\r\n");
        if self.output.len() + text.len() > MAX_OUTSTANDING {
            self.is_dead = true;
            return;
        }
        self.output.extend_from_slice(text.as_bytes());
    }

    /// Sends what the client takes.
    pub fn send(&mut self) {
        if self.output.is_empty() || self.is_dead {
            return;
        }
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: the bytes are alive for the call.
        let sent = unsafe {
            let (data, len) = (self.output.as_ptr().cast(), self.output.len());
            libc::send(self.fd(), data, len, flags)
        };
        match usize::try_from(sent) {
            Ok(sent) => drop(self.output.drain(..sent)),
            Err(_) => self.note(&io::Error::last_os_error()),
        }
    }

    fn note(&mut self, error: &io::Error) {
        use io::ErrorKind::{Interrupted, WouldBlock};
        self.is_dead |= !matches!(error.kind(), Interrupted | WouldBlock);
    }
}
