//! `riscv_hwprobe`: what the guest's harts can do. All of them can do the same.

use super::Call;
use super::arg::{Arg, list, raw};
use crate::copy::plain;
use crate::mm::{AddressSpace, GUEST_END};
use crate::strace::layouts;
use crate::{Args, Errno, SysResult, Thread};

/// The instruction set, as `/proc/cpuinfo` spells it.
pub const ISA: &str =
    "rv64imafdc_zicbom_zicboz_zicntr_zicond_zicsr_zifencei_zihintpause_zba_zbb_zbs";

/// Bytes that `cbo.zero` and the other cache block instructions work on.
const CACHE_BLOCK: u64 = 64;
/// Ticks of the `time` CSR a second: each is 100 ns.
const TIME_FREQUENCY: u64 = 10_000_000;

/// Bits of `RISCV_HWPROBE_KEY_IMA_EXT_0`.
mod extension {
    pub const FD: u64 = 1 << 0;
    pub const C: u64 = 1 << 1;
    pub const ZBA: u64 = 1 << 3;
    pub const ZBB: u64 = 1 << 4;
    pub const ZBS: u64 = 1 << 5;
    pub const ZICBOZ: u64 = 1 << 6;
    pub const ZICOND: u64 = 1 << 35;
    pub const ZIHINTPAUSE: u64 = 1 << 36;
    pub const ZCA: u64 = 1 << 43;
    pub const ZCD: u64 = 1 << 45;
    pub const ZICNTR: u64 = 1 << 50;
    pub const ZICBOM: u64 = 1 << 55;
    pub const ZAAMO: u64 = 1 << 56;
    pub const ZALRSC: u64 = 1 << 57;
}

const EXTENSIONS: u64 = {
    use extension::*;
    FD | C
        | ZBA
        | ZBB
        | ZBS
        | ZICBOZ
        | ZICOND
        | ZIHINTPAUSE
        | ZCA
        | ZCD
        | ZICNTR
        | ZICBOM
        | ZAAMO
        | ZALRSC
};

const BASE_BEHAVIOR_IMA: u64 = 1;
const MISALIGNED_FAST: u64 = 3;
const MISALIGNED_UNSUPPORTED: u64 = 4;

/// The flag that asks which processors have the given values.
const WHICH_CPUS: u64 = 1;

plain! {
    /// `struct riscv_hwprobe`
    struct Pair {
        key: i64,
        value: u64,
    }
}

/// What a key stands for; `None` if it is unknown.
fn value(key: i64) -> Option<u64> {
    Some(match key {
        // Vendor, architecture and implementation: not commercial, not registered.
        0..=2 => 0,
        3 => BASE_BEHAVIOR_IMA,
        4 => EXTENSIONS,
        // Scalar misaligned accesses: the old key and the new one.
        5 | 9 => MISALIGNED_FAST,
        6 | 12 => CACHE_BLOCK,
        7 => GUEST_END - 1,
        8 => TIME_FREQUENCY,
        // There are no vectors.
        10 => MISALIGNED_UNSUPPORTED,
        // Vendors' extensions.
        11 | 13 | 14 => 0,
        _ => return None,
    })
}

/// Whether keys hold sets of features, of which a processor may have more than were asked for.
fn is_bitmask(key: i64) -> bool {
    matches!(key, 3 | 4 | 11 | 13 | 14)
}

/// `riscv_hwprobe`
fn riscv_hwprobe(thread: &mut Thread, args: &Args) -> SysResult {
    let &[pairs, count, set_size, cpus, flags, _] = args;
    let mm = &thread.process.mm;
    let flags = flags & 0xffff_ffff;
    if flags & !WHICH_CPUS != 0 {
        return Err(Errno::EINVAL);
    }
    if flags == WHICH_CPUS {
        return which_cpus(mm, pairs, count, set_size, cpus);
    }
    if cpus == 0 && set_size != 0 {
        return Err(Errno::EINVAL);
    }
    if cpus != 0 {
        // Which processors makes no difference, but there must be one.
        let set = read_set(mm, cpus, set_size)?;
        if !set
            .iter()
            .zip(online())
            .any(|(asked, online)| asked & online != 0)
        {
            return Err(Errno::EINVAL);
        }
    }
    for i in 0..count {
        let at = pairs
            .checked_add(i * size_of::<Pair>() as u64)
            .ok_or(Errno::EFAULT)?;
        let key = mm.read_struct::<i64>(at)?;
        let pair = match value(key) {
            Some(value) => Pair { key, value },
            None => Pair { key: -1, value: 0 },
        };
        mm.write_struct(at, &pair)?;
    }
    Ok(0)
}

/// Leaves in the set those processors that have the given values: all or none.
fn which_cpus(mm: &AddressSpace, pairs: u64, count: u64, set_size: u64, cpus: u64) -> SysResult {
    if cpus == 0 || set_size == 0 {
        return Err(Errno::EINVAL);
    }
    let mut set = read_set(mm, cpus, set_size)?;
    let online = online();
    if set.iter().all(|&byte| byte == 0) {
        set.iter_mut()
            .zip(&online)
            .for_each(|(byte, online)| *byte = *online);
    }
    let mut all_match = true;
    for i in 0..count {
        let at = pairs
            .checked_add(i * size_of::<Pair>() as u64)
            .ok_or(Errno::EFAULT)?;
        let pair = mm.read_struct::<Pair>(at)?;
        all_match &= match value(pair.key) {
            Some(value) if is_bitmask(pair.key) => value & pair.value == pair.value,
            Some(value) => value == pair.value,
            None => false,
        };
        if value(pair.key).is_none() {
            mm.write_struct(at, &Pair { key: -1, value: 0 })?;
        }
    }
    for (i, byte) in set.iter_mut().enumerate() {
        *byte &= match online.get(i) {
            Some(online) if all_match => *online,
            _ => 0,
        };
    }
    mm.write(cpus, &set)?;
    Ok(0)
}

/// The processor set that the guest gives. What is beyond any processor does not matter.
fn read_set(mm: &AddressSpace, cpus: u64, size: u64) -> Result<Vec<u8>, Errno> {
    const MOST_BYTES: u64 = 1024;
    mm.read_array(cpus, size.min(MOST_BYTES) as usize)
}

/// The processors that are online, one bit each.
fn online() -> Vec<u8> {
    // SAFETY: touches no memory.
    let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    let count = usize::try_from(count).unwrap_or(1).max(1);
    let mut set = vec![0xff; count / 8];
    if !count.is_multiple_of(8) {
        set.push((1 << (count % 8)) - 1);
    }
    set
}

/// The rows of this topic.
pub(super) const CALLS: &[Call] = &[Call::own(
    258,
    "riscv_hwprobe",
    riscv_hwprobe,
    [
        Arg::InOut(list(&layouts::HWPROBE, 1)),
        Arg::Size,
        Arg::Size,
        Arg::In(raw(2)),
        Arg::Hex,
    ],
)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_extensions_that_are_translated_and_no_vectors() {
        assert_eq!(value(3), Some(1));
        let extensions = value(4).expect("a known key");
        assert_ne!(extensions & extension::ZBB, 0);
        assert_eq!(extensions & 1 << 2, 0, "V");
        assert_eq!(value(6), Some(64));
        assert_eq!(value(1000), None);
        assert_eq!(value(-1), None);
    }

    #[test]
    fn the_isa_string_and_the_bits_agree() {
        for (name, bit) in [
            ("zba", extension::ZBA),
            ("zbb", extension::ZBB),
            ("zbs", extension::ZBS),
            ("zicboz", extension::ZICBOZ),
            ("zicond", extension::ZICOND),
            ("zicbom", extension::ZICBOM),
            ("zihintpause", extension::ZIHINTPAUSE),
            ("zicntr", extension::ZICNTR),
        ] {
            assert_eq!(
                ISA.split('_').any(|part| part == name),
                EXTENSIONS & bit != 0,
                "{name}"
            );
        }
    }
}
