//! A machine that runs: a host thread for each hart.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tb_cache::CodePages;
use vcpu::{Engine, Vcpu};

use crate::board::Board;
use crate::hart::memory::Physical;
use crate::hart::run::Begin;
use crate::hart::{self, Hart};
use crate::power::{End, Power};
use crate::remote::Remote;

/// Why a machine cannot be switched on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What runs blocks cannot be made.
    #[error(transparent)]
    Engine(#[from] vcpu::Error),
    /// A hart's registers find no room.
    #[error("the host gives no memory for a hart: {0}")]
    Vcpu(io::Error),
    /// A hart's thread, or the timers'.
    #[error("the host gives no thread for a hart: {0}")]
    Thread(io::Error),
}

/// A machine that has run.
pub struct Ended {
    /// How it ended.
    pub end: End,
    /// What ran its harts.
    pub engine: Arc<Engine>,
}

/// The status of a machine one of whose harts we have broken. It is the one of a Rust program that
/// panics.
const BROKEN: i32 = 101;

/// Runs a machine to its end, which `remote` reaches meanwhile.
pub fn run(board: &Arc<Board>, config: &vcpu::Config, remote: &Remote) -> Result<Ended, Error> {
    let engine = Engine::new(config, Arc::clone(&board.ram) as Arc<dyn CodePages>)?;
    board.ram.set_cache(Arc::downgrade(engine.cache()));
    let timers = board.timer.start().map_err(Error::Thread)?;
    let harts = 0..board.lines.len();
    let vcpus: io::Result<Vec<Vcpu<Hart>>> =
        harts.map(|number| vcpu(board, &engine, number)).collect();
    let vcpus = vcpus.map_err(Error::Vcpu)?.into_iter().enumerate();
    let _connection = remote.connect(board, &engine);
    let threads: io::Result<Vec<JoinHandle<()>>> = vcpus
        .map(|(number, vcpu)| start(board, remote, vcpu, number))
        .collect();
    if threads.is_err() {
        // Those that have been started are not to wait for the others.
        board.power.end(End::Off(BROKEN));
    }
    let end = board.power.wait();
    for thread in threads.map_err(Error::Thread)? {
        // It has told of its panic, and has ended the machine.
        let _ = thread.join();
    }
    drop(timers);
    Ok(Ended { end, engine })
}

/// Ends the machine if the thread that holds it panics: the others would go on for ever.
struct EndIfBroken<'a>(&'a Power);

impl Drop for EndIfBroken<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end(End::Off(BROKEN));
        }
    }
}

/// A hart's vCPU.
fn vcpu(board: &Board, engine: &Arc<Engine>, number: usize) -> io::Result<Vcpu<Hart>> {
    let physical = Physical {
        ram: Arc::clone(&board.ram),
        bus: Arc::clone(&board.bus),
    };
    let lines = Arc::clone(&board.lines[number]);
    let mut hart = Hart::new(number, physical, Arc::clone(&board.timer), lines);
    if engine.plugins().is_some() {
        hart.observe();
    }
    Vcpu::new(engine, hart)
}

/// Starts a hart.
fn start(
    board: &Arc<Board>,
    remote: &Remote,
    vcpu: Vcpu<Hart>,
    number: usize,
) -> io::Result<JoinHandle<()>> {
    let (board, remote) = (Arc::clone(board), remote.clone());
    let run = move || {
        let _guard = EndIfBroken(&board.power);
        remote.hart_begins(number);
        let begin = match &board.sbi {
            Some(sbi) => Begin::Firmware(&**sbi),
            None => Begin::Reset(board.reset),
        };
        hart::run::run(vcpu, &board.power, remote.pause(), begin);
    };
    thread::Builder::new()
        .name(format!("hart {number}"))
        .spawn(run)
}
