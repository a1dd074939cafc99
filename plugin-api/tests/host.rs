//! What the crate promises, with an emulator made for the purpose around it: closures and plugin are
//! dropped after the last callback and not before, scoreboards after them; what is counted on several
//! threads is exact; the flags that are registered are those of the types.

mod fake;

use std::ffi::{CString, c_char, c_int};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use fake::Tb;
use hartscope_plugin::{
    API_VERSION, Counter, Counters, Error, Plugin, Rw, Scoreboard, Setup, Tally, U64, Vcpu,
    WriteRegs, elements, out, register_plugin,
};

elements! {
    struct Own {
        first: AtomicU64,
        runs: U64,
        others: [U64; 3],
    }
}

struct Probe {
    own: Scoreboard<Own>,
    runs: Counter,
    limited: Counter,
    many: Counters,
    pages: Tally<2>,
    /// Held by each closure too.
    token: Arc<()>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        fake::note("plugin dropped");
    }
}

/// How many of these are alive tells how many closures are.
static TOKEN: Mutex<Option<Arc<()>>> = Mutex::new(None);

impl Plugin for Probe {
    fn install(setup: &mut Setup<'_, Self>) -> Result<Self, Error> {
        assert_eq!(setup.info().target, "riscv64");
        assert!(setup.info().system.is_none());
        let args = setup.args();
        if args.flag("fail")? {
            let _unused = Counter::new();
            return Err(Error::new("as you wish"));
        }
        let times: u64 = args.value("times")?.unwrap_or(1);
        args.finish()?;

        let token = Arc::new(());
        *TOKEN.lock().unwrap() = Some(token.clone());
        let own = Scoreboard::<Own>::new();
        let runs = own.counter(|own| &own.runs);
        setup.on_translate(move |probe, block| {
            assert_eq!(block.insns().count(), block.n_insns());
            assert!(block.insn(block.n_insns()).is_none());
            block.entry().add(probe.runs, times);
            let token = probe.token.clone();
            block
                .entry()
                .call(move |_, _| assert!(Arc::strong_count(&token) > 1));
            block.entry().add(probe.limited, 1);
            block
                .entry()
                .call_if(probe.limited.at_least(10), |probe, cpu| {
                    probe.limited.of(cpu).set(0);
                    probe.own.of(cpu).others[2].add(1);
                });
            for insn in block.insns() {
                insn.before()
                    .reading()
                    .call(|_, cpu| assert!(cpu.index() < 4));
                insn.before()
                    .writing()
                    .call_with(insn.address(), |probe, cpu, address| {
                        probe.own.of(cpu).first.store(address, Relaxed);
                    });
                insn.accesses(Rw::Read).call(|probe, cpu, access| {
                    let tally = probe.pages.of(cpu).of(access.address());
                    tally[usize::from(access.is_store())].add(access.size());
                });
                insn.accesses(Rw::Write)
                    .call(|_, _, _| panic!("there are no stores"));
            }
        });
        setup.on_syscall_filter(|probe, cpu, call| {
            if call.number == 1 {
                cpu.uninstall();
            }
            if call.number == 4 {
                look_at_counts(probe, cpu, call.args[0]);
            }
            (call.number == 2).then(|| -(call.args[0] as i64))
        });
        setup.on_exit(|probe, exit| out!("runs {}\n", probe.runs.sum(exit)));
        Ok(Probe {
            own,
            runs,
            limited: Counter::new(),
            many: Counters::new(),
            pages: Tally::new(),
            token,
        })
    }
}

register_plugin!(Probe);

#[repr(C)]
struct Info {
    target_name: *const c_char,
    versions: [c_int; 2],
    system_emulation: bool,
    vcpus: [c_int; 2],
}

unsafe extern "C" {
    safe static qemu_plugin_version: c_int;
    fn qemu_plugin_install(
        id: u64,
        info: *const Info,
        argc: c_int,
        argv: *const *const c_char,
    ) -> c_int;
}

/// In a library that has just been opened, as it were.
fn install(args: &[&str]) -> c_int {
    // SAFETY: nothing of the installation before is left.
    unsafe { hartscope_plugin::internal::renew() };
    install_again(args)
}

fn install_again(args: &[&str]) -> c_int {
    let args: Vec<_> = args.iter().map(|arg| CString::new(*arg).unwrap()).collect();
    let argv: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
    let info = Info {
        target_name: c"riscv64".as_ptr(),
        versions: [2, 7],
        system_emulation: false,
        vcpus: [0, 0],
    };
    // SAFETY: as an emulator calls it.
    unsafe { qemu_plugin_install(1, &info, argv.len() as c_int, argv.as_ptr()) }
}

/// A library has one plugin: tests take turns.
static TURN: Mutex<()> = Mutex::new(());

fn closures_alive() -> usize {
    // Less the one asked, and the plugin's own.
    Arc::strong_count(TOKEN.lock().unwrap().as_ref().unwrap()) - 2
}

fn uninstall() {
    assert_eq!(fake::filter(0, 1, 0), None);
    assert!(fake::quiesce());
}

#[test]
fn nothing_outlives_the_plugin_and_the_plugin_outlives_all_callbacks() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(
        API_VERSION, 7,
        "these tests are for the version that is the default"
    );
    assert_eq!(qemu_plugin_version, 7);
    assert_eq!(install(&[]), 0);
    let blocks: Vec<_> = (0..5).map(|i| Tb::translate(0x1000 * i, 3)).collect();
    assert_eq!(closures_alive(), 5);
    fake::host(|host| host.journal.clear());

    // An uninstallation is asked for; until it takes place, code runs on.
    assert_eq!(fake::filter(0, 1, 0), None);
    blocks.iter().for_each(|block| block.run(1));
    assert_eq!(closures_alive(), 5);
    assert!(fake::host(|host| host.journal.is_empty()));

    assert!(fake::quiesce());
    let token = TOKEN.lock().unwrap().take().unwrap();
    assert_eq!(Arc::strong_count(&token), 1, "closures are dropped");
    let journal = fake::host(|host| std::mem::take(&mut host.journal));
    assert_eq!(
        journal[0], "plugin dropped",
        "before its scoreboards: {journal:?}"
    );
    assert_eq!(fake::boards(), 0);

    // Its statics may remember counters that are gone.
    assert_eq!(install_again(&[]), -1);
    assert_eq!(install(&[]), 0);
    Tb::translate(0, 1).run(0);
    uninstall();
    assert_eq!(fake::boards(), 0);
}

#[test]
fn one_instance_and_only_arguments_that_are_understood() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(install(&["fail=on"]), -1);
    assert_eq!(
        fake::boards(),
        0,
        "a plugin that was not installed owns nothing"
    );
    assert_eq!(install(&["fail=perhaps"]), -1);
    assert_eq!(install(&["times=many"]), -1);
    assert_eq!(install(&["unknown=1"]), -1);
    assert_eq!(install(&["times=2"]), 0);
    assert_eq!(install_again(&[]), -1, "there is one already");
    uninstall();
}

#[test]
fn the_end_of_the_process_drops_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(install(&["times=3"]), 0);
    let block = Tb::translate(0x1000, 2);
    block.run(0);
    fake::host(|host| host.log.clear());
    fake::exit();
    assert_eq!(fake::host(|host| host.log.clone()), "runs 3\n");
    // Another vCPU is late.
    block.run(2);
    // Destructors run after that.
    hartscope_plugin::internal::closed();
    assert_eq!(closures_alive(), 1);
    uninstall();
}

#[test]
fn somebody_else_may_take_the_plugin_out() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(install(&[]), 0);
    Tb::translate(0x1000, 2).run(0);
    assert_eq!(closures_alive(), 1);
    // Nobody calls the plugin; its library is closed.
    hartscope_plugin::internal::closed();
    let token = TOKEN.lock().unwrap().take().unwrap();
    assert_eq!((Arc::strong_count(&token), fake::boards()), (1, 0));
}

#[test]
fn flags_are_those_of_the_types() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(install(&[]), 0);
    let block = Tb::translate(0x1000, 1);
    assert_eq!(block.flags(), [0, 0, 1, 2, 0, 0]);
    uninstall();
}

#[test]
fn filters_answer_or_do_not() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(install(&[]), 0);
    assert_eq!(fake::filter(3, 2, 14), Some(-14));
    assert_eq!(fake::filter(3, 3, 14), None);
    uninstall();
}

#[test]
fn threads_count_exactly() {
    const RUNS: u64 = 2000;
    const BLOCKS: u64 = 700;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(install(&[]), 0);
    // So many addresses that tables grow while others count.
    let blocks: Vec<_> = (0..BLOCKS).map(|i| Tb::translate(0x1000 * i, 2)).collect();
    std::thread::scope(|scope| {
        for vcpu in 0..fake::VCPUS as u32 {
            let blocks = &blocks;
            scope.spawn(move || {
                for run in 0..RUNS {
                    blocks[(run * u64::from(vcpu + 1) % BLOCKS) as usize].run(vcpu);
                }
            });
        }
    });
    // Sums can be asked for in callbacks only: this is one.
    fake::filter(0, 4, RUNS * fake::VCPUS as u64);
    uninstall();
}

fn look_at_counts(probe: &Probe, cpu: &Vcpu<'_, WriteRegs>, total: u64) {
    assert_eq!(probe.runs.sum(cpu), total);
    let mut bytes = 0;
    probe.pages.for_each(cpu, |_, _, [loaded, stored]| {
        bytes += loaded;
        assert_eq!(stored, 0);
    });
    assert_eq!(bytes, total * 2 * 8);
    let tens: u64 = probe.own.all(cpu).map(|own| own.others[2].get()).sum();
    assert_eq!(tens, total / 10);
    let [a, b] = [probe.many.allocate(), probe.many.allocate()];
    a.of(cpu).add(5);
    assert_eq!((a.sum(cpu), b.sum(cpu), a.get(cpu, 99)), (5, 0, 0));
}
