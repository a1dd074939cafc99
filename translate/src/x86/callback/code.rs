//! Machine code of this process, instruction by instruction.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind};

use crate::hooks::Guard;

/// The longest instruction.
const LONGEST: usize = 15;

/// The instruction at an address, if there is one.
pub(super) fn decode(at: u64) -> Option<Instruction> {
    let mut bytes = [0; LONGEST];
    let len = read(at, &mut bytes);
    let mut decoder = Decoder::with_ip(64, &bytes[..len], at, DecoderOptions::NONE);
    let insn = decoder.decode();
    (!insn.is_invalid()).then_some(insn)
}

/// Where a direct jump or call goes.
pub(super) fn target(insn: &Instruction) -> Option<u64> {
    match insn.op0_kind() {
        OpKind::NearBranch64 => Some(insn.near_branch64()),
        _ => None,
    }
}

/// Where a jump or call through a pointer at a fixed address goes.
pub(super) fn linked(insn: &Instruction) -> Option<u64> {
    if insn.op0_kind() != OpKind::Memory || !insn.is_ip_rel_memory_operand() {
        return None;
    }
    Some(guard(insn.ip_rel_memory_address(), 8)?.value)
}

/// The function that an entry of the linkage table leads to, or the address itself.
pub(super) fn behind_linkage(at: u64) -> u64 {
    let first = match decode(at) {
        Some(insn) if insn.code() == Code::Endbr64 => decode(insn.next_ip()),
        first => first,
    };
    match first {
        Some(insn) if insn.flow_control() == FlowControl::IndirectBranch => {
            linked(&insn).unwrap_or(at)
        }
        _ => at,
    }
}

/// What is in memory now: 1, 2, 4 or 8 bytes.
pub(super) fn guard(at: u64, size: u8) -> Option<Guard> {
    let mut bytes = [0; 8];
    let wanted = &mut bytes[..usize::from(size)];
    (read(at, wanted) == wanted.len()).then(|| Guard {
        addr: at as usize,
        size,
        value: u64::from_le_bytes(bytes),
    })
}

/// Reads memory of this process that may not be there; gives how much could be read.
fn read(at: u64, into: &mut [u8]) -> usize {
    let local = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    // By the page, so that one that is not there does not hide the one before it.
    const PAGE: u64 = 4096;
    let in_page = (PAGE - at % PAGE).min(into.len() as u64) as usize;
    let part = |offset: usize, len: usize| libc::iovec {
        iov_base: std::ptr::without_provenance_mut((at as usize).wrapping_add(offset)),
        iov_len: len,
    };
    let remote = [part(0, in_page), part(in_page, into.len() - in_page)];
    // SAFETY: writes to `into` only; what is read is checked by the kernel.
    let len = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, remote.as_ptr(), 2, 0) };
    usize::try_from(len).unwrap_or(0)
}
