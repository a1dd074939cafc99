//! Libraries that are plugins, and others.

use super::*;
use crate::Reason;

fn fails(source: &str) -> String {
    let file = File::library(source);
    let error = runtime().load(&file.spec(&[])).unwrap_err().to_string();
    let (start, reason) = error.split_once(": ").unwrap();
    assert_eq!(
        start,
        format!("Could not load plugin {}", file.path().display())
    );
    reason.to_owned()
}

#[test]
fn what_is_no_plugin_is_refused_with_a_reason() {
    let install = "int qemu_plugin_install() { return 0; }";
    assert_eq!(
        fails(install),
        "plugin does not declare API version (qemu_plugin_version)"
    );
    assert_eq!(
        fails("int qemu_plugin_version = 4;"),
        "plugin does not declare qemu_plugin_install"
    );
    assert_eq!(
        fails(&format!("int qemu_plugin_version = 1; {install}")),
        "plugin requires API version 1, but this hartscope supports only a minimum version of 2"
    );
    assert_eq!(
        fails(&format!("int qemu_plugin_version = 8; {install}")),
        "plugin requires API version 8, but this hartscope supports only up to version 7"
    );
    assert_eq!(
        fails("int qemu_plugin_version = 7; int qemu_plugin_install() { return 3; }"),
        "qemu_plugin_install returned error code 3"
    );
    let reason = fails(&format!(
        "int qemu_plugin_version = 7; void missing(void); void f() {{ missing(); }} {install}"
    ));
    assert!(reason.contains("missing"), "{reason}");
    assert_eq!(
        fails("int plugin_init() { return 0; }"),
        "plugin_init returned false"
    );
}

#[test]
fn a_file_that_is_not_there_is_the_linkers_matter() {
    let spec = Spec {
        path: "/nowhere/plugin.so".into(),
        ..Spec::default()
    };
    let error = runtime().load(&spec).unwrap_err();
    assert!(matches!(error.reason, Reason::Linker(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("/nowhere/plugin.so: cannot open"),
        "{error}"
    );
}

#[test]
fn the_ending_may_be_left_out() {
    let file = File::idle_plugin(7);
    let mut spec = file.spec(&[]);
    spec.path = file.path().with_extension("").into_os_string();
    assert!(runtime().load(&spec).is_ok());
}

/// Checks what it is given, and says by its result what is wrong.
const PICKY: &str = r#"
    #include <string.h>
    #include <stdint.h>
    #include <stdbool.h>
    struct info {
        const char *target; struct { int min, cur; } version; bool system;
        struct { int smp, max; } vcpus;
    };
    int qemu_plugin_version = 5;
    int qemu_plugin_install(uint64_t id, const struct info *info, int argc, char **argv) {
        if (id == 0) return 1;
        if (strcmp(info->target, "riscv64")) return 2;
        if (info->version.min != 2 || info->version.cur != 7) return 3;
        if (info->system || info->vcpus.smp || info->vcpus.max) return 4;
        if (argc == 0) return argv ? 5 : 0;
        if (argc != 2 || strcmp(argv[0], "a=1") || strcmp(argv[1], "b=x y")) return 6;
        argv[1][0] = 'c';
        return 0;
    }
"#;

#[test]
fn install_is_told_where_it_is_and_what_the_user_wants() {
    let file = File::library(PICKY);
    let runtime = runtime();
    for arguments in [&[][..], &["a=1", "b=x y"]] {
        if let Err(error) = runtime.load(&file.spec(arguments)) {
            panic!("{error}");
        }
    }
    assert_eq!(runtime.plugins().len(), 2);
    let ids: Vec<_> = runtime.plugins().iter().map(|plugin| plugin.id()).collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn as_many_plugins_as_there_are_slots() {
    let file = File::idle_plugin(3);
    let runtime = runtime();
    for _ in 0..crate::table::MAX_PLUGINS {
        runtime.load(&file.spec(&[])).unwrap();
    }
    let error = runtime.load(&file.spec(&[])).unwrap_err();
    assert!(matches!(error.reason, Reason::TooMany(_)), "{error}");
    let first = runtime.plugins()[0].id();
    assert_eq!(runtime.uninstall(first), Ok(()));
    assert!(
        runtime.load(&file.spec(&[])).is_ok(),
        "a slot is free again"
    );
}
