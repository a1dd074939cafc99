//! Asks `qemu-riscv64` for its disassembly of a list of encodings.

use std::path::PathBuf;
use std::process::Command;

/// Where the guest program puts the first word, and how far apart the words are.
const FIRST: u64 = 0x1000_0004;
const STEP: u64 = 16;

/// The pc of word number `index`.
pub fn pc_of(index: usize) -> u64 {
    FIRST + index as u64 * STEP
}

/// A directory of this thread's own.
fn scratch() -> PathBuf {
    let thread = std::thread::current().id();
    let path = std::env::temp_dir().join(format!("riscv-qemu-{}-{thread:?}", std::process::id()));
    std::fs::create_dir_all(&path).expect("make a directory for QEMU's log");
    path
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("run {command:?}: {error} (see ci/install-tools.sh)"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// One text per encoding, blanks at its end included.
pub fn qemu(encodings: &[u32]) -> Vec<String> {
    let scratch = scratch();
    let [guest, words, log] = ["guest", "words", "log"].map(|name| scratch.join(name));
    run(Command::new("riscv64-linux-gnu-gcc")
        .args(["-O1", "-static", "-Wall", "-Wextra", "-o"])
        .arg(&guest)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/isa/qemu/guest.c"
        )));
    let bytes: Vec<u8> = encodings.iter().flat_map(|raw| raw.to_le_bytes()).collect();
    std::fs::write(&words, bytes).expect("write the encodings");
    run(Command::new("qemu-riscv64")
        .args(["-d", "in_asm", "-dfilter", "0x10000000+0x10000000", "-D"])
        .args([&log, &guest, &words]));
    let text = std::fs::read_to_string(&log).expect("read QEMU's log");
    std::fs::remove_dir_all(&scratch).expect("remove QEMU's log");

    let mut texts = vec![None; encodings.len()];
    for (pc, text) in text.lines().filter_map(parse) {
        if pc >= FIRST && (pc - FIRST).is_multiple_of(STEP) {
            texts[((pc - FIRST) / STEP) as usize] = Some(text.to_owned());
        }
    }
    let missing = texts.iter().filter(|text| text.is_none()).count();
    assert_eq!(missing, 0, "words that QEMU's log does not show");
    texts.into_iter().flatten().collect()
}

/// Parses `0x10000004:  6582              ld                      a1,0(sp)`.
fn parse(line: &str) -> Option<(u64, &str)> {
    let (pc, rest) = line.strip_prefix("0x")?.split_once(":  ")?;
    let pc = u64::from_str_radix(pc, 16).ok()?;
    Some((pc, rest.get(18..)?))
}
