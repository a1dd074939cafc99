//! Tests of the decoder and the disassembler.

mod decode;
mod objdump;
mod qemu;
mod support;
