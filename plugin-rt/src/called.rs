//! What callbacks' own code says: which registers of the host a call changes, and whether it takes a
//! call at all.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use translate::hooks::{Call, Clobbers, Guard, Hook, Regs};
use translate::x86::callback::{Board, Evaluated, Known, Library, Refused, Role};

use crate::abi::boards;
use crate::plugin::PluginId;
use crate::timing;

/// How often a callback is evaluated again because a variable has changed; one whose variables change
/// all the time is called.
const MOST_CHANGES: u32 = 8;

thread_local! {
    /// What has been found out on this thread. A plugin asks for the same few functions again and
    /// again, and reading one takes some microseconds.
    static READ: RefCell<Functions> = RefCell::default();
}

#[derive(Default)]
struct Functions {
    clobbers: HashMap<usize, Clobbers>,
    /// By function, what it is called for, and userdata if the result is for that only.
    evaluated: HashMap<(usize, Role, Option<u64>), Evaluation>,
    /// By plugin, function, userdata and how often to measure: addresses of [`crate::timing::Stub`]s.
    stubs: HashMap<(PluginId, (usize, u64, u32)), usize>,
    /// [`CLOSED`] when the functions were read.
    closed: u64,
}

/// What an evaluation has come to.
struct Evaluation {
    result: Result<Evaluated, Refused>,
    /// How often it was made again.
    changes: u32,
}

impl Evaluation {
    fn of(call: &Call, role: Role, userdata: Option<u64>) -> Evaluation {
        Evaluation {
            result: Evaluated::of(call.function, role, userdata, &Interface),
            changes: 0,
        }
    }

    /// The result as of now.
    fn current(
        &mut self,
        call: &Call,
        role: Role,
        userdata: Option<u64>,
    ) -> Result<&Evaluated, Refused> {
        let changed = |result: &Evaluated| !result.guards.iter().all(Guard::holds);
        if self.result.as_ref().is_ok_and(changed) {
            self.changes += 1;
            self.result = match self.changes {
                ..MOST_CHANGES => Evaluated::of(call.function, role, userdata, &Interface),
                _ => Err(Refused::Called),
            };
        }
        self.result.as_ref().map_err(|&refused| refused)
    }
}

/// How many libraries have been closed: where one was there may be another.
static CLOSED: AtomicU64 = AtomicU64::new(0);

/// A library is about to be closed, and none of its functions is asked about any more.
pub(crate) fn library_closes() {
    // Relaxed: whoever asks about another library's function at the same address has learnt of that
    // library after it was opened there, and so after this one was closed.
    CLOSED.fetch_add(1, Relaxed);
}

fn with_functions<R>(f: impl FnOnce(&mut Functions) -> R) -> R {
    READ.with_borrow_mut(|functions| {
        let closed = CLOSED.load(Relaxed);
        if functions.closed != closed {
            *functions = Functions {
                closed,
                ..Functions::default()
            };
        }
        f(functions)
    })
}

/// The address of the stub for a plugin's call, made if there is none that this thread knows of.
pub(crate) fn stub(
    plugin: PluginId,
    call: (usize, u64, u32),
    make: impl FnOnce() -> usize,
) -> usize {
    with_functions(|functions| {
        let stub = functions.stubs.entry((plugin, call));
        *stub.or_insert_with(make)
    })
}

/// What a function may change.
pub(crate) fn clobbers(function: usize) -> Clobbers {
    if timing::is_stub(function) {
        return Clobbers::ALL;
    }
    with_functions(|functions| {
        let clobbers = functions.clobbers.entry(function);
        *clobbers.or_insert_with(|| Clobbers::of(function, never_returns))
    })
}

/// The hooks that a call comes to, the call itself if need be, and what they rely on.
pub(crate) fn hooks(call: Call, role: Role) -> (Vec<Hook>, Vec<Guard>) {
    additions(&call, role).unwrap_or_else(|| (vec![Hook::Call(call)], Vec::new()))
}

fn additions(call: &Call, role: Role) -> Option<(Vec<Hook>, Vec<Guard>)> {
    if call.regs != Regs::None {
        return None;
    }
    with_functions(|functions| {
        let mut evaluate = |userdata| {
            let known = functions.evaluated.entry((call.function, role, userdata));
            let evaluation = known.or_insert_with(|| Evaluation::of(call, role, userdata));
            match evaluation.current(call, role, userdata) {
                Ok(result) => {
                    let Some(additions) = result.additions(call.userdata) else {
                        return Err(Refused::Called);
                    };
                    let hooks = additions.into_iter();
                    let hooks = hooks.map(|(offset, value)| Hook::Add { offset, value });
                    Ok((hooks.collect(), result.guards.clone()))
                }
                Err(refused) => Err(refused),
            }
        };
        match evaluate(None) {
            Err(Refused::ByUserdata) => evaluate(Some(call.userdata)).ok(),
            result => result.ok(),
        }
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

/// What callbacks find in the interface.
struct Interface;

impl Library for Interface {
    fn known(&self, function: usize) -> Option<Known> {
        let find = boards::qemu_plugin_scoreboard_find as *const ();
        let add = boards::qemu_plugin_u64_add as *const ();
        match function {
            at if at == find.addr() => Some(Known::Find),
            at if at == add.addr() => Some(Known::Add),
            _ => None,
        }
    }

    fn board(&self, handle: usize) -> Option<Board> {
        boards::for_evaluation(handle)
    }
}
