//! Subscribers that are part of hartscope: they see blocks as plugins do, by way of Rust.
//!
//! 1. To the registry a built-in subscriber is a plugin without a library: it has an id, a slot and
//!    phases, is a member of instrumentation sets, and can be uninstalled while the guest runs.
//! 2. It is dropped where a library would be closed: after the last call of it has returned.
//! 3. A forked child has none: what they find out is for the process that wanted to know.

use std::ptr::with_exposed_provenance;
use std::sync::Arc;

use libloading::os::unix::Library;
use translate::hooks::{Call, Clobbers, Hook, Regs};

use crate::abi::context::{self, Kind, NO_REGS};
use crate::callbacks::{Callback, TbTrans, Userdata};
use crate::plugin::{Interface, VERSIONS};
use crate::translation::{Translation, with_tb};

/// A built-in subscriber.
pub trait BuiltIn: Send + Sync {
    /// What it is called where a plugin would be called by its file.
    fn name(&self) -> &str;
    /// A plain block is about to be translated. Several vCPUs may ask at the same time; each is
    /// online, so this must not wait for what another vCPU does.
    fn translated(&self, block: &mut Shown<'_>);
    /// It has been reset: the last call of before has returned, and the next has not begun.
    fn begins_anew(&self) {}
}

/// A callback of a built-in subscriber, with the vCPU's number and the userdata. It must not unwind.
pub type Entered = extern "C" fn(vcpu: u32, userdata: u64);

/// A plain block that is being shown.
pub struct Shown<'a>(&'a mut Translation);

impl Shown<'_> {
    /// Where its instructions are, in order.
    pub fn pcs(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.0.insns.iter().map(|insn| insn.pc)
    }

    /// Asks for a hook at the block's entry.
    pub fn at_entry(&mut self, hook: Hook) {
        self.0.wishes.entry.push(hook);
    }

    /// A call, which looks at no registers of the guest.
    pub fn call(&self, function: Entered, userdata: u64) -> Hook {
        Hook::Call(Call {
            function: function as usize,
            userdata,
            context: context::of_same_plugin(Kind::Exec, NO_REGS),
            regs: Regs::None,
            clobbers: Clobbers::ALL,
        })
    }

    /// Asks for a hook before an instruction, by position.
    pub fn before(&mut self, insn: usize, hook: Hook) {
        self.0.at(insn).before.push(hook);
    }
}

/// Where a subscriber's code comes from.
pub(crate) enum Code {
    /// A file.
    Library(#[expect(dead_code, reason = "closed when dropped")] Library),
    /// This program.
    BuiltIn(Own),
}

impl From<Library> for Code {
    fn from(library: Library) -> Code {
        Code::Library(library)
    }
}

/// A built-in subscriber at an address that callbacks can be given.
pub(crate) struct Own(Box<Arc<dyn BuiltIn>>);

impl Own {
    /// As which version callbacks of it look.
    pub(crate) const INTERFACE: Interface = Interface::Qemu {
        version: *VERSIONS.end(),
    };

    pub(crate) fn new(built_in: Arc<dyn BuiltIn>) -> Own {
        Own(Box::new(built_in))
    }

    pub(crate) fn name(&self) -> &str {
        self.0.name()
    }

    pub(crate) fn begins_anew(&self) {
        self.0.begins_anew();
    }

    /// What it is subscribed with; good while `self` lives.
    pub(crate) fn subscription(&self) -> TbTrans {
        let address = (&raw const *self.0).expose_provenance();
        Callback::Userdata(translated, address)
    }
}

/// The callback of all of them.
unsafe extern "C" fn translated(tb: usize, own: Userdata) {
    // SAFETY: made by `Own::subscription`; the box lives until the last callback has returned.
    let built_in = unsafe { &*with_exposed_provenance::<Arc<dyn BuiltIn>>(own) };
    with_tb("translated", tb as u64, |translation| {
        built_in.translated(&mut Shown(translation));
    });
}
