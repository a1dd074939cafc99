//! Scoreboards: an element for each vCPU, where no two vCPUs meet.

use std::ffi::c_uint;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::instance;
use crate::sys;
use crate::vcpu::{Access, InCallback, Vcpu};

/// What an element of a scoreboard can be. [`elements!`](crate::elements) makes structures of them.
///
/// # Safety
///
/// All bytes zero is a value, nothing is to be done when one is dropped, and the type is aligned to
/// at most 8 bytes.
pub unsafe trait Element: Sync + 'static {}

// SAFETY: numbers.
unsafe impl Element for U64 {}
// SAFETY: as above.
unsafe impl Element for AtomicU8 {}
// SAFETY: as above.
unsafe impl Element for AtomicU16 {}
// SAFETY: as above.
unsafe impl Element for AtomicU32 {}
// SAFETY: as above.
unsafe impl Element for AtomicU64 {}
// SAFETY: null is a pointer.
unsafe impl<T: 'static> Element for AtomicPtr<T> {}
// SAFETY: by each one's own promise.
unsafe impl<T: Element, const N: usize> Element for [T; N] {}

/// A number in an element. Its own vCPU writes it, any may read it: adding is a load and a store, not
/// one locked instruction.
#[derive(Default)]
#[repr(transparent)]
pub struct U64(AtomicU64);

impl U64 {
    /// Its value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Gives it a value.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// Adds to it. Only the vCPU whose element it is in may do so, or additions are lost.
    #[inline]
    pub fn add(&self, value: u64) {
        self.set(self.get().wrapping_add(value));
    }
}

/// Defines structures that can be elements of a scoreboard: all their fields can be.
///
/// ```
/// # use hartscope_plugin::{U64, elements};
/// elements! {
///     struct Counts { reads: U64, writes: U64 }
/// }
/// ```
#[macro_export]
macro_rules! elements {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty),* $(,)?
    })*) => {$(
        $(#[$meta])*
        $vis struct $name { $($(#[$field_meta])* $field_vis $field: $type),* }

        // SAFETY: each field is an element, as the compiler checks below.
        unsafe impl $crate::Element for $name {}

        const _: () = {
            const fn is_element<T: $crate::Element>() {}
            $(is_element::<$type>();)*
        };
    )*};
}

/// An element of type `T` for each vCPU, zero at first.
///
/// It is given back to the emulator after the plugin is dropped: translated code may use it as long.
pub struct Scoreboard<T: Element> {
    raw: *mut sys::RawBoard,
    elements: PhantomData<T>,
}

// SAFETY: elements are `Sync`, and finding one is allowed on each thread.
unsafe impl<T: Element> Send for Scoreboard<T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for Scoreboard<T> {}

impl<T: Element> Scoreboard<T> {
    /// A new one.
    pub fn new() -> Scoreboard<T> {
        const {
            assert!(size_of::<T>() > 0 && align_of::<T>() <= 8 && !std::mem::needs_drop::<T>());
        }
        // SAFETY: always allowed.
        let raw = unsafe { sys::qemu_plugin_scoreboard_new(size_of::<T>()) };
        assert!(!raw.is_null(), "the emulator gave no scoreboard");
        instance::owns_board(raw);
        Scoreboard {
            raw,
            elements: PhantomData,
        }
    }

    /// The vCPU's own element.
    #[inline]
    pub fn of<'cb, A: Access>(&'cb self, cpu: &'cb Vcpu<'_, A>) -> &'cb T {
        self.element(cpu.index())
    }

    /// The elements of all vCPUs that there have been, by number. Their vCPUs may be running.
    pub fn all<'cb>(&'cb self, _: &'cb impl InCallback) -> impl Iterator<Item = &'cb T> {
        // SAFETY: always allowed.
        let count = unsafe { sys::qemu_plugin_num_vcpus() };
        (0..count as u32).map(|index| self.element(index))
    }

    /// A number within the elements: `|element| &element.field`.
    pub fn counter(&self, field: impl Fn(&T) -> &U64) -> Counter {
        let element = MaybeUninit::<T>::zeroed();
        // SAFETY: zero is a value.
        let element = unsafe { element.assume_init_ref() };
        let offset = std::ptr::from_ref(field(element))
            .addr()
            .wrapping_sub(std::ptr::from_ref(element).addr());
        assert!(
            offset <= size_of::<T>() - size_of::<U64>(),
            "a counter is a part of the element"
        );
        Counter(sys::U64 {
            score: self.raw,
            offset,
        })
    }

    /// Valid in the callback in which it is called: emulators may move elements in between.
    #[inline]
    fn element(&self, index: c_uint) -> &T {
        // SAFETY: an element is there for each vCPU, zeroed at first and of this type.
        unsafe {
            let element = sys::qemu_plugin_scoreboard_find(self.raw, index);
            &*element.cast::<T>()
        }
    }
}

impl<T: Element> Default for Scoreboard<T> {
    fn default() -> Self {
        Scoreboard::new()
    }
}

/// A number for each vCPU, that translated code can add to by itself. A copy is the same number.
#[derive(Clone, Copy)]
pub struct Counter(pub(crate) sys::U64);

// SAFETY: as a scoreboard.
unsafe impl Send for Counter {}
// SAFETY: as a scoreboard.
unsafe impl Sync for Counter {}

impl Counter {
    /// A new one, with a scoreboard of its own. For many of them, see [`Counters`](crate::Counters).
    pub fn new() -> Counter {
        Scoreboard::<U64>::new().counter(|element| element)
    }

    /// The vCPU's own number.
    #[inline]
    pub fn of<'cb, A: Access>(self, cpu: &'cb Vcpu<'_, A>) -> &'cb U64 {
        // SAFETY: as `Scoreboard::element`; the offset is of a `U64` within it.
        unsafe {
            let element = sys::qemu_plugin_scoreboard_find(self.0.score, cpu.index());
            &*element.byte_add(self.0.offset).cast::<U64>()
        }
    }

    /// The number of a vCPU; 0 if there has been none of that index.
    pub fn get(self, _: &impl InCallback, index: u32) -> u64 {
        // SAFETY: always allowed, and then asked only for a vCPU that has been.
        unsafe {
            match i64::from(index) < i64::from(sys::qemu_plugin_num_vcpus()) {
                true => sys::qemu_plugin_u64_get(self.0, index),
                false => 0,
            }
        }
    }

    /// Over all vCPUs that there have been.
    pub fn sum(self, _: &impl InCallback) -> u64 {
        // SAFETY: a number of a scoreboard that is there as long as the plugin.
        unsafe { sys::qemu_plugin_u64_sum(self.0) }
    }
}

impl Default for Counter {
    fn default() -> Counter {
        Counter::new()
    }
}
