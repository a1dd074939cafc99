//! The one place that chooses the synchronisation primitives.
//!
//! Concurrent code of the project (`epoch`, `scoreboard`, `tb-cache`, `plugin-rt`) imports atomics,
//! locks, shared cells and threads from here and from nowhere else. In a normal build they are the
//! standard library's; under `--cfg hartscope_loom` they are loom's, so that `loom-tests` explores
//! the interleavings of the code that ships. The cfg is private to the project because a plain
//! `cfg(loom)` would also change what foreign crates build.
//!
//! Every memory ordering that correctness depends on is written with [`ordering!`](crate::ordering):
//! a constant in a normal build, and in a model the place where the mutation check weakens it. A step
//! of the protocols that is more than an ordering is written with [`step!`](crate::step).

#[cfg(hartscope_loom)]
pub mod mutate;

mod mutex;

pub use mutex::{Mutex, MutexGuard};

#[cfg(hartscope_loom)]
pub use loom::{hint, sync::atomic, thread};

#[cfg(not(hartscope_loom))]
pub use std::{hint, sync::atomic, thread};

/// Shared mutable memory whose accesses loom can follow.
pub mod cell {
    #[cfg(hartscope_loom)]
    pub use loom::cell::UnsafeCell;

    /// [`std::cell::UnsafeCell`] with loom's interface: each access states its extent.
    #[cfg(not(hartscope_loom))]
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    #[cfg(not(hartscope_loom))]
    impl<T> UnsafeCell<T> {
        /// Wraps a value.
        pub const fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        /// Reads: no other thread may write while `f` runs.
        #[inline]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Writes: no other thread may read or write while `f` runs.
        #[inline]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }

        /// Takes the value out.
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }

    /// Shows loom when the object lives that this is a field of: [`touch`](Lifetime::touch) counts as
    /// a read of the object, its making and its end as writes. Nothing at all in a normal build.
    pub struct Lifetime {
        #[cfg(hartscope_loom)]
        alive: UnsafeCell<bool>,
    }

    impl Lifetime {
        /// The object's life begins.
        #[inline]
        pub fn begin() -> Lifetime {
            Lifetime {
                #[cfg(hartscope_loom)]
                alive: UnsafeCell::new(true),
            }
        }

        /// The object is used.
        #[inline]
        pub fn touch(&self) {
            #[cfg(hartscope_loom)]
            self.alive.with(|alive| {
                // SAFETY: loom checks that nobody writes.
                assert!(unsafe { *alive }, "used after its end");
            });
        }
    }

    #[cfg(hartscope_loom)]
    impl Drop for Lifetime {
        fn drop(&mut self) {
            // SAFETY: loom checks that nobody else reads or writes.
            self.alive.with_mut(|alive| unsafe { *alive = false });
        }
    }
}

/// `ordering!(Release, "mutation" => "model")`: the ordering `Release`, with the claim that it is
/// necessary.
///
/// The claim is checked: `loom-tests` finds these words in the sources, weakens the ordering by the
/// name of the mutation (a load or store to `Relaxed`, a `SeqCst` fence to `AcqRel`) and demands
/// that the named model fails. Several models, with commas between them, each fail.
#[cfg(not(hartscope_loom))]
#[macro_export]
macro_rules! ordering {
    ($ordering:ident, $mutation:literal => $model:literal) => {
        $crate::sync::atomic::Ordering::$ordering
    };
}

/// `ordering!(Release, "mutation" => "model")`: see the normal build's documentation.
#[cfg(hartscope_loom)]
#[macro_export]
macro_rules! ordering {
    ($ordering:ident, $mutation:literal => $model:literal) => {
        $crate::sync::mutate::ordering($mutation, $crate::sync::atomic::Ordering::$ordering)
    };
}

/// `step!("mutation" => "model", expression)`: the expression, with the claim that doing it is
/// necessary.
///
/// The claim is checked as that of [`ordering!`](crate::ordering) is: under the mutation the expression
/// is not evaluated, and its type's default takes its place.
#[cfg(not(hartscope_loom))]
#[macro_export]
macro_rules! step {
    ($mutation:literal => $model:literal, $step:expr) => {
        $step
    };
}

/// `step!("mutation" => "model", expression)`: see the normal build's documentation.
#[cfg(hartscope_loom)]
#[macro_export]
macro_rules! step {
    ($mutation:literal => $model:literal, $step:expr) => {
        match $crate::sync::mutate::is_chosen($mutation) {
            true => Default::default(),
            false => $step,
        }
    };
}
