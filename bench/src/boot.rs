//! From switching a machine on to its power-off: Debian's kernel, a small initrd and one command, under
//! `qemu-system-riscv64` and hartscope by turns.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::results::Times;
use crate::tools::{ROOT, Tools};
use crate::{Error, Options, machine, process};

/// How many harts.
const HARTS: [u32; 3] = [1, 2, 4];
/// Hartscope's time is to be at most so much of QEMU's.
const AIM: f64 = 0.7;
/// What the guest does before it ends, and how one sees that it has.
const APPEND: &str = "console=ttyS0 modules=none run=\"uname -a\"";
const DONE: &[u8] = b"guest: status 0";

/// Measures boots; gives the table as Markdown.
pub fn times(tools: &Tools, options: &Options) -> Result<String, Error> {
    let guest = fetch(tools)?;
    let qemu = Path::new("qemu-system-riscv64");
    let contenders = [
        (tools.hartscope.clone().into_os_string(), vec!["boot"]),
        (qemu.into(), vec!["-M", "virt"]),
    ];
    let mut table = String::new();
    let environment = machine::environment(tools, options);
    // Writing to a string does not fail.
    let _ = writeln!(
        table,
        "{}, {}, load {}, {}\n\n| harts | hartscope ms | QEMU ms | ratio (aim {AIM}) |\n\
         | --: | --: | --: | --: |",
        environment.date,
        environment.machine,
        environment.load,
        Tools::version(qemu),
    );
    for harts in HARTS {
        let mut best = [f64::INFINITY; 2];
        for _ in 0..options.runs {
            for ((program, first), best) in contenders.iter().zip(&mut best) {
                let run = process::run(&command(program, first, &guest, harts))?;
                if !run.stdout.windows(DONE.len()).any(|window| window == DONE) {
                    let shown = program.to_string_lossy();
                    return Err(Error::Run(format!("{shown}: the guest did not succeed")));
                }
                *best = best.min(Times::of(&run, options.clock()).ms);
            }
        }
        let [hartscope, reference] = best;
        let ratio = hartscope / reference;
        let _ = writeln!(
            table,
            "| {harts} | {hartscope:.0} | {reference:.0} | {ratio:.2} |"
        );
    }
    Ok(table)
}

fn command(program: &OsString, first: &[&str], guest: &Path, harts: u32) -> Vec<OsString> {
    let mut command = vec![program.clone()];
    command.extend(first.iter().map(OsString::from));
    let harts = harts.to_string();
    command.extend(["-nographic", "-m", "512M", "-smp", &harts, "-kernel"].map(OsString::from));
    command.push(guest.join("Image").into());
    command.push("-initrd".into());
    command.push(guest.join("initrd.img").into());
    command.extend(["-append", APPEND].map(OsString::from));
    command
}

fn fetch(tools: &Tools) -> Result<PathBuf, Error> {
    let script = Path::new(ROOT).join("ci/fetch-guest.sh");
    let status = Command::new("sh")
        .arg(&script)
        .env("CARGO_TARGET_DIR", &tools.target)
        .status();
    match status {
        Ok(status) if status.success() => Ok(tools.target.join("guest")),
        _ => Err(Error::Tool(
            "the guest is missing and could not be fetched".to_owned(),
        )),
    }
}
