//! A guest in miniature: every page holds one block, whose guest bytes are the page's version.

use std::ops::Range;
use std::sync::Arc;

use epoch::sync::Mutex;
use epoch::sync::atomic::{AtomicU64, Ordering::Relaxed};
use epoch::{Domain, Participant};
use tb_cache::{
    ArenaOwner, CodePages, Config, Insert, Key, PAGE_SIZE, SetId, Tb, TbCache, Translation, Watch,
};
use translate::ops::{Exit, GuestRange, Op, SunkRange};
use translate::x86::{HostCode, Site};
use translate::{Block, GuestCode, Mode};

/// The exit that every block with host code has.
pub const EXIT: u16 = 0;

/// Ops of a block that fills an arena so far that no second one fits: they count as code of eight
/// bytes each, and the smallest arena has 16 KiB.
const MANY_OPS: usize = 1500;

/// Offset of that exit's displacement, which is 0 unless it is linked.
const DISPLACEMENT: u32 = 16;

/// Pages of the guest. Their addresses have the page's number in the bits that choose the lock of
/// the index, too, and nothing in those that choose the place: neighbours collide, under different
/// locks.
pub const PAGES: u64 = 3;

/// The address of a page's block.
pub fn pc(page: u64) -> u64 {
    (page << 40) | (page * PAGE_SIZE)
}

/// What a page's block is found by.
pub fn key(page: u64) -> Key {
    Key::plain(pc(page), Mode::default())
}

/// What blocks are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Small, for the interpreter.
    Ops,
    /// So many ops that an arena holds one block.
    ManyOps,
    /// The same, from two pages: the key's and the next.
    TwoPages,
    /// Host code.
    Code,
}

/// The cache of a guest, and the guest's memory.
pub struct World {
    pub domain: Arc<Domain>,
    pub cache: TbCache,
    versions: [AtomicU64; PAGES as usize],
    /// Which pages are write-protected; `None` if pages cannot be written, only mapped anew.
    protected: Option<Mutex<[bool; PAGES as usize]>>,
}

impl World {
    fn make(protected: Option<Mutex<[bool; PAGES as usize]>>) -> Arc<World> {
        let domain = Domain::new();
        let config = Config {
            tb_size: 0,
            stubs: &[],
        };
        let cache = TbCache::new(config, Arc::clone(&domain)).expect("there is memory");
        Arc::new(World {
            domain,
            cache,
            versions: std::array::from_fn(|_| AtomicU64::new(0)),
            protected,
        })
    }

    /// A guest whose code changes by mapping.
    pub fn new() -> Arc<World> {
        World::make(None)
    }

    /// A guest that writes code.
    pub fn writable() -> Arc<World> {
        World::make(Some(Mutex::new([false; PAGES as usize])))
    }

    /// One more vCPU, online.
    pub fn vcpu(self: &Arc<Self>) -> Vcpu {
        let mut participant = self.domain.register();
        participant.online();
        Vcpu {
            arenas: self.cache.arena_owner(),
            world: Arc::clone(self),
            participant,
            set: SetId::EMPTY,
        }
    }

    /// Maps something else, as `mmap` over the old mapping would.
    pub fn remap(&self, page: u64) {
        if let Some(protected) = &self.protected {
            protected.lock()[page as usize] = false;
        }
        self.change(page);
        self.cache.invalidate_range(pc(page), PAGE_SIZE);
    }

    /// The same for the first bytes of a page only, which keeps what is known of the page.
    pub fn remap_part(&self, page: u64) {
        self.change(page);
        self.cache.invalidate_range(pc(page), PAGE_SIZE / 2);
    }

    /// Writes a page, as a guest's store would.
    pub fn write(&self, page: u64) {
        self.write_then(page, || self.change(page));
    }

    /// Writes data that lies in a page beside the code.
    pub fn write_data(&self, page: u64) {
        self.write_then(page, || ());
    }

    fn write_then(&self, page: u64, store: impl FnOnce()) {
        let protected = self.protected.as_ref().expect("a writable world");
        let mut protected = protected.lock();
        if std::mem::take(&mut protected[page as usize]) {
            self.cache.page_written(pc(page));
        }
        store();
    }

    fn change(&self, page: u64) {
        let version = &self.versions[page as usize];
        version.store(version.load(Relaxed) + 1, Relaxed);
    }

    fn page_of(pc: u64) -> usize {
        (pc >> 40) as usize
    }
}

impl GuestCode for World {
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let bytes = self.versions[World::page_of(pc)]
            .load(Relaxed)
            .to_le_bytes();
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        len
    }
}

impl CodePages for World {
    fn watch(&self, page: u64) -> Watch {
        match &self.protected {
            None => Watch::Immutable,
            Some(protected) => {
                protected.lock()[World::page_of(page)] = true;
                Watch::Protected
            }
        }
    }
}

/// A vCPU as far as the cache sees it.
pub struct Vcpu {
    world: Arc<World>,
    pub participant: Participant,
    /// What blocks are instrumented for.
    pub set: SetId,
    arenas: ArenaOwner,
}

impl Vcpu {
    pub fn lookup(&self, page: u64) -> Option<&Tb> {
        self.world.cache.lookup(&self.participant, self.key(page))
    }

    /// What a page's block is found by in the vCPU's set.
    pub fn key(&self, page: u64) -> Key {
        Key {
            set: self.set,
            ..key(page)
        }
    }

    /// Translates a page's block and inserts it.
    pub fn translate(&mut self, page: u64, kind: Kind) -> Insert<'_> {
        let ticket = self.world.cache.ticket();
        let pages = match kind {
            Kind::TwoPages => page..page + 2,
            _ => page..page + 1,
        };
        let code = self.world.cache.watched(&*self.world);
        let block = block(page, pages, &code, kind);
        let mut host = host_code();
        let translation = Translation {
            key: self.key(page),
            block: &block,
            host: (kind == Kind::Code).then_some(&mut host),
            ticket,
        };
        self.world.cache.insert(
            &self.participant,
            &mut self.arenas,
            &*self.world,
            translation,
        )
    }

    /// Links one block's exit to another.
    pub fn link(&self, from: &Tb, to: &Tb) -> bool {
        // SAFETY: `from` was found by this vCPU and has not been let go by a quiescent point.
        unsafe {
            self.world
                .cache
                .link(&self.participant, from.code(), EXIT, to)
        }
    }

    pub fn fence_i(&self) {
        self.world.cache.fence_i(&self.participant, &*self.world);
    }

    /// Whether a page's block, if there is one, was made from what the page holds now.
    pub fn is_fresh(&self, page: u64) -> bool {
        let mut now = [0; 8];
        self.world.fetch(pc(page), &mut now);
        self.lookup(page).is_none_or(|tb| tb.bytes() == now)
    }
}

/// The displacement of a block's exit as it is in the code.
pub fn displacement(tb: &Tb) -> i32 {
    let at = std::ptr::with_exposed_provenance::<i32>(tb.code() as usize + DISPLACEMENT as usize);
    // SAFETY: within the block's code; one OS thread runs all threads of a model.
    unsafe { at.read_unaligned() }
}

fn block(page: u64, pages: Range<u64>, code: &dyn GuestCode, kind: Kind) -> Block {
    let ops = match kind {
        Kind::ManyOps | Kind::TwoPages => MANY_OPS,
        Kind::Ops | Kind::Code => 0,
    };
    let mut ranges = Vec::new();
    let mut bytes = Vec::new();
    for page in pages {
        let mut word = [0; 8];
        code.fetch(pc(page), &mut word);
        bytes.extend(word);
        ranges.push(GuestRange {
            start: pc(page),
            len: word.len() as u32,
        });
    }
    Block {
        pc: pc(page),
        ops: std::iter::repeat_n(Op::Fence, ops)
            .chain([Op::Jump { exit: EXIT }])
            .collect(),
        exits: vec![Exit {
            target: 0,
            sunk: SunkRange::EMPTY,
            poll: false,
        }],
        ranges,
        bytes,
        n_insns: 1,
        ..Block::default()
    }
}

/// Never run; only its layout matters.
fn host_code() -> HostCode {
    HostCode {
        bytes: vec![0; 32],
        sites: vec![Site {
            exit: EXIT,
            disp: DISPLACEMENT,
            unlinked: 0,
        }],
        chain_entry: 8,
        stale_stub: 24,
        ..HostCode::default()
    }
}
