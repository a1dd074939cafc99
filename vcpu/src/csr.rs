//! The CSRs of user mode: floating-point control and status, and the counters.

use riscv::{Insn, Opcode as O};
use translate::ops::Reg;
use translate::{CpuState, clock};

/// Who wants to know a counter's value, and when.
pub(crate) trait Clock {
    /// `cycle`, and `instret`, which counts the same thing here: only that it grows is promised.
    fn cycle(&self) -> u64;
    /// `time`, in ticks of 100 ns.
    fn time(&self) -> u64;
}

/// The host's clocks.
pub(crate) struct HostClock;

impl Clock for HostClock {
    fn cycle(&self) -> u64 {
        clock::cycle()
    }

    fn time(&self) -> u64 {
        clock::time()
    }
}

/// The access is not allowed, or there is no such CSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Illegal;

const FFLAGS: u16 = 0x001;
const FRM: u16 = 0x002;
const FCSR: u16 = 0x003;
const CYCLE: u16 = 0xc00;
const TIME: u16 = 0xc01;
const INSTRET: u16 = 0xc02;

/// Executes a Zicsr instruction, all but the step to the next pc.
pub(crate) fn execute(
    state: &mut CpuState,
    insn: &Insn,
    clock: &impl Clock,
) -> Result<(), Illegal> {
    let csr = insn.imm as u16 & 0xfff;
    let operand = match insn.op {
        O::Csrrwi | O::Csrrsi | O::Csrrci => u64::from(insn.rs1),
        _ => state.get(Reg(insn.rs1)),
    };
    let old = read(state, csr, clock)?;
    let new = match insn.op {
        O::Csrrw | O::Csrrwi => Some(operand),
        // With x0 or an immediate of 0 these do not write at all.
        O::Csrrs | O::Csrrsi if insn.rs1 != 0 => Some(old | operand),
        O::Csrrc | O::Csrrci if insn.rs1 != 0 => Some(old & !operand),
        O::Csrrs | O::Csrrsi | O::Csrrc | O::Csrrci => None,
        _ => return Err(Illegal),
    };
    if let Some(new) = new {
        write(state, csr, new)?;
    }
    state.set(Reg(insn.rd), old);
    Ok(())
}

fn read(state: &CpuState, csr: u16, clock: &impl Clock) -> Result<u64, Illegal> {
    let fflags = u64::from(state.fflags);
    let frm = u64::from(state.frm);
    match csr {
        FFLAGS => Ok(fflags),
        FRM => Ok(frm),
        FCSR => Ok(frm << 5 | fflags),
        CYCLE | INSTRET => Ok(clock.cycle()),
        TIME => Ok(clock.time()),
        _ => Err(Illegal),
    }
}

fn write(state: &mut CpuState, csr: u16, value: u64) -> Result<(), Illegal> {
    match csr {
        FFLAGS => state.fflags = value as u32 & 0x1f,
        FRM => state.set_frm(value as u8),
        FCSR => {
            state.fflags = value as u32 & 0x1f;
            state.set_frm((value >> 5) as u8);
        }
        _ => return Err(Illegal),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Clock for Fixed {
        fn cycle(&self) -> u64 {
            111
        }

        fn time(&self) -> u64 {
            222
        }
    }

    /// `op rd, csr, rs1`.
    fn encode(funct3: u32, rd: u32, csr: u16, rs1: u32) -> Insn {
        riscv::decode(u32::from(csr) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x73)
    }

    const RW: u32 = 1;
    const RS: u32 = 2;
    const RC: u32 = 3;
    const RWI: u32 = 5;
    const RSI: u32 = 6;

    #[test]
    fn fcsr_is_frm_and_fflags_together() {
        let mut state = CpuState::new();
        state.x[5] = 0x5f_u64 | 0xff00;
        let old = execute(&mut state, &encode(RW, 6, FCSR, 5), &Fixed);
        assert_eq!((old, state.x[6]), (Ok(()), 0));
        assert_eq!((state.frm, state.fflags), (2, 0x1f));
        execute(&mut state, &encode(RS, 7, FRM, 0), &Fixed).unwrap();
        assert_eq!(state.x[7], 2);
        execute(&mut state, &encode(RWI, 0, FFLAGS, 9), &Fixed).unwrap();
        execute(&mut state, &encode(RSI, 8, FCSR, 0), &Fixed).unwrap();
        assert_eq!(state.x[8], 0x49);
    }

    #[test]
    fn set_and_clear_touch_only_the_bits_of_the_operand() {
        let mut state = CpuState::new();
        state.fflags = 0b10001;
        state.x[5] = 0b00110;
        execute(&mut state, &encode(RS, 6, FFLAGS, 5), &Fixed).unwrap();
        assert_eq!((state.x[6], state.fflags), (0b10001, 0b10111));
        execute(&mut state, &encode(RC, 6, FFLAGS, 5), &Fixed).unwrap();
        assert_eq!((state.x[6], state.fflags), (0b10111, 0b10001));
    }

    #[test]
    fn the_source_is_read_before_the_destination_is_written() {
        let mut state = CpuState::new();
        state.fflags = 3;
        state.x[5] = 0x10;
        execute(&mut state, &encode(RW, 5, FFLAGS, 5), &Fixed).unwrap();
        assert_eq!((state.x[5], state.fflags), (3, 0x10));
    }

    #[test]
    fn counters_can_be_read_and_not_written() {
        let mut state = CpuState::new();
        for (csr, value) in [(CYCLE, 111), (TIME, 222), (INSTRET, 111)] {
            assert_eq!(execute(&mut state, &encode(RS, 6, csr, 0), &Fixed), Ok(()));
            assert_eq!(state.x[6], value);
            for funct3 in [RW, RWI] {
                let insn = encode(funct3, 6, csr, 0);
                assert_eq!(execute(&mut state, &insn, &Fixed), Err(Illegal));
            }
            assert_eq!(
                execute(&mut state, &encode(RS, 6, csr, 5), &Fixed),
                Err(Illegal)
            );
        }
    }

    #[test]
    fn unknown_csrs_are_illegal_and_change_nothing() {
        let mut state = CpuState::new();
        state.x[6] = 77;
        for csr in [0x000, 0x004, 0x300, 0xc03, 0xfff] {
            assert_eq!(
                execute(&mut state, &encode(RS, 6, csr, 0), &Fixed),
                Err(Illegal)
            );
        }
        assert_eq!(state.x[6], 77);
    }
}
