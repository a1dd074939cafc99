//! A real plugin that comes and goes while vCPUs run. Alone in its process, whose size it measures.
//!
//! A few hundred cycles always; `cargo test --release -p vcpu --test attach -- --ignored --nocapture`
//! does 100,000, or as many as `HARTSCOPE_CYCLES` says, with `HARTSCOPE_VCPUS` vCPUs.

#[path = "../common/mod.rs"]
mod common;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use plugin_rt::{NoLog, Runtime, Spec};
use vcpu::{Backend, Config, UserMemory, Vcpu};

use common::asm::*;
use common::world::World;

/// Longer than anything here has to be waited for.
const LONG: Duration = Duration::from_secs(60);

/// Where the guest's loops are: one closes by a branch, one by an indirect jump behind a side exit,
/// one by a jump.
const LOOPS: [(u64, &[u32]); 3] = [
    (
        0x1000,
        &[addi(T0, T0, -1), add(A0, A0, T0), bne(T0, ZERO, -8), ECALL],
    ),
    (
        0x2000,
        &[addi(T0, T0, -1), beq(T0, ZERO, 8), jalr(ZERO, S0, 0), ECALL],
    ),
    (
        0x3000,
        &[
            addi(T0, T0, -1),
            beq(T0, ZERO, 12),
            NOP,
            jal(ZERO, -12),
            ECALL,
        ],
    ),
];

/// How many instructions one pass through all loops takes.
const fn insns(rounds: u64) -> u64 {
    (3 * rounds + 1) + 3 * rounds + (4 * rounds - 1)
}

/// What the plugin says when it goes. Its layout is in `counter.c`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Report {
    inlined: u64,
    called: u64,
    shown: u64,
    closed: u64,
}

/// The plugin's library.
struct Library {
    path: PathBuf,
    report: Box<Report>,
}

impl Library {
    fn build() -> Library {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("counter-{}.so", std::process::id()));
        let status = Command::new("gcc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-I"])
            .arg(here.join("../plugin-rt/include"))
            .arg("-o")
            .args([&path, &here.join("tests/attach/counter.c")])
            .status()
            .expect("there is a C compiler");
        assert!(status.success());
        Library {
            path,
            report: Box::default(),
        }
    }

    fn spec(&mut self) -> Spec {
        let report = (&raw mut *self.report).expose_provenance();
        Spec {
            path: self.path.clone().into_os_string(),
            arguments: vec![OsString::from(format!("{report:x}"))],
        }
    }

    /// What the plugin has said; it has gone.
    fn report(&self) -> Report {
        // SAFETY: a plugin that has gone writes no more.
        unsafe { (&raw const *self.report).read_volatile() }
    }

    fn is_mapped(&self) -> bool {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.contains(self.path.to_str().unwrap())
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The process's runtime. Plugins find nothing of another one.
fn runtime() -> &'static Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        // Naming the functions keeps them from being left out.
        assert!(plugin_rt::abi::exports().all(|export| !export.address.is_null()));
        vcpu::start_plugins(plugin_rt::Config {
            system: None,
            log: Arc::new(NoLog),
            check: true,
        })
    })
}

/// One test at a time: they share the runtime.
static TURN: Mutex<()> = Mutex::new(());

/// What vCPUs are to do.
struct Orders {
    /// How many passes through the loops each is to make ([`FOREVER`] for no end), and above that
    /// the number of the order. [`STOP`]: to end.
    order: AtomicU64,
    rounds: u64,
    /// Passes made by all.
    made: AtomicU64,
    /// vCPUs that have nothing to do.
    parked: AtomicU64,
}

const FOREVER: u64 = u32::MAX as u64;
const STOP: u64 = u64::MAX;

impl Orders {
    fn give(&self, passes: u64) {
        let number = (self.order.load(Relaxed) >> 32) + 1;
        self.order.store(number << 32 | passes, Relaxed);
    }
}

/// A guest whose vCPUs run on threads of their own.
struct Guest {
    world: World,
    orders: Orders,
    vcpus: u64,
}

impl Guest {
    fn new(vcpus: u64, rounds: u64) -> Guest {
        let world = World::with_config(Config {
            backend: Backend::X86_64,
            tb_size: 16 << 20,
            plugins: Some(Arc::clone(runtime())),
            ..Config::default()
        });
        for (at, code) in LOOPS {
            world.ram.load(at, code);
        }
        Guest {
            world,
            orders: Orders {
                order: AtomicU64::new(0),
                rounds,
                made: AtomicU64::new(0),
                parked: AtomicU64::new(0),
            },
            vcpus,
        }
    }

    /// Runs `f` beside the vCPUs, which end after it.
    fn beside(&self, f: impl FnOnce()) {
        struct Stop<'a>(&'a Orders);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.order.store(STOP, Relaxed);
            }
        }
        thread::scope(|scope| {
            for _ in 0..self.vcpus {
                scope.spawn(|| self.run());
            }
            let _stop = Stop(&self.orders);
            self.park();
            f();
        });
    }

    /// A vCPU's thread.
    fn run(&self) {
        let mut vcpu = self.world.vcpu();
        vcpu.instruments().init();
        let orders = &self.orders;
        let (mut order, mut passes) = (0, 0);
        loop {
            let newest = orders.order.load(Relaxed);
            if newest != order {
                (order, passes) = (newest, 0);
            }
            if order == STOP {
                break;
            }
            let wanted = order & FOREVER;
            if wanted == FOREVER || passes < wanted {
                self.pass(&mut vcpu);
                passes += 1;
                orders.made.fetch_add(1, Relaxed);
                if passes % 4 == 0 {
                    // As in a guest that makes system calls; others get their turn on few cores.
                    vcpu.while_offline(thread::yield_now);
                }
            } else {
                vcpu.while_offline(|| {
                    orders.parked.fetch_add(1, Relaxed);
                    while orders.order.load(Relaxed) == order {
                        thread::yield_now();
                    }
                    orders.parked.fetch_sub(1, Relaxed);
                });
            }
        }
        vcpu.instruments().exit();
    }

    fn pass(&self, vcpu: &mut Vcpu<UserMemory>) {
        for (at, _) in LOOPS {
            vcpu.state().x[T0 as usize] = self.orders.rounds;
            vcpu.state().x[S0 as usize] = at;
            self.world.call(vcpu, at);
        }
    }

    /// Waits until no vCPU has anything to do.
    fn park(&self) {
        self.orders.give(0);
        wait_until("all are parked", || {
            self.orders.parked.load(Relaxed) == self.vcpus
        });
    }

    /// Lets each vCPU make so many passes.
    fn make(&self, passes: u64) {
        let before = self.orders.made.load(Relaxed);
        self.orders.give(passes);
        wait_until("all passes are made", || {
            self.orders.made.load(Relaxed) == before + self.vcpus * passes
        });
        self.park();
    }

    /// Ends a plugin and waits until it has gone, with what was made for it.
    fn detach(&self, id: plugin_rt::PluginId) {
        assert_eq!(runtime().uninstall(id), Ok(()));
        wait_until("the plugin has gone", || {
            runtime().plugins().is_empty() && self.world.engine.domain().pending() == 0
        });
    }

    fn translations(&self) -> u64 {
        self.world.engine.stats().translations
    }

    fn blocks(&self) -> u64 {
        self.world.engine.stats().cache.blocks
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LONG, "in vain: {what}");
        thread::yield_now();
    }
}

#[test]
fn a_plugin_counts_exactly_from_its_attachment_on_and_nothing_stays_behind() {
    const ROUNDS: u64 = 1_000;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut library = Library::build();
    let guest = Guest::new(2, ROUNDS);
    guest.beside(|| {
        // Until there is nothing left to translate.
        guest.make(5);
        let (translations, blocks) = (guest.translations(), guest.blocks());
        for cycle in 1..=20 {
            let before = guest.translations();
            let id = runtime().load(&library.spec()).unwrap();
            guest.make(3);
            guest.detach(id);
            let report = library.report();
            let expected = 2 * 3 * insns(ROUNDS);
            assert_eq!((report.inlined, report.called), (expected, expected));
            assert!(report.shown >= 3);
            assert_eq!(report.closed, cycle);
            assert!(!library.is_mapped());
            assert_eq!(guest.blocks(), blocks, "blocks of the plugin's set");
            let after = guest.translations();
            assert!(after > before, "instrumented blocks are translated");
            guest.make(3);
            assert_eq!(guest.translations(), after, "translated again");
            assert_eq!(library.report(), report);
        }
        assert!(guest.translations() > translations);
    });
}

#[test]
fn a_plugin_comes_and_goes_while_vcpus_run() {
    cycles(500, 2, 1_000);
}

#[test]
#[ignore = "takes minutes"]
fn cycles_by_the_hundred_thousand() {
    if std::env::var_os(MALLOC).is_none() {
        return again_without_caches();
    }
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let cycles_wanted = number("HARTSCOPE_CYCLES").unwrap_or(100_000);
    cycles(cycles_wanted, number("HARTSCOPE_VCPUS").unwrap_or(2), 1_000);
}

/// The C library's allocator keeps what a thread frees, a few pieces of each size, for that thread. What
/// is freed after a grace period is freed on any thread, so that these caches fill up in the course of a
/// hundred thousand cycles: a hundred KiB or so, by which the process grows although nobody leaks. It also has
/// several heaps, and a thread allocates from one of them: each touches all its memory at a time of its own, with
/// 64 vCPUs some 350 KiB after the first thousand cycles. Without caches and with one heap all that is free is
/// free for all.
const MALLOC: &str = "GLIBC_TUNABLES";

/// Runs this test alone in a process whose allocator has no such caches, and one heap.
fn again_without_caches() {
    let own = std::env::current_exe().expect("it has a name");
    let status = Command::new(own)
        .args(["--exact", "cycles_by_the_hundred_thousand"])
        .args(["--ignored", "--nocapture"])
        .env(
            MALLOC,
            "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1",
        )
        .status();
    assert!(status.expect("it runs").success());
}

/// So many cycles say something about growth to the percent.
const MANY: u64 = 10_000;

/// Attaches and detaches so often while `vcpus` run.
fn cycles(cycles: u64, vcpus: u64, rounds: u64) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut library = Library::build();
    let guest = Guest::new(vcpus, rounds);
    guest.beside(|| {
        guest.make(5);
        let warm = if cycles < MANY { cycles / 2 } else { 1_000 };
        let mut sizes = Sizes::default();
        // All its memory from the start: it is not to be mistaken for somebody's leak.
        let mut skews = vec![1; cycles as usize];
        skews.clear();
        let began = Instant::now();
        let mut counted = 0;
        guest.orders.give(FOREVER);
        for cycle in 1..=cycles {
            let id = runtime().load(&library.spec()).unwrap();
            // Some cycles end before anybody has seen the plugin.
            if cycle % 8 != 0 {
                let made = guest.orders.made.load(Relaxed);
                wait_until("a pass is made", || {
                    guest.orders.made.load(Relaxed) > made + 1
                });
            }
            if let Some(attach) = runtime().last_attach()
                && let Some(skew) = attach.taken.skew()
                && attach.taken.vcpus == attach.vcpus
            {
                assert_eq!(u64::from(attach.vcpus), vcpus);
                skews.push(skew.as_nanos() as u64);
            }
            guest.detach(id);
            let report = library.report();
            assert_eq!(report.inlined, report.called, "cycle {cycle}");
            assert_eq!(report.closed, cycle);
            counted += report.called;
            if cycle == warm {
                sizes = Sizes::now();
            }
            if cycles >= MANY && cycle.is_multiple_of(cycles / 20) {
                println!("after {cycle}: {:?}", Sizes::now());
            }
            if cycle == warm || cycle == cycles {
                assert!(!library.is_mapped(), "cycle {cycle}");
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let last = Sizes::now();
        guest.park();
        assert!(counted > 0);
        // Where vCPUs went over to the empty set blocks may begin, at each instruction one.
        let most = LOOPS.iter().map(|(_, code)| code.len() as u64).sum();
        assert!(guest.blocks() <= most, "blocks of sets that are dead");
        guest.make(3);
        let translations = guest.translations();
        guest.make(3);
        assert_eq!(guest.translations(), translations, "translated again");
        skews.sort_unstable();
        let at = |part: usize| skews.get(skews.len() * part / 1000).copied().unwrap_or(0);
        println!(
            "{cycles} cycles with {vcpus} vCPUs in {seconds:.1} s, {counted} instructions counted; \
             after {warm}: {sizes:?}, after all: {last:?}; between the first and the last vCPU to go \
             over ({} attachments that all had taken): median {} ns, 99% {} ns, most {} ns",
            skews.len(),
            at(500),
            at(990),
            skews.last().copied().unwrap_or(0),
        );
        // A few chunks of an allocator are no growth where there is little time to settle.
        last.assert_like(&sizes, if cycles < MANY { 128 } else { 0 });
    });
}

/// What a process has.
#[derive(Debug, Default)]
struct Sizes {
    resident_kib: u64,
    allocated_bytes: usize,
    descriptors: usize,
    mappings: usize,
}

impl Sizes {
    fn now() -> Sizes {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        // SAFETY: only reads numbers.
        let heap = unsafe { libc::mallinfo2() };
        Sizes {
            resident_kib: 4 * pages,
            allocated_bytes: heap.uordblks + heap.hblkhd,
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            mappings: maps.lines().count(),
        }
    }

    /// Grown by 2% and so many KiB at most.
    fn assert_like(&self, before: &Sizes, slack: u64) {
        assert!(
            self.resident_kib <= before.resident_kib * 102 / 100 + slack,
            "resident: {before:?}, then {self:?}"
        );
        assert!(
            self.allocated_bytes <= before.allocated_bytes * 102 / 100 + (slack as usize) * 1024,
            "allocated: {before:?}, then {self:?}"
        );
        assert_eq!(self.descriptors, before.descriptors);
        assert!(
            self.mappings <= before.mappings + 4,
            "{before:?}, then {self:?}"
        );
    }
}
