//! Memory as a hart sees it: virtual addresses, translated, checked, and led to memory or to a device.
//!
//! 1. There is a table of known pages for each way of translating data accesses; the one in force is
//!    what generated code probes ([`CpuState::tlb`]). A table is emptied whenever what it says might not
//!    hold any more: after fences, with another address space, with other protection.
//! 2. Only pages of memory are in it, whose every byte may be used so. All others go the slow way each
//!    time.
//! 3. The host address of a page is in the view for harts, whose pages with translated code are
//!    write-protected. A store that faults for that is told to [`Ram`], and tried again.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Acquire;

use tb_cache::CodePages;
use translate::ops::Size;
use translate::tlb::{PAGE_SIZE, Tlb, TlbPage, TlbView};
use translate::{Access, Cause, Fault, Privilege};
use vcpu::Place;
use vcpu::guarded::{self, HostFault};

use super::mmu::{Mapping, Regime, Tables};
use super::pmp::{Pmp, Verdict};
use crate::bus::Bus;
use crate::ram::Ram;

/// Physical memory and devices.
#[derive(Clone)]
pub struct Physical {
    /// The memory.
    pub ram: Arc<Ram>,
    /// The devices.
    pub bus: Arc<Bus>,
}

/// Ways of translating data accesses that have tables of their own. (That what is executable can be
/// read is so rare that all those share one.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Machine,
    User,
    Supervisor,
    SupervisorSum,
    Mxr,
}

const TABLES: usize = Table::Mxr as usize + 1;

/// What is known of how addresses translate.
pub struct Translations {
    /// How data accesses translate now.
    data: Regime,
    tlbs: [Tlb; TABLES],
    table: Table,
    /// Where code is, by level.
    fetches: [Fetches; LEVELS],
    /// Whether anything that is known to the supervisor by itself (without `SUM`) is not the same in all
    /// address spaces. For a kernel it is, as a rule: then that outlives a change of address space.
    has_local: bool,
    /// Where entries that map more than a page have been met: what the supervisor knows by itself, and all
    /// else; in the lower half of the addresses, and in the upper. A fence for one page of such an entry
    /// is for all.
    large: [[Span; 2]; 2],
}

/// The levels at which jump targets have been forgotten, as what they stand for was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgotten {
    user: bool,
    supervisor: bool,
    machine: bool,
}

impl Forgotten {
    /// The levels.
    pub fn levels(self) -> impl Iterator<Item = Privilege> {
        let levels = [
            (self.user, Privilege::User),
            (self.supervisor, Privilege::Supervisor),
            (self.machine, Privilege::Machine),
        ];
        let forgotten = levels.into_iter().filter(|level| level.0);
        forgotten.map(|level| level.1)
    }
}

const LEVELS: usize = 3;

fn level(privilege: Privilege) -> usize {
    match privilege {
        Privilege::User => 0,
        Privilege::Supervisor => 1,
        Privilege::Machine => 2,
    }
}

/// Addresses from the first to the last.
#[derive(Clone, Copy)]
struct Span(u64, u64);

impl Span {
    const NONE: Span = Span(u64::MAX, 0);

    fn holds(self, addr: u64) -> bool {
        self.0 <= addr && addr <= self.1
    }

    fn add(&mut self, first: u64, last: u64) {
        *self = Span(self.0.min(first), self.1.max(last));
    }
}

impl Translations {
    /// Knows nothing, and translates by `data`.
    pub fn new(data: Regime) -> Translations {
        Translations {
            table: table_of(&data),
            data,
            tlbs: std::array::from_fn(|_| Tlb::new()),
            fetches: std::array::from_fn(|_| Fetches::new()),
            has_local: false,
            large: [[Span::NONE; 2]; 2],
        }
    }

    /// Data accesses translate by `data` from now on. What is known of the same address space stays so.
    pub fn set_data(&mut self, data: Regime) {
        let table = table_of(&data);
        let same = self.data.privilege == data.privilege && self.data.sum == data.sum;
        if table == Table::Mxr && !(self.table == Table::Mxr && same) {
            self.tlbs[Table::Mxr as usize].flush();
        }
        self.table = table;
        self.data = data;
    }

    /// What generated code probes. Good until something is forgotten.
    pub fn view(&self) -> TlbView {
        self.tlb().view()
    }

    /// Forgets what was known of virtual addresses.
    #[must_use]
    pub fn forget_address_spaces(&mut self) -> Forgotten {
        self.tlbs[Table::Supervisor as usize].flush();
        self.fetches[level(Privilege::Supervisor)].forget();
        self.large[SUPERVISOR] = [Span::NONE; 2];
        self.has_local = false;
        Forgotten {
            supervisor: true,
            ..self.forget_users()
        }
    }

    /// Forgets what was known of virtual addresses and is not the same in all address spaces.
    #[must_use]
    pub fn forget_address_space(&mut self) -> Forgotten {
        match self.has_local {
            true => self.forget_address_spaces(),
            false => self.forget_users(),
        }
    }

    /// Forgets what was known of the page of one virtual address.
    #[must_use]
    pub fn forget_page(&mut self, addr: u64) -> Forgotten {
        if self.large.iter().any(|spans| spans[half(addr)].holds(addr)) {
            return self.forget_address_spaces();
        }
        for table in USERS.into_iter().chain([Table::Supervisor]) {
            self.tlbs[table as usize].flush_page(addr);
        }
        let mut forget_code = |privilege| {
            let fetches = &mut self.fetches[level(privilege)];
            let had_code = fetches.may_have(addr);
            if had_code {
                fetches.forget();
            }
            had_code
        };
        Forgotten {
            user: forget_code(Privilege::User),
            supervisor: forget_code(Privilege::Supervisor),
            machine: false,
        }
    }

    /// Forgets all.
    #[must_use]
    pub fn forget_all(&mut self) -> Forgotten {
        self.tlbs[Table::Machine as usize].flush();
        self.fetches[level(Privilege::Machine)].forget();
        Forgotten {
            machine: true,
            ..self.forget_address_spaces()
        }
    }

    /// Forgets all but what a level above the user knows by itself.
    fn forget_users(&mut self) -> Forgotten {
        for table in USERS {
            self.tlbs[table as usize].flush();
        }
        self.fetches[level(Privilege::User)].forget();
        self.large[OTHERS] = [Span::NONE; 2];
        Forgotten {
            user: true,
            ..Forgotten::default()
        }
    }

    /// To be called for all that is put into a table, or among the fetches of a level.
    fn note(&mut self, addr: u64, mapping: &Mapping, of_supervisor: bool) {
        if of_supervisor && !mapping.global {
            self.has_local = true;
        }
        let span = mapping.span;
        if span != PAGE_SIZE {
            let kind = if of_supervisor { SUPERVISOR } else { OTHERS };
            self.large[kind][half(addr)].add(addr & !(span - 1), addr | (span - 1));
        }
    }

    fn tlb(&self) -> &Tlb {
        &self.tlbs[self.table as usize]
    }

    fn tlb_mut(&mut self) -> &mut Tlb {
        &mut self.tlbs[self.table as usize]
    }
}

/// The tables that hold pages of users, or may.
const USERS: [Table; 3] = [Table::User, Table::SupervisorSum, Table::Mxr];

/// Indices of `Translations::large`.
const SUPERVISOR: usize = 0;
const OTHERS: usize = 1;

fn half(addr: u64) -> usize {
    (addr >> 63) as usize
}

fn table_of(regime: &Regime) -> Table {
    match (regime.privilege, regime.sum) {
        (Privilege::Machine, _) => Table::Machine,
        _ if regime.mxr => Table::Mxr,
        (Privilege::User, _) => Table::User,
        (Privilege::Supervisor, false) => Table::Supervisor,
        (Privilege::Supervisor, true) => Table::SupervisorSum,
    }
}

/// Where code is that has been fetched before at one level.
struct Fetches {
    slots: Box<[Fetch; FETCHES]>,
    /// Pages that code may have been fetched from, by a hash of their number: at least those that the
    /// vCPU's jump caches know, as all that they know was located once.
    seen: Box<[u64; SEEN / 64]>,
}

const FETCHES: usize = 256;
/// Bits of the filter.
const SEEN: usize = 4096;

#[derive(Clone, Copy)]
struct Fetch {
    /// The page's address.
    tag: u64,
    page: u64,
}

impl Fetches {
    /// No page begins there.
    const NOTHING: Fetch = Fetch { tag: 1, page: 0 };

    fn new() -> Fetches {
        Fetches {
            slots: Box::new([Fetches::NOTHING; FETCHES]),
            seen: Box::new([0; SEEN / 64]),
        }
    }

    fn forget(&mut self) {
        self.slots.fill(Fetches::NOTHING);
        self.seen.fill(0);
    }

    /// Where the page is that begins at `tag`.
    fn find(&self, tag: u64) -> Option<u64> {
        let slot = self.slots[Fetches::slot(tag)];
        (slot.tag == tag).then_some(slot.page)
    }

    fn insert(&mut self, tag: u64, page: u64) {
        self.slots[Fetches::slot(tag)] = Fetch { tag, page };
        let (word, bit) = Fetches::filter(tag);
        self.seen[word] |= bit;
    }

    /// Whether code may have been fetched from the page of `addr`.
    fn may_have(&self, addr: u64) -> bool {
        let (word, bit) = Fetches::filter(addr);
        self.seen[word] & bit != 0
    }

    fn slot(tag: u64) -> usize {
        (tag / PAGE_SIZE) as usize % FETCHES
    }

    fn filter(addr: u64) -> (usize, u64) {
        let hash = (addr / PAGE_SIZE).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
        (hash as usize / 64, 1 << (hash % 64))
    }
}

/// A hart's memory at one moment.
pub struct View<'a> {
    /// What is there.
    pub physical: &'a Physical,
    /// What may be used.
    pub pmp: &'a Pmp,
    /// What is known.
    pub known: &'a mut Translations,
}

/// What an access comes to.
enum Target {
    /// Bytes on the host.
    Host(*mut u8),
    /// A physical address that is not known to be memory.
    Device(u64),
}

impl View<'_> {
    /// Loads, zero-extended.
    #[inline]
    pub fn load(&mut self, addr: u64, size: Size) -> Result<u64, Fault> {
        match self.known.tlb().find_load(addr, size) {
            // SAFETY: the table holds addresses of guest memory only.
            Some(host) => unsafe { guarded::load(host_addr(host), size) }
                .map_err(|_| fault(addr, Access::Load, Cause::Bus)),
            None => self.load_slowly(addr, size),
        }
    }

    /// Stores the low `size` bytes.
    #[inline]
    pub fn store(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Fault> {
        match self.known.tlb().find_store(addr, size) {
            Some(host) => self.store_to(host, addr, size, value),
            None => self.store_slowly(addr, size, value),
        }
    }

    /// Stores `new` into an aligned word if it holds `expected`; gives what it held.
    pub fn compare_exchange(
        &mut self,
        addr: u64,
        size: Size,
        expected: u64,
        new: u64,
    ) -> Result<u64, Fault> {
        let known = self.known.tlb().find_store(addr, size);
        let target = match known {
            Some(host) => Target::Host(host),
            None => self.target(addr, size, Access::Store)?,
        };
        let Target::Host(host) = target else {
            // Devices have no atomic accesses.
            return Err(fault(addr, Access::Store, Cause::Bus));
        };
        let done = written(&self.physical.ram, host, || {
            // SAFETY: as for `load`.
            unsafe { guarded::compare_exchange(host_addr(host), size, expected, new) }
        });
        done.map_err(|_| fault(addr, Access::Store, Cause::Bus))
    }

    /// Where the code at `pc` lies, for a level that translates by `regime`.
    #[inline]
    pub fn locate(&mut self, pc: u64, regime: &Regime) -> Result<Place, Fault> {
        let page = self.code_page(pc, regime)?;
        let mut next = 0;
        if Place::straddles(pc) {
            let mut low = [0; 2];
            self.physical.fetch(page + pc % PAGE_SIZE, &mut low);
            if riscv::insn_len(u16::from_le_bytes(low)) > low.len() {
                next = self.code_page(pc.wrapping_add(2), regime)?;
            }
        }
        Ok(Place { page, next })
    }

    fn code_page(&mut self, pc: u64, regime: &Regime) -> Result<u64, Fault> {
        let tag = pc & !(PAGE_SIZE - 1);
        let level = level(regime.privilege);
        if let Some(page) = self.known.fetches[level].find(tag) {
            return Ok(page);
        }
        let page = self.find_code_page(pc, regime)?;
        self.known.fetches[level].insert(tag, page);
        Ok(page)
    }

    fn find_code_page(&mut self, pc: u64, regime: &Regime) -> Result<u64, Fault> {
        let failed = |cause| fault(pc, Access::Fetch, cause);
        let mapping = self.walk(regime, pc, Access::Fetch).map_err(failed)?;
        let of_supervisor = regime.privilege == Privilege::Supervisor;
        self.known.note(pc, &mapping, of_supervisor);
        let page = mapping.page;
        let verdict = self
            .pmp
            .check(page, PAGE_SIZE, Access::Fetch, regime.privilege);
        // Code is translated by the page: one that is closed in part is closed.
        match self.physical.ram.host(page) {
            Some(_) if verdict == Verdict::Allowed => Ok(page),
            _ => Err(failed(Cause::Bus)),
        }
    }

    #[cold]
    fn load_slowly(&mut self, addr: u64, size: Size) -> Result<u64, Fault> {
        if crosses_page(addr, size) {
            return self.load_bytes(addr, size);
        }
        let failed = fault(addr, Access::Load, Cause::Bus);
        match self.target(addr, size, Access::Load)? {
            Target::Host(host) => {
                // SAFETY: as for `load`.
                let loaded = unsafe { guarded::load(host_addr(host), size) };
                loaded.map_err(|_| failed)
            }
            Target::Device(paddr) => self.physical.bus.load(paddr, size).ok_or(failed),
        }
    }

    #[cold]
    fn store_slowly(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Fault> {
        if crosses_page(addr, size) {
            return self.store_bytes(addr, size, value);
        }
        match self.target(addr, size, Access::Store)? {
            Target::Host(host) => self.store_to(host, addr, size, value),
            Target::Device(paddr) => {
                let done = self.physical.bus.store(paddr, size, value);
                done.ok_or(fault(addr, Access::Store, Cause::Bus))
            }
        }
    }

    /// An access that begins in one page and ends in the next.
    fn load_bytes(&mut self, addr: u64, size: Size) -> Result<u64, Fault> {
        let mut value = 0;
        for at in 0..size.bytes() {
            value |= self.load(addr.wrapping_add(at), Size::B1)? << (8 * at);
        }
        Ok(value)
    }

    /// Nothing is stored unless all can be.
    fn store_bytes(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Fault> {
        let second = addr.wrapping_add(size.bytes()) & !(PAGE_SIZE - 1);
        for part in [addr, second] {
            self.target(part, Size::B1, Access::Store)?;
        }
        for at in 0..size.bytes() {
            self.store(addr.wrapping_add(at), Size::B1, value >> (8 * at))?;
        }
        Ok(())
    }

    /// Where an access within one page leads; what is found out about the page is kept.
    fn target(&mut self, addr: u64, size: Size, access: Access) -> Result<Target, Fault> {
        let regime = self.known.data;
        let mapping = self
            .walk(&regime, addr, access)
            .map_err(|cause| fault(addr, access, cause))?;
        let paddr = mapping.page + addr % PAGE_SIZE;
        let verdict = self
            .pmp
            .check(paddr, size.bytes(), access, regime.privilege);
        if verdict != Verdict::Allowed {
            return Err(fault(addr, access, Cause::Bus));
        }
        let Some(host) = self.physical.ram.host(paddr) else {
            return Ok(Target::Device(paddr));
        };
        self.remember(
            addr,
            &mapping,
            host.wrapping_sub((addr % PAGE_SIZE) as usize),
        );
        Ok(Target::Host(host))
    }

    /// Puts a page of memory into the table, if it is the same all over.
    fn remember(&mut self, addr: u64, mapping: &Mapping, host: *mut u8) {
        let allowed = |access| {
            let privilege = self.known.data.privilege;
            self.pmp.check(mapping.page, PAGE_SIZE, access, privilege) == Verdict::Allowed
        };
        let page = TlbPage {
            host,
            load: mapping.load && allowed(Access::Load),
            store: mapping.store && allowed(Access::Store),
        };
        if page.load || page.store {
            let of_supervisor = self.known.table == Table::Supervisor;
            self.known.note(addr, mapping, of_supervisor);
            self.known.tlb_mut().insert(addr, page);
        }
    }

    fn walk(&self, regime: &Regime, addr: u64, access: Access) -> Result<Mapping, Cause> {
        let tables = Checked {
            physical: self.physical,
            pmp: self.pmp,
        };
        regime.walk(&tables, addr, access)
    }

    fn store_to(&self, host: *mut u8, addr: u64, size: Size, value: u64) -> Result<(), Fault> {
        let done = written(&self.physical.ram, host, || {
            // SAFETY: as for `load`.
            unsafe { guarded::store(host_addr(host), size, value) }
        });
        done.map_err(|_| fault(addr, Access::Store, Cause::Bus))
    }
}

/// Writes, again if need be, because the page holds translated code.
fn written<R>(
    ram: &Ram,
    host: *mut u8,
    write: impl Fn() -> Result<R, HostFault>,
) -> Result<R, HostFault> {
    loop {
        match write() {
            Err(_) if ram.write_fault(host_addr(host)) => {}
            done => return done,
        }
    }
}

fn crosses_page(addr: u64, size: Size) -> bool {
    addr % PAGE_SIZE > PAGE_SIZE - size.bytes()
}

fn host_addr(host: *mut u8) -> u64 {
    host.expose_provenance() as u64
}

fn fault(addr: u64, access: Access, cause: Cause) -> Fault {
    Fault {
        addr,
        access,
        cause,
    }
}

impl Physical {
    /// Copies what memory holds; gives how many bytes there are.
    pub fn fetch(&self, paddr: u64, bytes: &mut [u8]) -> usize {
        translate::GuestCode::fetch(&*self.ram, paddr, bytes)
    }
}

/// Page tables, as far as the supervisor could read them.
struct Checked<'a> {
    physical: &'a Physical,
    pmp: &'a Pmp,
}

impl Checked<'_> {
    /// The entry at a physical address, which is a multiple of its size.
    fn entry(&self, paddr: u64, access: Access) -> Option<*mut u8> {
        match self.pmp.check(paddr, 8, access, Privilege::Supervisor) {
            Verdict::Allowed => self.physical.ram.host(paddr),
            _ => None,
        }
    }
}

impl Tables for Checked<'_> {
    fn load(&self, paddr: u64) -> Option<u64> {
        let entry = self.entry(paddr, Access::Load)?;
        // SAFETY: aligned memory of the guest, which is mapped as long as `Ram` is, readable, and
        // accessed as atomics by whoever of us does.
        let entry = unsafe { AtomicU64::from_ptr(entry.cast()) };
        // Acquire: what was written before the entry is there (the next table).
        Some(entry.load(Acquire))
    }

    fn exchange(&self, paddr: u64, old: u64, new: u64) -> Option<bool> {
        let host = self.entry(paddr, Access::Store)?;
        let held = written(&self.physical.ram, host, || {
            // SAFETY: an aligned word of the guest's memory.
            unsafe { guarded::compare_exchange(host_addr(host), Size::B8, old, new) }
        });
        held.ok().map(|held| held == old)
    }
}
