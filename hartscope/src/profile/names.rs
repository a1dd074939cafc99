//! Names as people read them. They come out of files that may say anything.

use std::fmt::{self, Write};

use cpp_demangle::{DemangleOptions, Symbol};

/// Bytes of a name; a short one can stand for one that fills the memory.
const LIMIT: usize = 1024;

/// A symbol's name, demangled if it is C++'s or Rust's.
pub fn readable(symbol: &[u8]) -> String {
    let symbol = String::from_utf8_lossy(symbol);
    let name = rust(&symbol).or_else(|| cpp(&symbol));
    printable(name.as_deref().unwrap_or(&symbol))
}

/// Without what would change lines or colours.
pub fn printable(name: &str) -> String {
    let mut end = name.len().min(LIMIT);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].replace(char::is_control, "\u{fffd}")
}

/// Without the hash at the end.
fn rust(symbol: &str) -> Option<String> {
    let name = rustc_demangle::try_demangle(symbol).ok()?;
    let mut text = Limited::default();
    write!(text, "{name:#}").ok()?;
    Some(text.0)
}

fn cpp(symbol: &str) -> Option<String> {
    if !symbol.starts_with("_Z") || symbol.len() > LIMIT {
        return None;
    }
    let name = Symbol::new(symbol).ok()?;
    let mut text = Limited::default();
    name.structured_demangle(&mut text, &DemangleOptions::default())
        .ok()?;
    Some(text.0)
}

/// A text that does not grow beyond [`LIMIT`].
#[derive(Default)]
struct Limited(String);

impl Write for Limited {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.0.len() + part.len() > LIMIT {
            return Err(fmt::Error);
        }
        self.0.push_str(part);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_source() {
        assert_eq!(readable(b"main"), "main");
        assert_eq!(readable(b"_ZN3foo3barEi"), "foo::bar(int)");
        assert_eq!(
            readable(b"_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE"),
            "core::fmt::Write::write_fmt"
        );
        assert_eq!(readable(b"_RNvC6_123foo3bar"), "123foo::bar");
    }

    #[test]
    fn hostile_names_stay_short_and_on_one_line() {
        assert_eq!(readable(b"a\nb\x1b[31m"), "a\u{fffd}b\u{fffd}[31m");
        assert_eq!(readable(b"_Znonsense"), "_Znonsense");
        let long = "é".repeat(LIMIT);
        assert_eq!(readable(long.as_bytes()).len(), LIMIT);
        // Each pair doubles what it stands for.
        let mut bomb = String::from("_Z1fI1A1AE");
        for level in 0..30 {
            bomb.push_str(&format!("S{}_S{}_", level, level));
        }
        assert!(readable(bomb.as_bytes()).len() <= LIMIT);
    }
}
