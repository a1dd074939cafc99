//! The file that a profile is written to; what, its name's ending says.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use linux_user::OwnFile;

use super::rows::Row;
use super::{Error, write};

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

/// Where a profile is to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    path: PathBuf,
    format: Format,
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

    /// Creates the file for the profile of a process.
    pub fn create(&self, process: u32) -> Result<OutputFile, Error> {
        let path = self.path_for(process);
        match File::create(&path).and_then(OwnFile::new) {
            Ok(file) => Ok(OutputFile {
                path,
                file,
                format: self.format,
            }),
            Err(cause) => Err(Error::File { path, cause }),
        }
    }

    fn path_for(&self, process: u32) -> PathBuf {
        match self.path.to_str() {
            Some(name) => name.replace(PROCESS, &process.to_string()).into(),
            None => self.path.clone(),
        }
    }
}

/// A file that has been created, to be written once.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    file: OwnFile,
    format: Format,
}

impl OutputFile {
    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the profile of what is called `title`.
    pub fn write(&self, rows: &[Row], title: &str) -> Result<(), Error> {
        let bytes = match self.format {
            Format::Table => Ok(write::table(rows).into_bytes()),
            Format::Folded => Ok(write::folded(rows).into_bytes()),
            Format::Svg => write::flame_graph(rows, title),
        };
        let written = bytes.and_then(|bytes| (&*self.file).write_all(&bytes));
        written.map_err(|cause| Error::File {
            path: self.path.clone(),
            cause,
        })
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
        assert_eq!(output.path_for(12), Path::new("a12.txt"));
    }
}
