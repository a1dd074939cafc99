//! `execve`: another program in this process.
//!
//! A riscv64 program needs hartscope again: the host executes hartscope's own file, with the same
//! options. Any other program is executed by the host itself. Either way the host's kernel does
//! what `execve` does to descriptors, signal actions, other threads and a waiting `vfork` parent.

use super::elf::ElfError;
use super::file::{self, FileError};
use crate::mm::AddressSpace;
use crate::syscall::path;
use crate::{Args, Errno, Process, SysResult, Thread, signal};
use std::ffi::{CString, OsStr, OsString, c_char};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest argument (as in Linux).
const LONGEST: usize = 32 * 4096;
/// All arguments and the environment together (as in Linux with an 8 MiB stack).
const ALL: usize = 2 << 20;
/// Longest file name.
const PATH_MAX: usize = 4096;

/// `execve`
pub fn execve(thread: &mut Thread, args: &Args) -> SysResult {
    let &[name, argv, envp, ..] = args;
    let process = thread.process.clone();
    let name = read_name(&process.mm, name)?;
    execute(thread, &process, &name, argv, envp)
}

/// `execveat`
pub fn execveat(thread: &mut Thread, args: &Args) -> SysResult {
    let &[dir, name, argv, envp, flags, _] = args;
    let (dir, flags) = (dir as i32, flags as i32);
    if flags & !(libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let process = thread.process.clone();
    let name = read_name(&process.mm, name)?;
    let name = if name.as_os_str().is_empty() {
        if flags & libc::AT_EMPTY_PATH == 0 {
            return Err(Errno::ENOENT);
        }
        open_file_name(dir)?
    } else if name.is_absolute() || dir == libc::AT_FDCWD {
        name
    } else {
        descriptor_path(dir).join(name)
    };
    let is_link = || name.symlink_metadata().is_ok_and(|m| m.is_symlink());
    if flags & libc::AT_SYMLINK_NOFOLLOW != 0 && is_link() {
        return Err(Errno::ELOOP);
    }
    execute(thread, &process, &name, argv, envp)
}

fn execute(thread: &mut Thread, process: &Process, name: &Path, argv: u64, envp: u64) -> SysResult {
    let mut room = ALL;
    let mut args = read_strings(&process.mm, argv, &mut room)?;
    let env = read_strings(&process.mm, envp, &mut room)?;
    if args.is_empty() {
        // As in Linux: no program is to find that it has not even a name.
        args.push(OsString::new());
    }
    let found = path::host_name(process, name).unwrap_or_else(|| name.to_owned());
    let sysroot = process.options.sysroot.as_deref();
    match file::resolve(&found, &args, sysroot) {
        Ok(_) => {
            let args = again(process, &found, &args);
            host_execve(thread, OsStr::new("/proc/self/exe"), &args, &env)
        }
        Err(error) if is_foreign(&error) => host_execve(thread, found.as_os_str(), &args, &env),
        Err(error) => Err(errno_of(&error)),
    }
}

/// Whether the host may know what to do with the file.
fn is_foreign(error: &FileError) -> bool {
    match error {
        FileError::Script { error, .. } => is_foreign(error),
        FileError::Elf(error) => matches!(
            error,
            ElfError::WrongMachine(_) | ElfError::Class32 | ElfError::NotElf
        ),
        _ => false,
    }
}

fn errno_of(error: &FileError) -> Errno {
    match error {
        FileError::Script { error, .. } => errno_of(error),
        FileError::NotFound | FileError::Interpreter { .. } => Errno::ENOENT,
        FileError::NotDirectory => Errno::ENOTDIR,
        FileError::Permission | FileError::Directory | FileError::NotRegular => Errno::EACCES,
        FileError::ScriptLoop => Errno::ELOOP,
        FileError::Elf(_) | FileError::EmptyScript => Errno::ENOEXEC,
        FileError::Io(error) => error.raw_os_error().map_or(Errno::EIO, Errno),
    }
}

/// The command line that runs hartscope on a program.
fn again(process: &Process, program: &Path, args: &[OsString]) -> Vec<OsString> {
    let mut command = process.options.reexec.clone();
    command.push("-0".into());
    command.push(args.first().cloned().unwrap_or_default());
    // Not to be taken for an option.
    match program.as_os_str().as_bytes().first() {
        Some(b'-') => command.push(Path::new(".").join(program).into()),
        _ => command.push(program.into()),
    }
    command.extend(args.iter().skip(1).cloned());
    command
}

fn host_execve(thread: &Thread, file: &OsStr, args: &[OsString], env: &[OsString]) -> SysResult {
    let file = c_string(file);
    let args: Vec<CString> = args.iter().map(|arg| c_string(arg)).collect();
    let env: Vec<CString> = env.iter().map(|entry| c_string(entry)).collect();
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        let ends = std::iter::once(std::ptr::null());
        strings.iter().map(|s| s.as_ptr()).chain(ends).collect()
    };
    let (argv, envp) = (pointers(&args), pointers(&env));
    let words = [
        file.as_ptr() as u64,
        argv.as_ptr() as u64,
        envp.as_ptr() as u64,
        0,
        0,
        0,
    ];
    let mailbox = &thread.signals.mailbox;
    // A signal that has been taken from the kernel must not get lost: it is delivered first.
    // SAFETY: pointers to strings and arrays as the call wants them.
    unsafe { signal::safe_syscall(mailbox, libc::SYS_execve, &words) }.map_err(
        |errno| match errno {
            Errno::ERESTARTSYS => Errno::ERESTARTNOINTR,
            errno => errno,
        },
    )
}

/// What was read up to a NUL has none inside.
fn c_string(text: &OsStr) -> CString {
    CString::new(text.as_bytes()).unwrap_or_default()
}

fn read_name(mm: &AddressSpace, addr: u64) -> Result<PathBuf, Errno> {
    let name = mm.read_c_string(addr, PATH_MAX - 1)?;
    Ok(OsString::from_vec(name).into())
}

/// Reads an array of pointers to strings, which ends with a null pointer. `room` is what may still
/// be read.
fn read_strings(mm: &AddressSpace, array: u64, room: &mut usize) -> Result<Vec<OsString>, Errno> {
    let mut strings = Vec::new();
    if array == 0 {
        return Ok(strings);
    }
    let mut at = array;
    loop {
        let pointer = mm.read_u64(at)?;
        if pointer == 0 {
            return Ok(strings);
        }
        let string = mm
            .read_c_string(pointer, LONGEST)
            .map_err(|errno| match errno {
                Errno::ENAMETOOLONG => Errno::E2BIG,
                errno => errno,
            })?;
        *room = room.checked_sub(string.len() + 1 + 8).ok_or(Errno::E2BIG)?;
        strings.push(OsString::from_vec(string));
        at = at.checked_add(8).ok_or(Errno::EFAULT)?;
    }
}

fn descriptor_path(fd: i32) -> PathBuf {
    format!("/proc/self/fd/{fd}").into()
}

/// A name for an open file that still names it after an `execve`.
fn open_file_name(fd: i32) -> Result<PathBuf, Errno> {
    let path = descriptor_path(fd);
    let open = path.metadata()?;
    if let Ok(name) = path.read_link()
        && let Ok(named) = name.metadata()
        && (named.dev(), named.ino()) == (open.dev(), open.ino())
    {
        return Ok(name);
    }
    // It has no name: a copy of the descriptor stays open.
    // SAFETY: duplicates a descriptor.
    let copy = unsafe { libc::dup(fd) };
    if copy < 0 {
        return Err(Errno::last());
    }
    Ok(descriptor_path(copy))
}
