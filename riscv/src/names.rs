//! Names of registers, CSRs, rounding modes.

use std::borrow::Cow;

/// ABI names of the integer registers.
#[rustfmt::skip]
pub const X_NAMES: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2",
    "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
    "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7",
    "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
];

/// ABI names of the floating-point registers.
#[rustfmt::skip]
pub const F_NAMES: [&str; 32] = [
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7",
    "fs0", "fs1", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5",
    "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7",
    "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
];

/// ABI name of integer register `number` (0–31).
pub fn x_name(number: u8) -> &'static str {
    X_NAMES[usize::from(number & 31)]
}

/// ABI name of floating-point register `number` (0–31).
pub fn f_name(number: u8) -> &'static str {
    F_NAMES[usize::from(number & 31)]
}

/// Name of a rounding mode field; `None` for the reserved 5 and 6.
pub fn rounding_mode_name(rm: u8) -> Option<&'static str> {
    Some(match rm {
        0 => "rne",
        1 => "rtz",
        2 => "rdn",
        3 => "rup",
        4 => "rmm",
        7 => "dyn",
        _ => return None,
    })
}

/// CSRs that are not members of a numbered family, by number.
#[rustfmt::skip]
static CSRS: &[(u16, &str)] = &[
    (0x001, "fflags"), (0x002, "frm"), (0x003, "fcsr"),
    (0x100, "sstatus"), (0x104, "sie"), (0x105, "stvec"), (0x106, "scounteren"),
    (0x10a, "senvcfg"),
    (0x140, "sscratch"), (0x141, "sepc"), (0x142, "scause"), (0x143, "stval"), (0x144, "sip"),
    (0x14d, "stimecmp"), (0x180, "satp"),
    (0x300, "mstatus"), (0x301, "misa"), (0x302, "medeleg"), (0x303, "mideleg"), (0x304, "mie"),
    (0x305, "mtvec"), (0x306, "mcounteren"), (0x30a, "menvcfg"), (0x320, "mcountinhibit"),
    (0x340, "mscratch"), (0x341, "mepc"), (0x342, "mcause"), (0x343, "mtval"), (0x344, "mip"),
    (0x34a, "mtinst"), (0x34b, "mtval2"),
    (0x747, "mseccfg"),
    (0x7a0, "tselect"), (0x7a1, "tdata1"), (0x7a2, "tdata2"), (0x7a3, "tdata3"), (0x7a4, "tinfo"),
    (0x7a5, "tcontrol"), (0x7a8, "mcontext"),
    (0x7b0, "dcsr"), (0x7b1, "dpc"), (0x7b2, "dscratch0"), (0x7b3, "dscratch1"),
    (0xb00, "mcycle"), (0xb02, "minstret"),
    (0xc00, "cycle"), (0xc01, "time"), (0xc02, "instret"),
    (0xf11, "mvendorid"), (0xf12, "marchid"), (0xf13, "mimpid"), (0xf14, "mhartid"),
    (0xf15, "mconfigptr"),
];

/// Families of CSRs with a number in their name: first CSR, name, first number, members.
#[rustfmt::skip]
static CSR_FAMILIES: &[(u16, &str, u16, u16)] = &[
    (0x323, "mhpmevent", 3, 29),
    (0x3a0, "pmpcfg", 0, 16),
    (0x3b0, "pmpaddr", 0, 64),
    (0xb03, "mhpmcounter", 3, 29),
    (0xc03, "hpmcounter", 3, 29),
];

/// Name of a CSR (number 0–4095); `None` if it has none here.
pub fn csr_name(csr: u16) -> Option<Cow<'static, str>> {
    if let Ok(at) = CSRS.binary_search_by_key(&csr, |entry| entry.0) {
        return Some(Cow::Borrowed(CSRS[at].1));
    }
    CSR_FAMILIES
        .iter()
        .find(|(first, _, _, members)| (*first..first + members).contains(&csr))
        .map(|(first, name, number, _)| Cow::Owned(format!("{name}{}", csr - first + number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csrs_are_sorted_by_number() {
        assert!(CSRS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn csr_families_count_on_from_their_first_member() {
        assert_eq!(csr_name(0xc1f).as_deref(), Some("hpmcounter31"));
        assert_eq!(csr_name(0x3ef).as_deref(), Some("pmpaddr63"));
        assert_eq!(csr_name(0x3af).as_deref(), Some("pmpcfg15"));
        assert_eq!(csr_name(0x3f0), None);
        assert_eq!(csr_name(0xfff), None);
    }
}
