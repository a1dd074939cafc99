//! The steps of each task.

use crate::step::Step;

/// Everything that CI runs, cheapest first, so that a slip shows early.
pub fn everything() -> Vec<Step> {
    let mut steps = vec![
        tools(),
        guest(),
        Step::new("format", 1, "cargo fmt --all --check"),
        Step::new(
            "lints",
            10,
            "cargo clippy --workspace --all-targets --quiet -- -D warnings",
        ),
        // With debug assertions and overflow checks; the guests run in the release profile below.
        Step::new(
            "rooms",
            15,
            "cargo test --workspace --exclude hartscope --no-fail-fast",
        ),
        Step::new(
            "guests",
            25,
            "cargo test --release --package hartscope --no-fail-fast",
        ),
        loom(),
        Step::new(
            "benchmark outputs",
            10,
            "cargo run --release --package bench -- --check",
        ),
    ];
    // All edge cases, and a slice of what `cargo xtask fuzz` runs.
    steps.extend(fuzz(&["--insns", "500000"].map(String::from)));
    steps
}

/// The cross compiler and QEMU.
pub fn tools() -> Step {
    Step::new("tools", 10, "sh ci/install-tools.sh")
}

/// The kernel that machines boot.
pub fn guest() -> Step {
    Step::new("guest", 10, "sh ci/fetch-guest.sh")
}

/// The loom models and their mutations.
pub fn loom() -> Step {
    Step::new("loom", 15, "sh ci/loom.sh")
}

/// The differential test of the ISA: the binary that it runs, then random instructions, ten
/// million unless `args` say otherwise.
pub fn fuzz(args: &[String]) -> Vec<Step> {
    vec![
        Step::new(
            "hartscope",
            15,
            "cargo build --release --package hartscope --package isa-fuzz",
        ),
        Step::new("fuzz", 600, "cargo run --release --package isa-fuzz --").args(args),
    ]
}

/// Mangled ELF files, as long as `HARTSCOPE_FUZZ_SECONDS` says.
pub fn loader_fuzz() -> Step {
    Step::new(
        "loader fuzz",
        600,
        "cargo test --release --package hartscope --test hostile_files",
    )
}

/// The benchmark suite.
pub fn bench(args: &[String]) -> Step {
    Step::new("bench", 120, "cargo run --release --package bench --").args(args)
}

/// Builds the guests that the binary embeds.
pub fn built_in_guests() -> [Step; 2] {
    ["demo", "stress"].map(|name| {
        let guest = format!("hartscope/{name}/{name}");
        let command = format!("sh hartscope/demo/build.sh {guest}.elf {guest}.c");
        Step::new("built-in guest", 1, &command)
    })
}
