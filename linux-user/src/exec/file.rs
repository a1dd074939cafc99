//! Finding and opening a program's file, scripts included.

use super::elf::{ElfError, HEADER_SIZE, Header, Image};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Scripts whose interpreters are scripts, at most (as in Linux).
const MAX_SCRIPTS: usize = 5;
/// How much of a script's first line counts (as in Linux).
const LINE_MAX: usize = 256;

/// Why a file cannot be run.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum FileError {
    #[error("not found")]
    NotFound,
    #[error("not found: part of its path is not a directory")]
    NotDirectory,
    #[error("permission denied")]
    Permission,
    #[error("is a directory")]
    Directory,
    #[error("not a regular file")]
    NotRegular,
    #[error("cannot be read: {0}")]
    Io(io::Error),
    #[error(transparent)]
    Elf(#[from] ElfError),
    #[error("a script whose interpreters are scripts, without end")]
    ScriptLoop,
    #[error("a script without an interpreter's name")]
    EmptyScript,
    #[error("a script for {}: {error}", name.display())]
    Script {
        name: PathBuf,
        error: Box<FileError>,
    },
    #[error("its interpreter {}: {error} (-L names a root to look in)", name.display())]
    Interpreter {
        name: PathBuf,
        error: Box<FileError>,
    },
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> FileError {
        match error.raw_os_error() {
            Some(libc::ENOENT) => FileError::NotFound,
            Some(libc::ENOTDIR) => FileError::NotDirectory,
            Some(libc::EACCES | libc::EPERM) => FileError::Permission,
            Some(libc::EISDIR) => FileError::Directory,
            _ => FileError::Io(error),
        }
    }
}

/// An ELF program, opened and checked.
#[derive(Debug)]
pub struct Program {
    /// The open file.
    pub file: File,
    /// Where it was found.
    pub path: PathBuf,
    /// Its headers.
    pub image: Image,
}

impl Program {
    /// The name of its interpreter (the dynamic linker), if it wants one.
    pub fn interpreter(&self) -> Result<Option<PathBuf>, FileError> {
        let Some(range) = self.image.interpreter.clone() else {
            return Ok(None);
        };
        let mut name = vec![0; (range.end - range.start) as usize];
        self.file.read_exact_at(&mut name, range.start)?;
        match name.iter().position(|&byte| byte == 0) {
            Some(end) if end > 0 => name.truncate(end),
            _ => return Err(ElfError::BadInterpreter.into()),
        }
        Ok(Some(OsString::from_vec(name).into()))
    }
}

/// A command with scripts resolved: the ELF file to run and its arguments.
#[derive(Debug)]
pub struct Command {
    /// What to load.
    pub program: Program,
    /// `argv`, with the words that scripts' first lines add.
    pub args: Vec<OsString>,
}

/// Opens the program at `path`. A script is followed to its interpreter.
pub fn resolve(
    path: &Path,
    args: &[OsString],
    sysroot: Option<&Path>,
) -> Result<Command, FileError> {
    let mut path = path.to_owned();
    let mut args = args.to_vec();
    for depth in 0..MAX_SCRIPTS {
        match open_any(&in_sysroot(&path, sysroot)) {
            Ok(Opened::Elf(program)) => return Ok(Command { program, args }),
            Err(error) if depth == 0 => return Err(error),
            Err(error) => {
                return Err(FileError::Script {
                    name: path,
                    error: Box::new(error),
                });
            }
            Ok(Opened::Script(line)) => {
                let (interpreter, argument) = script_words(&line)?;
                let mut script_args = vec![interpreter.clone()];
                script_args.extend(argument);
                script_args.push(path.into_os_string());
                script_args.extend(args.into_iter().skip(1));
                args = script_args;
                path = interpreter.into();
            }
        }
    }
    Err(FileError::ScriptLoop)
}

/// Opens an ELF file that is not a script.
pub fn open(path: &Path) -> Result<Program, FileError> {
    match open_any(path)? {
        Opened::Elf(program) => Ok(program),
        Opened::Script(_) => Err(ElfError::NotElf.into()),
    }
}

/// `path` in the foreign root, if it is there.
pub fn in_sysroot(path: &Path, sysroot: Option<&Path>) -> PathBuf {
    if let (Some(root), Ok(relative)) = (sysroot, path.strip_prefix("/")) {
        let inside = root.join(relative);
        if inside.exists() {
            return inside;
        }
    }
    path.to_owned()
}

enum Opened {
    Elf(Program),
    Script(Vec<u8>),
}

fn open_any(path: &Path) -> Result<Opened, FileError> {
    // O_NONBLOCK: a pipe that is no program must not make us wait for a writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(FileError::Directory);
    }
    if !metadata.is_file() {
        return Err(FileError::NotRegular);
    }
    check_executable(path)?;
    let mut start = [0; LINE_MAX];
    let len = read_up_to(&file, &mut start)?;
    if start[..len].starts_with(b"#!") {
        let line = start[2..len].split(|&byte| byte == b'\n').next();
        return Ok(Opened::Script(line.unwrap_or_default().to_vec()));
    }
    let header = Header::parse(&start[..len.min(HEADER_SIZE)])?;
    let range = header.table(metadata.len())?;
    let mut table = vec![0; (range.end - range.start) as usize];
    match file.read_exact_at(&mut table, range.start) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(ElfError::TruncatedProgramHeaders.into());
        }
        other => other?,
    }
    let image = header.image(&table, metadata.len())?;
    Ok(Opened::Elf(Program {
        file,
        path: path.to_owned(),
        image,
    }))
}

/// The kernel's own judgement, with the effective user's rights.
fn check_executable(path: &Path) -> Result<(), FileError> {
    let mut name = path.as_os_str().as_bytes().to_vec();
    name.push(0);
    // SAFETY: `name` is a string that ends with a NUL.
    let status = unsafe {
        libc::faccessat(
            libc::AT_FDCWD,
            name.as_ptr().cast(),
            libc::X_OK,
            libc::AT_EACCESS,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error().into());
    }
    Ok(())
}

fn read_up_to(file: &File, buf: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buf.len() {
        match file.read_at(&mut buf[len..], len as u64)? {
            0 => break,
            more => len += more,
        }
    }
    Ok(len)
}

/// The interpreter and its one argument, which may contain blanks.
fn script_words(line: &[u8]) -> Result<(OsString, Option<OsString>), FileError> {
    let line = line.trim_ascii();
    let word_end = line.iter().position(u8::is_ascii_whitespace);
    let (interpreter, rest) = line.split_at(word_end.unwrap_or(line.len()));
    if interpreter.is_empty() {
        return Err(FileError::EmptyScript);
    }
    let rest = rest.trim_ascii();
    let word = |bytes| OsStr::from_bytes(bytes).to_owned();
    Ok((word(interpreter), (!rest.is_empty()).then(|| word(rest))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Dir {
            let path =
                std::env::temp_dir().join(format!("hartscope-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Dir(path)
        }

        fn file(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_no_program_is_refused_by_name() {
        let dir = Dir::new("open");
        assert!(matches!(
            open(&dir.0.join("none")),
            Err(FileError::NotFound)
        ));
        assert!(matches!(open(&dir.0), Err(FileError::Directory)));
        assert!(matches!(
            open(Path::new("/dev/null")),
            Err(FileError::NotRegular)
        ));
        let data = dir.file("data", b"\x7fELF", 0o644);
        assert!(matches!(open(&data), Err(FileError::Permission)));
        assert!(matches!(
            open(&data.join("x")),
            Err(FileError::NotDirectory)
        ));
        let short = dir.file("short", b"\x7fELF", 0o755);
        assert!(matches!(
            open(&short),
            Err(FileError::Elf(ElfError::TruncatedHeader))
        ));
        let empty = dir.file("empty", b"", 0o755);
        assert!(matches!(
            open(&empty),
            Err(FileError::Elf(ElfError::NotElf))
        ));
    }

    #[test]
    fn scripts_are_followed_to_their_interpreter() {
        let dir = Dir::new("script");
        let script = dir.file("s", b"#! /nowhere/sh  -e x \necho\n", 0o755);
        let args = ["s".into(), "one".into()];
        let error = resolve(&script, &args, None).unwrap_err();
        assert_eq!(error.to_string(), "a script for /nowhere/sh: not found");
        let (interpreter, argument) = script_words(b" /nowhere/sh  -e x ").unwrap();
        assert_eq!(interpreter, "/nowhere/sh");
        assert_eq!(argument.unwrap(), "-e x");
        assert!(matches!(script_words(b"  "), Err(FileError::EmptyScript)));

        let name = dir.0.join("self");
        let content = format!("#!{}\n", name.display());
        dir.file("self", content.as_bytes(), 0o755);
        assert!(matches!(
            resolve(&name, &args, None),
            Err(FileError::ScriptLoop)
        ));
    }

    #[test]
    fn the_foreign_root_wins_where_it_has_the_file() {
        let dir = Dir::new("root");
        dir.file("there", b"", 0o644);
        let root = Some(dir.0.as_path());
        assert_eq!(in_sysroot(Path::new("/there"), root), dir.0.join("there"));
        assert_eq!(in_sysroot(Path::new("/absent"), root), Path::new("/absent"));
        assert_eq!(in_sysroot(Path::new("there"), root), Path::new("there"));
    }
}
