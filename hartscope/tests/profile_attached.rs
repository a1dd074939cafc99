//! Profiles of guests that are running.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::attached::Attached;
use common::control::{Guest, LIMIT};
use common::plugins::BACKENDS;
use common::process::{self, End, Watchdog};
use common::table::rows;
use serde_json::json;

/// By function: all vCPUs, then each.
fn expected() -> BTreeMap<&'static str, Vec<u64>> {
    BTreeMap::from([
        ("_start", vec![15, 15, 0, 0]),
        ("sum", vec![102, 102, 0, 0]),
        ("worker", vec![904, 0, 302, 602]),
        ("tail", vec![14, 0, 7, 7]),
        ("(all)", vec![1035, 117, 309, 609]),
    ])
}

#[test]
fn what_was_counted_by_hand_while_it_was_attached() {
    for options in [
        &["--backend", "x86-64"][..],
        &["--backend", "interp"],
        &["--tb-size", "64K"],
    ] {
        let mut guest = Attached::start(options);
        let mut observer = guest.connect();
        guest.wait(&mut observer, "gate");
        let file = guest.0.file("profile.txt");
        let words = ["-o", file.to_str().expect("it is text")];
        let mut command = process::spawn(&mut guest.0.client("profile", &words));
        observer.event("PROFILE_STARTED");
        guest.work();
        guest.wait(&mut observer, "end");
        // SAFETY: a plain system call; the child has not been reaped.
        unsafe { libc::kill(command.id().cast_signed(), libc::SIGINT) };
        assert_eq!(process::finish(&mut command, LIMIT), End::Exited(0));
        observer.event("PROFILE_STOPPED");
        let table = fs::read_to_string(file).expect("it has been written");
        assert_eq!(rows(&table), expected(), "{options:?}\n{table}");
        guest.end();
    }
}

/// What runs is what was there before, and runs on undisturbed.
#[test]
fn a_guest_is_as_it_was() {
    for backend in BACKENDS {
        let mut guest = Guest::with(&["--backend", backend]);
        let descriptors = |guest: &Guest| {
            let own = format!("/proc/{}/fd", guest.child.id());
            fs::read_dir(own).expect("it runs").count()
        };
        let mut client = guest.connect().ready();
        // All of the program has been translated.
        let mut translations = None;
        loop {
            guest.work();
            let now = client.execute("query-tb-cache", json!({}))["translations"].take();
            if translations.replace(now.clone()) == Some(now) {
                break;
            }
        }
        let before = descriptors(&guest);
        for ending in ["txt", "folded", "svg"] {
            let file = guest.file(&format!("profile.{ending}"));
            let words = ["--seconds", "0.2", "-o", file.to_str().expect("it is text")];
            let mut command = process::spawn(&mut guest.client("profile", &words));
            client.event("PROFILE_STARTED");
            guest.work();
            assert_eq!(process::finish(&mut command, LIMIT), End::Exited(0));
            client.event("PROFILE_STOPPED");
            let text = fs::read_to_string(file).expect("it has been written");
            for name in ["step", "spin"] {
                assert!(text.contains(name), "{text}");
            }
        }
        assert_eq!(client.execute("query-plugins", json!({})), json!([]));
        assert_eq!(descriptors(&guest), before);
        let translations = client.execute("query-tb-cache", json!({}))["translations"].take();
        for _ in 0..5 {
            guest.work();
        }
        let now = client.execute("query-tb-cache", json!({}))["translations"].take();
        assert_eq!(now, translations);
        guest.end();
    }
}

#[test]
fn a_profile_goes_with_its_client() {
    let mut guest = Attached::start(&[]);
    let mut observer = guest.connect();
    guest.wait(&mut observer, "gate");
    let mut client = guest.connect();
    client.execute("profile-start", json!({}));
    assert_eq!(
        client.refusal(r#"{"execute":"profile-start"}"#),
        "GenericError"
    );
    assert_eq!(
        client.refusal(r#"{"execute":"query-profile","arguments":{"from":0}}"#),
        "GenericError"
    );
    assert_eq!(
        observer.refusal(r#"{"execute":"profile-stop"}"#),
        "GenericError"
    );
    // Each has one of its own.
    observer.execute("profile-start", json!({}));
    drop(client);
    observer.event("PROFILE_STOPPED");
    guest.work();
    guest.wait(&mut observer, "end");
    let summary = observer.execute("profile-stop", json!({}));
    assert_eq!(summary, json!({ "program": "attached", "parts": 4 }));
    let profile = observer.execute("query-profile", json!({ "from": 0 }));
    let parts = profile["parts"].as_array().expect("it is a list");
    let sum = |part: &serde_json::Value| part["counts"][0][1].as_u64();
    assert_eq!(parts.iter().filter_map(sum).sum::<u64>(), 1035 - 602 - 7);
    let profile = observer.execute("query-profile", json!({ "from": 4 }));
    assert_eq!(profile, json!({ "parts": [] }));
    guest.end();
}

#[test]
fn the_end_of_a_guest_completes_its_profile() {
    let mut guest = Guest::start();
    let file = guest.file("%d.folded");
    let words = ["-o", file.to_str().expect("it is text")];
    let mut client = guest.connect().ready();
    let mut command = process::spawn(&mut guest.client("profile", &words));
    let watchdog = Watchdog::new(&command, LIMIT);
    client.event("PROFILE_STARTED");
    guest.work();
    // This one has fetched nothing either, and goes.
    client.execute("profile-start", json!({}));
    drop(client);
    drop(guest.input.take());
    assert_eq!(process::finish(&mut guest.child, LIMIT), End::Exited(7));
    drop(watchdog);
    assert_eq!(process::finish(&mut command, LIMIT), End::Exited(0));
    let file = guest.file(&format!("{}.folded", guest.child.id()));
    let text = fs::read_to_string(file).expect("it has been written");
    let steps = text.lines().find_map(|line| line.strip_prefix("step "));
    let steps: u64 = steps.and_then(|count| count.parse().ok()).expect(&text);
    assert!(steps >= 1000 && steps.is_multiple_of(1000), "{text}");
}

#[test]
fn who_cannot_write_or_reach_a_guest_says_so() {
    let guest = Guest::start();
    for (words, why) in [
        (&["-o", "/nowhere/a.txt"][..], "/nowhere/a.txt"),
        (&["-o", "a.png"], ".svg"),
        (&[], "no file"),
    ] {
        let outcome = guest.command("profile", words);
        let said = outcome.stderr_text();
        assert_ne!(outcome.end, End::Exited(0), "{said}");
        assert!(said.contains(why) && said.lines().count() == 1, "{said}");
    }
    let mut lost = guest.client("profile", &["-o", "/dev/null.txt"]);
    lost.env("XDG_RUNTIME_DIR", Path::new("/nowhere"));
    let outcome = process::run(&mut lost, b"", LIMIT);
    let said = outcome.stderr_text();
    assert_eq!(outcome.end, End::Exited(1), "{said}");
    assert!(said.contains("no guest listens at"), "{said}");
    guest.end();
}
