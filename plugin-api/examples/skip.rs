//! A plugin that takes a function out of a program: each call of it returns at once, with 0.
//!
//! ```text
//! cargo build --release -p hartscope-plugin --example skip
//! hartscope run -d plugin --plugin target/release/examples/libskip.so,function=NAME PROGRAM
//! ```

use std::sync::OnceLock;

use hartscope_plugin::{
    Block, Counter, Error, Plugin, Register, Setup, Vcpu, WriteRegs, out, register_plugin,
};

struct Skip {
    function: String,
    calls: Counter,
    /// Return address and result; there when a vCPU is.
    registers: OnceLock<[Register; 2]>,
}

impl Plugin for Skip {
    fn install(setup: &mut Setup<'_, Self>) -> Result<Self, Error> {
        let function = setup.args().text("function");
        let function = function.ok_or_else(|| Error::new("say which: function=NAME"))?;
        setup.args().finish()?;
        setup.on_vcpu_init(Skip::find_registers);
        setup.on_translate(Skip::translated);
        setup.on_exit(|skip, exit| {
            out!(
                "{} calls of {} skipped\n",
                skip.calls.sum(exit),
                skip.function
            );
        });
        Ok(Skip {
            function,
            calls: Counter::new(),
            registers: OnceLock::new(),
        })
    }
}

impl Skip {
    fn find_registers(&self, cpu: &Vcpu<'_, WriteRegs>) {
        self.registers.get_or_init(|| {
            let all = cpu.registers();
            ["ra", "a0"].map(|name| {
                let found = all.iter().find(|register| register.name() == name);
                *found.expect("RISC-V has it")
            })
        });
    }

    /// A call begins a block, so the function's first block begins with it. Its other blocks are never
    /// reached.
    fn translated(&self, block: &Block<'_, Self>) {
        let Some(first) = block.insn(0) else { return };
        if first.symbol().as_deref() == Some(self.function.as_str()) {
            first.before().writing().divert(Skip::called);
        }
    }

    fn called(&self, cpu: &Vcpu<'_, WriteRegs>) -> Option<u64> {
        let &[ra, a0] = self.registers.get()?;
        let return_address = cpu.read_register(ra)?;
        cpu.write_register(a0, &0u64.to_le_bytes());
        self.calls.of(cpu).add(1);
        Some(return_address)
    }
}

register_plugin!(Skip);
