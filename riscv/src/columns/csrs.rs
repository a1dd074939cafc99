//! CSR names as they appear in columns. They differ from the manual's ([`csr_name`]): names of
//! drafts that were never ratified live on there, and some newer CSRs have only their number.

use std::borrow::Cow;

use crate::names::csr_name;

/// CSRs that have another name than in the manual, or no name there, by number.
#[rustfmt::skip]
static OTHERS: &[(u16, &str)] = &[
    (0x000, "ustatus"), (0x004, "uie"), (0x005, "utvec"),
    (0x008, "vstart"), (0x009, "vxsat"), (0x00a, "vxrm"), (0x00f, "vcsr"),
    (0x011, "ssp"), (0x015, "seed"), (0x017, "jvt"),
    (0x040, "uscratch"), (0x041, "uepc"), (0x042, "ucause"), (0x043, "utval"), (0x044, "uip"),
    (0x200, "hstatus"), (0x202, "hedeleg"), (0x203, "hideleg"), (0x204, "hie"), (0x205, "htvec"),
    (0x240, "hscratch"), (0x241, "hepc"), (0x242, "hcause"), (0x243, "hbadaddr"), (0x244, "hip"),
    (0x320, "mucounteren"), (0x321, "mscounteren"), (0x322, "mhcounteren"),
    (0x380, "mbase"), (0x381, "mbound"), (0x382, "mibase"), (0x383, "mibound"),
    (0x384, "mdbase"), (0x385, "mdbound"),
    (0x780, "mtohost"), (0x781, "mfromhost"), (0x782, "mreset"), (0x783, "mipi"),
    (0x784, "miobase"),
    (0xb01, "mtime"), (0xb80, "mcycleh"), (0xb81, "mtimeh"), (0xb82, "minstreth"),
    (0xc20, "vl"), (0xc21, "vtype"), (0xc22, "vlenb"),
    (0xc80, "cycleh"), (0xc81, "timeh"), (0xc82, "instreth"),
    (0xd00, "scycle"), (0xd01, "stime"), (0xd02, "sinstret"),
    (0xd80, "scycleh"), (0xd81, "stimeh"), (0xd82, "sinstreth"),
    (0xe00, "hcycle"), (0xe01, "htime"), (0xe02, "hinstret"),
    (0xe80, "hcycleh"), (0xe81, "htimeh"), (0xe82, "hinstreth"),
];

/// CSRs that the manual names and that are only a number here.
fn is_nameless(csr: u16) -> bool {
    matches!(
        csr,
        0x10a | 0x14d | 0x30a | 0x34a | 0x34b | 0x747 | 0x7a5 | 0x7a8 | 0xc03..=0xc1f | 0xf15
    )
}

/// How CSR number `csr` is shown.
pub(super) fn shown_as(csr: u16) -> Cow<'static, str> {
    let number = || Cow::Owned(format!("0x{csr:03x}"));
    match (OTHERS.binary_search_by_key(&csr, |entry| entry.0), csr) {
        (Ok(at), _) => Cow::Borrowed(OTHERS[at].1),
        (_, 0xb83..=0xb9f) => Cow::Owned(format!("mhpmcounter{}h", csr - 0xb80)),
        _ if is_nameless(csr) => number(),
        _ => csr_name(csr).unwrap_or_else(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csrs_are_sorted_by_number() {
        assert!(OTHERS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
