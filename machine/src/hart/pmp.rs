//! Physical memory protection: which privilege may do what at which physical addresses.
//!
//! 1. The lowest entry that matches any byte of an access decides, and it must match all of them.
//! 2. What no entry matches is free to the machine level and closed to all others.
//! 3. The machine level heeds locked entries only.

use translate::{Access, Privilege};

/// How many entries there are.
pub const ENTRIES: usize = 16;

const R: u8 = 1 << 0;
const W: u8 = 1 << 1;
const X: u8 = 1 << 2;
/// How an entry matches: two bits.
const A: u8 = 3 << 3;
const TOR: u8 = 1 << 3;
const NA4: u8 = 2 << 3;
const NAPOT: u8 = 3 << 3;
const L: u8 = 1 << 7;

/// `pmpaddr` holds bits 2 to 55 of an address.
const ADDRESS: u64 = (1 << 54) - 1;

/// An entry that is on.
#[derive(Clone, Copy, Debug)]
struct Active {
    first: u64,
    /// The last byte.
    last: u64,
    config: u8,
}

/// What the entries say of some addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of them may be used so.
    Allowed,
    /// None of them.
    Denied,
    /// Not the same for all.
    Mixed,
}

/// The entries.
#[derive(Clone, Debug, Default)]
pub struct Pmp {
    config: [u8; ENTRIES],
    address: [u64; ENTRIES],
    /// Those that match anything, in order.
    active: Vec<Active>,
}

impl Pmp {
    /// The eight bytes of `pmpcfg0` (`first` = 0) or `pmpcfg2` (8).
    pub fn config(&self, first: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.config[first..first + 8]);
        u64::from_le_bytes(bytes)
    }

    /// Writes them: locked ones stay, and so do those that would be writable without being readable.
    pub fn set_config(&mut self, first: usize, value: u64) {
        for (at, new) in (first..).zip(value.to_le_bytes()) {
            let new = new & (R | W | X | A | L);
            if self.config[at] & L == 0 && new & (R | W) != W {
                self.config[at] = new;
            }
        }
        self.update();
    }

    /// `pmpaddr` of an entry.
    pub fn address(&self, entry: usize) -> u64 {
        self.address[entry]
    }

    /// Writes it, unless it is locked, or the lower bound of a locked range.
    pub fn set_address(&mut self, entry: usize, value: u64) {
        let bounds_locked = |next: &u8| next & (L | A) == L | TOR;
        let locked = self.config[entry] & L != 0;
        if locked || self.config.get(entry + 1).is_some_and(bounds_locked) {
            return;
        }
        self.address[entry] = value & ADDRESS;
        self.update();
    }

    /// What the entries say of `len` bytes at `addr`.
    pub fn check(&self, addr: u64, len: u64, access: Access, privilege: Privilege) -> Verdict {
        // At the end of the address space; nothing is there.
        let last = addr.saturating_add(len - 1);
        let hit = self
            .active
            .iter()
            .find(|entry| addr <= entry.last && last >= entry.first);
        let Some(entry) = hit else {
            return verdict(privilege == Privilege::Machine);
        };
        if addr < entry.first || last > entry.last {
            return Verdict::Mixed;
        }
        let wanted = match access {
            Access::Load => R,
            Access::Store => W,
            Access::Fetch => X,
        };
        let heeded = privilege != Privilege::Machine || entry.config & L != 0;
        verdict(!heeded || entry.config & wanted != 0)
    }

    fn update(&mut self) {
        self.active = (0..ENTRIES).filter_map(|at| self.active(at)).collect();
    }

    fn active(&self, at: usize) -> Option<Active> {
        let (config, address) = (self.config[at], self.address[at]);
        let (first, last) = match config & A {
            TOR => {
                let below = at.checked_sub(1).map_or(0, |below| self.address[below]);
                let last = (address << 2).checked_sub(1)?;
                (below << 2, last)
            }
            NA4 => (address << 2, address << 2 | 3),
            NAPOT => {
                // The ones at the end say how much, together with the zero above them.
                let ones = address ^ (address + 1);
                ((address & !ones) << 2, (address | ones) << 2 | 3)
            }
            _ => return None,
        };
        (first <= last).then_some(Active {
            first,
            last,
            config,
        })
    }
}

fn verdict(allowed: bool) -> Verdict {
    match allowed {
        true => Verdict::Allowed,
        false => Verdict::Denied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Privilege::{Machine, Supervisor, User};
    use Verdict::{Allowed, Denied, Mixed};

    fn pmp(entries: &[(u8, u64)]) -> Pmp {
        let mut pmp = Pmp::default();
        for (at, &(config, address)) in entries.iter().enumerate() {
            pmp.set_address(at, address);
            let shift = at % 8 * 8;
            let first = at / 8 * 8;
            let others = pmp.config(first) & !(0xff << shift);
            pmp.set_config(first, others | u64::from(config) << shift);
        }
        pmp
    }

    #[test]
    fn without_entries_only_the_machine_level_passes() {
        let pmp = Pmp::default();
        assert_eq!(pmp.check(0, 8, Access::Load, Machine), Allowed);
        assert_eq!(pmp.check(0, 8, Access::Load, Supervisor), Denied);
        assert_eq!(pmp.check(u64::MAX - 1, 8, Access::Load, User), Denied);
    }

    #[test]
    fn all_ones_match_everything() {
        let pmp = pmp(&[(NAPOT | R | X, u64::MAX)]);
        assert_eq!(pmp.check(0, 4096, Access::Load, User), Allowed);
        assert_eq!(pmp.check((1 << 56) - 8, 8, Access::Fetch, User), Allowed);
        assert_eq!(pmp.check(0x8000_0000, 8, Access::Store, User), Denied);
        assert_eq!(pmp.check(0x8000_0000, 8, Access::Store, Machine), Allowed);
    }

    #[test]
    fn each_kind_of_matching_has_its_bounds() {
        // 32 bytes at 0x1000; 4 at 0x2000; 0x2004 up to 0x3000.
        let pmp = pmp(&[
            (NAPOT | R, 0x1000 >> 2 | 3),
            (NA4 | R, 0x2000 >> 2),
            (0, 0x2004 >> 2),
            (TOR | R, 0x3000 >> 2),
        ]);
        for (addr, len, verdict) in [
            (0xff8, 8, Denied),
            (0xffc, 8, Mixed),
            (0x1000, 8, Allowed),
            (0x1018, 8, Allowed),
            (0x101c, 8, Mixed),
            (0x1020, 8, Denied),
            (0x2000, 4, Allowed),
            (0x2000, 8, Mixed),
            (0x2004, 8, Allowed),
            (0x2ff8, 8, Allowed),
            (0x3000, 1, Denied),
            (0x2000, 4096, Mixed),
        ] {
            let found = pmp.check(addr, len, Access::Load, Supervisor);
            assert_eq!(found, verdict, "{len} bytes at {addr:#x}");
        }
    }

    #[test]
    fn the_first_match_decides() {
        let pmp = pmp(&[(NAPOT, 0x1000 >> 2 | 0x1ff), (NAPOT | R, u64::MAX)]);
        assert_eq!(pmp.check(0x1800, 8, Access::Load, User), Denied);
        assert_eq!(pmp.check(0x2800, 8, Access::Load, User), Allowed);
        assert_eq!(pmp.check(0x1800, 8, Access::Load, Machine), Allowed);
    }

    #[test]
    fn a_locked_entry_binds_the_machine_level_and_cannot_change() {
        let mut pmp = pmp(&[(0, 0x1000 >> 2), (TOR | R | L, 0x2000 >> 2)]);
        assert_eq!(pmp.check(0x1000, 8, Access::Load, Machine), Allowed);
        assert_eq!(pmp.check(0x1000, 8, Access::Store, Machine), Denied);
        pmp.set_config(0, 0);
        pmp.set_address(0, 0);
        pmp.set_address(1, 0);
        assert_eq!(pmp.config(0), u64::from(TOR | R | L) << 8);
        assert_eq!((pmp.address(0), pmp.address(1)), (0x400, 0x800));
    }

    #[test]
    fn writable_without_readable_is_not_taken() {
        let mut pmp = pmp(&[(NAPOT | R | W, 7)]);
        pmp.set_config(0, u64::from(NAPOT | W) | 0x60 << 8);
        assert_eq!(pmp.config(0), u64::from(NAPOT | R | W));
        pmp.set_address(3, u64::MAX);
        assert_eq!(pmp.address(3), (1 << 54) - 1);
    }
}
