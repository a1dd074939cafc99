//! What the tests share.

pub(crate) mod elf_object;
pub(crate) mod objdump;
pub(crate) mod qemu;
pub(crate) mod random;
