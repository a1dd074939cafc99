//! Tests that load plugins are to plugins what the program is: the functions of their interface are
//! found in them.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-tests=-Wl,--export-dynamic-symbol=qemu_plugin_*");
}
