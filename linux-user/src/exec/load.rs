//! Loading a program into a fresh address space.
//!
//! Where things go is what Linux does without address randomisation: programs with fixed addresses
//! there; others at two thirds of the address space; the heap after the program; the stack at the
//! top; everything else downwards from below the stack.

use super::elf::{Image, Segment};
use super::file::{self, FileError, Program};
use super::stack::{self, Contents, at};
use crate::Errno;
use crate::mm::map::{Place, Request};
use crate::mm::vma::{Backing, Prot};
use crate::mm::{AddressSpace, GUEST_END, PAGE_SIZE, page_down, page_up};
use std::ffi::OsString;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Where position-independent programs go.
const PIE_BASE: u64 = (GUEST_END / 3 * 2) & !0xfff;
/// The top of the stack.
const STACK_TOP: u64 = GUEST_END - PAGE_SIZE;
/// What stays free below the stack: a runaway recursion must not reach a mapping.
const STACK_GUARD: u64 = 1 << 20;
/// Stacks that `RLIMIT_STACK` allows to be endless get this much.
const STACK_DEFAULT: u64 = 8 << 20;
/// The least and the most that a stack gets.
const STACK_SIZES: std::ops::RangeInclusive<u64> = 128 << 10..=16 << 30;
/// The I, M, A, F, D and C extensions, a bit per letter.
const HWCAP: u64 = 1 << 8 | 1 << 12 | 1 | 1 << 5 | 1 << 3 | 1 << 2;
/// `li a7, 139; ecall`: calls `rt_sigreturn`. Unwinders know this very sequence.
const SIGRETURN_CODE: [u32; 2] = [0x08b0_0893, 0x0000_0073];

/// Why a program could not be loaded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum LoadError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("no room in the address space for its segments")]
    NoRoom,
    #[error("argument list too long")]
    ArgumentsTooLong,
    #[error("cannot be mapped: {0}")]
    Memory(Errno),
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> LoadError {
        LoadError::Memory(errno)
    }
}

/// A program that is ready to run.
#[derive(Debug)]
pub struct Loaded {
    /// Where to begin.
    pub pc: u64,
    /// The first stack pointer.
    pub sp: u64,
    /// Where signal handlers return to.
    pub sigreturn: u64,
    /// From the lowest to the highest address of the program's code.
    pub code: Range<u64>,
    /// What is added to the addresses in the program's file.
    pub bias: u64,
    /// The interpreter's file with what is added to its addresses, if there is one.
    pub interpreter: Option<(File, u64)>,
}

/// What to load.
pub struct Start<'a> {
    /// The program.
    pub program: &'a Program,
    /// Prefix for the interpreter.
    pub sysroot: Option<&'a Path>,
    /// `argv`.
    pub args: &'a [OsString],
    /// `envp`.
    pub env: &'a [OsString],
    /// For `AT_EXECFN`: the name that was asked for.
    pub file_name: &'a Path,
    /// Stack size, if not what `RLIMIT_STACK` says.
    pub stack_size: Option<u64>,
}

/// Maps the program, its interpreter and its stack.
pub fn load(mm: &AddressSpace, start: &Start) -> Result<Loaded, LoadError> {
    let stack_size = stack_size(start.stack_size);
    mm.set_mmap_top(STACK_TOP - stack_size - STACK_GUARD);
    let image = &start.program.image;
    let bias = place(mm, image)?;
    map_segments(mm, start.program, bias)?;
    mm.set_heap(bias.wrapping_add(image.extent().end));
    let sigreturn = map_trampoline(mm)?;

    let entry = bias.wrapping_add(image.entry);
    let (pc, interpreter) = match start.program.interpreter()? {
        None => (entry, None),
        Some(name) => {
            let found = file::in_sysroot(&name, start.sysroot);
            let linker = file::open(&found).map_err(|error| FileError::Interpreter {
                name,
                error: Box::new(error),
            })?;
            let base = place_interpreter(mm, &linker.image)?;
            map_segments(mm, &linker, base)?;
            let pc = base.wrapping_add(linker.image.entry);
            (pc, Some((linker.file, base)))
        }
    };
    let base = interpreter.as_ref().map_or(0, |&(_, base)| base);
    let auxv = auxv(image, bias, base, entry);
    let sp = map_stack(mm, start, stack_size, &auxv)?;
    let code = image.code();
    Ok(Loaded {
        pc,
        sp,
        sigreturn,
        code: bias.wrapping_add(code.start)..bias.wrapping_add(code.end),
        bias,
        interpreter,
    })
}

/// Chooses the load bias.
fn place(mm: &AddressSpace, image: &Image) -> Result<u64, LoadError> {
    let extent = image.extent();
    let bias = if image.relocatable {
        let base = PIE_BASE.next_multiple_of(image.align);
        base.checked_sub(page_down_to(extent.start, image.align))
            .ok_or(LoadError::NoRoom)?
    } else {
        0
    };
    let end = bias.checked_add(extent.end).ok_or(LoadError::NoRoom)?;
    if !mm.is_free(bias + extent.start..end) {
        return Err(LoadError::NoRoom);
    }
    Ok(bias)
}

/// The dynamic linker goes where mappings go.
fn place_interpreter(mm: &AddressSpace, image: &Image) -> Result<u64, LoadError> {
    if !image.relocatable {
        return place(mm, image);
    }
    let extent = image.extent();
    let low = page_down_to(extent.start, image.align);
    let len = extent.end - low;
    let base = mm
        .free_place(len + (image.align - PAGE_SIZE))
        .ok_or(LoadError::NoRoom)?;
    Ok(base.next_multiple_of(image.align).wrapping_sub(low))
}

fn page_down_to(addr: u64, align: u64) -> u64 {
    addr & !(align - 1)
}

fn map_segments(mm: &AddressSpace, program: &Program, bias: u64) -> Result<(), LoadError> {
    for segment in &program.image.segments {
        map_segment(mm, program, segment, bias.wrapping_add(segment.vaddr))?;
    }
    Ok(())
}

fn map_segment(
    mm: &AddressSpace,
    program: &Program,
    segment: &Segment,
    addr: u64,
) -> Result<(), LoadError> {
    let start = page_down(addr);
    let file_end = addr + segment.file_size;
    let end = page_up(addr + segment.mem_size).ok_or(LoadError::NoRoom)?;
    let mut zero_from = start;
    if segment.file_size != 0 {
        let mapped_end = page_up(file_end).ok_or(LoadError::NoRoom)?;
        mm.map(&Request::file(
            Place::At(start),
            mapped_end - start,
            segment.prot,
            program.file.as_raw_fd(),
            segment.offset - (addr - start),
        ))?;
        if segment.mem_size > segment.file_size && segment.prot.write() {
            // To the end of the page: what the file has there belongs to somebody else.
            let tail = (mapped_end - file_end) as usize;
            mm.write(file_end, &[0; PAGE_SIZE as usize][..tail])?;
        }
        zero_from = mapped_end;
    }
    if end > zero_from {
        let place = Place::At(zero_from);
        mm.map(&Request::anonymous(place, end - zero_from, segment.prot))?;
    }
    Ok(())
}

/// The kernel's page: code that handlers return to.
fn map_trampoline(mm: &AddressSpace) -> Result<u64, LoadError> {
    let page = mm.map(&Request {
        kind: Backing::Vdso,
        ..Request::anonymous(Place::Near(0), PAGE_SIZE, Prot::RW)
    })?;
    let code: Vec<u8> = SIGRETURN_CODE
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    mm.write(page, &code)?;
    mm.protect(page, PAGE_SIZE, Prot::RX)?;
    Ok(page)
}

fn stack_size(wanted: Option<u64>) -> u64 {
    let size = wanted.unwrap_or_else(|| {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the call fills `limit` or leaves it.
        unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) };
        match limit.rlim_cur {
            libc::RLIM_INFINITY => STACK_DEFAULT,
            size => size,
        }
    });
    page_down(size.clamp(*STACK_SIZES.start(), *STACK_SIZES.end()))
}

fn map_stack(
    mm: &AddressSpace,
    start: &Start,
    size: u64,
    auxv: &[(u64, u64)],
) -> Result<u64, LoadError> {
    let contents = Contents {
        args: start.args,
        env: start.env,
        file: start.file_name.as_os_str(),
        random: random_bytes(),
        auxv,
    };
    // Linux gives arguments a quarter of the stack.
    let image = stack::build(&contents, STACK_TOP, size / 4).ok_or(LoadError::ArgumentsTooLong)?;
    let prot = if start.program.image.exec_stack {
        Prot::from_bits(7)
    } else {
        Prot::RW
    };
    mm.map(&Request {
        flags: libc::MAP_PRIVATE | libc::MAP_NORESERVE,
        kind: Backing::Stack,
        ..Request::anonymous(Place::At(STACK_TOP - size), size, prot)
    })?;
    mm.write(image.sp, &image.bytes)?;
    Ok(image.sp)
}

fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    // SAFETY: the kernel writes at most as many bytes as there are. Sixteen never come in part.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    bytes
}

fn auxv(image: &Image, bias: u64, base: u64, entry: u64) -> [(u64, u64); 15] {
    // SAFETY: these calls only return a number.
    let (uid, euid, gid, egid, secure) = unsafe {
        (
            libc::getuid(),
            libc::geteuid(),
            libc::getgid(),
            libc::getegid(),
            libc::getauxval(libc::AT_SECURE),
        )
    };
    let phdr = image
        .headers_vaddr()
        .map_or(0, |vaddr| bias.wrapping_add(vaddr));
    [
        (at::MINSIGSTKSZ, crate::signal::frame::SIZE),
        (at::HWCAP, HWCAP),
        (at::PAGESZ, PAGE_SIZE),
        (at::CLKTCK, 100),
        (at::PHDR, phdr),
        (at::PHENT, super::elf::PHENT_SIZE as u64),
        (at::PHNUM, image.header_count.into()),
        (at::BASE, base),
        (at::FLAGS, 0),
        (at::ENTRY, entry),
        (at::UID, uid.into()),
        (at::EUID, euid.into()),
        (at::GID, gid.into()),
        (at::EGID, egid.into()),
        (at::SECURE, secure),
    ]
}
