//! Scoreboards.
//!
//! 1. `find`, `add`, `get` and `set` are called from callbacks all the time: they are straight code
//!    that takes no lock and no thread-local memory, and uses few registers, so that generated code
//!    that calls a callback that calls them need not save much. What is wrong is found out in
//!    functions that do not return ([`never_returns`]).
//! 2. A plugin's pointer leads to a [`Scoreboard`] that stays where it is for ever, so that one that
//!    has been freed is recognised. It serves again when the plugin that freed it is gone.
//! 3. A board that generated code may write to is not given to another plugin while that code can
//!    run: once used by an inline operation, its room is given back when its plugin's instrumentation
//!    has ended.
//! 4. A `u64` may lie at any offset that leaves it within the element.
//! 5. A vCPU counts from the time when its plugins are told of it ([`vcpu_begins`]), and for ever.

use std::arch::asm;
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};
use std::sync::{Mutex, OnceLock};

use scoreboard::{Areas, Board};
use translate::hooks::Guard;
use translate::x86::callback;

use super::{Export, context, export};
use crate::misuse::{breach, questionable};
use crate::plugin::PluginId;
use crate::runtime::Runtime;

pub(super) const EXPORTS: &[Export] = &[
    export!(2 qemu_plugin_scoreboard_new),
    export!(2 qemu_plugin_scoreboard_free),
    export!(2 qemu_plugin_scoreboard_find),
    export!(2 qemu_plugin_u64_add),
    export!(2 qemu_plugin_u64_get),
    export!(2 qemu_plugin_u64_set),
    export!(2 qemu_plugin_u64_sum),
    export!(2 qemu_plugin_num_vcpus),
];

/// What a plugin's `struct qemu_plugin_scoreboard *` points to.
#[derive(Default)]
pub(crate) struct Scoreboard {
    /// Offsets in an element that are less than this have room for a `u64`; 0 if there are no
    /// elements (any more).
    limit: AtomicU32,
    /// Where the elements begin in each area.
    offset: AtomicU32,
    /// Whether generated code has been told of the board.
    in_code: AtomicBool,
    /// A plugin's id, [`NOBODY`] or [`UNUSED`]. Changes with `board` locked.
    owner: AtomicU64,
    /// The room, until it is given back. Nobody waits for the lock: the thread that holds it may have
    /// stayed behind when the process was forked.
    board: Mutex<Option<Board>>,
    /// The one that was made after this one.
    next: OnceLock<Box<Scoreboard>>,
}

/// The first scoreboard that was made; from there on all of them.
static FIRST: OnceLock<Box<Scoreboard>> = OnceLock::new();

/// No plugin has this scoreboard.
const UNUSED: u64 = 0;
/// It was made on a plugin's own thread: nobody knows whose it is, so it stays.
const NOBODY: u64 = u64::MAX;

/// Where the areas of vCPUs begin: a copy of what [`Areas`] knows, where it is found in one step.
/// Zero pages until somebody gets there.
///
/// An entry is null or what it will be for ever, so that who has seen it, or has been told of it by
/// somebody who has, sees it. A vCPU's own thread has put its own there, and whoever counts vCPUs
/// has seen all that are counted ([`vcpus`]).
static AREAS: [AtomicPtr<u8>; 1 << 17] = [const { AtomicPtr::new(ptr::null_mut()) }; 1 << 17];

/// How many vCPUs there have been: the highest index so far, plus 1.
static VCPUS: AtomicU32 = AtomicU32::new(0);

/// Plugins are about to be told of a vCPU: it counts from now on.
pub(crate) fn vcpu_begins(areas: &Areas, index: u32) {
    see(areas, index + 1);
    VCPUS.fetch_max(index + 1, Relaxed);
}

/// Completes the table for the first `count` vCPUs, but for indexes that nobody ever had.
fn see(areas: &Areas, count: u32) {
    for index in 0..count {
        let entry = &AREAS[index as usize];
        if entry.load(Relaxed).is_null()
            && let Some(area) = areas.base(index)
        {
            entry.store(area, Relaxed);
        }
    }
}

/// How many vCPUs there have been.
fn vcpus() -> u32 {
    let count = VCPUS.load(Relaxed);
    if let Some(runtime) = Runtime::global() {
        see(runtime.areas(), count);
    }
    count
}

/// C's `qemu_plugin_u64`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct U64 {
    score: *const Scoreboard,
    offset: usize,
}

fn all() -> impl Iterator<Item = &'static Scoreboard> {
    std::iter::successors(FIRST.get(), |score| score.next.get()).map(|score| &**score)
}

/// Makes a scoreboard of a board: the first that nobody has, or a new one behind all others.
fn put(owner: u64, mut board: Board) -> &'static Scoreboard {
    let mut place = &FIRST;
    loop {
        let score = place.get_or_init(Box::default);
        match score.adopt(owner, board) {
            Ok(()) => return score,
            Err(mine) => board = mine,
        }
        place = &score.next;
    }
}

impl Scoreboard {
    /// Makes this one an owner's, with this board; gives the board back if somebody has it already.
    fn adopt(&self, owner: u64, board: Board) -> Result<(), Board> {
        let Ok(mut held) = self.board.try_lock() else {
            return Err(board);
        };
        if self.owner.load(Relaxed) != UNUSED {
            return Err(board);
        }
        self.owner.store(owner, Relaxed);
        self.offset.store(board.offset(), Relaxed);
        self.limit.store(board.element_size() as u32 - 7, Relaxed);
        *held = Some(board);
        Ok(())
    }

    /// Gives the room back.
    fn give_back(&self) {
        let board = self.board.try_lock().ok().and_then(|mut held| held.take());
        drop(board);
    }

    /// The owner is gone.
    fn disown(&self) {
        self.limit.store(0, Relaxed);
        self.in_code.store(false, Relaxed);
        if let Ok(mut held) = self.board.try_lock() {
            *held = None;
            self.owner.store(UNUSED, Relaxed);
        }
    }

    /// Its element of a vCPU; `None` if there is no such vCPU. To be asked only if there is a
    /// `limit`.
    #[inline(always)]
    fn element(&self, index: u32) -> Option<NonNull<u8>> {
        let area = NonNull::new(AREAS.get(index as usize)?.load(Relaxed))?;
        // Relaxed: who has the pointer has seen the board being made.
        let offset = self.offset.load(Relaxed) as usize;
        // SAFETY: boards lie within the area, which stays mapped.
        Some(unsafe { area.add(offset) })
    }
}

impl U64 {
    /// Where the word of a vCPU is; `None` if anything is wrong.
    ///
    /// # Safety
    ///
    /// `score` is null or a scoreboard.
    #[inline(always)]
    unsafe fn word(self, index: u32) -> Option<Word> {
        // SAFETY: as the caller promises; scoreboards live for ever.
        let score = unsafe { self.score.as_ref() }?;
        if self.offset >= score.limit.load(Relaxed) as usize {
            return None;
        }
        let element = score.element(index)?;
        // SAFETY: within the element.
        Some(Word(unsafe { element.add(self.offset) }))
    }
}

/// Eight bytes in an area, at any alignment. Its vCPU's thread writes it, by these functions or by
/// generated code, while others read: a matter between machine instructions, not of the language.
#[derive(Clone, Copy)]
struct Word(NonNull<u8>);

impl Word {
    #[inline(always)]
    fn add(self, value: u64) {
        // SAFETY: eight bytes of an area, which stays mapped.
        unsafe {
            asm!("add qword ptr [{}], {}", in(reg) self.0.as_ptr(), in(reg) value, options(nostack));
        }
    }

    #[inline(always)]
    fn set(self, value: u64) {
        // SAFETY: as above.
        unsafe {
            asm!("mov qword ptr [{}], {}", in(reg) self.0.as_ptr(), in(reg) value, options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    fn get(self) -> u64 {
        let value;
        // SAFETY: as above.
        unsafe {
            asm!("mov {}, qword ptr [{}]", out(reg) value, in(reg) self.0.as_ptr(), options(nostack, readonly, preserves_flags));
        }
        value
    }
}

/// Says why there is no element, or no word, and aborts.
fn refuse(function: &str, score: *const Scoreboard, index: u32, offset: usize) -> ! {
    // SAFETY: null or a scoreboard, as whoever got here has relied on.
    let Some(score) = (unsafe { score.as_ref() }) else {
        breach(
            function,
            "the scoreboard is NULL; pass one from qemu_plugin_scoreboard_new",
        );
    };
    let limit = score.limit.load(Relaxed) as usize;
    if limit == 0 {
        breach(
            function,
            "the scoreboard has been freed; free it when nothing uses it any more",
        );
    }
    if offset >= limit {
        let size = limit + 7;
        breach(
            function,
            format_args!("offset {offset} is outside of an element of {size} bytes"),
        );
    }
    let count = vcpus();
    breach(
        function,
        format_args!(
            "there is no vCPU {index}; indices are below qemu_plugin_num_vcpus(), {count} now"
        ),
    )
}

// One per function, for its name, which is cheaper than an argument on the way that is taken.

#[cold]
#[inline(never)]
extern "C" fn refuse_find(score: *const Scoreboard, index: u32) -> ! {
    refuse("qemu_plugin_scoreboard_find", score, index, 0)
}

#[cold]
#[inline(never)]
extern "C" fn refuse_add(entry: U64, index: u32) -> ! {
    refuse("qemu_plugin_u64_add", entry.score, index, entry.offset)
}

#[cold]
#[inline(never)]
extern "C" fn refuse_get(entry: U64, index: u32) -> ! {
    refuse("qemu_plugin_u64_get", entry.score, index, entry.offset)
}

#[cold]
#[inline(never)]
extern "C" fn refuse_set(entry: U64, index: u32) -> ! {
    refuse("qemu_plugin_u64_set", entry.score, index, entry.offset)
}

/// Whether a function that callbacks may come to ends the process: what it changes on the way does
/// not matter to generated code.
pub(crate) fn never_returns(function: usize) -> bool {
    let ways_out = [
        refuse_find as *const (),
        refuse_add as *const (),
        refuse_get as *const (),
        refuse_set as *const (),
    ];
    ways_out.iter().any(|way_out| way_out.addr() == function)
}

/// What the evaluation of callbacks is told of a scoreboard, if `handle` is one with elements.
pub(crate) fn for_evaluation(handle: usize) -> Option<callback::Board> {
    let score = all().find(|&score| ptr::from_ref(score).addr() == handle)?;
    let limit = score.limit.load(Relaxed);
    if limit == 0 {
        return None;
    }
    score.in_code.store(true, Relaxed);
    Some(callback::Board {
        offset: score.offset.load(Relaxed),
        size: limit + 7,
        guard: Guard {
            addr: score.limit.as_ptr().expose_provenance(),
            size: 4,
            value: limit.into(),
        },
    })
}

/// For generated code: where the word that `entry` stands for is, from the beginning of each vCPU's
/// area.
///
/// # Safety
///
/// The scoreboard is null or one that a plugin has got here.
pub(crate) unsafe fn offset_for_code(function: &str, entry: U64) -> u32 {
    // SAFETY: as the caller promises.
    match unsafe { entry.score.as_ref() } {
        Some(score) if entry.offset < score.limit.load(Relaxed) as usize => {
            score.in_code.store(true, Relaxed);
            score.offset.load(Relaxed) + entry.offset as u32
        }
        _ => refuse(function, entry.score, 0, entry.offset),
    }
}

/// Generated code that was instrumented for a plugin cannot run any more.
pub(crate) fn code_has_ended(plugin: PluginId) {
    for score in all().filter(|score| score.owner.load(Relaxed) == plugin.0) {
        score.in_code.store(false, Relaxed);
        if score.limit.load(Relaxed) == 0 {
            score.give_back();
        }
    }
}

/// Frees what a plugin has left. Its library must have been closed, and generated code that was
/// instrumented for it must have ended.
pub(crate) fn forget(plugin: PluginId) {
    for score in all().filter(|score| score.owner.load(Relaxed) == plugin.0) {
        score.disown();
    }
}

/// A scoreboard with elements of `element_size` bytes, all zero.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn qemu_plugin_scoreboard_new(element_size: usize) -> *const Scoreboard {
    const NAME: &str = "qemu_plugin_scoreboard_new";
    let Some(runtime) = Runtime::global() else {
        breach(NAME, "there is no emulator in this process");
    };
    match runtime.areas().new_board(element_size) {
        Ok(board) => {
            let plugin = context::current().map(|context| context.plugin.id());
            put(plugin.map_or(NOBODY, |id| id.0), board)
        }
        Err(full) => breach(NAME, full),
    }
}

/// # Safety
///
/// The scoreboard is null or comes from [`qemu_plugin_scoreboard_new`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_scoreboard_free(score: *const Scoreboard) {
    const NAME: &str = "qemu_plugin_scoreboard_free";
    // SAFETY: as the caller promises.
    let Some(score) = (unsafe { score.as_ref() }) else {
        return questionable(NAME, "the scoreboard is NULL");
    };
    if score.limit.swap(0, Relaxed) == 0 {
        breach(NAME, "the scoreboard has been freed before");
    }
    if !score.in_code.load(Relaxed) {
        score.give_back();
    }
}

/// The element of a vCPU.
///
/// # Safety
///
/// The scoreboard is null or comes from [`qemu_plugin_scoreboard_new`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_scoreboard_find(
    score: *const Scoreboard,
    index: u32,
) -> *mut c_void {
    // SAFETY: as the caller promises.
    let score_ref = unsafe { score.as_ref() };
    let live = score_ref.filter(|score| score.limit.load(Relaxed) != 0);
    match live.and_then(|score| score.element(index)) {
        Some(element) => element.as_ptr().cast(),
        None => refuse_find(score, index),
    }
}

/// # Safety
///
/// As for [`qemu_plugin_scoreboard_find`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_u64_add(entry: U64, index: u32, added: u64) {
    // SAFETY: as the caller promises.
    match unsafe { entry.word(index) } {
        Some(word) => word.add(added),
        None => refuse_add(entry, index),
    }
}

/// # Safety
///
/// As for [`qemu_plugin_scoreboard_find`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_u64_get(entry: U64, index: u32) -> u64 {
    // SAFETY: as the caller promises.
    match unsafe { entry.word(index) } {
        Some(word) => word.get(),
        None => refuse_get(entry, index),
    }
}

/// # Safety
///
/// As for [`qemu_plugin_scoreboard_find`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_u64_set(entry: U64, index: u32, value: u64) {
    // SAFETY: as the caller promises.
    match unsafe { entry.word(index) } {
        Some(word) => word.set(value),
        None => refuse_set(entry, index),
    }
}

/// The sum over all vCPUs that there have been; 0 if there has been none.
///
/// # Safety
///
/// As for [`qemu_plugin_scoreboard_find`].
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_u64_sum(entry: U64) -> u64 {
    const NAME: &str = "qemu_plugin_u64_sum";
    let mut sum = 0u64;
    for index in 0..vcpus() {
        // SAFETY: as the caller promises.
        match unsafe { entry.word(index) } {
            Some(word) => sum = sum.wrapping_add(word.get()),
            // A skipped index.
            None if AREAS[index as usize].load(Relaxed).is_null() => {}
            None => refuse(NAME, entry.score, index, entry.offset),
        }
    }
    sum
}

/// The highest vCPU index so far, plus 1.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn qemu_plugin_num_vcpus() -> i32 {
    vcpus() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the functions that callbacks call all the time change of the host's registers: their
    /// arguments, the result's, and another one. Only optimized code is like that.
    #[test]
    #[cfg(not(debug_assertions))]
    fn frequent_functions_change_few_registers() {
        use translate::hooks::Clobbers;
        const RAX: u16 = 1 << 0;
        const RCX: u16 = 1 << 1;
        const RDX: u16 = 1 << 2;
        const RSI: u16 = 1 << 6;
        const RDI: u16 = 1 << 7;
        const R8: u16 = 1 << 8;
        let find = RAX | RCX | RSI | RDI;
        for (function, expected) in [
            (qemu_plugin_scoreboard_find as *const (), find),
            (qemu_plugin_u64_add as *const (), find | RDX | R8),
            (qemu_plugin_u64_get as *const (), find | RDX | R8),
            (qemu_plugin_u64_set as *const (), find | RDX | R8),
        ] {
            let clobbers = Clobbers::of(function.addr(), never_returns);
            assert_eq!(clobbers.ints & !expected, 0, "{clobbers:x?}");
            assert_eq!(clobbers.vectors, 0);
        }
    }

    #[test]
    fn ways_out_are_known() {
        assert!(never_returns((refuse_find as *const ()).addr()));
        assert!(never_returns((refuse_set as *const ()).addr()));
        assert!(!never_returns(
            (qemu_plugin_scoreboard_find as *const ()).addr()
        ));
    }

    #[test]
    fn the_number_of_areas_fits() {
        let areas = Areas::new(4096);
        let most = areas
            .claim_index(u32::MAX)
            .err()
            .expect("there cannot be so many")
            .to_string();
        let most = most.split(' ').find_map(|word| word.parse::<usize>().ok());
        assert!(AREAS.len() >= most.expect("it says how many there can be"));
    }
}
