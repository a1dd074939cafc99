//! Where a pc's code lies: for a program at that address, for a machine's hart where its pages are
//! mapped now.
//!
//! A hart's block stays within a page of its address space, but for an instruction that begins two bytes
//! before the end of one: its block may depend on two pages, and on nothing else.

use tb_cache::PAGE_SIZE;
use translate::GuestCode;
use translate::ops::GuestRange;

/// Where the code at a pc lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Physical address of its page.
    pub page: u64,
    /// Physical address of the page mapped behind it, if an instruction at the pc would reach into it;
    /// else 0.
    pub next: u64,
}

impl Place {
    /// Of a program's pcs: where they say.
    pub const SAME: Place = Place {
        page: u64::MAX,
        next: 0,
    };

    /// Whether an instruction of four bytes at `pc` would straddle two pages.
    pub fn straddles(pc: u64) -> bool {
        pc % PAGE_SIZE == PAGE_SIZE - 2
    }

    /// What tells blocks of the same pc apart: see [`tb_cache::Key::page`].
    #[inline]
    pub(crate) fn key(self) -> u64 {
        if self == Place::SAME {
            return 0;
        }
        let (page, next) = (self.page / PAGE_SIZE, self.next / PAGE_SIZE);
        debug_assert!(
            page >> 32 == 0 && next >> 32 == 0,
            "16 TiB of memory are the most"
        );
        page | next << 32
    }
}

/// The code around a pc, by the addresses that the guest knows it by.
pub(crate) struct Mapped<'a> {
    /// Fetches by physical address.
    pub code: &'a dyn GuestCode,
    /// Any pc in the page.
    pub pc: u64,
    /// Where that page is.
    pub place: Place,
}

impl Mapped<'_> {
    /// The physical address of a guest address in the page, or in the one behind it.
    fn physical(&self, pc: u64) -> Option<u64> {
        let page = |pc: u64| pc & !(PAGE_SIZE - 1);
        let base = match page(pc).wrapping_sub(page(self.pc)) {
            0 => self.place.page,
            PAGE_SIZE if self.place.next != 0 => self.place.next,
            _ => return None,
        };
        Some(base + pc % PAGE_SIZE)
    }

    fn fetch_in_page(&self, pc: u64, buf: &mut [u8]) -> usize {
        let left = (PAGE_SIZE - pc % PAGE_SIZE) as usize;
        let len = buf.len().min(left);
        match self.physical(pc) {
            Some(at) => self.code.fetch(at, &mut buf[..len]),
            None => 0,
        }
    }

    /// Says of bytes where they are instead of what they are known by.
    pub(crate) fn make_physical(&self, ranges: &mut Vec<GuestRange>) {
        if self.place == Place::SAME {
            return;
        }
        for at in 0..ranges.len() {
            let GuestRange { start, len } = ranges[at];
            let here = len.min((PAGE_SIZE - start % PAGE_SIZE) as u32);
            ranges[at] = GuestRange {
                start: self.physical(start).unwrap_or(self.place.page),
                len: here,
            };
            if here != len {
                let start = self.place.next;
                let len = len - here;
                ranges.insert(at + 1, GuestRange { start, len });
                // Nothing is behind an instruction that straddles.
                return;
            }
        }
    }
}

impl GuestCode for Mapped<'_> {
    fn fetch(&self, pc: u64, buf: &mut [u8]) -> usize {
        if self.place == Place::SAME {
            return self.code.fetch(pc, buf);
        }
        let here = self.fetch_in_page(pc, buf);
        let (there, rest) = (pc.wrapping_add(here as u64), &mut buf[here..]);
        if !Place::straddles(pc) || rest.is_empty() || there % PAGE_SIZE != 0 {
            return here;
        }
        let len = rest.len().min(2);
        here + self.fetch_in_page(there, &mut rest[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each byte is the number of its page plus its place in it.
    struct Memory;

    impl GuestCode for Memory {
        fn fetch(&self, at: u64, buf: &mut [u8]) -> usize {
            for (at, byte) in (at..).zip(&mut *buf) {
                *byte = (at / PAGE_SIZE * 16 + at % PAGE_SIZE) as u8;
            }
            buf.len()
        }
    }

    fn mapped(pc: u64, next: u64) -> Mapped<'static> {
        let page = 0x3000;
        Mapped {
            code: &Memory,
            pc,
            place: Place { page, next },
        }
    }

    #[test]
    fn code_is_fetched_from_where_its_page_is_mapped_and_no_farther() {
        let mut buf = [0; 8];
        assert_eq!(mapped(0x7ff0, 0).fetch(0x7001, &mut buf), 8);
        assert_eq!(buf[..2], [0x31, 0x32]);
        assert_eq!(mapped(0x7ff0, 0).fetch(0x7ffc, &mut buf), 4);
        assert_eq!(mapped(0x7ff0, 0).fetch(0x7ffe, &mut buf), 2);
        assert_eq!(mapped(0x7ff0, 0).fetch(0x8000, &mut buf), 0);
    }

    #[test]
    fn an_instruction_that_straddles_comes_from_both_its_pages() {
        let mut buf = [0; 8];
        let code = mapped(0x7ffe, 0x5000);
        assert_eq!(code.fetch(0x7ffe, &mut buf), 4);
        assert_eq!(buf[..4], [0x2e, 0x2f, 0x50, 0x51]);
        let mut ranges = vec![GuestRange {
            start: 0x7ffe,
            len: 4,
        }];
        code.make_physical(&mut ranges);
        let expected = [(0x3ffe, 2), (0x5000, 2)].map(|(start, len)| GuestRange { start, len });
        assert_eq!(ranges, expected);
    }

    #[test]
    fn a_place_tells_blocks_of_one_pc_apart() {
        let places = [
            (0x8000_0000, 0),
            (0x8000_1000, 0),
            (0x8000_0000, 0x8000_1000),
        ];
        let keys = places.map(|(page, next)| Place { page, next }.key());
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        assert_eq!(Place::SAME.key(), 0);
    }
}
