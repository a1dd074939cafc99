//! Writes a program as a static riscv64 ELF executable.

use crate::layout::{CODE, DATA, SIGNAL_STACK, SIGNAL_STACK_BYTES};
use crate::program::Image;

const PAGE: usize = 0x1000;
const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

const EM_RISCV: u16 = 243;
const ET_EXEC: u16 = 2;
const PT_LOAD: u32 = 1;
/// RVC, double-float ABI.
const FLAGS: u32 = 5;
/// Segment permissions.
const X: u32 = 1;
const W: u32 = 2;
const R: u32 = 4;

/// The file.
pub fn write(image: &Image) -> Vec<u8> {
    let code_at = PAGE;
    let data_at = (code_at + image.code.len()).next_multiple_of(PAGE);
    let (code, data) = (image.code.len() as u64, image.data.len() as u64);
    // By address: permissions, file offset, address, bytes in the file, bytes in memory.
    let segments = [
        (R | X, code_at as u64, CODE, code, code),
        (R | W, 0, SIGNAL_STACK, 0, SIGNAL_STACK_BYTES),
        (R | W, data_at as u64, DATA, data, data),
    ];

    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(ET_EXEC.to_le_bytes());
    file.extend(EM_RISCV.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    // entry, program headers, section headers
    for word in [CODE, HEADER as u64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(FLAGS.to_le_bytes());
    let segment_count = segments.len() as u16;
    for half in [HEADER as u16, PROGRAM_HEADER as u16, segment_count, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for (permissions, offset, address, in_file, in_memory) in segments {
        file.extend(PT_LOAD.to_le_bytes());
        file.extend(permissions.to_le_bytes());
        for word in [offset, address, address, in_file, in_memory, PAGE as u64] {
            file.extend(word.to_le_bytes());
        }
    }
    file.resize(code_at, 0);
    file.extend(&image.code);
    file.resize(data_at, 0);
    file.extend(&image.data);
    file
}
