//! The phases of a plugin's life.
//!
//! ```text
//! Loading ──▶ Live ──────────────▶ Draining ──▶ Gone
//!    ▲        │  ▲                     ▲
//!    │        ▼  │                     │
//!    └───── Resetting ─────────────────┘
//! ```
//!
//! A transition is asked for by whoever wants it, and granted once: who is refused has been beaten to
//! it, and does nothing. Phases change under the registry's lock.

use epoch::step;

/// Why a request about a plugin was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody has this id (any more).
    #[error("there is no such plugin")]
    Unknown,
    /// Nothing ends while it begins.
    #[error("it is installing itself")]
    Installing,
    /// It is to begin anew, and its last callback of before has not returned.
    #[error("it is being reset already")]
    Resetting,
    /// It is to end.
    #[error("it is being unloaded already")]
    Ending,
    /// It has not been reset.
    #[error("it is running already")]
    Running,
}

/// Where a plugin is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It installs itself. What it registers takes effect all at once, when that is over.
    Loading,
    /// It is called.
    Live,
    /// It is not called any more, until the last callback of before has returned and it begins anew.
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

    /// It is to begin anew. Granted unless it is ending, or beginning (anew) already.
    pub(crate) fn reset(&mut self) -> Result<(), Refused> {
        let taken = step!("phase.reset" => "reset_twice", self.is_taken());
        if let Some(refused) = taken {
            return Err(refused);
        }
        *self = Phase::Resetting;
        Ok(())
    }

    /// Its last callback of before has returned, and it goes on by itself. Not granted if it is ending
    /// by now.
    pub(crate) fn reset_is_over(&mut self) -> bool {
        let granted = *self == Phase::Resetting;
        if granted {
            *self = Phase::Live;
        }
        granted
    }

    /// Its last callback of before has returned, and it is to install itself again. Granted once.
    pub(crate) fn install_anew(&mut self) -> Result<(), Refused> {
        let hindrance = match *self {
            Phase::Resetting => None,
            Phase::Live => Some(Refused::Running),
            other => other.is_taken(),
        };
        let taken = step!("phase.install_anew" => "reset_by_itself", hindrance);
        if let Some(refused) = taken {
            return Err(refused);
        }
        *self = Phase::Loading;
        Ok(())
    }

    /// It is to end. Granted once.
    pub(crate) fn uninstall(&mut self) -> Result<(), Refused> {
        match step!("phase.uninstall" => "uninstalled_twice, uninstalled_by_itself", self.is_taken())
        {
            None | Some(Refused::Resetting) => {
                *self = Phase::Draining;
                Ok(())
            }
            Some(refused) => Err(refused),
        }
    }

    /// What speaks against a request.
    fn is_taken(self) -> Option<Refused> {
        match self {
            Phase::Live => None,
            Phase::Loading => Some(Refused::Installing),
            Phase::Resetting => Some(Refused::Resetting),
            Phase::Draining | Phase::Gone => Some(Refused::Ending),
        }
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
    use super::Refused;

    #[test]
    fn a_request_is_granted_once() {
        let mut phase = Loading;
        assert!(
            phase.uninstall() == Err(Refused::Installing)
                && phase.reset() == Err(Refused::Installing),
            "nothing ends while it begins"
        );
        phase.installed();
        assert_eq!(phase.install_anew(), Err(Refused::Running));
        assert_eq!(phase.reset(), Ok(()));
        assert_eq!(phase.reset(), Err(Refused::Resetting));
        assert!(!phase.may_subscribe());
        assert!(phase.reset_is_over() && phase == Live);
        assert_eq!(phase.uninstall(), Ok(()));
        assert_eq!(phase.uninstall(), Err(Refused::Ending));
        assert_eq!(phase.reset(), Err(Refused::Ending));
        assert!(phase.gone() && !phase.gone());
    }

    #[test]
    fn an_uninstall_overtakes_a_reset() {
        let mut phase = Live;
        assert_eq!((phase.reset(), phase.uninstall()), (Ok(()), Ok(())));
        assert!(!phase.reset_is_over());
        assert_eq!(phase.install_anew(), Err(Refused::Ending));
        assert_eq!(phase, Draining);
    }

    #[test]
    fn a_plugin_installs_itself_anew_once() {
        let mut phase = Live;
        assert_eq!((phase.reset(), phase.install_anew()), (Ok(()), Ok(())));
        assert_eq!(phase.install_anew(), Err(Refused::Installing));
        assert_eq!(phase.uninstall(), Err(Refused::Installing));
        assert!(phase.may_subscribe());
        phase.installed();
        assert_eq!(phase, Live);
    }
}
