//! The page-table walk.
//!
//! 1. A walk reads entries with single loads of 64 bits, and changes one only by comparing and
//!    exchanging: another hart may do the same at the same time. If it finds that somebody has, it
//!    begins anew.
//! 2. What a walk gives is good for one access now, and for as long as nobody fences: a store needs the
//!    dirty bit, so a page is no more than readable until the first store to it.

use translate::tlb::PAGE_SIZE;
use translate::{Access, Cause, Privilege};

/// Bits of an entry.
mod pte {
    pub const V: u64 = 1 << 0;
    pub const R: u64 = 1 << 1;
    pub const W: u64 = 1 << 2;
    pub const X: u64 = 1 << 3;
    pub const U: u64 = 1 << 4;
    pub const G: u64 = 1 << 5;
    pub const A: u64 = 1 << 6;
    pub const D: u64 = 1 << 7;
    /// The physical page number: 44 bits.
    pub const PPN_SHIFT: u32 = 10;
    pub const PPN: u64 = (1 << 44) - 1;
    pub const RESERVED: u64 = 0x7f << 54;
    /// The memory type: two bits, of which 3 is reserved.
    pub const PBMT: u64 = 3 << 61;
    /// One of many entries of a contiguous region.
    pub const N: u64 = 1 << 63;
}

/// Bytes of an entry.
const PTE_SIZE: u64 = 8;

/// `satp`: where the page table is, and how many levels it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Satp(u64);

impl Satp {
    /// The value.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Writes it, unless its mode does not exist. Gives what has changed.
    pub fn write(&mut self, value: u64) -> SatpChange {
        let is_mode = matches!(value >> 60, 0 | 8 | 9 | 10);
        if !is_mode || value == self.0 {
            return SatpChange::None;
        }
        let old = std::mem::replace(&mut self.0, value);
        match old >> 60 == value >> 60 {
            true => SatpChange::Space,
            false => SatpChange::Mode,
        }
    }

    /// Levels of the table; `None` if addresses are physical.
    fn levels(self) -> Option<u32> {
        match self.0 >> 60 {
            0 => None,
            // 8 is Sv39, with three; Sv48 and Sv57 follow.
            mode => Some(mode as u32 - 5),
        }
    }

    fn root(self) -> u64 {
        (self.0 & pte::PPN) * PAGE_SIZE
    }
}

/// What a write to `satp` has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SatpChange {
    /// Nothing.
    None,
    /// The address space: what is global is the same in all of them.
    Space,
    /// How addresses are translated at all.
    Mode,
}

/// Physical memory, as far as it may hold page tables.
pub trait Tables {
    /// Loads the entry at a physical address; `None` if there is no memory, or it is closed.
    fn load(&self, paddr: u64) -> Option<u64>;
    /// Replaces an entry: `Some(false)` if it is not `old` (any more), `None` as for `load`.
    fn exchange(&self, paddr: u64, old: u64, new: u64) -> Option<bool>;
}

/// How addresses are translated at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Regime {
    /// Where the tables are.
    pub satp: Satp,
    /// Whose access it is.
    pub privilege: Privilege,
    /// Whether the supervisor may use pages of the user.
    pub sum: bool,
    /// Whether what is executable is readable.
    pub mxr: bool,
    /// Whether accessed and dirty bits are set, instead of faulting.
    pub updates_ad: bool,
    /// Whether entries may have memory types.
    pub memory_types: bool,
}

/// Where a page is, and what may be done there without walking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its physical address.
    pub page: u64,
    /// How many bytes around it are mapped by the same entry: at least those of the page.
    pub span: u64,
    /// Whether it is the same in all address spaces.
    pub global: bool,
    /// Whether it may be read.
    pub load: bool,
    /// Whether it may be written.
    pub store: bool,
}

/// An entry has changed while it was looked at.
struct Raced;

impl Regime {
    /// Whether virtual addresses are physical ones.
    pub fn is_bare(&self) -> bool {
        self.privilege == Privilege::Machine || self.satp.levels().is_none()
    }

    /// Translates the page of `addr`, for one access.
    pub fn walk(&self, tables: &impl Tables, addr: u64, access: Access) -> Result<Mapping, Cause> {
        let levels = match self.satp.levels() {
            Some(levels) if self.privilege != Privilege::Machine => levels,
            _ => {
                return Ok(Mapping {
                    page: addr & !(PAGE_SIZE - 1),
                    span: PAGE_SIZE,
                    global: true,
                    load: true,
                    store: true,
                });
            }
        };
        // All bits above the translated ones are as the highest of those.
        let unused = 64 - (12 + 9 * levels);
        if ((addr << unused) as i64 >> unused) as u64 != addr {
            return Err(Cause::Page);
        }
        loop {
            if let Ok(found) = self.descend(tables, levels, addr, access)? {
                return Ok(found);
            }
        }
    }

    fn descend(
        &self,
        tables: &impl Tables,
        levels: u32,
        addr: u64,
        access: Access,
    ) -> Result<Result<Mapping, Raced>, Cause> {
        let mut table = self.satp.root();
        for level in (0..levels).rev() {
            let index = addr >> (12 + 9 * level) & 511;
            let at = table + index * PTE_SIZE;
            let entry = tables.load(at).ok_or(Cause::Bus)?;
            if !self.is_valid(entry) {
                return Err(Cause::Page);
            }
            if entry & (pte::R | pte::X) != 0 {
                return self.leaf(tables, at, entry, level, addr, access);
            }
            let of_leaves = pte::A | pte::D | pte::U | pte::PBMT | pte::N;
            if entry & of_leaves != 0 {
                return Err(Cause::Page);
            }
            table = (entry >> pte::PPN_SHIFT & pte::PPN) * PAGE_SIZE;
        }
        Err(Cause::Page)
    }

    /// Whether an entry is none of the reserved ones.
    fn is_valid(&self, entry: u64) -> bool {
        let writes_only = entry & (pte::R | pte::W) == pte::W;
        let reserved_type = entry & pte::PBMT == pte::PBMT;
        let typed = entry & pte::PBMT != 0 && !self.memory_types;
        let reserved = entry & pte::RESERVED != 0;
        entry & pte::V != 0 && !writes_only && !reserved_type && !typed && !reserved
    }

    fn leaf(
        &self,
        tables: &impl Tables,
        at: u64,
        mut entry: u64,
        level: u32,
        addr: u64,
        access: Access,
    ) -> Result<Result<Mapping, Raced>, Cause> {
        let (page, span) = page_of(entry, level, addr).ok_or(Cause::Page)?;
        if !self.allows(entry, access) {
            return Err(Cause::Page);
        }
        let wanted = match access {
            Access::Store => pte::A | pte::D,
            _ => pte::A,
        };
        if entry & wanted != wanted {
            if !self.updates_ad {
                return Err(Cause::Page);
            }
            if !tables
                .exchange(at, entry, entry | wanted)
                .ok_or(Cause::Bus)?
            {
                return Ok(Err(Raced));
            }
            entry |= wanted;
        }
        Ok(Ok(Mapping {
            page,
            span,
            global: entry & pte::G != 0,
            load: self.allows(entry, Access::Load),
            store: entry & pte::D != 0 && self.allows(entry, Access::Store),
        }))
    }

    /// Whether a leaf lets such an access through.
    fn allows(&self, entry: u64, access: Access) -> bool {
        let of_user = entry & pte::U != 0;
        let owner = match self.privilege {
            Privilege::User => of_user,
            _ => !of_user || (self.sum && access != Access::Fetch),
        };
        let bits = match access {
            Access::Fetch => pte::X,
            Access::Load if self.mxr => pte::R | pte::X,
            Access::Load => pte::R,
            Access::Store => pte::W,
        };
        owner && entry & bits != 0
    }
}

/// The physical page that a leaf at `level` gives for `addr`, and how many bytes it maps; `None` if the
/// leaf is misaligned or reserved.
fn page_of(entry: u64, level: u32, addr: u64) -> Option<(u64, u64)> {
    let number = entry >> pte::PPN_SHIFT & pte::PPN;
    // The low bits of the page number, which come from the address: those of the lower levels, or
    // of a region of 64 KiB, the one size that there is.
    let (from_addr, expected) = match (entry & pte::N != 0, level) {
        (false, level) => ((1 << (9 * level)) - 1, 0),
        (true, 0) => (15, 8),
        (true, _) => return None,
    };
    if number & from_addr != expected {
        return None;
    }
    let low = (addr / PAGE_SIZE) & from_addr;
    let page = (number & !from_addr | low) * PAGE_SIZE;
    Some((page, (from_addr + 1) * PAGE_SIZE))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::*;
    use pte::{A, D, G, N, R, U, V, W, X};

    /// Page tables as a map, whose entries may change behind the walker's back.
    #[derive(Default)]
    struct Memory {
        entries: RefCell<BTreeMap<u64, u64>>,
        /// What another hart ORs to an entry just before the first exchange.
        interference: RefCell<Option<(u64, u64)>>,
    }

    impl Tables for Memory {
        fn load(&self, paddr: u64) -> Option<u64> {
            let end = 1 << 40;
            (paddr < end).then(|| self.entries.borrow().get(&paddr).copied().unwrap_or(0))
        }

        fn exchange(&self, paddr: u64, old: u64, new: u64) -> Option<bool> {
            let mut entries = self.entries.borrow_mut();
            if let Some((at, bits)) = self.interference.borrow_mut().take() {
                *entries.entry(at).or_default() |= bits;
            }
            let entry = entries.get_mut(&paddr)?;
            let matches = *entry == old;
            if matches {
                *entry = new;
            }
            Some(matches)
        }
    }

    const ROOT: u64 = 0x10_0000;

    fn leaf(page: u64, bits: u64) -> u64 {
        ((page / PAGE_SIZE) << 10) | bits
    }

    impl Memory {
        /// Maps `addr` at a level of a table with `levels` of them; gives the leaf's address.
        fn map(&self, levels: u32, level: u32, addr: u64, entry: u64) -> u64 {
            let mut table = ROOT;
            let mut entries = self.entries.borrow_mut();
            for at in (level + 1..levels).rev() {
                let slot = table + (addr >> (12 + 9 * at) & 511) * 8;
                let next = ROOT + (entries.len() as u64 + 1) * PAGE_SIZE;
                let found = *entries.entry(slot).or_insert(leaf(next, V));
                table = (found >> 10) * PAGE_SIZE;
            }
            let slot = table + (addr >> (12 + 9 * level) & 511) * 8;
            entries.insert(slot, entry);
            slot
        }

        fn entry(&self, at: u64) -> u64 {
            self.entries.borrow()[&at]
        }
    }

    fn regime(levels: u32, privilege: Privilege) -> Regime {
        let mut satp = Satp::default();
        let value = u64::from(levels + 5) << 60 | (ROOT / PAGE_SIZE);
        assert_eq!(satp.write(value), SatpChange::Mode);
        Regime {
            satp,
            privilege,
            sum: false,
            mxr: false,
            updates_ad: true,
            memory_types: false,
        }
    }

    /// What walking to a page with these bits gives, for fetch, load and store.
    fn outcomes(regime: &Regime, bits: u64) -> [bool; 3] {
        [Access::Fetch, Access::Load, Access::Store].map(|access| {
            let memory = Memory::default();
            memory.map(3, 0, 0x5000, leaf(0x8000_0000, bits));
            regime.walk(&memory, 0x5123, access).is_ok()
        })
    }

    #[test]
    fn every_mode_and_level_finds_its_page() {
        for levels in 3..=5 {
            for level in 0..levels {
                let regime = regime(levels, Privilege::Supervisor);
                let memory = Memory::default();
                // The highest page of the lower half, and the lowest of the upper one.
                let half = 1 << (12 + 9 * levels - 1);
                let span = PAGE_SIZE << (9 * level);
                for (addr, page) in [(half - 1, 2 * span), (!(half - 1), 3 * span)] {
                    memory.map(levels, level, addr, leaf(page, V | R | A));
                    let found = regime.walk(&memory, addr, Access::Load);
                    let expected = page + (addr & (span - 1) & !(PAGE_SIZE - 1));
                    let found = found.map(|m| (m.page, m.span));
                    assert_eq!(found, Ok((expected, span)), "{levels} {level}");
                }
                let beyond = regime.walk(&memory, half, Access::Load);
                assert_eq!(beyond, Err(Cause::Page), "not an extended sign");
            }
        }
    }

    #[test]
    fn the_machine_level_and_mode_bare_do_not_walk() {
        let memory = Memory::default();
        let mut regime = regime(3, Privilege::Machine);
        let addr = 0xffff_0000_8000_1234;
        assert!(regime.is_bare());
        let page = Mapping {
            page: addr & !0xfff,
            span: PAGE_SIZE,
            global: true,
            load: true,
            store: true,
        };
        assert_eq!(regime.walk(&memory, addr, Access::Store), Ok(page));
        (regime.privilege, regime.satp) = (Privilege::User, Satp::default());
        assert!(regime.is_bare());
        assert_eq!(regime.walk(&memory, addr, Access::Fetch), Ok(page));
    }

    #[test]
    fn permissions_are_those_of_the_entry() {
        let supervisor = regime(3, Privilege::Supervisor);
        let user = regime(3, Privilege::User);
        for (bits, expected) in [
            (R, [false, true, false]),
            (R | W, [false, true, true]),
            (X, [true, false, false]),
            (R | X, [true, true, false]),
            (R | W | X, [true, true, true]),
            (0, [false; 3]),
            // Reserved.
            (W, [false; 3]),
            (W | X, [false; 3]),
        ] {
            assert_eq!(
                outcomes(&supervisor, V | A | D | bits),
                expected,
                "{bits:#x}"
            );
            assert_eq!(outcomes(&user, V | A | D | U | bits), expected, "{bits:#x}");
            assert_eq!(outcomes(&user, V | A | D | bits), [false; 3]);
            assert_eq!(outcomes(&supervisor, A | D | bits), [false; 3], "not valid");
        }
    }

    #[test]
    fn the_supervisor_uses_pages_of_the_user_only_by_sum_and_never_runs_them() {
        let mut regime = regime(3, Privilege::Supervisor);
        let all = V | A | D | U | R | W | X;
        assert_eq!(outcomes(&regime, all), [false; 3]);
        regime.sum = true;
        assert_eq!(outcomes(&regime, all), [false, true, true]);
        assert_eq!(outcomes(&regime, all & !U), [true; 3]);
        regime.privilege = Privilege::User;
        assert_eq!(outcomes(&regime, all & !U), [false; 3]);
    }

    #[test]
    fn mxr_makes_what_is_executable_readable() {
        let mut regime = regime(3, Privilege::Supervisor);
        assert_eq!(outcomes(&regime, V | A | X), [true, false, false]);
        regime.mxr = true;
        assert_eq!(outcomes(&regime, V | A | X), [true, true, false]);
    }

    #[test]
    fn accessed_and_dirty_bits_are_set_as_they_are_needed() {
        let regime = regime(3, Privilege::Supervisor);
        for (access, set) in [
            (Access::Load, A),
            (Access::Fetch, A),
            (Access::Store, A | D),
        ] {
            let memory = Memory::default();
            let clean = leaf(0x8000_0000, V | R | W | X);
            let at = memory.map(3, 0, 0x5000, clean);
            let found = regime.walk(&memory, 0x5000, access).expect("a page");
            assert_eq!(memory.entry(at), clean | set);
            assert!(found.load);
            assert_eq!(
                found.store,
                access == Access::Store,
                "not before it is dirty"
            );
        }
    }

    #[test]
    fn without_updates_a_clear_bit_is_a_fault() {
        let regime = Regime {
            updates_ad: false,
            ..regime(3, Privilege::Supervisor)
        };
        let bits = V | R | W | X;
        assert_eq!(outcomes(&regime, bits), [false; 3]);
        assert_eq!(outcomes(&regime, bits | A), [true, true, false]);
        assert_eq!(outcomes(&regime, bits | A | D), [true; 3]);
    }

    #[test]
    fn an_entry_that_changes_meanwhile_is_looked_at_again() {
        let regime = regime(3, Privilege::Supervisor);
        let memory = Memory::default();
        let clean = leaf(0x8000_0000, V | R | W);
        let at = memory.map(3, 0, 0x5000, clean);
        *memory.interference.borrow_mut() = Some((at, A));
        assert!(regime.walk(&memory, 0x5000, Access::Store).is_ok());
        assert_eq!(memory.entry(at), clean | A | D);
        // Another hart unmaps: what was valid is reserved now.
        memory.entries.borrow_mut().insert(at, clean);
        *memory.interference.borrow_mut() = Some((at, 1 << 54));
        assert_eq!(
            regime.walk(&memory, 0x5000, Access::Store),
            Err(Cause::Page)
        );
        assert_eq!(memory.entry(at), clean | 1 << 54);
    }

    #[test]
    fn misaligned_and_reserved_entries_fault() {
        let regime = regime(3, Privilege::Supervisor);
        let good = V | R | A;
        for (level, entry) in [
            (1, leaf(0x8000_1000, good)),
            (2, leaf(0x8020_0000, good)),
            (0, leaf(0x8000_0000, good | 1 << 54)),
            (0, leaf(0x8000_0000, good | 1 << 61)),
            (0, leaf(0x8000_0000, good | N)),
            (0, leaf(0x8000_4000, good | N)),
            (1, leaf(0x8000_8000, good | N)),
            // Pointers at the lowest level, or with bits of leaves.
            (0, leaf(0x8000_0000, V)),
            (1, leaf(0x8000_0000, V | A)),
            (1, leaf(0x8000_0000, V | U)),
            (1, leaf(0x8000_0000, V | N)),
        ] {
            let memory = Memory::default();
            memory.map(3, level, 0x5000, entry);
            let found = regime.walk(&memory, 0x5000, Access::Load);
            assert_eq!(found, Err(Cause::Page), "{level} {entry:#x}");
        }
    }

    #[test]
    fn an_entry_of_a_contiguous_region_maps_by_the_address() {
        let regime = regime(3, Privilege::Supervisor);
        let memory = Memory::default();
        memory.map(3, 0, 0x2_5000, leaf(0x8000_8000, V | R | A | N));
        let found = regime.walk(&memory, 0x2_5678, Access::Load);
        assert_eq!(found.map(|m| (m.page, m.span)), Ok((0x8000_5000, 0x1_0000)));
    }

    #[test]
    fn memory_types_are_taken_if_they_are_on() {
        let regime = Regime {
            memory_types: true,
            ..regime(3, Privilege::Supervisor)
        };
        for (kind, ok) in [(0, true), (1, true), (2, true), (3, false)] {
            let memory = Memory::default();
            memory.map(3, 0, 0x5000, leaf(0x8000_0000, V | R | A | kind << 61));
            assert_eq!(
                regime.walk(&memory, 0x5000, Access::Load).is_ok(),
                ok,
                "{kind}"
            );
        }
    }

    #[test]
    fn what_is_global_is_said_to_be() {
        let regime = regime(3, Privilege::Supervisor);
        for bits in [0, G] {
            let memory = Memory::default();
            memory.map(3, 0, 0x5000, leaf(0x8000_0000, V | R | A | bits));
            let found = regime.walk(&memory, 0x5000, Access::Load);
            assert_eq!(found.map(|m| m.global), Ok(bits != 0));
        }
    }

    #[test]
    fn a_table_where_no_memory_is_is_an_access_fault() {
        let regime = regime(3, Privilege::Supervisor);
        let memory = Memory::default();
        memory.map(3, 2, 0x5000, leaf(1 << 40, V));
        assert_eq!(regime.walk(&memory, 0x5000, Access::Load), Err(Cause::Bus));
    }

    #[test]
    fn modes_that_do_not_exist_are_not_taken() {
        let mut satp = Satp::default();
        for mode in [1, 7, 11, 15] {
            assert_eq!(satp.write(mode << 60 | 1), SatpChange::None);
        }
        assert_eq!(satp.write(9 << 60 | 2), SatpChange::Mode);
        assert_eq!(satp.write(9 << 60 | 1), SatpChange::Space);
        assert_eq!(satp.write(9 << 60 | 1), SatpChange::None);
        assert_eq!(satp.bits(), 9 << 60 | 1);
    }
}
