//! The first stack of a program.
//!
//! ```text
//! top    0 (8 bytes)
//!        the file's name, environment strings, argument strings
//!        16 random bytes
//!        auxiliary vector, ends with AT_NULL
//!        envp, ends with 0
//!        argv, ends with 0
//! sp →   argc                                       (sp is a multiple of 16)
//! ```

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// Entries of the auxiliary vector that programs are given.
#[allow(missing_docs, reason = "the standard names")]
pub mod at {
    pub const NULL: u64 = 0;
    pub const PHDR: u64 = 3;
    pub const PHENT: u64 = 4;
    pub const PHNUM: u64 = 5;
    pub const PAGESZ: u64 = 6;
    pub const BASE: u64 = 7;
    pub const FLAGS: u64 = 8;
    pub const ENTRY: u64 = 9;
    pub const UID: u64 = 11;
    pub const EUID: u64 = 12;
    pub const GID: u64 = 13;
    pub const EGID: u64 = 14;
    pub const HWCAP: u64 = 16;
    pub const CLKTCK: u64 = 17;
    pub const SECURE: u64 = 23;
    pub const RANDOM: u64 = 25;
    pub const EXECFN: u64 = 31;
    pub const MINSIGSTKSZ: u64 = 51;
}

/// What goes onto the stack.
pub struct Contents<'a> {
    /// `argv`.
    pub args: &'a [OsString],
    /// `envp`.
    pub env: &'a [OsString],
    /// The program's file (`AT_EXECFN`).
    pub file: &'a OsStr,
    /// For `AT_RANDOM`.
    pub random: [u8; 16],
    /// The auxiliary vector without `AT_RANDOM`, `AT_EXECFN` and `AT_NULL`.
    pub auxv: &'a [(u64, u64)],
}

/// A stack's contents, and where they go.
#[derive(Debug)]
pub struct Image {
    /// The stack pointer, where `bytes` begin.
    pub sp: u64,
    /// Up to the top.
    pub bytes: Vec<u8>,
}

/// Lays the stack out below `top`; `None` if it would take more than `limit` bytes.
pub fn build(contents: &Contents, top: u64, limit: u64) -> Option<Image> {
    let mut strings = Strings::default();
    let args: Vec<u64> = contents.args.iter().map(|s| strings.push(s)).collect();
    let env: Vec<u64> = contents.env.iter().map(|s| strings.push(s)).collect();
    let file = strings.push(contents.file);
    strings.bytes.extend([0; 8]);
    let random_at = strings.bytes.len() as u64;
    let (strings, strings_len) = (strings.bytes, random_at);

    let words = 1 + args.len() + 1 + env.len() + 1 + 2 * (contents.auxv.len() + 3);
    let size = 8 * words as u64 + 16 + strings_len;
    if size + 16 > limit {
        return None;
    }
    let sp = (top - size) & !15;
    let strings_at = top - strings_len;
    let random_at = strings_at - 16;

    let mut bytes = Vec::with_capacity((top - sp) as usize);
    let mut word = |value: u64| bytes.extend(value.to_le_bytes());
    word(args.len() as u64);
    for list in [&args, &env] {
        list.iter().for_each(|offset| word(strings_at + offset));
        word(0);
    }
    let last = [
        (at::RANDOM, random_at),
        (at::EXECFN, strings_at + file),
        (at::NULL, 0),
    ];
    for &(key, value) in contents.auxv.iter().chain(&last) {
        word(key);
        word(value);
    }
    bytes.resize((random_at - sp) as usize, 0);
    bytes.extend(contents.random);
    bytes.extend(strings);
    Some(Image { sp, bytes })
}

#[derive(Default)]
struct Strings {
    bytes: Vec<u8>,
}

impl Strings {
    /// Appends a string and its NUL; gives its offset.
    fn push(&mut self, string: &OsStr) -> u64 {
        let at = self.bytes.len() as u64;
        self.bytes.extend_from_slice(string.as_bytes());
        self.bytes.push(0);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Vec<OsString> {
        list.iter().map(|s| OsStr::new(s).into()).collect()
    }

    fn contents<'a>(args: &'a [OsString], env: &'a [OsString]) -> Contents<'a> {
        Contents {
            args,
            env,
            file: OsStr::new("/bin/prog"),
            random: [7; 16],
            auxv: &[(at::PAGESZ, 4096)],
        }
    }

    #[test]
    fn a_program_finds_its_arguments_environment_and_auxiliary_vector() {
        const TOP: u64 = 0x4000_0000;
        for extra in 0..4 {
            let mut args = vec!["prog", "", "two"];
            args.extend(std::iter::repeat_n("x", extra));
            let (args, env) = (strings(&args), strings(&["A=1", "B="]));
            let image = build(&contents(&args, &env), TOP, 1 << 20).unwrap();
            assert_eq!(image.sp % 16, 0);
            assert_eq!(image.sp + image.bytes.len() as u64, TOP);
            let word = |index: usize| {
                u64::from_le_bytes(image.bytes[8 * index..8 * index + 8].try_into().unwrap())
            };
            let string = |addr: u64| {
                let bytes = &image.bytes[(addr - image.sp) as usize..];
                let end = bytes.iter().position(|&b| b == 0).unwrap();
                std::str::from_utf8(&bytes[..end]).unwrap().to_owned()
            };
            let argc = word(0) as usize;
            assert_eq!(argc, 3 + extra);
            assert_eq!(string(word(1)), "prog");
            assert_eq!(string(word(2)), "");
            assert_eq!(string(word(3)), "two");
            assert_eq!(word(1 + argc), 0);
            assert_eq!(string(word(2 + argc)), "A=1");
            assert_eq!(string(word(3 + argc)), "B=");
            assert_eq!(word(4 + argc), 0);
            let aux = 5 + argc;
            assert_eq!((word(aux), word(aux + 1)), (at::PAGESZ, 4096));
            assert_eq!(word(aux + 2), at::RANDOM);
            let random = (word(aux + 3) - image.sp) as usize;
            assert_eq!(image.bytes[random..random + 16], [7; 16]);
            assert_eq!(word(aux + 4), at::EXECFN);
            assert_eq!(string(word(aux + 5)), "/bin/prog");
            assert_eq!((word(aux + 6), word(aux + 7)), (at::NULL, 0));
        }
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused() {
        let long = strings(&[&"x".repeat(5000)]);
        assert!(build(&contents(&long, &[]), 1 << 30, 4096).is_none());
        assert!(build(&contents(&long, &[]), 1 << 30, 8192).is_some());
    }
}
