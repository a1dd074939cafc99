//! The guest's registers.
//!
//! 1. A register is known by its number in [`REGISTERS`]. The handle that a plugin gets is that number
//!    with the version of the interface that the plugin was built for, so that what is done with it
//!    is answered by that version's rules: a size or -1 up to 5, a truth value from 6 on.
//! 2. The list has what can be read, in a debugger's order: integers and pc, floating point,
//!    privilege, CSRs.
//! 3. A callback that says it does not touch registers finds them incomplete, and may not.

use std::ffi::{CStr, c_char};
use std::sync::atomic::Ordering::Relaxed;

use translate::{CpuState, clock};

use super::context::{self, Context, Kind, NO_REGS, RW_REGS};
use super::glib::{Array, glib};
use super::{Export, export};
use crate::current;
use crate::misuse::{breach, questionable};

pub(super) const EXPORTS: &[Export] = &[
    export!(2 qemu_plugin_get_registers),
    export!(2 qemu_plugin_read_register),
    export!(5 qemu_plugin_write_register),
];

/// A register's place in the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    X(u8),
    Pc,
    F(u8),
    Priv,
    Fflags,
    Frm,
    Fcsr,
    Cycle,
    Time,
    Instret,
}

/// Bytes of every register here.
const SIZE: usize = 8;

impl Register {
    fn read(self, state: &CpuState) -> u64 {
        match self {
            Register::X(number) => state.x[usize::from(number)],
            Register::Pc => state.pc,
            Register::F(number) => state.f[usize::from(number)],
            Register::Priv => state.privilege() as u64,
            Register::Fflags => state.fflags.into(),
            Register::Frm => state.frm.into(),
            Register::Fcsr => u64::from(state.frm << 5 | state.fflags),
            Register::Cycle | Register::Instret => clock::cycle(),
            Register::Time => clock::time(),
        }
    }

    /// Whether it could be written.
    fn write(self, state: &mut CpuState, value: u64) -> bool {
        match self {
            Register::X(0) | Register::Priv => {}
            Register::X(number) => state.x[usize::from(number)] = value,
            // No instruction begins at an odd address.
            Register::Pc => state.pc = value & !1,
            Register::F(number) => state.f[usize::from(number)] = value,
            Register::Fflags => set_fflags(state, value),
            Register::Frm => set_frm(state, value),
            Register::Fcsr => {
                set_fflags(state, value);
                set_frm(state, value >> 5);
            }
            Register::Cycle | Register::Time | Register::Instret => return false,
        }
        true
    }
}

fn set_fflags(state: &mut CpuState, value: u64) {
    state.fflags = value as u32 & 0x1f;
    state.update_mxcsr();
}

/// Code is made for a rounding mode. Blocks look behind such a callback whether it is still theirs
/// ([`translate::Op::Rounding`]); where nothing is left of the block to do so, the next one is not entered.
fn set_frm(state: &mut CpuState, value: u64) {
    let before = state.mode();
    state.set_frm(value as u8);
    if state.mode() != before {
        // Relaxed: for this thread itself.
        state.request.fetch_or(ANOTHER_MODE, Relaxed);
    }
}

/// A request that nobody else makes: the run loop looks for code, and goes on.
const ANOTHER_MODE: u32 = 1 << 30;

const CPU: &CStr = c"org.gnu.gdb.riscv.cpu";
const FPU: &CStr = c"org.gnu.gdb.riscv.fpu";
const VIRTUAL: &CStr = c"org.gnu.gdb.riscv.virtual";
const CSR: &CStr = c"org.gnu.gdb.riscv.csr";

/// The list, in parts: a feature and its registers' names.
#[rustfmt::skip]
static FEATURES: [(&CStr, &[&CStr]); 4] = [
    (CPU, &[
        // Disassembly has `s0` for `fp`.
        c"zero", c"ra", c"sp", c"gp", c"tp", c"t0", c"t1", c"t2", c"fp", c"s1", c"a0", c"a1",
        c"a2", c"a3", c"a4", c"a5", c"a6", c"a7", c"s2", c"s3", c"s4", c"s5", c"s6", c"s7",
        c"s8", c"s9", c"s10", c"s11", c"t3", c"t4", c"t5", c"t6", c"pc",
    ]),
    (FPU, &[
        c"ft0", c"ft1", c"ft2", c"ft3", c"ft4", c"ft5", c"ft6", c"ft7", c"fs0", c"fs1", c"fa0",
        c"fa1", c"fa2", c"fa3", c"fa4", c"fa5", c"fa6", c"fa7", c"fs2", c"fs3", c"fs4", c"fs5",
        c"fs6", c"fs7", c"fs8", c"fs9", c"fs10", c"fs11", c"ft8", c"ft9", c"ft10", c"ft11",
    ]),
    (VIRTUAL, &[c"priv"]),
    (CSR, &[c"fflags", c"frm", c"fcsr", c"cycle", c"time", c"instret"]),
];

/// The registers in the order of the list.
static REGISTERS: [Register; 72] = {
    let mut all = [Register::Pc; 72];
    let mut number = 0;
    while number < 32 {
        all[number] = Register::X(number as u8);
        all[33 + number] = Register::F(number as u8);
        number += 1;
    }
    all[65] = Register::Priv;
    all[66] = Register::Fflags;
    all[67] = Register::Frm;
    all[68] = Register::Fcsr;
    all[69] = Register::Cycle;
    all[70] = Register::Time;
    all[71] = Register::Instret;
    all
};

/// What a plugin gets as `struct qemu_plugin_register *`: never null, and never an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Handle(usize);

/// Far from all memory, so that a handle that is taken for a pointer faults.
const MARK: usize = 0x5255_0000 << 32;

impl Handle {
    fn new(number: usize, version: i32) -> Handle {
        Handle(MARK | (version as usize) << 16 | (number + 1))
    }

    /// The version that it was given to, and the register; `None` if it was not given to anybody.
    fn resolve(self) -> Option<(i32, Register)> {
        let parts = self.0 ^ MARK;
        let register = REGISTERS.get((parts & 0xffff).checked_sub(1)?)?;
        (parts >> 16 < 16).then_some(((parts >> 16) as i32, *register))
    }
}

/// `qemu_plugin_reg_descriptor` up to version 5.
#[derive(Clone, Copy)]
#[repr(C)]
struct OldDescriptor {
    handle: Handle,
    name: *const c_char,
    feature: *const c_char,
}

/// And since.
#[derive(Clone, Copy)]
#[repr(C)]
struct Descriptor {
    old: OldDescriptor,
    is_readonly: bool,
}

const _: () = assert!(size_of::<OldDescriptor>() == 24 && size_of::<Descriptor>() == 32);

fn descriptors(version: i32) -> Vec<Descriptor> {
    let lines = FEATURES
        .iter()
        .flat_map(|(feature, names)| names.iter().map(move |name| (name, feature)));
    let describe =
        |(number, ((name, feature), register)): (usize, ((&&CStr, &&CStr), &Register))| {
            Descriptor {
                old: OldDescriptor {
                    handle: Handle::new(number, version),
                    name: name.as_ptr(),
                    feature: feature.as_ptr(),
                },
                is_readonly: *register == Register::Pc,
            }
        };
    lines.zip(&REGISTERS).enumerate().map(describe).collect()
}

/// The callback that runs, and the vCPU's state; both are needed to look at registers.
fn caller(function: &str) -> (Context, *mut CpuState) {
    let Some(context) = context::current() else {
        breach(function, "call it in a callback of a vCPU");
    };
    match current::state() {
        Some(state) => (context, state.as_ptr()),
        None => breach(
            function,
            "there is no vCPU here; call it in a callback of one, such as the one for its beginning",
        ),
    }
}

/// The list of registers: a new array that the caller frees.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn qemu_plugin_get_registers() -> *mut Array {
    const NAME: &str = "qemu_plugin_get_registers";
    let (context, _) = caller(NAME);
    context.plugin.note_registers_listed();
    let version = context.plugin.version();
    let list = descriptors(version);
    match version {
        ..6 => {
            let list: Vec<OldDescriptor> = list.iter().map(|descriptor| descriptor.old).collect();
            glib(NAME).array_of(&list)
        }
        _ => glib(NAME).array_of(&list),
    }
}

/// What an access to a register came to.
enum Outcome {
    /// So many bytes.
    Done,
    /// There is no such register, or it cannot be had.
    Nothing,
    /// The callback may not.
    Denied,
}

impl Outcome {
    /// In the form that the caller looks for it: an `int`, or the `bool` in its lowest byte.
    fn told_to(self, version: i32) -> i32 {
        match (self, version) {
            (Outcome::Done, ..6) => SIZE as i32,
            (Outcome::Denied, ..6) => -1,
            (Outcome::Nothing, ..6) => 0,
            (outcome, _) => matches!(outcome, Outcome::Done).into(),
        }
    }
}

/// Up to version 4 nobody had to say so.
fn may_read(context: Context) -> bool {
    let in_code = matches!(context.kind, Kind::Exec | Kind::Memory);
    context.flags != NO_REGS || in_code && context.plugin.reads_registers_anywhere()
}

/// Appends the register's value to a `GByteArray`.
///
/// # Safety
///
/// `array` is a `GByteArray` that only the caller uses.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_read_register(
    handle: Handle,
    array: *mut Array,
) -> i32 {
    const NAME: &str = "qemu_plugin_read_register";
    let (context, state) = caller(NAME);
    let found = handle.resolve();
    let version = found.map_or(context.plugin.version(), |(version, _)| version);
    let outcome = if !may_read(context) {
        questionable(
            NAME,
            "registers cannot be read here; register the callback with QEMU_PLUGIN_CB_R_REGS",
        );
        Outcome::Denied
    } else if let Some((_, register)) = found {
        // SAFETY: the calling thread's own vCPU, of which no reference is held across a callback.
        let value = register.read(unsafe { &*state });
        // SAFETY: as the caller promises.
        unsafe { glib(NAME).append(array, &value.to_le_bytes()) };
        Outcome::Done
    } else {
        questionable(
            NAME,
            "no such register; use a handle from qemu_plugin_get_registers",
        );
        Outcome::Nothing
    };
    outcome.told_to(version)
}

/// Sets the register to the value at the beginning of a `GByteArray`.
///
/// # Safety
///
/// `array` is a `GByteArray` that only the caller uses.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn qemu_plugin_write_register(
    handle: Handle,
    array: *mut Array,
) -> i32 {
    const NAME: &str = "qemu_plugin_write_register";
    let (context, state) = caller(NAME);
    let found = handle.resolve();
    let version = found.map_or(context.plugin.version(), |(version, _)| version);
    // SAFETY: as the caller promises.
    let bytes = unsafe { Array::bytes(array) };
    let outcome = if context.flags < RW_REGS {
        questionable(
            NAME,
            "registers cannot be written here; register the callback with QEMU_PLUGIN_CB_RW_REGS",
        );
        Outcome::Denied
    } else if bytes.is_empty() {
        questionable(NAME, "the array is empty");
        Outcome::Denied
    } else if let Some((_, register)) = found {
        if register == Register::Pc && version >= 6 {
            breach(NAME, "the pc is read-only; use qemu_plugin_set_pc");
        }
        if bytes.len() < SIZE {
            questionable(
                NAME,
                "the array is shorter than the register; the rest is taken to be 0",
            );
        }
        // SAFETY: the calling thread's own vCPU, of which no reference is held across a callback.
        match register.write(unsafe { &mut *state }, value_of(bytes)) {
            true => Outcome::Done,
            false => Outcome::Nothing,
        }
    } else {
        questionable(
            NAME,
            "no such register; use a handle from qemu_plugin_get_registers",
        );
        Outcome::Nothing
    };
    outcome.told_to(version)
}

/// The first bytes as a number, little-endian.
fn value_of(bytes: &[u8]) -> u64 {
    let mut value = [0; SIZE];
    let len = bytes.len().min(SIZE);
    value[..len].copy_from_slice(&bytes[..len]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_registers_go_together() {
        let names = FEATURES.iter().flat_map(|(_, names)| names.iter());
        let names: Vec<&str> = names.map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names.len(), REGISTERS.len());
        for (name, register) in names.iter().zip(&REGISTERS) {
            let expected = match *register {
                Register::X(8) => "fp".into(),
                Register::X(number) => riscv::names::x_name(number).to_owned(),
                Register::F(number) => riscv::names::f_name(number).to_owned(),
                other => format!("{other:?}").to_lowercase(),
            };
            assert_eq!(*name, expected);
        }
    }

    #[test]
    fn handles_know_their_version_and_are_never_null() {
        for version in 2..=7 {
            for (number, register) in REGISTERS.iter().enumerate() {
                let handle = Handle::new(number, version);
                assert_ne!(handle.0, 0);
                assert_eq!(handle.resolve(), Some((version, *register)));
            }
        }
        for stranger in [
            0,
            1,
            33,
            usize::MAX,
            MARK,
            MARK | 5 << 16,
            MARK | 5 << 16 | 73,
        ] {
            assert_eq!(Handle(stranger).resolve(), None, "{stranger:x}");
        }
    }

    #[test]
    fn old_versions_hear_a_size_and_new_ones_a_truth() {
        for version in 2..=5 {
            assert_eq!(Outcome::Done.told_to(version), 8);
            assert_eq!(Outcome::Nothing.told_to(version), 0);
            assert_eq!(Outcome::Denied.told_to(version), -1);
        }
        for version in 6..=7 {
            assert_eq!(Outcome::Done.told_to(version), 1);
            assert_eq!(Outcome::Nothing.told_to(version), 0);
            assert_eq!(Outcome::Denied.told_to(version), 0);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut state = CpuState::new();
        for register in REGISTERS {
            let written = register.write(&mut state, 0xfeed_f00d_1234_5677);
            let read = register.read(&state);
            match register {
                Register::X(0) | Register::Priv => assert_eq!((written, read), (true, 0)),
                Register::Pc => assert_eq!((written, read), (true, 0xfeed_f00d_1234_5676)),
                Register::Fflags => assert_eq!((written, read), (true, 0x17)),
                Register::Frm => assert_eq!((written, read), (true, 7)),
                Register::Fcsr => assert_eq!((written, read), (true, 0x77)),
                Register::Cycle | Register::Time | Register::Instret => assert!(!written),
                _ => assert_eq!((written, read), (true, 0xfeed_f00d_1234_5677)),
            }
        }
    }

    #[test]
    fn a_short_value_is_filled_up_and_a_long_one_cut() {
        assert_eq!(value_of(&[1, 2]), 0x201);
        assert_eq!(value_of(&[0xff; 20]), u64::MAX);
    }
}
