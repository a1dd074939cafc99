//! Two counters of blocks, two plugins to the runtime, that stay from before the guest begins until it
//! has ended: whatever comes and goes beside them, they agree.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use plugin_rt::{BuiltIn, LoadError, Runtime, Shown};
use scoreboard::{Board, Full};
use translate::hooks::Hook;

use super::violations::Violations;

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Counters(#[from] Full),
    #[error(transparent)]
    Runtime(#[from] LoadError),
}

/// The two.
pub struct References {
    inlined: Arc<Inlined>,
    called: &'static AtomicU64,
}

/// How many they are.
pub const COUNT: usize = 2;

/// Counts by additions.
struct Inlined(Board);

/// Counts by calls, in a word that stays for ever.
struct Called(&'static AtomicU64);

impl References {
    /// Attaches them.
    pub fn attach(runtime: &Runtime) -> Result<References, Error> {
        let inlined = Arc::new(Inlined(runtime.areas().new_board(size_of::<u64>())?));
        let called: &'static AtomicU64 = Box::leak(Box::default());
        runtime.add(inlined.clone())?;
        runtime.add(Arc::new(Called(called)))?;
        Ok(References { inlined, called })
    }

    /// Blocks so far.
    pub fn count(&self) -> u64 {
        self.called.load(Relaxed)
    }

    /// Compares, when the guest has ended.
    pub fn check(&self, violations: &Violations) {
        let (inlined, called) = (self.inlined.0.sum(0), self.count());
        if inlined != called {
            violations.note(format_args!(
                "of two plugins that were there all the time one counted {inlined} blocks and one {called}"
            ));
        }
    }
}

impl BuiltIn for Inlined {
    fn name(&self) -> &str {
        "reference by additions"
    }

    fn translated(&self, block: &mut Shown<'_>) {
        block.at_entry(Hook::Add {
            offset: self.0.offset(),
            value: 1,
        });
    }
}

impl BuiltIn for Called {
    fn name(&self) -> &str {
        "reference by calls"
    }

    fn translated(&self, block: &mut Shown<'_>) {
        let word = std::ptr::from_ref(self.0).expose_provenance();
        let call = block.call(counted, word as u64);
        block.at_entry(call);
    }
}

extern "C" fn counted(_vcpu: u32, word: u64) {
    // SAFETY: made by `Called::translated`, of a word that stays for ever.
    let word = unsafe { &*std::ptr::with_exposed_provenance::<AtomicU64>(word as usize) };
    word.fetch_add(1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_a_violation() {
        let areas = scoreboard::Areas::new(1 << 12);
        let _vcpu = areas.claim().expect("there is memory");
        let board = areas.new_board(8).expect("there is room");
        let references = References {
            inlined: Arc::new(Inlined(board)),
            called: Box::leak(Box::default()),
        };
        let violations = Violations::new().expect("there is memory");
        references.inlined.0.slot(0).expect("a vCPU").add(0, 1);
        references.called.fetch_add(1, Relaxed);
        references.check(violations);
        assert_eq!(violations.count(), 0);
        references.called.fetch_add(1, Relaxed);
        references.check(violations);
        assert!(violations.list()[0].ends_with("one counted 1 blocks and one 2"));
    }
}
