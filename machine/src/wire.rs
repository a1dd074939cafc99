//! Interrupt lines.

/// A level-triggered line, from whoever raises an interrupt to whoever takes it.
pub trait Wire: Send + Sync {
    /// Puts the line to a level, which may be the one that it has.
    fn set(&self, level: bool);
}

/// A line that leads nowhere.
pub struct Unconnected;

impl Wire for Unconnected {
    fn set(&self, _level: bool) {}
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::Wire;

    /// A line whose level can be looked at.
    #[derive(Default)]
    pub(crate) struct Probe(AtomicBool);

    impl Probe {
        pub(crate) fn level(&self) -> bool {
            self.0.load(Relaxed)
        }
    }

    impl Wire for Probe {
        fn set(&self, level: bool) {
            self.0.store(level, Relaxed);
        }
    }
}
