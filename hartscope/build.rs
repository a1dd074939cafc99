//! Links the unwinder of the C compiler's run time into the program, where it would be a shared
//! library: loading that one takes longer than all else that happens before `main`.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu") {
        // All of it, so that nothing is left to be looked for in the shared library.
        println!("cargo:rustc-link-arg-bins=-Wl,--push-state,--whole-archive,-lgcc_eh,--pop-state");
    }
}
