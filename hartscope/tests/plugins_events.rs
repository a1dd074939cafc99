//! What plugins are told, in which order, and what they can do about it.

mod common;

use std::fmt::Write;

use common::plugins::{BACKENDS, Run, VERSIONS, address, bare_guest, guest, plugin};
use common::process::End;

#[test]
fn a_programs_life_is_told_in_order() {
    let program = bare_guest("events");
    let at = |name: &str| address(&program, name);
    for backend in BACKENDS {
        for version in VERSIONS {
            let run = Run::new(&program).backend(backend);
            let log = run
                .plugin(&plugin("events", version), "each=57")
                .expect(5)
                .log;
            let mut expected = String::new();
            let mut line = |text: String| writeln!(expected, "{text}").expect("it is a string");
            let call = |pc: u64, text: &str, ret: Option<&str>, line: &mut dyn FnMut(String)| {
                let next = pc + 4;
                if version >= 5 {
                    line(format!(
                        "0 discontinuity 4 from {pc:x} to {next:x} at {next:x}"
                    ));
                }
                if !text.is_empty() {
                    line(format!("0 call {text} at {next:x}"));
                }
                if text.starts_with("57 ") {
                    line("0 is there".into());
                }
                if let Some(ret) = ret {
                    line(format!("0 return {ret} at {next:x}"));
                }
            };
            let (text, action) = (address(&program, "text"), address(&program, "action"));
            line(format!("0 init at {:x}, 1 so far", at("_start")));
            let write = at("write_call");
            let first = format!("64 (1, {text:x}, 3, 4, 5, 6, 0, 0)");
            call(write, &first, Some("64 = 3"), &mut line);
            let second = format!("57 (ffffffffffffffff, {text:x}, 3, 4, 5, 6, 0, 0)");
            call(write + 12, &second, Some("57 = -9"), &mut line);
            let third = format!("1000 (fffffffffffffff7, {text:x}, 3, 4, 5, 6, 0, 0)");
            call(at("none_call"), &third, Some("1000 = -38"), &mut line);
            let fourth = format!("134 (b, {action:x}, 0, 8, 5, 6, 0, 0)");
            call(at("action_call"), &fourth, Some("134 = 0"), &mut line);
            let (fault, handler) = (at("faulting"), at("handler"));
            if version >= 5 {
                line(format!(
                    "0 discontinuity 2 from {fault:x} to {handler:x} at {handler:x}"
                ));
            }
            let (before, rest) = log.split_at(expected.len().min(log.len()));
            assert_eq!(before, expected, "v{version} {backend}");
            // The return from the handler is not where it was linked to.
            let mut lines: Vec<&str> = rest.lines().collect();
            if version >= 5 {
                assert!(
                    lines.remove(0).starts_with("0 discontinuity 4 from "),
                    "{log}"
                );
            }
            assert!(lines.remove(0).starts_with("0 call 139 (b, "), "{log}");
            assert_eq!(
                lines.remove(0),
                format!("0 return 139 = -513 at {:x}", fault + 4)
            );
            let mut expected = String::new();
            let mut line = |text: String| writeln!(expected, "{text}").expect("it is a string");
            call(at("flush_call"), "", None, &mut line);
            let exit = at("exit_call");
            call(exit, "94 (5, 0, 0, 8, 5, 6, 0, 0)", None, &mut line);
            line("end, with its userdata, 1 vcpus".into());
            assert_eq!(lines.join("\n") + "\n", expected, "v{version} {backend}");
        }
    }
}

/// What `events.c` says of a guest's vCPUs; its output and its end do not matter here.
fn vcpus(program: &str, version: u32, arg: &str) -> Vec<String> {
    let run = Run::new(&guest(program)).arg(arg);
    let log = run
        .plugin(&plugin("events", version), "only=vcpus")
        .run()
        .log;
    let short = |line: &str| match line.split_once(" at ") {
        Some((before, _)) => before.to_owned(),
        None => line.to_owned(),
    };
    log.lines().map(short).collect()
}

#[test]
fn threads_are_vcpus() {
    for version in [2, 7] {
        let log = vcpus("threads", version, "8");
        assert_eq!(log[0], "0 init");
        let count = |what: &str| log.iter().filter(|line| line.contains(what)).count();
        assert_eq!((count(" init"), count(" exit")), (8, 7), "{log:?}");
        assert!(
            log.last().is_some_and(|line| line.starts_with("end, ")),
            "{log:?}"
        );
        assert_eq!(count(" idle") + count(" resume"), 0, "{log:?}");
    }
}

#[test]
fn the_last_callbacks_run_at_every_end_of_the_process() {
    let end = |count: u32| format!("end, with its userdata, {count} vcpus");
    for version in [4, 7] {
        assert_eq!(vcpus("ends", version, "return"), ["0 init".into(), end(1)]);
        for how in ["group", "kill"] {
            assert_eq!(
                vcpus("ends", version, how),
                ["0 init".into(), "1 init".into(), end(2)]
            );
        }
        assert_eq!(
            vcpus("ends", version, "last"),
            [
                "0 init".into(),
                "1 init".into(),
                "0 exit, 2 so far".into(),
                end(2)
            ]
        );
        // Another program is not watched, and is not an end.
        assert_eq!(vcpus("ends", version, "exec"), ["0 init"]);
        assert_eq!(vcpus("ends", version, "spawn"), ["0 init".into(), end(1)]);
    }
}

/// A `vfork` child is another process: what it does, its `execve` among it, is not its parent's.
#[test]
fn a_child_in_its_parents_memory_is_not_watched() {
    for backend in BACKENDS {
        let run = Run::new(&guest("ends")).arg("spawn").backend(backend);
        let log = run.plugin(&plugin("events", 7), "").run().log;
        assert!(log.contains("0 call 220 ("), "{log}");
        assert!(log.contains("0 call 260 ("), "{log}");
        assert!(!log.contains(" call 221 ("), "{log}");
        assert!(!log.lines().any(|line| line.starts_with("1 ")), "{log}");
    }
}

#[test]
fn the_environment_takes_plugins_to_the_next_program() {
    let mut spec = plugin("events", 7).into_os_string();
    spec.push(",only=vcpus");
    let run = Run::new(&guest("ends"))
        .env("QEMU_PLUGIN", spec)
        .arg("return");
    let log = run.expect(6).log;
    assert!(log.contains("0 init"), "{log}");
}

#[test]
fn forked_children_go_on_with_their_plugins() {
    for version in [2, 7] {
        let run = Run::new(&guest("fork"));
        let watched = run.plugin(&plugin("events", version), "").expect(0);
        assert_eq!(watched.outcome.stdout_text(), "3 3\n");
        let log = watched.log;
        // Both children and the parent come to their end; nobody begins anew.
        assert_eq!(log.matches("end, with its userdata").count(), 3, "{log}");
        assert_eq!(log.matches(" init at ").count(), 2, "{log}");
        assert_eq!(log.matches(" exit, ").count(), 1, "{log}");
        // Each child's call comes from the vCPU that forked, and the fork has returned in it.
        for vcpu in [0, 1] {
            assert!(log.contains(&format!("{vcpu} call 124 (")), "{log}");
            assert!(log.contains(&format!("{vcpu} return 220 = 0 ")), "{log}");
        }
    }
}

#[test]
fn counts_go_on_in_a_forked_child() {
    let run = Run::new(&guest("fork"));
    let log = run.plugin(&plugin("count", 7), "").expect(0).log;
    let insns: Vec<u64> = log
        .lines()
        .filter_map(|line| line.strip_prefix("v7 insns: inline "))
        .filter_map(|line| line.split(' ').next()?.parse().ok())
        .collect();
    // The child of the first thread ends first, then that of the second, then the parent, each with
    // what its parent had counted before.
    assert!(insns.len() == 3 && insns.is_sorted(), "{log}");
    for line in log.lines() {
        let mut numbers = line.split(' ').filter_map(|word| word.parse::<u64>().ok());
        let first = numbers.next();
        assert!(numbers.all(|number| Some(number) == first), "{log}");
    }
}

#[test]
fn nobody_is_in_a_callback_when_a_process_forks() {
    let program = common::guest("processes");
    for backend in BACKENDS {
        let run = Run::new(&program).backend(backend);
        // Its children die of signals, on purpose, and hartscope says so.
        let log = run.plugin(&plugin("count", 7), "").run().log;
        let mut lines = 0;
        for line in log.lines().filter(|line| line.starts_with("v7 ")) {
            let mut numbers = line.split(' ').filter_map(|word| word.parse::<u64>().ok());
            let first = numbers.next();
            assert!(
                numbers.all(|number| Some(number) == first),
                "{backend}\n{log}"
            );
            lines += 1;
        }
        assert!(lines > 50, "{log}");
    }
}

/// The status with which `jumps` ends when `setpc.c` sends it elsewhere, and the log.
fn diverted(version: u32, backend: &str, how: &str, status: i32) -> String {
    let program = bare_guest("jumps");
    let mut arguments = format!("to={:#x},{how}", address(&program, "elsewhere"));
    if let Some((_, point)) = how.split_once("by=")
        && let Some(by) = point.split(',').next()
    {
        let name = if by == "cond" { "insn" } else { by };
        if ["insn", "block", "memory"].contains(&name) {
            write!(arguments, ",at={:#x}", address(&program, name)).expect("it is a string");
        }
    }
    let run = Run::new(&program).backend(backend);
    run.plugin(&plugin("setpc", version), &arguments)
        .expect(status)
        .log
}

#[test]
fn a_callback_can_send_the_guest_elsewhere() {
    for backend in BACKENDS {
        for version in [6, 7] {
            for flags in [2, 3] {
                let status = |by: &str, status: i32| {
                    let how = format!("by={by},flags={flags}");
                    let log = diverted(version, backend, &how, status);
                    assert_eq!(log, format!("leaving {by}\ncall 94\n"), "{backend}");
                };
                // Before the third step; before the fourth; behind a store of 4.
                status("insn", 102);
                status("cond", 102);
                status("block", 103);
                status("memory", 108);
            }
            // 5 steps, the stored 4, a0 is as it was (50 more): no result was written.
            let log = diverted(version, backend, "by=syscall,call=172", 159);
            assert_eq!(log, "call 172\nleaving syscall\ncall 94\n");
            let log = diverted(version, backend, "by=filter,call=172", 159);
            assert_eq!(log, "call 172\nleaving filter\ncall 94\n");
            let log = diverted(version, backend, "by=return,call=172", 159);
            assert_eq!(log, "call 172\nreturn 172\nleaving return\ncall 94\n");
            let log = diverted(version, backend, "by=discon,trap=4", 159);
            assert_eq!(log, "leaving discon\ncall 94\n");
        }
    }
}

#[test]
fn the_first_filter_that_wants_to_makes_the_call() {
    let program = bare_guest("jumps");
    for version in [6, 7] {
        let library = plugin("filter", version);
        let log = Run::new(&program)
            .plugin(&library, "call=172,result=500,name=old")
            .plugin(
                &plugin("filter", 13 - version),
                "call=172,result=600,pass=on,name=new",
            )
            .expect(6)
            .log;
        assert_eq!(
            log,
            "new call\nold call\nnew filter(4d, 0, 0), result so far 0\n\
             old filter(4d, 0, 0), result so far 600\nnew return 500\nold return 500\n"
        );
    }
}

#[test]
fn a_filtered_call_is_not_made() {
    let program = bare_guest("events");
    let run = Run::new(&program).option(&["-strace"]);
    let watched = run.plugin(&plugin("filter", 7), "call=64,result=-13").run();
    assert_eq!(watched.outcome.end, End::Exited(5));
    assert_eq!(watched.outcome.stdout_text(), "");
    let log = watched.log;
    assert!(log.contains("filter return -13\n"), "{log}");
    assert!(log.contains("= -1 EACCES"), "{log}");
    // A call that does not exist can be made, too.
    let run = Run::new(&program);
    let log = run
        .plugin(&plugin("filter", 7), "call=1000,result=1")
        .expect(5)
        .log;
    assert!(log.ends_with("filter return 1\n"), "{log}");
}

#[test]
fn plugins_begin_anew_and_go() {
    let program = bare_guest("work");
    for backend in BACKENDS {
        for version in VERSIONS {
            let life = |arguments: &str| {
                let run = Run::new(&program).backend(backend);
                run.plugin(&plugin("life", version), arguments)
                    .expect(7)
                    .log
            };
            let reset = life("reset=5,twice=on");
            assert_eq!(
                without_flush(&reset),
                ["asking for a reset", "reset done", "closed"],
                "{version}"
            );
            let gone = life("uninstall=5,twice=on");
            assert_eq!(
                without_flush(&gone),
                ["asking to go", "uninstall done", "closed"]
            );
            let both = life("reset=5,uninstall=50");
            assert_eq!(
                without_flush(&both),
                [
                    "asking for a reset",
                    "reset done",
                    "asking to go",
                    "uninstall done",
                    "closed"
                ]
            );
            assert!(both.contains("flush\n"), "{both}");
            assert_eq!(without_flush(&life("")), ["end", "closed"]);
        }
    }
}

fn without_flush(log: &str) -> Vec<&str> {
    log.lines().filter(|line| *line != "flush").collect()
}
