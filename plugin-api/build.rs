//! Chooses the version of the interface: `QEMU_PLUGIN_API_VERSION=N`, the newest without it.
//!
//! The code asks with `cfg(api_N)`, which is set for all versions up to the chosen one.

use std::env;

const OLDEST: u32 = 4;
const NEWEST: u32 = 7;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=QEMU_PLUGIN_API_VERSION");
    let chosen = env::var("QEMU_PLUGIN_API_VERSION").unwrap_or_else(|_| NEWEST.to_string());
    let version = chosen.parse().unwrap_or(0);
    if !(OLDEST..=NEWEST).contains(&version) {
        println!(
            "cargo::error=QEMU_PLUGIN_API_VERSION is {chosen}, should be {OLDEST} to {NEWEST}"
        );
        return;
    }
    for known in OLDEST..=NEWEST {
        println!("cargo::rustc-check-cfg=cfg(api_{known})");
        if known <= version {
            println!("cargo::rustc-cfg=api_{known}");
        }
    }
    println!("cargo::rustc-env=QEMU_PLUGIN_API_VERSION={version}");
}
