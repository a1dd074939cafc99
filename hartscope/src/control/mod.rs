//! The control socket of a running guest: QMP, with commands of our own for plugins.
//!
//! 1. Two threads of hartscope's serve it. The *server* talks to clients and never waits for anybody;
//!    the *worker* does what runs plugins' code, one job after the other, inside of the gate that a
//!    forking guest closes. Neither takes signals that are meant for the guest.
//! 2. The server has a table of descriptors of its own. The guest neither sees nor closes what is in
//!    it, a forked child does not inherit it, and `execve` ends it.
//! 3. What a client can make hartscope hold is bounded: connections, bytes of a command, bytes of
//!    answers that it does not read. A client that goes too far is cut off; the guest never notices.
//! 4. A forked child has no control socket: the threads are its parent's. What belongs to the process
//!    that made it is touched by that process only.

mod address;
pub mod client;
mod commands;
mod framing;
mod monitor;
mod profiles;
pub mod profiling;
mod qmp;
mod remote;
mod server;
mod session;
mod worker;

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;
use std::{fs, io, process, ptr};

use plugin_rt::{PluginId, Runtime, Spec};

use qmp::Event;
pub use remote::{Machine, Remote};

/// How long the start waits for its turn to listen.
const TURN: Duration = Duration::from_secs(2);
/// How long the end of the process waits for the worker.
const PATIENCE: Duration = Duration::from_millis(300);
/// Stack of the server, which runs no plugin's code.
const SERVER_STACK: usize = 256 << 10;

/// Which socket the user wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Wish {
    /// The default one, if there is a place for it.
    #[default]
    Default,
    /// None.
    No,
    /// This one.
    At(PathBuf),
    /// This one, unless somebody else has it: for a program that the guest executes.
    IfFree(PathBuf),
}

impl Wish {
    /// Whether there is to be a socket.
    pub fn is_any(&self) -> bool {
        match self {
            Wish::No => false,
            Wish::Default => address::of_process(process::id()).is_some(),
            Wish::At(_) | Wish::IfFree(_) => true,
        }
    }
}

/// The control socket of this process. It listens until [`Control::end`].
pub struct Control {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<worker::Job>,
    /// The process that made it.
    owner: u32,
}

/// What the threads share.
struct Shared {
    remote: Box<dyn Remote>,
    runtime: Arc<Runtime>,
    inbox: Mutex<Vec<Note>>,
    /// The server's thread id.
    server: AtomicI32,
}

/// What others have to say to the server.
enum Note {
    /// A job that a client has asked for is done.
    Done(worker::Ticket, qmp::Answer),
    /// Clients are to be told.
    Event(Event),
    /// Whether this client has something to fetch when the guest has ended.
    Lingers(u64, bool),
    /// The guest has ended. Who waits is told when clients have been told, and the socket is gone.
    End(mpsc::Sender<()>),
}

impl Shared {
    fn tell(&self, note: Note) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.push(note);
        drop(inbox);
        self.remote.wake(self.server.load(Ordering::Relaxed));
    }

    fn take(&self) -> Vec<Note> {
        std::mem::take(&mut self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Listens as the user wishes. `loaded` are the plugins that are there from the start.
pub fn start(
    wish: &Wish,
    remote: Box<dyn Remote>,
    runtime: Arc<Runtime>,
    loaded: Vec<(PluginId, Spec)>,
) -> Result<Option<Control>, String> {
    let (path, must) = match wish {
        Wish::No => return Ok(None),
        Wish::At(path) => (path.clone(), true),
        Wish::IfFree(path) => (path.clone(), false),
        Wish::Default => match address::of_process(process::id()) {
            Some(path) if address::prepare_directory(&path).is_ok() => (path, false),
            _ => return Ok(None),
        },
    };
    let started = std::path::absolute(&path).and_then(|path| serve(path, remote, runtime, loaded));
    match started {
        Ok(control) => Ok(Some(control)),
        Err(error) if must => Err(format!("no control socket at {}: {error}", path.display())),
        // Nobody has asked for it.
        Err(_) => Ok(None),
    }
}

fn serve(
    path: PathBuf,
    remote: Box<dyn Remote>,
    runtime: Arc<Runtime>,
    loaded: Vec<(PluginId, Spec)>,
) -> io::Result<Control> {
    let shared = Arc::new(Shared {
        remote,
        runtime,
        inbox: Mutex::default(),
        server: AtomicI32::new(0),
    });
    let (jobs, orders) = mpsc::channel();
    let (tell, hear) = mpsc::channel();
    let server = {
        let (shared, jobs) = (shared.clone(), jobs.clone());
        move || {
            block_signals(&[]);
            // SAFETY: only returns a number.
            let own = unsafe { libc::gettid() };
            shared.server.store(own, Ordering::Relaxed);
            let listening = own_descriptors().and_then(|()| address::listen(&path));
            let (listener, result): (Option<UnixListener>, _) = match listening {
                Ok(listener) => (Some(listener), Ok(())),
                Err(error) => (None, Err(error)),
            };
            let is_wanted = tell.send(result).is_ok();
            if let Some(listener) = listener {
                let mut told = None;
                if is_wanted {
                    address::tidy(&path);
                    told = server::run(&listener, &shared, &jobs);
                }
                // While it listens: from then on the name is others'.
                let _ = fs::remove_file(&path);
                if let Some(told) = told {
                    let _ = told.send(());
                }
            }
        }
    };
    thread::Builder::new()
        .name("hartscope-ctl".into())
        .stack_size(SERVER_STACK)
        .spawn(server)?;
    let no_turn = |_| io::Error::other("somebody keeps its directory locked");
    hear.recv_timeout(TURN).map_err(no_turn)??;
    let worker = worker::Worker::new(shared.clone(), jobs.clone(), loaded);
    let work = move || {
        // Faults in a plugin's code are reported by their handlers, and who kicks is answered.
        block_signals(&[libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, KICK]);
        worker.run(&orders);
    };
    thread::Builder::new()
        .name("hartscope-plug".into())
        .spawn(work)?;
    Ok(Control {
        shared,
        jobs,
        owner: process::id(),
    })
}

impl Control {
    /// The guest has ended: clients are told, and the socket is gone.
    pub fn end(self) {
        if self.owner != process::id() {
            return;
        }
        let (done, wait) = mpsc::channel();
        if self.jobs.send(worker::Job::End(done)).is_ok() {
            // Nobody is to be in a plugin when the process is taken down.
            let _ = wait.recv_timeout(PATIENCE);
        }
        let (done, wait) = mpsc::channel();
        self.shared.tell(Note::End(done));
        let _ = wait.recv_timeout(server::LONGEST_END);
    }
}

/// The signal by which hartscope gets its threads out of host calls.
pub const KICK: i32 = linux_user::signal::KICK;

/// Blocks all signals but some for the calling thread: they are the guest's.
pub fn block_signals(but: &[i32]) {
    let set = all_signals_but(but);
    // SAFETY: reads the set.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &set, ptr::null_mut()) };
}

fn all_signals_but(but: &[i32]) -> libc::sigset_t {
    // SAFETY: `set` is there to be filled in, and is.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&mut set);
        for &signal in but {
            libc::sigdelset(&mut set, signal);
        }
        set
    }
}

/// Gives the calling thread a table of descriptors of its own, in which there is nothing of the
/// guest's: an end of a pipe that is open here would keep the guest's reader waiting.
fn own_descriptors() -> io::Result<()> {
    // SAFETY: from here on this thread uses the descriptors only that it opens itself.
    unsafe {
        let unshare = libc::CLOSE_RANGE_UNSHARE as libc::c_int;
        if libc::syscall(libc::SYS_close_range, 0, u32::MAX, unshare) != 0 {
            return Err(io::Error::last_os_error());
        }
        // So that nothing that is written to a standard descriptor gets to a client.
        for _ in 0..3 {
            libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        }
    }
    Ok(())
}
