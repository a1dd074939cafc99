//! The C interface: every function that plugins find in the program.
//!
//! A function that carries no plugin's id finds its plugin by the callback that is running on the
//! thread ([`context`]). The longest form of a function is exported; what a plugin of an older version
//! does not pass is garbage, and is not looked at.

pub mod context;

mod access;
mod block;
mod events;
mod instrument;
mod lifecycle;

pub(crate) mod boards;
mod glib;
mod memory;
mod misc;
mod registers;

use std::sync::Arc;

use crate::misuse;
use crate::plugin::{PluginId, VERSIONS};
use crate::rfc2018;
use crate::runtime::Runtime;

/// An exported function.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    /// Its symbol.
    pub name: &'static str,
    /// The version of the interface that it came with.
    pub since: i32,
    /// Its address: naming it here keeps it from being left out of the program.
    pub address: *const (),
}

// SAFETY: an address of code.
unsafe impl Sync for Export {}
// SAFETY: as above.
unsafe impl Send for Export {}

/// One line of a list of exports.
macro_rules! export {
    ($since:literal $function:ident) => {
        $crate::abi::Export {
            name: stringify!($function),
            since: $since,
            address: $function as *const (),
        }
    };
}
pub(crate) use export;

/// Every exported function.
pub fn exports() -> impl Iterator<Item = &'static Export> {
    [
        lifecycle::EXPORTS,
        events::EXPORTS,
        instrument::EXPORTS,
        block::EXPORTS,
        access::EXPORTS,
        registers::EXPORTS,
        memory::EXPORTS,
        boards::EXPORTS,
        misc::EXPORTS,
        rfc2018::EXPORTS,
    ]
    .into_iter()
    .flatten()
}

/// The runtime that the plugin was loaded into.
fn host() -> &'static Arc<Runtime> {
    match Runtime::global() {
        Some(runtime) => runtime,
        None => unreachable!("plugins are loaded by the runtime"),
    }
}

/// The version that the plugin with this id was built for.
fn of_plugin(function: &str, id: PluginId) -> i32 {
    match host().registry().plugin(id) {
        Ok(plugin) => plugin.version(),
        Err(_) => no_plugin(function, id),
    }
}

fn no_plugin(function: &str, id: PluginId) -> ! {
    misuse::breach(
        function,
        format_args!(
            "{} is no plugin's id; pass the one that qemu_plugin_install was given, while the plugin \
             is installed",
            id.0
        ),
    )
}

/// The version that the plugin whose callback is running was built for; the newest outside of
/// callbacks.
fn current_version() -> i32 {
    context::current().map_or(*VERSIONS.end(), |context| context.plugin.version())
}
