use super::*;

const RW: u32 = 1;
const RS: u32 = 2;
const RC: u32 = 3;
const RWI: u32 = 5;

fn csrs() -> Csrs {
    Csrs::new(3, Arc::new(Lines::new()), Clock::start())
}

/// `op a0, csr, a1`.
fn encode(funct3: u32, csr: u16, rs1: u32) -> Insn {
    riscv::decode(u32::from(csr) << 20 | rs1 << 15 | funct3 << 12 | 10 << 7 | 0x73)
}

/// Writes `value` and gives what was there before.
fn swap(csrs: &mut Csrs, csr: u16, value: u64) -> Option<(u64, Effect)> {
    let mut state = CpuState::new();
    state.x[11] = value;
    let effect = csrs.execute(&mut state, &encode(RW, csr, 11))?;
    Some((state.x[10], effect))
}

fn get(csrs: &mut Csrs, csr: u16) -> Option<u64> {
    let mut state = CpuState::new();
    csrs.execute(&mut state, &encode(RS, csr, 0))?;
    Some(state.x[10])
}

/// What is left of all ones, and of zero.
fn legal(csr: u16) -> (Option<u64>, Option<u64>) {
    let mut csrs = csrs();
    swap(&mut csrs, csr, u64::MAX);
    let ones = get(&mut csrs, csr);
    swap(&mut csrs, csr, 0);
    (ones, get(&mut csrs, csr))
}

#[test]
fn registers_keep_to_their_legal_values() {
    for (csr, ones, zeros) in [
        (n::MSCRATCH, u64::MAX, 0),
        (n::MEPC, !1, 0),
        (n::SEPC, !1, 0),
        (n::MCAUSE, u64::MAX, 0),
        (n::MEDELEG, 0xb3ff, 0),
        (n::MIDELEG, 0x222, 0),
        (n::MIE, 0xaaa, 0),
        (n::MIP, 0x222, 0),
        // Mode 3 is reserved, and so the write is not done.
        (n::MTVEC, 0, 0),
        (n::SATP, 0, 0),
        (n::MCOUNTEREN, 0xffff_ffff, 0),
        (n::MENVCFG, 7 << 61 | 0xf1, 0),
        (n::SENVCFG, 0xf1, 0),
        (n::MCOUNTINHIBIT, 5, 0),
        (n::PMPADDR0, (1 << 54) - 1, 0),
        (n::MISA, MISA, MISA),
        (n::MHPMEVENT3, 0, 0),
        (n::MHARTID, 3, 3),
    ] {
        assert_eq!(legal(csr), (Some(ones), Some(zeros)), "{csr:#x}");
    }
}

#[test]
fn there_are_no_others() {
    for csr in [
        0x000, 0x004, 0x10c, 0x200, 0x30c, 0x3a1, 0x3c0, 0x747, 0x7b0, 0xc20, 0xda0,
    ] {
        assert_eq!(get(&mut csrs(), csr), None, "{csr:#x}");
    }
}

#[test]
fn what_is_read_only_cannot_be_written_but_can_be_read_by_a_write_of_nothing() {
    let mut csrs = csrs();
    assert_eq!(swap(&mut csrs, n::MHARTID, 5), None);
    let mut state = CpuState::new();
    assert_eq!(csrs.execute(&mut state, &encode(RWI, n::MHARTID, 0)), None);
    assert_eq!(
        csrs.execute(&mut state, &encode(RC, n::MHARTID, 11)),
        None,
        "even of 0"
    );
    assert_eq!(
        csrs.execute(&mut state, &encode(RC, n::MHARTID, 0)),
        Some(Effect::None)
    );
    assert_eq!(state.x[10], 3);
}

#[test]
fn each_level_has_its_own_registers() {
    let mut csrs = csrs();
    csrs.privilege = Privilege::Supervisor;
    assert!(get(&mut csrs, n::SSCRATCH).is_some());
    assert_eq!(get(&mut csrs, n::MSCRATCH), None);
    csrs.privilege = Privilege::User;
    assert_eq!(get(&mut csrs, n::SSCRATCH), None);
}

#[test]
fn bits_of_the_machine_level_close_registers_to_the_supervisor() {
    let mut csrs = csrs();
    csrs.privilege = Privilege::Supervisor;
    assert!(get(&mut csrs, n::SATP).is_some());
    csrs.status.put(status::TVM, true);
    assert_eq!(get(&mut csrs, n::SATP), None);
    assert_eq!(get(&mut csrs, n::STIMECMP), None);
    csrs.mcounteren = TIME_ENABLE;
    assert_eq!(get(&mut csrs, n::STIMECMP), None);
    csrs.menvcfg = STCE;
    assert!(get(&mut csrs, n::STIMECMP).is_some());
    csrs.mcounteren = 0;
    assert_eq!(get(&mut csrs, n::STIMECMP), None);
    csrs.privilege = Privilege::Machine;
    assert!(get(&mut csrs, n::STIMECMP).is_some() && get(&mut csrs, n::SATP).is_some());
}

#[test]
fn a_user_reads_the_counters_that_both_levels_above_allow() {
    let mut csrs = csrs();
    for (machine, supervisor, privilege, allowed) in [
        (0, 0, Privilege::Machine, true),
        (0, 7, Privilege::Supervisor, false),
        (2, 0, Privilege::Supervisor, true),
        (5, 7, Privilege::Supervisor, false),
        (2, 0, Privilege::User, false),
        (0, 2, Privilege::User, false),
        (2, 2, Privilege::User, true),
    ] {
        (csrs.mcounteren, csrs.scounteren, csrs.privilege) = (machine, supervisor, privilege);
        let read = get(&mut csrs, n::TIME);
        assert_eq!(
            read.is_some(),
            allowed,
            "{machine} {supervisor} {privilege:?}"
        );
    }
}

#[test]
fn the_supervisor_sees_the_interrupts_that_are_delegated_to_it() {
    let mut csrs = csrs();
    csrs.lines.set(lines::SEIP | lines::MTIP);
    assert_eq!(get(&mut csrs, n::MIP), Some(lines::SEIP | lines::MTIP));
    assert_eq!(get(&mut csrs, n::SIP), Some(0));
    swap(&mut csrs, n::SIE, u64::MAX);
    assert_eq!(get(&mut csrs, n::MIE), Some(0));
    swap(&mut csrs, n::MIDELEG, lines::SEIP | lines::SSIP);
    assert_eq!(get(&mut csrs, n::SIP), Some(lines::SEIP));
    swap(&mut csrs, n::SIE, u64::MAX);
    assert_eq!(get(&mut csrs, n::MIE), Some(lines::SEIP | lines::SSIP));
    // The supervisor sets and clears the software interrupt, and no other.
    swap(&mut csrs, n::SIP, u64::MAX);
    let all = lines::SEIP | lines::SSIP | lines::MTIP;
    assert_eq!(get(&mut csrs, n::MIP), Some(all));
    swap(&mut csrs, n::SIP, 0);
    assert_eq!(get(&mut csrs, n::MIP), Some(lines::SEIP | lines::MTIP));
}

#[test]
fn the_external_interrupt_is_the_line_or_the_bit_and_only_the_bit_is_written_back() {
    let mut csrs = csrs();
    csrs.lines.set(lines::SEIP);
    let mut state = CpuState::new();
    state.x[11] = lines::SSIP;
    csrs.execute(&mut state, &encode(RS, n::MIP, 11));
    assert_eq!(state.x[10], lines::SEIP);
    csrs.lines.clear(lines::SEIP);
    assert_eq!(get(&mut csrs, n::MIP), Some(lines::SSIP));
    swap(&mut csrs, n::MIP, lines::SEIP);
    assert_eq!(get(&mut csrs, n::MIP), Some(lines::SEIP));
}

#[test]
fn the_timer_interrupt_is_software_s_until_there_is_a_deadline() {
    let mut csrs = csrs();
    swap(&mut csrs, n::MIP, lines::STIP);
    assert_eq!(get(&mut csrs, n::MIP), Some(lines::STIP));
    assert_eq!(csrs.deadline(), None);
    assert_eq!(
        swap(&mut csrs, n::MENVCFG, STCE).map(|r| r.1),
        Some(Effect::Environment)
    );
    swap(&mut csrs, n::MIP, 0);
    assert_eq!(get(&mut csrs, n::MIP), Some(lines::STIP));
    assert_eq!(
        swap(&mut csrs, n::STIMECMP, 77).map(|r| r.1),
        Some(Effect::Timer)
    );
    assert_eq!(csrs.deadline(), Some(77));
}

#[test]
fn an_address_space_changes_only_if_the_value_does() {
    let mut csrs = csrs();
    let satp = 8 << 60 | 5 << 44 | 0x80123;
    assert_eq!(
        swap(&mut csrs, n::SATP, satp),
        Some((0, Effect::Translation))
    );
    assert_eq!(swap(&mut csrs, n::SATP, satp), Some((satp, Effect::None)));
    assert_eq!(
        swap(&mut csrs, n::SATP, satp | 8),
        Some((satp, Effect::AddressSpace))
    );
    // Mode 1 is reserved.
    assert_eq!(
        swap(&mut csrs, n::SATP, 1 << 60),
        Some((satp | 8, Effect::None))
    );
    assert_eq!(get(&mut csrs, n::SATP), Some(satp | 8));
}

#[test]
fn floating_point_registers_are_there_if_the_unit_is_on_and_make_it_dirty() {
    let mut csrs = csrs();
    assert_eq!(get(&mut csrs, n::FCSR), None);
    csrs.status.set_machine(1 << 13);
    assert_eq!(get(&mut csrs, n::FCSR), Some(0));
    assert!(!csrs.status.fp_is_dirty());
    let mut state = CpuState::new();
    state.x[11] = 0x5f;
    assert_eq!(
        csrs.execute(&mut state, &encode(RW, n::FCSR, 11)),
        Some(Effect::Status)
    );
    assert_eq!((state.fflags, state.frm), (0x1f, 2));
    assert!(csrs.status.fp_is_dirty());
    state.x[11] = 3;
    csrs.execute(&mut state, &encode(RC, n::FFLAGS, 11));
    assert_eq!((state.fflags, state.frm, state.x[10]), (0x1c, 2, 0x1f));
}

#[test]
fn counters_can_be_set_and_stopped() {
    let mut csrs = csrs();
    swap(&mut csrs, n::MCYCLE, 1 << 40);
    let counted = get(&mut csrs, n::CYCLE);
    assert!(counted >= Some(1 << 40), "{counted:?}");
    swap(&mut csrs, n::MCOUNTINHIBIT, 1);
    let stopped = get(&mut csrs, n::MCYCLE);
    assert_eq!(get(&mut csrs, n::MCYCLE), stopped);
    swap(&mut csrs, n::MCYCLE, 5);
    assert_eq!(get(&mut csrs, n::CYCLE), Some(5));
    swap(&mut csrs, n::MCOUNTINHIBIT, 0);
    assert!(get(&mut csrs, n::MCYCLE) >= Some(5));
}

#[test]
fn a_reserved_cache_block_mode_is_not_taken() {
    let mut csrs = csrs();
    swap(&mut csrs, n::MENVCFG, 1 << 4);
    swap(&mut csrs, n::MENVCFG, 2 << 4 | 1);
    assert_eq!(get(&mut csrs, n::MENVCFG), Some(1 << 4 | 1));
}

#[test]
fn cache_blocks_are_for_those_whom_all_levels_above_allow() {
    let mut csrs = csrs();
    let legal = |csrs: &Csrs| {
        let illegal = csrs.illegal_cache_blocks();
        [!illegal.zero, !illegal.clean, !illegal.inval]
    };
    assert_eq!(legal(&csrs), [true; 3], "the machine level");
    for (privilege, machine, supervisor, expected) in [
        (Privilege::Supervisor, 0, ENVCFG, [false; 3]),
        (Privilege::Supervisor, CBZE, 0, [true, false, false]),
        (Privilege::Supervisor, CBCFE, 0, [false, true, false]),
        (Privilege::Supervisor, 3 << 4, 0, [false, false, true]),
        (Privilege::User, ENVCFG, 0, [false; 3]),
        (Privilege::User, 0, ENVCFG, [false; 3]),
        (
            Privilege::User,
            CBZE | 3 << 4,
            CBZE | 1 << 4,
            [true, false, true],
        ),
        (Privilege::User, ENVCFG, CBCFE, [false, true, false]),
    ] {
        (csrs.privilege, csrs.menvcfg, csrs.senvcfg) = (privilege, machine, supervisor);
        assert_eq!(
            legal(&csrs),
            expected,
            "{privilege:?} {machine:#x} {supervisor:#x}"
        );
    }
}

#[test]
fn the_supervisor_is_handed_all_that_it_may_have() {
    let mut csrs = csrs();
    assert_eq!(
        (csrs.privilege, csrs.medeleg, csrs.mideleg),
        (Privilege::Machine, 0, 0)
    );
    swap(&mut csrs, n::SATP, 8 << 60 | 1);
    swap(&mut csrs, n::SSTATUS, u64::MAX);
    csrs.hand_over();
    assert_eq!(csrs.privilege, Privilege::Supervisor);
    assert_eq!((csrs.medeleg, csrs.mideleg), (0xb1ff, 0x222));
    assert_eq!(
        (get(&mut csrs, n::SATP), csrs.status),
        (Some(0), Status::default())
    );
    assert!(get(&mut csrs, n::TIME).is_some() && csrs.deadline().is_some());
    let verdict = csrs
        .pmp
        .check(0, 4096, translate::Access::Fetch, Privilege::User);
    assert_eq!(verdict, super::super::pmp::Verdict::Allowed);
}
