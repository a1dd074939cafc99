//! The phases of a plugin's life.
//!
//! ```text
//! Loading ──▶ Live ──────────────▶ Draining ──▶ Gone
//!             │  ▲                     ▲
//!             ▼  │                     │
//!          Resetting ──────────────────┘
//! ```
//!
//! A transition is asked for by whoever wants it, and granted once: who is told no has been beaten to
//! it, and does nothing. Phases change under the registry's lock.

/// Where a plugin is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It installs itself. What it registers takes effect all at once, when that is over.
    Loading,
    /// It is called.
    Live,
    /// It is not called any more, until the last callback of before has returned.
    Resetting,
    /// The same, for good.
    Draining,
    /// Its library is being closed.
    Gone,
}

impl Phase {
    /// It has installed itself.
    pub(crate) fn installed(&mut self) {
        if *self == Phase::Loading {
            *self = Phase::Live;
        }
    }

    /// It wants to begin anew. Granted unless it is ending, or beginning (anew) already.
    pub(crate) fn reset(&mut self) -> bool {
        let granted = *self == Phase::Live;
        if granted {
            *self = Phase::Resetting;
        }
        granted
    }

    /// Its last callback of before has returned. Not granted if it is ending by now.
    pub(crate) fn reset_is_over(&mut self) -> bool {
        let granted = *self == Phase::Resetting;
        if granted {
            *self = Phase::Live;
        }
        granted
    }

    /// It is to end. Granted once.
    pub(crate) fn uninstall(&mut self) -> bool {
        let granted = matches!(self, Phase::Live | Phase::Resetting);
        if granted {
            *self = Phase::Draining;
        }
        granted
    }

    /// Its last callback has returned. Granted once.
    pub(crate) fn gone(&mut self) -> bool {
        let granted = *self == Phase::Draining;
        if granted {
            *self = Phase::Gone;
        }
        granted
    }

    /// Whether what it registers takes effect.
    pub(crate) fn may_subscribe(self) -> bool {
        matches!(self, Phase::Loading | Phase::Live)
    }
}

#[cfg(test)]
mod tests {
    use super::Phase::*;

    #[test]
    fn a_request_is_granted_once() {
        let mut phase = Loading;
        assert!(
            !phase.uninstall() && !phase.reset(),
            "nothing ends while it begins"
        );
        phase.installed();
        assert!(phase.reset() && !phase.reset());
        assert!(!phase.may_subscribe());
        assert!(phase.reset_is_over() && phase == Live);
        assert!(phase.uninstall() && !phase.uninstall() && !phase.reset());
        assert!(phase.gone() && !phase.gone());
    }

    #[test]
    fn an_uninstall_overtakes_a_reset() {
        let mut phase = Live;
        assert!(phase.reset() && phase.uninstall());
        assert!(!phase.reset_is_over());
        assert_eq!(phase, Draining);
    }
}
