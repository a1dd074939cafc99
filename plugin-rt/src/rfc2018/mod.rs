//! The interface proposed for QEMU in 2018, before there was one: plugins that are asked instruction by
//! instruction.
//!
//! A library that exports `plugin_init` and no `qemu_plugin_install` is such a plugin. When a block is
//! translated it is asked which instructions it wants to see (`plugin_needs_before_insn`,
//! `plugin_needs_before_mem`); it is called before each of these is executed, with the vCPU's registers
//! and memory as they are then. It is an ordinary plugin otherwise, and this module an ordinary
//! `tb_trans` callback.
//!
//! "Before an access" is before the instruction: the access may fault, and a conditional store may
//! store nothing. An atomic read-modify-write is two accesses, the reading one first.

mod log;

use std::ffi::{CString, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;

use libloading::os::unix::Library;
use translate::hooks::{Call, Hook, Regs};
use translate::x86::callback::Role;
use translate::{CpuState, FReg, Reg};

use crate::abi::context::{self, Context, Kind, R_REGS, pack};
use crate::abi::{Export, export};
use crate::callbacks::{Callback, TbTrans};
use crate::called;
use crate::current;
use crate::misuse::questionable;
use crate::plugin::Plugin;
use crate::runtime::Runtime;
use crate::timing;
use crate::translation::with_tb;
use log::qemulib_log;

pub(crate) const EXPORTS: &[Export] = &[
    export!(0 qemulib_log),
    export!(0 qemulib_read_memory),
    export!(0 qemulib_read_register),
    export!(0 qemulib_flush),
];

/// What such a plugin has for a version: older than all others.
pub(crate) const VERSION: i32 = 0;

type Init = unsafe extern "C" fn(arguments: *const c_char) -> bool;
type Needs = unsafe extern "C" fn(pc: u64, cpu: *mut c_void) -> u8;
type BeforeInsn = unsafe extern "C" fn(pc: u64, cpu: *mut c_void);
type BeforeMem =
    unsafe extern "C" fn(pc: u64, addr: u64, size: u32, is_store: bool, cpu: *mut c_void);

/// What the library exports.
#[derive(Clone, Copy)]
pub(crate) struct Functions {
    init: Init,
    insn: Option<(Needs, BeforeInsn)>,
    mem: Option<(Needs, BeforeMem)>,
}

impl Functions {
    /// Those of a library, if it is such a plugin.
    pub(crate) fn of(library: &Library) -> Option<Functions> {
        // SAFETY: by the interface, functions of these names are of these types.
        unsafe {
            let both = |needs: &std::ffi::CStr| Some(*library.get::<Needs>(needs).ok()?);
            Some(Functions {
                init: *library.get::<Init>(c"plugin_init").ok()?,
                insn: both(c"plugin_needs_before_insn").zip(
                    library
                        .get(c"plugin_before_insn")
                        .ok()
                        .map(|symbol| *symbol),
                ),
                mem: both(c"plugin_needs_before_mem")
                    .zip(library.get(c"plugin_before_mem").ok().map(|symbol| *symbol)),
            })
        }
    }

    /// Lets the plugin begin; gives whether it wants to.
    pub(crate) fn init(&self, arguments: &[OsString]) -> bool {
        let text = argument_text(arguments);
        // SAFETY: the library is open, the text lives during the call.
        unsafe { (self.init)(text.as_ptr()) }
    }

    /// What asks the plugin about blocks.
    pub(crate) fn subscription(&self) -> TbTrans {
        Callback::Userdata(translated, 0)
    }
}

/// The one string of arguments: that of `args=…`, or all of them with commas between.
fn argument_text(arguments: &[OsString]) -> CString {
    let mut bytes = match arguments {
        [one] if one.as_bytes().starts_with(b"args=") => one.as_bytes()[5..].to_vec(),
        _ => {
            let arguments: Vec<_> = arguments.iter().map(|text| text.as_bytes()).collect();
            arguments.join(&b',')
        }
    };
    bytes.retain(|&byte| byte != 0);
    CString::new(bytes).unwrap_or_default()
}

/// The plugin whose callback is running, and the vCPU.
fn running() -> Option<(context::Running, Functions, *mut CpuState)> {
    let Context { plugin, .. } = context::current()?;
    let functions = plugin.rfc2018()?;
    Some((plugin, functions, current::state()?.as_ptr()))
}

/// A block has been translated: asks the plugin about its instructions.
unsafe extern "C" fn translated(tb: usize, _: usize) {
    const NAME: &str = "tb_trans";
    let Some((plugin, functions, cpu)) = running() else {
        return;
    };
    let block = with_tb(NAME, tb as u64, |block| block.insns.clone());
    for (index, insn) in block.unwrap_or_default().iter().enumerate() {
        let wants = |needs: Needs| {
            // SAFETY: by the interface.
            unsafe { needs(insn.pc, cpu.cast()) != 0 }
        };
        let wants_insn = functions.insn.is_some_and(|(needs, _)| wants(needs));
        let wants_mem = functions
            .mem
            .is_some_and(|(needs, _)| accesses(insn.bytes()).is_some() && wants(needs));
        if !(wants_insn || wants_mem) {
            continue;
        }
        with_tb(NAME, tb as u64, |block| {
            let before = &mut block.at(index).before;
            if wants_insn {
                before.push(hook(&plugin, before_insn as *const ()));
            }
            if wants_mem {
                before.push(hook(&plugin, before_mem as *const ()));
            }
        });
    }
}

fn hook(plugin: &Plugin, function: *const ()) -> Hook {
    let function = function.addr();
    let call = Call {
        function,
        userdata: 0,
        context: pack(plugin.slot(), Kind::Exec, R_REGS),
        regs: Regs::Read,
        clobbers: called::clobbers(function),
    };
    timing::measured(plugin, Hook::Call(call), Role::Execution)
}

/// Called by generated code.
extern "C" fn before_insn(_vcpu: u32, _: u64) {
    if let Some((_, functions, cpu)) = running()
        && let Some((_, before)) = functions.insn
    {
        // SAFETY: the vCPU's state is complete and this thread's; by the interface.
        unsafe { before((*cpu).pc, cpu.cast()) };
    }
}

/// Called by generated code.
extern "C" fn before_mem(_vcpu: u32, _: u64) {
    let Some((_, functions, cpu)) = running() else {
        return;
    };
    // SAFETY: the vCPU's state is complete, and this thread's.
    let pc = unsafe { (*cpu).pc };
    let mut bytes = [0; 4];
    let guest = Runtime::global().and_then(|runtime| runtime.guest());
    // The second half may lie on a page that is not there, if there is no second half.
    let is_read = guest.is_some_and(|guest| {
        guest.read(pc, &mut bytes[..2]) && (bytes[0] & 3 != 3 || guest.read(pc, &mut bytes))
    });
    let Some((_, before)) = functions.mem.filter(|_| is_read) else {
        return;
    };
    let Some(access) = accesses(&bytes) else {
        return;
    };
    // SAFETY: as above.
    let base = unsafe { (*cpu).x[usize::from(access.base)] };
    let addr = base.wrapping_add(access.displacement);
    for (wanted, is_store) in [(access.loads, false), (access.stores, true)] {
        if wanted {
            // SAFETY: by the interface.
            unsafe { before(pc, addr, access.size, is_store, cpu.cast()) };
        }
    }
}

/// The memory accesses of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Accesses {
    base: u8,
    displacement: u64,
    size: u32,
    loads: bool,
    stores: bool,
}

fn accesses(bytes: &[u8]) -> Option<Accesses> {
    use riscv::Opcode::*;
    let mut word = [0; 4];
    word[..bytes.len()].copy_from_slice(bytes);
    let insn = riscv::decode(u32::from_le_bytes(word));
    let plain = |size, stores: bool| Accesses {
        base: insn.rs1,
        displacement: insn.imm as u64,
        size,
        loads: !stores,
        stores,
    };
    let atomic = |size, loads, stores| Accesses {
        base: insn.rs1,
        displacement: 0,
        size,
        loads,
        stores,
    };
    Some(match insn.op {
        Lb | Lbu => plain(1, false),
        Lh | Lhu => plain(2, false),
        Lw | Lwu | Flw => plain(4, false),
        Ld | Fld => plain(8, false),
        Sb => plain(1, true),
        Sh => plain(2, true),
        Sw | Fsw => plain(4, true),
        Sd | Fsd => plain(8, true),
        LrW => atomic(4, true, false),
        LrD => atomic(8, true, false),
        ScW => atomic(4, false, true),
        ScD => atomic(8, false, true),
        AmoswapW | AmoaddW | AmoxorW | AmoandW | AmoorW | AmominW | AmomaxW | AmominuW
        | AmomaxuW => atomic(4, true, true),
        AmoswapD | AmoaddD | AmoxorD | AmoandD | AmoorD | AmominD | AmomaxD | AmominuD
        | AmomaxuD => atomic(8, true, true),
        _ => return None,
    })
}

/// Reads guest memory; 0 if that has succeeded.
#[unsafe(no_mangle)]
extern "C" fn qemulib_read_memory(_cpu: *mut c_void, addr: u64, to: *mut u8, len: c_int) -> c_int {
    let guest = Runtime::global().and_then(|runtime| runtime.guest());
    let (Some(guest), Ok(len)) = (guest, usize::try_from(len)) else {
        return -1;
    };
    // SAFETY: the plugin says that there is that much room.
    let to = unsafe {
        to.write_bytes(0, len);
        std::slice::from_raw_parts_mut(to, len)
    };
    match guest.read(addr, to) {
        true => 0,
        false => -1,
    }
}

/// Reads a register by its number in the debugger's protocol: 0 to 31, 32 for the pc, 33 to 64 for the
/// floating-point ones. Gives its size; 0 if there is no such register.
#[unsafe(no_mangle)]
extern "C" fn qemulib_read_register(_cpu: *mut c_void, to: *mut u8, number: c_int) -> c_int {
    let Some(state) = current::state() else {
        questionable(
            "qemulib_read_register",
            "called on a thread that has no vCPU; call it from a callback",
        );
        return 0;
    };
    // SAFETY: `current::set` promised that the state lives and is this thread's only.
    let value = unsafe {
        let state = state.as_ptr();
        match number {
            0..=31 => (*state).x[Reg(number as u8).index()],
            32 => (*state).pc,
            33..=64 => (*state).f[FReg((number - 33) as u8).index()],
            _ => return 0,
        }
    };
    let bytes = value.to_le_bytes();
    // SAFETY: the plugin has room for a register.
    unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    bytes.len() as c_int
}

/// The plugin wants to be asked again about every block.
#[unsafe(no_mangle)]
extern "C" fn qemulib_flush() {
    let Some(runtime) = Runtime::global() else {
        return;
    };
    match context::current() {
        Some(context) => runtime.show_anew(context.plugin.id()),
        // On a thread of its own: whoever it is, it is one of these.
        None => {
            let plugins = runtime.plugins().into_iter();
            for plugin in plugins.filter(|plugin| plugin.rfc2018().is_some()) {
                runtime.show_anew(plugin.id());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_one_string() {
        let text = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
            argument_text(&arguments).into_string().unwrap()
        };
        assert_eq!(text(&[]), "");
        assert_eq!(text(&["args=anything, at all"]), "anything, at all");
        assert_eq!(text(&["a=1", "b=on"]), "a=1,b=on");
    }

    #[test]
    fn accesses_of_instructions() {
        let ld_8_sp = 0x0081_3503_u32.to_le_bytes();
        let found = accesses(&ld_8_sp).unwrap();
        assert_eq!((found.base, found.displacement, found.size), (2, 8, 8));
        assert!(found.loads && !found.stores);
        let amoadd_w = 0x00b5_262f_u32.to_le_bytes();
        let found = accesses(&amoadd_w).unwrap();
        assert_eq!((found.base, found.displacement, found.size), (10, 0, 4));
        assert!(found.loads && found.stores);
        let c_nop = [1, 0];
        assert_eq!(accesses(&c_nop), None);
    }
}
