//! The options of every command that runs a guest: what runs its code, and what is told of that.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use plugin_rt::Measured;

use super::{OptionSpec, UsageError, value};

/// What runs the blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Backend {
    /// Host code.
    #[default]
    X86_64,
    /// The op interpreter.
    Interp,
}

/// What `-d` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogItems {
    /// System calls that are not there.
    pub unimp: bool,
    /// System calls.
    pub strace: bool,
    /// Guest instructions of each block.
    pub in_asm: bool,
    /// Ops of each block.
    pub op: bool,
    /// The same with what plugins asked for.
    pub op_plugin: bool,
    /// The same after the passes.
    pub op_opt: bool,
    /// Host code of each block.
    pub out_asm: bool,
    /// What plugins say.
    pub plugin: bool,
    /// Who holds grace periods up.
    pub stall: bool,
    /// What plugins say, in a file for each thread.
    pub tid: bool,
}

impl LogItems {
    /// Whether there are items that have one log for all threads.
    pub fn are_shared(&self) -> bool {
        let plugin_only = LogItems {
            plugin: true,
            tid: true,
            ..LogItems::default()
        };
        *self != plugin_only
    }
}

/// Where `-D` sends the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFile {
    /// The file.
    pub path: PathBuf,
    /// Keep what is in it.
    pub append: bool,
}

/// Guest addresses whose blocks are dumped.
pub type DumpRange = Range<u64>;

/// What runs the guest's code, and what is told of that.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineOptions {
    /// What runs the blocks.
    pub backend: Backend,
    /// Limit of the translation cache in bytes.
    pub tb_size: Option<usize>,
    /// Pin each vCPU thread to a core.
    pub pin: bool,
    /// What to print.
    pub log: LogItems,
    /// Dump only blocks in these ranges; empty: all.
    pub dump_ranges: Vec<DumpRange>,
    /// Plugins to load, with their arguments.
    pub plugins: Vec<OsString>,
    /// Name what plugins do wrong.
    pub check_plugins: bool,
    /// Where logs go instead of standard error.
    pub log_file: Option<LogFile>,
    /// Count instructions and say how many at the end.
    pub count_insns: bool,
    /// Print what each vCPU did at the end.
    pub stats: bool,
    /// Record how long things take, and that of these callbacks.
    pub latency: Option<Measured>,
    /// Where to write how long things took.
    pub latency_log: Option<PathBuf>,
}

/// One of these options.
#[derive(Clone, Copy)]
pub enum Id {
    Plugin,
    CheckPlugins,
    Backend,
    TbSize,
    Pin,
    Log,
    DumpFilter,
    LogFile,
    AppendLog,
    CountInsns,
    Stats,
    Latency,
    LatencyLog,
}

const OPTIONS: &[OptionSpec<Id>] = &[
    OptionSpec {
        id: Id::Plugin,
        names: &["plugin"],
        value: Some("FILE[,ARG=VALUE…]"),
        help: "load a TCG plugin, of API version 2 to 7, with its arguments; may be repeated\n\
               (QEMU_PLUGIN in the environment names one more, which is loaded first)",
    },
    OptionSpec {
        id: Id::CheckPlugins,
        names: &["check-plugins"],
        value: None,
        help: "name each misuse of the plugin interface, also what does no harm at once",
    },
    OptionSpec {
        id: Id::Backend,
        names: &["backend"],
        value: Some("NAME"),
        help: "x86-64: translate to host code (default); interp: interpret ops",
    },
    OptionSpec {
        id: Id::TbSize,
        names: &["tb-size"],
        value: Some("SIZE"),
        help: "limit of the translation cache: 64K, 8M; a plain number means MiB",
    },
    OptionSpec {
        id: Id::Pin,
        names: &["pin"],
        value: None,
        help: "pin each vCPU to a host core",
    },
    OptionSpec {
        id: Id::Log,
        names: &["d"],
        value: Some("ITEM,…"),
        help: "log: unimp (calls that are not there), strace, plugin (what plugins say),\n\
               stall (vCPUs that hold up what waits for all of them),\n\
               in_asm (guest code), op (ops), op_plugin (ops with what plugins ask for),\n\
               op_opt (ops after the passes), out_asm (host code);\n\
               plugin,tid: in a file for each thread, whose id is %d in -D FILE",
    },
    OptionSpec {
        id: Id::DumpFilter,
        names: &["dfilter"],
        value: Some("RANGE,…"),
        help: "dump only blocks in START..END, START+LENGTH or START-LENGTH",
    },
    OptionSpec {
        id: Id::LogFile,
        names: &["D"],
        value: Some("FILE"),
        help: "write logs to FILE instead of standard error; %d in it is the process id",
    },
    OptionSpec {
        id: Id::AppendLog,
        names: &["append-log"],
        value: Some("FILE"),
        help: "as -D, but keep what is in FILE",
    },
    OptionSpec {
        id: Id::CountInsns,
        names: &["count-insns"],
        value: None,
        help: "count instructions and print the sum at exit",
    },
    OptionSpec {
        id: Id::Stats,
        names: &["stats"],
        value: None,
        help: "print what each vCPU did at exit, and how long things took",
    },
    OptionSpec {
        id: Id::Latency,
        names: &["latency"],
        value: Some("CALLBACKS"),
        help: "record how long things take from the start, for 'hartscope stats', --stats or\n\
               --latency-log; of plugins' callbacks none, sampled (one of 64 that blocks call)\n\
               or all",
    },
    OptionSpec {
        id: Id::LatencyLog,
        names: &["latency-log"],
        value: Some("FILE"),
        help: "write how long things take for each vCPU, each second, as an HdrHistogram\n\
               interval log (programs that the guest starts are not in it)",
    },
];

/// The options, with the ids of a command that has others besides.
pub fn options<Own>(wrap: fn(Id) -> Own) -> impl Iterator<Item = OptionSpec<Own>> {
    OPTIONS.iter().map(move |spec| OptionSpec {
        id: wrap(spec.id),
        names: spec.names,
        value: spec.value,
        help: spec.help,
    })
}

impl EngineOptions {
    /// Takes one of the options.
    pub fn take(&mut self, id: Id, value: OsString) -> Result<(), UsageError> {
        let log_file = |append| {
            Some(LogFile {
                path: value.clone().into(),
                append,
            })
        };
        match id {
            Id::Plugin => self.plugins.push(value),
            Id::CheckPlugins => self.check_plugins = true,
            Id::Backend => self.backend = parse_backend(&value)?,
            Id::TbSize => self.tb_size = Some(value::size("--tb-size", &value, 1 << 20)?),
            Id::Pin => self.pin = true,
            Id::Log => parse_log_items(&mut self.log, value::text("-d", &value)?)?,
            Id::LogFile => self.log_file = log_file(false),
            Id::AppendLog => self.log_file = log_file(true),
            Id::DumpFilter => self.dump_ranges = parse_ranges(value::text("--dfilter", &value)?)?,
            Id::CountInsns => self.count_insns = true,
            Id::Stats => self.stats = true,
            Id::Latency => self.latency = Some(value::measured("--latency", &value)?),
            Id::LatencyLog => self.latency_log = Some(value.into()),
        }
        Ok(())
    }
}

pub(super) fn parse_backend(value: &OsStr) -> Result<Backend, UsageError> {
    match value.as_bytes() {
        b"x86-64" | b"x86_64" => Ok(Backend::X86_64),
        b"interp" => Ok(Backend::Interp),
        _ => Err(UsageError::new(format!(
            "unknown back end: {}: there are x86-64 and interp",
            value.to_string_lossy()
        ))),
    }
}

fn parse_log_items(items: &mut LogItems, list: &str) -> Result<(), UsageError> {
    for item in list.split(',') {
        match item {
            "unimp" => items.unimp = true,
            "in_asm" => items.in_asm = true,
            "op" => items.op = true,
            "op_plugin" => items.op_plugin = true,
            "op_opt" => items.op_opt = true,
            "out_asm" => items.out_asm = true,
            "plugin" => items.plugin = true,
            "stall" => items.stall = true,
            "strace" => items.strace = true,
            "tid" => items.tid = true,
            _ => {
                return Err(UsageError::new(format!(
                    "unknown log item: -d {item}: there are unimp, strace, plugin, stall, in_asm, \
                     op, op_plugin, op_opt, out_asm, tid"
                )));
            }
        }
    }
    Ok(())
}

/// QEMU's ranges: `START..END` (the end belongs to it), `START+LENGTH`, `START-LENGTH`.
fn parse_ranges(list: &str) -> Result<Vec<DumpRange>, UsageError> {
    list.split(',')
        .map(|item| {
            parse_range(item).ok_or_else(|| {
                UsageError::new(format!(
                    "bad address range: --dfilter {item}: START..END, START+LENGTH or START-LENGTH"
                ))
            })
        })
        .collect()
}

fn parse_range(item: &str) -> Option<DumpRange> {
    let (start, end) = if let Some((start, last)) = item.split_once("..") {
        (value::number(start)?, value::number(last)?.checked_add(1)?)
    } else if let Some((start, length)) = item.split_once('+') {
        let start = value::number(start)?;
        (start, start.checked_add(value::number(length)?)?)
    } else {
        let (end, length) = item.split_once('-')?;
        let end = value::number(end)?;
        (end.checked_sub(value::number(length)?)?, end)
    };
    (start < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dump_ranges_are_written_as_in_qemu() {
        assert_eq!(parse_range("0x1000..0x1fff"), Some(0x1000..0x2000));
        assert_eq!(parse_range("0x1000+0x10"), Some(0x1000..0x1010));
        assert_eq!(parse_range("0x1000-16"), Some(0xff0..0x1000));
        for wrong in [
            "",
            "5",
            "5..4",
            "1+0",
            "0-1",
            "0..0xffffffffffffffff",
            "x+1",
        ] {
            assert_eq!(parse_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn log_items_add_up() {
        let mut items = LogItems::default();
        parse_log_items(&mut items, "unimp,op").expect("both are there");
        parse_log_items(&mut items, "strace").expect("it is there");
        assert!(items.unimp && items.op && items.strace && !items.in_asm);
        assert!(parse_log_items(&mut items, "unimp,").is_err());
        assert!(!items.plugin && !items.op_plugin);
        parse_log_items(&mut items, "plugin,op_plugin").expect("both are there");
        assert!(items.plugin && items.op_plugin);
    }
}
