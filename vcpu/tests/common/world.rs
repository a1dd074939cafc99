//! A user-mode guest without an operating system: some megabytes of memory, of which pages can be
//! taken away, and an owner that does for a vCPU what only a system would.

use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex};

use tb_cache::{CodePages, PAGE_SIZE, TbCache, Watch};
use translate::{Access, Cause, GuestCode};
use vcpu::{Backend, Config, Engine, Stop, UserMemory, Vcpu};

/// Where guest memory ends; what is above faults.
pub const END: u64 = 4 << 20;

/// Reserved below the guest, where addresses just below 0 end up.
const GUARD: usize = 0x1_0000;

/// Reserved above the guest, so that nothing else gets mapped there.
const RESERVED: usize = 64 << 20;

/// Guest memory: readable and executable for the guest, and writable unless it is watched.
pub struct Ram {
    base: NonNull<u8>,
    layout: Mutex<Layout>,
}

#[derive(Default)]
struct Layout {
    /// Write-protected because code was translated from them.
    watched: Vec<u64>,
    /// Taken away.
    absent: Vec<u64>,
    cache: Option<Arc<TbCache>>,
}

// SAFETY: plain memory that is accessed by guest code and by guarded routines.
unsafe impl Send for Ram {}
// SAFETY: as above.
unsafe impl Sync for Ram {}

impl Ram {
    fn new() -> Arc<Ram> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                GUARD + RESERVED,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        let ram = Ram {
            // SAFETY: within the mapping.
            base: NonNull::new(unsafe { base.cast::<u8>().add(GUARD) }.cast()).unwrap(),
            layout: Mutex::default(),
        };
        ram.protect(0..END, libc::PROT_READ | libc::PROT_WRITE);
        Arc::new(ram)
    }

    pub fn base(&self) -> u64 {
        self.base.as_ptr().expose_provenance() as u64
    }

    fn protect(&self, range: std::ops::Range<u64>, protection: i32) {
        let len = (range.end - range.start) as usize;
        let at = self.base.as_ptr().wrapping_add(range.start as usize);
        // SAFETY: inside the mapping, which holds guest memory only.
        let done = unsafe { libc::mprotect(at.cast(), len, protection) };
        assert_eq!(done, 0);
    }

    /// Writes as a system call of the guest would.
    pub fn load(&self, addr: u64, words: &[u32]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let pages = (addr & !(PAGE_SIZE - 1))..addr + bytes.len() as u64;
        for page in pages.step_by(PAGE_SIZE as usize) {
            assert!(self.unwatch(page), "page {page:#x} is absent");
        }
        // SAFETY: guest memory.
        unsafe { vcpu::guarded::copy_in(self.base() + addr, &bytes) }.unwrap();
    }

    pub fn read(&self, addr: u64) -> u64 {
        let mut bytes = [0; 8];
        // SAFETY: guest memory.
        unsafe { vcpu::guarded::copy_out(&mut bytes, self.base() + addr) }.unwrap();
        u64::from_le_bytes(bytes)
    }

    /// Takes a page away, or gives it back.
    pub fn set_present(&self, page: u64, present: bool) {
        let mut layout = self.layout.lock().unwrap();
        layout.watched.retain(|&watched| watched != page);
        layout.absent.retain(|&absent| absent != page);
        let protection = if present {
            libc::PROT_READ | libc::PROT_WRITE
        } else {
            layout.absent.push(page);
            libc::PROT_NONE
        };
        self.protect(page..page + PAGE_SIZE, protection);
        let cache = layout.cache.clone();
        drop(layout);
        if let Some(cache) = cache {
            cache.invalidate_range(page, PAGE_SIZE);
        }
    }

    /// Lets a store through that only failed because the page was watched.
    fn unwatch(&self, addr: u64) -> bool {
        let page = addr & !(PAGE_SIZE - 1);
        let mut layout = self.layout.lock().unwrap();
        let Some(at) = layout.watched.iter().position(|&watched| watched == page) else {
            // Another thread may just have done it.
            return addr < END && !layout.absent.contains(&page);
        };
        layout.cache.as_ref().unwrap().page_written(page);
        layout.watched.swap_remove(at);
        self.protect(page..page + PAGE_SIZE, libc::PROT_READ | libc::PROT_WRITE);
        true
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; with its last owner gone nobody runs in it.
        unsafe { libc::munmap(self.base.as_ptr().sub(GUARD).cast(), GUARD + RESERVED) };
    }
}

impl GuestCode for Ram {
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        let end = pc.saturating_add(buf.len() as u64).min(END);
        let mut there = pc;
        while there < end {
            let page = there & !(PAGE_SIZE - 1);
            if self.layout.lock().unwrap().absent.contains(&page) {
                break;
            }
            there = (page + PAGE_SIZE).min(end);
        }
        let len = there.saturating_sub(pc) as usize;
        // SAFETY: guest memory.
        match unsafe { vcpu::guarded::copy_out(&mut buf[..len], self.base().wrapping_add(pc)) } {
            Ok(()) => len,
            Err(_) => 0,
        }
    }
}

impl CodePages for Ram {
    fn watch(&self, page: u64) -> Watch {
        let mut layout = self.layout.lock().unwrap();
        if page >= END || layout.absent.contains(&page) {
            return Watch::Unwatchable;
        }
        if !layout.watched.contains(&page) {
            self.protect(page..page + PAGE_SIZE, libc::PROT_READ);
            layout.watched.push(page);
        }
        Watch::Protected
    }
}

/// A guest with its engine.
pub struct World {
    pub ram: Arc<Ram>,
    pub engine: Arc<Engine>,
}

impl World {
    pub fn new(backend: Backend) -> World {
        World::with_size(backend, 1 << 20)
    }

    pub fn with_size(backend: Backend, tb_size: usize) -> World {
        World::with_config(Config {
            backend,
            tb_size,
            ..Config::default()
        })
    }

    pub fn with_config(config: Config) -> World {
        let ram = Ram::new();
        let engine = Engine::new(&config, ram.clone()).unwrap();
        assert_eq!(engine.backend(), config.backend);
        ram.layout.lock().unwrap().cache = Some(Arc::clone(engine.cache()));
        World { ram, engine }
    }

    pub fn vcpu(&self) -> Vcpu<UserMemory> {
        let base = self.ram.base();
        Vcpu::new(&self.engine, UserMemory { base }).expect("there is memory")
    }

    /// Runs until something is left for the test to judge.
    pub fn run(&self, vcpu: &mut Vcpu<UserMemory>) -> Stop {
        loop {
            match vcpu.run() {
                Stop::Fault(fault)
                    if fault.access == Access::Store
                        && fault.cause == Cause::Page
                        && self.ram.unwatch(fault.addr) => {}
                stop => return stop,
            }
        }
    }

    /// Runs from `pc` to an `ecall`; gives a0.
    pub fn call(&self, vcpu: &mut Vcpu<UserMemory>, pc: u64) -> u64 {
        vcpu.state().pc = pc;
        let stop = self.run(vcpu);
        assert_eq!(stop, Stop::Ecall, "at {:#x}", vcpu.state().pc);
        vcpu.state().x[10]
    }
}

/// Runs a test on both back ends.
pub fn on_both(test: impl Fn(Backend)) {
    for backend in [Backend::X86_64, Backend::Interp] {
        println!("{backend:?}");
        test(backend);
    }
}
