//! The commands, a row each.

use std::ffi::OsString;

use plugin_rt::Spec;
use serde_json::{Map, Value, json};
use vcpu::Engine;

use super::qmp::{Answer, Command, Event, Failure};
use super::worker::Order;
use super::{Shared, monitor, qmp};
use crate::latency;

/// The command that comes first.
pub const CAPABILITIES: &str = "qmp_capabilities";

/// What comes of a command.
pub enum Outcome {
    /// The answer, and what all clients are to be told behind it.
    Now {
        /// For the client.
        answer: Answer,
        /// For all of them.
        event: Option<Event>,
    },
    /// It takes a while.
    Order(Order),
    /// The guest ends.
    Quit,
}

impl Outcome {
    /// An answer.
    pub fn now(answer: Answer) -> Outcome {
        Outcome::Now {
            answer,
            event: None,
        }
    }

    fn done(event: Option<Event>) -> Outcome {
        Outcome::Now {
            answer: Ok(json!({})),
            event,
        }
    }
}

type Arguments = Map<String, Value>;
type Run = fn(&Shared, &Arguments) -> Result<Outcome, Failure>;

struct Row {
    name: &'static str,
    /// Those that it knows.
    arguments: &'static [&'static str],
    run: Run,
}

const fn row(name: &'static str, arguments: &'static [&'static str], run: Run) -> Row {
    Row {
        name,
        arguments,
        run,
    }
}

const ROWS: &[Row] = &[
    row(CAPABILITIES, &["enable"], |_, _| Ok(Outcome::done(None))),
    row("query-commands", &[], |_, _| answer(names())),
    row("query-version", &[], |_, _| answer(qmp::version())),
    row("query-status", &[], |shared, _| answer(status(shared))),
    row("query-cpus-fast", &[], |shared, _| answer(cpus(shared))),
    row("query-vcpu-counts", &[], |shared, _| answer(counts(shared))),
    row("query-vcpu-latency", &["record"], |shared, arguments| {
        latencies(shared, arguments)
    }),
    row("query-tb-cache", &[], |shared, _| answer(cache(shared))),
    row("query-grace-periods", &[], |shared, _| {
        answer(grace_periods(shared))
    }),
    row("query-plugins", &[], |_, _| Ok(Outcome::Order(Order::List))),
    row("plugin-attach", &["file", "args"], |_, arguments| {
        attach(arguments)
    }),
    row("plugin-detach", &["id"], |_, arguments| {
        Ok(Outcome::Order(Order::Detach(number(arguments, "id")?)))
    }),
    row("plugin-reset", &["id"], |_, arguments| {
        Ok(Outcome::Order(Order::Reset(number(arguments, "id")?)))
    }),
    row("profile-start", &[], |_, _| {
        Ok(Outcome::Order(Order::StartProfile))
    }),
    row("profile-stop", &[], |_, _| {
        Ok(Outcome::Order(Order::StopProfile))
    }),
    row("query-profile", &["from"], |_, arguments| {
        let from = usize::try_from(number(arguments, "from")?).unwrap_or(usize::MAX);
        Ok(Outcome::Order(Order::ReadProfile(from)))
    }),
    row("stop", &[], |shared, _| Ok(stop(shared))),
    row("cont", &[], |shared, _| Ok(resume(shared))),
    row("quit", &[], |_, _| Ok(Outcome::Quit)),
    row("system_powerdown", &[], |shared, _| powerdown(shared)),
    row("system_reset", &[], |shared, _| reset(shared)),
    row(
        "human-monitor-command",
        &["command-line", "cpu-index"],
        |shared, arguments| monitor::run(shared, text(arguments, "command-line")?),
    ),
];

/// Does a command, or says why not.
pub fn run(shared: &Shared, command: &Command) -> Outcome {
    let name = &command.name;
    let Some(row) = ROWS.iter().find(|row| row.name == name) else {
        let why = format!("The command {name} has not been found");
        return Outcome::now(Err(Failure::no_command(why)));
    };
    let mut names = command.arguments.keys();
    if let Some(extra) = names.find(|name| !row.arguments.contains(&name.as_str())) {
        let why = format!("Parameter '{extra}' is unexpected");
        return Outcome::now(Err(Failure::generic(why)));
    }
    (row.run)(shared, &command.arguments).unwrap_or_else(|failure| Outcome::now(Err(failure)))
}

fn answer(value: Value) -> Result<Outcome, Failure> {
    Ok(Outcome::now(Ok(value)))
}

fn names() -> Value {
    ROWS.iter().map(|row| json!({ "name": row.name })).collect()
}

/// As `query-status` has it.
pub(super) fn status(shared: &Shared) -> Value {
    let remote = &shared.remote;
    let status = match remote.is_stopped() {
        Some(false) => "running",
        Some(true) => "paused",
        None if remote.has_begun() => "shutdown",
        None => "prelaunch",
    };
    json!({ "status": status, "running": status == "running" })
}

fn cpus(shared: &Shared) -> Value {
    let cpus = shared.remote.cpus().into_iter();
    let shown = cpus.map(|cpu| {
        json!({
            "cpu-index": cpu.vcpu,
            "thread-id": cpu.tid,
            "qom-path": cpu.path,
            "target": "riscv64",
        })
    });
    shown.collect()
}

fn counts(shared: &Shared) -> Value {
    let stats = |engine: Option<&Engine>| engine.map(Engine::vcpu_stats);
    let stats = shared.remote.engine(stats).unwrap_or_default();
    let shown = stats.iter().enumerate().map(|(vcpu, stats)| {
        json!({
            "cpu-index": vcpu,
            "translations": stats.translations,
            "returns": stats.leaves,
        })
    });
    shown.collect()
}

fn latencies(shared: &Shared, arguments: &Arguments) -> Result<Outcome, Failure> {
    if !arguments.contains_key("record") {
        return answer(shared.remote.engine(latency::query));
    }
    match latency::measured(text(arguments, "record")?) {
        Some(callbacks) => Ok(Outcome::Order(Order::Record(callbacks))),
        None => Err(Failure::generic(
            "'record' must be none, sampled or all: the callbacks to be measured",
        )),
    }
}

fn cache(shared: &Shared) -> Value {
    let stats = |engine: Option<&Engine>| engine.map(Engine::stats);
    let stats = shared.remote.engine(stats).unwrap_or_default();
    json!({
        "translations": stats.translations,
        "translated-instructions": stats.insns,
        "translation-ns": stats.translation_ns,
        "blocks": stats.cache.blocks,
        "inserted": stats.cache.inserted,
        "duplicates": stats.cache.duplicates,
        "overtaken": stats.cache.overtaken,
        "invalidated": stats.cache.invalidated,
        "evictions": stats.cache.evictions,
        "links": stats.cache.links,
        "no-room": stats.cache.no_room,
    })
}

fn grace_periods(shared: &Shared) -> Value {
    let Some(stall) = shared.runtime.domain().oldest() else {
        return json!({ "pending": 0 });
    };
    let holders: Value = stall.holders.iter().map(|holder| holder.index).collect();
    json!({
        "pending": stall.pending,
        "oldest-ns": u64::try_from(stall.age.as_nanos()).unwrap_or(u64::MAX),
        "holders": holders,
    })
}

fn attach(arguments: &Arguments) -> Result<Outcome, Failure> {
    let file = text(arguments, "file")?;
    if file.is_empty() || file.contains('\0') {
        return Err(Failure::generic("'file' is no file's name"));
    }
    let wrong = || Failure::generic("'args' must be an array of strings: NAME=VALUE");
    let args = match arguments.get("args") {
        None => Vec::new(),
        Some(Value::Array(args)) => args
            .iter()
            .map(|arg| Some(OsString::from(arg.as_str()?)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    Ok(Outcome::Order(Order::Attach(Spec {
        path: file.into(),
        arguments: args,
    })))
}

/// Stops the guest.
pub(super) fn stop(shared: &Shared) -> Outcome {
    let stopped = shared.remote.stop();
    Outcome::done(stopped.then(|| Event::plain("STOP")))
}

/// Lets it go on.
pub(super) fn resume(shared: &Shared) -> Outcome {
    let resumed = shared.remote.resume();
    Outcome::done(resumed.then(|| Event::plain("RESUME")))
}

/// Asks the guest to end, as a user would.
pub(super) fn powerdown(shared: &Shared) -> Result<Outcome, Failure> {
    shared.remote.power_down().map_err(Failure::generic)?;
    Ok(Outcome::done(Some(Event::plain("POWERDOWN"))))
}

/// Has the guest begin again.
pub(super) fn reset(shared: &Shared) -> Result<Outcome, Failure> {
    shared.remote.reset().map_err(Failure::generic)?;
    let data = json!({ "guest": false, "reason": "host-qmp-system-reset" });
    Ok(Outcome::done(Some(Event::with("RESET", data))))
}

fn text<'a>(arguments: &'a Arguments, name: &str) -> Result<&'a str, Failure> {
    match arguments.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Failure::generic(format!("'{name}' must be a string"))),
        None => Err(missing(name)),
    }
}

fn number(arguments: &Arguments, name: &str) -> Result<u64, Failure> {
    match arguments.get(name) {
        Some(value) => value
            .as_u64()
            .ok_or_else(|| Failure::generic(format!("'{name}' must be a number"))),
        None => Err(missing(name)),
    }
}

fn missing(name: &str) -> Failure {
    Failure::generic(format!("Parameter '{name}' is missing"))
}
