//! A plugin that shows each system call with the function that made it and what it writes, and can refuse
//! calls in the kernel's place.
//!
//! ```text
//! cargo build --release -p hartscope-plugin --example calls
//! hartscope run -d plugin --plugin target/release/examples/libcalls.so,refuse=57 PROGRAM
//! ```

use std::collections::BTreeMap;
use std::sync::{OnceLock, PoisonError, RwLock};

use hartscope_plugin::{
    Block, Counter, Discontinuity, DiscontinuityKind, Error, Exit, Plugin, Register, Setup,
    Syscall, Vcpu, WriteRegs, out, register_plugin,
};

const WRITE: i64 = 64;
const EPERM: i64 = 1;

struct Calls {
    refused: Option<i64>,
    faults: Counter,
    /// The register that says where a vCPU is; the list is there when a vCPU is.
    pc: OnceLock<Option<Register>>,
    /// Where functions are that make system calls, by the address behind the `ecall`.
    names: RwLock<BTreeMap<u64, String>>,
}

impl Plugin for Calls {
    fn install(setup: &mut Setup<'_, Self>) -> Result<Self, Error> {
        let refused = setup.args().value("refuse")?;
        setup.args().finish()?;
        setup.on_vcpu_init(|calls, cpu| {
            let find = || {
                cpu.registers()
                    .into_iter()
                    .find(|register| register.name() == "pc")
            };
            calls.pc.get_or_init(find);
        });
        setup.on_translate(Calls::translated);
        setup.on_syscall(Calls::called);
        setup.on_syscall_return(|_, _, number, result| out!("  {number} = {result}\n"));
        setup.on_syscall_filter(|calls, _, call| {
            (calls.refused == Some(call.number)).then_some(-EPERM)
        });
        setup.on_discontinuity(Calls::diverted);
        setup.on_exit(|calls, exit: &Exit<'_>| out!("{} faults\n", calls.faults.sum(exit)));
        Ok(Calls {
            refused,
            faults: Counter::new(),
            pc: OnceLock::new(),
            names: RwLock::default(),
        })
    }
}

impl Calls {
    fn translated(&self, block: &Block<'_, Self>) {
        const ECALL: u32 = 0x73;
        for insn in block.insns().filter(|insn| insn.encoding() == ECALL) {
            let name = insn
                .symbol()
                .map_or("?".to_owned(), |name| name.into_owned());
            let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
            names.insert(insn.address() + insn.size() as u64, name);
        }
    }

    fn called(&self, cpu: &Vcpu<'_, WriteRegs>, call: &Syscall) {
        let pc = self.pc.get().copied().flatten();
        let pc = pc.and_then(|pc| cpu.read_register(pc)).unwrap_or(0);
        let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
        let name = names.get(&pc).map_or("?", |name| name);
        out!("{name}: {} with {:x?}\n", call.number, &call.args[..3]);
        if call.number == WRITE {
            let [_, address, length, ..] = call.args;
            match cpu.read_memory(address, length.min(64) as usize) {
                Some(bytes) => out!("  writes {:?}\n", String::from_utf8_lossy(&bytes)),
                None => out!("  writes what is not there\n"),
            }
        }
    }

    fn diverted(&self, cpu: &Vcpu<'_, WriteRegs>, what: &Discontinuity) {
        if what.kind == DiscontinuityKind::Exception {
            self.faults.of(cpu).add(1);
        }
    }
}

register_plugin!(Calls);
