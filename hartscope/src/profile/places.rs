//! Where code lies: in a function, or at least in a mapping.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use plugin_rt::Guest;

use super::names;

/// Where code lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In a function.
    Function(Function),
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
            Place::Function(function) => names::readable(function.name),
            Place::Mapping(name) => name.to_string(),
            Place::Unknown => "[unknown]".into(),
        }
    }
}

/// Finds mappings. One that has been found keeps its name, even if something else is mapped there later.
#[derive(Default)]
pub struct Places {
    /// The process's `maps`, out of the guest's way; without it nothing is found.
    maps: Option<ManuallyDrop<File>>,
    found: Vec<(Range<u64>, Arc<str>)>,
}

impl Places {
    pub fn new() -> Places {
        let fd = File::open("/proc/self/maps").and_then(linux_user::own_descriptor);
        // SAFETY: the descriptor stays open for ever; the file is never dropped.
        let maps = fd.map(|fd| ManuallyDrop::new(unsafe { File::from_raw_fd(fd) }));
        Places {
            maps: maps.ok(),
            found: Vec::new(),
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
            .find(|(range, _)| range.contains(&address));
        if let Some((_, name)) = known {
            return Place::Mapping(Arc::clone(name));
        }
        match self.read_maps().and_then(|maps| find(&maps, address)) {
            Some((range, name)) => {
                self.found.push((range, Arc::clone(&name)));
                Place::Mapping(name)
            }
            None => Place::Unknown,
        }
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

/// Finds the line of an address, and says what is mapped there.
fn find(maps: &[u8], address: u64) -> Option<(Range<u64>, Arc<str>)> {
    maps.split(|&byte| byte == b'\n').find_map(|line| {
        let (range, name) = parse(line)?;
        range.contains(&address).then(|| (range, name.into()))
    })
}

/// `START-END PROTECTION OFFSET DEVICE INODE   PATH`
fn parse(line: &[u8]) -> Option<(Range<u64>, String)> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let range = number(start)?..number(end)?;
    let path = words.nth(4).unwrap_or_default().trim_start();
    let name = Path::new(OsStr::from_bytes(path.as_bytes())).file_name();
    let name = match name {
        Some(name) if path.starts_with('/') => format!("[{}]", name.to_string_lossy()),
        _ => "[anonymous]".into(),
    };
    Some((range, names::printable(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &[u8] = b"\
10000-12000 r-xp 00000000 08:01 173521                     /usr/lib/my lib.so
12000-13000 rw-p 00000000 00:00 0 \n\
20000-21000 rw-p 00000000 00:00 0                          [heap]
";

    #[test]
    fn a_mapping_is_named_by_its_file() {
        let name = |address| find(MAPS, address).map(|(_, name)| name.to_string());
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
}
