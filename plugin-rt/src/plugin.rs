//! One loaded plugin.

use std::ffi::{CString, OsString, c_char};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use epoch::sync::Mutex;

use crate::rfc2018;
use crate::runtime::Runtime;
use crate::spec::Spec;
use crate::timing::{Stub, Times, Timing};

/// Names a plugin to itself and to the runtime; never 0, never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct PluginId(pub u64);

/// The oldest and the newest version of the interface that plugins may be built for.
pub const VERSIONS: std::ops::RangeInclusive<i32> = 2..=7;

/// What does not change while a plugin is loaded.
pub struct Plugin {
    id: PluginId,
    slot: u16,
    spec: Spec,
    interface: Interface,
    arguments: Arguments,
    lists_registers: AtomicBool,
    times: Arc<Times>,
    /// Boxed: blocks hold their addresses.
    #[expect(clippy::vec_box, reason = "blocks hold addresses of stubs")]
    stubs: Mutex<Vec<Box<Stub>>>,
}

/// How a plugin talks to the runtime.
#[derive(Clone, Copy)]
pub(crate) enum Interface {
    /// By `qemu-plugin.h` of a version.
    Qemu { version: i32 },
    /// By the interface of 2018.
    Rfc2018(rfc2018::Functions),
}

impl Plugin {
    pub(crate) fn new(
        id: PluginId,
        slot: u16,
        spec: Spec,
        interface: Interface,
        timing: &Timing,
    ) -> Plugin {
        let name = Path::new(&spec.path).file_name().unwrap_or(&spec.path);
        let times = timing.of(name.to_string_lossy().into_owned());
        Plugin {
            id,
            slot,
            arguments: Arguments::new(&spec.arguments),
            spec,
            interface,
            lists_registers: AtomicBool::new(false),
            times,
            stubs: Mutex::default(),
        }
    }

    /// Its id.
    pub fn id(&self) -> PluginId {
        self.id
    }

    /// Its place in the table that callback contexts point into.
    pub(crate) fn slot(&self) -> u16 {
        self.slot
    }

    /// The version of the interface that it was built for; 0 for the one of 2018.
    pub fn version(&self) -> i32 {
        match self.interface {
            Interface::Qemu { version } => version,
            Interface::Rfc2018(_) => rfc2018::VERSION,
        }
    }

    /// Its functions, if it is a plugin by the interface of 2018.
    pub(crate) fn rfc2018(&self) -> Option<rfc2018::Functions> {
        match self.interface {
            Interface::Qemu { .. } => None,
            Interface::Rfc2018(functions) => Some(functions),
        }
    }

    /// What it was loaded by.
    pub(crate) fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The path that it was loaded by.
    pub fn path(&self) -> &Path {
        Path::new(&self.spec.path)
    }

    /// How messages call it: the file's name.
    pub fn name(&self) -> impl fmt::Display + '_ {
        self.path().file_name().unwrap_or(&self.spec.path).display()
    }

    /// Where it is kept how long its callbacks take.
    pub(crate) fn times(&self) -> &Arc<Times> {
        &self.times
    }

    /// Keeps a stub for its blocks; gives the address.
    pub(crate) fn keep(&self, stub: Stub) -> usize {
        let stub = Box::new(stub);
        let address = std::ptr::from_ref(&*stub).expose_provenance();
        self.stubs.lock().push(stub);
        address
    }

    pub(crate) fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// It has asked for the list of registers, so that it may read them. Versions up to 4 read
    /// registers in any callback, whatever flags they registered it with: from now on their
    /// callbacks find the registers complete, also those in blocks that it has been shown already.
    pub fn note_registers_listed(&self) {
        let is_news = !self.lists_registers.swap(true, Relaxed);
        if is_news
            && self.reads_registers_anywhere()
            && let Some(runtime) = Runtime::global()
        {
            runtime.show_anew(self.id);
        }
    }

    /// Whether callbacks that are registered without access to registers get it all the same.
    pub(crate) fn reads_registers_anywhere(&self) -> bool {
        self.version() <= 4 && self.lists_registers.load(Relaxed)
    }
}

/// A plugin's `argv`: the strings live as long as the plugin.
pub(crate) struct Arguments {
    /// Each is a text that ends with NUL. Boxed: a plugin may write to its arguments.
    texts: Vec<*mut c_char>,
}

// SAFETY: the texts are owned; that a plugin writes to its own arguments is its own affair.
unsafe impl Send for Arguments {}
// SAFETY: as above.
unsafe impl Sync for Arguments {}

impl Arguments {
    /// A text with a NUL in it ends there.
    pub(crate) fn new(texts: &[OsString]) -> Arguments {
        let texts = texts.iter().map(|text| {
            let bytes = text.as_bytes();
            let end = bytes.iter().position(|&byte| byte == 0);
            let text = CString::new(&bytes[..end.unwrap_or(bytes.len())]);
            text.unwrap_or_default().into_raw()
        });
        Arguments {
            texts: texts.collect(),
        }
    }

    pub(crate) fn argc(&self) -> i32 {
        self.texts.len() as i32
    }

    /// Null if there are none.
    pub(crate) fn argv(&self) -> *mut *mut c_char {
        match self.texts.as_slice() {
            [] => std::ptr::null_mut(),
            texts => texts.as_ptr().cast_mut(),
        }
    }
}

impl Drop for Arguments {
    fn drop(&mut self) {
        for &text in &self.texts {
            // SAFETY: made by `into_raw`. A plugin that has moved the NUL has broken the rule that
            // the length stays; the allocator is told the length found here.
            drop(unsafe { CString::from_raw(text) });
        }
    }
}
