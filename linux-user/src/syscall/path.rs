//! Files whose names do not mean the same for the guest as for the host.
//!
//! 1. `/proc/self/exe` and its other spellings name the guest program.
//! 2. Some files under `/proc` would tell of hartscope instead of the guest: they are written
//!    here and opened as anonymous files.
//! 3. With `-L PREFIX`, an absolute name that exists under the prefix means the file there.
//!
//! Everything else is the host's.

use super::{hwprobe, tasks};
use crate::{Errno, Process};
use std::ffi::{CString, OsStr};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longest name, with its NUL.
const PATH_MAX: usize = 4096;

/// The guest's name at `addr`.
pub(super) fn read(process: &Process, addr: u64) -> Result<PathBuf, Errno> {
    let name = process.mm.read_c_string(addr, PATH_MAX - 1)?;
    Ok(PathBuf::from(OsStr::from_bytes(&name)))
}

/// The host name of the existing file that the guest calls by the name at `addr`, if it is not the
/// same. A NULL pointer is nobody's name.
pub(super) fn redirect(process: &Process, addr: u64) -> Result<Option<CString>, Errno> {
    if addr == 0 {
        return Ok(None);
    }
    let name = read(process, addr)?;
    Ok(host_name(process, &name).and_then(|path| to_c(&path)))
}

/// The host name of the existing file that the guest calls `name`, if it is not the same.
pub fn host_name(process: &Process, name: &Path) -> Option<PathBuf> {
    if !name.is_absolute() {
        return None;
    }
    if own_proc_file(name) == Some("exe") {
        return Some(process.exe.clone());
    }
    under_prefix(process.options.sysroot.as_deref(), name)
}

fn under_prefix(prefix: Option<&Path>, name: &Path) -> Option<PathBuf> {
    let inside = prefix?.join(name.strip_prefix("/").ok()?);
    inside.symlink_metadata().is_ok().then_some(inside)
}

/// A name for the host.
pub(super) fn to_c(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}

/// What the symbolic link `name` shows the guest, if not what it shows the host.
pub(super) fn link_target<'a>(process: &'a Process, name: &Path) -> Option<&'a Path> {
    (own_proc_file(name) == Some("exe")).then_some(&*process.exe)
}

/// The content of the file `name`, if the host's would be wrong.
pub(super) fn content(process: &Process, name: &Path) -> Option<Vec<u8>> {
    if name == Path::new("/proc/cpuinfo") {
        return Some(cpu_info().into_bytes());
    }
    match own_proc_file(name)? {
        "maps" => Some(process.mm.proc_maps()),
        "cmdline" => Some(with_nuls(&process.options.args)),
        "environ" => Some(with_nuls(&process.options.env)),
        _ => tasks::content(process, name),
    }
}

fn with_nuls(words: &[std::ffi::OsString]) -> Vec<u8> {
    let mut text = Vec::new();
    for word in words {
        text.extend_from_slice(word.as_bytes());
        text.push(0);
    }
    text
}

/// The rest of a name that lies in this process's directory under `/proc`.
pub(super) fn own_proc_file(name: &Path) -> Option<&str> {
    let (directory, rest) = name.to_str()?.strip_prefix("/proc/")?.split_once('/')?;
    let own = match directory {
        "self" | "thread-self" => true,
        number => number.parse() == Ok(std::process::id()),
    };
    own.then_some(rest)
}

fn cpu_info() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = String::new();
    for cpu in 0..cpus {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "processor\t: {cpu}\nhart\t\t: {cpu}\nisa\t\t: {}\nmmu\t\t: sv39\n\
             mvendorid\t: 0x0\nmarchid\t\t: 0x0\nmimpid\t\t: 0x0\n\n",
            hwprobe::ISA
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_directory_has_several_names() {
        let pid = std::process::id();
        for name in [
            "/proc/self/exe",
            "/proc/thread-self/exe",
            &format!("/proc/{pid}/exe"),
        ] {
            assert_eq!(own_proc_file(Path::new(name)), Some("exe"), "{name}");
        }
        for name in [
            "/proc/1/exe",
            "/proc/self",
            "/proc/cpuinfo",
            "/tmp/self/exe",
            "proc/self/exe",
        ] {
            assert_ne!(own_proc_file(Path::new(name)), Some("exe"), "{name}");
        }
    }

    #[test]
    fn the_prefix_counts_only_for_files_that_are_there() {
        let prefix = Some(Path::new("/proc"));
        assert_eq!(
            under_prefix(prefix, Path::new("/version")),
            Some(PathBuf::from("/proc/version"))
        );
        assert_eq!(under_prefix(prefix, Path::new("/no-such-file")), None);
        assert_eq!(under_prefix(None, Path::new("/version")), None);
    }
}
