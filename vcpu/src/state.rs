//! A vCPU's state, shared with those who may interrupt it.
//!
//! 1. The vCPU alone uses the state, apart from `request`, an atomic that anybody who holds a
//!    [`Kicker`] may write.
//! 2. Kickers reach that field by a raw pointer, and never make a reference to the whole.
//! 3. The memory is that of the vCPU's number ([`scoreboard::Areas`]): a kicker that outlives its
//!    vCPU may reach the next one of that number, which then looks around for nothing.
//! 4. A request is data published before it and a bit set with Release; taking it is an Acquire.
//!    A bit set while the vCPU is not running stays set until it is taken: no request is lost.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, OnceLock};

use scoreboard::{Area, Areas};
use translate::CpuState;

use crate::latency::Recorder;

/// Somebody outside wants [`Stop::Request`](crate::Stop::Request).
pub(crate) const KICK: u32 = 1;

/// The engine wants the vCPU to pass a quiescent point soon.
pub(crate) const NUDGE: u32 = 2;

/// A state in memory that several hands have pointers to.
struct Shared {
    state: NonNull<CpuState>,
    /// Where to note when a request was made, and when it was taken; empty until that is wanted.
    latency: OnceLock<Arc<Recorder>>,
    /// Keeps the memory.
    _areas: Arc<Areas>,
}

// SAFETY: rules 1 and 2.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn request(&self) -> &AtomicU32 {
        // SAFETY: the state's memory lives as long as `self`; the field is an atomic.
        unsafe { &(*self.state.as_ptr()).request }
    }
}

/// The vCPU's own hand on its state, and the area that holds it.
pub(crate) struct OwnState {
    shared: Arc<Shared>,
    area: Area,
}

impl OwnState {
    /// A new state at the head of `area`.
    pub(crate) fn new(area: Area) -> OwnState {
        let state = area.head().cast::<CpuState>();
        // SAFETY: the head of an area is zero, ours alone, large enough (`engine::areas`) and aligned
        // to a page.
        unsafe {
            CpuState::init_zeroed(state);
            (*state).vcpu_index = area.index();
        }
        let shared = Shared {
            // SAFETY: an area begins at no null pointer.
            state: unsafe { NonNull::new_unchecked(state) },
            latency: OnceLock::new(),
            _areas: Arc::clone(area.areas()),
        };
        OwnState {
            shared: Arc::new(shared),
            area,
        }
    }

    /// The area.
    pub(crate) fn area(&self) -> &Area {
        &self.area
    }

    /// For generated code and signal handlers.
    pub(crate) fn as_ptr(&self) -> *mut CpuState {
        self.shared.state.as_ptr()
    }

    pub(crate) fn kicker(&self) -> Kicker {
        Kicker(Arc::clone(&self.shared))
    }

    /// Takes the pending requests.
    #[inline]
    pub(crate) fn take_requests(&self) -> u32 {
        let request = self.shared.request();
        if request.load(Relaxed) == 0 {
            return 0;
        }
        // Acquire: pairs with the Release in `Kicker::set`.
        let taken = request.swap(0, Acquire);
        if let Some(latency) = self.shared.latency.get() {
            latency.taken();
        }
        taken
    }

    /// Notes requests from now on.
    pub(crate) fn record(&self, latency: Arc<Recorder>) {
        let _ = self.shared.latency.set(latency);
    }
}

impl Deref for OwnState {
    type Target = CpuState;

    #[inline]
    fn deref(&self) -> &CpuState {
        // SAFETY: rule 1.
        unsafe { self.shared.state.as_ref() }
    }
}

impl DerefMut for OwnState {
    #[inline]
    fn deref_mut(&mut self) -> &mut CpuState {
        // SAFETY: rule 1; others only touch an atomic, by raw pointer.
        unsafe { &mut *self.shared.state.as_ptr() }
    }
}

/// Makes a vCPU's [`run`](crate::Vcpu::run) return [`Stop::Request`](crate::Stop::Request) soon.
///
/// A vCPU that is not running returns so at once when it runs next. Outlives the vCPU, and then does
/// nothing, or kicks in vain the vCPU that has its number.
#[derive(Clone)]
pub struct Kicker(Arc<Shared>);

impl Kicker {
    /// Kicks. May be called in a signal handler.
    #[inline]
    pub fn kick(&self) {
        self.set(KICK);
    }

    pub(crate) fn set(&self, bit: u32) {
        if let Some(latency) = self.0.latency.get() {
            latency.kicked();
        }
        // Release: pairs with the Acquire in `take_requests`.
        self.0.request().fetch_or(bit, Release);
    }

    /// Whether this kicks the vCPU of `state`.
    pub(crate) fn is_of(&self, state: &OwnState) -> bool {
        Arc::ptr_eq(&self.0, &state.shared)
    }
}
