//! A guest that works in laps (`guests/laps.c`), and its control socket.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Acquire};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::tools::Tools;
use crate::{Error, build};

/// The guest program.
pub const PROGRAM: &str = "laps";

/// Laps that a lane remembers.
const RING: u64 = 1 << 14;

/// How long an answer or an event may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The end of a lap, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Lap {
    /// Of the host's monotonic clock.
    pub wall: u64,
    /// Of processor time of the thread.
    pub cpu: u64,
}

/// What a thread writes.
#[repr(C)]
struct Lane {
    laps: AtomicU64,
    _pad: [u8; 56],
    ring: [Lap; RING as usize],
}

/// The lanes, in memory that the guest shares with us.
struct Lanes {
    lanes: NonNull<Lane>,
    threads: usize,
}

impl Lanes {
    fn map(path: &Path, threads: usize) -> std::io::Result<Lanes> {
        let file = File::create_new(path)?;
        let len = threads * size_of::<Lane>();
        file.set_len(len as u64)?;
        let file = File::open(path)?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let mapping = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(mapping) {
            Some(lanes) if mapping != libc::MAP_FAILED => Ok(Lanes {
                lanes: lanes.cast(),
                threads,
            }),
            _ => Err(std::io::Error::last_os_error()),
        }
    }

    /// How many laps a thread has made.
    fn laps(&self, thread: usize) -> u64 {
        debug_assert!(thread < self.threads);
        // SAFETY: within the mapping, which lives as long as `self`; nobody writes to it but the
        // guest, and that by whole words.
        // Acquire: pairs with the guest's Release; the laps up to that number are complete.
        unsafe { (*self.lanes.add(thread).as_ptr()).laps.load(Acquire) }
    }

    /// One of the last laps of a thread.
    fn lap(&self, thread: usize, number: u64) -> Lap {
        let at = (number % RING) as usize;
        // SAFETY: as in `laps`.
        unsafe { (&raw const (*self.lanes.add(thread).as_ptr()).ring[at]).read_volatile() }
    }

    /// The last lap of a thread.
    fn last(&self, thread: usize) -> Lap {
        match self.laps(thread) {
            0 => Lap::default(),
            laps => self.lap(thread, laps - 1),
        }
    }

    /// The laps of a thread that ended between two moments of the monotonic clock, as far as it
    /// remembers them.
    fn between(&self, thread: usize, from: u64, to: u64) -> Vec<Lap> {
        let laps = self.laps(thread);
        // The oldest is about to be overwritten.
        let known = laps.saturating_sub(RING - 1)..laps;
        let read = known.map(|lap| self.lap(thread, lap));
        read.filter(|lap| (from..=to).contains(&lap.wall)).collect()
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // SAFETY: mapped in `map`, and not looked at any more.
        unsafe { libc::munmap(self.lanes.as_ptr().cast(), self.threads * size_of::<Lane>()) };
    }
}

/// A guest that runs. It is killed when it is dropped.
pub struct Guest {
    child: Child,
    lanes: Lanes,
    client: BufReader<UnixStream>,
    events: VecDeque<Value>,
    directory: PathBuf,
}

impl Guest {
    /// Starts it under hartscope.
    pub fn start(
        tools: &Tools,
        options: &[&str],
        threads: usize,
        mode: Option<&str>,
    ) -> Result<Guest, Error> {
        let directory = tools
            .target
            .join(format!("bench-attach-{}", std::process::id()));
        let failed = |what: &str, error: std::io::Error| Error::Run(format!("{what}: {error}"));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).map_err(|error| failed("scratch", error))?;
        let (file, socket) = (directory.join("laps"), directory.join("control"));
        let lanes = Lanes::map(&file, threads).map_err(|error| failed("shared memory", error))?;
        let mut command = Command::new(&tools.hartscope);
        command
            .args(["run", "--control"])
            .arg(&socket)
            .args(options);
        command
            .arg(build::riscv64(tools, PROGRAM))
            .arg(&file)
            .arg(threads.to_string());
        let child = command
            .args(mode)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| failed("hartscope", error))?;
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(_) if Instant::now() < deadline => std::thread::yield_now(),
                Err(error) => return Err(failed("the control socket", error)),
            }
        };
        stream
            .set_read_timeout(Some(PATIENCE))
            .map_err(|error| failed("the control socket", error))?;
        let mut guest = Guest {
            child,
            lanes,
            client: BufReader::new(stream),
            events: VecDeque::new(),
            directory,
        };
        guest.receive()?;
        guest.execute("qmp_capabilities", json!({}))?;
        Ok(guest)
    }

    /// Laps of a thread that ended between two moments of the monotonic clock.
    pub fn laps(&self, thread: usize, from: u64, to: u64) -> Vec<Lap> {
        self.lanes.between(thread, from, to)
    }

    /// Processor time of the threads so far, on average, as of their last laps.
    pub fn cpu_time(&self) -> Duration {
        let threads = self.lanes.threads;
        let sum: u64 = (0..threads).map(|thread| self.lanes.last(thread).cpu).sum();
        Duration::from_nanos(sum / threads as u64)
    }

    /// Gives a command, waits for its answer.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, Error> {
        let message = json!({ "execute": command, "arguments": arguments });
        let sent = self
            .client
            .get_mut()
            .write_all(message.to_string().as_bytes());
        sent.map_err(|error| Error::Run(format!("{command}: {error}")))?;
        loop {
            let mut message = self.receive()?;
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = message.get("error") {
                return Err(Error::Run(format!("{command}: {error}")));
            }
            self.events.push_back(message);
        }
    }

    /// Waits for an event; gives what it says.
    pub fn event(&mut self, name: &str) -> Result<Value, Error> {
        loop {
            let mut message = match self.events.pop_front() {
                Some(message) => message,
                None => self.receive()?,
            };
            if message["event"] == name {
                return Ok(message["data"].take());
            }
        }
    }

    /// Attaches a plugin; gives its number.
    pub fn attach(&mut self, library: &Path) -> Result<Value, Error> {
        let arguments = json!({ "file": library.to_string_lossy() });
        Ok(self.execute("plugin-attach", arguments)?["id"].take())
    }

    /// Detaches it. From now on, no vCPU that looks calls it any more.
    pub fn detach(&mut self, id: &Value) -> Result<(), Error> {
        self.execute("plugin-detach", json!({ "id": id })).map(drop)
    }

    /// Blocks translated so far.
    pub fn translations(&mut self) -> Result<u64, Error> {
        let cache = self.execute("query-tb-cache", json!({}))?;
        Ok(cache["translations"].as_u64().unwrap_or_default())
    }

    /// Ends it in good order.
    pub fn quit(mut self) -> Result<(), Error> {
        self.execute("quit", json!({}))?;
        let status = self.child.wait();
        match status {
            Ok(status) if status.success() => Ok(()),
            other => Err(Error::Run(format!(
                "the guest has not ended well: {other:?}"
            ))),
        }
    }

    fn receive(&mut self) -> Result<Value, Error> {
        let mut line = String::new();
        let read = self.client.read_line(&mut line);
        match read {
            Ok(0) => Err(Error::Run("the guest is gone".to_owned())),
            Ok(_) => serde_json::from_str(&line)
                .map_err(|error| Error::Run(format!("not an answer: {error}: {line}"))),
            Err(error) => Err(Error::Run(format!("no answer: {error}"))),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
