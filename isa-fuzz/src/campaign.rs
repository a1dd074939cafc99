//! A run over many programs: in parallel, until enough instructions were compared.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::directed::{self, Directed};
use crate::generate::{self, Options};
use crate::output::{Difference, difference};
use crate::program::Program;
use crate::report::describe;
use crate::run::{RunError, Runner};
use crate::shrink::shrink;

/// What to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Stop when so many instructions were compared.
    pub instructions: u64,
    /// First seed; each program takes the next one.
    pub seed: u64,
    /// Programs that run at once.
    pub jobs: usize,
    /// Stop at so many failing programs.
    pub failures: usize,
    /// How long a failing program may be cut down.
    pub shrink: Duration,
    /// What programs are like.
    pub options: Options,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Programs that ran everywhere.
    pub programs: u64,
    /// Instructions that each runner executed (those of the frame not counted).
    pub instructions: u64,
    /// Programs whose output differed.
    pub failures: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            programs,
            instructions,
            failures,
        } = self;
        write!(
            f,
            "{instructions} instructions in {programs} programs, {failures} differ"
        )
    }
}

/// Instructions between two lines of progress.
const PROGRESS: u64 = 1_000_000;

/// Random programs, as `plan` says: compares all `runners` with the first of them.
pub fn random(plan: &Plan, runners: &[Box<dyn Runner>]) -> Result<Tally, RunError> {
    let campaign = Campaign {
        plan,
        runners,
        next_seed: AtomicU64::new(plan.seed),
        tally: Mutex::new(Ok(Tally::default())),
    };
    thread::scope(|scope| {
        for _ in 0..plan.jobs {
            scope.spawn(|| while campaign.one_program() {});
        }
    });
    campaign
        .tally
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

/// The directed programs, all of them whatever differs.
pub fn directed(plan: &Plan, runners: &[Box<dyn Runner>]) -> Result<DirectedTally, RunError> {
    let programs = directed::programs(plan.seed);
    let next = AtomicUsize::new(0);
    let failures = AtomicUsize::new(0);
    let work = || -> Result<(), RunError> {
        while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(difference) = program.check(runners)? {
                failures.fetch_add(1, Ordering::Relaxed);
                println!("{difference}");
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.jobs).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })?;
    Ok(DirectedTally {
        programs: programs.len(),
        results: programs.iter().map(Directed::results).sum(),
        failures: failures.into_inner(),
    })
}

/// What came out of the directed programs.
#[derive(Clone, Copy, Debug)]
pub struct DirectedTally {
    /// Encodings that were tested.
    pub programs: usize,
    /// Results that each runner noted.
    pub results: usize,
    /// Encodings that differ.
    pub failures: usize,
}

impl fmt::Display for DirectedTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DirectedTally {
            programs,
            results,
            failures,
        } = self;
        write!(
            f,
            "{results} directed results of {programs} encodings, {failures} differ"
        )
    }
}

struct Campaign<'a> {
    plan: &'a Plan,
    runners: &'a [Box<dyn Runner>],
    next_seed: AtomicU64,
    tally: Mutex<Result<Tally, RunError>>,
}

impl Campaign<'_> {
    /// Generates and checks the next program; whether to go on.
    fn one_program(&self) -> bool {
        let seed = self.next_seed.fetch_add(1, Ordering::Relaxed);
        let program = generate::program(seed, &self.plan.options);
        let found = check(&program, self.runners);
        if let Ok(Some(failure)) = &found {
            println!("{}", self.explain(seed, &program, failure));
        }
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match (found, &mut *tally) {
            (Ok(failure), Ok(tally)) => {
                let before = tally.instructions;
                tally.programs += 1;
                tally.failures += usize::from(failure.is_some());
                tally.instructions += program.executed();
                if before / PROGRESS != tally.instructions / PROGRESS {
                    eprintln!("isa-fuzz: {tally}");
                }
                tally.instructions < self.plan.instructions && tally.failures < self.plan.failures
            }
            (Err(error), Ok(_)) => {
                *tally = Err(error);
                false
            }
            (_, Err(_)) => false,
        }
    }

    /// Cuts a failing program down and says what is wrong with it.
    fn explain(&self, seed: u64, program: &Program, failure: &Failure) -> String {
        let pair = [
            self.runners[0].as_ref(),
            self.runners[failure.runner].as_ref(),
        ];
        // A loop that a cut made endless is not what we are after.
        let fails = |candidate: &Program| match compare(candidate, pair) {
            Ok(Some(difference)) => difference.timeout <= failure.difference.timeout,
            _ => false,
        };
        let least = shrink(program, self.plan.shrink, fails);
        let mut text = format!(
            "seed {seed}: {} against {}\n{}",
            pair[0].name(),
            pair[1].name(),
            failure.difference,
        );
        if let Ok(Some(difference)) = compare(&least, pair) {
            text += &format!(" cut down to\n{}{difference}", describe(&least));
        }
        text
    }
}

/// A program on which a runner disagrees with the first one.
struct Failure {
    runner: usize,
    difference: Difference,
}

fn check(program: &Program, runners: &[Box<dyn Runner>]) -> Result<Option<Failure>, RunError> {
    let image = program.assemble();
    let expected = runners[0].run(&image)?;
    for (runner, other) in runners.iter().enumerate().skip(1) {
        if let Some(difference) = difference(&expected, &other.run(&image)?) {
            return Ok(Some(Failure { runner, difference }));
        }
    }
    Ok(None)
}

fn compare(program: &Program, pair: [&dyn Runner; 2]) -> Result<Option<Difference>, RunError> {
    let image = program.assemble();
    Ok(difference(&pair[0].run(&image)?, &pair[1].run(&image)?))
}
