//! Loading plugins: what is loaded, what is refused and how, and what `plugin-check` says of it.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::plugins::{
    BACKENDS, Run, VERSIONS, address, bare_guest, function, guest, library, plugin,
};
use common::process::{self, End, Outcome};
use common::{HARTSCOPE, repository, scratch};

/// A C library with that text.
fn of_text(name: &str, text: &str) -> PathBuf {
    let directory = scratch().join("plugins");
    fs::create_dir_all(&directory).expect("scratch is writable");
    let source = directory.join(format!("{name}.c"));
    fs::write(&source, text).expect("scratch is writable");
    library(&source, name, &[])
}

const INSTALL: &str =
    "int qemu_plugin_install(long id, void *info, int argc, char **argv) { return 0; }";

/// Libraries that are not loaded, and the reasons that a run and `plugin-check` give.
fn refused() -> Vec<(PathBuf, &'static str, &'static str)> {
    let text =
        |name: &str, version: &str, rest: &str| of_text(name, &format!("{version}\n{rest}\n"));
    let directory = scratch().join("plugins");
    let garbage = directory.join("garbage.so");
    fs::write(&garbage, "no library at all").expect("scratch is writable");
    let missing = directory.join("not-there.so");
    vec![
        (garbage, "", "not a shared library for x86-64"),
        (
            missing,
            "No such file or directory",
            "cannot be read: No such file",
        ),
        (
            text("no-version", "", INSTALL),
            "plugin does not declare API version",
            "it does not say its API version (qemu_plugin_version)",
        ),
        (
            text("no-install", "int qemu_plugin_version = 4;", ""),
            "qemu_plugin_install",
            "no qemu_plugin_install",
        ),
        (text("nothing", "", "int other;"), "", "no plugin"),
        (
            text("too-old", "int qemu_plugin_version = 1;", INSTALL),
            "plugin requires API version 1, but this hartscope supports only a minimum version of 2",
            "API version 1 is none of 2 to 7",
        ),
        (
            text("too-new", "int qemu_plugin_version = 8;", INSTALL),
            "plugin requires API version 8, but this hartscope supports only up to version 7",
            "API version 8 is none of 2 to 7",
        ),
        (
            text("zero", "int qemu_plugin_version;", INSTALL),
            "plugin requires API version 0",
            "API version 0 is none of 2 to 7",
        ),
        (
            text(
                "unresolved",
                "int qemu_plugin_version = 4; void qemu_plugin_frobnicate(void);\n\
                 void *use = qemu_plugin_frobnicate;",
                INSTALL,
            ),
            "undefined symbol: qemu_plugin_frobnicate",
            "there is no function qemu_plugin_frobnicate",
        ),
        (
            text(
                "elsewhere",
                "int qemu_plugin_version = 4; void frobnicate(void); void *use = frobnicate;",
                INSTALL,
            ),
            "undefined symbol: frobnicate",
            "undefined symbol: frobnicate",
        ),
    ]
}

fn check(path: &Path) -> Outcome {
    let mut command = Command::new(HARTSCOPE);
    command.arg("plugin-check").arg(path);
    process::run(&mut command, b"", Duration::from_secs(60))
}

#[test]
fn what_is_no_plugin_is_refused_in_one_line() {
    let program = bare_guest("memory");
    for (path, reason, checked) in refused() {
        let outcome = Run::new(&program).plugin(&path, "").run().outcome;
        let text = outcome.stderr_text();
        assert_eq!(outcome.end, End::Exited(1), "{text}");
        let start = format!("hartscope: Could not load plugin {}: ", path.display());
        assert!(
            text.starts_with(&start) && text.lines().count() == 1,
            "{text}"
        );
        assert!(text.contains(reason), "{reason}:\n{text}");
        let outcome = check(&path);
        assert_eq!(outcome.end, End::Exited(1));
        let text = outcome.stdout_text();
        assert!(text.starts_with(&format!("{}: ", path.display())), "{text}");
        let line = format!("hartscope does not load it: {checked}");
        assert!(text.contains("hartscope does not load it: "), "{text}");
        assert!(text.contains(checked), "{line}\n{text}");
    }
}

#[test]
fn an_install_that_says_no_ends_it_there() {
    let program = bare_guest("memory");
    let watched = Run::new(&program)
        .plugin(&plugin("events", 7), "")
        .plugin(&plugin("misuse", 7), "what=fail")
        .plugin(&plugin("count", 7), "")
        .run();
    let text = watched.outcome.stderr_text();
    assert_eq!(watched.outcome.end, End::Exited(1));
    assert!(
        text.ends_with("qemu_plugin_install returned error code 3\n"),
        "{text}"
    );
    // What has registered for the end is called, the plugin that failed too, and first.
    assert_eq!(watched.log, "end\nend, with its userdata, 0 vcpus\n");
}

#[test]
fn specifications_are_written_as_in_qemu() {
    let program = bare_guest("registers");
    let library = plugin("program", 7);
    let arguments = |spec: &str| {
        let run = Run::new(&program).plugin(Path::new(spec), "").run();
        let found = run
            .log
            .lines()
            .filter_map(|line| line.strip_prefix("argument "));
        let found: Vec<String> = found.map(String::from).collect();
        (found.join(" "), run.outcome.stderr_text())
    };
    let path = library.display();
    assert_eq!(arguments(&format!("file={path},a=1,b=2")).0, "a=1 b=2");
    assert_eq!(arguments(&format!("{path},a=1,,2,b==")).0, "a=1,2 b==");
    let (found, warnings) = arguments(&format!("{path},foo,nobar,arg=x,arg=y=z"));
    assert_eq!(found, "foo=on bar=off x=on y=z");
    assert_eq!(warnings.lines().count(), 4, "{warnings}");
    assert_eq!(arguments(&format!("{path},id=7,name=,=z")).0, "name= =z");
    // Without its suffix; and twice in one specification.
    let stem = library.with_extension("");
    assert_eq!(arguments(&format!("{},a=1", stem.display())).0, "a=1");
    assert_eq!(
        arguments(&format!("{path},a=1,file={path},b=2")).0,
        "a=1 b=2"
    );
    // The same file twice is one plugin with all the arguments.
    let run = Run::new(&program)
        .plugin(&library, "a=1")
        .plugin(&library, "b=2");
    let log = run.run().log;
    assert_eq!(log.matches("2 arguments").count(), 1, "{log}");

    let end = |spec: &str| {
        let run = Run::new(&program).plugin(Path::new(spec), "").run();
        (
            run.outcome.end,
            run.outcome.stderr_text(),
            run.outcome.stdout_text(),
        )
    };
    let (status, text, _) = end("a=1");
    assert_eq!(status, End::Exited(1));
    assert!(
        text.contains("missing earlier '-plugin file=' option"),
        "{text}"
    );
    let (status, text, _) = end("file=");
    assert_eq!(status, End::Exited(1));
    assert!(text.contains("requires a non-empty argument"), "{text}");
    for spec in ["help", "?", &format!("{path},a=help")] {
        let (status, _, text) = end(spec);
        assert_eq!(
            (status, text.lines().count()),
            (End::Exited(0), 3),
            "{spec}"
        );
    }
    assert_eq!(end("").0, End::Exited(11));
}

#[test]
fn the_environment_comes_before_the_command_line() {
    let program = bare_guest("memory");
    let mut first = plugin("count", 4).into_os_string();
    first.push(",mark=environment-");
    let run = Run::new(&program).env("QEMU_PLUGIN", first);
    let log = run.plugin(&plugin("count", 5), "mark=line-").expect(0).log;
    // The one that was loaded last comes first.
    assert!(
        log.starts_with("line-v5 ") && log.contains("\nenvironment-v4 "),
        "{log}"
    );
}

#[test]
fn output_goes_where_the_options_say() {
    let program = bare_guest("memory");
    let run = |options: &[&str]| {
        let mut command = Command::new(HARTSCOPE);
        command.env_clear().arg("run").args(options);
        command.arg("-plugin").arg(plugin("count", 7)).arg(&program);
        let child = process::spawn(&mut command);
        let id = child.id();
        let output = child.wait_with_output().expect("it ends");
        (id, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&[]).1, "");
    assert!(run(&["-d", "plugin"]).1.starts_with("v7 blocks: "));
    let name = scratch().join("plugins/own-%d.log");
    let name = name.to_str().expect("the path is ASCII");
    let (id, text) = run(&["-d", "plugin", "-D", name]);
    assert_eq!(text, "");
    let file = name.replace("%d", &id.to_string());
    let written = fs::read_to_string(&file).expect("it is there");
    assert!(written.starts_with("v7 blocks: "), "{written}");
    fs::remove_file(file).expect("it is there");
}

#[test]
fn what_plugins_ask_for_can_be_dumped() {
    let program = bare_guest("memory");
    let at = address(&program, "loop");
    let dump = |plugins: bool| {
        let mut command = Command::new(HARTSCOPE);
        command.env_clear().arg("run");
        if plugins {
            command.arg("-plugin").arg(plugin("count", 7));
        }
        command.args([
            "-d",
            "op,op_plugin,op_opt",
            "-dfilter",
            &format!("{at:#x}+2"),
        ]);
        command.arg(&program);
        process::run(&mut command, b"", Duration::from_secs(60)).stderr_text()
    };
    let stage = |text: &str, title: &str| {
        let start = format!("{title}: {at:#x}\n");
        let rest = text.split_once(&start);
        let (_, rest) = rest.unwrap_or_else(|| panic!("no {title} in\n{text}"));
        rest.split("----").next().unwrap_or_default().to_owned()
    };
    let watched = dump(true);
    assert!(!stage(&watched, "OP").contains("Call {"), "{watched}");
    for title in ["OP with plugins", "OP after passes"] {
        let ops = stage(&watched, title);
        assert!(
            ops.contains("Call {") && !ops.contains("Point("),
            "{watched}"
        );
    }
    let plain = dump(false);
    assert!(
        !stage(&plain, "OP with plugins").contains("Call {"),
        "{plain}"
    );
}

#[test]
fn plugin_check_names_version_and_functions() {
    for version in VERSIONS {
        let outcome = check(&plugin("count", version));
        let text = outcome.stdout_text();
        assert_eq!(outcome.end, End::Exited(0), "{text}");
        assert!(
            text.contains(&format!("a plugin for API version {version}\n")),
            "{text}"
        );
        assert!(
            text.contains("\n  qemu_plugin_scoreboard_new (since version 2)\n"),
            "{text}"
        );
        assert_eq!(
            text.contains("_cond_cb (since version 3)\n"),
            version >= 3,
            "{text}"
        );
        assert!(text.ends_with("hartscope loads it\n"), "{text}");
    }
    let include = format!("-I{}", repository().join("plugin-rt/include").display());
    let source = repository().join("tests/plugins/rfc2018.c");
    let text = check(&library(&source, "rfc2018", &[&include])).stdout_text();
    assert!(
        text.contains("a plugin for the interface of 2018\n  qemulib_flush\n"),
        "{text}"
    );
    assert!(text.ends_with("hartscope loads it\n"), "{text}");
}

#[test]
fn the_program_exports_the_interfaces_and_nothing_else() {
    use object::{Object, ObjectSymbol};
    let bytes = fs::read(HARTSCOPE).expect("it has been built");
    let file = object::read::elf::ElfFile64::<object::LittleEndian>::parse(&*bytes)
        .expect("it is a program");
    let exported: BTreeSet<&str> = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_definition() && symbol.is_global())
        .filter_map(|symbol| symbol.name().ok())
        .collect();
    let expected: BTreeSet<&str> = plugin_rt::abi::exports()
        .map(|export| export.name)
        .collect();
    assert_eq!(exported, expected);
    // 65 functions since version 7, and those of 2018.
    let of_2018 = expected
        .iter()
        .filter(|name| name.starts_with("qemulib_"))
        .count();
    assert_eq!((expected.len() - of_2018, of_2018), (65, 4));
}

#[test]
fn the_interface_of_2018_works_as_proposed() {
    let program = bare_guest("memory");
    let library = library(
        &repository().join("tests/plugins/rfc2018.c"),
        "rfc2018",
        &[],
    );
    let loop_at = address(&program, "loop");
    let bytes = address(&program, "bytes");
    for backend in BACKENDS {
        let watch = |last: u64, more: &str| {
            let run = Run::new(&program).backend(backend);
            let arguments = format!("args={loop_at:#x}-{last:#x}{more}");
            run.plugin(&library, &arguments).expect(0).log
        };
        let log = watch(loop_at, "");
        let init = format!("init with {loop_at:#x}-{loop_at:#x}, -5 words 2.5\n");
        assert!(log.starts_with(&init), "{log}");
        let insn = format!("insn {loop_at:x} ");
        let access = format!("mem {loop_at:x} {:x} 8 load\n", bytes + 40);
        assert_eq!(
            (log.matches(&insn).count(), log.matches(&access).count()),
            (10, 10),
            "{log}"
        );
        assert!(
            log.contains(&format!(" s0 {bytes:x}\n")) && !log.contains("ODD"),
            "{log}"
        );
        // It loses interest in instructions, and not in accesses.
        let log = watch(loop_at, ":3");
        let insns = log.matches(&insn).count();
        assert!((3..10).contains(&insns), "{log}");
        assert_eq!(log.matches(&access).count(), 10, "{log}");
    }
    let outcome = Run::new(&program)
        .plugin(&library, "args=nonsense")
        .run()
        .outcome;
    assert_eq!(outcome.end, End::Exited(1));
    let text = outcome.stderr_text();
    assert!(
        text.starts_with("hartscope: Could not load plugin "),
        "{text}"
    );
}

#[test]
fn both_interfaces_watch_one_run() {
    let program = guest("threads");
    let library = library(
        &repository().join("tests/plugins/rfc2018.c"),
        "rfc2018",
        &[],
    );
    let work = function(&program, "work");
    let run = Run::new(&program).arg(2);
    let log = run
        .plugin(
            &library,
            &format!("args={:#x}-{:#x}", work.start, work.start),
        )
        .plugin(
            &plugin("count", 2),
            &format!("start={:#x},end={:#x}", work.start, work.end),
        )
        .expect(0)
        .log;
    assert_eq!(
        log.matches(&format!("insn {:x} ", work.start)).count(),
        2,
        "{log}"
    );
    assert!(log.contains("v2 insns: inline "), "{log}");
}

const SAYS_WHO_BEGINS: &str = r#"
#include <stdio.h>
#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static void begins(qemu_plugin_id_t id, unsigned int vcpu)
{
    char text[32];

    snprintf(text, sizeof text, "vcpu %u\n", vcpu);
    qemu_plugin_outs(text);
    qemu_plugin_outs("begins\n");
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                           char **argv)
{
    qemu_plugin_register_vcpu_init_cb(id, begins);
    return 0;
}
"#;

#[test]
fn each_thread_may_have_a_log() {
    let source = scratch().join("says-who-begins.c");
    fs::write(&source, SAYS_WHO_BEGINS).expect("scratch is writable");
    let flags = ["-DQEMU_PLUGIN_API_VERSION=4"];
    let plugin = library(&source, "says-who-begins", &flags);
    let directory = tempfile::tempdir().expect("there is room");
    let file = directory.path().join("log-%d");
    let run = |words: &[&str]| {
        let mut command = Command::new(HARTSCOPE);
        command.args(["run", "-plugin"]).arg(&plugin).args(words);
        command.arg(bare_guest("profiled"));
        process::run(&mut command, b"", Duration::from_secs(60))
    };
    let name = file.to_str().expect("it is text");
    let outcome = run(&["-d", "plugin,tid", "-D", name]);
    assert_eq!(
        (outcome.end, outcome.stderr_text().as_str()),
        (End::Exited(0), "")
    );
    let files = fs::read_dir(directory.path()).expect("it is there");
    let said: BTreeSet<String> = files
        .map(|file| fs::read_to_string(file.expect("it is there").path()).expect("it is text"))
        .collect();
    let expected = [0, 1, 2].map(|vcpu| format!("vcpu {vcpu}\nbegins\n"));
    assert_eq!(said, BTreeSet::from(expected));
    for (words, why) in [
        (&["-d", "plugin,tid"][..], "-D FILE with %d"),
        (&["-d", "plugin,tid", "-D", "log"], "-D FILE with %d"),
        (
            &["-d", "plugin,tid,in_asm", "-D", name],
            "leave all but plugin out",
        ),
    ] {
        let outcome = run(words);
        let said = outcome.stderr_text();
        assert_eq!(outcome.end, End::Exited(1), "{said}");
        assert!(said.contains(why) && said.lines().count() == 1, "{said}");
    }
}
