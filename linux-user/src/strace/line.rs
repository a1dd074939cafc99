//! A line of strace output while it is being put together.

use crate::mm::AddressSpace;
use crate::strace::set::Set;
use crate::strace::sets;
use std::fmt::Write;

/// Bytes of a buffer that are shown.
const STRING_LIMIT: usize = 32;
/// Items of an array that are shown.
const LIST_LIMIT: usize = 32;
/// Longest path or other string that is read from the guest.
const TEXT_LIMIT: usize = 4096;

/// The text so far, and the memory whose contents are shown.
pub struct Line<'a> {
    /// Guest memory.
    pub mm: &'a AddressSpace,
    text: String,
}

impl<'a> Line<'a> {
    /// An empty line.
    pub fn new(mm: &'a AddressSpace) -> Line<'a> {
        Line {
            mm,
            text: String::new(),
        }
    }

    /// What has been put together.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes back what was appended after the first `len` bytes.
    pub fn cut(&mut self, len: usize) {
        self.text.truncate(len);
    }

    /// Appends text as it is.
    pub fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends formatted text.
    pub fn fmt(&mut self, arguments: std::fmt::Arguments<'_>) {
        // A `String` cannot fail to be written to.
        let _ = self.text.write_fmt(arguments);
    }

    /// A signed number.
    pub fn signed(&mut self, number: i64) {
        self.fmt(format_args!("{number}"));
    }

    /// An unsigned number.
    pub fn unsigned(&mut self, number: u64) {
        self.fmt(format_args!("{number}"));
    }

    /// A number in hexadecimal; 0 is plain `0`.
    pub fn hex(&mut self, number: u64) {
        match number {
            0 => self.put("0"),
            _ => self.fmt(format_args!("{number:#x}")),
        }
    }

    /// An address.
    pub fn address(&mut self, addr: u64) {
        match addr {
            0 => self.put("NULL"),
            _ => self.fmt(format_args!("{addr:#x}")),
        }
    }

    /// Permission bits.
    pub fn octal(&mut self, number: u64) {
        match number {
            0 => self.put("000"),
            _ => self.fmt(format_args!("0{number:o}")),
        }
    }

    /// A number with names.
    pub fn set(&mut self, set: &Set, number: u64) {
        set.print(&mut self.text, number);
    }

    /// A file type with permission bits.
    pub fn file_mode(&mut self, mode: u64) {
        let kind = match mode & u64::from(libc::S_IFMT) {
            0 => return self.octal(mode),
            0o010000 => "S_IFIFO",
            0o020000 => "S_IFCHR",
            0o040000 => "S_IFDIR",
            0o060000 => "S_IFBLK",
            0o100000 => "S_IFREG",
            0o120000 => "S_IFLNK",
            0o140000 => "S_IFSOCK",
            _ => return self.octal(mode),
        };
        self.put(kind);
        for (bit, name) in [
            (0o4000, "|S_ISUID"),
            (0o2000, "|S_ISGID"),
            (0o1000, "|S_ISVTX"),
        ] {
            if mode & bit != 0 {
                self.put(name);
            }
        }
        self.put("|");
        self.octal(mode & 0o777);
    }

    /// A signal's name.
    pub fn signal(&mut self, number: u64) {
        match sets::signal_name(number) {
            Some(name) => self.put(&name),
            None => self.signed(i64::from(number as i32)),
        }
    }

    /// A signal set of 64 bits: members, or the others after a tilde if there are fewer of these.
    pub fn signal_set(&mut self, set: u64) {
        let inverted = set.count_ones() > 32;
        if inverted {
            self.put("~");
        }
        self.put("[");
        let shown = if inverted { !set } else { set };
        let mut first = true;
        for number in (1..=64).filter(|number| shown >> (number - 1) & 1 != 0) {
            if !std::mem::take(&mut first) {
                self.put(" ");
            }
            let name = sets::signal_name(number).unwrap_or_default();
            self.put(name.trim_start_matches("SIG"));
        }
        self.put("]");
    }

    /// Bytes as a string, cut off where strace does.
    pub fn string(&mut self, bytes: &[u8]) {
        self.quote(&bytes[..bytes.len().min(STRING_LIMIT)]);
        if bytes.len() > STRING_LIMIT {
            self.put("...");
        }
    }

    /// All bytes as a string, escaped as in C.
    pub fn quote(&mut self, bytes: &[u8]) {
        self.put("\"");
        for (i, &byte) in bytes.iter().enumerate() {
            match byte {
                b'"' => self.put("\\\""),
                b'\\' => self.put("\\\\"),
                b'\t' => self.put("\\t"),
                b'\n' => self.put("\\n"),
                0x0b => self.put("\\v"),
                0x0c => self.put("\\f"),
                b'\r' => self.put("\\r"),
                b' '..=b'~' => self.text.push(char::from(byte)),
                // A digit that follows must not be taken for one of the escape.
                _ if bytes.get(i + 1).is_some_and(u8::is_ascii_digit) => {
                    self.fmt(format_args!("\\{byte:03o}"));
                }
                _ => self.fmt(format_args!("\\{byte:o}")),
            }
        }
        self.put("\"");
    }

    /// Memory as a string.
    pub fn memory(&mut self, addr: u64, len: u64) {
        let shown = len.min(STRING_LIMIT as u64 + 1) as usize;
        let mut bytes = [0; STRING_LIMIT + 1];
        let bytes = &mut bytes[..shown];
        match addr {
            0 => self.put("NULL"),
            _ if self.mm.read(addr, bytes).is_ok() => self.string(bytes),
            _ => self.address(addr),
        }
    }

    /// A C string.
    pub fn c_string(&mut self, addr: u64) {
        match addr {
            0 => self.put("NULL"),
            _ => match self.mm.read_c_string(addr, TEXT_LIMIT) {
                Ok(string) => self.quote(&string),
                Err(_) => self.address(addr),
            },
        }
    }

    /// Items of `size` bytes in brackets.
    pub fn list(
        &mut self,
        addr: u64,
        count: u64,
        size: usize,
        show: impl FnMut(&mut Line<'a>, &[u8]),
    ) {
        let shown = count.min(LIST_LIMIT as u64) as usize;
        let mut bytes = vec![0; shown * size];
        if addr == 0 || (count != 0 && self.mm.read(addr, &mut bytes).is_err()) {
            return self.address(addr);
        }
        self.put("[");
        self.separated(bytes.chunks_exact(size), show);
        if count > shown as u64 {
            self.put(", ...");
        }
        self.put("]");
    }

    /// Items with commas between them.
    pub fn separated<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut show: impl FnMut(&mut Line<'a>, T),
    ) {
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.put(", ");
            }
            show(self, item);
        }
    }

    /// Appends spaces up to `column`.
    pub fn pad_to(&mut self, column: usize) {
        while self.text.len() < column {
            self.text.push(' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(show: impl FnOnce(&mut Line<'_>)) -> String {
        let mm = AddressSpace::new().expect("reserving the window");
        let mut line = Line::new(&mm);
        show(&mut line);
        line.text
    }

    #[test]
    fn strings_are_escaped_and_cut() {
        let elf = b"\x7fELF\x02\x01\x01\x03\0\x31\"\\\n\t";
        assert_eq!(
            shown(|line| line.string(elf)),
            r#""\177ELF\2\1\1\3\0001\"\\\n\t""#
        );
        assert_eq!(
            shown(|line| line.string(&[b'a'; 33])),
            format!("\"{}\"...", "a".repeat(32))
        );
        assert_eq!(
            shown(|line| line.string(&[b'a'; 32])),
            format!("\"{}\"", "a".repeat(32))
        );
    }

    #[test]
    fn signals_and_sets_of_them_have_names() {
        assert_eq!(shown(|line| line.signal(11)), "SIGSEGV");
        assert_eq!(shown(|line| line.signal(34)), "SIGRT_2");
        assert_eq!(shown(|line| line.signal(99)), "99");
        assert_eq!(
            shown(|line| line.signal_set(1 << 9 | 1 << 33)),
            "[USR1 RT_2]"
        );
        assert_eq!(shown(|line| line.signal_set(!(1 << 8))), "~[KILL]");
        assert_eq!(shown(|line| line.signal_set(0)), "[]");
    }

    #[test]
    fn modes_name_the_file_type() {
        assert_eq!(shown(|line| line.file_mode(0o100644)), "S_IFREG|0644");
        assert_eq!(
            shown(|line| line.file_mode(0o041777)),
            "S_IFDIR|S_ISVTX|0777"
        );
        assert_eq!(shown(|line| line.octal(0)), "000");
    }

    #[test]
    fn bad_addresses_are_shown_as_addresses() {
        assert_eq!(shown(|line| line.memory(0x10, 4)), "0x10");
        assert_eq!(shown(|line| line.c_string(1 << 40)), "0x10000000000");
        assert_eq!(shown(|line| line.c_string(0)), "NULL");
        assert_eq!(shown(|line| line.list(8, 3, 4, |_, _| ())), "0x8");
    }
}
