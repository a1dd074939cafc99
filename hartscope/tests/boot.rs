//! Machines: Debian's kernel from `ci/fetch-guest.sh` boots, does what it is told, and ends.

mod common;

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::HARTSCOPE;
use common::process::{self, End, Outcome};

/// A boot takes some seconds; a machine that tests other things as well may take ten times as long.
const LIMIT: Duration = Duration::from_secs(300);

/// A file of the fetched guest.
fn guest(name: &str) -> PathBuf {
    let target = Path::new(HARTSCOPE)
        .ancestors()
        .nth(2)
        .expect("it lies in target/profile");
    let path = target.join("guest").join(name);
    let shown = path.display();
    assert!(path.exists(), "{shown} is missing: run 'cargo xtask setup'");
    path
}

/// A machine with Debian's kernel that runs `script`, with `modules` or without.
fn machine(script: &str, modules: &str) -> Command {
    let mut command = Command::new(HARTSCOPE);
    command
        .args(["boot", "-nographic", "-m", "256M", "-kernel"])
        .arg(guest("Image"))
        .arg("-initrd")
        .arg(guest("initrd.img"))
        .arg("-append")
        .arg(format!(
            "console=ttyS0 panic=-1 modules={modules} run=\"{script}\""
        ));
    command
}

fn run(command: &mut Command) -> Outcome {
    process::run(command, b"", LIMIT)
}

/// What the script has printed, if it succeeded and the machine ended as it should.
fn printed(outcome: &Outcome) -> String {
    let text = outcome.stdout_text().replace('\r', "");
    let tail: Vec<&str> = text.lines().rev().take(30).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    let context = format!("{}\n{}", tail.join("\n"), outcome.stderr_text());
    assert_eq!(outcome.end, End::Exited(0), "{context}");
    let (_, rest) = text
        .split_once("guest: ")
        .unwrap_or_else(|| panic!("no script: {context}"));
    let (printed, _) = rest
        .split_once("guest: status 0")
        .unwrap_or_else(|| panic!("{context}"));
    for trouble in ["BUG:", "Oops", "stall", "WARNING:"] {
        assert!(!text.contains(trouble), "{trouble} {context}");
    }
    printed.to_owned()
}

#[test]
fn the_kernel_boots_with_one_hart_and_with_several() {
    for harts in [1, 2, 4] {
        let script = "grep -c ^processor /proc/cpuinfo; uname -m";
        let harts = harts.to_string();
        let outcome = run(machine(script, "none").args(["-smp", &harts]));
        assert_eq!(
            printed(&outcome),
            format!("{harts} harts\n{harts}\nriscv64\n")
        );
    }
}

#[test]
fn the_kernel_boots_on_the_interpreter() {
    let outcome = run(machine("uname -s", "none").args(["--backend", "interp"]));
    assert_eq!(printed(&outcome), "1 harts\nLinux\n");
}

#[test]
fn the_kernel_boots_with_a_cache_that_is_too_small_for_it() {
    let outcome = run(machine("uname -s", "none").args(["--tb-size", "2M", "-smp", "2"]));
    assert_eq!(printed(&outcome), "2 harts\nLinux\n");
}

#[test]
fn opensbi_boots_the_kernel() {
    for firmware in ["fw_dynamic.bin", "fw_jump.bin"] {
        let outcome = run(machine("nproc", "none")
            .args(["-smp", "2", "-bios"])
            .arg(guest(firmware)));
        assert!(outcome.stdout_text().contains("OpenSBI v"), "{firmware}");
        assert_eq!(printed(&outcome), "2 harts\n2\n", "{firmware}");
    }
}

#[test]
fn compressed_kernels_boot() {
    let image = fs::read(guest("Image")).expect("it is there");
    let path = common::scratch().join("Image.gz");
    let file = fs::File::create(&path).expect("it can be made");
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(&image)
        .and_then(|()| gzip.finish())
        .expect("it can be written");
    let outcome = run(machine("true", "none").arg("-kernel").arg(&path));
    assert_eq!(printed(&outcome), "1 harts\n");
}

/// A new image of a disk.
fn disk(name: &str) -> PathBuf {
    let path = common::scratch().join(name);
    let file = fs::File::create(&path).expect("it can be made");
    file.set_len(64 << 20).expect("it can be made larger");
    path
}

fn with_disk(script: &str, image: &Path) -> Command {
    let mut command = machine(script, "all");
    let drive = format!("file={},format=raw", image.display());
    command.args(["-smp", "2", "-drive", &drive]);
    command
}

/// Makes a file system and writes files of many sizes to it.
const WRITE: &str = "mke2fs -q /dev/vda && mount -t ext2 /dev/vda /mnt && \
    for n in 1 10 100 1000 10000 100000 1000000 8000000; do \
    head -c $n /dev/urandom > /mnt/$n; done && cd /mnt && sha256sum [1-9]* && sync";

/// Reads them.
const CHECK: &str = "mount -t ext2 /dev/vda /mnt && cd /mnt && sha256sum [1-9]*";

/// The lines with check sums.
fn sums(text: &str) -> Vec<&str> {
    let is_sum = |line: &&str| {
        let (sum, name) = line.split_once("  ").unwrap_or_default();
        let is_hex = sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        sum.len() == 64 && is_hex && !name.is_empty()
    };
    text.lines().filter(is_sum).collect()
}

#[test]
fn what_was_written_to_a_disk_is_there_at_the_next_boot() {
    let image = disk("survives.img");
    let written = printed(&run(&mut with_disk(WRITE, &image)));
    assert_eq!(sums(&written).len(), 8, "{written}");
    let read = printed(&run(&mut with_disk(CHECK, &image)));
    assert_eq!(sums(&read), sums(&written));
}

#[test]
fn what_was_synced_survives_the_death_of_the_emulator() {
    let image = disk("killed.img");
    let script = format!("{WRITE} && echo synced && sleep 1000");
    let mut child = process::spawn(with_disk(&script, &image).stdin(Stdio::null()));
    let watchdog = process::Watchdog::new(&child, LIMIT);
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let mut seen = Vec::new();
    let mut bytes = [0; 4096];
    // The command line, with the word in it, is printed as well.
    while !String::from_utf8_lossy(&seen).contains("\nsynced") {
        let count = stdout.read(&mut bytes).expect("it is a pipe");
        assert!(
            count > 0,
            "it has ended: {}",
            String::from_utf8_lossy(&seen)
        );
        seen.extend(&bytes[..count]);
    }
    child.kill().expect("it runs");
    drop(watchdog);
    process::finish(&mut child, LIMIT);
    let written = String::from_utf8_lossy(&seen).replace('\r', "");
    assert_eq!(sums(&written).len(), 8, "{written}");
    let read = printed(&run(&mut with_disk(CHECK, &image)));
    assert_eq!(sums(&read), sums(&written));
}

#[test]
fn a_machine_that_is_reset_starts_again_with_its_disk() {
    let image = disk("reset.img");
    let script = "if grep -q been /dev/vda; then echo again; \
        else echo been > /dev/vda; sync; reboot -f; fi";
    let outcome = run(&mut with_disk(script, &image));
    let text = outcome.stdout_text();
    assert_eq!(text.matches("Linux version").count(), 2, "{text}");
    let (_, second) = text
        .rsplit_once("Linux version")
        .expect("it was just found");
    assert!(
        second.contains("again") && outcome.end == End::Exited(0),
        "{text}"
    );

    let mut file = fs::File::options()
        .write(true)
        .open(&image)
        .expect("it is there");
    let erased = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.write_all(&[0; 512]));
    erased.expect("it can be written");
    drop(file);
    let outcome = run(with_disk(script, &image).arg("-no-reboot"));
    assert_eq!(outcome.stdout_text().matches("Linux version").count(), 1);
    assert_eq!(outcome.end, End::Exited(0));
}

#[test]
fn a_guest_that_panics_and_resets_is_not_started_again_if_so_wished() {
    // There is no init in the kernel's own file system.
    let mut command = Command::new(HARTSCOPE);
    command
        .args(["boot", "-no-reboot", "-kernel"])
        .arg(guest("Image"));
    command.args(["-m", "128", "-append", "console=ttyS0 panic=-1"]);
    let outcome = run(&mut command);
    assert!(
        outcome.stdout_text().contains("Kernel panic"),
        "{}",
        outcome.stdout_text()
    );
    assert_eq!(outcome.end, End::Exited(0));
}

/// A machine whose user types `keys` once the shell is there.
fn typed(keys: &[u8]) -> Outcome {
    let mut command = machine("", "none");
    command.args(["-append", "console=ttyS0 modules=none", "-smp", "2"]);
    process::run(&mut command, keys, LIMIT)
}

#[test]
fn a_shell_does_what_is_typed() {
    // What is in the port's FIFO when its driver begins is cleared: 16 keys at most. The rest is more
    // than fits into it, and all of it is there before the guest reads.
    let keys = format!(
        "{}echo $((20 + 1)) harts; echo 'that is 1 line of more than 16 bytes'\nexit\n",
        "\n".repeat(20)
    );
    let outcome = typed(keys.as_bytes());
    let text = outcome.stdout_text();
    assert!(
        text.contains("\n21 harts") && text.contains("\nthat is 1 line"),
        "{text}"
    );
    assert_eq!(outcome.end, End::Exited(0));
}

#[test]
fn ctrl_a_x_ends_the_machine_and_ctrl_a_c_leads_to_the_monitor() {
    let outcome = typed(b"\x01cinfo status\r\x01c\x01x");
    let text = outcome.stdout_text();
    assert!(text.contains("VM status: running, 2 harts"), "{text}");
    assert_eq!(outcome.end, End::Exited(0));
    assert!(!text.contains("guest: status"), "it has not run to its end");
}

#[test]
fn a_signal_ends_the_machine_in_good_order() {
    let mut child = process::spawn(machine("sleep 1000", "none").stdin(Stdio::null()));
    let watchdog = process::Watchdog::new(&child, LIMIT);
    let mut stdout = child.stdout.take().expect("it is a pipe");
    // The first byte: the machine runs.
    stdout.read_exact(&mut [0]).expect("it is a pipe");
    // SAFETY: our own child, which has not been waited for.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    drop(watchdog);
    assert_eq!(
        process::finish(&mut child, LIMIT),
        End::Exited(128 + libc::SIGTERM)
    );
}

#[test]
fn what_cannot_be_booted_is_said_in_one_line() {
    let image = guest("Image");
    let image = image.to_str().expect("it is text");
    for (args, status, why) in [
        (vec![], 2, "nothing to boot"),
        (
            vec!["-kernel", "/nonexistent"],
            1,
            "cannot read /nonexistent",
        ),
        (vec!["-kernel", image, "-m", "4M"], 1, "larger -m"),
        (
            vec!["-kernel", image, "-initrd", "/nonexistent"],
            1,
            "cannot read /nonexistent",
        ),
        (
            vec!["-kernel", image, "-drive", "file=/nonexistent"],
            1,
            "disk image /nonexistent",
        ),
        (
            vec!["-kernel", image, "-drive", "file=/dev/null"],
            1,
            "multiple of 512",
        ),
        (
            vec!["-kernel", image, "-m", "1000000G"],
            1,
            "bytes of guest memory",
        ),
        (vec!["-kernel", HARTSCOPE], 1, "no riscv64 ELF file"),
    ] {
        let outcome = run(Command::new(HARTSCOPE).arg("boot").args(&args));
        let stderr = outcome.stderr_text();
        assert_eq!(outcome.end, End::Exited(status), "{args:?}: {stderr}");
        assert!(
            stderr.contains(why) && stderr.lines().count() == 1,
            "{args:?}: {stderr}"
        );
    }
}
