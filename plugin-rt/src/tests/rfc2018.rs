//! A plugin by the interface of 2018.

use translate::frontend::{Limits, translate};
use translate::hooks::{Hook, Regs};
use translate::{Block, GuestCode, Mode};

use super::*;

const PLUGIN: &str = r#"
    #include <stdbool.h>
    #include <stdint.h>
    #include <string.h>
    bool plugin_init(const char *args) { return strcmp(args, "a=1,b=2") == 0; }
    uint64_t asked, insns[2], accesses[8];
    bool plugin_needs_before_insn(uint64_t pc, void *cpu) { asked++; return pc == 0x1008; }
    void plugin_before_insn(uint64_t pc, void *cpu) { insns[0]++; insns[1] = pc; }
    bool plugin_needs_before_mem(uint64_t pc, void *cpu) { asked += 100; return true; }
    void plugin_before_mem(uint64_t pc, uint64_t addr, uint32_t size, bool is_store, void *cpu) {
        memmove(accesses + 4, accesses, 4 * sizeof *accesses);
        accesses[0] = pc; accesses[1] = addr; accesses[2] = size; accesses[3] = is_store;
    }
"#;

impl GuestCode for Program {
    fn fetch(&self, addr: u64, buf: &mut [u8]) -> usize {
        let rest = Program::CODE.get(addr.wrapping_sub(Program::START) as usize..);
        let rest = rest.unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        len
    }
}

/// Words of the plugin's own.
fn words<const N: usize>(file: &File, name: &CStr) -> [u64; N] {
    // SAFETY: the library is open already, and stays so.
    unsafe {
        let library = libloading::os::unix::Library::new(file.path()).unwrap();
        **library.get::<*const [u64; N]>(name).unwrap()
    }
}

/// Calls a hook as generated code does.
fn run(hook: Hook, vcpu: &mut Vcpu, pc: u64) {
    let Hook::Call(call) = hook else {
        unreachable!()
    };
    assert_eq!(call.regs, Regs::Read);
    vcpu.state.pc = pc;
    vcpu.state.context = call.context;
    let function = std::ptr::with_exposed_provenance::<()>(call.function);
    // SAFETY: a callback of this shape.
    let function = unsafe { std::mem::transmute::<*const (), extern "C" fn(u32, u64)>(function) };
    function(0, call.userdata);
}

#[test]
fn it_is_asked_about_instructions_and_called_before_them() {
    let file = File::library(PLUGIN);
    let runtime = global();
    assert!(runtime.load(&file.spec(&["no"])).is_err());
    let id = runtime.load(&file.spec(&["a=1", "b=2"])).unwrap();
    let mut vcpu = Vcpu::new(runtime, 9);
    let mut block = Block::default();
    let (mode, limits) = (Mode::from_frm(0), Limits::default());
    translate(&mut block, Program::START, mode, &Program, &limits);
    let wishes = vcpu.instruments.translated(&block);

    assert_eq!(
        words(&file, c"asked"),
        [4 + 200],
        "for memory only where there is an access"
    );
    let before: Vec<usize> = wishes[0]
        .insns
        .iter()
        .map(|insn| insn.before.len())
        .collect();
    assert_eq!(before, [1, 1, 1], "nothing at the fourth");
    run(wishes[0].insns[2].before[0], &mut vcpu, 0x1008);
    assert_eq!(words(&file, c"insns"), [1, 0x1008]);
    vcpu.state.x[2] = 0x4000;
    run(wishes[0].insns[0].before[0], &mut vcpu, 0x1000);
    assert_eq!(words::<4>(&file, c"accesses"), [0x1000, 0x4008, 8, 0]);
    vcpu.state.x[10] = 0x5000;
    run(wishes[0].insns[1].before[0], &mut vcpu, 0x1004);
    let amo = [0x1004, 0x5000, 4, 1, 0x1004, 0x5000, 4, 0];
    assert_eq!(words::<8>(&file, c"accesses"), amo, "reads, then writes");

    let set = vcpu.instruments.set();
    exported!(qemulib_flush as extern "C" fn())();
    assert!(vcpu.quiesce());
    assert_ne!(vcpu.instruments.set(), set, "blocks are translated again");
    vcpu.state.context = 0;
    assert_eq!(runtime.uninstall(id), Ok(()));
}

#[test]
fn it_reads_registers_and_memory() {
    let read_register =
        exported!(qemulib_read_register as extern "C" fn(*mut CpuState, *mut [u8; 8], i32) -> i32);
    let read_memory = exported!(
        qemulib_read_memory as extern "C" fn(*mut CpuState, u64, *mut [u8; 8], i32) -> i32
    );
    let mut vcpu = Vcpu::new(global(), 8);
    let cpu = &raw mut *vcpu.state;
    vcpu.state.x[31] = 31;
    vcpu.state.pc = 32;
    vcpu.state.f[31] = 64;
    let mut value = [0; 8];
    for number in [31, 32, 64] {
        assert_eq!(read_register(cpu, &mut value, number), 8);
        assert_eq!(u64::from_le_bytes(value), number as u64);
    }
    assert_eq!(read_register(cpu, &mut value, 65), 0);
    assert_eq!(read_memory(cpu, Program::START, &mut value, 4), 0);
    assert_eq!(value[..4], Program::CODE[..4]);
    assert_ne!(read_memory(cpu, 0x10, &mut value, 4), 0);
}
