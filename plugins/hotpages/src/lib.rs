//! hotpages: the pages of memory that are accessed most often, and by which vCPUs.
//!
//! ```text
//! sortby=reads|writes|address   order (reads)
//! pagesize=N                    bytes in a page (4096)
//! io=on                         only devices
//! limit=N                       pages listed (50)
//! ```
//!
//! Addresses are physical ones in a whole machine, the guest's in a Linux program. Each vCPU counts in
//! its own table, without a lock.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hartscope_plugin::{
    Error, Exit, MemoryAccess, NoRegs, Plugin, Rw, Setup, Tally, Vcpu, out, register_plugin,
};

struct HotPages {
    order: Order,
    page_shift: u32,
    only_devices: bool,
    limit: usize,
    /// Reads and writes, by page number.
    pages: Tally<2>,
}

#[derive(Clone, Copy)]
enum Order {
    Reads,
    Writes,
    Address,
}

/// A page, over all vCPUs.
#[derive(Default)]
struct Page {
    address: u64,
    /// Reads, writes.
    counts: [u64; 2],
    /// Who read, who wrote: a bit for each vCPU. The last bit stands for all from there on.
    vcpus: [u64; 2],
}

impl Plugin for HotPages {
    fn install(setup: &mut Setup<'_, Self>) -> Result<Self, Error> {
        let args = setup.args();
        let order = match args.text("sortby").as_deref() {
            None | Some("reads") => Order::Reads,
            Some("writes") => Order::Writes,
            Some("address") => Order::Address,
            Some(other) => {
                return Err(Error::new(format!(
                    "sortby={other}: reads, writes or address"
                )));
            }
        };
        let page_size: u64 = args.value("pagesize")?.unwrap_or(4096);
        if !page_size.is_power_of_two() {
            return Err(Error::new("pagesize must be a power of two"));
        }
        let plugin = HotPages {
            order,
            page_shift: page_size.trailing_zeros(),
            only_devices: args.flag("io")?,
            limit: args.value("limit")?.unwrap_or(50),
            pages: Tally::new(),
        };
        args.finish()?;

        setup.on_translate(|_, block| {
            for insn in block.insns() {
                insn.accesses(Rw::Both).call(HotPages::accessed);
            }
        });
        setup.on_exit(HotPages::report);
        Ok(plugin)
    }
}

impl HotPages {
    fn accessed(&self, cpu: &Vcpu<'_, NoRegs>, access: &MemoryAccess<'_>) {
        let hardware = access.hardware();
        let is_device = hardware
            .as_ref()
            .is_some_and(|hardware| hardware.is_device());
        if self.only_devices && !is_device {
            return;
        }
        let address = hardware.map_or(access.address(), |hardware| hardware.address());
        let page = address >> self.page_shift;
        self.pages.of(cpu).of(page)[usize::from(access.is_store())].add(1);
    }

    fn report(&self, exit: &Exit<'_>) {
        let mut pages = BTreeMap::<u64, Page>::new();
        self.pages.for_each(exit, |vcpu, number, counts| {
            let page = pages.entry(number).or_default();
            page.address = number << self.page_shift;
            for (i, count) in counts.into_iter().enumerate() {
                page.counts[i] += count;
                page.vcpus[i] |= u64::from(count > 0) << vcpu.min(63);
            }
        });
        let mut pages: Vec<_> = pages.into_values().collect();
        match self.order {
            Order::Reads => pages.sort_by_key(|page| Reverse(page.counts[0])),
            Order::Writes => pages.sort_by_key(|page| Reverse(page.counts[1])),
            // As they are.
            Order::Address => (),
        }
        out!("Addr, RCPUs, Reads, WCPUs, Writes\n");
        for page in pages.iter().take(self.limit) {
            let ([reads, writes], [readers, writers]) = (page.counts, page.vcpus);
            out!(
                "0x{:016x}, 0x{readers:04x}, {reads}, 0x{writers:04x}, {writes}\n",
                page.address
            );
        }
    }
}

register_plugin!(HotPages);
