//! The plugin runtime: loads plugins written for `qemu-plugin.h` and gives them what they ask for.
//!
//! Data flows one way. Plugins register callbacks with the process's [`Runtime`], which publishes an
//! immutable snapshot of them ([`Published`]). Each vCPU has its [`Instruments`]: a cached copy of the
//! snapshot, refreshed at quiescent points, by which it calls plugins back without taking a lock.
//! What a plugin asks for in a block becomes [`translate::hooks::Wishes`].
//!
//! Blocks are keyed by what they were instrumented for ([`tb_cache::SetId`]), so that blocks of several
//! sets live side by side, and a set that comes back finds its blocks again.

pub mod abi;
mod builtin;
mod callbacks;
mod called;
pub mod crash;
pub mod current;
mod fill;
mod guest;
mod instruments;
mod lifecycle;
mod loader;
mod misuse;
mod plugin;
pub mod published;
mod registry;
mod rfc2018;
mod runtime;
mod set;
mod sets;
mod skew;
mod spec;
mod table;
#[cfg(test)]
mod tests;
mod timing;
mod translation;

pub use builtin::{BuiltIn, Entered, Shown};
pub use fill::fill;
pub use guest::{CodeBounds, Guest, Hardware, HwResult, Log, NoLog};
pub use instruments::{Discon, Instruments, Refreshed};
pub use lifecycle::Refused;
pub use loader::{LoadError, NotReset, Reason};
pub use plugin::{Plugin, PluginId, VERSIONS};
pub use published::{Published, Reader};
pub use runtime::{Config, Runtime, SystemInfo, Work};
pub use set::InstrumentationSet;
pub use skew::{Attach, Change, Spread};
pub use spec::{Spec, SpecError, Specs, USAGE};
pub use timing::{CallbackTimes, Measured, SAMPLE};
pub use translate::escape::Escape;
pub use translate::hooks::Wishes;
