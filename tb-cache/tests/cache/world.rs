//! A guest in miniature: every page holds one block, whose guest bytes are the page's version; the
//! host code of a block returns its page's number and that version.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use epoch::Participant;
use tb_cache::{ArenaOwner, CodePages, Insert, Key, PAGE_SIZE, Tb, TbCache, Translation, Watch};
use translate::ops::{Exit, GuestRange, Op, SunkRange};
use translate::x86::{HostCode, Site};
use translate::{Block, GuestCode, Mode};

/// What the code of an invalidated block returns.
pub const STALE: u32 = u32::MAX;

/// The exit that every block has; it leads to the next page's block.
pub const EXIT: u16 = 0;

/// Guest memory.
pub struct World {
    versions: Vec<AtomicU64>,
    watch: fn(u64) -> Watch,
    /// Which pages are write-protected. Locked while a page changes from watched to written or
    /// back, as the contract of watching wants.
    protected: Mutex<Vec<bool>>,
}

impl World {
    pub fn new(pages: u64, watch: fn(u64) -> Watch) -> World {
        World {
            versions: (0..pages).map(|_| AtomicU64::new(0)).collect(),
            watch,
            protected: Mutex::new(vec![false; pages as usize]),
        }
    }

    /// Writes a page, as a guest's store would; gives its new version.
    pub fn write(&self, cache: &TbCache, page: u64) -> u64 {
        let mut protected = self.protected.lock().unwrap();
        if std::mem::replace(&mut protected[page as usize], false) {
            cache.page_written(page * PAGE_SIZE);
        }
        self.versions[page as usize].fetch_add(1, SeqCst) + 1
    }
}

impl GuestCode for World {
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let Some(version) = self.versions.get((pc / PAGE_SIZE) as usize) else {
            return 0;
        };
        let bytes = version.load(SeqCst).to_le_bytes();
        let rest = bytes.get((pc % PAGE_SIZE) as usize..).unwrap_or(&[]);
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        len
    }
}

impl CodePages for World {
    fn watch(&self, page: u64) -> Watch {
        let page = page / PAGE_SIZE;
        let watch = (self.watch)(page);
        if watch == Watch::Protected {
            self.protected.lock().unwrap()[page as usize] = true;
        }
        watch
    }
}

pub fn key(page: u64) -> Key {
    Key::plain(page * PAGE_SIZE, Mode::default())
}

/// The version that a block was made from.
pub fn version_of(tb: &Tb) -> u64 {
    u64::from_le_bytes(tb.bytes().try_into().unwrap())
}

/// What the code of a page's block returns.
pub fn result(page: u64, version: u64) -> u32 {
    (page as u32) << 16 | (version as u32 & 0xffff)
}

/// The page that a result tells of.
pub fn page_of(result: u32) -> u64 {
    u64::from(result >> 16)
}

/// Translates a page's block and inserts it; `None` if there was no room or the page changed.
pub fn translate<'a>(
    cache: &'a TbCache,
    online: &'a Participant,
    owner: &mut ArenaOwner,
    world: &World,
    page: u64,
    host_code: bool,
) -> Option<&'a Tb> {
    translate_as(cache, online, owner, world, key(page), host_code)
}

/// The same for a key that is not a plain one.
pub fn translate_as<'a>(
    cache: &'a TbCache,
    online: &'a Participant,
    owner: &mut ArenaOwner,
    world: &World,
    key: Key,
    host_code: bool,
) -> Option<&'a Tb> {
    let ticket = cache.ticket();
    let mut bytes = [0; 8];
    let pc = key.pc;
    let page = pc / PAGE_SIZE;
    assert_eq!(cache.watched(world).fetch(pc, &mut bytes), bytes.len());
    let block = block(pc, &bytes);
    let mut host = code(result(page, u64::from_le_bytes(bytes)));
    let translation = Translation {
        key,
        block: &block,
        host: host_code.then_some(&mut host),
        ticket,
    };
    match cache.insert(online, owner, world, translation) {
        Insert::Published(tb) => Some(tb),
        Insert::NoRoom | Insert::Changed => None,
    }
}

fn block(pc: u64, bytes: &[u8]) -> Block {
    Block {
        pc,
        ops: vec![Op::Jump { exit: EXIT }],
        exits: vec![Exit {
            target: pc + PAGE_SIZE,
            sunk: SunkRange::EMPTY,
            poll: false,
        }],
        ranges: vec![GuestRange {
            start: pc,
            len: bytes.len() as u32,
        }],
        bytes: bytes.to_vec(),
        n_insns: 1,
        ..Block::default()
    }
}

/// `nop; mov eax, value; jmp exit; exit: ret; stale: mov eax, STALE; ret`
fn code(value: u32) -> HostCode {
    let mut bytes = vec![0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0];
    bytes.push(0xb8);
    bytes.extend(value.to_le_bytes());
    bytes.extend([0x90, 0x90, 0xe9, 0, 0, 0, 0]);
    bytes.extend([0xc3, 0x90, 0x90, 0x90]);
    bytes.push(0xb8);
    bytes.extend(STALE.to_le_bytes());
    bytes.push(0xc3);
    HostCode {
        bytes,
        sites: vec![Site {
            exit: EXIT,
            disp: 16,
            unlinked: 0,
        }],
        chain_entry: 8,
        stale_stub: 24,
        ..HostCode::default()
    }
}

/// Runs a block's code, from its indirect entry.
///
/// # Safety
///
/// `code` is the address of a block of [`translate`] with host code, found since the last quiescent
/// point, or kept over it as the cache allows.
pub unsafe fn run(code: u64) -> u32 {
    let entry = std::ptr::with_exposed_provenance::<()>(code as usize);
    // SAFETY: the bytes in `code` above are a function of this signature.
    let function = unsafe { std::mem::transmute::<*const (), extern "C" fn() -> u32>(entry) };
    function()
}
