//! What is left of a guest's speed while a plugin comes and goes ten times a second, and what comes
//! back when it has gone.
//!
//! Speed is laps for each second of processor time of the guest's threads, so that neighbours on the
//! machine do not count as long as they leave the caches alone; for the same reason "ten times a second"
//! is ten times in a second of it. Each round measures all phases, one
//! after the other, and its ratios are those of one round; the median of the rounds counts.

use std::fmt::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::guest::{Guest, Lap};
use super::{Report, median, now};
use crate::tools::Tools;
use crate::{Error, Options};

const THREADS: usize = 2;

/// How long a phase takes in which nothing comes or goes, as all times in processor time of each thread.
const PHASE: Duration = Duration::from_secs(1);

/// One coming and going: there for half of it.
const CYCLE: Duration = Duration::from_millis(100);
const CYCLES: u32 = 20;

/// After how much processor time of each thread the speed is to be back.
const BACK: u64 = 10_000_000;

/// How often to look how far the guest is.
const LOOK: Duration = Duration::from_millis(1);

/// A guest that is not there by then does not run.
const LIMIT: Duration = Duration::from_secs(300);

/// Laps over which speed is looked at to see when it is back.
const WINDOW: usize = 8;

const KEPT_AIM: f64 = 0.90;
const BACK_AIM: f64 = 0.98;

/// Laps and the time they took.
#[derive(Clone, Copy, Default)]
struct Work {
    laps: f64,
    cpu: f64,
    wall: f64,
}

impl Work {
    /// All threads' between two moments.
    fn between(guest: &Guest, from: u64, to: u64) -> Work {
        let mut work = Work::default();
        for thread in 0..THREADS {
            work.add(&guest.laps(thread, from, to));
        }
        work.wall = (to - from) as f64;
        work
    }

    fn add(&mut self, laps: &[Lap]) {
        if let [first, .., last] = laps {
            self.laps += (laps.len() - 1) as f64;
            self.cpu += (last.cpu - first.cpu) as f64;
        }
    }

    fn speed(self) -> f64 {
        self.laps / self.cpu
    }

    fn wall_speed(self) -> f64 {
        self.laps / self.wall
    }
}

/// What one round has come to.
struct Round {
    plain: Work,
    attached: Work,
    churned: Work,
    after: Work,
    /// Processor time until the speed was back, of the slower thread, in milliseconds.
    back_ms: f64,
    /// Blocks translated in the phase of coming and going, and after it.
    translated: u64,
    translated_after: u64,
}

impl Round {
    /// Work of the guest with the plugin there for half of the time.
    fn by_design(&self, speed: fn(Work) -> f64) -> f64 {
        (speed(self.plain) + speed(self.attached)) / 2.0
    }

    fn kept(&self) -> f64 {
        self.churned.speed() / self.by_design(Work::speed)
    }

    fn kept_by_wall(&self) -> f64 {
        self.churned.wall_speed() / self.by_design(Work::wall_speed)
    }

    fn recovered(&self) -> f64 {
        self.after.speed() / self.plain.speed()
    }
}

/// Measures it.
pub fn measure(tools: &Tools, options: &Options, library: &Path) -> Result<Report, Error> {
    let mut guest = Guest::start(tools, &[], THREADS, None)?;
    // It is warm when it has done all kinds of work some times.
    run_until(&guest, PHASE)?;
    let mut rounds = Vec::new();
    for _ in 0..options.runs {
        let round = round(&mut guest, library)?;
        eprintln!(
            "kept {:.3} ({:.3} by wall time), {:.3} after",
            round.kept(),
            round.kept_by_wall(),
            round.recovered()
        );
        rounds.push(round);
    }
    guest.quit()?;
    Ok(report(&rounds))
}

fn round(guest: &mut Guest, library: &Path) -> Result<Round, Error> {
    let begun = now();
    run_for(guest, PHASE)?;
    let plain = Work::between(guest, begun, now());

    let id = guest.attach(library)?;
    guest.event("PLUGIN_REACHED")?;
    let begun = now();
    run_for(guest, PHASE)?;
    let attached = Work::between(guest, begun, now());
    guest.detach(&id)?;
    guest.event("PLUGIN_DETACHED")?;

    let translations = guest.translations()?;
    let (begun, start) = (now(), guest.cpu_time());
    // Ends as it begins: without the plugin, for half of the time.
    let mut ended = begun;
    for cycle in 0..CYCLES {
        let id = guest.attach(library)?;
        run_until(guest, start + cycle * CYCLE + CYCLE / 2)?;
        ended = now();
        guest.detach(&id)?;
        guest.event("PLUGIN_DETACHED")?;
        if cycle + 1 != CYCLES {
            run_until(guest, start + (cycle + 1) * CYCLE)?;
        }
    }
    let after_last = guest.translations()?;
    run_until(guest, start + CYCLES * CYCLE)?;
    let churned_until = now();
    run_for(guest, PHASE)?;
    let done = now();
    let churned = Work::between(guest, begun, churned_until);
    let (mut after, mut back_ms) = (Work::default(), 0.0_f64);
    for thread in 0..THREADS {
        let laps = guest.laps(thread, ended, done);
        let Some(first) = laps.first() else {
            continue;
        };
        let back = laps.iter().position(|lap| lap.cpu - first.cpu >= BACK);
        after.add(&laps[back.unwrap_or(laps.len())..]);
        back_ms = back_ms.max(back_after(&laps, plain.speed()));
    }
    Ok(Round {
        plain,
        attached,
        churned,
        after,
        back_ms,
        translated: after_last - translations,
        translated_after: guest.translations()? - after_last,
    })
}

/// Processor time until some laps in a row are as fast as without a plugin, in milliseconds.
fn back_after(laps: &[Lap], plain: f64) -> f64 {
    let Some(first) = laps.first() else {
        return f64::INFINITY;
    };
    let mut windows = laps.windows(WINDOW + 1);
    let back = windows.find(|laps| {
        let mut work = Work::default();
        work.add(laps);
        work.speed() >= BACK_AIM * plain
    });
    back.map_or(f64::INFINITY, |laps| (laps[0].cpu - first.cpu) as f64 / 1e6)
}

/// Waits until the threads have had so much processor time each.
fn run_until(guest: &Guest, cpu_time: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + LIMIT;
    while guest.cpu_time() < cpu_time {
        if Instant::now() > deadline {
            return Err(Error::Run("the guest makes no laps".to_owned()));
        }
        sleep(LOOK);
    }
    Ok(())
}

fn run_for(guest: &Guest, cpu_time: Duration) -> Result<(), Error> {
    run_until(guest, guest.cpu_time() + cpu_time)
}

fn report(rounds: &[Round]) -> Report {
    let middle = |of: &dyn Fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let per_second = |work: Work| work.speed() * 1e9;
    let kept = middle(&Round::kept);
    let recovered = middle(&Round::recovered);
    let again: u64 = rounds.iter().map(|round| round.translated_after).sum();
    let mut text = format!(
        "## Speed kept\n\n{THREADS} threads; {} laps a second of processor time without the plugin, {} \
         with it. Medians of {} rounds.\n\n| | | aim |\n|---|--:|--:|\n",
        middle(&|round| per_second(round.plain)).round(),
        middle(&|round| per_second(round.attached)).round(),
        rounds.len(),
    );
    let mut row = |what: &str, value: String, aim: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {what} | {value} | {aim} |");
    };
    row(
        "attached and detached 10 times a second: work for each second of processor time, of that \
         with the plugin there half of the time in one piece",
        format!("{:.1} %", 100.0 * kept),
        "90 %",
    );
    row(
        "the same for each second of wall time",
        format!("{:.1} %", 100.0 * middle(&Round::kept_by_wall)),
        "",
    );
    row(
        "blocks translated for each attachment",
        format!(
            "{:.0}",
            middle(&|round| round.translated as f64 / f64::from(CYCLES))
        ),
        "",
    );
    row(
        "speed after the last detachment, from 10 ms of processor time on, of that before",
        format!("{:.1} %", 100.0 * recovered),
        "98 %",
    );
    row(
        "processor time until 8 laps in a row are that fast",
        format!("{:.1} ms", middle(&|round| round.back_ms)),
        "10 ms",
    );
    row(
        "blocks translated again after it, in all rounds",
        again.to_string(),
        "0",
    );
    Report {
        text,
        holds: kept >= KEPT_AIM && recovered >= BACK_AIM && again == 0,
    }
}
