//! `hartscope plugin-check`: what a library is made for, and whether it can be loaded.
//!
//! The file is looked at first, so that what is wrong with it has a name; the dynamic linker has the
//! last word, as it is the one who finds the library's own libraries.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use object::elf::{EM_X86_64, ET_DYN, FileHeader64};
use object::read::elf::{ElfFile, FileHeader};
use object::{LittleEndian, Object, ObjectSegment, ObjectSymbol};
use plugin_rt::VERSIONS;
use plugin_rt::abi::exports;

use crate::print;

type Library<'a> = ElfFile<'a, FileHeader64<LittleEndian>>;

/// Why a library is not loaded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("not a shared library for x86-64")]
    NoLibrary,
    #[error("no plugin: it defines neither qemu_plugin_install nor plugin_init")]
    NoPlugin,
    #[error("it does not say its API version (qemu_plugin_version)")]
    NoVersion,
    #[error("it has an API version, but no qemu_plugin_install")]
    NoInstall,
    #[error("API version {0} is none of {first} to {last}", first = VERSIONS.start(), last = VERSIONS.end())]
    Version(i32),
    #[error("there is no function {0}")]
    NoFunction(String),
    #[error("the dynamic linker refuses it: {0}")]
    Linker(String),
}

/// The interface that a library is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interface {
    Qemu(i32),
    Rfc2018,
}

/// Looks at a library and says what there is to say; returns the exit status.
pub fn run(file: &OsStr) -> i32 {
    let (text, refusal) = report(Path::new(file));
    let verdict = match &refusal {
        None => "hartscope loads it\n".to_owned(),
        Some(refusal) => format!("hartscope does not load it: {refusal}\n"),
    };
    let written = print(&format!("{}: {text}{verdict}", file.to_string_lossy()));
    match refusal {
        None => written,
        Some(_) => 1,
    }
}

/// The file of a library that can be loaded.
pub fn loadable(file: &Path) -> Result<PathBuf, Refusal> {
    match report(file).1 {
        Some(refusal) => Err(refusal),
        None => Ok(with_suffix(file)),
    }
}

/// What is known of a library, and why it is not loaded.
fn report(file: &Path) -> (String, Option<Refusal>) {
    let path = with_suffix(file);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => return (String::new(), Some(Refusal::Read(error))),
    };
    let Some(library) = parse(&bytes) else {
        return (String::new(), Some(Refusal::NoLibrary));
    };
    let interface = interface(&library);
    let mut text = match interface {
        Ok(Interface::Qemu(version)) => format!("a plugin for API version {version}\n"),
        Ok(Interface::Rfc2018) => "a plugin for the interface of 2018\n".to_owned(),
        Err(_) => String::new(),
    };
    let used = used(&library);
    let missing = describe(&mut text, &used);
    let refusal = match (interface, missing) {
        (Err(refusal), _) => Some(refusal),
        (Ok(Interface::Qemu(version)), _) if !VERSIONS.contains(&version) => {
            Some(Refusal::Version(version))
        }
        (Ok(_), Some(function)) => Some(Refusal::NoFunction(function)),
        (Ok(_), None) => open(&path).err().map(Refusal::Linker),
    };
    (text, refusal)
}

/// As the loader looks for it: what is no file may be one with a suffix.
fn with_suffix(file: &Path) -> PathBuf {
    if file.is_file() {
        return file.to_owned();
    }
    let mut name = file.as_os_str().to_owned();
    name.push(".so");
    let suffixed = PathBuf::from(name);
    match suffixed.is_file() {
        true => suffixed,
        false => file.to_owned(),
    }
}

fn parse(bytes: &[u8]) -> Option<Library<'_>> {
    let library = Library::parse(bytes).ok()?;
    let header = library.elf_header();
    let right =
        header.e_type(LittleEndian) == ET_DYN && header.e_machine(LittleEndian) == EM_X86_64;
    right.then_some(library)
}

/// What a library is made for, by what it defines.
fn interface(library: &Library<'_>) -> Result<Interface, Refusal> {
    let defines = |name: &str| {
        let mut symbols = library.dynamic_symbols();
        symbols.any(|symbol| symbol.is_definition() && symbol.name() == Ok(name))
    };
    match (defines("qemu_plugin_install"), version(library)) {
        (true, Some(version)) => Ok(Interface::Qemu(version)),
        (true, None) => Err(Refusal::NoVersion),
        (false, Some(_)) => Err(Refusal::NoInstall),
        (false, None) if defines("plugin_init") => Ok(Interface::Rfc2018),
        (false, None) => Err(Refusal::NoPlugin),
    }
}

/// The value of `qemu_plugin_version` in the file.
fn version(library: &Library<'_>) -> Option<i32> {
    let symbol = library
        .dynamic_symbols()
        .find(|symbol| symbol.is_definition() && symbol.name() == Ok("qemu_plugin_version"))?;
    let within = |segment: &object::read::elf::ElfSegment64<'_, '_, LittleEndian>| {
        symbol.address().wrapping_sub(segment.address()) < segment.size()
    };
    let segment = library.segments().find(within)?;
    match segment.data_range(symbol.address(), 4) {
        Ok(Some(bytes)) => bytes.try_into().ok().map(i32::from_le_bytes),
        // Memory that the file does not fill.
        _ => Some(0),
    }
}

/// The functions of the interfaces that a library wants from us.
fn used<'a>(library: &Library<'a>) -> BTreeSet<&'a str> {
    library
        .dynamic_symbols()
        .filter(|symbol| symbol.is_undefined())
        .filter_map(|symbol| symbol.name().ok())
        .filter(|name| name.starts_with("qemu_plugin_") || name.starts_with("qemulib_"))
        .collect()
}

/// Lists the functions; gives the first one that does not exist.
fn describe(text: &mut String, used: &BTreeSet<&str>) -> Option<String> {
    let mut missing = None;
    for &name in used {
        // Writing to a string cannot fail.
        let _ = match exports().find(|export| export.name == name) {
            Some(export) if name.starts_with("qemu_plugin_") => {
                writeln!(text, "  {name} (since version {})", export.since)
            }
            Some(_) => writeln!(text, "  {name}"),
            None => {
                missing = missing.or_else(|| Some(name.to_owned()));
                writeln!(text, "  {name} (does not exist)")
            }
        };
    }
    missing
}

/// Opens a library as the loader does, and closes it again.
fn open(path: &Path) -> Result<(), String> {
    // Without a slash the dynamic linker would look elsewhere.
    let path = path.canonicalize().map_err(|error| error.to_string())?;
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the library's constructors run, as they would if it were loaded. The error is text of
    // the dynamic linker's, which is copied before the next call.
    unsafe {
        let handle = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if handle.is_null() {
            let error = libc::dlerror();
            return Err(match error.is_null() {
                true => "no reason given".to_owned(),
                false => CStr::from_ptr(error).to_string_lossy().into_owned(),
            });
        }
        libc::dlclose(handle);
    }
    Ok(())
}
