//! Subscribers that are part of the program.

use std::sync::Mutex;

use tb_cache::SetId;
use translate::hooks::Hook;
use translate::{Block, Op};

use super::*;
use crate::abi::context;
use crate::{BuiltIn, Shown};

/// Asks for an addition before each block's last instruction.
#[derive(Default)]
struct Last(Mutex<Vec<Vec<u64>>>);

const ADD: Hook = Hook::Add {
    offset: 1 << 20,
    value: 1,
};

impl BuiltIn for Last {
    fn name(&self) -> &str {
        "last"
    }

    fn translated(&self, block: &mut Shown<'_>) {
        let pcs: Vec<u64> = block.pcs().collect();
        block.before(pcs.len() - 1, ADD);
        self.0.lock().unwrap().push(pcs);
    }
}

/// Two plain blocks: two instructions and one.
fn block() -> Block {
    let insn = |pc, len| Op::Insn { pc, len };
    let entry = |pc, n_insns| Op::Point { pc, n_insns };
    Block {
        pc: 0x1000,
        bytes: vec![1, 0, 0x13, 0, 0, 0, 1, 0],
        ops: vec![
            entry(0x1000, 2),
            insn(0x1000, 2),
            insn(0x1002, 4),
            entry(0x2000, 1),
            insn(0x2000, 2),
        ],
        ..Block::default()
    }
}

#[test]
fn a_built_in_subscriber_sees_blocks_until_it_is_uninstalled() {
    let runtime = runtime();
    let mut vcpu = Vcpu::new(&runtime, 0);
    assert_eq!(vcpu.instruments.set(), SetId::EMPTY);
    let last = Arc::new(Last::default());
    let id = runtime.add(last.clone()).expect("there is room");
    assert_eq!(runtime.plugins()[0].name().to_string(), "last");
    assert!(vcpu.quiesce(), "its blocks are others");
    let wishes = vcpu.instruments.translated(&block());
    let before = |plain: usize, insn: usize| wishes[plain].insns[insn].before.as_slice();
    assert_eq!((before(0, 0), before(0, 1)), (&[][..], &[ADD][..]));
    assert_eq!(before(1, 0), [ADD]);
    let seen = [vec![0x1000, 0x1002], vec![0x2000]];
    assert_eq!(*last.0.lock().unwrap(), seen);

    assert_eq!(runtime.uninstall(id), Ok(()));
    assert_eq!(Arc::strong_count(&last), 2, "the vCPU may be calling it");
    assert!(vcpu.quiesce());
    assert_eq!(vcpu.instruments.set(), SetId::EMPTY);
    assert_eq!(Arc::strong_count(&last), 1);
    assert!(runtime.plugins().is_empty());
}

#[test]
fn a_forked_child_has_no_built_in_subscribers() {
    let runtime = runtime();
    let vcpu = Vcpu::new(&runtime, 0);
    let last = Arc::new(Last::default());
    runtime.add(last.clone()).expect("there is room");
    runtime.after_fork(Domain::new());
    assert!(runtime.plugins().is_empty());
    assert_eq!(Arc::strong_count(&last), 1);
    drop(vcpu);
}

/// Asks for an addition and a call at each block's entry.
struct Entries;

extern "C" fn entered(_vcpu: u32, _userdata: u64) {}

impl BuiltIn for Entries {
    fn name(&self) -> &str {
        "entries"
    }

    fn translated(&self, block: &mut Shown<'_>) {
        block.at_entry(ADD);
        let call = block.call(entered, 7);
        block.at_entry(call);
    }
}

#[test]
fn calls_of_a_built_in_subscriber_run_in_its_own_name() {
    let runtime = runtime();
    let _other = runtime
        .add(Arc::new(Last::default()))
        .expect("there is room");
    let _id = runtime.add(Arc::new(Entries)).expect("there is room");
    let slot = runtime.plugins()[1].slot();
    let mut vcpu = Vcpu::new(&runtime, 0);
    let wishes = vcpu.instruments.translated(&block());
    let [ADD, Hook::Call(call)] = wishes[1].entry[..] else {
        panic!("{:?}", wishes[1].entry);
    };
    assert_eq!(
        (call.function, call.userdata),
        (entered as *const () as usize, 7)
    );
    let own = context::pack(slot, context::Kind::Exec, context::NO_REGS);
    assert_eq!(call.context, own);
}
