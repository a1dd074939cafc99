//! Accesses to memory that may not be there: a fault is a result, not a crash.
//!
//! The routines are assembly, so that the set of instructions that may fault is known: it is the
//! text between two labels. They use no stack beyond their return address. When one of them faults,
//! the signal handler ([`crate::fault`]) puts the fault's address into `rax` and its kind into `rdx`
//! and goes on at a `ret`: to the caller this is the routine's result.
//!
//! Addresses are host addresses, and any value will do.

use std::arch::global_asm;
use std::ops::Range;

use translate::ops::Size;

use crate::fault;

/// Why an access failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostFault {
    /// Host address that could not be accessed; `None` if the processor does not tell (an address
    /// beyond its address space).
    pub addr: Option<u64>,
    /// Whether the memory behind the mapping is gone (SIGBUS).
    pub is_bus: bool,
}

/// A routine's `rax` and `rdx`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Outcome {
    value: u64,
    /// 0, or [`FAULTED`] and more bits.
    fault: u64,
}

/// In `rdx`: the access faulted.
const FAULTED: u64 = 1;
/// It was a SIGBUS.
const BUS: u64 = 2;
/// The address is known.
const ADDRESSED: u64 = 4;

impl Outcome {
    #[inline]
    fn result(self) -> Result<u64, HostFault> {
        if self.fault == 0 {
            Ok(self.value)
        } else {
            Err(HostFault {
                addr: (self.fault & ADDRESSED != 0).then_some(self.value),
                is_bus: self.fault & BUS != 0,
            })
        }
    }
}

global_asm!(
    ".pushsection .text.hartscope_guarded, \"ax\", @progbits",
    ".globl hartscope_guarded_begin",
    ".hidden hartscope_guarded_begin",
    "hartscope_guarded_begin:",
    // load(rdi: address)
    ".globl hartscope_guarded_load1",
    ".hidden hartscope_guarded_load1",
    "hartscope_guarded_load1:",
    "xor edx, edx",
    "movzx eax, byte ptr [rdi]",
    "ret",
    ".globl hartscope_guarded_load2",
    ".hidden hartscope_guarded_load2",
    "hartscope_guarded_load2:",
    "xor edx, edx",
    "movzx eax, word ptr [rdi]",
    "ret",
    ".globl hartscope_guarded_load4",
    ".hidden hartscope_guarded_load4",
    "hartscope_guarded_load4:",
    "xor edx, edx",
    "mov eax, dword ptr [rdi]",
    "ret",
    ".globl hartscope_guarded_load8",
    ".hidden hartscope_guarded_load8",
    "hartscope_guarded_load8:",
    "xor edx, edx",
    "mov rax, qword ptr [rdi]",
    "ret",
    // store(rdi: address, rsi: value)
    ".globl hartscope_guarded_store1",
    ".hidden hartscope_guarded_store1",
    "hartscope_guarded_store1:",
    "xor edx, edx",
    "mov byte ptr [rdi], sil",
    "ret",
    ".globl hartscope_guarded_store2",
    ".hidden hartscope_guarded_store2",
    "hartscope_guarded_store2:",
    "xor edx, edx",
    "mov word ptr [rdi], si",
    "ret",
    ".globl hartscope_guarded_store4",
    ".hidden hartscope_guarded_store4",
    "hartscope_guarded_store4:",
    "xor edx, edx",
    "mov dword ptr [rdi], esi",
    "ret",
    ".globl hartscope_guarded_store8",
    ".hidden hartscope_guarded_store8",
    "hartscope_guarded_store8:",
    "xor edx, edx",
    "mov qword ptr [rdi], rsi",
    "ret",
    // cas(rdi: address, rsi: expected, rdx: new)
    ".globl hartscope_guarded_cas4",
    ".hidden hartscope_guarded_cas4",
    "hartscope_guarded_cas4:",
    "mov eax, esi",
    "lock cmpxchg dword ptr [rdi], edx",
    "xor edx, edx",
    "ret",
    ".globl hartscope_guarded_cas8",
    ".hidden hartscope_guarded_cas8",
    "hartscope_guarded_cas8:",
    "mov rax, rsi",
    "lock cmpxchg qword ptr [rdi], rdx",
    "xor edx, edx",
    "ret",
    // copy(rdi: to, rsi: from, rdx: length)
    ".globl hartscope_guarded_copy",
    ".hidden hartscope_guarded_copy",
    "hartscope_guarded_copy:",
    "mov rcx, rdx",
    "xor edx, edx",
    "rep movsb",
    "ret",
    // fill(rdi: to, sil: byte, rdx: length)
    ".globl hartscope_guarded_fill",
    ".hidden hartscope_guarded_fill",
    "hartscope_guarded_fill:",
    "mov rcx, rdx",
    "mov eax, esi",
    "xor edx, edx",
    "rep stosb",
    "ret",
    // string_length(rdi: string, rsi: limit)
    ".globl hartscope_guarded_string_length",
    ".hidden hartscope_guarded_string_length",
    "hartscope_guarded_string_length:",
    "xor edx, edx",
    "xor eax, eax",
    "2:",
    "cmp rax, rsi",
    "jae 3f",
    "cmp byte ptr [rdi + rax], 0",
    "je 3f",
    "inc rax",
    "jmp 2b",
    "3:",
    // Also where the handler goes on.
    ".globl hartscope_guarded_return",
    ".hidden hartscope_guarded_return",
    "hartscope_guarded_return:",
    "ret",
    ".globl hartscope_guarded_end",
    ".hidden hartscope_guarded_end",
    "hartscope_guarded_end:",
    ".popsection",
);

unsafe extern "sysv64" {
    fn hartscope_guarded_begin();
    fn hartscope_guarded_return();
    fn hartscope_guarded_end();
    fn hartscope_guarded_load1(address: u64) -> Outcome;
    fn hartscope_guarded_load2(address: u64) -> Outcome;
    fn hartscope_guarded_load4(address: u64) -> Outcome;
    fn hartscope_guarded_load8(address: u64) -> Outcome;
    fn hartscope_guarded_store1(address: u64, value: u64) -> Outcome;
    fn hartscope_guarded_store2(address: u64, value: u64) -> Outcome;
    fn hartscope_guarded_store4(address: u64, value: u64) -> Outcome;
    fn hartscope_guarded_store8(address: u64, value: u64) -> Outcome;
    fn hartscope_guarded_cas4(address: u64, expected: u64, new: u64) -> Outcome;
    fn hartscope_guarded_cas8(address: u64, expected: u64, new: u64) -> Outcome;
    fn hartscope_guarded_copy(to: u64, from: u64, len: u64) -> Outcome;
    fn hartscope_guarded_fill(to: u64, byte: u64, len: u64) -> Outcome;
    fn hartscope_guarded_string_length(string: u64, limit: u64) -> Outcome;
}

/// Loads, zero-extended.
///
/// # Safety
///
/// What is at `address`, if anything, may be read: it is guest memory, or not mapped.
#[inline]
pub unsafe fn load(address: u64, size: Size) -> Result<u64, HostFault> {
    fault::ensure_handlers();
    // SAFETY: as the caller promises; a fault is fixed up.
    let outcome = unsafe {
        match size {
            Size::B1 => hartscope_guarded_load1(address),
            Size::B2 => hartscope_guarded_load2(address),
            Size::B4 => hartscope_guarded_load4(address),
            Size::B8 => hartscope_guarded_load8(address),
        }
    };
    outcome.result()
}

/// Stores the low `size` bytes.
///
/// # Safety
///
/// What is at `address`, if anything, may be written: it is guest memory, or not mapped.
#[inline]
pub unsafe fn store(address: u64, size: Size, value: u64) -> Result<(), HostFault> {
    fault::ensure_handlers();
    // SAFETY: as the caller promises; a fault is fixed up.
    let outcome = unsafe {
        match size {
            Size::B1 => hartscope_guarded_store1(address, value),
            Size::B2 => hartscope_guarded_store2(address, value),
            Size::B4 => hartscope_guarded_store4(address, value),
            Size::B8 => hartscope_guarded_store8(address, value),
        }
    };
    outcome.result().map(|_| ())
}

/// Stores `new` if memory holds `expected`, atomically and sequentially consistent; gives what it
/// held. Four bytes, or else eight.
///
/// # Safety
///
/// As for [`store`].
#[inline]
pub unsafe fn compare_exchange(
    address: u64,
    size: Size,
    expected: u64,
    new: u64,
) -> Result<u64, HostFault> {
    fault::ensure_handlers();
    // SAFETY: as the caller promises; a fault is fixed up.
    let outcome = unsafe {
        match size {
            Size::B4 => hartscope_guarded_cas4(address, expected, new),
            _ => hartscope_guarded_cas8(address, expected, new),
        }
    };
    outcome.result()
}

/// Copies guest memory out, front to back. After a fault the first bytes of `to` have been
/// overwritten.
///
/// # Safety
///
/// What is at `from`, if anything, may be read: it is guest memory, or not mapped.
pub unsafe fn copy_out(to: &mut [u8], from: u64) -> Result<(), HostFault> {
    fault::ensure_handlers();
    let address = to.as_mut_ptr().expose_provenance() as u64;
    // SAFETY: as the caller promises; a fault is fixed up.
    let outcome = unsafe { hartscope_guarded_copy(address, from, to.len() as u64) };
    outcome.result().map(|_| ())
}

/// Copies into guest memory, front to back. After a fault the first bytes have been written.
///
/// # Safety
///
/// What is at `to`, if anything, may be written: it is guest memory, or not mapped.
pub unsafe fn copy_in(to: u64, from: &[u8]) -> Result<(), HostFault> {
    fault::ensure_handlers();
    let address = from.as_ptr().expose_provenance() as u64;
    // SAFETY: as the caller promises; a fault is fixed up.
    let outcome = unsafe { hartscope_guarded_copy(to, address, from.len() as u64) };
    outcome.result().map(|_| ())
}

/// Fills guest memory. After a fault the first bytes have been written.
///
/// # Safety
///
/// As for [`copy_in`].
pub unsafe fn fill(to: u64, byte: u8, len: u64) -> Result<(), HostFault> {
    fault::ensure_handlers();
    // SAFETY: as the caller promises; a fault is fixed up.
    let outcome = unsafe { hartscope_guarded_fill(to, u64::from(byte), len) };
    outcome.result().map(|_| ())
}

/// The number of bytes before the first zero byte; `limit` if there is none among that many.
///
/// # Safety
///
/// What is at `string`, if anything, may be read: it is guest memory, or not mapped.
pub unsafe fn string_length(string: u64, limit: u64) -> Result<u64, HostFault> {
    fault::ensure_handlers();
    // SAFETY: as the caller promises; a fault is fixed up.
    unsafe { hartscope_guarded_string_length(string, limit) }.result()
}

/// The instructions whose faults are results.
pub(crate) fn text() -> Range<u64> {
    address_of(hartscope_guarded_begin)..address_of(hartscope_guarded_end)
}

/// For the signal handler: what to put into `rip`, `rax` and `rdx`.
pub(crate) fn fix_up(addr: Option<u64>, is_bus: bool) -> (u64, u64, u64) {
    let bus = if is_bus { BUS } else { 0 };
    let addressed = if addr.is_some() { ADDRESSED } else { 0 };
    (
        address_of(hartscope_guarded_return),
        addr.unwrap_or(0),
        FAULTED | bus | addressed,
    )
}

fn address_of(label: unsafe extern "sysv64" fn()) -> u64 {
    label as usize as u64
}
