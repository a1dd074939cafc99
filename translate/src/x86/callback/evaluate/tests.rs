//! Callbacks in assembly, as compilers write them, and what they come to.

use std::arch::{global_asm, naked_asm};

use super::*;

const BOARD: Board = Board {
    offset: 0x20000,
    size: 32,
    guard: Guard {
        addr: 0x1234,
        size: 4,
        value: 25,
    },
};
const HANDLE: u64 = 0x5678;

#[unsafe(no_mangle)]
static mut EVALUATE_TEST_BOARD: u64 = HANDLE;
#[unsafe(no_mangle)]
static mut EVALUATE_TEST_SWITCH: u32 = 0;

#[unsafe(naked)]
extern "C" fn find() {
    naked_asm!("ud2")
}

#[unsafe(naked)]
extern "C" fn add() {
    naked_asm!("ud2")
}

struct Functions;

impl Library for Functions {
    fn known(&self, function: usize) -> Option<Known> {
        match function {
            at if at == find as *const () as usize => Some(Known::Find),
            at if at == add as *const () as usize => Some(Known::Add),
            _ => None,
        }
    }

    fn board(&self, handle: usize) -> Option<Board> {
        (handle as u64 == HANDLE).then_some(BOARD)
    }
}

fn of(function: unsafe extern "C" fn(), role: Role) -> Option<Evaluated> {
    Evaluated::of(function as usize, role, None, &Functions).ok()
}

// Symbols of statics, relative to the instruction pointer, as libraries have their variables.
global_asm!(
    ".globl evaluate_test_counts",
    "evaluate_test_counts:",
    "sub rsp, 24",
    "mov [rsp + 8], rsi",
    "mov esi, edi",
    "mov rdi, [rip + EVALUATE_TEST_BOARD]",
    "call {find}",
    "mov edx, 1",
    "movdqu xmm1, [rax]",
    "movq xmm0, rdx",
    "movhps xmm0, [rsp + 8]",
    "paddq xmm0, xmm1",
    "movups [rax], xmm0",
    "add rsp, 24",
    "ret",
    ".globl evaluate_test_switch",
    "evaluate_test_switch:",
    "cmp dword ptr [rip + EVALUATE_TEST_SWITCH], 0",
    "je 2f",
    "ret",
    "2:",
    "mov rdx, rdi",
    "mov edi, 7",
    "mov ecx, 5",
    "mov rdi, [rip + EVALUATE_TEST_BOARD]",
    "mov esi, 8",
    "jmp {add}",
    find = sym find,
    add = sym add,
);

unsafe extern "C" {
    fn evaluate_test_counts();
    fn evaluate_test_switch();
}

#[test]
fn two_counters_at_once_depend_on_the_userdata() {
    let evaluated = of(evaluate_test_counts, Role::Execution).expect("additions");
    assert_eq!(
        evaluated.additions(9),
        Some(vec![(0x20000, 1), (0x20008, 9)])
    );
    assert_eq!(evaluated.additions(4).unwrap()[1], (0x20008, 4));
    let relied: Vec<u64> = evaluated.guards.iter().map(|guard| guard.value).collect();
    assert_eq!(relied, [HANDLE, 25]);
}

#[test]
fn a_branch_on_a_variable_is_guarded() {
    let evaluated = of(evaluate_test_switch, Role::Execution).expect("additions");
    assert_eq!(evaluated.additions(0), Some(vec![(0x20008, 5)]));
    let switch = evaluated
        .guards
        .iter()
        .find(|guard| guard.size == 4 && guard.value == 0);
    let switch = switch.expect("the switch is relied on");
    assert!(switch.holds());
    // SAFETY: only this test uses it.
    unsafe { EVALUATE_TEST_SWITCH = 1 };
    assert!(!switch.holds());
    let changed = of(evaluate_test_switch, Role::Execution).expect("no additions");
    assert_eq!(changed.additions(0), Some(vec![]));
}

#[test]
fn an_access_has_its_userdata_last() {
    #[unsafe(naked)]
    unsafe extern "C" fn by_index() {
        naked_asm!(
            "push rbx",
            "mov rbx, rcx",
            "mov esi, edi",
            "mov edi, {handle}",
            "call {find}",
            "inc qword ptr [rax + rbx*8]",
            "pop rbx",
            "ret",
            handle = const HANDLE,
            find = sym find,
        )
    }
    let evaluated = of(by_index, Role::Access).expect("additions");
    assert_eq!(evaluated.additions(2), Some(vec![(0x20010, 1)]));
    // Outside of the board.
    assert_eq!(evaluated.additions(4), None);
}

#[test]
fn what_is_more_than_additions_has_to_be_called() {
    #[unsafe(naked)]
    unsafe extern "C" fn looks_at_the_address() {
        naked_asm!("test dl, 7", "je 2f", "inc qword ptr [rcx]", "2:", "ret")
    }
    #[unsafe(naked)]
    unsafe extern "C" fn stores() {
        naked_asm!(
            "mov esi, edi", "mov edi, {handle}", "sub rsp, 8", "call {find}", "add rsp, 8",
            "mov qword ptr [rax], 1", "ret", handle = const HANDLE, find = sym find,
        )
    }
    #[unsafe(naked)]
    unsafe extern "C" fn another_vcpu() {
        naked_asm!(
            "mov esi, 3", "mov edi, {handle}", "sub rsp, 8", "call {find}", "add rsp, 8",
            "inc qword ptr [rax]", "ret", handle = const HANDLE, find = sym find,
        )
    }
    #[unsafe(naked)]
    unsafe extern "C" fn doubles() {
        naked_asm!(
            "mov esi, edi", "mov edi, {handle}", "sub rsp, 8", "call {find}", "add rsp, 8",
            "mov rdx, [rax]", "add [rax], rdx", "ret", handle = const HANDLE, find = sym find,
        )
    }
    #[unsafe(naked)]
    unsafe extern "C" fn own_variable() {
        naked_asm!("inc qword ptr [rsi]", "ret")
    }
    assert_eq!(of(looks_at_the_address, Role::Access), None);
    assert_eq!(of(stores, Role::Execution), None);
    assert_eq!(of(another_vcpu, Role::Execution), None);
    assert_eq!(of(doubles, Role::Execution), None);
    assert_eq!(of(own_variable, Role::Execution), None);
}

#[test]
fn a_value_that_was_loaded_before_another_addition_is_not_stored_back() {
    #[unsafe(naked)]
    unsafe extern "C" fn overtaken() {
        naked_asm!(
            "mov esi, edi", "mov edi, {handle}", "sub rsp, 8", "call {find}", "add rsp, 8",
            "mov rdx, [rax]", "inc qword ptr [rax]", "inc rdx", "mov [rax], rdx", "ret",
            handle = const HANDLE, find = sym find,
        )
    }
    assert_eq!(of(overtaken, Role::Execution), None);
}

#[test]
fn a_board_that_the_userdata_points_to_is_known_by_userdata() {
    #[unsafe(naked)]
    unsafe extern "C" fn by_pointer() {
        naked_asm!(
            "mov rax, rsi", "mov edx, edi", "mov ecx, 3", "mov rdi, [rax + 8]", "mov rsi, [rax + 16]",
            "jmp {add}", add = sym add,
        )
    }
    let function = by_pointer as *const () as usize;
    let entry = [0, HANDLE, 16];
    let of = |userdata| Evaluated::of(function, Role::Execution, userdata, &Functions);
    assert_eq!(of(None), Err(Refused::ByUserdata));
    let userdata = entry.as_ptr() as u64;
    let evaluated = of(Some(userdata)).expect("additions");
    assert_eq!(evaluated.additions(userdata), Some(vec![(0x20010, 3)]));
    assert_eq!(evaluated.guards.len(), 3);
}
