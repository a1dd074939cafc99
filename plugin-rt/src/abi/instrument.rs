//! What plugins may ask for in a block, inside its `tb_trans` callback.

use translate::hooks::{Call, Clobbers, Condition, Hook, MemHook, Regs, Rw, Test};
use translate::x86::callback::Role;

use super::boards::{U64, offset_for_code};
use super::context::{self, Context, Kind, NO_REGS, R_REGS, RW_REGS_PC, pack};
use super::{Export, export};
use crate::callbacks::{Function, Userdata};
use crate::called;
use crate::misuse::{self, breach, questionable};
use crate::timing;
use crate::translation::{Translation, with_insn, with_tb};

pub(super) const EXPORTS: &[Export] = &[
    export!(2 qemu_plugin_register_vcpu_tb_exec_cb),
    export!(3 qemu_plugin_register_vcpu_tb_exec_cond_cb),
    export!(2 qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu),
    export!(2 qemu_plugin_register_vcpu_insn_exec_cb),
    export!(3 qemu_plugin_register_vcpu_insn_exec_cond_cb),
    export!(2 qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu),
    export!(2 qemu_plugin_register_vcpu_mem_cb),
    export!(2 qemu_plugin_register_vcpu_mem_inline_per_vcpu),
];

/// Adds a hook at the entry of a block.
fn at_entry(name: &str, tb: u64, hook: impl FnOnce() -> Option<Hook>) {
    with_tb(name, tb, |block| {
        let hooks = without_need(block, hook(), Role::Execution);
        block.wishes.entry.extend(hooks);
    });
}

/// Adds a hook before an instruction.
fn before(name: &str, insn: u64, hook: impl FnOnce() -> Option<Hook>) {
    with_insn(name, insn, |block: &mut Translation, index| {
        let hooks = without_need(block, hook(), Role::Execution);
        block.at(index).before.extend(hooks);
    });
}

/// A hook, in the form that takes no call if it can do without.
fn without_need(block: &mut Translation, hook: Option<Hook>, role: Role) -> Vec<Hook> {
    let hooks = match hook {
        Some(Hook::Call(call)) if !misuse::is_checked() => {
            let (hooks, guards) = called::hooks(call, role);
            block.wishes.guards.extend(guards);
            hooks
        }
        hook => hook.into_iter().collect(),
    };
    let Some(Context { plugin, .. }) = context::current() else {
        return hooks;
    };
    let hooks = hooks.into_iter();
    hooks
        .map(|hook| timing::measured(&plugin, hook, role))
        .map(with_clobbers)
        .collect()
}

/// A hook, with what its call may change. To read a callback takes longer than all else that is done
/// about a block, so this comes when it is known to be called.
fn with_clobbers(hook: Hook) -> Hook {
    let read = |call: Call| Call {
        clobbers: called::clobbers(call.function),
        ..call
    };
    match hook {
        Hook::Call(call) => Hook::Call(read(call)),
        Hook::CallIf(condition, call) => Hook::CallIf(condition, read(call)),
        hook => hook,
    }
}

/// Adds a hook to an instruction's memory accesses.
fn after_access(name: &str, insn: u64, rw: i32, hook: impl FnOnce() -> Option<Hook>) {
    let on = Rw {
        reads: rw & 1 != 0,
        writes: rw & 2 != 0,
    };
    if !(on.reads || on.writes) {
        return questionable(
            name,
            format_args!("{rw} is no kind of access; use R, W or RW"),
        );
    }
    with_insn(name, insn, |block: &mut Translation, index| {
        let hooks = without_need(block, hook(), Role::Access);
        let hooks = hooks.into_iter().map(|hook| MemHook { on, hook });
        block.at(index).memory.extend(hooks);
    });
}

/// A callback, as generated code calls it.
fn call(name: &str, kind: Kind, callback: Function, flags: i32, userdata: Userdata) -> Call {
    let Some(callback) = callback else {
        breach(name, "the callback is NULL");
    };
    let Some(Context { plugin, .. }) = context::current() else {
        unreachable!("a translation is shown to a plugin");
    };
    let most = if plugin.version() < 6 {
        RW_REGS_PC - 1
    } else {
        RW_REGS_PC
    };
    let flags = match u8::try_from(flags) {
        Ok(flags) if flags <= most => flags,
        _ => breach(
            name,
            format_args!("{flags} is no value of qemu_plugin_cb_flags"),
        ),
    };
    let function = callback as usize;
    Call {
        function,
        userdata: userdata as u64,
        context: pack(plugin.slot(), kind, flags),
        regs: match flags {
            NO_REGS if plugin.reads_registers_anywhere() => Regs::Read,
            NO_REGS => Regs::None,
            R_REGS => Regs::Read,
            _ => Regs::Write,
        },
        clobbers: Clobbers::ALL,
    }
}

/// A callback that depends on a counter; `None` if it is never called.
fn call_if(
    name: &str,
    test: i32,
    entry: U64,
    value: u64,
    call: impl FnOnce() -> Call,
) -> Option<Hook> {
    let test = match test {
        0 => return None,
        1 => return Some(Hook::Call(call())),
        2 => Test::Eq,
        3 => Test::Ne,
        4 => Test::Lt,
        5 => Test::Le,
        6 => Test::Gt,
        7 => Test::Ge,
        _ => breach(name, format_args!("{test} is no value of qemu_plugin_cond")),
    };
    let condition = Condition {
        test,
        offset: offset(name, entry),
        value,
    };
    Some(Hook::CallIf(condition, call()))
}

/// An operation on a counter.
fn inline(name: &str, op: i32, entry: U64, value: u64) -> Option<Hook> {
    let offset = offset(name, entry);
    Some(match op {
        0 => Hook::Add { offset, value },
        1 => Hook::Store { offset, value },
        _ => breach(name, format_args!("{op} is no value of qemu_plugin_op")),
    })
}

fn offset(name: &str, entry: U64) -> u32 {
    // SAFETY: the plugin promises that the scoreboard is one.
    unsafe { offset_for_code(name, entry) }
}

/// Calls `callback(vcpu, userdata)` each time the block is entered.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_vcpu_tb_exec_cb(
    tb: u64,
    callback: Function,
    flags: i32,
    userdata: Userdata,
) {
    const NAME: &str = "qemu_plugin_register_vcpu_tb_exec_cb";
    let call = || call(NAME, Kind::Exec, callback, flags, userdata);
    at_entry(NAME, tb, || Some(Hook::Call(call())));
}

/// The same if `entry cond imm` holds, unsigned, when the block is entered.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_vcpu_tb_exec_cond_cb(
    tb: u64,
    callback: Function,
    flags: i32,
    cond: i32,
    entry: U64,
    imm: u64,
    userdata: Userdata,
) {
    const NAME: &str = "qemu_plugin_register_vcpu_tb_exec_cond_cb";
    let call = || call(NAME, Kind::Exec, callback, flags, userdata);
    at_entry(NAME, tb, || call_if(NAME, cond, entry, imm, call));
}

/// Adds to, or sets, a counter each time the block is entered.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
    tb: u64,
    op: i32,
    entry: U64,
    imm: u64,
) {
    const NAME: &str = "qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu";
    at_entry(NAME, tb, || inline(NAME, op, entry, imm));
}

/// Calls `callback(vcpu, userdata)` each time before the instruction.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_vcpu_insn_exec_cb(
    insn: u64,
    callback: Function,
    flags: i32,
    userdata: Userdata,
) {
    const NAME: &str = "qemu_plugin_register_vcpu_insn_exec_cb";
    let call = || call(NAME, Kind::Exec, callback, flags, userdata);
    before(NAME, insn, || Some(Hook::Call(call())));
}

/// The same if `entry cond imm` holds, unsigned, when the instruction is reached.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_vcpu_insn_exec_cond_cb(
    insn: u64,
    callback: Function,
    flags: i32,
    cond: i32,
    entry: U64,
    imm: u64,
    userdata: Userdata,
) {
    const NAME: &str = "qemu_plugin_register_vcpu_insn_exec_cond_cb";
    let call = || call(NAME, Kind::Exec, callback, flags, userdata);
    before(NAME, insn, || call_if(NAME, cond, entry, imm, call));
}

/// Adds to, or sets, a counter each time before the instruction.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
    insn: u64,
    op: i32,
    entry: U64,
    imm: u64,
) {
    const NAME: &str = "qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu";
    before(NAME, insn, || inline(NAME, op, entry, imm));
}

/// Calls `callback(vcpu, info, vaddr, userdata)` after each memory access of the instruction.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_vcpu_mem_cb(
    insn: u64,
    callback: Function,
    flags: i32,
    rw: i32,
    userdata: Userdata,
) {
    const NAME: &str = "qemu_plugin_register_vcpu_mem_cb";
    let call = || call(NAME, Kind::Memory, callback, flags, userdata);
    after_access(NAME, insn, rw, || Some(Hook::Call(call())));
}

/// Adds to, or sets, a counter after each memory access of the instruction.
#[unsafe(no_mangle)]
extern "C" fn qemu_plugin_register_vcpu_mem_inline_per_vcpu(
    insn: u64,
    rw: i32,
    op: i32,
    entry: U64,
    imm: u64,
) {
    const NAME: &str = "qemu_plugin_register_vcpu_mem_inline_per_vcpu";
    after_access(NAME, insn, rw, || inline(NAME, op, entry, imm));
}
