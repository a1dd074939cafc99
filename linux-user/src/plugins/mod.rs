//! What plugins see of a Linux program.
//!
//! 1. A guest thread is a vCPU. Its events run on its host thread, outside of generated code: *init*
//!    before its first instruction, *exit* when it ends and others go on.
//! 2. A system call is seen after the `ecall`: the pc that callbacks find, and may change, is that of
//!    the next instruction ([`calls`]).
//! 3. When the process ends, the thread that ends it waits until the others have stopped, for a
//!    while, and then runs the last callbacks. The leader does not give the status away before.
//! 4. A forked child goes on with the same plugins, counts and vCPU number. No other thread is in a
//!    callback when it is made ([`gate`]).
//! 5. A `vfork` child lives in the memory of its parent, and the plugins in it are the parent's. They
//!    see nothing of the child, as if it had a copy: it is no vCPU of theirs, and what it executes
//!    before it has memory of its own is counted nowhere.

pub(crate) mod calls;
pub(crate) mod gate;
pub(crate) mod guest;
mod symbols;

use crate::Thread;
use crate::signal::ThreadSignals;
use plugin_rt::Discon;

impl Thread {
    /// Does what may take long and calls nobody back; grace periods do not wait for it, nor does who
    /// forks.
    pub(crate) fn aside<R>(&mut self, work: impl FnOnce(&ThreadSignals) -> R) -> R {
        let Thread {
            vcpu,
            process,
            signals,
            outside,
            ..
        } = self;
        match process.engine.plugins() {
            None => vcpu.while_offline(|| work(signals)),
            Some(_) => vcpu.while_offline(|| process.gate.outside(outside, || work(signals))),
        }
    }

    /// Waits while somebody forks.
    pub(crate) fn pass_gate(&mut self) {
        if self.process.gate.is_closed() {
            self.aside(|_| ());
        }
    }

    /// The vCPU is about to run its first instruction.
    pub(crate) fn announce(&mut self) {
        self.vcpu.instruments().init();
    }

    /// The vCPU has run its last instruction, and the process goes on.
    pub(crate) fn say_goodbye(&mut self) {
        self.vcpu.instruments().exit();
    }

    /// A fault at `from` has become a signal, whose handler is to run now.
    pub(crate) fn note_exception(&mut self, from: u64) {
        let to = self.vcpu.state().pc;
        let instruments = self.vcpu.instruments();
        if instruments.wants_discontinuities() {
            // Left or not: the guest goes on where the state says.
            let _ = instruments.discontinuity(Discon::Exception, from, to);
        }
    }

    /// Runs the last callbacks of all plugins, once the other threads have stopped.
    pub(crate) fn run_last_callbacks(&mut self) {
        let process = self.process.clone();
        let Some(plugins) = process.engine.plugins() else {
            return;
        };
        self.aside(|_| process.wait_for_others());
        self.vcpu.while_offline(|| plugins.at_exit());
        // Whoever dies by a signal writes nothing more, and this is the end of the plugins.
        // SAFETY: flushes the C library's streams.
        unsafe { libc::fflush(std::ptr::null_mut()) };
        process.last_callbacks_done();
    }
}
