//! Installation: arguments, facts about the emulator, and the events that a plugin wants.

use std::ffi::CString;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::errors::Error;
use crate::events::{Events, Exit, Syscall};
use crate::sys;
use crate::vcpu::{Vcpu, WriteRegs, text};
use crate::view::Block;

/// What a plugin is installed with.
///
/// Of each kind of event a plugin has at most one closure; the last one counts. Closures are called on
/// the thread of the vCPU that they are about, several of them at a time.
pub struct Setup<'s, P> {
    info: Info,
    args: Args,
    events: &'s mut Events<P>,
}

/// The emulator.
#[derive(Clone, Debug)]
pub struct Info {
    /// The guest's architecture: `riscv64`.
    pub target: String,
    /// The versions of the interface that it accepts.
    pub versions: RangeInclusive<i32>,
    /// The machine, unless it runs a Linux program.
    pub system: Option<System>,
}

/// A whole machine.
#[derive(Clone, Copy, Debug)]
pub struct System {
    /// vCPUs at the start.
    pub smp_vcpus: i32,
    /// The most there can be.
    pub max_vcpus: i32,
}

impl Info {
    pub(crate) fn new(raw: &sys::Info) -> Info {
        Info {
            // SAFETY: a text, read here and now.
            target: unsafe { text(raw.target_name) }
                .unwrap_or_default()
                .into_owned(),
            versions: raw.version_min..=raw.version_cur,
            system: raw.system_emulation.then_some(System {
                smp_vcpus: raw.smp_vcpus,
                max_vcpus: raw.max_vcpus,
            }),
        }
    }
}

/// A plugin's arguments, `name=value`. Each is taken out by its name; [`Args::finish`] complains about
/// what is left.
#[derive(Debug, Default)]
pub struct Args(Vec<(String, String)>);

impl Args {
    pub(crate) fn new(texts: impl Iterator<Item = String>) -> Args {
        let split = |text: String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (text, String::new()),
        };
        Args(texts.map(split).collect())
    }

    /// The values of an argument that may be given several times, in order.
    pub fn texts(&mut self, name: &str) -> Vec<String> {
        let mut values = Vec::new();
        self.0.retain_mut(|(known, value)| {
            let is_it = known == name;
            if is_it {
                values.push(std::mem::take(value));
            }
            !is_it
        });
        values
    }

    /// The value of an argument; the last one if it is given several times.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.texts(name).pop()
    }

    /// The value of an argument that can be parsed, such as a number.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Error> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Error::new(format!(
                "argument not understood: {name}={text}"
            ))),
        }
    }

    /// An argument that is on or off; off if it is not there.
    pub fn flag(&mut self, name: &str) -> Result<bool, Error> {
        let Some(value) = self.text(name) else {
            return Ok(false);
        };
        let mut flag = false;
        let understood = match (CString::new(name), CString::new(value.as_str())) {
            // SAFETY: two texts, and a place for the result.
            (Ok(name), Ok(value)) => unsafe {
                sys::qemu_plugin_bool_parse(name.as_ptr(), value.as_ptr(), &mut flag)
            },
            _ => false,
        };
        match understood {
            true => Ok(flag),
            false => Err(Error::new(format!(
                "argument not understood: {name}={value}"
            ))),
        }
    }

    /// All arguments have been taken.
    pub fn finish(&mut self) -> Result<(), Error> {
        match self.0.first() {
            None => Ok(()),
            Some((name, value)) => Err(Error::new(format!(
                "argument not understood: {name}={value}"
            ))),
        }
    }
}

impl<'s, P> Setup<'s, P> {
    pub(crate) fn new(info: Info, args: Args, events: &'s mut Events<P>) -> Setup<'s, P> {
        Setup { info, args, events }
    }

    /// The emulator.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The arguments.
    pub fn args(&mut self) -> &mut Args {
        &mut self.args
    }

    /// A block is about to be translated: what shall happen when it runs is said here. The same
    /// address can come again, and a block may never run.
    pub fn on_translate(&mut self, f: impl Fn(&P, &Block<'_, P>) + Send + Sync + 'static) {
        self.events.translate = Some(Box::new(f));
    }

    /// A vCPU exists, and has not translated anything yet.
    pub fn on_vcpu_init(&mut self, f: impl Fn(&P, &Vcpu<'_, WriteRegs>) + Send + Sync + 'static) {
        self.events.vcpu_init = Some(Box::new(f));
    }

    /// A vCPU goes away while others stay.
    pub fn on_vcpu_exit(&mut self, f: impl Fn(&P, &Vcpu<'_, WriteRegs>) + Send + Sync + 'static) {
        self.events.vcpu_exit = Some(Box::new(f));
    }

    /// A vCPU waits for an interrupt. In a whole machine only.
    pub fn on_vcpu_idle(&mut self, f: impl Fn(&P, &Vcpu<'_, WriteRegs>) + Send + Sync + 'static) {
        self.events.vcpu_idle = Some(Box::new(f));
    }

    /// A vCPU goes on. In a whole machine only.
    pub fn on_vcpu_resume(&mut self, f: impl Fn(&P, &Vcpu<'_, WriteRegs>) + Send + Sync + 'static) {
        self.events.vcpu_resume = Some(Box::new(f));
    }

    /// A system call of a Linux program is about to be done.
    pub fn on_syscall(
        &mut self,
        f: impl Fn(&P, &Vcpu<'_, WriteRegs>, &Syscall) + Send + Sync + 'static,
    ) {
        self.events.syscall = Some(Box::new(f));
    }

    /// A system call, by its number, has this result.
    pub fn on_syscall_return(
        &mut self,
        f: impl Fn(&P, &Vcpu<'_, WriteRegs>, i64, i64) + Send + Sync + 'static,
    ) {
        self.events.syscall_return = Some(Box::new(f));
    }

    /// A system call can be answered in the kernel's place.
    #[cfg(api_6)]
    pub fn on_syscall_filter(
        &mut self,
        f: impl Fn(&P, &Vcpu<'_, WriteRegs>, &Syscall) -> Option<i64> + Send + Sync + 'static,
    ) {
        self.events.syscall_filter = Some(Box::new(f));
    }

    /// The program counter went where no instruction sent it.
    #[cfg(api_5)]
    pub fn on_discontinuity(
        &mut self,
        f: impl Fn(&P, &Vcpu<'_, WriteRegs>, &crate::Discontinuity) + Send + Sync + 'static,
    ) {
        self.events.discontinuity = Some(Box::new(f));
    }

    /// All translations were dropped.
    pub fn on_flush(&mut self, f: impl Fn(&P) + Send + Sync + 'static) {
        self.events.flush = Some(Box::new(f));
    }

    /// The process ends. The time for a report: the plugin is not dropped.
    pub fn on_exit(&mut self, f: impl Fn(&P, &Exit<'_>) + Send + Sync + 'static) {
        self.events.exit = Some(Box::new(f));
    }
}
