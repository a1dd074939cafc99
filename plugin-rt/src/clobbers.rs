//! What callbacks do to the host's registers, function by function.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use translate::hooks::Clobbers;

use crate::abi::boards;

thread_local! {
    /// What has been found out on this thread. A plugin asks for the same few functions again and
    /// again, and reading one takes some microseconds.
    static KNOWN: RefCell<Known> = RefCell::default();
}

#[derive(Default)]
struct Known {
    clobbers: HashMap<usize, Clobbers>,
    /// [`CLOSED`] when the functions were read.
    closed: u64,
}

/// How many libraries have been closed: where one was there may be another.
static CLOSED: AtomicU64 = AtomicU64::new(0);

/// A library is about to be closed, and none of its functions is asked about any more.
pub(crate) fn library_closes() {
    // Relaxed: whoever asks about another library's function at the same address has learnt of that
    // library after it was opened there, and so after this one was closed.
    CLOSED.fetch_add(1, Relaxed);
}

/// What a function may change.
pub(crate) fn of(function: usize) -> Clobbers {
    KNOWN.with_borrow_mut(|known| {
        let closed = CLOSED.load(Relaxed);
        if known.closed != closed {
            known.clobbers.clear();
            known.closed = closed;
        }
        let clobbers = known.clobbers.entry(function);
        *clobbers.or_insert_with(|| Clobbers::of(function, never_returns))
    })
}

fn never_returns(function: usize) -> bool {
    let ways_out = [
        libc::abort as *const (),
        libc::exit as *const (),
        libc::_exit as *const (),
    ];
    boards::never_returns(function) || ways_out.iter().any(|end| end.addr() == function)
}
