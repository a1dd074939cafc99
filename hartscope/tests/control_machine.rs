//! The control socket of a machine. One hart never rests, the other one waits for its timer.

mod common;

use std::fs;
use std::io::Write;
use std::time::Instant;

use common::control::{Client, Guest, LIMIT};
use common::plugins::{BACKENDS, address, plugin};
use common::process::{self, End};
use common::table::rows;
use serde_json::{Value, json};

/// Steps of both harts for a byte, and those of each.
const STEPS: u64 = 1500;
const EACH: [u64; 2] = [1000, 500];

/// A machine that is ready to work.
fn machine(backend: &str) -> Guest {
    let mut guest = Guest::machine(&["--backend", backend]);
    work(&mut guest);
    guest
}

fn work(guest: &mut Guest) {
    assert_eq!(guest.ask(), "ok");
}

/// Lets the guest end.
fn end(mut guest: Guest) {
    let input = guest.input.as_mut().expect("it has not been ended");
    input.write_all(b"q").expect("it listens");
    guest.end();
}

/// The harts' threads.
fn threads(client: &mut Client) -> Vec<Value> {
    let mut cpus = client.execute("query-cpus-fast", json!({}));
    let cpus = cpus.as_array_mut().expect("it is a list").iter_mut();
    cpus.map(|cpu| cpu["thread-id"].take()).collect()
}

/// Waits until there is another machine than that of `before`.
fn wait_for_reset(client: &mut Client, before: &[Value]) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let now = threads(client);
        if now.len() == before.len() && now.iter().all(|tid| !before.contains(tid)) {
            return;
        }
        assert!(Instant::now() < deadline, "{before:?}: {now:?}");
        std::thread::yield_now();
    }
}

/// Waits until all harts wait (on the host: for a futex).
fn wait_until_still(guest: &Guest, client: &mut Client) {
    let deadline = Instant::now() + LIMIT;
    let waits = |tid: &Value| {
        let file = format!("/proc/{}/task/{tid}/syscall", guest.child.id());
        let text = fs::read_to_string(file).unwrap_or_default();
        text.starts_with(&format!("{} ", libc::SYS_futex))
    };
    loop {
        let threads = threads(client);
        if threads.len() == 2 && threads.iter().all(waits) {
            return;
        }
        assert!(Instant::now() < deadline, "{threads:?}");
        std::thread::yield_now();
    }
}

/// Has every hart pass a quiescent point: all go by the newest plugins.
fn settle(guest: &Guest, client: &mut Client) {
    client.execute("stop", json!({}));
    wait_until_still(guest, client);
    client.execute("cont", json!({}));
}

fn translations(client: &mut Client) -> u64 {
    let cache = client.execute("query-tb-cache", json!({}));
    cache["translations"].as_u64().expect("it is a number")
}

/// What `hits` has said of the instruction, each time.
fn hits(guest: &Guest) -> Vec<String> {
    let log = guest.log();
    let said = log.lines().filter_map(|line| line.split(" blocks").next());
    said.map(str::to_owned).collect()
}

fn attach_hits(guest: &Guest, client: &mut Client, symbol: &str) -> Value {
    let at = format!("at={:#x}", address(&guest.program, symbol));
    let arguments = json!({ "file": plugin("hits", 4), "args": [at] });
    client.execute("plugin-attach", arguments)["id"].take()
}

fn detach(client: &mut Client, id: &Value) {
    client.execute("plugin-detach", json!({ "id": id }));
    assert_eq!(client.event("PLUGIN_DETACHED")["id"], *id);
}

/// A block may begin at any instruction, for a hart may be asked to look anywhere. But it is translated
/// once for the machine without plugins, however often they come and go.
#[test]
fn plugins_come_and_go_and_nothing_is_translated_again() {
    const ROUNDS: usize = 20;
    for backend in BACKENDS {
        let mut guest = machine(backend);
        let mut client = guest.connect().ready();
        let most = (address(&guest.program, "behind") - address(&guest.program, "_start")) / 4;
        let (mut instrumented, mut plain) = (0, 0);
        let mut before = translations(&mut client);
        for _ in 0..ROUNDS {
            let id = attach_hits(&guest, &mut client, "step");
            let reached = client.event("PLUGIN_REACHED");
            assert_eq!((&reached["id"], &reached["vcpus"]), (&id, &json!(2)));
            settle(&guest, &mut client);
            work(&mut guest);
            detach(&mut client, &id);
            assert!(!guest.has(&plugin("hits", 4)));
            let between = translations(&mut client);
            work(&mut guest);
            work(&mut guest);
            let now = translations(&mut client);
            instrumented += between - before;
            plain += now - between;
            before = now;
        }
        let expected = vec![format!("hits {STEPS} {STEPS}"); ROUNDS];
        assert_eq!(hits(&guest), expected, "{backend}");
        assert!(
            plain <= most && instrumented > most,
            "{backend}: {plain}, {instrumented}, {most}"
        );
        end(guest);
    }
}

#[test]
fn a_plugin_that_is_reset_counts_from_zero() {
    for backend in BACKENDS {
        let mut guest = machine(backend);
        let mut client = guest.connect().ready();
        let id = attach_hits(&guest, &mut client, "step");
        for _ in 0..3 {
            settle(&guest, &mut client);
            work(&mut guest);
            client.execute("plugin-reset", json!({ "id": id }));
            assert_eq!(client.event("PLUGIN_RESET")["id"], id);
        }
        settle(&guest, &mut client);
        work(&mut guest);
        detach(&mut client, &id);
        let expected = vec![format!("hits {STEPS} {STEPS}"); 4];
        assert_eq!(hits(&guest), expected, "{backend}");
        end(guest);
    }
}

#[test]
fn a_profile_is_of_the_harts() {
    for backend in BACKENDS {
        let mut guest = machine(backend);
        let mut observer = guest.connect().ready();
        let file = guest.file("profile.txt");
        let words = ["-o", file.to_str().expect("it is text")];
        let mut command = process::spawn(&mut guest.client("profile", &words));
        observer.event("PROFILE_STARTED");
        settle(&guest, &mut observer);
        work(&mut guest);
        work(&mut guest);
        // SAFETY: a plain system call; the child has not been reaped.
        unsafe { libc::kill(command.id().cast_signed(), libc::SIGINT) };
        assert_eq!(process::finish(&mut command, LIMIT), End::Exited(0));
        observer.event("PROFILE_STOPPED");
        let table = fs::read_to_string(file).expect("it has been written");
        let rows = rows(&table);
        let row = |fixed: u64, step: u64| {
            let [first, second] = EACH.map(|steps| 2 * (fixed + step * steps));
            vec![first + second, first, second]
        };
        assert_eq!(rows["step"], row(0, 2), "{backend}\n{table}");
        assert_eq!(rows["steps"], row(2, 3), "{backend}\n{table}");
        end(guest);
    }
}

#[test]
fn a_stopped_machine_stands_still_and_holds_nothing_up() {
    for backend in BACKENDS {
        let mut guest = machine(backend);
        let (mut client, mut other) = (guest.connect().ready(), guest.connect().ready());
        for _ in 0..10 {
            client.execute("stop", json!({}));
            other.event("STOP");
            let status = other.execute("query-status", json!({}));
            assert_eq!(status, json!({ "status": "paused", "running": false }));
            wait_until_still(&guest, &mut client);
            // The one that never rests would execute this.
            let id = attach_hits(&guest, &mut client, "poll");
            detach(&mut client, &id);
            let pending = client.execute("query-grace-periods", json!({}))["pending"].take();
            assert_eq!(pending, 0);
            client.execute("cont", json!({}));
            other.event("RESUME");
            work(&mut guest);
        }
        assert_eq!(hits(&guest), vec!["hits 0 0"; 10], "{backend}");
        // Stopped, it can be ended all the same.
        client.execute("stop", json!({}));
        client.execute("quit", json!({}));
        let shutdown = other.event("SHUTDOWN");
        let expected = json!({ "guest": false, "reason": "host-qmp-quit" });
        assert_eq!(shutdown, expected);
        assert_eq!(process::finish(&mut guest.child, LIMIT), End::Exited(0));
        assert!(!guest.socket().exists());
    }
}

#[test]
fn a_machine_that_is_reset_keeps_its_plugins_and_stays_stopped() {
    for backend in BACKENDS {
        let mut guest = machine(backend);
        let mut client = guest.connect().ready();
        let id = attach_hits(&guest, &mut client, "step");
        settle(&guest, &mut client);
        for is_stopped in [false, true] {
            work(&mut guest);
            let before = threads(&mut client);
            if is_stopped {
                client.execute("stop", json!({}));
            }
            client.execute("system_reset", json!({}));
            assert_eq!(client.event("RESET")["guest"], false);
            wait_for_reset(&mut client, &before);
        }
        let status = client.execute("query-status", json!({}));
        assert_eq!(status["status"], "paused", "{backend}");
        wait_until_still(&guest, &mut client);
        client.execute("cont", json!({}));
        work(&mut guest);
        detach(&mut client, &id);
        let all = 3 * STEPS;
        assert_eq!(hits(&guest), [format!("hits {all} {all}")], "{backend}");
        end(guest);
    }
}

#[test]
fn harts_have_names_and_there_is_no_power_button() {
    let guest = machine("x86-64");
    let mut client = guest.connect().ready();
    let cpus = client.execute("query-cpus-fast", json!({}));
    for hart in 0..2 {
        let path = format!("/machine/soc0/harts[{hart}]");
        assert_eq!(
            (&cpus[hart]["cpu-index"], &cpus[hart]["qom-path"]),
            (&json!(hart), &json!(path))
        );
    }
    let status = client.execute("query-status", json!({}));
    assert_eq!(status, json!({ "status": "running", "running": true }));
    let refused = client.refusal(r#"{"execute":"system_powerdown"}"#);
    assert_eq!(refused, "GenericError");
    end(guest);
}

#[test]
fn the_commands_are_clients_of_machines() {
    let mut guest = machine("x86-64");
    let at = address(&guest.program, "step");
    let spec = format!("{},at={at:#x}", plugin("hits", 4).display());
    for (command, words, text) in [
        ("attach", &[spec.as_str()][..], "plugin 1: "),
        ("plugins", &[], "live"),
        ("stats", &["--record", "all"], "running, 2 threads"),
        ("reset", &["1"], "plugin 1"),
    ] {
        let outcome = guest.command(command, words);
        let (stdout, stderr) = (outcome.stdout_text(), outcome.stderr_text());
        assert_eq!((outcome.end, &*stderr), (End::Exited(0), ""), "{command}");
        assert!(stdout.contains(text), "{command}: {stdout}");
    }
    settle(&guest, &mut guest.connect().ready());
    work(&mut guest);
    let outcome = guest.command("detach", &["1"]);
    assert_eq!(outcome.stdout_text(), "plugin 1 is gone\n");
    let last = hits(&guest).pop();
    assert_eq!(last, Some(format!("hits {STEPS} {STEPS}")));
    end(guest);
}

#[test]
fn a_machine_listens_where_it_is_told_to_or_not_at_all() {
    let directory = tempfile::tempdir().expect("there is room");
    let socket = directory.path().join("socket");
    let place = format!("unix:{},server,nowait", socket.display());
    let mut guest = Guest::machine(&["-qmp", &place]);
    work(&mut guest);
    assert!(!guest.socket().exists());
    let mut client = Client::connect(&socket).ready();
    assert_eq!(threads(&mut client).len(), 2);
    end(guest);
    assert!(!socket.exists());
    let mut guest = Guest::machine(&["--no-control"]);
    work(&mut guest);
    assert!(!guest.socket().exists());
    end(guest);
}
