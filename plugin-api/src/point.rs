//! What shall happen at a place in the code: counting, or a callback.

use std::ffi::{c_uint, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::Plugin;
use crate::board::Counter;
use crate::instance::Live;
use crate::memory::MemoryAccess;
use crate::sys;
use crate::vcpu::{Access, NoRegs, ReadRegs, Vcpu, WriteRegs};

/// Which memory accesses are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rw {
    /// Loads.
    Read = 1,
    /// Stores.
    Write = 2,
    /// Both.
    Both = 3,
}

/// A condition on a vCPU's own number, checked by translated code. Numbers are unsigned.
#[derive(Clone, Copy)]
pub struct Condition {
    counter: Counter,
    relation: c_uint,
    value: u64,
}

impl Counter {
    /// It is this.
    pub fn equals(self, value: u64) -> Condition {
        self.condition(2, value)
    }

    /// It is not this.
    pub fn differs(self, value: u64) -> Condition {
        self.condition(3, value)
    }

    /// It is less.
    pub fn below(self, value: u64) -> Condition {
        self.condition(4, value)
    }

    /// It is this, or less.
    pub fn at_most(self, value: u64) -> Condition {
        self.condition(5, value)
    }

    /// It is more.
    pub fn above(self, value: u64) -> Condition {
        self.condition(6, value)
    }

    /// It is this, or more.
    pub fn at_least(self, value: u64) -> Condition {
        self.condition(7, value)
    }

    fn condition(self, relation: c_uint, value: u64) -> Condition {
        Condition {
            counter: self,
            relation,
            value,
        }
    }
}

/// What fits into the one word that the emulator keeps for each callback: then nothing needs to be
/// allocated for it, however often code is translated.
pub trait Word: Copy + Send + Sync + sealed::Sealed + 'static {
    #[doc(hidden)]
    fn into_word(self) -> *mut c_void;
    /// # Safety
    ///
    /// The word was made by `into_word` of the same type.
    #[doc(hidden)]
    unsafe fn from_word(word: *mut c_void) -> Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u32 {}
    impl Sealed for u64 {}
    impl Sealed for usize {}
    impl<T> Sealed for &'static T {}
}

macro_rules! number_word {
    ($($type:ty),*) => {$(
        impl Word for $type {
            fn into_word(self) -> *mut c_void {
                ptr::without_provenance_mut(self as usize)
            }
            unsafe fn from_word(word: *mut c_void) -> $type {
                word.addr() as $type
            }
        }
    )*};
}
number_word!(u32, usize, u64);
const _: () = assert!(size_of::<usize>() == size_of::<u64>());

impl<T: Sync> Word for &'static T {
    fn into_word(self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }
    unsafe fn from_word(word: *mut c_void) -> &'static T {
        // SAFETY: it was a reference.
        unsafe { &*word.cast::<T>() }
    }
}

#[derive(Clone, Copy)]
enum Target {
    Block(*mut sys::Tb),
    Insn(*mut sys::Insn),
}

/// A place in the code: the entry of a block, or before an instruction.
///
/// What is asked for at one place happens in the order in which it was asked for.
pub struct Point<'b, P, A: Access = NoRegs> {
    target: Target,
    live: &'b Live<P>,
    access: PhantomData<A>,
}

impl<'b, P: Plugin> Point<'b, P> {
    /// # Safety
    ///
    /// For the time in which the block is being translated.
    pub(crate) unsafe fn block(tb: *mut sys::Tb, live: &'b Live<P>) -> Point<'b, P> {
        Point {
            target: Target::Block(tb),
            live,
            access: PhantomData,
        }
    }

    /// # Safety
    ///
    /// For the time in which the instruction's block is being translated.
    pub(crate) unsafe fn insn(insn: *mut sys::Insn, live: &'b Live<P>) -> Point<'b, P> {
        Point {
            target: Target::Insn(insn),
            live,
            access: PhantomData,
        }
    }

    /// Adds to the vCPU's own number, without calling anybody.
    pub fn add(self, counter: Counter, value: u64) {
        self.inline(sys::INLINE_ADD, counter, value);
    }

    /// Sets the vCPU's own number, without calling anybody.
    pub fn store(self, counter: Counter, value: u64) {
        self.inline(sys::INLINE_STORE, counter, value);
    }

    fn inline(self, op: c_uint, counter: Counter, value: u64) {
        // SAFETY: the target is being translated; the counter's scoreboard is there as long as code
        // that uses it.
        unsafe {
            match self.target {
                Target::Block(tb) => {
                    sys::qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, op, counter.0, value)
                }
                Target::Insn(insn) => sys::qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
                    insn, op, counter.0, value,
                ),
            }
        }
    }

    /// The callback reads registers.
    pub fn reading(self) -> Point<'b, P, ReadRegs> {
        self.with_access()
    }

    /// The callback reads and writes registers.
    pub fn writing(self) -> Point<'b, P, WriteRegs> {
        self.with_access()
    }

    fn with_access<A: Access>(self) -> Point<'b, P, A> {
        Point {
            target: self.target,
            live: self.live,
            access: PhantomData,
        }
    }
}

impl<P: Plugin, A: Access> Point<'_, P, A> {
    /// Calls `f`, which is kept as long as the plugin. One that captures nothing costs no memory;
    /// for one that needs a single word, see [`Point::call_with`].
    pub fn call<F>(self, f: F)
    where
        F: Fn(&P, &Vcpu<'_, A>) + Send + Sync + 'static,
    {
        let data = self.live.keep(f);
        self.register(execute::<P, A, F>, A::FLAGS, data);
    }

    /// Calls `f` with a word. It must capture nothing.
    pub fn call_with<W, F>(self, word: W, f: F)
    where
        W: Word,
        F: Fn(&P, &Vcpu<'_, A>, W) + Copy + Send + Sync + 'static,
    {
        const { assert!(size_of::<F>() == 0, "the word is all that is captured") };
        let _ = f;
        self.register(execute_with::<P, A, W, F>, A::FLAGS, word.into_word());
    }

    /// Calls `f` if the condition holds then. While it does not, nobody is called.
    pub fn call_if<F>(self, condition: Condition, f: F)
    where
        F: Fn(&P, &Vcpu<'_, A>) + Send + Sync + 'static,
    {
        let data = self.live.keep(f);
        let Condition {
            counter,
            relation,
            value,
        } = condition;
        // SAFETY: as `register`; the counter's scoreboard is there as long as code that uses it.
        unsafe {
            match self.target {
                Target::Block(tb) => sys::qemu_plugin_register_vcpu_tb_exec_cond_cb(
                    tb,
                    execute::<P, A, F>,
                    A::FLAGS,
                    relation,
                    counter.0,
                    value,
                    data,
                ),
                Target::Insn(insn) => sys::qemu_plugin_register_vcpu_insn_exec_cond_cb(
                    insn,
                    execute::<P, A, F>,
                    A::FLAGS,
                    relation,
                    counter.0,
                    value,
                    data,
                ),
            }
        }
    }

    fn register(&self, callback: sys::VcpuUdataCb, flags: c_uint, data: *mut c_void) {
        // SAFETY: the target is being translated, and the callback is for this data.
        unsafe {
            match self.target {
                Target::Block(tb) => {
                    sys::qemu_plugin_register_vcpu_tb_exec_cb(tb, callback, flags, data);
                }
                Target::Insn(insn) => {
                    sys::qemu_plugin_register_vcpu_insn_exec_cb(insn, callback, flags, data);
                }
            }
        }
    }
}

#[cfg(api_6)]
impl<P: Plugin> Point<'_, P, WriteRegs> {
    /// Calls `f`; the vCPU goes on at the address that it returns, if it does.
    pub fn divert<F>(self, f: F)
    where
        F: Fn(&P, &Vcpu<'_, WriteRegs>) -> Option<u64> + Send + Sync + 'static,
    {
        const WRITE_REGS_AND_PC: c_uint = 3;
        let data = self.live.keep(f);
        self.register(execute_divert::<P, F>, WRITE_REGS_AND_PC, data);
    }
}

/// # Safety
///
/// Registered with a closure of this type, kept as long as the plugin, and with such access.
unsafe extern "C" fn execute<P: Plugin, A: Access, F: Fn(&P, &Vcpu<'_, A>)>(
    vcpu: c_uint,
    data: *mut c_void,
) {
    // SAFETY: as promised above, for the time of this callback.
    let (live, f, vcpu) = unsafe { (P::instance().live(), &*data.cast::<F>(), Vcpu::new(vcpu)) };
    f(&live.plugin, &vcpu);
}

/// # Safety
///
/// Registered with a word of this type, and with such access.
unsafe extern "C" fn execute_with<P: Plugin, A: Access, W: Word, F: Fn(&P, &Vcpu<'_, A>, W)>(
    vcpu: c_uint,
    data: *mut c_void,
) {
    // SAFETY: as promised above; the closure has no size, and there was one.
    let (live, f, vcpu, word) = unsafe {
        let f = NonNull::<F>::dangling().as_ref();
        (P::instance().live(), f, Vcpu::new(vcpu), W::from_word(data))
    };
    f(&live.plugin, &vcpu, word);
}

/// # Safety
///
/// As `execute`, with the right to change the program counter.
#[cfg(api_6)]
unsafe extern "C" fn execute_divert<P, F>(vcpu: c_uint, data: *mut c_void)
where
    P: Plugin,
    F: Fn(&P, &Vcpu<'_, WriteRegs>) -> Option<u64>,
{
    // SAFETY: as promised above, for the time of this callback.
    let (live, f, vcpu) = unsafe { (P::instance().live(), &*data.cast::<F>(), Vcpu::new(vcpu)) };
    if let Some(pc) = f(&live.plugin, &vcpu) {
        // SAFETY: nothing here needs to be dropped: the call does not come back.
        unsafe { sys::qemu_plugin_set_pc(pc) }
    }
}

/// After an instruction's memory accesses.
pub struct MemoryPoint<'b, P, A: Access = NoRegs> {
    insn: *mut sys::Insn,
    which: Rw,
    live: &'b Live<P>,
    access: PhantomData<A>,
}

impl<'b, P: Plugin> MemoryPoint<'b, P> {
    /// # Safety
    ///
    /// For the time in which the instruction's block is being translated.
    pub(crate) unsafe fn new(insn: *mut sys::Insn, which: Rw, live: &'b Live<P>) -> Self {
        MemoryPoint {
            insn,
            which,
            live,
            access: PhantomData,
        }
    }

    /// Adds to the vCPU's own number, without calling anybody.
    pub fn add(self, counter: Counter, value: u64) {
        self.inline(sys::INLINE_ADD, counter, value);
    }

    /// Sets the vCPU's own number, without calling anybody.
    pub fn store(self, counter: Counter, value: u64) {
        self.inline(sys::INLINE_STORE, counter, value);
    }

    fn inline(self, op: c_uint, counter: Counter, value: u64) {
        // SAFETY: the instruction is being translated; the counter's scoreboard is there as long as
        // code that uses it.
        unsafe {
            sys::qemu_plugin_register_vcpu_mem_inline_per_vcpu(
                self.insn,
                self.which as c_uint,
                op,
                counter.0,
                value,
            );
        }
    }

    /// The callback reads registers.
    pub fn reading(self) -> MemoryPoint<'b, P, ReadRegs> {
        self.with_access()
    }

    /// The callback reads and writes registers.
    pub fn writing(self) -> MemoryPoint<'b, P, WriteRegs> {
        self.with_access()
    }

    fn with_access<A: Access>(self) -> MemoryPoint<'b, P, A> {
        MemoryPoint {
            insn: self.insn,
            which: self.which,
            live: self.live,
            access: PhantomData,
        }
    }
}

impl<P: Plugin, A: Access> MemoryPoint<'_, P, A> {
    /// Calls `f`, which is kept as long as the plugin.
    pub fn call<F>(self, f: F)
    where
        F: Fn(&P, &Vcpu<'_, A>, &MemoryAccess<'_>) + Send + Sync + 'static,
    {
        let data = self.live.keep(f);
        self.register(accessed::<P, A, F>, data);
    }

    /// Calls `f` with a word. It must capture nothing.
    pub fn call_with<W, F>(self, word: W, f: F)
    where
        W: Word,
        F: Fn(&P, &Vcpu<'_, A>, &MemoryAccess<'_>, W) + Copy + Send + Sync + 'static,
    {
        const { assert!(size_of::<F>() == 0, "the word is all that is captured") };
        let _ = f;
        self.register(accessed_with::<P, A, W, F>, word.into_word());
    }

    fn register(&self, callback: sys::MemCb, data: *mut c_void) {
        let which = self.which as c_uint;
        // SAFETY: the instruction is being translated, and the callback is for this data.
        unsafe {
            sys::qemu_plugin_register_vcpu_mem_cb(self.insn, callback, A::FLAGS, which, data);
        }
    }
}

/// # Safety
///
/// Registered with a closure of this type, kept as long as the plugin, and with such access.
unsafe extern "C" fn accessed<P, A, F>(vcpu: c_uint, info: u32, address: u64, data: *mut c_void)
where
    P: Plugin,
    A: Access,
    F: Fn(&P, &Vcpu<'_, A>, &MemoryAccess<'_>),
{
    // SAFETY: as promised above, for the time of this callback.
    let (live, f, vcpu) = unsafe { (P::instance().live(), &*data.cast::<F>(), Vcpu::new(vcpu)) };
    // SAFETY: for the time of this callback.
    f(&live.plugin, &vcpu, &unsafe {
        MemoryAccess::new(info, address)
    });
}

/// # Safety
///
/// Registered with a word of this type, and with such access.
unsafe extern "C" fn accessed_with<P, A, W, F>(
    vcpu: c_uint,
    info: u32,
    address: u64,
    data: *mut c_void,
) where
    P: Plugin,
    A: Access,
    W: Word,
    F: Fn(&P, &Vcpu<'_, A>, &MemoryAccess<'_>, W),
{
    // SAFETY: as promised above; the closure has no size, and there was one.
    let (live, f, vcpu, word) = unsafe {
        let f = NonNull::<F>::dangling().as_ref();
        (P::instance().live(), f, Vcpu::new(vcpu), W::from_word(data))
    };
    // SAFETY: for the time of this callback.
    let access = unsafe { MemoryAccess::new(info, address) };
    f(&live.plugin, &vcpu, &access, word);
}
