//! Reading ELF files: headers only, and strictly.
//!
//! Pure functions from bytes: nothing is mapped here, nothing read from disk, and no input, however
//! wrong, does more than give an error.

use crate::mm::vma::Prot;
use crate::mm::{GUEST_END, PAGE_SIZE, page_down, page_up};
use std::ops::Range;

/// Size of the file header.
pub const HEADER_SIZE: usize = 64;
/// Size of a program header.
pub const PHENT_SIZE: usize = 56;
/// Longest name of an interpreter.
const PATH_MAX: u64 = 4096;
/// No segment may be aligned to more.
const MAX_ALIGN: u64 = 1 << 30;

/// Why a file cannot be run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ElfError {
    #[error("not an ELF file")]
    NotElf,
    #[error("truncated ELF header")]
    TruncatedHeader,
    #[error("a 32-bit ELF file: only 64-bit programs can be run")]
    Class32,
    #[error("ELF class {0} does not exist")]
    BadClass(u8),
    #[error("a big-endian ELF file: only little-endian programs can be run")]
    BigEndian,
    #[error("ELF data encoding {0} does not exist")]
    BadEncoding(u8),
    #[error("ELF version {0} does not exist")]
    BadVersion(u32),
    #[error("an ELF file for {}: only RISC-V programs can be run", machine_name(*.0))]
    WrongMachine(u16),
    #[error("an RV32E/RV64E program (16 registers): not supported")]
    EmbeddedAbi,
    #[error("{}: not an executable program", type_name(*.0))]
    NotExecutable(u16),
    #[error("program headers of {0} bytes each, not {PHENT_SIZE}")]
    BadHeaderSize(u16),
    #[error("truncated program headers")]
    TruncatedProgramHeaders,
    #[error("no loadable segment")]
    NoSegments,
    #[error("segment {0}: {1}")]
    BadSegment(usize, SegmentError),
    #[error("more than one interpreter")]
    SecondInterpreter,
    #[error("the interpreter's name is not a string within the file")]
    BadInterpreter,
}

/// What is wrong with a segment.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum SegmentError {
    #[error("more bytes in the file than in memory")]
    FileLargerThanMemory,
    #[error("reaches beyond the end of the file")]
    BeyondFile,
    #[error("lies outside of the address space")]
    BeyondMemory,
    #[error("covers the first page of memory")]
    NullPage,
    #[error("its alignment is not a sensible power of two")]
    BadAlignment,
    #[error("its file offset and its address do not agree within the page")]
    Skewed,
    #[error("overlaps the segment before it, or is out of order")]
    Overlap,
}

/// A `PT_LOAD` segment.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Segment {
    /// Address in memory, before the load bias.
    pub vaddr: u64,
    /// Bytes in memory.
    pub mem_size: u64,
    /// Where its bytes are in the file.
    pub offset: u64,
    /// Bytes in the file; the rest of memory is zero.
    pub file_size: u64,
    /// Access.
    pub prot: Prot,
}

/// What the headers say.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Image {
    /// Position independent: may be loaded at any multiple of [`Image::align`].
    pub relocatable: bool,
    /// Where it starts, before the load bias.
    pub entry: u64,
    /// At least one, ascending, not overlapping.
    pub segments: Vec<Segment>,
    /// Where in the file the name of the interpreter is.
    pub interpreter: Option<Range<u64>>,
    /// Whether the stack must be executable.
    pub exec_stack: bool,
    /// The largest alignment of a segment, at least a page.
    pub align: u64,
    /// Where the program headers are in the file.
    pub headers_at: u64,
    /// How many there are.
    pub header_count: u16,
}

impl Image {
    /// The pages it occupies, before the load bias.
    pub fn extent(&self) -> Range<u64> {
        let start = self.segments.first().map_or(0, |s| s.vaddr);
        let end = self.segments.last().map_or(0, |s| s.vaddr + s.mem_size);
        page_down(start)..page_up(end).unwrap_or(end)
    }

    /// From the first byte of its executable segments to the last that comes from the file, before
    /// the load bias.
    pub fn code(&self) -> Range<u64> {
        let executable = || self.segments.iter().filter(|s| s.prot.exec());
        let start = executable().map(|s| s.vaddr).min();
        let end = executable().map(|s| s.vaddr + s.file_size).max();
        start.unwrap_or(0)..end.unwrap_or(0)
    }

    /// Where the program headers are in memory, before the load bias, if they are loaded.
    pub fn headers_vaddr(&self) -> Option<u64> {
        self.segments
            .iter()
            .find(|s| s.offset <= self.headers_at && self.headers_at - s.offset < s.file_size)
            .map(|s| s.vaddr + (self.headers_at - s.offset))
    }
}

/// The file header: where the program headers are.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Header {
    relocatable: bool,
    entry: u64,
    headers_at: u64,
    header_count: u16,
}

impl Header {
    /// Checks the beginning of a file.
    pub fn parse(bytes: &[u8]) -> Result<Header, ElfError> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err(ElfError::NotElf);
        }
        let header: &[u8; HEADER_SIZE] = bytes.first_chunk().ok_or(ElfError::TruncatedHeader)?;
        match header[4] {
            2 => (),
            1 => return Err(ElfError::Class32),
            class => return Err(ElfError::BadClass(class)),
        }
        match header[5] {
            1 => (),
            2 => return Err(ElfError::BigEndian),
            encoding => return Err(ElfError::BadEncoding(encoding)),
        }
        let version = u32_at(header, 20);
        if header[6] != 1 || version != 1 {
            return Err(ElfError::BadVersion(version.max(u32::from(header[6]))));
        }
        const EM_RISCV: u16 = 243;
        let machine = u16_at(header, 18);
        if machine != EM_RISCV {
            return Err(ElfError::WrongMachine(machine));
        }
        let relocatable = match u16_at(header, 16) {
            2 => false,
            3 => true,
            other => return Err(ElfError::NotExecutable(other)),
        };
        const EF_RISCV_RVE: u32 = 8;
        if u32_at(header, 48) & EF_RISCV_RVE != 0 {
            return Err(ElfError::EmbeddedAbi);
        }
        let header_count = u16_at(header, 56);
        if header_count == 0 {
            return Err(ElfError::NoSegments);
        }
        let entry_size = u16_at(header, 54);
        if usize::from(entry_size) != PHENT_SIZE {
            return Err(ElfError::BadHeaderSize(entry_size));
        }
        Ok(Header {
            relocatable,
            entry: u64_at(header, 24),
            headers_at: u64_at(header, 32),
            header_count,
        })
    }

    /// Where in the file the program headers are; `file_size` must reach that far.
    pub fn table(&self, file_size: u64) -> Result<Range<u64>, ElfError> {
        let size = u64::from(self.header_count) * PHENT_SIZE as u64;
        match self.headers_at.checked_add(size) {
            Some(end) if end <= file_size => Ok(self.headers_at..end),
            _ => Err(ElfError::TruncatedProgramHeaders),
        }
    }

    /// Checks the program headers of a file of `file_size` bytes.
    pub fn image(&self, table: &[u8], file_size: u64) -> Result<Image, ElfError> {
        const PT_LOAD: u32 = 1;
        const PT_INTERP: u32 = 3;
        const PT_GNU_STACK: u32 = 0x6474_e551;
        let mut image = Image {
            relocatable: self.relocatable,
            entry: self.entry,
            segments: Vec::new(),
            interpreter: None,
            exec_stack: false,
            align: PAGE_SIZE,
            headers_at: self.headers_at,
            header_count: self.header_count,
        };
        let (headers, rest) = table.as_chunks::<PHENT_SIZE>();
        if headers.len() != usize::from(self.header_count) || !rest.is_empty() {
            return Err(ElfError::TruncatedProgramHeaders);
        }
        for (index, header) in headers.iter().enumerate() {
            match u32_at(header, 0) {
                PT_LOAD => {
                    let end = image.segments.last().map_or(0, |s| s.vaddr + s.mem_size);
                    let (segment, align) = load_segment(header, file_size, self.relocatable, end)
                        .map_err(|error| ElfError::BadSegment(index, error))?;
                    image.align = image.align.max(align);
                    if segment.mem_size != 0 {
                        image.segments.push(segment);
                    }
                }
                PT_INTERP if image.interpreter.is_some() => {
                    return Err(ElfError::SecondInterpreter);
                }
                PT_INTERP => image.interpreter = Some(interpreter(header, file_size)?),
                PT_GNU_STACK => image.exec_stack = u32_at(header, 4) & 1 != 0,
                _ => (),
            }
        }
        if image.segments.is_empty() {
            return Err(ElfError::NoSegments);
        }
        Ok(image)
    }
}

/// Checks a whole file.
pub fn parse(file: &[u8]) -> Result<Image, ElfError> {
    let size = file.len() as u64;
    let header = Header::parse(file)?;
    let table = header.table(size)?;
    header.image(&file[table.start as usize..table.end as usize], size)
}

fn load_segment(
    header: &[u8; PHENT_SIZE],
    file: u64,
    relocatable: bool,
    previous_end: u64,
) -> Result<(Segment, u64), SegmentError> {
    let flags = u32_at(header, 4);
    let bit = |elf: u32, prot: u64| if flags & elf != 0 { prot } else { 0 };
    let file_size = u64_at(header, 32);
    let segment = Segment {
        // Where no bytes are does not matter, and linkers write anything there.
        offset: if file_size == 0 { 0 } else { u64_at(header, 8) },
        vaddr: u64_at(header, 16),
        file_size,
        mem_size: u64_at(header, 40),
        prot: Prot::from_bits(bit(4, 1) | bit(2, 2) | bit(1, 4)),
    };
    let align = u64_at(header, 48).max(1);
    if segment.file_size > segment.mem_size {
        return Err(SegmentError::FileLargerThanMemory);
    }
    match segment.offset.checked_add(segment.file_size) {
        Some(end) if end <= file => (),
        _ => return Err(SegmentError::BeyondFile),
    }
    match segment.vaddr.checked_add(segment.mem_size) {
        Some(end) if end <= GUEST_END - PAGE_SIZE => (),
        _ => return Err(SegmentError::BeyondMemory),
    }
    if !relocatable && segment.vaddr < PAGE_SIZE && segment.mem_size != 0 {
        return Err(SegmentError::NullPage);
    }
    if !align.is_power_of_two() || align > MAX_ALIGN {
        return Err(SegmentError::BadAlignment);
    }
    if segment.file_size != 0 && !(segment.vaddr ^ segment.offset).is_multiple_of(PAGE_SIZE) {
        return Err(SegmentError::Skewed);
    }
    if segment.vaddr < previous_end {
        return Err(SegmentError::Overlap);
    }
    Ok((segment, align))
}

fn interpreter(header: &[u8; PHENT_SIZE], file_size: u64) -> Result<Range<u64>, ElfError> {
    let (offset, size) = (u64_at(header, 8), u64_at(header, 32));
    match offset.checked_add(size) {
        Some(end) if end <= file_size && (2..=PATH_MAX).contains(&size) => Ok(offset..end),
        _ => Err(ElfError::BadInterpreter),
    }
}

// Offsets are constants within fixed-size headers.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(field(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(field(bytes, at))
}

fn machine_name(machine: u16) -> String {
    let name = match machine {
        3 => "x86 (32-bit)",
        8 => "MIPS",
        20 | 21 => "PowerPC",
        22 => "S/390",
        40 => "Arm (32-bit)",
        62 => "x86-64",
        183 => "AArch64",
        258 => "LoongArch",
        other => return format!("machine {other}"),
    };
    name.to_owned()
}

fn type_name(kind: u16) -> String {
    match kind {
        1 => "an object file (not linked)".to_owned(),
        4 => "a core dump".to_owned(),
        other => format!("ELF type {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program header.
    #[derive(Clone, Copy)]
    struct Ph {
        kind: u32,
        flags: u32,
        offset: u64,
        vaddr: u64,
        file_size: u64,
        mem_size: u64,
        align: u64,
    }

    const TEXT: Ph = Ph {
        kind: 1,
        flags: 5,
        offset: 0,
        vaddr: 0x10000,
        file_size: 0x400,
        mem_size: 0x400,
        align: 0x1000,
    };
    const DATA: Ph = Ph {
        flags: 6,
        offset: 0x400,
        vaddr: 0x11400,
        file_size: 0x100,
        mem_size: 0x900,
        ..TEXT
    };

    fn elf(headers: &[Ph]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(2_u16.to_le_bytes());
        file.extend(243_u16.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(0x10100_u64.to_le_bytes());
        file.extend(64_u64.to_le_bytes());
        file.extend(0_u64.to_le_bytes());
        file.extend(5_u32.to_le_bytes());
        for half in [64, 56, headers.len() as u16, 0, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        for ph in headers {
            file.extend(ph.kind.to_le_bytes());
            file.extend(ph.flags.to_le_bytes());
            for word in [
                ph.offset,
                ph.vaddr,
                ph.vaddr,
                ph.file_size,
                ph.mem_size,
                ph.align,
            ] {
                file.extend(word.to_le_bytes());
            }
        }
        file.resize(0x500, 0);
        file
    }

    fn patched(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut file = elf(&[TEXT, DATA]);
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    }

    fn segment_error(ph: Ph) -> SegmentError {
        match parse(&elf(&[TEXT, ph])) {
            Err(ElfError::BadSegment(1, error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plain_program_is_read() {
        let image = parse(&elf(&[TEXT, DATA])).unwrap();
        assert!(!image.relocatable);
        assert_eq!(image.entry, 0x10100);
        assert_eq!(image.extent(), 0x10000..0x12000);
        assert_eq!(image.code(), 0x10000..0x10400);
        assert_eq!(image.headers_vaddr(), Some(0x10040));
        assert_eq!(image.segments[1].prot, Prot::RW);
        assert!(!image.exec_stack);
    }

    #[test]
    fn each_wrong_header_is_named() {
        let error = |file: Vec<u8>| parse(&file).unwrap_err();
        assert_eq!(parse(b"").unwrap_err(), ElfError::NotElf);
        assert_eq!(parse(b"#!/bin/sh\n").unwrap_err(), ElfError::NotElf);
        assert_eq!(
            parse(b"\x7fELF\x02\x01\x01").unwrap_err(),
            ElfError::TruncatedHeader
        );
        assert_eq!(error(patched(4, &[1])), ElfError::Class32);
        assert_eq!(error(patched(4, &[9])), ElfError::BadClass(9));
        assert_eq!(error(patched(5, &[2])), ElfError::BigEndian);
        assert_eq!(error(patched(6, &[7])), ElfError::BadVersion(7));
        assert_eq!(error(patched(18, &[62, 0])), ElfError::WrongMachine(62));
        assert_eq!(error(patched(16, &[1, 0])), ElfError::NotExecutable(1));
        assert_eq!(error(patched(48, &[8])), ElfError::EmbeddedAbi);
        assert_eq!(error(patched(54, &[32])), ElfError::BadHeaderSize(32));
        assert_eq!(error(patched(56, &[0])), ElfError::NoSegments);
        assert_eq!(
            error(patched(56, &[0xff, 0xff])),
            ElfError::TruncatedProgramHeaders
        );
        assert_eq!(
            error(patched(32, &[0xff; 8])),
            ElfError::TruncatedProgramHeaders
        );
    }

    #[test]
    fn each_wrong_segment_is_named() {
        use SegmentError::*;
        assert_eq!(
            segment_error(Ph {
                mem_size: 0x80,
                ..DATA
            }),
            FileLargerThanMemory
        );
        assert_eq!(
            segment_error(Ph {
                offset: 0x4400,
                ..DATA
            }),
            BeyondFile
        );
        assert_eq!(
            segment_error(Ph {
                offset: u64::MAX - 0xbff,
                ..DATA
            }),
            BeyondFile
        );
        assert_eq!(
            segment_error(Ph {
                mem_size: u64::MAX,
                ..DATA
            }),
            BeyondMemory
        );
        assert_eq!(
            segment_error(Ph {
                vaddr: GUEST_END - 0xc00,
                ..DATA
            }),
            BeyondMemory
        );
        assert_eq!(
            segment_error(Ph {
                vaddr: 0x400,
                ..DATA
            }),
            NullPage
        );
        assert_eq!(segment_error(Ph { align: 3, ..DATA }), BadAlignment);
        assert_eq!(
            segment_error(Ph {
                align: 1 << 40,
                ..DATA
            }),
            BadAlignment
        );
        assert_eq!(
            segment_error(Ph {
                vaddr: 0x11401,
                ..DATA
            }),
            Skewed
        );
        assert_eq!(
            segment_error(Ph {
                vaddr: 0x10000,
                offset: 0,
                ..DATA
            }),
            Overlap
        );
    }

    #[test]
    fn interpreters_must_be_strings_in_the_file() {
        let interp = Ph {
            kind: 3,
            offset: 0x300,
            file_size: 0x20,
            ..TEXT
        };
        let image = parse(&elf(&[TEXT, interp])).unwrap();
        assert_eq!(image.interpreter, Some(0x300..0x320));
        for bad in [
            Ph {
                offset: 0x4f0,
                ..interp
            },
            Ph {
                file_size: 0,
                ..interp
            },
            Ph {
                file_size: u64::MAX,
                ..interp
            },
        ] {
            assert_eq!(
                parse(&elf(&[TEXT, bad])).unwrap_err(),
                ElfError::BadInterpreter
            );
        }
        let twice = parse(&elf(&[TEXT, interp, interp]));
        assert_eq!(twice.unwrap_err(), ElfError::SecondInterpreter);
    }

    /// Whatever single bytes are changed or cut off: an image within the rules, or an error.
    #[test]
    fn damaged_files_never_break_the_rules() {
        let whole = elf(&[TEXT, DATA]);
        let mut seed = 7_u64;
        for round in 0..200_000 {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let mut file = whole.clone();
            for shift in [8, 24] {
                let place = (seed >> shift) as usize % (64 + 2 * PHENT_SIZE);
                file[place] = (seed >> (shift + 16)) as u8;
            }
            if round % 3 == 0 {
                file.truncate((seed >> 50) as usize % 0x500);
            }
            let Ok(image) = parse(&file) else { continue };
            let mut end = 0;
            for segment in &image.segments {
                assert!(segment.vaddr >= end && segment.file_size <= segment.mem_size);
                assert!(segment.offset + segment.file_size <= file.len() as u64);
                end = segment.vaddr + segment.mem_size;
            }
            assert!(image.extent().end <= GUEST_END);
        }
    }
}
