//! TCG plugins in safe Rust: for hartscope, and for every emulator with the interface of
//! `qemu-plugin.h`.
//!
//! A plugin is a type that implements [`Plugin`] in a library of type `cdylib`:
//!
//! ```no_run
//! use hartscope_plugin::{Counter, Error, Exit, Plugin, Setup, out, register_plugin};
//!
//! struct Count {
//!     insns: Counter,
//! }
//!
//! impl Plugin for Count {
//!     fn install(setup: &mut Setup<'_, Self>) -> Result<Self, Error> {
//!         setup.args().finish()?;
//!         setup.on_translate(|count, block| {
//!             let insns = block.n_insns() as u64;
//!             block.entry().add(count.insns, insns);
//!         });
//!         setup.on_exit(|count, exit| out!("total insns: {}\n", count.insns.sum(exit)));
//!         Ok(Count { insns: Counter::new() })
//!     }
//! }
//!
//! register_plugin!(Count);
//! ```
//!
//! # What cannot go wrong
//!
//! 1. *A callback cannot outlive its plugin.* The plugin owns its value and all closures. They are
//!    dropped after the last callback has returned, when the plugin is uninstalled, and not at all at
//!    the end of the process, when another vCPU may still be in one. Scoreboards are given back after
//!    the plugin's value.
//! 2. *Blocks, instructions, memory accesses and vCPUs are borrowed* from the callback that shows
//!    them, and cannot be kept.
//! 3. *Registers are reachable only where they may be touched.* A callback gets a [`Vcpu`] whose type
//!    says what it may do; only one subscribed with [`Point::reading`] can read registers.
//! 4. *vCPUs run at the same time*, so a plugin is `Sync`, and what is counted per vCPU is in a
//!    [`Scoreboard`], where no two vCPUs meet.
//! 5. A panic in a callback says what and where, and ends the process.
//!
//! A library holds one plugin, and is installed once.
//!
//! The compiler refuses to keep what is borrowed:
//!
//! ```compile_fail
//! # use hartscope_plugin::*;
//! # struct Keeper;
//! # impl Plugin for Keeper {
//! #     fn install(setup: &mut Setup<'_, Self>) -> Result<Self, Error> {
//! let seen = std::sync::Mutex::new(Vec::new());
//! setup.on_translate(move |_, block| seen.lock().unwrap().extend(block.insns()));
//! #         Ok(Keeper)
//! #     }
//! # }
//! # register_plugin!(Keeper);
//! ```
//!
//! and to read registers where they may be stale:
//!
//! ```compile_fail
//! # use hartscope_plugin::*;
//! # struct Reader { pc: Register }
//! # impl Reader {
//! fn translated(&self, block: &Block<'_, Self>) {
//!     block.entry().call(|reader, cpu| { cpu.read_register(reader.pc); });
//! }
//! # }
//! # impl Plugin for Reader {
//! #     fn install(_: &mut Setup<'_, Self>) -> Result<Self, Error> { todo!() }
//! # }
//! # register_plugin!(Reader);
//! ```
//!
//! With `block.entry().reading().call(…)` it compiles:
//!
//! ```no_run
//! # use hartscope_plugin::*;
//! # struct Reader { pc: Register }
//! # impl Reader {
//! # fn translated(&self, block: &Block<'_, Self>) {
//! block.entry().reading().call(|reader, cpu| { cpu.read_register(reader.pc); });
//! # }
//! # }
//! # impl Plugin for Reader {
//! #     fn install(_: &mut Setup<'_, Self>) -> Result<Self, Error> { todo!() }
//! # }
//! # register_plugin!(Reader);
//! ```
//!
//! # Versions
//!
//! The library is built for version 7 of the interface, or with `QEMU_PLUGIN_API_VERSION=N` in the
//! environment of the build for 4, 5 or 6; what a version lacks, the crate then lacks too.

mod board;
mod counters;
mod errors;
mod events;
mod glib;
mod instance;
mod memory;
mod output;
mod point;
mod setup;
mod sys;
mod tally;
mod vcpu;
mod view;

pub use board::{Counter, Element, Scoreboard, U64};
pub use counters::Counters;
pub use errors::Error;
#[cfg(api_5)]
pub use events::{Discontinuity, DiscontinuityKind};
pub use events::{Exit, Program, Syscall, program};
pub use memory::{Hardware, MemoryAccess, Value};
pub use output::outs;
#[doc(hidden)]
pub use output::outs_format;
pub use point::{Condition, MemoryPoint, Point, Rw, Word};
pub use setup::{Args, Info, Setup, System};
pub use tally::{Tally, TallyOf};
pub use vcpu::{
    Access, CanRead, CanWrite, InCallback, NoRegs, ReadRegs, Register, Vcpu, WriteRegs,
};
pub use view::{Block, Insn};

/// The version of the interface that this build is for.
pub const API_VERSION: i32 = match i32::from_str_radix(env!("QEMU_PLUGIN_API_VERSION"), 10) {
    Ok(version) => version,
    Err(_) => panic!("the build script writes a number"),
};

/// A plugin. See the crate's documentation for an example.
pub trait Plugin: internal::Hosted {
    /// Reads the arguments, says which events are wanted, and makes the plugin. Nothing is called
    /// before this has returned; an error ends the emulator with that message.
    fn install(setup: &mut Setup<'_, Self>) -> Result<Self, Error>;
}

/// What [`register_plugin!`] needs. Not for use by hand.
#[doc(hidden)]
pub mod internal {
    pub use crate::instance::{Instance, closed, install, renew};
    pub use crate::sys::Info;
    pub use std::ffi::{c_char, c_int};

    /// # Safety
    ///
    /// Only [`register_plugin!`](crate::register_plugin) implements it: there is one instance, and
    /// it is this type's.
    pub unsafe trait Hosted: Sized + Send + Sync + 'static {
        fn instance() -> &'static Instance<Self>;
    }
}

/// Makes the library a plugin: exports its version and its installation.
#[macro_export]
macro_rules! register_plugin {
    ($plugin:ty) => {
        const _: () = {
            static INSTANCE: $crate::internal::Instance<$plugin> =
                $crate::internal::Instance::new(env!("CARGO_PKG_NAME"));

            // SAFETY: this macro, and the one instance.
            unsafe impl $crate::internal::Hosted for $plugin {
                fn instance() -> &'static $crate::internal::Instance<Self> {
                    &INSTANCE
                }
            }

            // SAFETY: the interface prescribes the name.
            #[unsafe(no_mangle)]
            #[allow(non_upper_case_globals)]
            static qemu_plugin_version: $crate::internal::c_int = $crate::API_VERSION;

            // SAFETY: as above.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn qemu_plugin_install(
                id: u64,
                info: *const $crate::internal::Info,
                argc: $crate::internal::c_int,
                argv: *const *const $crate::internal::c_char,
            ) -> $crate::internal::c_int {
                // SAFETY: called by the emulator, as the interface prescribes.
                unsafe { $crate::internal::install::<$plugin>(id, info, argc, argv) }
            }

            // SAFETY: the dynamic linker calls what is in this section when the library is closed.
            #[used]
            #[unsafe(link_section = ".fini_array")]
            static CLOSED: extern "C" fn() = $crate::internal::closed;
        };
    };
}
