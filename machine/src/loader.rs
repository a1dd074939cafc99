//! Kernels, firmware and RAM disks: from files into the guest's memory.
//!
//! Where things go is what QEMU's `virt` does: firmware at the beginning of memory, the kernel 2 MiB
//! behind that, the RAM disk half of memory further (512 MiB at most), the device tree at the end of
//! memory (below 3 GiB).

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use vm_memory::{Bytes, GuestAddress};

use crate::map;
use crate::ram::Ram;

/// A file that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the host says.
        source: io::Error,
    },
    /// It is compressed, and broken.
    #[error("cannot uncompress {}: {why}", path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It is an ELF file, and broken or for something else.
    #[error("{} is no riscv64 ELF file that can be loaded: {why}", path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It is larger than the memory.
    #[error("{} does not fit: {} bytes at {:#x} are not all memory (try a larger -m)", path.display(), range.end - range.start, range.start)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Where it would lie.
        range: Range<u64>,
    },
    /// The device tree finds no room.
    #[error("the device tree of {0} bytes does not fit into memory: try a larger -m")]
    NoRoomForTree(usize),
}

/// Something in the guest's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Where it begins to run.
    pub entry: u64,
    /// Where it lies, with room that it needs behind itself.
    pub range: Range<u64>,
}

/// From the beginning of memory to where kernels are put.
const KERNEL_OFFSET: u64 = 2 << 20;

/// Uncompressed kernels may be as large as this.
const LIMIT: u64 = 1 << 30;

/// Loads firmware to the beginning of memory, or an ELF file to where it belongs.
pub fn firmware(ram: &Ram, path: &Path) -> Result<Loaded, Error> {
    place(ram, path, ram.range().start)
}

/// Loads a kernel: an Image, with or without an EFI stub, an ELF file, or either of these compressed.
pub fn kernel(ram: &Ram, path: &Path) -> Result<Loaded, Error> {
    place(ram, path, ram.range().start + KERNEL_OFFSET)
}

/// Loads a RAM disk to where a kernel that unpacks itself does not reach it.
pub fn initrd(ram: &Ram, path: &Path, kernel: &Loaded) -> Result<Range<u64>, Error> {
    let contents = read(path)?;
    let size = ram.range().end - ram.range().start;
    let start = kernel.entry + (size / 2).min(512 << 20);
    // A small memory, or a kernel at its end.
    let start = start.max(kernel.range.end).next_multiple_of(4096);
    put(ram, path, start, &contents)
}

/// Puts the device tree to the end of memory and gives its address.
pub fn tree(ram: &Ram, blob: &[u8], below: &[Range<u64>]) -> Result<u64, Error> {
    const LIMIT: u64 = 3 << 30;
    let range = ram.range();
    let end = if range.start < LIMIT {
        range.end.min(LIMIT)
    } else {
        range.end
    };
    let no_room = || Error::NoRoomForTree(blob.len());
    let start = end.checked_sub(blob.len() as u64).ok_or_else(no_room)? & !((2 << 20) - 1);
    let taken = below.iter().any(|other| start < other.end);
    if taken || start < range.start {
        return Err(no_room());
    }
    let written = ram.device_view().write_slice(blob, GuestAddress(start));
    written.map_err(|_| no_room())?;
    Ok(start)
}

fn place(ram: &Ram, path: &Path, start: u64) -> Result<Loaded, Error> {
    let contents = uncompress(path, read(path)?)?;
    if contents.starts_with(&object::elf::ELFMAG) {
        return elf(ram, path, &contents);
    }
    let range = put(ram, path, start, &contents)?;
    // An Image says how much room it needs beyond the file, for what is zero at first.
    let room = image_size(&contents).unwrap_or(0);
    Ok(Loaded {
        entry: start,
        range: start..range.end.max(start.saturating_add(room)),
    })
}

/// The size in memory that the header of an Image tells.
fn image_size(contents: &[u8]) -> Option<u64> {
    let header = contents.first_chunk::<64>()?;
    let is_image = header[0x38..0x3c] == *b"RSC\x05";
    let size = header[0x10..0x18].try_into().ok()?;
    is_image.then(|| u64::from_le_bytes(size))
}

fn elf(ram: &Ram, path: &Path, contents: &[u8]) -> Result<Loaded, Error> {
    let wrong = |why: &dyn std::fmt::Display| Error::Elf {
        path: path.into(),
        why: why.to_string(),
    };
    let header = FileHeader64::<LittleEndian>::parse(contents).map_err(|error| wrong(&error))?;
    let endian = header.endian().map_err(|error| wrong(&error))?;
    if header.e_machine(endian) != object::elf::EM_RISCV {
        return Err(wrong(&"it is for another machine"));
    }
    let segments = header
        .program_headers(endian, contents)
        .map_err(|error| wrong(&error))?;
    let mut all: Option<Range<u64>> = None;
    // Entries may be virtual; the first segment that holds it says where that is.
    let mut entry = header.e_entry(endian);
    for segment in segments
        .iter()
        .filter(|segment| segment.p_type(endian) == PT_LOAD)
    {
        let start = segment.p_paddr(endian);
        let data = segment.data(endian, contents);
        let data = data.map_err(|()| wrong(&"a segment lies outside the file"))?;
        let size = segment.p_memsz(endian).max(data.len() as u64);
        let too_large = || Error::TooLarge {
            path: path.into(),
            range: start..start.saturating_add(size),
        };
        let end = start
            .checked_add(size)
            .filter(|&end| end <= ram.range().end);
        let end = end.ok_or_else(too_large)?;
        // What is zero at first is zero: nothing was in memory before.
        put(ram, path, start, data)?;
        let virtual_start = segment.p_vaddr(endian);
        if header.e_entry(endian).wrapping_sub(virtual_start) < size {
            entry = header.e_entry(endian) - virtual_start + start;
        }
        all = Some(all.map_or(start..end, |all| all.start.min(start)..all.end.max(end)));
    }
    let range = all.ok_or_else(|| wrong(&"it has no segment to load"))?;
    Ok(Loaded { entry, range })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut contents = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LIMIT).read_to_end(&mut contents))
        .map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
    Ok(contents)
}

/// What is in a file that may be compressed.
fn uncompress(path: &Path, contents: Vec<u8>) -> Result<Vec<u8>, Error> {
    let broken = |why: String| Error::Compressed {
        path: path.into(),
        why,
    };
    let mut plain = Vec::new();
    match contents.as_slice() {
        [0x1f, 0x8b, ..] => GzDecoder::new(contents.as_slice())
            .take(LIMIT)
            .read_to_end(&mut plain)
            .map_err(|error| broken(error.to_string()))?,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            ruzstd::decoding::StreamingDecoder::new(contents.as_slice())
                .map_err(|error| broken(error.to_string()))?
                .take(LIMIT)
                .read_to_end(&mut plain)
                .map_err(|error| broken(error.to_string()))?
        }
        _ => return Ok(contents),
    };
    Ok(plain)
}

fn put(ram: &Ram, path: &Path, start: u64, contents: &[u8]) -> Result<Range<u64>, Error> {
    let range = start..start.saturating_add(contents.len() as u64);
    let written = ram.device_view().write_slice(contents, GuestAddress(start));
    match written {
        Ok(()) => Ok(range),
        // Nothing to write fails as well, and is fine.
        Err(_) if contents.is_empty() => Ok(range),
        Err(_) => Err(Error::TooLarge {
            path: path.into(),
            range,
        }),
    }
}

/// The machine as firmware finds it in `a2` (OpenSBI's `fw_dynamic`): the kernel's entry, to be run in
/// supervisor mode by whichever hart firmware likes.
pub fn dynamic_info(kernel_entry: u64) -> Vec<u8> {
    const MAGIC: u64 = 0x4942_534f;
    const VERSION: u64 = 2;
    const SUPERVISOR: u64 = 1;
    const NO_OPTIONS: u64 = 0;
    const ANY_HART: u64 = u64::MAX;
    [
        MAGIC,
        VERSION,
        kernel_entry,
        SUPERVISOR,
        NO_OPTIONS,
        ANY_HART,
    ]
    .iter()
    .flat_map(|word| word.to_le_bytes())
    .collect()
}

/// Where [`dynamic_info`] lies.
pub const DYNAMIC_INFO: u64 = map::ROM.start;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn ram(mib: u64) -> Arc<Ram> {
        Ram::new(map::RAM, mib * MIB).expect("the host has that much")
    }

    fn file(contents: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
        file.write_all(contents).expect("it can be written");
        file
    }

    fn bytes(ram: &Ram, start: u64, len: usize) -> Vec<u8> {
        let mut buffer = vec![0; len];
        let read = ram
            .device_view()
            .read_slice(&mut buffer, GuestAddress(start));
        read.expect("it is memory");
        buffer
    }

    /// An Image of 100 bytes that needs a MiB.
    fn image() -> Vec<u8> {
        let mut image = vec![0x13; 100];
        image[..2].copy_from_slice(b"MZ");
        image[0x10..0x18].copy_from_slice(&MIB.to_le_bytes());
        image[0x38..0x3c].copy_from_slice(b"RSC\x05");
        image
    }

    /// An ELF file with a segment of four bytes, virtual address 0xffff_0000, at `physical`.
    fn elf_file(physical: u64) -> Vec<u8> {
        let mut elf = Vec::new();
        elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
        elf.extend([2, 0, 243, 0, 1, 0, 0, 0]);
        for word in [0xffff_0002_u64, 64, 0] {
            elf.extend(word.to_le_bytes());
        }
        elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        elf.extend([1, 0, 0, 0, 7, 0, 0, 0]);
        for word in [120_u64, 0xffff_0000, physical, 4, 0x1000, 0x1000] {
            elf.extend(word.to_le_bytes());
        }
        elf.extend([1, 2, 3, 4]);
        elf
    }

    #[test]
    fn images_go_two_mib_behind_the_beginning_with_their_room() {
        let ram = ram(16);
        let loaded = kernel(&ram, file(&image()).path()).expect("it fits");
        let start = map::RAM + 2 * MIB;
        assert_eq!(loaded.entry, start);
        assert_eq!(loaded.range, start..start + MIB);
        assert_eq!(bytes(&ram, start, 100), image());
        let disk = initrd(&ram, file(b"disk").path(), &loaded).expect("it fits");
        assert_eq!(disk, start + 8 * MIB..start + 8 * MIB + 4);
    }

    #[test]
    fn compressed_kernels_are_uncompressed() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&image()).expect("memory does not fail");
        let gzip = gzip.finish().expect("memory does not fail");
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let zstd = ruzstd::encoding::compress_to_vec(image().as_slice(), level);
        for packed in [gzip, zstd] {
            let ram = ram(16);
            let loaded = kernel(&ram, file(&packed).path()).expect("it fits");
            assert_eq!(bytes(&ram, loaded.entry, 100), image());
            let cut = file(&packed[..packed.len() / 2]);
            let error = kernel(&ram, cut.path()).expect_err("half of it is missing");
            assert!(matches!(error, Error::Compressed { .. }), "{error}");
        }
    }

    #[test]
    fn elf_files_go_where_they_say() {
        let ram = ram(16);
        let at = map::RAM + 4 * MIB;
        let loaded = kernel(&ram, file(&elf_file(at)).path()).expect("it fits");
        assert_eq!(loaded.entry, at + 2);
        assert_eq!(loaded.range, at..at + 0x1000);
        assert_eq!(bytes(&ram, at, 5), [1, 2, 3, 4, 0]);
        for (nowhere, len) in [
            (0, 124),
            (u64::MAX - 16, 124),
            (map::RAM + 16 * MIB - 8, 124),
            (at, 122),
            (at, 70),
        ] {
            let broken = &elf_file(nowhere)[..len];
            assert!(
                kernel(&ram, file(broken).path()).is_err(),
                "{nowhere:#x} {len}"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let small = ram(2);
        let error = kernel(&small, file(&image()).path()).expect_err("there is no room");
        assert!(error.to_string().contains("larger -m"), "{error}");
        let error = kernel(&small, Path::new("/nonexistent")).expect_err("it is not there");
        assert!(
            error.to_string().contains("cannot read /nonexistent"),
            "{error}"
        );
        let ram = ram(4);
        let room = map::RAM..map::RAM + MIB;
        assert_eq!(
            tree(&ram, &[1; 100], &[room]).expect("it fits"),
            map::RAM + 2 * MIB
        );
        let taken = map::RAM..map::RAM + 2 * MIB + 1;
        assert!(tree(&ram, &[1; 100], &[taken]).is_err());
        assert!(tree(&ram, &vec![1; 5 << 20], &[]).is_err());
    }
}
