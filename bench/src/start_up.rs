//! The time of a static hello world: what starting costs.

use crate::build::HELLO;
use crate::measure::Contender;
use crate::results::{StartUp, Times};
use crate::tools::Tools;
use crate::{Error, Options, process};

const RUNS: usize = 30;

/// The minimum of 30 interleaved runs.
pub fn measure(tools: &Tools, options: &Options) -> Result<StartUp, Error> {
    let with_qemu = !options.no_qemu;
    let mut best = [f64::INFINITY; 3];
    let contenders = [Contender::Native, Contender::Qemu, Contender::Hartscope];
    for _ in 0..RUNS {
        for (contender, best) in contenders.into_iter().zip(&mut best) {
            if contender == Contender::Qemu && !with_qemu {
                continue;
            }
            let run = process::run(&contender.command(tools, HELLO, &[]))?;
            if run.stdout != b"hello\n" {
                return Err(Error::Run(format!("{}: no hello", contender.name())));
            }
            *best = best.min(Times::of(&run, options.clock()).ms);
        }
    }
    let [native_ms, qemu_ms, hartscope_ms] = best;
    Ok(StartUp {
        native_ms,
        qemu_ms: with_qemu.then_some(qemu_ms),
        hartscope_ms,
    })
}
