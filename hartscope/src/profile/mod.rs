//! Profiles: how many instructions each vCPU executed in each function, to the instruction.
//!
//! 1. Every function has a counter: a word that each vCPU has for itself. It is given when a block
//!    with an instruction of the function is translated first.
//! 2. A block adds 1 before each of its instructions; what falls together becomes one addition, and
//!    what a fault or a signal leaves undone is not counted. So an instruction counts as often as it
//!    begins, also when it faults, as for any plugin.
//! 3. The file of `run --profile` is opened at the start, and written once, when the guest has ended. A
//!    client of a running guest fetches the rows and writes its own file.
//! 4. A profile is one process's: in its forked children nobody counts.

mod counters;
mod names;
mod output;
mod places;
mod rows;
mod symbols;
mod write;

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use plugin_rt::{PluginId, Runtime};

use counters::Counters;
use output::OutputFile;
use places::Places;

pub use output::Output;
pub use rows::Row;

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

/// Instructions that are being counted, until the subscription is ended.
pub struct Counting {
    counters: Arc<Counters>,
    subscription: PluginId,
}

impl Counting {
    /// Counts from now on.
    pub fn begin(runtime: &Runtime) -> Result<Counting, Error> {
        let counters = Arc::new(Counters::new(runtime.areas(), Places::new())?);
        let subscription = runtime.add(counters.clone())?;
        Ok(Counting {
            counters,
            subscription,
        })
    }

    /// What the runtime calls it.
    pub fn subscription(&self) -> PluginId {
        self.subscription
    }

    /// What has been counted; complete when the subscription or the guest has ended.
    pub fn rows(&self) -> Vec<Row> {
        self.counters.rows()
    }
}

/// The profile of a guest from its first instruction to its last.
pub struct Profile {
    counting: Counting,
    file: OutputFile,
    /// What the guest is called.
    title: OsString,
    /// Whose profile it is.
    process: u32,
}

impl Profile {
    /// Begins with the profile of a guest that is to run.
    pub fn start(output: &Output, program: &OsStr, runtime: &Runtime) -> Result<Profile, Error> {
        let process = process::id();
        Ok(Profile {
            file: output.create(process)?,
            counting: Counting::begin(runtime)?,
            title: Path::new(program).file_name().unwrap_or(program).to_owned(),
            process,
        })
    }

    /// Writes it. The guest has ended.
    pub fn finish(&self) -> Result<(), Error> {
        if process::id() != self.process {
            return Ok(());
        }
        let rows = self.counting.rows();
        self.file.write(&rows, &self.title.to_string_lossy())
    }
}
