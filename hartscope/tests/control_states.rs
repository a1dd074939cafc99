//! Plugins come and go whatever the guest is doing.

mod common;

use common::attached::Attached;
use common::control::{Client, Guest, LIMIT};
use common::plugins::{BACKENDS, address, guest, plugin};
use common::process::{self, End};
use serde_json::{Value, json};

/// Attaches `hits`, which counts at this function; gives its number.
fn attach(client: &mut Client, guest: &Guest, function: &str) -> Value {
    let at = format!("at={:#x}", address(&guest.program, function));
    let arguments = json!({ "file": plugin("hits", 4), "args": [at] });
    client.execute("plugin-attach", arguments)["id"].take()
}

/// Detaches it, and waits until it is gone.
fn detach(client: &mut Client, guest: &Guest, id: &Value) {
    client.execute("plugin-detach", json!({ "id": id }));
    while client.event("PLUGIN_DETACHED")["id"] != *id {}
    assert!(!guest.has(&plugin("hits", 4)));
}

/// How often the function was executed, by both of its ways to count, in each life of the plugin.
fn hits(guest: &Guest) -> Vec<(u64, u64)> {
    let number = |word: Option<&str>| word.and_then(|word| word.parse().ok());
    let log = guest.log();
    log.lines()
        .map(|line| {
            let mut words = line.strip_prefix("hits ").expect(line).split(' ');
            let hits = number(words.next()).zip(number(words.next()));
            hits.expect(line)
        })
        .collect()
}

#[test]
fn all_threads_wait_in_host_calls() {
    for backend in BACKENDS {
        let mut guest = Attached::start(&["--backend", backend]);
        let mut client = guest.connect();
        guest.wait(&mut client, "gate");
        // Nobody comes by to help.
        let first = attach(&mut client, &guest.0, "worker");
        detach(&mut client, &guest.0, &first);
        let second = attach(&mut client, &guest.0, "worker");
        guest.work();
        guest.wait(&mut client, "end");
        detach(&mut client, &guest.0, &second);
        assert_eq!(hits(&guest.0), [(0, 0), (2, 2)]);
        guest.end();
    }
}

#[test]
fn a_stopped_guest() {
    let mut guest = Guest::start();
    let mut client = guest.connect().ready();
    client.execute("stop", json!({}));
    let first = attach(&mut client, &guest, "step");
    client.execute("cont", json!({}));
    guest.work();
    client.execute("stop", json!({}));
    detach(&mut client, &guest, &first);
    let second = attach(&mut client, &guest, "step");
    detach(&mut client, &guest, &second);
    client.execute("cont", json!({}));
    guest.work();
    assert_eq!(hits(&guest), [(1000, 1000), (0, 0)]);
    guest.end();
}

/// One thread waits, the other never leaves its loop.
#[test]
fn a_thread_in_a_tight_loop() {
    for backend in BACKENDS {
        let mut guest = Guest::with(&["--backend", backend]);
        let mut client = guest.connect().ready();
        for _ in 0..5 {
            let id = attach(&mut client, &guest, "spin");
            detach(&mut client, &guest, &id);
        }
        guest.work();
        // Its first instruction has been executed long before.
        assert_eq!(hits(&guest), [(0, 0); 5]);
        guest.end();
    }
}

/// Children are made all the time; each ends as it would, whether its plugin has been coming or going.
#[test]
fn a_guest_that_forks() {
    let mut forking = Guest::of(guest("forks"), &[]);
    let mut client = forking.connect_soon().ready();
    for _ in 0..5 {
        let input = forking.input.as_mut().expect("it has not been ended");
        std::io::Write::write_all(input, b"x").expect("it reads");
        for _ in 0..4 {
            let id = attach(&mut client, &forking, "step");
            detach(&mut client, &forking, &id);
        }
        assert_eq!(forking.line().as_deref(), Some("20"));
    }
    // Children count for themselves, and at most once.
    assert!(hits(&forking).iter().all(|&(a, b)| a == b && a <= 1));
    forking.end();
}

/// It ends as it would have. Who comes too late is told so.
#[test]
fn a_guest_that_ends() {
    let mut attached = 0;
    for round in 0..20 {
        let mut guest = Guest::start();
        let mut client = guest.client("attach", &[&plugin("hits", 4).display().to_string()]);
        let mut client = process::spawn(&mut client);
        if round % 2 == 0 {
            guest.work();
        }
        drop(guest.input.take());
        assert_eq!(process::finish(&mut guest.child, LIMIT), End::Exited(7));
        match process::finish(&mut client, LIMIT) {
            End::Exited(0) => attached += 1,
            end => {
                assert_eq!(end, End::Exited(1));
                let mut said = String::new();
                let stderr = client.stderr.as_mut().expect("it is piped");
                std::io::Read::read_to_string(stderr, &mut said).expect("it is text");
                let is_clear = [
                    "no guest listens",
                    "the guest is gone",
                    "the guest has ended",
                ];
                assert!(is_clear.iter().any(|words| said.contains(words)), "{said}");
                assert_eq!(said.lines().count(), 1, "{said}");
            }
        }
        assert!(!guest.socket().exists());
    }
    println!("{attached} of 20 were in time");
}
