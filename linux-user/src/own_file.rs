//! Files of hartscope's own that stay out of the guest's way.

use crate::syscall::own_fds;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

/// A file whose descriptor the guest neither sees nor closes. Dropping it closes it.
#[derive(Debug)]
pub struct OwnFile(ManuallyDrop<File>);

impl OwnFile {
    /// Moves a file out of the guest's way. An error says that there is no room for any more.
    pub fn new(file: File) -> io::Result<OwnFile> {
        let own = own_fds::duplicate(file.as_raw_fd())
            .map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
        // SAFETY: just made, for us; `drop` closes it, and the file itself never does.
        Ok(OwnFile(ManuallyDrop::new(unsafe {
            File::from_raw_fd(own)
        })))
    }

    /// A reader with a position of its own: a forked child shares the file's.
    pub fn reader(&self) -> Reader<'_> {
        Reader { file: self, at: 0 }
    }
}

impl Deref for OwnFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        own_fds::close(self.0.as_raw_fd());
    }
}

/// See [`OwnFile::reader`].
#[derive(Debug)]
pub struct Reader<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buf, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_file_is_closed_and_forgotten() {
        let open = || OwnFile::new(File::open("/proc/self/exe").expect("it is there"));
        // More than there is room for at a time.
        for _ in 0..100 {
            let file = open().expect("there is room again");
            let descriptor = file.as_raw_fd();
            assert!(own_fds::is_own(descriptor));
            drop(file);
            assert!(!own_fds::is_own(descriptor));
        }
    }

    #[test]
    fn readers_have_positions_of_their_own() {
        let file = File::open("/proc/self/exe").and_then(OwnFile::new);
        let file = file.expect("it is there");
        let (mut one, mut other) = (file.reader(), file.reader());
        let mut magic = [0; 4];
        other.seek(SeekFrom::End(-4)).expect("it is longer");
        one.read_exact(&mut magic).expect("it is longer");
        assert_eq!(&magic, b"\x7fELF");
        other.read_exact(&mut magic).expect("these are the last");
        assert!(matches!(other.read(&mut magic), Ok(0)));
        assert!(other.seek(SeekFrom::Current(i64::MIN)).is_err());
    }
}
