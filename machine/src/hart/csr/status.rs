//! `mstatus`, of which `sstatus` is a part.

use translate::Privilege;

/// Supervisor interrupts are enabled.
pub const SIE: u64 = 1 << 1;
/// Machine interrupts are enabled.
pub const MIE: u64 = 1 << 3;
/// What [`SIE`] was before the trap.
pub const SPIE: u64 = 1 << 5;
/// What [`MIE`] was before the trap.
pub const MPIE: u64 = 1 << 7;
/// The privilege before a trap to the supervisor: one bit.
pub const SPP: u64 = 1 << 8;
/// The privilege before a trap to the machine level: two bits.
pub const MPP: u64 = 3 << MPP_SHIFT;
/// The state of the floating-point unit: two bits; 0 is off, 3 dirty.
pub const FS: u64 = 3 << 13;
/// Loads and stores are done with the privilege of [`MPP`].
pub const MPRV: u64 = 1 << 17;
/// The supervisor may use pages of the user.
pub const SUM: u64 = 1 << 18;
/// What is executable is readable.
pub const MXR: u64 = 1 << 19;
/// `satp` and `sfence.vma` are illegal to the supervisor.
pub const TVM: u64 = 1 << 20;
/// `wfi` is illegal to the supervisor.
pub const TW: u64 = 1 << 21;
/// `sret` is illegal to the supervisor.
pub const TSR: u64 = 1 << 22;
/// Something is dirty: a summary of [`FS`].
pub const SD: u64 = 1 << 63;

const MPP_SHIFT: u32 = 11;
/// User and supervisor have 64 bits, always.
const XLENS: u64 = 2 << 32 | 2 << 34;

/// The bits that the machine level may change.
const WRITABLE: u64 = SIE | MIE | SPIE | MPIE | SPP | MPP | FS | MPRV | SUM | MXR | TVM | TW | TSR;
/// Those of them that the supervisor sees and may change.
const SUPERVISOR: u64 = SIE | SPIE | SPP | FS | SUM | MXR;
/// What the supervisor sees besides: `SD` and `UXL`.
const SUPERVISOR_READS: u64 = SUPERVISOR | SD | 3 << 32;

/// The register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status(u64);

impl Status {
    /// The value of `mstatus`.
    pub fn machine(self) -> u64 {
        let sd = if self.fp_is_dirty() { SD } else { 0 };
        self.0 | XLENS | sd
    }

    /// The value of `sstatus`.
    pub fn supervisor(self) -> u64 {
        self.machine() & SUPERVISOR_READS
    }

    /// A write to `mstatus`: `MPP` keeps its value if the new one is none.
    pub fn set_machine(&mut self, value: u64) {
        let mut new = value & WRITABLE;
        if (new & MPP) >> MPP_SHIFT == 2 {
            new = new & !MPP | self.0 & MPP;
        }
        self.0 = new;
    }

    /// A write to `sstatus`.
    pub fn set_supervisor(&mut self, value: u64) {
        self.0 = self.0 & !SUPERVISOR | value & SUPERVISOR;
    }

    /// Whether any of these bits is set.
    pub fn is(self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    /// Sets these bits, or clears them.
    pub fn put(&mut self, bits: u64, on: bool) {
        self.0 = self.0 & !bits | if on { bits } else { 0 };
    }

    /// `MPP`.
    pub fn mpp(self) -> Privilege {
        match (self.0 & MPP) >> MPP_SHIFT {
            0 => Privilege::User,
            1 => Privilege::Supervisor,
            _ => Privilege::Machine,
        }
    }

    /// Sets `MPP`.
    pub fn set_mpp(&mut self, privilege: Privilege) {
        self.0 = self.0 & !MPP | (privilege as u64) << MPP_SHIFT;
    }

    /// `SPP`.
    pub fn spp(self) -> Privilege {
        match self.is(SPP) {
            false => Privilege::User,
            true => Privilege::Supervisor,
        }
    }

    /// Whether there is no floating point.
    pub fn fp_is_off(self) -> bool {
        !self.is(FS)
    }

    /// Whether the floating-point registers are known to have changed.
    pub fn fp_is_dirty(self) -> bool {
        self.0 & FS == FS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_manual_gives_can_be_written() {
        let mut status = Status::default();
        status.set_machine(u64::MAX);
        assert_eq!(status.machine(), 0x8000_000a_007e_79aa);
        assert_eq!(status.supervisor(), 0x8000_0002_000c_6122);
        status.set_machine(0);
        assert_eq!(status.machine(), 0xa_0000_0000);
        status.set_supervisor(u64::MAX);
        assert_eq!(status.machine(), 0x8000_000a_000c_6122);
    }

    #[test]
    fn the_supervisor_changes_nothing_of_the_machine() {
        let mut status = Status::default();
        status.set_machine(MIE | MPP | MPRV | TVM | SIE);
        status.set_supervisor(0);
        assert_eq!(status.machine(), 0xa_0000_0000 | MIE | MPP | MPRV | TVM);
    }

    #[test]
    fn a_privilege_that_does_not_exist_is_not_taken() {
        let mut status = Status::default();
        status.set_mpp(Privilege::Supervisor);
        status.set_machine(2 << 11 | MIE);
        assert_eq!(status.mpp(), Privilege::Supervisor);
        assert!(status.is(MIE));
    }

    #[test]
    fn the_summary_says_dirty_only() {
        let mut status = Status::default();
        for (fs, dirty) in [(0, false), (1, false), (2, false), (3, true)] {
            status.set_machine(fs << 13);
            assert_eq!(status.machine() >> 63 == 1, dirty);
            assert_eq!((status.fp_is_off(), status.fp_is_dirty()), (fs == 0, dirty));
        }
    }
}
