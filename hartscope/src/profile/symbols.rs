//! The functions of a file that the guest has mapped itself: a library. (Those of the program and its
//! interpreter the guest knows.)

use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use linux_user::OwnFile;
use object::elf::{FileHeader64, PT_LOAD, STT_FUNC};
use object::read::elf::{ElfFile, ProgramHeader};
use object::read::{ObjectSymbol, ReadCache};
use object::{LittleEndian, Object};

use super::names;

const PAGE: u64 = 4096;

/// The functions of a file, by the addresses that are written in it.
#[derive(Default)]
pub struct Functions {
    /// Ascending; no two begin at the same address.
    all: Vec<(Range<u64>, Arc<str>)>,
    /// Segments: where they are in the file, and what makes an address of a position in it.
    segments: Vec<(Range<u64>, u64)>,
}

impl Functions {
    /// Reads a file's. One that is no program has none.
    pub fn read(path: &Path) -> Functions {
        Functions::try_read(path).unwrap_or_default()
    }

    fn try_read(path: &Path) -> Option<Functions> {
        // Opening anything else might do something.
        fs::metadata(path).ok().filter(|file| file.is_file())?;
        let file = OwnFile::new(File::open(path).ok()?).ok()?;
        let data = ReadCache::new(file.reader());
        let elf = ElfFile::<FileHeader64<LittleEndian>, _>::parse(&data).ok()?;
        let segments = elf.elf_program_headers().iter();
        let segments = segments.filter(|segment| segment.p_type(LittleEndian) == PT_LOAD);
        let segments = segments.map(|segment| {
            let at = segment.p_offset(LittleEndian);
            let end = at.saturating_add(segment.p_filesz(LittleEndian));
            let bias = segment.p_vaddr(LittleEndian).wrapping_sub(at);
            (at / PAGE * PAGE..end, bias)
        });
        let segments = segments.collect();
        let mut all: Vec<_> = elf
            .symbols()
            .chain(elf.dynamic_symbols())
            .filter(|symbol| symbol.elf_symbol().st_type() == STT_FUNC && symbol.size() != 0)
            .filter_map(|symbol| {
                let range = symbol.address()..symbol.address().checked_add(symbol.size())?;
                Some((range, names::readable(symbol.name_bytes().ok()?).into()))
            })
            .collect();
        all.sort_by_key(|(range, _)| (range.start, range.end));
        all.dedup_by_key(|(range, _)| range.start);
        Some(Functions { all, segments })
    }

    /// The function at a position in the file.
    pub fn at(&self, position: u64) -> Option<&Arc<str>> {
        let in_segment = |(at, _): &&(Range<u64>, u64)| at.contains(&position);
        let (_, bias) = self.segments.iter().find(in_segment)?;
        let address = position.wrapping_add(*bias);
        let behind = self
            .all
            .partition_point(|(range, _)| range.start <= address);
        let (range, name) = self.all.get(behind.checked_sub(1)?)?;
        range.contains(&address).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_program_has_no_functions() {
        for path in ["", "/", "/dev/zero", "/proc/self/maps", "/nowhere/a"] {
            assert_eq!(Functions::read(Path::new(path)).at(0), None, "{path}");
        }
    }
}
