//! The whole board: what it is made of, and how it is wired.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use crate::bus::{Bus, Device};
use crate::clint::Clint;
use crate::fdt;
use crate::finisher::Finisher;
use crate::hart::lines::{self, Lines};
use crate::hart::run::Reset;
use crate::hart::timer::{Clock, Timer};
use crate::loader;
use crate::map;
use crate::plic::Plic;
use crate::power::Power;
use crate::ram::{self, Ram};
use crate::rom::Rom;
use crate::rtc::Rtc;
use crate::sbi::Sbi;
use crate::uart::{Output, Uart};
use crate::virtio::block::{self, Block};
use crate::virtio::rng::{self, Rng};
use crate::virtio::transport::Empty;
use crate::virtio::{self, Bell, Transport};
use crate::wire::Wire;

/// What the harts can do: the letters, then the longer names in the order of the standard.
const LETTERS: &str = "imafdc";
const EXTENSIONS: &[&str] = &[
    "zicbom",
    "zicboz",
    "zicntr",
    "zicond",
    "zicsr",
    "zifencei",
    "zihintpause",
    "zba",
    "zbb",
    "zbs",
    "sstc",
    "svadu",
    "svinval",
    "svpbmt",
];
const MMU: &str = "riscv,sv57";

/// What runs in machine mode.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Firmware {
    /// What is built in ([`crate::sbi`]).
    #[default]
    BuiltIn,
    /// The kernel itself.
    None,
    /// A file, which gets the kernel from us.
    File(PathBuf),
}

/// What is in one of the virtio transports.
#[derive(Clone, Debug, PartialEq)]
pub enum VirtioDevice {
    /// A disk, with its image.
    Block {
        /// The image.
        path: PathBuf,
        /// The guest must not write it.
        read_only: bool,
    },
    /// Random numbers.
    Rng,
}

/// What a machine is made of.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How many harts: 1 to [`map::MAX_HARTS`].
    pub harts: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// What runs in machine mode.
    pub firmware: Firmware,
    /// The kernel.
    pub kernel: Option<PathBuf>,
    /// Its RAM disk.
    pub initrd: Option<PathBuf>,
    /// Its command line.
    pub command_line: String,
    /// Up to [`map::VIRTIO_COUNT`] devices.
    pub devices: Vec<VirtioDevice>,
}

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No memory.
    #[error(transparent)]
    Ram(#[from] ram::Error),
    /// A file that cannot be loaded.
    #[error(transparent)]
    Load(#[from] loader::Error),
    /// A disk.
    #[error(transparent)]
    Block(#[from] block::Error),
    /// Neither a kernel nor firmware.
    #[error("nothing to boot: --kernel FILE or --bios FILE is needed")]
    NothingToBoot,
    /// Too many devices.
    #[error("too many devices: there is room for {}", map::VIRTIO_COUNT)]
    TooManyDevices,
    /// The command line has a zero byte in it.
    #[error("no device tree: {0}")]
    Tree(#[from] vm_fdt::Error),
    /// A device's thread.
    #[error("the host gives no thread for a device: {0}")]
    Thread(io::Error),
}

/// A machine that can be switched on.
pub struct Board {
    /// Its memory.
    pub ram: Arc<Ram>,
    /// Its devices by address.
    pub bus: Arc<Bus>,
    /// Its power switch.
    pub power: Arc<Power>,
    /// The interrupts of its harts.
    pub lines: Vec<Arc<Lines>>,
    /// Their timers.
    pub timer: Arc<Timer>,
    /// Its serial port.
    pub uart: Arc<Uart>,
    /// The firmware, if that is the built-in one.
    pub sbi: Option<Arc<Sbi>>,
    /// Where harts begin, if it is not.
    pub reset: Reset,
}

/// An interrupt of a hart.
struct HartLine {
    lines: Arc<Lines>,
    bit: u64,
}

impl Wire for HartLine {
    fn set(&self, level: bool) {
        match level {
            true => self.lines.set(self.bit),
            false => self.lines.clear(self.bit),
        }
    }
}

impl Board {
    /// Puts a machine together and loads what it is to run. What the guest writes to its serial port
    /// goes to `output`.
    pub fn new(options: &Options, output: Arc<dyn Output>) -> Result<Arc<Board>, Error> {
        let ram = Ram::new(map::RAM, options.memory)?;
        let power = Arc::new(Power::default());
        let lines: Vec<Arc<Lines>> = (0..options.harts).map(|_| Arc::default()).collect();
        let timer = Timer::new(Clock::start(), lines.clone());
        let plic = Plic::new(wires(&lines, &[lines::MEIP, lines::SEIP]));
        let uart = Uart::new(output, plic.source(map::UART_IRQ));
        let loaded = load(options, &ram)?;

        let mut bus = Bus::default();
        let clint = Clint::new(wires(&lines, &[lines::MSIP]), Arc::clone(&timer) as _);
        bus.add(map::ROM, c"rom", Arc::new(Rom::new(loaded.rom)));
        bus.add(
            map::FINISHER,
            c"test",
            Arc::new(Finisher::new(Arc::clone(&power))),
        );
        bus.add(map::RTC, c"rtc", Arc::new(Rtc::default()));
        bus.add(map::CLINT, c"clint", Arc::new(clint));
        bus.add(map::PLIC, c"plic", Arc::clone(&plic) as _);
        bus.add(map::UART, c"serial", Arc::clone(&uart) as _);
        add_virtio(&mut bus, &options.devices, &ram, &plic)?;

        let built_in = options.firmware == Firmware::BuiltIn;
        let sbi = built_in.then(|| {
            let Reset { entry, args } = loaded.reset;
            let (lines, power) = (lines.clone(), Arc::clone(&power));
            Sbi::new(
                lines,
                power,
                Arc::clone(&uart),
                Arc::clone(&ram),
                entry,
                args[0],
            )
        });
        let board = Arc::new(Board {
            ram,
            bus: Arc::new(bus),
            power,
            lines,
            timer,
            uart,
            sbi,
            reset: loaded.reset,
        });
        board.wire_power();
        Ok(board)
    }

    /// Whoever waits or runs learns that the machine has ended.
    fn wire_power(&self) {
        // The firmware has the switch; the switch does not keep the firmware.
        let (lines, sbi) = (self.lines.clone(), self.sbi.as_ref().map(Arc::downgrade));
        self.power.on_end(move || {
            if let Some(sbi) = sbi.as_ref().and_then(Weak::upgrade) {
                sbi.end();
            }
            for lines in &lines {
                lines.call();
            }
        });
    }
}

/// The interrupts `bits` of every hart, hart by hart.
fn wires(lines: &[Arc<Lines>], bits: &[u64]) -> Vec<Arc<dyn Wire>> {
    let of_hart = |lines: &Arc<Lines>| {
        let wire = |&bit: &u64| {
            let lines = Arc::clone(lines);
            Arc::new(HartLine { lines, bit }) as Arc<dyn Wire>
        };
        bits.iter().map(wire).collect::<Vec<_>>()
    };
    lines.iter().flat_map(of_hart).collect()
}

/// What was put into memory.
struct Loaded {
    reset: Reset,
    rom: Vec<u8>,
}

fn load(options: &Options, ram: &Ram) -> Result<Loaded, Error> {
    let firmware = match &options.firmware {
        Firmware::File(path) => Some(loader::firmware(ram, path)?),
        Firmware::BuiltIn | Firmware::None => None,
    };
    let kernel = match &options.kernel {
        Some(path) => Some(loader::kernel(ram, path)?),
        None => None,
    };
    let initrd = match (&options.initrd, &kernel) {
        (Some(path), Some(kernel)) => Some(loader::initrd(ram, path, kernel)?),
        _ => None,
    };
    let first = firmware
        .as_ref()
        .or(kernel.as_ref())
        .ok_or(Error::NothingToBoot)?;
    let mut seed = [0; 32];
    rng::random(&mut seed);
    let blob = fdt::blob(&fdt::Config {
        harts: options.harts,
        ram: ram.range(),
        letters: LETTERS,
        extensions: EXTENSIONS,
        mmu: MMU,
        command_line: &options.command_line,
        initrd: initrd.clone(),
        seed,
    })?;
    let parts = [firmware.as_ref(), kernel.as_ref()].into_iter().flatten();
    let taken: Vec<Range<u64>> = parts.map(|part| part.range.clone()).chain(initrd).collect();
    let tree = loader::tree(ram, &blob, &taken)?;
    let kernel_entry = kernel.as_ref().map_or(0, |kernel| kernel.entry);
    Ok(Loaded {
        reset: Reset {
            entry: first.entry,
            args: [tree, loader::DYNAMIC_INFO],
        },
        rom: loader::dynamic_info(kernel_entry),
    })
}

fn add_virtio(
    bus: &mut Bus,
    devices: &[VirtioDevice],
    ram: &Arc<Ram>,
    plic: &Arc<Plic>,
) -> Result<(), Error> {
    if devices.len() > map::VIRTIO_COUNT {
        return Err(Error::TooManyDevices);
    }
    for number in 0..map::VIRTIO_COUNT {
        let device: Arc<dyn Device> = match devices.get(number) {
            None => Arc::new(Empty),
            Some(device) => {
                let wire = plic.source(map::VIRTIO_IRQ + number as u32);
                let transport =
                    Transport::new(open(device)?, Arc::clone(ram), wire, Bell::default());
                Arc::new(transport.map_err(Error::Thread)?)
            }
        };
        let start = map::VIRTIO + number as u64 * map::VIRTIO_STRIDE;
        bus.add(start..start + map::VIRTIO_STRIDE, c"virtio-mmio", device);
    }
    Ok(())
}

fn open(device: &VirtioDevice) -> Result<Box<dyn virtio::Device>, Error> {
    Ok(match device {
        VirtioDevice::Block { path, read_only } => Box::new(Block::open(path, *read_only)?),
        VirtioDevice::Rng => Box::new(Rng),
    })
}
