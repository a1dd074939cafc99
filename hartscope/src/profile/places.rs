//! Where code lies: in a function, or at least in a mapping.

use std::collections::HashMap;
use std::ffi::{CStr, OsString};
use std::fs::File;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use linux_user::OwnFile;
use plugin_rt::Guest;

use super::names;
use super::symbols::Functions;

/// So many mappings are remembered, so that a guest that maps code again and again does not fill memory.
const MAPPINGS: usize = 1024;

/// So many files' functions are read; of further ones only the name is known.
const FILES: usize = 256;

/// Where code lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In a function.
    Function(Function),
    /// In a function of a library: its file, and its name.
    Library(Arc<str>, Arc<str>),
    /// In a mapping, outside of any function; what is mapped.
    Mapping(Arc<str>),
    /// Nobody knows.
    Unknown,
}

/// A function, by its symbol: others of the same name are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Function {
    /// Where the name is.
    address: usize,
    name: &'static CStr,
}

impl Place {
    /// The function whose name this is: the very text of the symbol table.
    pub fn function(name: &'static CStr) -> Place {
        Place::Function(Function {
            address: name.as_ptr().addr(),
            name,
        })
    }

    /// As people read it.
    pub fn name(&self) -> String {
        match self {
            Place::Function(function) => names::readable(function.name.to_bytes()),
            Place::Library(_, name) | Place::Mapping(name) => name.to_string(),
            Place::Unknown => "[unknown]".into(),
        }
    }
}

/// Finds mappings. One that has been found keeps its name, even if something else is mapped there later.
#[derive(Default)]
pub struct Places {
    /// The process's `maps`, out of the guest's way; without it nothing is found.
    maps: Option<OwnFile>,
    found: Vec<Mapping>,
    /// The functions of files, by path.
    files: HashMap<PathBuf, Arc<Functions>>,
}

/// What is mapped.
struct Mapping {
    /// Host addresses.
    range: Range<u64>,
    /// Where its beginning is in the file.
    position: u64,
    name: Arc<str>,
    functions: Arc<Functions>,
}

/// What a line of `maps` says.
#[derive(Debug, PartialEq)]
struct Line {
    range: Range<u64>,
    position: u64,
    /// Empty if there is no file.
    path: PathBuf,
}

impl Places {
    pub fn new() -> Places {
        let maps = File::open("/proc/self/maps").and_then(OwnFile::new);
        Places {
            maps: maps.ok(),
            ..Places::default()
        }
    }

    /// The mapping that guest code lies in.
    pub fn mapping(&mut self, guest: Option<&dyn Guest>, pc: u64) -> Place {
        let Some(guest) = guest else {
            return Place::Unknown;
        };
        // Guest memory consists of mappings of the host's, and those of files are of the same files.
        let address = guest.host_address(pc).addr() as u64;
        let known = self
            .found
            .iter()
            .position(|known| known.range.contains(&address));
        let Some(known) = known.or_else(|| self.add(address)) else {
            return Place::Unknown;
        };
        self.found[known].place(address)
    }

    /// Finds the mapping of an address that lies in no known one.
    #[cold]
    fn add(&mut self, address: u64) -> Option<usize> {
        let line = find(&self.read_maps()?, address)?;
        if self.found.len() == MAPPINGS {
            self.found.clear();
        }
        let functions = self.functions(&line.path);
        self.found.push(Mapping {
            functions,
            name: line.name().into(),
            range: line.range,
            position: line.position,
        });
        Some(self.found.len() - 1)
    }

    fn functions(&mut self, path: &Path) -> Arc<Functions> {
        if let Some(functions) = self.files.get(path) {
            return Arc::clone(functions);
        }
        if self.files.len() == FILES {
            return Arc::default();
        }
        let functions = Arc::new(Functions::read(path));
        self.files.insert(path.to_owned(), Arc::clone(&functions));
        functions
    }

    fn read_maps(&self) -> Option<Vec<u8>> {
        let file = self.maps.as_ref()?;
        let (mut text, mut part) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            match file.read_at(&mut part, text.len() as u64).ok()? {
                0 => return Some(text),
                len => text.extend_from_slice(&part[..len]),
            }
        }
    }
}

impl Mapping {
    fn place(&self, address: u64) -> Place {
        let position = (address - self.range.start).wrapping_add(self.position);
        match self.functions.at(position) {
            Some(name) => Place::Library(Arc::clone(&self.name), Arc::clone(name)),
            None => Place::Mapping(Arc::clone(&self.name)),
        }
    }
}

/// Finds the line of an address.
fn find(maps: &[u8], address: u64) -> Option<Line> {
    let mut lines = maps.split(|&byte| byte == b'\n').filter_map(Line::parse);
    lines.find(|line| line.range.contains(&address))
}

impl Line {
    /// `START-END PROTECTION OFFSET DEVICE INODE   PATH`
    fn parse(line: &[u8]) -> Option<Line> {
        let mut words = line.splitn(6, |&byte| byte == b' ');
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = str::from_utf8(words.next()?).ok()?.split_once('-')?;
        let position = number(str::from_utf8(words.nth(1)?).ok()?)?;
        let path = words.nth(2).unwrap_or_default().trim_ascii_start();
        let path = match path {
            [b'/', ..] => path.to_vec(),
            _ => Vec::new(),
        };
        Some(Line {
            range: number(start)?..number(end)?,
            position,
            path: OsString::from_vec(path).into(),
        })
    }

    fn name(&self) -> String {
        match self.path.file_name() {
            Some(file) => names::printable(&format!("[{}]", file.to_string_lossy())),
            None => "[anonymous]".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use plugin_rt::CodeBounds;

    use super::*;

    const MAPS: &[u8] = b"\
10000-12000 r-xp 00000000 08:01 173521                     /usr/lib/my lib.so
12000-13000 rw-p 00000000 00:00 0 \n\
20000-21000 rw-p 00000000 00:00 0                          [heap]
";

    #[test]
    fn a_mapping_is_named_by_its_file() {
        let name = |address| find(MAPS, address).map(|line| line.name());
        assert_eq!(name(0xffff), None);
        assert_eq!(name(0x10000).as_deref(), Some("[my lib.so]"));
        assert_eq!(name(0x11fff).as_deref(), Some("[my lib.so]"));
        assert_eq!(name(0x12000).as_deref(), Some("[anonymous]"));
        assert_eq!(name(0x20000).as_deref(), Some("[anonymous]"));
        assert_eq!(name(0x21000), None);
    }

    #[test]
    fn functions_of_one_name_are_different() {
        static FIRST: &[u8] = b"f\0";
        static BOTH: [&[u8]; 2] = [FIRST, b"f\0g"];
        let first = CStr::from_bytes_with_nul(BOTH[0]).expect("it ends there");
        let second = CStr::from_bytes_until_nul(BOTH[1]).expect("it ends there");
        let (first, second) = (Place::function(first), Place::function(second));
        assert_eq!(first.name(), second.name());
        assert_ne!(first, second);
        assert_eq!(first, first.clone());
    }

    /// A guest whose memory is all of ours.
    struct Host;

    impl Guest for Host {
        fn read(&self, _addr: u64, _buf: &mut [u8]) -> bool {
            false
        }

        fn write(&self, _addr: u64, _data: &[u8]) -> bool {
            false
        }

        fn host_address(&self, addr: u64) -> *const u8 {
            std::ptr::without_provenance(addr as usize)
        }

        fn symbol(&self, _addr: u64) -> Option<&'static CStr> {
            None
        }

        fn binary(&self) -> Option<CString> {
            None
        }

        fn code(&self) -> CodeBounds {
            CodeBounds::default()
        }
    }

    #[inline(never)]
    fn landmark() {
        std::hint::black_box(());
    }

    #[test]
    fn functions_of_mapped_files_are_found() {
        let mut places = Places::new();
        let mut name = |address: u64| places.mapping(Some(&Host), address).name();
        let found = name(landmark as *const () as u64);
        assert!(found.ends_with("places::tests::landmark"), "{found}");
        let local = 0_u64;
        let found = name((&raw const local).addr() as u64);
        assert_eq!(found, "[anonymous]");
        // Outside of all functions.
        let exe = std::env::current_exe().expect("there is one");
        let own = format!("[{}]", exe.file_name().expect("a file").display());
        static DATA: [u8; 1] = [1];
        assert_eq!(name((&raw const DATA).addr() as u64), own);
        assert_eq!(name(8), "[unknown]");
    }
}
