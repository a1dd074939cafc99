//! Profiles: how many instructions each vCPU executed in each function, to the instruction.
//!
//! 1. Every function has a counter: a word that each vCPU has for itself. It is given when a block
//!    with an instruction of the function is translated first.
//! 2. A block adds 1 before each of its instructions; what falls together becomes one addition, and
//!    what a fault or a signal leaves undone is not counted. So an instruction counts as often as it
//!    begins, also when it faults, as for any plugin.
//! 3. The file is opened at the start, and written once, when the guest has ended, by the process that
//!    opened it. What its forked children count is theirs, and is not written.

mod counters;
mod names;
mod places;
mod rows;
mod symbols;
mod write;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use plugin_rt::Runtime;

use counters::Counters;
use places::Places;

/// What stands in a file's name for the process's number.
const PROCESS: &str = "%d";

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// A row for each function.
    Table,
    /// A line for each stack.
    Folded,
    /// A flame graph.
    Svg,
}

/// A file that a profile is written to; what, its name's ending says.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    path: PathBuf,
    format: Format,
}

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name says nothing.
    #[error(
        "bad name for a profile: {}: it ends in .txt (a table), .folded (stacks) or .svg (a flame graph)",
        .0.display()
    )]
    Ending(PathBuf),
    /// The file.
    #[error("cannot write the profile: {}: {cause}", path.display())]
    File {
        /// Its name.
        path: PathBuf,
        /// What is wrong with it.
        cause: io::Error,
    },
    /// The counters.
    #[error("cannot profile: {0}")]
    Counters(#[from] scoreboard::Full),
    /// The plugin runtime.
    #[error("cannot profile: {0}")]
    Runtime(#[from] plugin_rt::LoadError),
}

impl Output {
    /// By the name of the file.
    pub fn new(name: &OsStr) -> Result<Output, Error> {
        let path = PathBuf::from(name);
        let format = match path.extension().map(OsStrExt::as_bytes) {
            Some(b"txt") => Format::Table,
            Some(b"folded") => Format::Folded,
            Some(b"svg") => Format::Svg,
            _ => return Err(Error::Ending(path)),
        };
        Ok(Output { path, format })
    }

    /// Whether each process has a file of its own.
    pub fn is_for_each_process(name: &OsStr) -> bool {
        name.to_string_lossy().contains(PROCESS)
    }

    /// The name of this process's file.
    fn own_path(&self) -> PathBuf {
        match self.path.to_str() {
            Some(name) => name.replace(PROCESS, &process::id().to_string()).into(),
            None => self.path.clone(),
        }
    }
}

/// A profile that is being made.
pub struct Profile {
    counters: Arc<Counters>,
    path: PathBuf,
    format: Format,
    fd: RawFd,
    /// What the guest is called.
    title: OsString,
    /// Whose profile it is.
    process: u32,
}

impl Profile {
    /// Begins with the profile of a guest that is to run.
    pub fn start(output: &Output, program: &OsStr, runtime: &Runtime) -> Result<Profile, Error> {
        let path = output.own_path();
        let fd = File::create(&path)
            .and_then(linux_user::own_descriptor)
            .map_err(|cause| Error::File {
                path: path.clone(),
                cause,
            })?;
        let counters = Arc::new(Counters::new(runtime.areas(), Places::new())?);
        runtime.add(counters.clone())?;
        Ok(Profile {
            counters,
            path,
            format: output.format,
            fd,
            title: Path::new(program).file_name().unwrap_or(program).to_owned(),
            process: process::id(),
        })
    }

    /// Writes it. The guest has ended.
    pub fn finish(&self) -> Result<(), Error> {
        if process::id() != self.process {
            return Ok(());
        }
        self.write().map_err(|cause| Error::File {
            path: self.path.clone(),
            cause,
        })
    }

    fn write(&self) -> io::Result<()> {
        let rows = self.counters.rows();
        let bytes = match self.format {
            Format::Table => write::table(&rows).into_bytes(),
            Format::Folded => write::folded(&rows).into_bytes(),
            Format::Svg => write::flame_graph(&rows, &self.title.to_string_lossy())?,
        };
        // SAFETY: the descriptor stays open for ever, and is not closed here.
        let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(self.fd) });
        file.write_all(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_what_is_written() {
        let format = |name: &str| Output::new(OsStr::new(name)).map(|output| output.format);
        assert!(matches!(format("a.txt"), Ok(Format::Table)));
        assert!(matches!(format("x/a.b.folded"), Ok(Format::Folded)));
        assert!(matches!(format("%d.svg"), Ok(Format::Svg)));
        for wrong in ["", "a", ".svg", "a.SVG"] {
            assert!(format(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_process_may_have_its_own_file() {
        let output = Output::new(OsStr::new("a%d.txt")).expect("it is a table");
        let own = format!("a{}.txt", process::id());
        assert_eq!(output.own_path(), Path::new(&own));
    }
}
