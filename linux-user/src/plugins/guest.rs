//! A Linux program as plugins ask about it.

use super::symbols::{Functions, Source};
use crate::exec::file::Program;
use crate::exec::load::Loaded;
use crate::mm::AddressSpace;
use crate::own_file::OwnFile;
use plugin_rt::{CodeBounds, Guest};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

/// The guest, for the plugins of a process and of its forked children.
pub(crate) struct Observed {
    mm: Arc<AddressSpace>,
    binary: Option<CString>,
    code: CodeBounds,
    sources: Vec<Source>,
    /// Read when somebody asks first; null until then. Not a `OnceLock`: a child may be forked while
    /// another thread reads.
    functions: AtomicPtr<Functions>,
}

impl Observed {
    /// A program that has been loaded, whose absolute path is `path`.
    pub(crate) fn new(
        mm: &Arc<AddressSpace>,
        program: Program,
        loaded: Loaded,
        path: &Path,
    ) -> Observed {
        let files = [(program.file, loaded.bias)]
            .into_iter()
            .chain(loaded.interpreter);
        let source = |(file, bias)| {
            // Without one there are no symbols.
            let file = OwnFile::new(file).ok()?;
            Some(Source { file, bias })
        };
        Observed {
            mm: mm.clone(),
            binary: CString::new(path.as_os_str().as_bytes()).ok(),
            code: CodeBounds {
                start: loaded.code.start,
                end: loaded.code.end,
                entry: loaded.pc,
            },
            sources: files.filter_map(source).collect(),
            functions: AtomicPtr::default(),
        }
    }

    fn functions(&self) -> &Functions {
        // Acquire: pairs with the Release below, of whoever has read them.
        let mut functions = self.functions.load(Ordering::Acquire);
        if functions.is_null() {
            functions = self.read_functions();
        }
        // SAFETY: not null, made by `read_functions`, and freed by nobody while `self` lives.
        unsafe { &*functions }
    }

    #[cold]
    fn read_functions(&self) -> *mut Functions {
        let read = Box::into_raw(Box::new(Functions::read(&self.sources)));
        let first = self.functions.compare_exchange(
            ptr::null_mut(),
            read,
            // Release: pairs with the Acquire in `functions`; Acquire: the other thread's Release.
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        match first {
            Ok(_) => read,
            Err(faster) => {
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(read) });
                faster
            }
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let functions = *self.functions.get_mut();
        if !functions.is_null() {
            // SAFETY: boxed by `read_functions`; whoever borrowed it borrowed `self`.
            drop(unsafe { Box::from_raw(functions) });
        }
    }
}

impl Guest for Observed {
    fn read(&self, addr: u64, buf: &mut [u8]) -> bool {
        self.mm.peek(addr, buf)
    }

    fn write(&self, addr: u64, data: &[u8]) -> bool {
        self.mm.poke(addr, data)
    }

    fn host_address(&self, addr: u64) -> *const u8 {
        ptr::with_exposed_provenance(self.mm.base().wrapping_add(addr) as usize)
    }

    fn symbol(&self, addr: u64) -> Option<&'static CStr> {
        self.functions().at(addr)
    }

    fn binary(&self) -> Option<CString> {
        self.binary.clone()
    }

    fn code(&self) -> CodeBounds {
        self.code
    }
}
