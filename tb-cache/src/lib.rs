//! Where translated blocks live: lookup, chaining, pages, arenas, eviction.
//!
//! Only the signatures that `linux-user` compiles against, until the cache itself lands here.

use translate::GuestCode;

/// How writes to a page that holds translated code are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The page cannot be written by the guest.
    Immutable,
    /// Host-write-protected: the writer will call [`TbCache::page_written`].
    Protected,
    /// Writes go unnoticed: always verified at `fence.i`.
    Unwatchable,
}

/// Guest code whose pages can be watched.
pub trait CodePages: GuestCode + Send {
    /// Called before bytes of a page are fetched for a block.
    fn watch(&self, page: u64) -> Watch;
}

/// The shared translation cache.
pub struct TbCache {
    _private: (),
}

impl TbCache {
    /// Drops the blocks that lie in a range that is unmapped, remapped or re-protected.
    pub fn invalidate_range(&self, _start: u64, _len: u64) {}
    /// A write-protected page was written.
    pub fn page_written(&self, _page: u64) {}
    /// Verifies the blocks on written pages.
    pub fn fence_i(&self, _code: &dyn GuestCode) {}
}
