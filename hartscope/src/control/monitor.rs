//! `human-monitor-command`: a few commands of QEMU's monitor, whose answers are to be read.

use std::fmt::Write;

use serde_json::Value;

use super::Shared;
use super::commands::{self, Outcome};
use super::qmp::Failure;
use super::worker::Order;

const HELP: &str = "\
info status   whether the guest runs
info cpus     the guest's threads or harts
info plugins  the plugins
stop, cont    stop the guest, let it go on
system_reset  start a machine again
quit          end the guest
";

/// Does a line of the monitor.
pub fn run(shared: &Shared, line: &str) -> Result<Outcome, Failure> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let text = match words.as_slice() {
        ["info", "status"] => {
            let status = commands::status(shared);
            let status = status["status"].as_str().unwrap_or_default();
            format!("VM status: {status}\r\n")
        }
        ["info", "cpus"] => cpus(shared),
        ["info", "plugins"] => return Ok(Outcome::Order(Order::Print)),
        ["stop"] => return Ok(silent(commands::stop(shared))),
        ["cont" | "c"] => return Ok(silent(commands::resume(shared))),
        ["quit" | "q"] => return Ok(Outcome::Quit),
        ["system_powerdown"] => return commands::powerdown(shared).map(silent),
        ["system_reset"] => return commands::reset(shared).map(silent),
        ["help" | "?"] => HELP.replace('\n', "\r\n"),
        [] => String::new(),
        [first, ..] => format!("unknown command: '{first}'\r\n"),
    };
    Ok(Outcome::now(Ok(text.into())))
}

/// With an answer of no words.
fn silent(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Now {
            answer: Ok(_),
            event,
        } => Outcome::Now {
            answer: Ok("".into()),
            event,
        },
        other => other,
    }
}

fn cpus(shared: &Shared) -> String {
    let mut text = String::new();
    for cpu in shared.remote.cpus() {
        // Writing to a string cannot fail.
        let _ = write!(text, "  CPU #{}: thread_id={}\r\n", cpu.vcpu, cpu.tid);
    }
    text
}

/// What `query-plugins` gives, to be read.
pub fn plugins(list: &Value) -> String {
    let mut text = String::new();
    for plugin in list.as_array().into_iter().flatten() {
        let file = plugin["file"].as_str().unwrap_or_default();
        let state = plugin["state"].as_str().unwrap_or_default();
        let _ = write!(text, "{}: {file} ({state})\r\n", plugin["id"]);
    }
    text
}
