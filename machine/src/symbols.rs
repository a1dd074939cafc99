//! Names of a kernel's functions: from its ELF file, or from a `System.map`.

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use object::{Object, ObjectSymbol, SymbolKind};

/// Why there are no names.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the symbols in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has no symbols, or is something else.
    #[error("no symbols in {}: an ELF file or a System.map is needed", .0.display())]
    Nothing(PathBuf),
}

/// Functions by address.
#[derive(Debug, Default)]
pub struct Symbols {
    /// In order; a function reaches up to the next one, at most as far as it says.
    functions: Vec<Function>,
}

#[derive(Debug)]
struct Function {
    start: u64,
    /// One past the end; `u64::MAX` if nobody says.
    end: u64,
    /// Lives for ever, as plugins may keep it.
    name: &'static CStr,
}

impl Symbols {
    /// The symbols of a file.
    pub fn read(path: &Path) -> Result<Symbols, Error> {
        let contents = fs::read(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        let functions = match object::File::parse(&*contents) {
            Ok(elf) => of_elf(&elf),
            Err(_) => of_map(&contents),
        };
        match functions.is_empty() {
            true => Err(Error::Nothing(path.to_owned())),
            false => Ok(Symbols::new(functions)),
        }
    }

    fn new(mut functions: Vec<Function>) -> Symbols {
        functions.sort_by_key(|function| function.start);
        functions.dedup_by_key(|function| function.start);
        Symbols { functions }
    }

    /// The function that an address lies in.
    pub fn at(&self, addr: u64) -> Option<&'static CStr> {
        let after = self.functions.partition_point(|f| f.start <= addr);
        let function = &self.functions[after.checked_sub(1)?];
        (addr < function.end).then_some(function.name)
    }
}

fn forever(name: &[u8]) -> Option<&'static CStr> {
    Some(Box::leak(CString::new(name).ok()?.into_boxed_c_str()))
}

fn of_elf(elf: &object::File<'_>) -> Vec<Function> {
    let is_function = |symbol: &object::Symbol<'_, '_>| {
        symbol.is_definition() && symbol.kind() == SymbolKind::Text
    };
    let function = |symbol: object::Symbol<'_, '_>| {
        let start = symbol.address();
        Some(Function {
            start,
            end: match symbol.size() {
                0 => u64::MAX,
                size => start.saturating_add(size),
            },
            name: forever(symbol.name_bytes().ok()?)?,
        })
    };
    elf.symbols()
        .filter(is_function)
        .filter_map(function)
        .collect()
}

/// Lines of an address, a letter and a name. Of a function, the letter is `t`, `T`, `w` or `W`; other
/// symbols behind the last one end it.
fn of_map(contents: &[u8]) -> Vec<Function> {
    let text = String::from_utf8_lossy(contents);
    let mut functions: Vec<Function> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(start), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
        else {
            return Vec::new();
        };
        let Ok(start) = u64::from_str_radix(start, 16) else {
            return Vec::new();
        };
        let is_code = matches!(kind, "t" | "T" | "w" | "W");
        if !is_code {
            if let Some(last) = functions.last_mut().filter(|last| last.end == u64::MAX) {
                last.end = start;
            }
        } else if let Some(name) = forever(name.as_bytes()) {
            functions.push(Function {
                start,
                end: u64::MAX,
                name,
            });
        }
    }
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(contents: &[u8]) -> Result<Symbols, Error> {
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        fs::write(file.path(), contents).expect("it can be written");
        Symbols::read(file.path())
    }

    #[test]
    fn a_function_reaches_up_to_the_next_symbol_of_a_map() {
        let map = b"ffffffff80000000 T _start\nffffffff80001000 t first\nffffffff80002000 D data\n";
        let symbols = read(map).expect("a map");
        assert_eq!(symbols.at(0xffff_ffff_8000_0fff), Some(c"_start"));
        assert_eq!(symbols.at(0xffff_ffff_8000_1000), Some(c"first"));
        assert_eq!(symbols.at(0xffff_ffff_8000_2000), None);
        assert_eq!(symbols.at(0x1000), None);
    }

    #[test]
    fn what_is_neither_elf_nor_a_map_is_refused_by_name() {
        for contents in [&b""[..], b"hello", b"zz T name\n"] {
            let error = read(contents).expect_err("no symbols").to_string();
            assert!(error.contains("no symbols in /"), "{error}");
        }
        let missing = Symbols::read(Path::new("/nowhere/System.map")).expect_err("no file");
        assert!(missing.to_string().contains("/nowhere/System.map"));
    }
}
