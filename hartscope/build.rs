//! What the linker is told about the program.
//!
//! * The unwinder of the C compiler's run time becomes part of the program, where it would be a
//!   shared library: loading that one takes longer than all else that happens before `main`.
//! * Plugins find the functions of their interfaces in the program, and nothing else of it.

use std::env;

/// The names that plugins see: all that `plugin_rt::abi::exports` lists, and tests that it is all.
const INTERFACES: [&str; 2] = ["qemu_plugin_*", "qemulib_*"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu") {
        // All of it, so that nothing is left to be looked for in the shared library.
        println!("cargo:rustc-link-arg-bins=-Wl,--push-state,--whole-archive,-lgcc_eh,--pop-state");
    }
    for names in INTERFACES {
        println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol={names}");
    }
}
