//! The functions of a program, by address, from its file's symbol table.

use crate::OwnFile;
use object::elf::{FileHeader64, STT_FUNC};
use object::read::elf::{ElfFile, Sym};
use object::{LittleEndian, ReadCache};
use std::ffi::CStr;

/// A file with symbols, and where it has been loaded.
#[derive(Debug)]
pub(crate) struct Source {
    /// The open file.
    pub file: OwnFile,
    /// What is added to the addresses in it.
    pub bias: u64,
}

/// Functions, by address.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    /// Ascending by start.
    all: Vec<Function>,
}

#[derive(Debug)]
struct Function {
    start: u64,
    end: u64,
    /// The highest end of this one and all before it.
    reach: u64,
    name: &'static CStr,
}

impl Functions {
    /// Reads the symbol tables of some files. One that cannot be read has no functions.
    pub(crate) fn read(sources: &[Source]) -> Functions {
        let mut all = Vec::new();
        for source in sources {
            collect(source, &mut all);
        }
        Functions::sorted(all)
    }

    fn sorted(mut all: Vec<Function>) -> Functions {
        all.sort_by_key(|function| (function.start, function.end));
        let mut reach = 0;
        for function in &mut all {
            reach = reach.max(function.end);
            function.reach = reach;
        }
        Functions { all }
    }

    /// The name of the function that `addr` lies in: of several, the one that begins last.
    pub(crate) fn at(&self, addr: u64) -> Option<&'static CStr> {
        let behind = self.all.partition_point(|function| function.start <= addr);
        self.all[..behind]
            .iter()
            .rev()
            .take_while(|function| addr < function.reach)
            .find(|function| addr < function.end)
            .map(|function| function.name)
    }
}

/// Adds the functions of a file.
fn collect(source: &Source, to: &mut Vec<Function>) {
    let data = ReadCache::new(source.file.reader());
    let Ok(elf) = ElfFile::<FileHeader64<LittleEndian>, _>::parse(&data) else {
        return;
    };
    let table = elf.elf_symbol_table();
    for symbol in table.iter() {
        let size = symbol.st_size(LittleEndian);
        if symbol.st_type() != STT_FUNC || size == 0 {
            continue;
        }
        let Ok(name) = table.symbol_name(LittleEndian, symbol) else {
            continue;
        };
        let start = symbol.st_value(LittleEndian).wrapping_add(source.bias);
        to.push(Function {
            start,
            end: start.saturating_add(size),
            reach: 0,
            name: permanent(name),
        });
    }
}

/// The name as a string that is never freed: plugins keep the pointers.
fn permanent(name: &[u8]) -> &'static CStr {
    let mut bytes = name.to_vec();
    bytes.push(0);
    // Names come out of a table of strings that end with a NUL: there is none inside.
    CStr::from_bytes_with_nul(bytes.leak()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    fn functions(all: &[(u64, u64, &'static CStr)]) -> Functions {
        let functions = all.iter().map(|&(start, end, name)| Function {
            start,
            end,
            reach: 0,
            name,
        });
        Functions::sorted(functions.collect())
    }

    #[test]
    fn a_function_ends_where_the_next_may_begin() {
        let table = functions(&[(20, 30, c"b"), (10, 20, c"a"), (40, 41, c"c")]);
        let names: Vec<_> = [9, 10, 19, 20, 29, 30, 40, 41]
            .map(|addr| table.at(addr))
            .into();
        let (a, b, c) = (Some(c"a"), Some(c"b"), Some(c"c"));
        assert_eq!(names, [None, a, a, b, b, None, c, None]);
    }

    #[test]
    fn a_function_within_another_hides_its_part_only() {
        let table = functions(&[(10, 100, c"outer"), (20, 30, c"inner"), (50, 51, c"other")]);
        assert_eq!(table.at(25), Some(c"inner"));
        assert_eq!(table.at(30), Some(c"outer"));
        assert_eq!(table.at(99), Some(c"outer"));
        assert_eq!(table.at(100), None);
    }

    #[test]
    fn what_is_no_program_has_no_functions() {
        let file = tempfile().expect("a file without a name");
        file.write_at(b"\x7fELF\x02\x01\x01", 0)
            .expect("it is ours");
        let file = OwnFile::new(file).expect("there is room");
        let table = Functions::read(&[Source { file, bias: 0 }]);
        assert_eq!(table.at(0), None);
    }

    fn tempfile() -> io::Result<File> {
        use std::os::fd::FromRawFd;
        // SAFETY: the name is a string, and the result is checked before it is used.
        unsafe {
            match libc::memfd_create(c"symbols".as_ptr(), 0) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(File::from_raw_fd(fd)),
            }
        }
    }
}
