//! A mutex without poisoning.
//!
//! What it guards here stays consistent when a critical section panics: no section runs foreign
//! code, and none leaves a half-done change behind.

#[cfg(hartscope_loom)]
use loom::sync as imp;
#[cfg(not(hartscope_loom))]
use std::sync as imp;
use std::sync::{PoisonError, TryLockError};

/// Access to the value of a locked [`Mutex`]; unlocks when dropped.
pub type MutexGuard<'a, T> = imp::MutexGuard<'a, T>;

/// Mutual exclusion, for state off the hot path.
#[derive(Debug, Default)]
pub struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub fn new(value: T) -> Mutex<T> {
        Mutex(imp::Mutex::new(value))
    }

    /// Waits until the mutex is free and locks it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the mutex if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The value, without locking.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
