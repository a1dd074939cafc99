//! The device tree: what QEMU's `virt` has, as far as this board has it.

use std::ops::Range;

use vm_fdt::{FdtWriter, FdtWriterResult};

use crate::map;

/// What the tree depends on.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// How many harts.
    pub harts: usize,
    /// The addresses of memory.
    pub ram: Range<u64>,
    /// The single-letter extensions, in the order of the standard: `imafdc`.
    pub letters: &'a str,
    /// The extensions with longer names, in the order of the standard.
    pub extensions: &'a [&'a str],
    /// The largest virtual address space: `riscv,sv57`.
    pub mmu: &'a str,
    /// The kernel's command line; empty for none.
    pub command_line: &'a str,
    /// Where the initial RAM disk lies.
    pub initrd: Option<Range<u64>>,
    /// Random bytes for the guest's random numbers.
    pub seed: [u8; 32],
}

/// Numbers by which nodes refer to each other.
mod phandle {
    pub const PLIC: u32 = 1;
    pub const FINISHER: u32 = 2;
    /// Two for each hart: itself, and its interrupt controller.
    pub const HARTS: u32 = 16;
}

fn cpu(hart: usize) -> u32 {
    phandle::HARTS + 2 * hart as u32
}

fn intc(hart: usize) -> u32 {
    cpu(hart) + 1
}

/// Numbers of a hart's interrupts.
const MACHINE_SOFTWARE: u32 = 3;
const MACHINE_TIMER: u32 = 7;
const SUPERVISOR_EXTERNAL: u32 = 9;
const MACHINE_EXTERNAL: u32 = 11;

const SERIAL: &str = "/soc/serial@10000000";

/// The tree as a blob.
///
/// # Errors
///
/// If a text has a zero byte in it.
pub fn blob(config: &Config<'_>) -> FdtWriterResult<Vec<u8>> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_string("compatible", "riscv-virtio")?;
    fdt.property_string("model", "riscv-virtio,qemu")?;
    cells(&mut fdt, 2, 2)?;
    chosen(&mut fdt, config)?;
    memory(&mut fdt, &config.ram)?;
    cpus(&mut fdt, config)?;
    for (name, value) in [("poweroff", 0x5555), ("reboot", 0x7777)] {
        let node = fdt.begin_node(name)?;
        fdt.property_string("compatible", &format!("syscon-{name}"))?;
        fdt.property_u32("regmap", phandle::FINISHER)?;
        fdt.property_u32("offset", 0)?;
        fdt.property_u32("value", value)?;
        fdt.end_node(node)?;
    }
    let aliases = fdt.begin_node("aliases")?;
    fdt.property_string("serial0", SERIAL)?;
    fdt.end_node(aliases)?;
    soc(&mut fdt, config.harts)?;
    fdt.end_node(root)?;
    fdt.finish()
}

fn cells(fdt: &mut FdtWriter, address: u32, size: u32) -> FdtWriterResult<()> {
    fdt.property_u32("#address-cells", address)?;
    fdt.property_u32("#size-cells", size)
}

fn chosen(fdt: &mut FdtWriter, config: &Config<'_>) -> FdtWriterResult<()> {
    let node = fdt.begin_node("chosen")?;
    fdt.property_string("stdout-path", SERIAL)?;
    fdt.property("rng-seed", &config.seed)?;
    if !config.command_line.is_empty() {
        fdt.property_string("bootargs", config.command_line)?;
    }
    if let Some(initrd) = &config.initrd {
        fdt.property_u64("linux,initrd-start", initrd.start)?;
        fdt.property_u64("linux,initrd-end", initrd.end)?;
    }
    fdt.end_node(node)
}

fn memory(fdt: &mut FdtWriter, ram: &Range<u64>) -> FdtWriterResult<()> {
    let node = fdt.begin_node(&format!("memory@{:x}", ram.start))?;
    fdt.property_string("device_type", "memory")?;
    fdt.property_array_u64("reg", &[ram.start, ram.end - ram.start])?;
    fdt.end_node(node)
}

fn cpus(fdt: &mut FdtWriter, config: &Config<'_>) -> FdtWriterResult<()> {
    let mut isa = format!("rv64{}", config.letters);
    for extension in config.extensions {
        isa.push('_');
        isa.push_str(extension);
    }
    let letters = config.letters.chars().map(String::from);
    let names = config.extensions.iter().map(|&name| name.to_owned());
    let names: Vec<String> = letters.chain(names).collect();

    let cpus = fdt.begin_node("cpus")?;
    cells(fdt, 1, 0)?;
    fdt.property_u32("timebase-frequency", map::TIMEBASE)?;
    for hart in 0..config.harts {
        let node = fdt.begin_node(&format!("cpu@{hart:x}"))?;
        fdt.property_string("device_type", "cpu")?;
        fdt.property_u32("reg", hart as u32)?;
        fdt.property_string("status", "okay")?;
        fdt.property_string("compatible", "riscv")?;
        fdt.property_string("riscv,isa", &isa)?;
        fdt.property_string("riscv,isa-base", "rv64i")?;
        fdt.property_string_list("riscv,isa-extensions", names.clone())?;
        for block in ["cbom", "cboz"] {
            if config.extensions.contains(&format!("zi{block}").as_str()) {
                fdt.property_u32(&format!("riscv,{block}-block-size"), 64)?;
            }
        }
        fdt.property_string("mmu-type", config.mmu)?;
        fdt.property_phandle(cpu(hart))?;
        let controller = fdt.begin_node("interrupt-controller")?;
        fdt.property_string("compatible", "riscv,cpu-intc")?;
        fdt.property_u32("#interrupt-cells", 1)?;
        fdt.property_null("interrupt-controller")?;
        fdt.property_phandle(intc(hart))?;
        fdt.end_node(controller)?;
        fdt.end_node(node)?;
    }
    let map = fdt.begin_node("cpu-map")?;
    let cluster = fdt.begin_node("cluster0")?;
    for hart in 0..config.harts {
        let core = fdt.begin_node(&format!("core{hart}"))?;
        fdt.property_u32("cpu", cpu(hart))?;
        fdt.end_node(core)?;
    }
    fdt.end_node(cluster)?;
    fdt.end_node(map)?;
    fdt.end_node(cpus)
}

fn soc(fdt: &mut FdtWriter, harts: usize) -> FdtWriterResult<()> {
    let soc = fdt.begin_node("soc")?;
    cells(fdt, 2, 2)?;
    fdt.property_string("compatible", "simple-bus")?;
    fdt.property_null("ranges")?;

    let finisher = device(fdt, "test", &map::FINISHER, None)?;
    strings(
        fdt,
        "compatible",
        &["sifive,test1", "sifive,test0", "syscon"],
    )?;
    fdt.property_phandle(phandle::FINISHER)?;
    fdt.end_node(finisher)?;

    let rtc = device(fdt, "rtc", &map::RTC, Some(map::RTC_IRQ))?;
    fdt.property_string("compatible", "google,goldfish-rtc")?;
    fdt.end_node(rtc)?;

    let serial = device(fdt, "serial", &map::UART, Some(map::UART_IRQ))?;
    fdt.property_string("compatible", "ns16550a")?;
    fdt.property_u32("clock-frequency", 3_686_400)?;
    fdt.end_node(serial)?;

    for number in 0..map::VIRTIO_COUNT {
        let start = map::VIRTIO + number as u64 * map::VIRTIO_STRIDE;
        let range = start..start + map::VIRTIO_STRIDE;
        let irq = map::VIRTIO_IRQ + number as u32;
        let virtio = device(fdt, "virtio_mmio", &range, Some(irq))?;
        fdt.property_string("compatible", "virtio,mmio")?;
        fdt.end_node(virtio)?;
    }

    let plic = device(fdt, "plic", &map::PLIC, None)?;
    strings(fdt, "compatible", &["sifive,plic-1.0.0", "riscv,plic0"])?;
    fdt.property_u32("#address-cells", 0)?;
    fdt.property_u32("#interrupt-cells", 1)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_u32("riscv,ndev", map::LAST_IRQ)?;
    interrupts_of_harts(fdt, harts, [MACHINE_EXTERNAL, SUPERVISOR_EXTERNAL])?;
    fdt.property_phandle(phandle::PLIC)?;
    fdt.end_node(plic)?;

    let clint = device(fdt, "clint", &map::CLINT, None)?;
    strings(fdt, "compatible", &["sifive,clint0", "riscv,clint0"])?;
    interrupts_of_harts(fdt, harts, [MACHINE_SOFTWARE, MACHINE_TIMER])?;
    fdt.end_node(clint)?;

    fdt.end_node(soc)
}

/// Begins a device's node.
fn device(
    fdt: &mut FdtWriter,
    kind: &str,
    range: &Range<u64>,
    irq: Option<u32>,
) -> FdtWriterResult<vm_fdt::FdtWriterNode> {
    let node = fdt.begin_node(&format!("{kind}@{:x}", range.start))?;
    fdt.property_array_u64("reg", &[range.start, range.end - range.start])?;
    if let Some(irq) = irq {
        fdt.property_u32("interrupt-parent", phandle::PLIC)?;
        fdt.property_u32("interrupts", irq)?;
    }
    Ok(node)
}

fn strings(fdt: &mut FdtWriter, name: &str, values: &[&str]) -> FdtWriterResult<()> {
    fdt.property_string_list(name, values.iter().map(|&value| value.to_owned()).collect())
}

fn interrupts_of_harts(
    fdt: &mut FdtWriter,
    harts: usize,
    numbers: [u32; 2],
) -> FdtWriterResult<()> {
    let of_hart = |hart| numbers.map(|number| [intc(hart), number]);
    let cells: Vec<[u32; 2]> = (0..harts).flat_map(of_hart).collect();
    fdt.property_array_u32("interrupts-extended", cells.as_flattened())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config<'static> {
        Config {
            harts: 2,
            ram: map::RAM..map::RAM + (64 << 20),
            letters: "imafdc",
            extensions: &["zicboz", "sstc"],
            mmu: "riscv,sv48",
            command_line: "console=ttyS0",
            initrd: Some(0x8200_0000..0x8200_1000),
            seed: [7; 32],
        }
    }

    #[test]
    fn the_tree_says_what_it_was_asked_to() {
        let blob = blob(&config()).expect("it is a tree");
        assert_eq!(blob[..4], [0xd0, 0x0d, 0xfe, 0xed]);
        let has = |text: &str| {
            blob.windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        for text in [
            "rv64imafdc_zicboz_sstc\0",
            "i\0m\0a\0f\0d\0c\0zicboz\0sstc\0",
            "riscv,cboz-block-size\0",
            "riscv,sv48\0",
            "cpu@1\0",
            "console=ttyS0\0",
            "linux,initrd-start\0",
            "virtio_mmio@10008000\0",
            "sifive,plic-1.0.0\0riscv,plic0\0",
        ] {
            assert!(has(text), "{text:?} is missing");
        }
        assert!(!has("cpu@2\0") && !has("riscv,cbom-block-size\0"));
    }

    #[test]
    fn a_zero_byte_is_an_error() {
        let config = Config {
            command_line: "a\0b",
            ..config()
        };
        assert!(blob(&config).is_err());
    }
}
