//! A plugin that is there for the first N instructions of a vCPU, and then takes itself out: from then
//! on the guest runs as if it had never been loaded.
//!
//! ```text
//! cargo build --release -p hartscope-plugin --example first
//! hartscope run -d plugin --plugin target/release/examples/libfirst.so,insns=10000 PROGRAM
//! ```

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use hartscope_plugin::{
    Block, Counter, Error, Exit, NoRegs, Plugin, Setup, Vcpu, out, register_plugin,
};

struct First {
    insns: Counter,
    limit: u64,
    asked: AtomicBool,
}

impl Plugin for First {
    fn install(setup: &mut Setup<'_, Self>) -> Result<Self, Error> {
        let limit = setup.args().value("insns")?.unwrap_or(1_000_000);
        setup.args().finish()?;
        setup.on_translate(First::translated);
        setup.on_exit(First::too_short);
        Ok(First {
            insns: Counter::new(),
            limit,
            asked: AtomicBool::new(false),
        })
    }
}

impl First {
    fn translated(&self, block: &Block<'_, Self>) {
        let insns = block.n_insns() as u64;
        block.entry().add(self.insns, insns);
        block
            .entry()
            .call_if(self.insns.at_least(self.limit), First::reached);
    }

    /// Called for each block until the plugin is out, by several vCPUs perhaps.
    fn reached(&self, cpu: &Vcpu<'_, NoRegs>) {
        if !self.asked.swap(true, Relaxed) {
            out!(
                "vCPU {} has begun {} instructions\n",
                cpu.index(),
                self.insns.of(cpu).get()
            );
            cpu.uninstall();
        }
    }

    fn too_short(&self, exit: &Exit<'_>) {
        out!(
            "the program ended after {} instructions\n",
            self.insns.sum(exit)
        );
    }
}

/// After the last callback has returned.
impl Drop for First {
    fn drop(&mut self) {
        out!("no callback is left\n");
    }
}

register_plugin!(First);
