# System calls of every kind, and a fault with a handler. Exits with 5.
    .option norelax
    .option norvc
    .text
    .globl _start
    .type _start, @function
    .globl write_call, none_call, action_call, faulting, handler, flush_call, exit_call
_start:
    li      a0, 1
    lla     a1, text
    li      a2, 3
    li      a3, 4
    li      a4, 5
    li      a5, 6
    li      a7, 64
write_call:
    ecall
    li      a0, -1
    li      a7, 57          # close(-1): EBADF
    ecall
    li      a7, 1000        # nothing
none_call:
    ecall
    li      a0, 11
    lla     a1, action
    li      a2, 0
    li      a3, 8
    li      a7, 134         # rt_sigaction(SIGSEGV, …)
action_call:
    ecall
    li      s0, 0
faulting:
    ld      s0, 0(s0)
    li      a0, 0
    li      a1, 0
    li      a2, 0
    li      a7, 259         # riscv_flush_icache
flush_call:
    ecall
    mv      a0, s1
    li      a7, 94
exit_call:
    ecall

handler:
    # Steps over the fault: pc is behind a siginfo_t and the head of the ucontext_t.
    ld      t0, 176(a2)
    addi    t0, t0, 4
    sd      t0, 176(a2)
    li      t0, 5
    sd      t0, 248(a2)     # s1
    ret
    .size _start, . - _start

    .data
    .balign 8
action:
    .dword  handler, 0, 0
text:
    .ascii "ok\n"
