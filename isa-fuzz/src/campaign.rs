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
use crate::run::inprocess::{self, Profile};
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
    /// What each runner executed.
    pub profile: Profile,
    /// Programs whose output differed.
    pub failures: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, programs, failures) = (self.profile.total, self.programs, self.failures);
        write!(
            f,
            "{total} instructions in {programs} programs, {failures} differ"
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

/// The directed programs and the reserved encodings, all of them whatever differs.
pub fn directed(plan: &Plan, runners: &[Box<dyn Runner>]) -> Result<DirectedTally, RunError> {
    let programs = directed::programs(plan.seed, 1);
    let differing = for_each(plan.jobs, &programs, |program| program.check(runners))?;
    let reserved = generate::reserved::programs(plan.seed);
    let also_differing = for_each(plan.jobs, &reserved, |program| {
        let (failure, _) = check(program, runners)?;
        Ok(failure.map(|failure| explain("reserved encodings", program, &failure, plan, runners)))
    })?;
    Ok(DirectedTally {
        encodings: programs.len(),
        results: programs.iter().map(Directed::results).sum(),
        reserved: reserved.iter().map(|program| program.chunks.len()).sum(),
        programs: programs.len() + reserved.len(),
        failures: differing + also_differing,
    })
}

/// Calls `check` on all items, some at a time; prints what it has to say and counts how often.
fn for_each<T: Sync>(
    jobs: usize,
    items: &[T],
    check: impl Fn(&T) -> Result<Option<String>, RunError> + Sync,
) -> Result<usize, RunError> {
    let next = AtomicUsize::new(0);
    let failures = AtomicUsize::new(0);
    let work = || -> Result<(), RunError> {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(difference) = check(item)? {
                failures.fetch_add(1, Ordering::Relaxed);
                println!("{difference}");
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })?;
    Ok(failures.into_inner())
}

/// What came out of the directed programs.
#[derive(Clone, Copy, Debug)]
pub struct DirectedTally {
    /// Encodings that were tested on edge cases.
    pub encodings: usize,
    /// Results that each runner noted.
    pub results: usize,
    /// Reserved encodings that were executed.
    pub reserved: usize,
    /// Programs that ran everywhere.
    pub programs: usize,
    /// Programs whose output differed.
    pub failures: usize,
}

impl fmt::Display for DirectedTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} directed results of {} encodings, {} reserved encodings, {} programs differ",
            self.results, self.encodings, self.reserved, self.failures
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
        if let Ok((Some(failure), _)) = &found {
            let what = format!("seed {seed}");
            println!(
                "{}",
                explain(&what, &program, failure, self.plan, self.runners)
            );
        }
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match (found, &mut *tally) {
            (Ok((failure, profile)), Ok(tally)) => {
                let before = tally.profile.total;
                tally.programs += 1;
                tally.failures += usize::from(failure.is_some());
                tally.profile += &profile;
                if before / PROGRESS != tally.profile.total / PROGRESS {
                    eprintln!("isa-fuzz: {tally}");
                }
                tally.profile.total < self.plan.instructions && tally.failures < self.plan.failures
            }
            (Err(error), Ok(_)) => {
                *tally = Err(error);
                false
            }
            (_, Err(_)) => false,
        }
    }
}

/// Cuts a failing program down and says what is wrong with it.
fn explain(
    what: &str,
    program: &Program,
    failure: &Failure,
    plan: &Plan,
    runners: &[Box<dyn Runner>],
) -> String {
    let pair = [runners[0].as_ref(), runners[failure.runner].as_ref()];
    // A loop that a cut made endless is not what we are after.
    let fails = |candidate: &Program| match compare(candidate, pair) {
        Ok(Some(difference)) => difference.timeout <= failure.difference.timeout,
        _ => false,
    };
    let least = shrink(program, plan.shrink, fails);
    let mut text = format!(
        "{what}: {} against {}\n{}",
        pair[0].name(),
        pair[1].name(),
        failure.difference,
    );
    if let Ok(Some(difference)) = compare(&least, pair) {
        text += &format!(" cut down to\n{}{difference}", describe(&least));
    }
    text
}

/// A program on which a runner disagrees with the first one.
struct Failure {
    runner: usize,
    difference: Difference,
}

fn check(
    program: &Program,
    runners: &[Box<dyn Runner>],
) -> Result<(Option<Failure>, Profile), RunError> {
    let image = program.assemble();
    let profile = inprocess::profile(&image).map_err(|source| RunError {
        runner: "profile".into(),
        doing: "mapping memory",
        source,
    })?;
    let expected = runners[0].run(&image)?;
    for (runner, other) in runners.iter().enumerate().skip(1) {
        if let Some(difference) = difference(&expected, &other.run(&image)?) {
            return Ok((Some(Failure { runner, difference }), profile));
        }
    }
    Ok((None, profile))
}

fn compare(program: &Program, pair: [&dyn Runner; 2]) -> Result<Option<Difference>, RunError> {
    let image = program.assemble();
    Ok(difference(&pair[0].run(&image)?, &pair[1].run(&image)?))
}
