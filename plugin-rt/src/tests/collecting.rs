//! What plugins ask for in a block, and what comes of it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use translate::hooks::{Condition, Hook, PlainInsn, Regs, Rw, Test};

use super::*;
use crate::abi::context::{self, Kind};
use crate::abi::exports;
use crate::plugin::Plugin;
use crate::translation::Translation;

/// A plugin of version 5 and one of version 7.
fn plugins() -> &'static [Arc<Plugin>] {
    static PLUGINS: OnceLock<Vec<Arc<Plugin>>> = OnceLock::new();
    PLUGINS.get_or_init(|| {
        let ids = [5, 7].map(|version| load(global(), version));
        let plugins = global().plugins();
        let find = |id| plugins.iter().find(|plugin| plugin.id() == id).cloned();
        ids.into_iter().filter_map(find).collect()
    })
}

/// C's `qemu_plugin_u64`.
#[derive(Clone, Copy)]
#[repr(C)]
struct U64 {
    score: usize,
    offset: usize,
}

type ExecCb = extern "C" fn(u64, Function, i32, usize);
type CondCb = extern "C" fn(u64, Function, i32, i32, U64, u64, usize);
type Inline = extern "C" fn(u64, i32, U64, u64);
type MemCb = extern "C" fn(u64, Function, i32, i32, usize);

/// Not to be done without a call.
extern "C" fn nothing(vcpu: u32, _: usize) {
    std::hint::black_box(vcpu);
    CALLED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

static CALLED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// Shows a block of two instructions to plugins, one after the other.
fn collected(plugins: &[&Plugin], ask: impl Fn(u64, [u64; 2], usize)) -> Translation {
    let mut translation = Translation::default();
    let bytes = [0x13, 0, 0, 0];
    let insns = [
        PlainInsn {
            pc: 0x1000,
            bytes: &bytes,
        },
        PlainInsn {
            pc: 0x1004,
            bytes: &bytes[..2],
        },
    ];
    translation.begin(0x1000, &insns);
    let tb = translation.tb();
    let insns = [0, 1].map(|index| translation.insn_handle(index).unwrap());
    for (number, plugin) in plugins.iter().enumerate() {
        context::run_own(plugin.slot(), Kind::TbTrans, || {
            translation.show(|| ask(tb, insns, number));
        });
    }
    translation
}

/// The userdata of calls.
fn calls(hooks: &[Hook]) -> Vec<u64> {
    let calls = hooks.iter().filter_map(|hook| match hook {
        Hook::Call(call) | Hook::CallIf(_, call) => Some(call.userdata),
        _ => None,
    });
    calls.collect()
}

#[test]
fn hooks_stand_in_the_order_in_which_they_were_asked_for() {
    let [old, new] = plugins() else {
        unreachable!()
    };
    let on_tb = exported!(qemu_plugin_register_vcpu_tb_exec_cb as ExecCb);
    let on_insn = exported!(qemu_plugin_register_vcpu_insn_exec_cb as ExecCb);
    let shown = collected(&[new, old], |tb, [first, second], number| {
        on_insn(second, function!(nothing), 1, 10 * number);
        on_insn(first, function!(nothing), 0, 10 * number + 1);
        on_tb(tb, function!(nothing), 0, 10 * number + 2);
        on_insn(first, function!(nothing), 2, 10 * number + 3);
    });
    let wishes = &shown.wishes;
    assert_eq!(calls(&wishes.entry), [2, 12]);
    assert_eq!(calls(&wishes.insns[0].before), [1, 3, 11, 13]);
    assert_eq!(calls(&wishes.insns[1].before), [0, 10]);
    let regs = |hook: &Hook| match hook {
        Hook::Call(call) => (call.regs, call.context >> 8, call.context & 0xf),
        _ => unreachable!(),
    };
    let slots = [new, old].map(|plugin| u32::from(plugin.slot()) + 1);
    let first: Vec<_> = wishes.insns[0].before.iter().map(regs).collect();
    assert_eq!(first[0], (Regs::None, slots[0], 0));
    assert_eq!(first[1], (Regs::Write, slots[0], 2));
    assert_eq!(first[2], (Regs::None, slots[1], 0));
    assert_eq!(regs(&wishes.insns[1].before[0]), (Regs::Read, slots[0], 1));
}

#[test]
fn conditions_and_counters() {
    let [_, new] = plugins() else { unreachable!() };
    let board = exported!(qemu_plugin_scoreboard_new as extern "C" fn(usize) -> usize);
    let cond = exported!(qemu_plugin_register_vcpu_tb_exec_cond_cb as CondCb);
    let inline = exported!(qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu as Inline);
    let score = context::run_own(new.slot(), Kind::Install, || board(16));
    let at = |offset| U64 { score, offset };
    let shown = collected(&[new], |tb, _, _| {
        cond(tb, function!(nothing), 0, 0, at(0), 5, 1);
        cond(tb, function!(nothing), 0, 1, at(0), 5, 2);
        for test in 2..=7 {
            cond(tb, function!(nothing), 0, test, at(8), 5, 3);
        }
        inline(tb, 0, at(0), 1 << 40);
        inline(tb, 1, at(8), u64::MAX);
    });
    let entry = &shown.wishes.entry;
    assert_eq!(entry.len(), 9, "never is nothing");
    assert!(
        matches!(entry[0], Hook::Call(call) if call.userdata == 2),
        "always"
    );
    let tests: Vec<_> = entry[1..7]
        .iter()
        .map(|hook| match hook {
            Hook::CallIf(Condition { test, value: 5, .. }, _) => *test,
            _ => unreachable!(),
        })
        .collect();
    assert_eq!(
        tests,
        [Test::Eq, Test::Ne, Test::Lt, Test::Le, Test::Gt, Test::Ge]
    );
    let (
        Hook::Add { offset, value },
        Hook::Store {
            offset: next,
            value: stored,
        },
    ) = (entry[7], entry[8])
    else {
        unreachable!()
    };
    assert_eq!((value, stored, next), (1 << 40, u64::MAX, offset + 8));
}

#[test]
fn accesses_are_asked_for_by_kind() {
    let [old, _] = plugins() else { unreachable!() };
    let on_mem = exported!(qemu_plugin_register_vcpu_mem_cb as MemCb);
    let shown = collected(&[old], |_, [_, second], _| {
        for rw in 0..=3 {
            on_mem(second, function!(nothing), 1, rw, rw as usize);
        }
    });
    let memory = &shown.wishes.insns[1].memory;
    let on: Vec<_> = memory.iter().map(|hook| hook.on).collect();
    let kind = |reads, writes| Rw { reads, writes };
    assert_eq!(on, [kind(true, false), kind(false, true), kind(true, true)]);
}

#[test]
fn data_is_copied_or_for_version_2_pointed_to() {
    let [_, new] = plugins() else { unreachable!() };
    let runtime = global();
    let oldest = load(runtime, 2);
    let plugins = runtime.plugins();
    let oldest = plugins.iter().find(|plugin| plugin.id() == oldest).unwrap();
    let data = exported!(qemu_plugin_insn_data as extern "C" fn(u64, *mut u8, usize) -> usize);
    collected(&[new], |_, [first, second], _| {
        let mut bytes = [0xff; 4];
        assert_eq!(data(first, bytes.as_mut_ptr(), 3), 3);
        assert_eq!(bytes, [0x13, 0, 0, 0xff]);
        assert_eq!(data(second, bytes.as_mut_ptr(), 4), 2);
    });
    collected(&[oldest], |_, [first, _], _| {
        // What is in the other argument registers is nobody's business.
        let address = data(first, std::ptr::dangling_mut(), usize::MAX);
        let bytes = std::ptr::with_exposed_provenance::<[u8; 4]>(address);
        // SAFETY: good as long as the handle.
        assert_eq!(unsafe { *bytes }, [0x13, 0, 0, 0]);
    });
    assert_eq!(runtime.uninstall(oldest.id()), Ok(()));
}

#[test]
fn every_function_is_exported_once() {
    let names: BTreeSet<_> = exports().map(|export| export.name).collect();
    assert_eq!(names.len(), exports().count());
    let of_qemu = names.iter().filter(|name| name.starts_with("qemu_plugin_"));
    assert_eq!((of_qemu.count(), names.len()), (65, 69));
    let of_version = |version| {
        let qemu = exports().filter(|export| export.since >= 2);
        qemu.filter(|export| export.since <= version).count()
    };
    assert_eq!([2, 5, 6, 7].map(of_version), [51, 63, 65, 65]);
}
