//! `--check`: every program under every contender, small, with 1, 2 and 8 threads; the outputs
//! must be the native ones byte for byte.

use std::collections::BTreeSet;

use crate::measure::Contender;
use crate::programs::Program;
use crate::tools::Tools;
use crate::{Error, Options, process};

/// Amount of work in percent: enough for every path through the programs.
const SCALE: u32 = 2;

/// Whether all outputs were right. A run that fails counts as wrong, and the others go on.
pub fn outputs(tools: &Tools, programs: &[Program], options: &Options) -> Result<bool, Error> {
    let mut contenders = vec![Contender::Hartscope];
    if !options.no_qemu {
        contenders.push(Contender::Qemu);
    }
    if !options.no_interp {
        contenders.push(Contender::Interp);
    }
    let mut seen = BTreeSet::new();
    let (mut compared, mut wrong) = (0, 0);
    for program in programs.iter().filter(|p| seen.insert(p.name)) {
        let threads: &[u32] = match program.threads {
            Some(_) => &[1, 2, 8],
            None => &[1],
        };
        for &threads in threads {
            let program = program.with_threads(threads);
            let args = program.args(SCALE);
            let run = |c: Contender| process::run(&c.command(tools, program.name, &args));
            let expected = run(Contender::Native)?.stdout;
            for &contender in &contenders {
                compared += 1;
                let trouble = match run(contender) {
                    Ok(run) if run.stdout == expected => continue,
                    Ok(run) => format!(
                        "printed {:?}, not {:?}",
                        String::from_utf8_lossy(&run.stdout),
                        String::from_utf8_lossy(&expected)
                    ),
                    Err(error) => error.to_string(),
                };
                wrong += 1;
                println!("{} under {}: {trouble}", program.label(), contender.name());
            }
        }
    }
    println!("bench check: {compared} outputs compared with the native ones, {wrong} wrong");
    Ok(wrong == 0)
}
