//! `hartscope attach`, `detach`, `reset`, `plugins` and `stats`: clients of another process's control
//! socket.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write as _};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plugin_rt::{Measured, SpecError, Specs};
use serde_json::{Value, json};

use super::address;
use crate::cli::{Action, TargetOptions};
use crate::{fail, latency, print};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// A line longer than this is no answer.
const MAX_LINE: u64 = 16 << 20;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Target(String),
    #[error("no guest listens at {}: {error}", path.display())]
    Connect { path: PathBuf, error: io::Error },
    #[error("no guest listens at {}: it is gone, and has left the socket behind", path.display())]
    Dead { path: PathBuf },
    #[error("{} is no control socket: {what}", path.display())]
    NoQmp { path: PathBuf, what: String },
    #[error("the guest has not answered in time")]
    Silent,
    #[error("the guest is gone")]
    Gone,
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("one plugin at a time")]
    ManyPlugins,
    #[error(transparent)]
    Profile(#[from] crate::profile::Error),
    #[error("cannot wait: {0}")]
    Wait(io::Error),
}

/// Does it; returns the exit status.
pub fn run(options: &TargetOptions) -> i32 {
    match act(options) {
        Ok(text) => print(&text),
        Err(Error::Spec(help @ SpecError::Help)) => print(&format!("{help}\n")),
        Err(error) => fail(&error, 1),
    }
}

fn act(options: &TargetOptions) -> Result<String, Error> {
    let path = address::of_target(&options.target).map_err(Error::Target)?;
    let order = match &options.action {
        Action::Attach(spec) => Some(attachment(spec)?),
        _ => None,
    };
    let mut client = Client::connect(&path)?;
    let (value, text) = match (&options.action, order) {
        (Action::Attach(_), order) => {
            let order = order.unwrap_or_default();
            let mut answer = client.execute("plugin-attach", &order)?;
            let file = order["file"].as_str().unwrap_or_default();
            let mut text = format!("plugin {}: {file}\n", answer["id"]);
            let id = answer["id"].as_u64().unwrap_or_default();
            let mut reach = client.wait_for("PLUGIN_REACHED", id)?;
            text += &reached(&reach);
            if let Some(reach) = reach.as_object_mut() {
                reach.remove("id");
            }
            answer["reach"] = reach;
            (answer, text)
        }
        (Action::Detach(id), _) => {
            let answer = client.execute("plugin-detach", &json!({ "id": id }))?;
            client.wait_for("PLUGIN_DETACHED", *id)?;
            (answer, format!("plugin {id} is gone\n"))
        }
        (Action::Reset(id), _) => {
            let answer = client.execute("plugin-reset", &json!({ "id": id }))?;
            (answer, format!("plugin {id} begins anew\n"))
        }
        (Action::Plugins, _) => {
            let answer = client.execute("query-plugins", &json!({}))?;
            let text = plugins(&answer);
            (answer, text)
        }
        (Action::Stats(record), _) => {
            let answer = client.stats(*record)?;
            let text = stats(&answer);
            (answer, text)
        }
    };
    Ok(match options.json {
        true => format!("{value}\n"),
        false => text,
    })
}

/// What `plugin-attach` is to be given. The guest has another directory than this process.
fn attachment(option: &OsStr) -> Result<Value, Error> {
    let mut specs = Specs::default();
    specs.add(option)?;
    let [spec] = specs.specs() else {
        return Err(match specs.specs().is_empty() {
            true => SpecError::EmptyFile.into(),
            false => Error::ManyPlugins,
        });
    };
    let path = Path::new(&spec.path);
    let is_file_here = path.components().count() > 1 || path.exists();
    let path = match is_file_here {
        true => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        // The dynamic linker's to find.
        false => path.to_owned(),
    };
    let utf8 = |text: &OsStr| {
        let not_utf8 = || Error::Target(format!("not UTF-8: {}", text.display()));
        text.to_str().map(str::to_owned).ok_or_else(not_utf8)
    };
    let arguments: Result<Vec<String>, Error> =
        spec.arguments.iter().map(|text| utf8(text)).collect();
    Ok(json!({ "file": utf8(path.as_os_str())?, "args": arguments? }))
}

/// A connection on which commands can be given.
pub(super) struct Client {
    input: BufReader<UnixStream>,
    /// What has happened meanwhile.
    events: VecDeque<Value>,
}

impl Client {
    pub(super) fn connect(path: &Path) -> Result<Client, Error> {
        let stream = UnixStream::connect(path)
            .and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(stream)
            })
            .map_err(|error| {
                let path = path.to_owned();
                match error.kind() {
                    io::ErrorKind::ConnectionRefused => {
                        address::remove_dead(&path);
                        Error::Dead { path }
                    }
                    _ => Error::Connect { path, error },
                }
            })?;
        let mut client = Client {
            input: BufReader::new(stream),
            events: VecDeque::new(),
        };
        let greeting = client.receive()?;
        if greeting.get("QMP").is_none() {
            let what = format!("it says {greeting:.80}");
            let path = path.to_owned();
            return Err(Error::NoQmp { path, what });
        }
        client.execute("qmp_capabilities", &json!({}))?;
        Ok(client)
    }

    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, Error> {
        let message = json!({ "execute": command, "arguments": arguments });
        let text = format!("{message}\n");
        let sent = self.input.get_mut().write_all(text.as_bytes());
        sent.map_err(|_| Error::Gone)?;
        loop {
            let mut message = self.receive()?;
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = message.get("error") {
                let why = error["desc"].as_str().unwrap_or("refused");
                return Err(Error::Refused(why.to_owned()));
            }
            self.events.push_back(message);
        }
    }

    /// The process that listens.
    pub(super) fn guest(&self) -> u32 {
        address::peer(self.input.get_ref()).map_or(0, |peer| peer.pid.cast_unsigned())
    }

    /// The next event, if one has been heard already.
    pub(super) fn next_event(&mut self) -> Result<Option<Value>, Error> {
        while self.input.buffer().contains(&b'\n') {
            let message = self.receive()?;
            self.events.push_back(message);
        }
        Ok(self.events.pop_front())
    }

    /// Takes in an event that is about to come.
    pub(super) fn hear(&mut self) -> Result<(), Error> {
        let message = self.receive()?;
        self.events.push_back(message);
        Ok(())
    }

    /// Waits until something has happened to a plugin; gives what is said about it.
    fn wait_for(&mut self, event: &str, id: u64) -> Result<Value, Error> {
        loop {
            let mut message = match self.events.pop_front() {
                Some(message) => message,
                None => self.receive()?,
            };
            if message["event"] == event && message["data"]["id"] == id {
                return Ok(message["data"].take());
            }
        }
    }

    fn receive(&mut self) -> Result<Value, Error> {
        use io::{ErrorKind, Read};
        let mut line = Vec::new();
        let read = self
            .input
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line);
        match read {
            Ok(0) => Err(Error::Gone),
            Ok(_) => serde_json::from_slice(&line)
                .map_err(|error| Error::Refused(format!("the guest's answer is no JSON: {error}"))),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(Error::Silent)
            }
            Err(_) => Err(Error::Gone),
        }
    }

    fn stats(&mut self, record: Option<Measured>) -> Result<Value, Error> {
        let none = json!({});
        let wish = match record {
            None => json!({}),
            Some(Measured::None) => json!({ "record": "none" }),
            Some(Measured::Sampled) => json!({ "record": "sampled" }),
            Some(Measured::All) => json!({ "record": "all" }),
        };
        Ok(json!({
            "status": self.execute("query-status", &none)?,
            "vcpus": self.execute("query-vcpu-counts", &none)?,
            "threads": self.execute("query-cpus-fast", &none)?,
            "tb-cache": self.execute("query-tb-cache", &none)?,
            "grace-periods": self.execute("query-grace-periods", &none)?,
            "vcpu-latency": self.execute("query-vcpu-latency", &wish)?,
        }))
    }
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.input.get_ref().as_raw_fd()
    }
}

/// How an attachment has reached the vCPUs, in a line; nothing if there are none.
fn reached(reach: &Value) -> String {
    let vcpus = reach["vcpus"].as_u64().unwrap_or_default();
    if vcpus == 0 {
        return String::new();
    }
    let microseconds = |time: &Value| match time.as_u64() {
        Some(nanoseconds) => format!("{:.1} µs", nanoseconds as f64 / 1e3),
        None => "-".to_owned(),
    };
    let (taken, events) = (&reach["taken"], &reach["first-events"]);
    let mut text = format!("taken by {} of {vcpus} vCPUs", taken["vcpus"]);
    if taken["vcpus"] != 0 {
        let _ = write!(text, " within {}", microseconds(&taken["last-ns"]));
    }
    if events["vcpus"] != 0 {
        let _ = write!(
            text,
            ", first events on {} of them after {} to {} (skew {})",
            events["vcpus"],
            microseconds(&events["first-ns"]),
            microseconds(&events["last-ns"]),
            microseconds(&events["skew-ns"]),
        );
    }
    text.push('\n');
    text
}

fn plugins(list: &Value) -> String {
    let mut text = String::from("  id  state      file\n");
    for plugin in list.as_array().into_iter().flatten() {
        let word = |name: &str| plugin[name].as_str().unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{:>4}  {:<9}  {}",
            plugin["id"].to_string(),
            word("state"),
            word("file")
        );
        for arg in plugin["args"].as_array().into_iter().flatten() {
            let _ = write!(text, ",{}", arg.as_str().unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

fn stats(stats: &Value) -> String {
    let status = stats["status"]["status"].as_str().unwrap_or_default();
    let threads = stats["threads"].as_array().map_or(0, Vec::len);
    let mut text = format!("guest: {status}, {threads} threads\n");
    text.push_str("vcpu  blocks translated  returns to the run loop\n");
    for vcpu in stats["vcpus"].as_array().into_iter().flatten() {
        let number = |name: &str| vcpu[name].as_u64().unwrap_or_default();
        let (index, translations) = (number("cpu-index"), number("translations"));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{index:4} {translations:18} {:24}", number("returns"));
    }
    let cache = &stats["tb-cache"];
    let _ = writeln!(
        text,
        "cache: {} blocks alive, {} translated, {} links made, {} invalidated, {} arenas evicted",
        cache["blocks"],
        cache["translations"],
        cache["links"],
        cache["invalidated"],
        cache["evictions"],
    );
    let waiting = &stats["grace-periods"];
    let _ = writeln!(text, "grace periods: {} not over", waiting["pending"]);
    let latencies = &stats["vcpu-latency"];
    match latencies["recording"] == true {
        true => text.push_str(&latency::print_answer(latencies)),
        false => text.push_str(
            "latencies: not recorded; 'hartscope stats --record sampled TARGET' begins with that\n",
        ),
    }
    text
}
