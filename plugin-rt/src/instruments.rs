//! One vCPU's view of the plugins.
//!
//! 1. A vCPU holds a snapshot of who is subscribed to what. It moves to the newest one at its
//!    quiescent points, and where an event begins; between these nothing changes under its feet, and
//!    dispatching takes no lock and no atomic read-modify-write.
//! 2. Events are fired on the vCPU's own thread, online, with its state [current](crate::current).
//! 3. A callback may leave by setting the guest's pc. Then those that would have come after it are
//!    not called, and whoever fired the event goes on at the new pc ([`Escape::Left`]).

use std::sync::Arc;

use tb_cache::SetId;
use translate::Block;
use translate::escape::Escape;
use translate::hooks::Wishes;

use crate::runtime::Runtime;

/// Kinds of discontinuities: why the next instruction is not the one that the code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Discon {
    /// An interrupt.
    Interrupt = 1,
    /// An exception.
    Exception = 2,
    /// A call of the emulator.
    HostCall = 4,
}

/// One vCPU's view. See the module's rules.
pub struct Instruments {
    _todo: Option<Arc<Runtime>>,
}

impl Instruments {
    /// The view of the vCPU with this number. Without a runtime there is nothing to see.
    pub fn new(runtime: Option<&Arc<Runtime>>, _index: u32) -> Instruments {
        Instruments {
            _todo: runtime.cloned(),
        }
    }

    /// Moves to the newest snapshot, at a quiescent point; gives whether blocks of another
    /// instrumentation set are to be run from now on.
    #[inline]
    pub fn refresh(&mut self) -> bool {
        false
    }

    /// What blocks are instrumented for.
    #[inline]
    pub fn set(&self) -> SetId {
        SetId::EMPTY
    }

    /// Shows a block that has not been filled to every plugin that wants to see it, one plain block
    /// after the other; gives what they ask for.
    pub fn translated(&mut self, _block: &Block) -> Wishes {
        Wishes::new()
    }

    /// The vCPU begins.
    pub fn init(&mut self) {}

    /// The vCPU ends, and others go on.
    pub fn exit(&mut self) {}

    /// The vCPU has nothing to do.
    pub fn idle(&mut self) -> Escape {
        Escape::Returned
    }

    /// The vCPU has something to do again.
    pub fn resume(&mut self) -> Escape {
        Escape::Returned
    }

    /// Whether [`Instruments::syscall`], [`Instruments::filter`] or [`Instruments::syscall_ret`] would
    /// call anybody.
    #[inline]
    pub fn wants_syscalls(&mut self) -> bool {
        false
    }

    /// Whether [`Instruments::discontinuity`] would call anybody.
    #[inline]
    pub fn wants_discontinuities(&mut self) -> bool {
        false
    }

    /// A system call is about to be made.
    pub fn syscall(&mut self, _num: i64, _args: &[u64; 8]) -> Escape {
        Escape::Returned
    }

    /// Who wants to make the system call in the kernel's stead? Gives the first one's result.
    pub fn filter(&mut self, _num: i64, _args: &[u64; 8]) -> (Escape, Option<i64>) {
        (Escape::Returned, None)
    }

    /// A system call has been made, by whomever.
    pub fn syscall_ret(&mut self, _num: i64, _ret: i64) -> Escape {
        Escape::Returned
    }

    /// Control has gone `from` one place `to` another by no instruction.
    pub fn discontinuity(&mut self, _kind: Discon, _from: u64, _to: u64) -> Escape {
        Escape::Returned
    }
}
