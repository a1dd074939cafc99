//! Names of flag bits and of enumerated values, as strace prints them.
//!
//! A [`Set`] is a list of (mask, value, name). A number is printed by going through the list:
//! every entry whose value stands in the bits under its mask is named and its mask is taken off;
//! what is left over at the end is printed in hexadecimal. A plain flag has its own bit as mask,
//! an enumerated value has all bits, a field (`O_ACCMODE`, `S_IFMT`) has those of the field.

use std::fmt::Write;

/// One name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    mask: u64,
    value: u64,
    name: &'static str,
}

impl Entry {
    /// A flag: one or several bits that all must be set.
    pub const fn flag(name: &'static str, bits: i64) -> Entry {
        let bits = bits as u64 & 0xffff_ffff;
        Entry {
            mask: bits,
            value: bits,
            name,
        }
    }

    /// The only name for a number.
    pub const fn value(name: &'static str, value: i64) -> Entry {
        Entry {
            mask: 0xffff_ffff,
            value: value as u64 & 0xffff_ffff,
            name,
        }
    }

    /// One value of the field under `mask`.
    pub const fn field(name: &'static str, mask: i64, value: i64) -> Entry {
        Entry {
            mask: mask as u64 & 0xffff_ffff,
            value: value as u64 & 0xffff_ffff,
            name,
        }
    }
}

/// How the numbers of one kind are named. Only the low 32 bits of a number count.
#[derive(Debug)]
pub struct Set {
    /// What stands in the comment after a number that has no name (`O_???`).
    pub unknown: &'static str,
    /// The names, in the order in which they are printed.
    pub entries: &'static [Entry],
}

impl Set {
    /// Appends `number`, named.
    pub fn print(&self, out: &mut String, number: u64) {
        let number = number & 0xffff_ffff;
        let mut left = number;
        let mut taken = 0;
        let mut named = false;
        for entry in self.entries {
            let matches = number & entry.mask == entry.value && taken & entry.mask == 0;
            if !matches {
                continue;
            }
            if named {
                out.push('|');
            }
            out.push_str(entry.name);
            named = true;
            taken |= entry.mask;
            left &= !entry.mask;
        }
        // A `String` cannot fail to be written to.
        let _ = match (named, left) {
            (true, 0) => Ok(()),
            (true, _) => write!(out, "|{left:#x}"),
            (false, 0) => write!(out, "0"),
            (false, _) => write!(out, "{left:#x} /* {} */", self.unknown),
        };
    }

    /// The single name of `number`, if it has one.
    pub fn name(&self, number: u64) -> Option<&'static str> {
        let number = number & 0xffff_ffff;
        let entry = self.entries.iter().find(|entry| entry.value == number)?;
        Some(entry.name)
    }
}

/// Defines sets whose entries are constants of `libc`: `flags` for bits, `values` for enumerated
/// numbers.
macro_rules! sets {
    ($($kind:ident $set:ident $unknown:literal: $($name:ident)*;)*) => {
        $(
            #[doc = concat!("Names `", $unknown, "`.")]
            pub static $set: $crate::strace::set::Set = $crate::strace::set::Set {
                unknown: $unknown,
                entries: &[$($crate::strace::set::sets!(@ $kind $name)),*],
            };
        )*
    };
    (@ flags $name:ident) => {
        $crate::strace::set::Entry::flag(stringify!($name), libc::$name as i64)
    };
    (@ values $name:ident) => {
        $crate::strace::set::Entry::value(stringify!($name), libc::$name as i64)
    };
}
pub(crate) use sets;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(set: &Set, number: u64) -> String {
        let mut out = String::new();
        set.print(&mut out, number);
        out
    }

    sets! {
        flags GRND "GRND_???": GRND_NONBLOCK GRND_RANDOM;
        values WHENCE "SEEK_???": SEEK_SET SEEK_CUR SEEK_END;
    }

    #[test]
    fn flags_are_joined_and_unknown_bits_stay_visible() {
        assert_eq!(shown(&GRND, 0), "0");
        assert_eq!(shown(&GRND, 3), "GRND_NONBLOCK|GRND_RANDOM");
        assert_eq!(shown(&GRND, 0x101), "GRND_NONBLOCK|0x100");
        assert_eq!(shown(&GRND, 0x100), "0x100 /* GRND_??? */");
    }

    #[test]
    fn values_have_one_name_and_zero_may_be_one() {
        assert_eq!(shown(&WHENCE, 0), "SEEK_SET");
        assert_eq!(shown(&WHENCE, 2), "SEEK_END");
        assert_eq!(shown(&WHENCE, 9), "0x9 /* SEEK_??? */");
        assert_eq!(WHENCE.name(1), Some("SEEK_CUR"));
        assert_eq!(WHENCE.name(7), None);
    }
}
