//! The hartscope command.
//!
//! There is no Rust `main`: the standard library's start-up ignores SIGPIPE, installs a handler
//! for stack overflows and opens missing standard descriptors, all of which a guest program would
//! inherit although nobody asked for it.

#![no_main]

/// Where the C runtime begins.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    hartscope::main(std::env::args_os().skip(1))
}
