//! The interface's functions that need no emulator: called as a plugin calls them, on a vCPU that
//! is made up.

#![cfg(not(hartscope_loom))]

mod abi {
    mod boards;
    mod misuse;
    mod registers;
    mod world;
}
