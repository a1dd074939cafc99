//! Ways to run an image.

pub mod inprocess;
pub mod process;

use std::fmt;

use crate::program::Image;

/// What a program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Everything that it wrote.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With an exit status.
    Exit(i32),
    /// By a signal.
    Signal(i32),
    /// It did not end in time.
    Timeout,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Exit(status) => write!(f, "exit status {status}"),
            End::Signal(signal) => write!(f, "killed by signal {signal}"),
            End::Timeout => write!(f, "no end in time"),
        }
    }
}

/// Something that runs images.
pub trait Runner: Sync {
    /// For reports.
    fn name(&self) -> &str;
    /// Runs `image` to its end.
    fn run(&self, image: &Image) -> Result<Output, RunError>;
}

/// A runner that could not run anything.
#[derive(Debug, thiserror::Error)]
#[error("{runner}: {doing}: {source}")]
pub struct RunError {
    /// Which runner.
    pub runner: String,
    /// What it was doing.
    pub doing: &'static str,
    /// What went wrong.
    pub source: std::io::Error,
}
