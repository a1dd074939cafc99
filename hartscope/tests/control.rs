//! The control socket of a running guest, as clients find it.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::control::{Client, Guest, LIMIT};
use common::plugins::{address, guest, plugin};
use common::process::{self, End, Outcome};
use common::{repository, scratch};
use serde_json::json;

#[test]
fn a_session_begins_with_the_capabilities() {
    let guest = Guest::start();
    let mode = |path: &Path| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    let socket = guest.socket();
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(mode(socket.parent().expect("it has one")), 0o700);
    let mut client = guest.connect();
    assert_eq!(
        client.refusal(r#"{"execute":"query-status"}"#),
        "CommandNotFound"
    );
    let mut client = client.ready();
    assert_eq!(
        client.refusal(r#"{"execute":"qmp_capabilities"}"#),
        "CommandNotFound"
    );
    let status = client.execute("query-status", json!({}));
    assert_eq!(status, json!({ "status": "running", "running": true }));
    assert_eq!(
        client.refusal(r#"{"execute":"frobnicate"}"#),
        "CommandNotFound"
    );
    for wrong in [
        "hello\n",
        "[]\n",
        "{\"execute\": }",
        "{\"execute\": \"query-status\"]\n",
        r#"{"execute": "query-status", "arguments": {"x": 1}}"#,
        r#"{"execute": "plugin-attach"}"#,
        r#"{"execute": "plugin-attach", "arguments": {"file": "/a", "args": [1]}}"#,
        r#"{"execute": "plugin-attach", "arguments": {"file": "/not/there.so"}}"#,
        r#"{"execute": "plugin-detach", "arguments": {"id": "x"}}"#,
    ] {
        assert_eq!(client.refusal(wrong), "GenericError", "{wrong}");
    }
    let unknown = r#"{"execute": "plugin-reset", "arguments": {"id": 9}}"#;
    assert_eq!(client.refusal(unknown), "DeviceNotFound");
    let commands = client.execute("query-commands", json!({}));
    let commands = commands.as_array().expect("it is a list");
    assert!(commands.contains(&json!({ "name": "plugin-attach" })));
    let page = fs::read_to_string(repository().join("docs/control.md"));
    let page = page.expect("it is there");
    for command in commands {
        let name = command["name"].as_str().expect("it has one");
        assert!(
            page.contains(&format!("`{name}`")),
            "{name} is not described"
        );
    }
    let cpus = client.execute("query-cpus-fast", json!({}));
    assert_eq!(cpus[0]["thread-id"], guest.child.id());
    assert_eq!(cpus[1]["cpu-index"], 1);
    assert!(client.execute("query-tb-cache", json!({}))["blocks"].is_u64());
    // Two in one, the second one in two.
    client.say(r#"{"execute":"query-version","id":1}{"execute":"#);
    assert_eq!(client.answer()["id"], 1);
    client.say("\"query-version\",\n\"id\":2}");
    assert_eq!(client.answer()["id"], 2);
    guest.end();
}

#[test]
fn plugins_come_and_go_and_count_exactly() {
    let mut guest = Guest::start();
    let library = plugin("hits", 4);
    let at = format!("at={:#x}", address(&guest.program, "step"));
    let mut client = guest.connect().ready();
    for round in 1..=5 {
        let arguments = json!({ "file": library, "args": [at] });
        let id = client.execute("plugin-attach", arguments)["id"].take();
        assert_eq!(id, round);
        assert_eq!(client.event("PLUGIN_ATTACHED")["id"], id);
        assert!(guest.has(&library));
        guest.work();
        let plugins = client.execute("query-plugins", json!({}));
        assert_eq!(plugins.as_array().map(Vec::len), Some(1));
        assert_eq!(
            (&plugins[0]["id"], &plugins[0]["state"]),
            (&id, &json!("live"))
        );
        client.execute("plugin-detach", json!({ "id": id }));
        assert_eq!(client.event("PLUGIN_DETACHED")["id"], id);
        assert!(!guest.has(&library));
        guest.work();
    }
    let log = guest.log();
    assert_eq!(log.lines().count(), 5, "{log}");
    for line in log.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[1..3], ["1000", "1000"], "{line}");
        assert_eq!(words[4], words[5], "{line}");
    }
    guest.end();
}

/// While one thread of the guest never rests and the other is blocked in a host call: two plugins
/// count the same, one of them is reset again and again, and the other misses nothing.
#[test]
fn a_plugin_that_is_reset_counts_from_zero_and_the_others_go_on() {
    const RESETS: usize = 5;
    let mut guest = Guest::start();
    let at = format!("at={:#x}", address(&guest.program, "step"));
    // Of the same file, both would be one library.
    let libraries = ["reset.so", "stays.so"].map(|name| guest.file(name));
    let mut client = guest.connect().ready();
    for library in &libraries {
        fs::copy(plugin("hits", 4), library).expect("there is room");
        client.execute("plugin-attach", json!({ "file": library, "args": [at] }));
    }
    for _ in 0..RESETS {
        guest.work();
        assert_eq!(
            client.execute("plugin-reset", json!({ "id": 1 })),
            json!({})
        );
        let reset = client.event("PLUGIN_RESET");
        assert_eq!(reset, json!({ "id": 1, "file": libraries[0] }));
        let plugins = client.execute("query-plugins", json!({}));
        assert_eq!(
            (&plugins[0]["id"], &plugins[1]["id"]),
            (&json!(1), &json!(2))
        );
        assert_eq!(plugins[0]["state"], "live");
    }
    guest.work();
    for id in [1, 2] {
        client.execute("plugin-detach", json!({ "id": id }));
        assert_eq!(client.event("PLUGIN_DETACHED")["id"], id);
    }
    let log = guest.log();
    let hits: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split(" blocks").next())
        .collect();
    let all = 1000 * (RESETS + 1);
    assert_eq!(hits[..=RESETS], ["hits 1000 1000"; RESETS + 1], "{log}");
    assert_eq!(hits[RESETS + 1..], [format!("hits {all} {all}")], "{log}");
    // What has been closed and what is gone.
    fs::remove_file(&libraries[0]).expect("it is there");
    let again = json!({ "file": libraries[1], "args": [at] });
    let id = client.execute("plugin-attach", again)["id"].take();
    fs::remove_file(&libraries[1]).expect("it is there");
    let reset = format!(r#"{{"execute":"plugin-reset","arguments":{{"id":{id}}}}}"#);
    assert_eq!(client.refusal(&reset), "GenericError");
    assert_eq!(client.event("PLUGIN_DETACHED")["id"], id);
    assert_eq!(client.refusal(&reset), "DeviceNotFound");
    guest.end();
}

#[test]
fn attaching_and_detaching_wait_for_nobody() {
    let mut guest = Guest::of(common::plugins::guest("crowd"), &[]);
    let library = plugin("hits", 4);
    // It has begun when it answers.
    guest.work();
    let mut client = guest.connect().ready();
    while client
        .execute("query-cpus-fast", json!({}))
        .as_array()
        .map(Vec::len)
        != Some(64)
    {}
    for _ in 0..3 {
        let attached = client.execute("plugin-attach", json!({ "file": library }));
        let reached = client.event("PLUGIN_REACHED");
        assert_eq!(
            (&reached["id"], &reached["vcpus"]),
            (&attached["id"], &json!(64))
        );
        client.execute("plugin-detach", json!({ "id": attached["id"] }));
        client.event("PLUGIN_DETACHED");
        assert!(!guest.has(&library));
        guest.work();
    }
    guest.end();
}

#[test]
fn latencies_are_recorded_when_somebody_asks() {
    // Every callback is called.
    let mut guest = Guest::with(&["--check-plugins"]);
    let library = plugin("hits", 4);
    let mut client = guest.connect().ready();
    let none = client.execute("query-vcpu-latency", json!({}));
    assert_eq!(
        none["recording"], true,
        "who checks plugins looks for stalls"
    );
    client.execute("query-vcpu-latency", json!({ "record": "all" }));
    let at = format!("at={:#x}", address(&guest.program, "step"));
    let attached = client.execute("plugin-attach", json!({ "file": library, "args": [at] }));
    let reached = client.event("PLUGIN_REACHED");
    assert_eq!(reached["vcpus"], 2);
    // Both have gone over when the one that spins has come further, and further again.
    for _ in 0..2 {
        let before = guest.work();
        while guest.work() == before {}
    }
    client.execute("plugin-detach", json!({ "id": attached["id"] }));
    client.event("PLUGIN_DETACHED");
    // The one that spins is out of the quiescent point that ended the plugin when it comes further.
    let before = guest.work();
    while guest.work() == before {}
    let rows = client.execute("query-vcpu-latency", json!({}))["latencies"].take();
    let count = |kind: &str, vcpu: u64| {
        let rows = rows.as_array().expect("an array");
        let row = rows
            .iter()
            .find(|row| row["kind"] == kind && row["cpu-index"] == vcpu);
        row.map_or(0, |row| row["count"].as_u64().expect("a number"))
    };
    for vcpu in [0, 1] {
        assert_eq!(count("attach", vcpu), 1, "{rows}");
        assert_eq!(count("detach", vcpu), 1, "{rows}");
        assert_eq!(count("flip", vcpu), 2, "{rows}");
        assert!(count("pause", vcpu) >= 2, "{rows}");
    }
    // Either may have translated all.
    for kind in ["instrument", "tb_trans:hits-v4.so"] {
        assert!(count(kind, 0) + count(kind, 1) >= 1, "{kind}: {rows}");
    }
    // What the plugin has counted by callbacks.
    let log = guest.log();
    let words: Vec<&str> = log.split_whitespace().collect();
    let number = |at: usize| words[at].parse::<u64>().expect("a number");
    let called = |vcpu| count("callback:hits-v4.so", vcpu);
    assert_eq!(called(0) + called(1), number(2) + number(5), "{log}");
    let refused = client.refusal(r#"{"execute":"query-vcpu-latency","arguments":{"record":"x"}}"#);
    assert_eq!(refused, "GenericError");
    guest.end();
}

#[test]
fn a_guest_that_records_nothing_can_be_told_to() {
    let mut guest = Guest::start();
    let says = |outcome: Outcome| {
        assert_eq!(outcome.end, End::Exited(0), "{}", outcome.stderr_text());
        outcome.stdout_text()
    };
    assert!(says(guest.command("stats", &[])).contains("latencies: not recorded"));
    says(guest.command("stats", &["--record", "none"]));
    guest.work();
    guest.work();
    let text = says(guest.command("stats", &[]));
    for kind in ["quiescence ", "syscall ", "idle "] {
        let is_there = text.lines().any(|line| line.starts_with(kind));
        assert!(is_there, "no {kind}in:\n{text}");
    }
    guest.end();
}

#[test]
fn a_stopped_guest_holds_nothing_up() {
    let mut guest = Guest::start();
    let library = plugin("hits", 4);
    let at = format!("at={:#x}", address(&guest.program, "step"));
    let (mut client, mut other) = (guest.connect().ready(), guest.connect().ready());
    client.execute("stop", json!({}));
    other.event("STOP");
    assert_eq!(other.execute("query-status", json!({}))["status"], "paused");
    let id = client.execute("plugin-attach", json!({ "file": library, "args": [at] }))["id"].take();
    client.execute("plugin-reset", json!({ "id": id }));
    assert_eq!(other.event("PLUGIN_RESET")["id"], id);
    client.execute("plugin-detach", json!({ "id": id }));
    assert_eq!(client.event("PLUGIN_DETACHED")["id"], id);
    assert!(!guest.has(&library));
    assert_eq!(
        client.execute("query-grace-periods", json!({}))["pending"],
        0
    );
    let monitor = json!({ "command-line": "info status" });
    let text = client.execute("human-monitor-command", monitor);
    assert_eq!(text, "VM status: paused\r\n");
    client.execute("cont", json!({}));
    other.event("RESUME");
    let before = guest.work();
    while guest.work() == before {}
    // Stopped, it can be ended all the same.
    client.execute("stop", json!({}));
    client.execute("quit", json!({}));
    let shutdown = other.event("SHUTDOWN");
    assert_eq!(
        shutdown,
        json!({ "guest": false, "reason": "host-qmp-quit" })
    );
    assert_eq!(process::finish(&mut guest.child, LIMIT), End::Exited(0));
    assert!(!guest.socket().exists());
}

#[test]
fn a_guest_that_is_asked_to_end_gets_a_signal() {
    let mut guest = Guest::start();
    let mut client = guest.connect().ready();
    client.execute("system_powerdown", json!({}));
    client.event("SHUTDOWN");
    let end = process::finish(&mut guest.child, LIMIT);
    assert_eq!(end, End::Signaled(libc::SIGTERM));
}

#[test]
fn the_commands_are_clients() {
    let mut guest = Guest::start();
    let library = plugin("hits", 4);
    let at = address(&guest.program, "step");
    let spec = format!("{},at={at:#x}", library.display());
    let expect = |outcome: Outcome, text: &str| {
        assert_eq!(
            (outcome.end, outcome.stderr_text().as_str()),
            (End::Exited(0), "")
        );
        assert!(
            outcome.stdout_text().contains(text),
            "{}",
            outcome.stdout_text()
        );
    };
    expect(guest.command("attach", &[&spec]), "plugin 1: ");
    expect(guest.command("plugins", &[]), "live");
    guest.work();
    expect(guest.command("reset", &["1"]), "plugin 1");
    guest.work();
    expect(guest.command("stats", &[]), "running, 2 threads");
    expect(guest.command("detach", &["1"]), "plugin 1 is gone");
    assert!(!guest.has(&library));
    expect(guest.command("plugins", &["--json"]), "[]");
    assert_eq!(
        guest.log().matches("hits 1000 1000").count(),
        2,
        "{}",
        guest.log()
    );
    let outcome = guest.command("detach", &["1"]);
    assert_eq!(outcome.end, End::Exited(1));
    assert_eq!(outcome.stderr_text(), "hartscope: there is no plugin 1\n");
    guest.end();
}

/// As `ci/install-tools.sh` has it.
#[test]
fn the_python_package_of_qemu_is_a_client() {
    let mut guest = Guest::start();
    let python = scratch().join("../python/bin/python");
    let mut command = Command::new(&python);
    command
        .arg(repository().join("hartscope/tests/control_qmp.py"))
        .arg(guest.socket())
        .arg(plugin("hits", 4));
    let outcome = process::run(&mut command, b"", LIMIT);
    let stderr = outcome.stderr_text();
    assert_eq!(outcome.stdout_text(), "done\n", "{stderr}");
    let end = process::finish(&mut guest.child, LIMIT);
    assert_eq!(end, End::Exited(0));
}

#[test]
fn without_a_socket_nobody_listens() {
    let guest = Guest::with(&["--no-control"]);
    assert!(!guest.socket().exists());
    let outcome = guest.command("plugins", &[]);
    assert_eq!(outcome.end, End::Exited(1));
    assert!(
        outcome
            .stderr_text()
            .starts_with("hartscope: no guest listens at ")
    );
    guest.end();
}

/// A guest counts its own threads.
#[test]
fn the_threads_of_the_socket_are_nobodys() {
    for options in [&[][..], &["--no-control"], &["--no-control", "-d", "stall"]] {
        let mut guest = Guest::of(guest("tasks"), options);
        assert_eq!(guest.ask(), "3 3 3 3 3", "{options:?}");
        guest.end();
    }
}

#[test]
fn dead_sockets_are_taken_away() {
    let mut killed = Guest::start();
    let socket = killed.socket();
    killed.child.kill().expect("it runs");
    killed.child.wait().expect("it is ours");
    assert!(socket.exists());
    // By who starts.
    let mut next = killed.beside();
    next.work();
    next.connect().ready();
    assert!(!socket.exists());
    // By who asks for it.
    drop(UnixListener::bind(&socket).expect("there is room"));
    let outcome = killed.command("plugins", &[]);
    let said = outcome.stderr_text();
    assert!(said.contains("left the socket behind"), "{said}");
    assert!(!socket.exists());
    next.end();
}

/// Of those that find the same dead socket one listens there, and the others say that they do not.
#[test]
fn one_listens_at_a_name() {
    let directory = tempfile::tempdir().expect("there is room");
    let socket = directory.path().join("socket");
    for _ in 0..5 {
        drop(UnixListener::bind(&socket).expect("there is room"));
        let name = socket.to_str().expect("it is text");
        let start = || Guest::of(guest("steps"), &["--control", name]);
        let mut guests: Vec<Guest> = (0..4).map(|_| start()).collect();
        let mut listening = Vec::new();
        for mut guest in guests.drain(..) {
            match guest.try_ask() {
                Some(_) => listening.push(guest),
                None => {
                    let mut said = String::new();
                    let stderr = guest.child.stderr.as_mut().expect("it is piped");
                    stderr.read_to_string(&mut said).expect("it is text");
                    let end = process::finish(&mut guest.child, LIMIT);
                    assert_eq!(end, End::Exited(1), "{said}");
                    assert!(said.contains(name) && said.lines().count() == 1, "{said}");
                }
            }
        }
        assert_eq!(listening.len(), 1);
        let mut guest = listening.remove(0);
        let mut client = Client::connect(&socket).ready();
        let cpus = client.execute("query-cpus-fast", json!({}));
        assert_eq!(cpus[0]["thread-id"], guest.child.id());
        drop(guest.input.take());
        assert_eq!(process::finish(&mut guest.child, LIMIT), End::Exited(7));
        assert!(!socket.exists());
    }
}

#[test]
fn hostile_clients_do_not_matter() {
    let mut guest = Guest::start();
    let mut good = guest.connect().ready();
    // One that pours without an end.
    let mut pouring = guest.connect();
    let chunk = "x".repeat(1 << 20);
    let _ = pouring.stream.get_mut().write_all(b"{\"execute\": \"");
    let stream = pouring.stream.get_mut();
    let poured = (0..10)
        .take_while(|_| stream.write_all(chunk.as_bytes()).is_ok())
        .count();
    assert!(poured < 10, "it is cut off");
    // One that asks and never listens.
    let deaf = guest.connect().ready();
    let stream = deaf.stream.get_ref();
    stream.set_nonblocking(true).expect("it can");
    let command = r#"{"execute":"query-commands"}"#.repeat(1000);
    let until = Instant::now() + Duration::from_secs(1);
    let mut asked = 0;
    while Instant::now() < until {
        match (&mut &*stream).write(command.as_bytes()) {
            Ok(len) => asked += len,
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    assert!(asked < 4 << 20, "it is not read from for ever: {asked}");
    // Many that say nothing.
    let idle: Vec<UnixStream> = (0..200)
        .map(|_| UnixStream::connect(guest.socket()).expect("it listens"))
        .collect();
    // One that says nothing of any sense, and one that goes in the middle.
    let mut mad = guest.connect();
    mad.say(&"\u{0}}]{\"\n".repeat(1000));
    guest.connect().say("{\"execute\":");
    guest.work();
    assert_eq!(good.execute("query-status", json!({}))["running"], true);
    let mut fresh = guest.connect().ready();
    assert_eq!(fresh.execute("query-status", json!({}))["running"], true);
    let mut byte = [0];
    let greeted = |mut stream: &UnixStream| matches!(stream.read(&mut byte), Ok(1));
    assert!(idle.last().is_some_and(greeted));
    guest.end();
}
