//! Where the control socket of a process is.
//!
//! By default `$XDG_RUNTIME_DIR/hartscope/PID.sock`: in a directory that only the user can enter. Who
//! finds that it is somebody else's, or open to others, does without.
//!
//! A process that is killed, or becomes a program of the host's, leaves a dead socket behind. Taking it
//! away and putting another one there is done with the directory locked: of two that find the same dead
//! socket, the second one would take away what the first one has put there. The file of a process that
//! listens is taken away by that process, before it stops listening.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// The socket of the process `pid`, if there is a place for it.
pub fn of_process(pid: u32) -> Option<PathBuf> {
    let directory = env::var_os("XDG_RUNTIME_DIR").filter(|name| !name.is_empty())?;
    let name = format!("hartscope/{pid}.sock");
    Some(Path::new(&directory).join(name))
}

/// What the user calls a guest: a process id, or a socket's path.
pub fn of_target(target: &OsStr) -> Result<PathBuf, String> {
    let pid = target.to_str().and_then(|text| text.parse().ok());
    match pid {
        None => Ok(PathBuf::from(target)),
        Some(pid) => of_process(pid).ok_or_else(|| {
            format!("no socket for process {pid}: XDG_RUNTIME_DIR is not set: name the socket")
        }),
    }
}

/// Makes the directory of the default sockets, or says what is wrong with it.
pub fn prepare_directory(socket: &Path) -> io::Result<()> {
    let Some(directory) = socket.parent() else {
        return Ok(());
    };
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = fs::symlink_metadata(directory)?;
    // SAFETY: only returns a number.
    let own = unsafe { libc::geteuid() };
    let is_ours = metadata.is_dir() && metadata.uid() == own && metadata.mode() & 0o077 == 0;
    match is_ours {
        true => Ok(()),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Listens at `path`, for this user only. A dead socket gives way. Waits for others that are about to do
/// the same.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let _turn = lock_directory(path);
    match bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            bind(path)
        }
        other => other,
    }
}

/// Takes away the dead sockets of processes that are gone, next to the default socket `own`.
pub fn tidy(own: &Path) {
    let entries = own
        .parent()
        .and_then(|directory| fs::read_dir(directory).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let path = entry.path();
        // Nobody who listens is to be bothered.
        if process_of(&path).is_some_and(is_gone) {
            remove_dead(&path);
        }
    }
}

/// Takes a default socket away if it is dead. Gives whether it was.
pub fn remove_dead(socket: &Path) -> bool {
    if process_of(socket).is_none() || !is_stale(socket) {
        return false;
    }
    let _turn = lock_directory(socket);
    // Somebody of the same process id may have been faster.
    is_stale(socket) && fs::remove_file(socket).is_ok()
}

/// Whose default socket it is.
fn process_of(socket: &Path) -> Option<u32> {
    let name = socket.file_name()?.to_str()?;
    let pid = name.strip_suffix(".sock")?.parse().ok()?;
    (of_process(pid)? == socket).then_some(pid)
}

fn is_gone(pid: u32) -> bool {
    // SAFETY: only asks whether the process is there.
    let result = unsafe { libc::kill(pid.cast_signed(), 0) };
    result != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

/// Locks the directory of `path` while the result lives. Where there are no such locks, nobody waits.
fn lock_directory(path: &Path) -> Option<File> {
    let directory = path.parent().filter(|name| !name.as_os_str().is_empty());
    let file = File::open(directory.unwrap_or(Path::new("."))).ok()?;
    file.lock().ok()?;
    Some(file)
}

fn new_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: makes a descriptor; the result is checked.
    let fd = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn address(path: &Path) -> io::Result<libc::sockaddr_un> {
    // SAFETY: zero is a valid value.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    let name = path.as_os_str().as_bytes();
    if name.is_empty() || name.len() >= address.sun_path.len() || name.contains(&0) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    for (to, from) in address.sun_path.iter_mut().zip(name) {
        *to = *from as libc::c_char;
    }
    Ok(address)
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    let (socket, address) = (new_socket()?, address(path)?);
    let fd = socket.as_raw_fd();
    // Before there is a file: it has these permissions from the start.
    // SAFETY: changes permissions.
    unsafe { libc::fchmod(fd, 0o600) };
    let size = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the address is alive for the call.
    if unsafe { libc::bind(fd, (&raw const address).cast(), size) } != 0 {
        return Err(io::Error::last_os_error());
    }
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    // SAFETY: begins to listen.
    if unsafe { libc::listen(fd, BACKLOG) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(UnixListener::from(socket))
}

/// Whether there is a socket that its owner has left behind. (One whose owner is about to listen looks the
/// same, but is never seen by who has locked the directory.)
fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    is_socket && connect_at_once(path).is_err_and(|error| is_refusal(&error))
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Connects, or says that it would take a while.
fn connect_at_once(path: &Path) -> io::Result<()> {
    let (socket, address) = (new_socket()?, address(path)?);
    let size = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the address is alive for the call.
    match unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the other end belongs to this user.
pub fn is_own_user(stream: &UnixStream) -> bool {
    // SAFETY: only returns a number.
    let own = unsafe { libc::geteuid() };
    peer(stream).is_some_and(|peer| peer.uid == own)
}

/// Who is at the other end.
pub fn peer(stream: &UnixStream) -> Option<libc::ucred> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `peer` is there to be filled in.
    let got = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &mut size,
        )
    };
    (got == 0).then_some(peer)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    /// Of those that find the same dead socket one listens, and stays who is found.
    #[test]
    fn a_dead_socket_gives_way_once() {
        const STARTERS: usize = 6;
        let directory = tempfile::tempdir().expect("there is room");
        let path = directory.path().join("socket");
        for round in 0..300 {
            drop(UnixListener::bind(&path).expect("there is room"));
            let together = Barrier::new(STARTERS);
            let start = || {
                together.wait();
                listen(&path)
            };
            let listening: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..STARTERS).map(|_| scope.spawn(start)).collect();
                let results = threads.into_iter().map(|thread| thread.join());
                results
                    .filter_map(|result| result.expect("no panic").ok())
                    .collect()
            });
            assert_eq!(listening.len(), 1, "round {round}");
            UnixStream::connect(&path).expect("it listens");
            listening[0].accept().expect("it is who has been found");
            fs::remove_file(&path).expect("it is there");
        }
    }

    #[test]
    fn what_is_no_dead_socket_stays() {
        let directory = tempfile::tempdir().expect("there is room");
        let path = directory.path().join("1.sock");
        fs::write(&path, "").expect("there is room");
        assert!(!is_stale(&path) && !remove_dead(&path));
        assert!(listen(&path).is_err() && path.exists());
        fs::remove_file(&path).expect("it is there");
        let listener = listen(&path).expect("there is room");
        assert!(!is_stale(&path));
        drop(listener);
        assert!(is_stale(&path));
        // It is no default socket.
        assert!(!remove_dead(&path) && path.exists());
    }
}
