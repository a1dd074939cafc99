//! An emulator that does nothing but call plugins: the interface's functions (version 7) as far as
//! the tests need them.
//!
//! It is stricter than a real one: it asserts what the interface forbids, and notes in a journal what
//! the tests ask about later.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub const VCPUS: usize = 4;

type VcpuCb = unsafe extern "C" fn(c_uint, *mut c_void);
type MemCb = unsafe extern "C" fn(c_uint, u32, u64, *mut c_void);
type TransCb = unsafe extern "C" fn(*mut Tb, *mut c_void);
type DataCb = unsafe extern "C" fn(*mut c_void);
#[rustfmt::skip]
type SyscallCb = unsafe extern "C" fn(
    c_uint, i64, u64, u64, u64, u64, u64, u64, u64, u64, *mut c_void,
);
#[rustfmt::skip]
type FilterCb = unsafe extern "C" fn(
    c_uint, i64, u64, u64, u64, u64, u64, u64, u64, u64, *mut i64, *mut c_void,
) -> bool;

/// What has been registered.
#[derive(Default)]
pub struct Host {
    translate: Option<TransCb>,
    filter: Option<FilterCb>,
    exit: Option<DataCb>,
    uninstall: Option<DataCb>,
    pub log: String,
    pub journal: Vec<String>,
}

static HOST: Mutex<Option<Host>> = Mutex::new(None);
static BOARDS: AtomicUsize = AtomicUsize::new(0);

pub fn host<R>(f: impl FnOnce(&mut Host) -> R) -> R {
    let mut host: MutexGuard<_> = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    f(host.get_or_insert_default())
}

pub fn note(what: impl Into<String>) {
    host(|host| host.journal.push(what.into()));
}

/// Scoreboards that are not freed.
pub fn boards() -> usize {
    BOARDS.load(Relaxed)
}

/// A number in a scoreboard, as plugins name it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Entry {
    board: *mut Board,
    offset: usize,
}

pub struct Board {
    /// One line of words per vCPU.
    elements: Vec<Vec<AtomicU64>>,
}

impl Entry {
    fn number(&self, vcpu: c_uint) -> &AtomicU64 {
        assert_eq!(self.offset % 8, 0);
        // SAFETY: the plugin's entry is of a board that is not freed.
        unsafe { &(&(*self.board).elements)[vcpu as usize][self.offset / 8] }
    }
}

enum Hook {
    Call(VcpuCb, u32, usize),
    CallIf(VcpuCb, u32, u32, Entry, u64, usize),
    Memory(MemCb, u32, u32, usize),
    Add(Entry, u64),
    Store(Entry, u64),
}

// SAFETY: callbacks and data of a plugin, which may be called on all threads.
unsafe impl Send for Hook {}
// SAFETY: as above.
unsafe impl Sync for Hook {}

/// A block, with what shall happen when it runs.
pub struct Tb {
    hooks: Vec<Hook>,
    insns: Vec<Insn>,
    translating: bool,
}

pub struct Insn {
    address: u64,
    hooks: Vec<Hook>,
}

impl Tb {
    /// Translates a block of some instructions.
    pub fn translate(address: u64, n_insns: u64) -> Box<Tb> {
        let insn = |i| Insn {
            address: address + 4 * i,
            hooks: Vec::new(),
        };
        let mut tb = Box::new(Tb {
            hooks: Vec::new(),
            insns: (0..n_insns).map(insn).collect(),
            translating: true,
        });
        if let Some(translate) = host(|host| host.translate) {
            // SAFETY: as registered.
            unsafe { translate(&mut *tb, std::ptr::null_mut()) };
        }
        tb.translating = false;
        tb
    }

    /// Runs it; each instruction accesses memory at its own address.
    pub fn run(&self, vcpu: u32) {
        self.hooks.iter().for_each(|hook| hook.run(vcpu, 0));
        for insn in &self.insns {
            insn.hooks
                .iter()
                .for_each(|hook| hook.run(vcpu, insn.address));
        }
    }

    /// The flags of its callbacks, in order.
    pub fn flags(&self) -> Vec<u32> {
        let hooks = self
            .hooks
            .iter()
            .chain(self.insns.iter().flat_map(|insn| &insn.hooks));
        hooks
            .filter_map(|hook| match hook {
                Hook::Call(_, flags, _)
                | Hook::CallIf(_, flags, ..)
                | Hook::Memory(_, flags, ..) => Some(*flags),
                Hook::Add(..) | Hook::Store(..) => None,
            })
            .collect()
    }
}

impl Hook {
    fn run(&self, vcpu: u32, address: u64) {
        // SAFETY: called as registered.
        unsafe {
            match *self {
                Hook::Call(cb, _, data) => cb(vcpu, data as *mut c_void),
                Hook::CallIf(cb, _, relation, entry, imm, data) => {
                    let number = entry.number(vcpu).load(Relaxed);
                    let holds = match relation {
                        2 => number == imm,
                        3 => number != imm,
                        4 => number < imm,
                        5 => number <= imm,
                        6 => number > imm,
                        7 => number >= imm,
                        _ => panic!("no such relation: {relation}"),
                    };
                    if holds {
                        cb(vcpu, data as *mut c_void);
                    }
                }
                // A load of 8 bytes.
                Hook::Memory(cb, _, rw, data) if rw & 1 != 0 => {
                    cb(vcpu, 3, address, data as *mut c_void);
                }
                Hook::Memory(..) => (),
                Hook::Add(entry, imm) => {
                    entry.number(vcpu).fetch_add(imm, Relaxed);
                }
                Hook::Store(entry, imm) => entry.number(vcpu).store(imm, Relaxed),
            }
        }
    }
}

/// The end of the process, as plugins see it.
pub fn exit() {
    if let Some(exit) = host(|host| host.exit) {
        // SAFETY: as registered.
        unsafe { exit(std::ptr::null_mut()) };
    }
}

/// What a filter answers to a system call.
pub fn filter(vcpu: u32, number: i64, argument: u64) -> Option<i64> {
    let filter = host(|host| host.filter)?;
    let mut result = 0;
    // SAFETY: as registered.
    let taken = unsafe {
        filter(
            vcpu,
            number,
            argument,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            &mut result,
            std::ptr::null_mut(),
        )
    };
    taken.then_some(result)
}

/// All callbacks have returned since an uninstallation was asked for. Whether it was.
pub fn quiesce() -> bool {
    let uninstall = host(|host| {
        let uninstall = host.uninstall.take();
        if uninstall.is_some() {
            (host.translate, host.filter, host.exit) = (None, None, None);
        }
        uninstall
    });
    if let Some(uninstall) = uninstall {
        // SAFETY: as registered.
        unsafe { uninstall(std::ptr::null_mut()) };
    }
    uninstall.is_some()
}

/// Defines functions of the interface.
macro_rules! interface {
    ($(fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {$(
        // SAFETY: the interface's name, and its type.
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) $(-> $result)? $body
    )*};
}

/// # Safety
///
/// A block that is being translated.
unsafe fn tb_mut<'t>(tb: *mut Tb) -> &'t mut Tb {
    // SAFETY: the caller's promise; translation is on one thread.
    let tb = unsafe { &mut *tb };
    assert!(tb.translating, "a block was kept");
    tb
}

interface! {
    fn qemu_plugin_register_vcpu_tb_trans_cb(_id: u64, cb: TransCb, _data: *mut c_void) {
        host(|host| host.translate = Some(cb));
    }
    fn qemu_plugin_register_vcpu_syscall_filter_cb(_id: u64, cb: FilterCb, _data: *mut c_void) {
        host(|host| host.filter = Some(cb));
    }
    fn qemu_plugin_register_atexit_cb(_id: u64, cb: DataCb, _data: *mut c_void) {
        host(|host| host.exit = Some(cb));
    }
    fn qemu_plugin_uninstall(_id: u64, cb: DataCb, _data: *mut c_void) {
        host(|host| host.uninstall = Some(cb));
    }
    fn qemu_plugin_register_vcpu_init_cb(_id: u64, _cb: VcpuCb, _data: *mut c_void) {}
    fn qemu_plugin_register_vcpu_exit_cb(_id: u64, _cb: VcpuCb, _data: *mut c_void) {}
    fn qemu_plugin_register_vcpu_idle_cb(_id: u64, _cb: VcpuCb, _data: *mut c_void) {}
    fn qemu_plugin_register_vcpu_resume_cb(_id: u64, _cb: VcpuCb, _data: *mut c_void) {}
    fn qemu_plugin_register_vcpu_syscall_cb(_id: u64, _cb: SyscallCb, _data: *mut c_void) {}
    fn qemu_plugin_register_vcpu_syscall_ret_cb(_id: u64, _cb: *mut c_void, _data: *mut c_void) {}
    fn qemu_plugin_register_vcpu_discon_cb(
        _id: u64, _kinds: c_int, _cb: *mut c_void, _data: *mut c_void,
    ) {}
    fn qemu_plugin_register_flush_cb(_id: u64, _cb: DataCb, _data: *mut c_void) {}

    fn qemu_plugin_tb_n_insns(tb: *mut Tb) -> usize {
        // SAFETY: by the interface.
        unsafe { tb_mut(tb) }.insns.len()
    }
    fn qemu_plugin_tb_vaddr(tb: *mut Tb) -> u64 {
        // SAFETY: by the interface.
        unsafe { tb_mut(tb) }.insns[0].address
    }
    fn qemu_plugin_tb_get_insn(tb: *mut Tb, index: usize) -> *mut Insn {
        // SAFETY: by the interface.
        let insn = unsafe { tb_mut(tb) }.insns.get_mut(index);
        insn.map_or(std::ptr::null_mut(), |insn| insn)
    }
    fn qemu_plugin_insn_vaddr(insn: *const Insn) -> u64 {
        // SAFETY: by the interface.
        unsafe { (*insn).address }
    }
    fn qemu_plugin_register_vcpu_tb_exec_cb(
        tb: *mut Tb, cb: VcpuCb, flags: c_uint, data: *mut c_void,
    ) {
        // SAFETY: by the interface.
        unsafe { tb_mut(tb) }.hooks.push(Hook::Call(cb, flags, data as usize));
    }
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut Insn, cb: VcpuCb, flags: c_uint, data: *mut c_void,
    ) {
        // SAFETY: by the interface.
        unsafe { (*insn).hooks.push(Hook::Call(cb, flags, data as usize)) }
    }
    fn qemu_plugin_register_vcpu_tb_exec_cond_cb(
        tb: *mut Tb, cb: VcpuCb, flags: c_uint, cond: c_uint, entry: Entry, imm: u64,
        data: *mut c_void,
    ) {
        let hook = Hook::CallIf(cb, flags, cond, entry, imm, data as usize);
        // SAFETY: by the interface.
        unsafe { tb_mut(tb) }.hooks.push(hook);
    }
    fn qemu_plugin_register_vcpu_insn_exec_cond_cb(
        insn: *mut Insn, cb: VcpuCb, flags: c_uint, cond: c_uint, entry: Entry, imm: u64,
        data: *mut c_void,
    ) {
        let hook = Hook::CallIf(cb, flags, cond, entry, imm, data as usize);
        // SAFETY: by the interface.
        unsafe { (*insn).hooks.push(hook) }
    }
    fn qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
        tb: *mut Tb, op: c_uint, entry: Entry, imm: u64,
    ) {
        let hook = if op == 0 { Hook::Add(entry, imm) } else { Hook::Store(entry, imm) };
        // SAFETY: by the interface.
        unsafe { tb_mut(tb) }.hooks.push(hook);
    }
    fn qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
        insn: *mut Insn, op: c_uint, entry: Entry, imm: u64,
    ) {
        let hook = if op == 0 { Hook::Add(entry, imm) } else { Hook::Store(entry, imm) };
        // SAFETY: by the interface.
        unsafe { (*insn).hooks.push(hook) }
    }
    fn qemu_plugin_register_vcpu_mem_cb(
        insn: *mut Insn, cb: MemCb, flags: c_uint, rw: c_uint, data: *mut c_void,
    ) {
        // SAFETY: by the interface.
        unsafe { (*insn).hooks.push(Hook::Memory(cb, flags, rw, data as usize)) }
    }
    fn qemu_plugin_mem_size_shift(info: u32) -> c_uint {
        info & 15
    }
    fn qemu_plugin_mem_is_store(info: u32) -> bool {
        info & 64 != 0
    }

    fn qemu_plugin_scoreboard_new(size: usize) -> *mut Board {
        BOARDS.fetch_add(1, Relaxed);
        let element = || (0..size.div_ceil(8)).map(|_| AtomicU64::new(0)).collect();
        let elements = (0..VCPUS).map(|_| element()).collect();
        Box::into_raw(Box::new(Board { elements }))
    }
    fn qemu_plugin_scoreboard_free(board: *mut Board) {
        BOARDS.fetch_sub(1, Relaxed);
        note("board freed");
        // SAFETY: made above, and freed once.
        drop(unsafe { Box::from_raw(board) });
    }
    fn qemu_plugin_scoreboard_find(board: *mut Board, vcpu: c_uint) -> *mut c_void {
        // SAFETY: a board that is not freed.
        let element = unsafe { &(&(*board).elements)[vcpu as usize] };
        element.as_ptr().cast_mut().cast()
    }
    fn qemu_plugin_u64_get(entry: Entry, vcpu: c_uint) -> u64 {
        entry.number(vcpu).load(Relaxed)
    }
    fn qemu_plugin_u64_sum(entry: Entry) -> u64 {
        (0..VCPUS).map(|vcpu| entry.number(vcpu as c_uint).load(Relaxed)).sum()
    }
    fn qemu_plugin_num_vcpus() -> c_int {
        VCPUS as c_int
    }
    fn qemu_plugin_outs(text: *const c_char) {
        // SAFETY: a text.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
        host(|host| host.log.push_str(&text));
    }
    fn qemu_plugin_bool_parse(_name: *const c_char, value: *const c_char, result: *mut bool) -> bool {
        // SAFETY: a text, and a place for the result.
        unsafe {
            let value = CStr::from_ptr(value).to_bytes();
            result.write(value == b"on");
            value == b"on" || value == b"off"
        }
    }
}
