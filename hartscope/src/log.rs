//! Log files: what they are called, and what plugins say.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, FromRawFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, PoisonError};

use linux_user::OwnFile;
use plugin_rt::Log;

use crate::cli::LogFile;

/// Opens the log, out of the guest's way.
pub fn open(log: &LogFile) -> Result<RawFd, String> {
    let path = path_for(log, process::id())?;
    OpenOptions::new()
        .create(true)
        .write(true)
        .append(log.append)
        .truncate(!log.append)
        .open(&path)
        .and_then(linux_user::own_descriptor)
        .map_err(|error| format!("cannot write the log: {}: {error}", path.display()))
}

/// The log's name, in which `%d` stands for the number of a process or thread.
fn path_for(log: &LogFile, id: u32) -> Result<PathBuf, String> {
    let name = log.path.as_os_str().as_bytes();
    let Some(at) = name.iter().position(|&byte| byte == b'%') else {
        return Ok(log.path.clone());
    };
    let behind = name[at..].strip_prefix(b"%d");
    let Some(behind) = behind.filter(|rest| !rest.contains(&b'%')) else {
        let shown = log.path.display();
        return Err(format!(
            "bad name for a log: {shown}: only one %d may be in it"
        ));
    };
    let mut path = OsString::from_vec(name[..at].to_vec());
    path.push(id.to_string());
    path.push(OsStr::from_bytes(behind));
    Ok(path.into())
}

/// Where plugins' output goes. Text that cannot be written is lost.
pub enum PluginLog {
    /// Nowhere: nobody has asked for it.
    Off,
    /// To the log, or to a standard error that stays when the guest closes its own.
    File(RawFd),
    /// To a file for each thread.
    Threads(ThreadLog),
}

impl PluginLog {
    /// To `fd`, which is the log, or to standard error.
    pub fn on(fd: Option<RawFd>) -> io::Result<PluginLog> {
        if let Some(fd) = fd {
            return Ok(PluginLog::File(fd));
        }
        let stderr = io::stderr().as_fd().try_clone_to_owned()?;
        let fd = linux_user::own_descriptor(File::from(stderr))?;
        Ok(PluginLog::File(fd))
    }
}

impl Log for PluginLog {
    fn is_on(&self) -> bool {
        !matches!(self, PluginLog::Off)
    }

    fn write(&self, text: &[u8]) {
        match self {
            PluginLog::Off => {}
            PluginLog::File(fd) => {
                // SAFETY: the descriptor stays open for ever, and is not closed here.
                let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(*fd) });
                let _ = file.write_all(text);
            }
            PluginLog::Threads(log) => {
                let _ = log.write(text);
            }
        }
    }
}

/// A log for each thread.
pub struct ThreadLog {
    file: LogFile,
    /// The threads whose files have been begun. A file is open only while it is written: there may be
    /// more threads than there is room for descriptors of our own.
    begun: Mutex<BTreeSet<i32>>,
}

impl ThreadLog {
    /// To files of this name, in which `%d` stands for the thread's id.
    pub fn new(file: &LogFile) -> Result<ThreadLog, String> {
        path_for(file, 0)?;
        Ok(ThreadLog {
            file: file.clone(),
            begun: Mutex::default(),
        })
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        // SAFETY: only returns a number.
        let own = unsafe { libc::gettid() };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let append = !begun.insert(own) || self.file.append;
        drop(begun);
        let path = path_for(&self.file, own.cast_unsigned()).map_err(io::Error::other)?;
        let mut options = OpenOptions::new();
        options.create(true).write(true);
        let file = options.append(append).truncate(!append).open(path)?;
        (&*OwnFile::new(file)?).write_all(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(path: impl Into<PathBuf>) -> LogFile {
        LogFile {
            path: path.into(),
            append: false,
        }
    }

    #[test]
    fn logs_are_named_as_in_qemu() {
        let named = |path: &str| path_for(&log(path), 12);
        assert_eq!(named("a.log"), Ok("a.log".into()));
        assert_eq!(named("a%d.log"), Ok("a12.log".into()));
        for wrong in ["%s", "%d%d", "100%", "%%"] {
            assert!(named(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_thread_has_a_log_which_it_begins_once() {
        let directory = tempfile::tempdir().expect("there is room");
        let threads = ThreadLog::new(&log(directory.path().join("%d"))).expect("a good name");
        let log = PluginLog::Threads(threads);
        let say = || {
            // SAFETY: only returns a number.
            let own = directory.path().join(unsafe { libc::gettid() }.to_string());
            std::fs::write(&own, "from before").expect("there is room");
            log.write(b"one\n");
            log.write(b"two\n");
            own
        };
        let files = std::thread::scope(|scope| {
            [scope.spawn(say), scope.spawn(say)].map(|thread| thread.join().expect("no panic"))
        });
        for file in [say()].iter().chain(&files) {
            let text = std::fs::read_to_string(file).expect("it has been written");
            assert_eq!(text, "one\ntwo\n");
        }
    }
}
