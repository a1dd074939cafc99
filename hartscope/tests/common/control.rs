//! A guest that runs, with a control socket, and clients of it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::HARTSCOPE;
use super::plugins::{guest, machine_guest};
use super::process::{self, End, Outcome};

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How a guest begins: the words before its options, and behind them.
type Begin = (&'static [&'static str], &'static [&'static str]);

/// A program.
const RUN: Begin = (&["run"], &[]);

/// A machine without firmware, of two harts.
const BOOT: Begin = (
    &[
        "boot", "--bios", "none", "--serial", "stdio", "-m", "16M", "--smp", "2",
    ],
    &["--kernel"],
);

/// A guest that runs.
pub struct Guest {
    pub child: Child,
    pub input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub program: PathBuf,
    directory: Arc<TempDir>,
}

impl Guest {
    /// `steps`, with a thread that never rests.
    pub fn start() -> Guest {
        Guest::with(&[])
    }

    /// The same with options.
    pub fn with(options: &[&str]) -> Guest {
        let mut guest = Guest::of(guest("steps"), options);
        guest.work();
        guest
    }

    /// A program, which has perhaps not begun.
    pub fn of(program: PathBuf, options: &[&str]) -> Guest {
        let directory = tempfile::tempdir().expect("there is room");
        Guest::in_directory(Arc::new(directory), &RUN, program, options)
    }

    /// A machine of two harts that begin at the start of a program (`harts`).
    pub fn machine(options: &[&str]) -> Guest {
        let directory = tempfile::tempdir().expect("there is room");
        Guest::in_directory(Arc::new(directory), &BOOT, machine_guest("harts"), options)
    }

    /// Another one of the same program, whose socket is next to this one's.
    pub fn beside(&self) -> Guest {
        Guest::in_directory(self.directory.clone(), &RUN, self.program.clone(), &[])
    }

    fn in_directory(
        directory: Arc<TempDir>,
        (command, last): &Begin,
        program: PathBuf,
        options: &[&str],
    ) -> Guest {
        let mut line = Command::new(HARTSCOPE);
        line.env("XDG_RUNTIME_DIR", directory.path())
            .args(*command)
            .args(["-d", "plugin", "-D"])
            .arg(directory.path().join("log"))
            .args(options)
            .args(*last)
            .arg(&program)
            .stdin(Stdio::piped());
        let mut child = process::spawn(&mut line);
        Guest {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
            program,
            directory,
        }
    }

    /// Lets it take its thousand steps; gives how far the other thread has come.
    pub fn work(&mut self) -> u64 {
        self.ask().parse().expect("it writes a number")
    }

    /// Gives it a byte, and takes the line that it writes.
    pub fn ask(&mut self) -> String {
        self.try_ask().expect("it writes a line")
    }

    /// The same, unless it has ended.
    pub fn try_ask(&mut self) -> Option<String> {
        let input = self.input.as_mut().expect("it has not been ended");
        input.write_all(b"x").ok()?;
        self.line()
    }

    /// The next line that it writes, unless it has ended.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let len = self.output.read_line(&mut line).expect("it is text");
        (len != 0).then(|| line.trim().to_owned())
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        let name = format!("hartscope/{}.sock", self.child.id());
        self.directory.path().join(name)
    }

    /// A new client of it.
    pub fn connect(&self) -> Client {
        Client::connect(&self.socket())
    }

    /// The same while it may still be about to listen.
    pub fn connect_soon(&self) -> Client {
        let deadline = Instant::now() + LIMIT;
        while UnixStream::connect(self.socket()).is_err() {
            assert!(Instant::now() < deadline, "nobody listens");
            std::thread::yield_now();
        }
        self.connect()
    }

    /// What its plugins have said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).expect("there is a log")
    }

    /// Whether a library is mapped.
    pub fn has(&self, library: &Path) -> bool {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.child.id()));
        let name = library.file_name().expect("it has one").to_string_lossy();
        maps.expect("it runs").contains(&*name)
    }

    /// `hartscope COMMAND PID WORDS…`
    pub fn command(&self, command: &str, words: &[&str]) -> Outcome {
        process::run(&mut self.client(command, words), b"", LIMIT)
    }

    /// The same, to be started.
    pub fn client(&self, command: &str, words: &[&str]) -> Command {
        let mut line = Command::new(HARTSCOPE);
        line.env("XDG_RUNTIME_DIR", self.directory.path())
            .args([command, &self.child.id().to_string()])
            .args(words);
        line
    }

    /// A file for what somebody writes.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Waits until the host's call of each guest thread, by vCPU, is the one that `calls` say, with this
    /// first argument (its low half: guest addresses may have a base).
    pub fn wait_for_calls(&self, client: &mut Client, calls: &[(i64, u64)]) {
        let deadline = Instant::now() + LIMIT;
        let is_in = |tid: &Value, (number, argument): (i64, u64)| {
            let file = format!("/proc/{}/task/{tid}/syscall", self.child.id());
            let text = fs::read_to_string(file).unwrap_or_default();
            let words: Vec<&str> = text.split(' ').collect();
            let first = words.get(1).and_then(|word| word.strip_prefix("0x"));
            let first = first.and_then(|word| u64::from_str_radix(word, 16).ok());
            words[0] == number.to_string()
                && first.map(|first| first as u32) == Some(argument as u32)
        };
        loop {
            let cpus = client.execute("query-cpus-fast", json!({}));
            let cpus = cpus.as_array().expect("it is a list");
            let mut waiting = cpus.iter().zip(calls);
            if cpus.len() == calls.len()
                && waiting.all(|(cpu, &call)| is_in(&cpu["thread-id"], call))
            {
                return;
            }
            assert!(Instant::now() < deadline, "{calls:?}: {cpus:?}");
            std::thread::yield_now();
        }
    }

    /// Ends it by the end of its input.
    pub fn end(mut self) {
        drop(self.input.take());
        assert_eq!(process::finish(&mut self.child, LIMIT), End::Exited(7));
        assert!(!self.socket().exists());
    }
}

/// A client that says and hears bytes.
pub struct Client {
    pub stream: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Client {
    pub fn connect(socket: &Path) -> Client {
        let stream = UnixStream::connect(socket).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("it can");
        let mut client = Client {
            stream: BufReader::new(stream),
            events: Vec::new(),
        };
        let greeting = client.hear();
        assert!(
            greeting["QMP"]["version"]["qemu"]["major"].is_u64(),
            "{greeting}"
        );
        assert!(greeting["QMP"]["capabilities"].is_array(), "{greeting}");
        client
    }

    /// One that has been through the capabilities.
    pub fn ready(mut self) -> Client {
        assert_eq!(self.execute("qmp_capabilities", json!({})), json!({}));
        self
    }

    pub fn say(&mut self, text: &str) {
        let stream = self.stream.get_mut();
        stream.write_all(text.as_bytes()).expect("it listens");
    }

    pub fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("it answers");
        assert!(line.ends_with("\r\n"), "{line:?}");
        serde_json::from_str(&line).expect("it answers in JSON")
    }

    /// The next answer; events are kept.
    pub fn answer(&mut self) -> Value {
        loop {
            let value = self.hear();
            if value.get("event").is_none() {
                return value;
            }
            self.events.push(value);
        }
    }

    pub fn execute(&mut self, command: &str, arguments: Value) -> Value {
        let message = json!({ "execute": command, "arguments": arguments, "id": command });
        self.say(&message.to_string());
        let mut answer = self.answer();
        assert_eq!(answer["id"], command, "{answer}");
        assert!(answer.get("return").is_some(), "{command}: {answer}");
        answer["return"].take()
    }

    pub fn refusal(&mut self, text: &str) -> Value {
        self.say(text);
        let mut answer = self.answer();
        let desc = answer["error"]["desc"].as_str().unwrap_or_default();
        assert!(!desc.is_empty(), "{text}: {answer}");
        answer["error"]["class"].take()
    }

    pub fn event(&mut self, name: &str) -> Value {
        loop {
            let value = match self.events.is_empty() {
                true => self.hear(),
                false => self.events.remove(0),
            };
            assert!(value["timestamp"]["seconds"].is_u64(), "{value}");
            if value["event"] == name {
                return value["data"].clone();
            }
        }
    }
}
