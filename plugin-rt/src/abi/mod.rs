//! The C interface: every function that plugins find in the program.
//!
//! A function that carries no plugin's id finds its plugin by the callback that is running on the
//! thread ([`context`]). The longest form of a function is exported; what a plugin of an older version
//! does not pass is garbage, and is not looked at.

pub mod context;

mod boards;
mod memory;
mod misc;
mod registers;

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
        registers::EXPORTS,
        memory::EXPORTS,
        boards::EXPORTS,
        misc::EXPORTS,
    ]
    .into_iter()
    .flatten()
}
