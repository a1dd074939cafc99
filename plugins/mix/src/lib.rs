//! mix: what a guest spends its instructions on.
//!
//! ```text
//! by=mnemonic|function   what is told apart (mnemonic)
//! limit=N                lines listed (30)
//! ```
//!
//! Translated code counts by itself; nothing is called while the guest runs.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hartscope_plugin::{
    Block, Counter, Counters, Error, Exit, Insn, Plugin, Setup, out, register_plugin,
};

struct Mix {
    by: By,
    limit: usize,
    counters: Counters,
    /// The counter of each name that has been seen. Locked while code is translated.
    names: Mutex<HashMap<String, Counter>>,
}

#[derive(Clone, Copy)]
enum By {
    Mnemonic,
    Function,
}

impl Plugin for Mix {
    fn install(setup: &mut Setup<'_, Self>) -> Result<Self, Error> {
        let args = setup.args();
        let by = match args.text("by").as_deref() {
            None | Some("mnemonic") => By::Mnemonic,
            Some("function") => By::Function,
            Some(other) => return Err(Error::new(format!("by={other}: mnemonic or function"))),
        };
        let limit = args.value("limit")?.unwrap_or(30);
        args.finish()?;
        setup.on_translate(Mix::translated);
        setup.on_exit(Mix::report);
        Ok(Mix {
            by,
            limit,
            counters: Counters::new(),
            names: Mutex::default(),
        })
    }
}

impl Mix {
    fn translated(&self, block: &Block<'_, Self>) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for insn in block.insns() {
            let counter = *names
                .entry(self.name(&insn))
                .or_insert_with(|| self.counters.allocate());
            insn.before().add(counter, 1);
        }
    }

    fn name(&self, insn: &Insn<'_, Self>) -> String {
        match self.by {
            By::Mnemonic => {
                let text = insn.disassembly();
                text.split(' ').next().unwrap_or_default().to_owned()
            }
            By::Function => insn
                .symbol()
                .map_or("(unknown)".to_owned(), |name| name.into_owned()),
        }
    }

    fn report(&self, exit: &Exit<'_>) {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<_> = names
            .iter()
            .map(|(name, counter)| (counter.sum(exit), name))
            .filter(|(count, _)| *count > 0)
            .collect();
        lines.sort_by_key(|&(count, name)| (Reverse(count), name));
        let total: u64 = lines.iter().map(|(count, _)| count).sum();
        out!("total insns: {total}\n");
        for (count, name) in lines.iter().take(self.limit) {
            let share = 100.0 * *count as f64 / total as f64;
            out!("{share:6.2}% {count:>14}  {name}\n");
        }
        if let Some(rest) = lines.len().checked_sub(self.limit).filter(|rest| *rest > 0) {
            out!("and {rest} more\n");
        }
    }
}

register_plugin!(Mix);
