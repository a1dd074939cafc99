//! What a block is found by.

use translate::Mode;

/// Number of an instrumentation set: which plugins' wishes a block was filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct SetId(pub u32);

impl SetId {
    /// The set of blocks without instrumentation.
    pub const EMPTY: SetId = SetId(0);
}

/// Identifies a translation: everything that the translator's result depends on besides the guest
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Guest pc of the entry.
    pub pc: u64,
    /// Which of the places is meant that a hart's pc may lead to, as its pages are mapped now; 0 for a
    /// program, whose pcs are places.
    pub page: u64,
    /// The static execution mode.
    pub mode: Mode,
    /// The instrumentation set.
    pub set: SetId,
}

impl Key {
    /// A key of the empty instrumentation set.
    pub fn plain(pc: u64, mode: Mode) -> Key {
        Key {
            pc,
            page: 0,
            mode,
            set: SetId::EMPTY,
        }
    }

    /// Whether execution may go from a block of this key to one of `other` without the run loop:
    /// they differ in nothing but the pc.
    pub fn chains_to(self, other: Key) -> bool {
        self.mode == other.mode && self.set == other.set && self.page == other.page
    }

    /// Well-mixed bits; all 64 may be used. In models the pc, so that they can choose collisions.
    #[inline]
    pub(crate) fn hash(self) -> u64 {
        if cfg!(hartscope_loom) {
            return self.pc;
        }
        let flags = u64::from(self.set.0) << 32 | u64::from(self.mode.0);
        // Fibonacci hashing of all words; the fold brings the good high bits down.
        let place = self
            .page
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (self.pc ^ place ^ flags.rotate_left(17).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ mixed >> 32
    }
}
