//! Where the control socket of a process is.
//!
//! By default `$XDG_RUNTIME_DIR/hartscope/PID.sock`: in a directory that only the user can enter. Who
//! finds that it is somebody else's, or open to others, does without.

use std::ffi::OsStr;
use std::fs::{DirBuilder, Permissions};
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

/// Listens at `path`, for this user only. A socket that nobody listens at gives way.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            bind(path)
        }
        other => other,
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: makes a descriptor; the result is checked.
    let fd = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // Before there is a file: it has these permissions from the start.
    // SAFETY: changes permissions.
    unsafe { libc::fchmod(fd, 0o600) };
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

/// Whether there is a socket that its owner has left behind.
fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = || {
        UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    is_socket && refused()
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
