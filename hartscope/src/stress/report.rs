//! What a stress run says in the end.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::watch::Sizes;

/// What there was to see.
pub struct Summary {
    pub seed: u64,
    pub threads: usize,
    /// How long it took.
    pub time: Duration,
    /// How the guest ended, if it did that by itself.
    pub guest: Option<String>,
    /// How often nothing was attached, and all was looked at.
    pub rounds: usize,
    pub attached: u64,
    pub reset: u64,
    pub detached: u64,
    pub in_vain: u64,
    /// Calls of built-in counters.
    pub callbacks: u64,
    /// Blocks that two counters saw that stayed.
    pub reference: Option<u64>,
    pub translated: u64,
    pub longest_detach: Duration,
    pub longest_grace_period: Duration,
    pub first: Sizes,
    pub last: Sizes,
    /// How many violations there are, and the first of them.
    pub violations: u32,
    pub list: Vec<String>,
}

impl Summary {
    pub fn to_json(&self) -> Value {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        json!({
            "seed": self.seed,
            "threads": self.threads,
            "seconds": self.time.as_secs_f64(),
            "guest-ended": self.guest,
            "rounds": self.rounds,
            "attached": self.attached,
            "reset": self.reset,
            "detached": self.detached,
            "in-vain": self.in_vain,
            "callbacks": self.callbacks,
            "reference-blocks": self.reference,
            "translated": self.translated,
            "longest-detach-ms": milliseconds(self.longest_detach),
            "longest-grace-period-ms": milliseconds(self.longest_grace_period),
            "first": self.first.to_json(),
            "last": self.last.to_json(),
            "violations": self.violations,
            "violation-list": self.list,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { first, last, .. } = self;
        writeln!(
            f,
            "seed {}, {} control threads, {:.1} s, {} rounds",
            self.seed,
            self.threads,
            self.time.as_secs_f64(),
            self.rounds
        )?;
        if let Some(guest) = &self.guest {
            writeln!(f, "the guest {guest}")?;
        }
        writeln!(
            f,
            "attached {}, reset {}, detached {}; {} requests came to nothing (somebody was faster, or \
             nobody was there)",
            self.attached, self.reset, self.detached, self.in_vain
        )?;
        writeln!(
            f,
            "{} callbacks of counters that came and went; {} blocks translated",
            self.callbacks, self.translated
        )?;
        if let Some(blocks) = self.reference {
            writeln!(f, "{blocks} blocks counted by two plugins that stayed")?;
        }
        writeln!(
            f,
            "longest detach {:.1} ms, longest grace period seen {:.1} ms",
            self.longest_detach.as_secs_f64() * 1e3,
            self.longest_grace_period.as_secs_f64() * 1e3
        )?;
        writeln!(
            f,
            "with nothing attached, first and last: resident {} and {} KiB, allocated {} and {} KiB, \
             {} and {} files, {} and {} mappings",
            first.resident,
            last.resident,
            first.heap,
            last.heap,
            first.descriptors,
            last.descriptors,
            first.mappings,
            last.mappings
        )?;
        match self.violations {
            0 => writeln!(f, "violations: none"),
            count => {
                writeln!(f, "violations: {count}")?;
                self.list.iter().try_for_each(|it| writeln!(f, "  {it}"))
            }
        }
    }
}
