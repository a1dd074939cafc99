//! The one plugin of this library: how it begins, who owns it, how it ends.
//!
//! 1. The value is made by `Plugin::install`, published, and only then are its events registered: no
//!    callback finds it missing.
//! 2. Everything that callbacks use (value, event closures, closures of blocks and instructions) is in
//!    one allocation, [`Live`], which is dropped after the last of the others has returned: in the
//!    callback of an uninstallation that the plugin has asked for itself, and when its library is closed
//!    ([`closed`]) if somebody else has.
//! 3. At the end of the process nothing is dropped: a callback that calls `exit` lets others run on. The
//!    library's destructors run all the same; the `atexit` event comes before ([`process_ends`]).
//! 4. Scoreboards are freed after the value is dropped, none before.
//! 5. A library is installed once. Its statics may hold counters whose scoreboards are freed, so it
//!    must have been closed and opened again before it can be installed anew.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::Plugin;
use crate::events::Events;
use crate::setup::{Args, Info, Setup};
use crate::sys;

/// Where a library's plugin is.
pub struct Instance<P> {
    name: &'static str,
    live: AtomicPtr<Live<P>>,
}

impl<P> Instance<P> {
    /// Not there yet.
    pub const fn new(name: &'static str) -> Instance<P> {
        Instance {
            name,
            live: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// What callbacks use.
    ///
    /// # Safety
    ///
    /// The result must not be used after the callback that asks has returned.
    #[inline]
    pub(crate) unsafe fn live<'cb>(&self) -> &'cb Live<P> {
        // Acquire pairs with the release in `install`.
        let live = self.live.load(Ordering::Acquire);
        debug_assert!(!live.is_null());
        // SAFETY: published before the first callback, dropped after the last.
        unsafe { &*live }
    }
}

/// A plugin that is installed.
pub(crate) struct Live<P> {
    pub(crate) plugin: P,
    pub(crate) events: Events<P>,
    closures: Mutex<Vec<Closure>>,
}

/// A closure that the emulator has a pointer to.
struct Closure {
    pointer: *mut c_void,
    drop: unsafe fn(*mut c_void),
}

// SAFETY: `keep` takes only closures that are `Send`.
unsafe impl Send for Closure {}

impl Drop for Closure {
    fn drop(&mut self) {
        // SAFETY: made by `keep`, with the function for its type.
        unsafe { (self.drop)(self.pointer) }
    }
}

impl<P> Live<P> {
    /// Owns a closure, and gives the pointer by which callbacks find it. One that captures nothing
    /// needs no memory.
    pub(crate) fn keep<F: Send + Sync + 'static>(&self, closure: F) -> *mut c_void {
        /// # Safety
        ///
        /// The pointer is of a boxed `F`, and not used again.
        unsafe fn drop_box<F>(pointer: *mut c_void) {
            // SAFETY: the caller's promise.
            drop(unsafe { Box::from_raw(pointer.cast::<F>()) });
        }
        // For a type without size this allocates nothing.
        let pointer = Box::into_raw(Box::new(closure)).cast::<c_void>();
        if size_of::<F>() > 0 || std::mem::needs_drop::<F>() {
            lock(&self.closures).push(Closure {
                pointer,
                drop: drop_box::<F>,
            });
        }
        pointer
    }
}

/// A library has one plugin; these are about it, without its type.
static USED: AtomicBool = AtomicBool::new(false);
static ID: AtomicU64 = AtomicU64::new(0);
static DROP: OnceLock<fn()> = OnceLock::new();
static BOARDS: Mutex<Vec<Board>> = Mutex::new(Vec::new());
static PROCESS_ENDS: AtomicBool = AtomicBool::new(false);

struct Board(*mut sys::RawBoard);

// SAFETY: a scoreboard may be freed by any thread.
unsafe impl Send for Board {}

/// A panic while one of these is held leaves a list that is valid all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// Remembers a scoreboard, to be freed in the end.
pub(crate) fn owns_board(board: *mut sys::RawBoard) {
    lock(&BOARDS).push(Board(board));
}

fn free_boards() {
    // The list itself goes, too.
    for board in std::mem::take(&mut *lock(&BOARDS)) {
        // SAFETY: no code that uses it is left, and nobody else frees it.
        unsafe { sys::qemu_plugin_scoreboard_free(board.0) }
    }
}

/// Behind `qemu_plugin_install`.
///
/// # Safety
///
/// Called by the emulator, as the interface prescribes.
pub unsafe fn install<P: Plugin>(
    id: u64,
    info: *const sys::Info,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let instance = P::instance();
    if USED.swap(true, Ordering::Relaxed) {
        eprintln!(
            "{}: its library is loaded already, or still; it can be installed once",
            instance.name
        );
        return -1;
    }
    // SAFETY: valid during installation.
    let info = unsafe { Info::new(&*info) };
    let texts = (0..usize::try_from(argc).unwrap_or(0)).map(|i| {
        // SAFETY: `argc` texts.
        unsafe { CStr::from_ptr(*argv.add(i)) }
            .to_string_lossy()
            .into_owned()
    });
    let mut events = Events::default();
    let mut setup = Setup::new(info, Args::new(texts), &mut events);
    let plugin = match P::install(&mut setup) {
        Ok(plugin) => plugin,
        Err(error) => {
            eprintln!("{}: {error}", instance.name);
            free_boards();
            return -1;
        }
    };
    let live = Box::into_raw(Box::new(Live {
        plugin,
        events,
        closures: Mutex::new(Vec::new()),
    }));
    ID.store(id, Ordering::Relaxed);
    DROP.get_or_init(|| drop_plugin::<P>);
    // Release pairs with the acquire in `Instance::live`.
    instance.live.store(live, Ordering::Release);
    // SAFETY: just published; nobody uninstalls during installation.
    unsafe { (*live).events.register::<P>(id) };
    0
}

/// Allows another installation, for tests.
///
/// # Safety
///
/// Nothing of the installation before is used any more: no counter in a static.
pub unsafe fn renew() {
    USED.store(false, Ordering::Relaxed);
    PROCESS_ENDS.store(false, Ordering::Relaxed);
}

fn drop_plugin<P: Plugin>() {
    // Acquire pairs with the release in `install`.
    let live = P::instance().live.swap(ptr::null_mut(), Ordering::Acquire);
    if !live.is_null() {
        // SAFETY: it was boxed, and no callback is left that uses it.
        drop(unsafe { Box::from_raw(live) });
    }
}

/// Asks the emulator to take the plugin out.
pub(crate) fn uninstall() {
    let id = ID.load(Ordering::Relaxed);
    // SAFETY: called from a callback of the plugin with that id.
    #[cfg(api_7)]
    unsafe {
        qemu_plugin_uninstall(id, uninstalled, ptr::null_mut());
    }
    // SAFETY: as above.
    #[cfg(not(api_7))]
    unsafe {
        qemu_plugin_uninstall(id, uninstalled);
    }
}

/// After the last callback.
#[cfg(api_7)]
extern "C" fn uninstalled(_: *mut c_void) {
    end();
}

#[cfg(not(api_7))]
extern "C" fn uninstalled(_: u64) {
    end();
}

/// The `atexit` event: from now on nothing is dropped.
pub(crate) fn process_ends() {
    // Relaxed: what reads it next is `closed`, on this thread, or not at the end of the process.
    PROCESS_ENDS.store(true, Ordering::Relaxed);
}

/// The library's destructor. Closed by the emulator, it has made its last callback; what happens at the
/// end of the process is rule 3.
pub extern "C" fn closed() {
    if !PROCESS_ENDS.load(Ordering::Relaxed) {
        end();
    }
}

/// Drops everything, once.
fn end() {
    if let Some(drop) = DROP.get() {
        drop();
    }
    free_boards();
}

unsafe extern "C" {
    #[cfg(api_7)]
    fn qemu_plugin_uninstall(id: u64, cb: extern "C" fn(*mut c_void), data: *mut c_void);
    #[cfg(not(api_7))]
    fn qemu_plugin_uninstall(id: u64, cb: extern "C" fn(u64));
}
