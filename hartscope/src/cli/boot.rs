//! `hartscope boot`.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use machine::board::{Firmware, VirtioDevice};
use machine::map;

use super::engine::{self, EngineOptions};
use super::run;
use super::{Command, OptionSpec, Refused, UsageError, describe, parse_options, value};
use crate::control::Wish;
use crate::profile;

/// Where the serial port leads.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Serial {
    /// To the terminal, where `Ctrl-a` begins commands to hartscope.
    #[default]
    Terminal,
    /// To standard input and output, every byte of them.
    Stdio,
    /// Into this file.
    File(PathBuf),
    /// Nowhere.
    Null,
}

/// Options of `hartscope boot`.
#[derive(Debug, PartialEq)]
pub struct BootOptions {
    /// What runs the machine.
    pub engine: EngineOptions,
    /// The kernel.
    pub kernel: Option<PathBuf>,
    /// Its RAM disk.
    pub initrd: Option<PathBuf>,
    /// Its command line.
    pub append: String,
    /// What runs in machine mode.
    pub firmware: Firmware,
    /// How many harts.
    pub harts: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Disks and the like.
    pub devices: Vec<VirtioDevice>,
    /// The serial port.
    pub serial: Serial,
    /// The control socket.
    pub control: Wish,
    /// A reset ends the machine.
    pub no_reboot: bool,
    /// Where the names of the kernel's functions are; else in the kernel, if that is an ELF file.
    pub symbols: Option<PathBuf>,
    /// Where a profile is written.
    pub profile: Option<profile::Output>,
}

enum Id {
    Engine(engine::Id),
    Kernel,
    Initrd,
    Append,
    Bios,
    Smp,
    Memory,
    Drive,
    Device,
    Serial,
    Control,
    NoControl,
    Qmp,
    NoGraphic,
    Display,
    NoReboot,
    Symbols,
    Profile,
    Machine,
    Cpu,
    Help,
    Version,
}

fn specs() -> Vec<OptionSpec<Id>> {
    OWN.into_iter()
        .chain(engine::options(Id::Engine))
        .chain(LAST)
        .collect()
}

const OWN: [OptionSpec<Id>; 19] = [
    OptionSpec {
        id: Id::Kernel,
        names: &["kernel"],
        value: Some("FILE"),
        help: "the kernel: an Image, with or without EFI stub, or an ELF file, which may be\n\
               compressed (gzip, zstd)",
    },
    OptionSpec {
        id: Id::Initrd,
        names: &["initrd"],
        value: Some("FILE"),
        help: "the kernel's initial RAM disk",
    },
    OptionSpec {
        id: Id::Append,
        names: &["append"],
        value: Some("TEXT"),
        help: "the kernel's command line",
    },
    OptionSpec {
        id: Id::Bios,
        names: &["bios"],
        value: Some("FILE"),
        help: "firmware instead of the built-in one (an SBI): OpenSBI's fw_dynamic or fw_jump;\n\
               none: the kernel begins in machine mode",
    },
    OptionSpec {
        id: Id::Smp,
        names: &["smp"],
        value: Some("HARTS"),
        help: "how many harts (default 1), each on a host thread of its own",
    },
    OptionSpec {
        id: Id::Memory,
        names: &["m"],
        value: Some("SIZE"),
        help: "memory: 512M, 2G; a plain number means MiB (default 128M)",
    },
    OptionSpec {
        id: Id::Drive,
        names: &["drive"],
        value: Some("file=FILE,…"),
        help: "a virtio disk with the raw image FILE; format=raw, if=virtio, if=none with id=ID\n\
               and --device virtio-blk-device,drive=ID, readonly=on",
    },
    OptionSpec {
        id: Id::Device,
        names: &["device"],
        value: Some("NAME,…"),
        help: "virtio-rng-device, or virtio-blk-device,drive=ID",
    },
    OptionSpec {
        id: Id::Serial,
        names: &["serial"],
        value: Some("WHERE"),
        help: "where the serial port leads: mon:stdio (default; Ctrl-a h lists what else one may\n\
               type), stdio (every byte goes to the guest), file:FILE, null",
    },
    OptionSpec {
        id: Id::Control,
        names: &["control"],
        value: Some("PATH"),
        help: "listen for QMP clients at PATH\n\
               (default: $XDG_RUNTIME_DIR/hartscope/PID.sock, if the variable is set)",
    },
    OptionSpec {
        id: Id::NoControl,
        names: &["no-control"],
        value: None,
        help: "do not listen for clients",
    },
    OptionSpec {
        id: Id::Qmp,
        names: &["qmp"],
        value: Some("unix:PATH,…"),
        help: "QEMU's words for --control: unix:PATH,server,nowait; none is --no-control",
    },
    OptionSpec {
        id: Id::NoGraphic,
        names: &["nographic"],
        value: None,
        help: "the serial port is all there is: so it is anyway",
    },
    OptionSpec {
        id: Id::Display,
        names: &["display"],
        value: Some("none"),
        help: "the same",
    },
    OptionSpec {
        id: Id::NoReboot,
        names: &["no-reboot"],
        value: None,
        help: "end instead of starting again",
    },
    OptionSpec {
        id: Id::Symbols,
        names: &["symbols"],
        value: Some("FILE"),
        help: "names of the kernel's functions, for plugins and profiles: its System.map, or an ELF\n\
               file (default: those of the kernel)",
    },
    OptionSpec {
        id: Id::Profile,
        names: &["profile"],
        value: Some("FILE"),
        help: "count instructions by function and hart, and write a table (.txt), folded\n\
               stacks (.folded) or a flame graph (.svg) at the end",
    },
    OptionSpec {
        id: Id::Machine,
        names: &["M", "machine"],
        value: Some("virt"),
        help: "the one board that there is",
    },
    OptionSpec {
        id: Id::Cpu,
        names: &["cpu"],
        value: Some("MODEL"),
        help: "rv64 or max: the one CPU that there is",
    },
];

const LAST: [OptionSpec<Id>; 2] = [
    OptionSpec {
        id: Id::Help,
        names: &["help", "h"],
        value: None,
        help: "this text",
    },
    OptionSpec {
        id: Id::Version,
        names: &["version"],
        value: None,
        help: "the version",
    },
];

const REFUSED: &[Refused] = &[
    Refused {
        names: &["s", "S", "gdb", "g"],
        why: "the debugger stub is not supported yet",
    },
    Refused {
        names: &["monitor", "mon", "chardev"],
        why: "not supported: --control PATH is where clients of the machine connect",
    },
    Refused {
        names: &["netdev", "nic", "net"],
        why: "networks are not supported yet",
    },
    Refused {
        names: &["icount", "rtc"],
        why: "the clock is the host's",
    },
    Refused {
        names: &["hda", "hdb", "sd", "cdrom", "fsdev", "virtfs", "blockdev"],
        why: "not supported: --drive gives a machine its disks",
    },
];

/// A `--drive` that may wait for its device.
struct Drive {
    id: String,
    /// It becomes a disk only if a device names it.
    waits: bool,
    device: VirtioDevice,
}

pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, UsageError> {
    let specs = specs();
    let (found, rest) = parse_options("boot", &specs, REFUSED, args)?;
    if let Some(argument) = rest.front() {
        let shown = argument.to_string_lossy();
        return Err(UsageError::new(format!("unexpected argument: {shown}")));
    }
    let mut options = BootOptions {
        engine: EngineOptions::default(),
        kernel: None,
        initrd: None,
        append: String::new(),
        firmware: Firmware::default(),
        harts: 1,
        memory: 128 << 20,
        devices: Vec::new(),
        serial: Serial::default(),
        control: Wish::default(),
        no_reboot: false,
        symbols: None,
        profile: None,
    };
    let mut drives = Vec::new();
    let mut devices = Vec::new();
    for (spec, value) in found {
        match spec.id {
            Id::Engine(id) => options.engine.take(id, value)?,
            Id::Kernel => options.kernel = Some(value.into()),
            Id::Initrd => options.initrd = Some(value.into()),
            Id::Append => value::text("--append", &value)?.clone_into(&mut options.append),
            Id::Bios => {
                options.firmware = match value.as_encoded_bytes() {
                    b"default" => Firmware::BuiltIn,
                    b"none" => Firmware::None,
                    _ => Firmware::File(value.into()),
                }
            }
            Id::Smp => options.harts = parse_harts(value::text("--smp", &value)?)?,
            Id::Memory => options.memory = parse_memory(&value)?,
            Id::Drive => drives.push(parse_drive(value::text("--drive", &value)?)?),
            Id::Device => devices.push(value::text("--device", &value)?.to_owned()),
            Id::Serial => options.serial = parse_serial(value::text("--serial", &value)?)?,
            Id::Control => options.control = Wish::At(value.into()),
            Id::NoControl => options.control = Wish::No,
            Id::Qmp => options.control = parse_qmp(value::text("--qmp", &value)?)?,
            Id::NoGraphic => {}
            Id::Display if value == "none" => {}
            Id::Display => return Err(UsageError::new("there is no display: --display none")),
            Id::NoReboot => options.no_reboot = true,
            Id::Symbols => options.symbols = Some(value.into()),
            Id::Profile => options.profile = Some(run::parse_profile(&value)?),
            Id::Machine if value == "virt" => {}
            Id::Machine => return Err(UsageError::new("unknown machine: there is virt")),
            Id::Cpu => value::cpu(&value)?,
            Id::Help => return Ok(Command::Print(help())),
            Id::Version => return Ok(Command::Print(super::version())),
        }
    }
    options.devices = connect(drives, &devices)?;
    check(&options)?;
    Ok(Command::Boot(Box::new(options)))
}

/// Refuses what makes no sense together.
fn check(options: &BootOptions) -> Result<(), UsageError> {
    if options.engine.log.strace || options.engine.log.unimp {
        return Err(UsageError::new(
            "log items for programs only: strace, unimp: a machine has no system calls",
        ));
    }
    if options.kernel.is_none() && !matches!(options.firmware, Firmware::File(_)) {
        return Err(UsageError::new(
            "nothing to boot: --kernel FILE is needed, or --bios FILE",
        ));
    }
    if options.kernel.is_none() && (options.initrd.is_some() || !options.append.is_empty()) {
        return Err(UsageError::new(
            "--initrd and --append are for a kernel: add --kernel FILE",
        ));
    }
    if options.devices.len() > map::VIRTIO_COUNT {
        let count = map::VIRTIO_COUNT;
        return Err(UsageError::new(format!(
            "too many devices: there is room for {count}"
        )));
    }
    Ok(())
}

/// `4`, or `cpus=4` among other things that QEMU knows of.
fn parse_harts(text: &str) -> Result<usize, UsageError> {
    let mut items = text.split(',');
    let cpus = items.find(|item| !item.contains('=') || item.starts_with("cpus="));
    let number = cpus.map(|item| item.trim_start_matches("cpus="));
    let harts = number.and_then(|number| number.parse().ok());
    harts
        .filter(|harts| (1..=map::MAX_HARTS).contains(harts))
        .ok_or_else(|| {
            let most = map::MAX_HARTS;
            UsageError::new(format!("bad number of harts: --smp {text}: 1 to {most}"))
        })
}

fn parse_memory(value: &OsStr) -> Result<u64, UsageError> {
    let text = value::text("-m", value)?;
    let size = OsStr::new(text.strip_prefix("size=").unwrap_or(text));
    let bytes = value::size("-m", size, 1 << 20)? as u64;
    // Pages are whole, and less than this is no use to anybody.
    if bytes < 1 << 20 || !bytes.is_multiple_of(4096) {
        return Err(UsageError::new(format!(
            "bad size of memory: -m {text}: a MiB at least, and a multiple of 4096"
        )));
    }
    Ok(bytes)
}

fn parse_serial(text: &str) -> Result<Serial, UsageError> {
    match text.split_once(':') {
        _ if text == "mon:stdio" => Ok(Serial::Terminal),
        _ if text == "stdio" => Ok(Serial::Stdio),
        _ if text == "null" || text == "none" => Ok(Serial::Null),
        Some(("file", path)) if !path.is_empty() => Ok(Serial::File(path.into())),
        _ => Err(UsageError::new(format!(
            "unknown place for the serial port: --serial {text}: mon:stdio, stdio, file:FILE, null"
        ))),
    }
}

/// `unix:PATH,server,nowait`, in QEMU's older words or in the newer ones.
fn parse_qmp(text: &str) -> Result<Wish, UsageError> {
    if text == "none" {
        return Ok(Wish::No);
    }
    let mut items = text.split(',');
    let path = items.next().and_then(|item| item.strip_prefix("unix:"));
    let (mut listens, mut waits, mut knows_all) = (false, true, true);
    for item in items {
        match item {
            "server" | "server=on" => listens = true,
            "nowait" | "wait=off" => waits = false,
            _ => knows_all = false,
        }
    }
    match path {
        Some(path) if !path.is_empty() && listens && !waits && knows_all => {
            Ok(Wish::At(path.into()))
        }
        _ => Err(UsageError::new(format!(
            "unknown place for clients: --qmp {text}: unix:PATH,server,nowait, or none"
        ))),
    }
}

fn parse_drive(text: &str) -> Result<Drive, UsageError> {
    let wrong = |why: &str| UsageError::new(format!("bad drive: --drive {text}: {why}"));
    let (mut path, mut read_only, mut waits, mut id) = (None, false, false, String::new());
    for item in text.split(',') {
        match item.split_once('=') {
            Some(("file", file)) => path = Some(PathBuf::from(file)),
            Some(("format", "raw")) => {}
            Some(("format", _)) => return Err(wrong("only raw images are supported")),
            Some(("if", "virtio")) => waits = false,
            Some(("if", "none")) => waits = true,
            Some(("if", _)) => return Err(wrong("there are if=virtio and if=none")),
            Some(("id", name)) => name.clone_into(&mut id),
            Some(("readonly" | "read-only", "on")) => read_only = true,
            Some(("readonly" | "read-only", "off")) => read_only = false,
            _ => return Err(wrong(&format!("{item} is not supported"))),
        }
    }
    let path = path.ok_or_else(|| wrong("file=FILE is needed"))?;
    Ok(Drive {
        id,
        waits,
        device: VirtioDevice::Block { path, read_only },
    })
}

/// The virtio devices of drives and `--device`s.
fn connect(drives: Vec<Drive>, devices: &[String]) -> Result<Vec<VirtioDevice>, UsageError> {
    let (mut waiting, ready): (Vec<Drive>, Vec<Drive>) =
        drives.into_iter().partition(|drive| drive.waits);
    let mut all: Vec<VirtioDevice> = ready.into_iter().map(|drive| drive.device).collect();
    for text in devices {
        let wrong = |why: &str| UsageError::new(format!("bad device: --device {text}: {why}"));
        let (name, rest) = text.split_once(',').unwrap_or((text, ""));
        match (name, rest.split_once('=')) {
            ("virtio-rng-device", None) if rest.is_empty() => all.push(VirtioDevice::Rng),
            ("virtio-blk-device", Some(("drive", id))) => {
                let at = waiting.iter().position(|drive| drive.id == id);
                let at = at.ok_or_else(|| wrong("no --drive with if=none has this id"))?;
                all.push(waiting.remove(at).device);
            }
            _ => {
                return Err(wrong(
                    "there are virtio-rng-device and virtio-blk-device,drive=ID",
                ));
            }
        }
    }
    match waiting.first() {
        Some(drive) => Err(UsageError::new(format!(
            "no device for the drive with id={}: add --device virtio-blk-device,drive={}",
            drive.id, drive.id
        ))),
        None => Ok(all),
    }
}

fn help() -> String {
    format!(
        "usage: hartscope boot [OPTIONS]\n\n\
         Runs a machine, compatible with QEMU's virt board; the exit status is the one that the guest\n\
         gives to the test finisher, or 0 when it powers off. Each option may be written with one dash\n\
         or two.\n\n{}",
        describe(&specs())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Box<BootOptions>, String> {
        match parse(line.split_whitespace().map(OsString::from)) {
            Ok(Command::Boot(options)) => Ok(options),
            Ok(_) => Err("another command".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_command_line_of_qemu_moves_over() {
        let options = parsed(
            "-M virt -cpu max -smp 4 -m 2G -nographic -kernel Image -initrd i.img -append ro \
             -bios fw.bin -drive file=a.img,format=raw,if=none,id=hd0 \
             -device virtio-blk-device,drive=hd0 -device virtio-rng-device -no-reboot -d op \
             -qmp unix:/tmp/q.sock,server=on,wait=off",
        );
        let options = options.expect("it makes sense");
        assert_eq!((options.harts, options.memory), (4, 2 << 30));
        assert_eq!(options.kernel, Some("Image".into()));
        assert_eq!(options.initrd, Some("i.img".into()));
        assert_eq!(options.append, "ro");
        assert_eq!(options.firmware, Firmware::File("fw.bin".into()));
        let disk = VirtioDevice::Block {
            path: "a.img".into(),
            read_only: false,
        };
        assert_eq!(options.devices, [disk, VirtioDevice::Rng]);
        assert!(options.no_reboot && options.engine.log.op);
        assert_eq!(options.control, Wish::At("/tmp/q.sock".into()));
    }

    #[test]
    fn sizes_and_numbers_are_checked() {
        let options = parsed("-kernel k -smp cpus=2,sockets=1 -m 64").expect("it makes sense");
        assert_eq!((options.harts, options.memory), (2, 64 << 20));
        for (line, why) in [
            ("-kernel k -smp 0", "1 to 64"),
            ("-kernel k -smp 65", "1 to 64"),
            ("-kernel k -smp x", "1 to 64"),
            ("-kernel k -m 4K", "a MiB at least"),
            ("", "nothing to boot"),
            ("-bios fw -append x", "add --kernel"),
            ("-kernel k extra", "unexpected argument: extra"),
            ("-kernel k -serial tcp::1", "mon:stdio"),
            ("-kernel k -drive format=raw", "file=FILE"),
            ("-kernel k -drive file=a,format=qcow2", "only raw"),
            ("-kernel k -drive file=a,if=none,id=x", "no device"),
            ("-kernel k -device virtio-blk-device,drive=x", "no --drive"),
            ("-kernel k -device e1000", "there are virtio-rng-device"),
            ("-kernel k -M microvm", "there is virt"),
            ("-kernel k -d strace", "for programs only"),
            ("-kernel k -netdev user,id=n", "not supported yet"),
            ("-kernel k -s", "debugger"),
            ("-kernel k -qmp tcp::1,server,nowait", "unix:PATH"),
            ("-kernel k -qmp unix:q,server", "unix:PATH"),
            ("-kernel k -qmp unix:,server,nowait", "unix:PATH"),
            ("-kernel k -monitor stdio", "--control"),
        ] {
            let error = parsed(line).expect_err(line);
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
